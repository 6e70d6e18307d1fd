"""The Markdown pages: their links, the commands they show, and the outputs they print.

A page shows a command in one of two ways:

* a block of `sh` holds commands, which must succeed;
* a block without a language whose first line is `$ COMMAND` shows what that command prints. A line
  `[N lines left out]` stands for N lines of the output. `python .ci/generate.py --outputs` writes all outputs again.
"""

import re
import shlex
import shutil
from itertools import zip_longest
from pathlib import Path

from tests.kit.command import ROOT, environment, run

PAGES = sorted([ROOT / "README.md", ROOT / ".github" / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
TUTORIALS = [ROOT / "docs" / f"{name}.md" for name in ("first-steps", "does-not-learn")]
"""Pages whose commands are typed one after the other, in one folder."""
LEFT_OUT = re.compile(r"\[(\d+) lines left out\]")
VARYING = re.compile(r"\d{8}-\d{6}-[\w.-]+|\d+\.\d\ds\b|\bin [\d:]+, [\d.]+ \S+|[▏▎▍▌▋▊▉█]+")
"""The name of a run, a time, a speed, and a bar whose length follows a number next to it."""
ROUNDING = 1e-12
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def scripts(page: Path) -> list[str]:
    """Every `sh` block of a page, a command a line."""
    return [
        joined(block) for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    ]


def joined(block: str) -> str:
    """Lines that end with a backslash, together with the next."""
    return re.sub(r" *\\\n *", " ", block)


def session(page: Path) -> list[tuple[str, str | None]]:
    """Every command of a page in its order, with the output that the page shows, or None where it shows none."""
    commands: list[tuple[str, str | None]] = []
    for script, command, shown in re.findall(
        r"^```(?:sh\n(.*?)|\n\$ (.*?)\n(.*?))^```", page.read_text(), flags=re.DOTALL | re.MULTILINE
    ):
        commands += (
            [(command, shown.rstrip("\n"))] if command else [(line, None) for line in joined(script).splitlines()]
        )
    return commands


def outputs(page: Path) -> list[tuple[str, str]]:
    """Every command of a page whose output is shown, with that output."""
    return [(command, shown) for command, shown in session(page) if shown is not None]


def files(page: Path) -> dict[str, str]:
    """The Python files of a page: blocks whose first line is a comment with the file's name."""
    blocks = re.findall(r"^```python\n(# (\w+\.py)\n.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {name: content for content, name in blocks}


def write_files(page: Path, folder: Path) -> None:
    """Put the Python files of a page into a folder; those of the page on grading are the class."""
    if page.stem == "grading":
        shutil.copytree(ROOT / "docs" / "class", folder, dirs_exist_ok=True)
    for name, content in files(page).items():
        (folder / name).write_text(content)


def answer(command: str, folder: Path, code: int = 0, **variables: str) -> str:
    """What `optilab ...` prints in a folder. Its exit status has to be 0, or `code`.

    A map is made by a process of its own: it forks its workers, which jax, loaded by other tests, warns about.
    """
    program, *arguments = shlex.split(command)
    assert program == "optilab", command
    done = run(arguments, folder, "fresh" if arguments[0] == "map" else "here", env=environment(**variables))
    assert done.returncode in (0, code), f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def printed(command: str, page: Path, folder: Path) -> str:
    """What a command of a page prints in a folder with the page's files; a check may fail (exit status 9)."""
    write_files(page, folder)
    return answer(command, folder, code=9)


def shortened(actual: str, like: str) -> str:
    """The actual output without the lines that `like` leaves out."""
    lines, result = actual.splitlines(), []
    for line in like.splitlines():
        if mark := LEFT_OUT.fullmatch(line):
            result.append(line)
            del lines[: int(mark[1])]
        elif lines:
            result.append(lines.pop(0))
    return "\n".join(result + lines)


def difference(actual: str, shown: str, tolerance: float) -> str:
    """The first line in which an output differs from what the page shows; an empty text if none does.

    Names of runs and times may differ, and numbers by rounding and by `tolerance`, a share of their size.
    """
    ours, theirs = shortened(actual, shown).splitlines(), shown.splitlines()
    for line, expected in zip_longest(ours, theirs, fillvalue="(no line)"):
        texts, numbers = _taken_apart(line)
        expected_texts, expected_numbers = _taken_apart(expected)
        if texts != expected_texts or any(
            abs(a - b) > tolerance * abs(b) + ROUNDING for a, b in zip(numbers, expected_numbers, strict=True)
        ):
            return f"prints: {line}\nshown:  {expected}"
    return ""


def _taken_apart(line: str) -> tuple[list[str], list[float]]:
    """The words of a line, in which each number is `#`, and the numbers."""
    line = VARYING.sub("~", line)
    return NUMBER.sub("#", line).split(), [float(number) for number in NUMBER.findall(line)]


def renewed(page: Path, folder: Path) -> str:
    """The text of a page with all outputs as they are now; of a shortened one the same ends are shown."""
    text = page.read_text()
    for command, shown in session(page):
        if shown is None:
            if page in TUTORIALS:
                answer(command, folder)
            continue
        now = printed(command, page, folder).rstrip("\n")
        if not difference(now, shown, 0.0):
            continue
        lines, old = now.splitlines(), shown.splitlines()
        marks = [number for number, line in enumerate(old) if LEFT_OUT.fullmatch(line)]
        if marks:
            head, tail = marks[0], len(old) - marks[-1] - 1
            lines[head : len(lines) - tail] = [f"[{len(lines) - head - tail} lines left out]"]
        text = text.replace(f"$ {command}\n{shown}\n", f"$ {command}\n{chr(10).join(lines)}\n")
    return text
