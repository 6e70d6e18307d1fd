"""Grades many files, a row each. A file that crashes or hangs affects its own row alone.

Each is executed in a separate, isolated process (`optilab.verify.sandbox`), which knows no other submission. The
verdict is calculated here, from the points that it returns.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from glob import glob
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from optilab.errors import OptilabError, UsageError, printable, shown

if TYPE_CHECKING:
    from optilab.verify.candidate import Candidate
    from optilab.verify.compare import CodeComparison
    from optilab.verify.sandbox import Sandbox

VERDICTS = ("equal", "explained", "differs", "timeout", "error")
"""Equal to the rule; different, by a known convention or slip; different without an explanation; too slow to tell;
nothing to compare."""
MAX_SOURCE = 1 << 20
MAX_EXPLANATION, MAX_NAME = 2000, 100
"""Characters: a submission may call itself anything."""
NOTEBOOK = ".ipynb"
TOKENS = re.compile(
    r"""(?mx) "{3} [\s\S]*? (?: "{3} | \Z ) | '{3} [\s\S]*? (?: '{3} | \Z )
    | " [^"\\\n]* (?: \\[\s\S] [^"\\\n]* )* "? | ' [^'\\\n]* (?: \\[\s\S] [^'\\\n]* )* '?
    | \#.* | \\\n[ \t]*[%!?]? | [()\[\]{}] | ^[ \t]*[%!?](?=(?P<rest>.*))"""
)
"""Strings, comments, continued lines, brackets, and where a line begins that may be IPython's own."""


@dataclass(frozen=True)
class Graded:
    """The grade of a submission: a row of the table."""

    submission: str
    verdict: str
    first_step: int | None = None
    function: str | None = None
    explanation: str = ""
    """The change that turns the rule into the submission, or the error."""
    output: str = ""
    """What the submission printed; of a long text its end."""
    seconds: float = 0.0
    name: str = ""
    """The class or function that was graded."""
    compared: "CodeComparison | None" = None
    against: str = ""
    """The optimizer that it was compared with."""


def is_pattern(spec: str) -> bool:
    """True if the file of FILE:NAME is a pattern of many files."""
    pattern, _ = split(spec)
    return any(character in pattern for character in "*?[") and not Path(pattern).is_file()


def split(spec: str) -> tuple[str, str]:
    """The file, directory or pattern, and the name after the colon; empty for none and for `*`."""
    file, colon, name = spec.rpartition(":")
    if colon and file and (name in ("", "*") or name.isidentifier()):
        return file, name.strip("*")
    return spec, ""


def files(specs: Sequence[str]) -> dict[Path, str]:
    """The files of `submissions/*.py:Adam` and the like, by path, and the name in each. UsageError for no file."""
    return dict(sorted(item for spec in specs for item in _files(spec).items()))


def _files(spec: str) -> dict[Path, str]:
    pattern, name = split(spec)
    path = Path(pattern)
    if path.is_dir():
        paths = [file for file in path.iterdir() if file.suffix in (".py", NOTEBOOK)]
    else:
        paths = [path] if path.is_file() else [Path(match) for match in glob(pattern, recursive=True)]
    if paths := [file for file in paths if not file.is_dir()]:
        return dict.fromkeys(paths, name)
    if path.is_dir():
        raise UsageError(f"the directory {printable(pattern)} has no .py and no {NOTEBOOK} file")
    parents = [parent for parent in path.parents if not set(str(parent)) & set("*?[")]
    missing = [f": there is no directory {printable(str(parent))}" for parent in parents if not parent.is_dir()][
        -1:
    ]
    raise UsageError(f"no file matches {shown(pattern)}{''.join(missing)}")


def unsearched(specs: Sequence[str]) -> list[str]:
    """The directories inside those that are named: only the files of a directory itself are graded."""
    inside = [path for spec in specs if (folder := Path(split(spec)[0])).is_dir() for path in folder.iterdir()]
    return sorted(str(path) for path in inside if path.is_dir() and not path.name.startswith((".", "__")))


def grade_all(
    submissions: Mapping[Path, str],
    comparisons: "Mapping[str, Callable[[Candidate], CodeComparison]]",
    sandbox: "Sandbox",
    jobs: int,
) -> Iterator[Graded]:
    """Grade the name in each file, `jobs` at a time, in their order, by the name of each optimizer with the function
    that compares a candidate with it; of several optimizers each is compared with the code of its name."""
    from optilab.verify.sandbox import end_all

    def graded(path: Path, like: str) -> Graded:
        read, by_name = programs[path].result, len(comparisons) > 1
        return grade_file(path, submissions[path], read, comparisons[like], sandbox, like, by_name)

    pool = ThreadPoolExecutor(jobs)
    common = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in submissions])
    programs = {path: pool.submit(read_submission, path, common) for path in submissions}
    wait(programs.values())  # before any of them runs, which changes the others where nothing isolates it
    try:
        yield from pool.map(lambda pair: graded(*pair), product(submissions, comparisons))
    finally:  # after Ctrl-C, too: nothing else begins, and what runs ends
        pool.shutdown(wait=False, cancel_futures=True)
        end_all()
        pool.shutdown()


def grade_file(
    path: Path,
    name: str,
    read: Callable[[], bytes],
    compare: "Callable[[Candidate], CodeComparison]",
    sandbox: "Sandbox",
    like: str = "",
    by_name: bool = False,
) -> Graded:
    """The row of one file, whose program is what `read` returns."""
    from optilab.verify.sandbox import TimeLimit, running

    started, output, graded_name = time.monotonic(), "", ""
    verdict, compared, explanation = "error", None, ""
    try:
        with running(path, read(), name, like, sandbox, by_name) as submission:
            try:
                candidate = submission.load()
                graded_name = candidate.name.rpartition(":")[2][:MAX_NAME]
                compared = compare(candidate)
            finally:
                output = submission.output
    except TimeLimit as error:
        verdict, explanation = "timeout", str(error)
    except OptilabError as error:
        explanation = str(error)
    except Exception as error:  # of whatever kind: the rows of the others follow
        explanation = f"{type(error).__name__}: {error}"
    if compared is not None:
        known = (compared.reading, *compared.defaults) if compared.equal else compared.explanation
        explanation = "; ".join(filter(None, known))
        verdict = "equal" if compared.equal else "explained" if compared.explanation else "differs"
    facts = (compared.first_step, compared.function) if compared else (None, None)
    explanation, seconds = printable(explanation)[:MAX_EXPLANATION], round(time.monotonic() - started, 2)
    return Graded(str(path), verdict, *facts, explanation, output, seconds, graded_name, compared, like)


def read_submission(path: Path, directory: str) -> bytes:
    """The program of a file. UsageError for a link below the directory of all, which may lead to any other file."""
    below = os.path.relpath(os.path.abspath(path), directory)
    if os.path.realpath(path) != os.path.join(os.path.realpath(directory), below):
        raise UsageError(f"{path} is a link, or in a linked directory; expected a file")
    return read_program(path)


def read_program(path: Path) -> bytes:
    """The content of a file; of a notebook, the code of its cells without the lines that are IPython's own.

    UsageError for a file that cannot be read, or is larger than any program.
    """
    is_notebook = path.suffix == NOTEBOOK
    largest, kind = (16 * MAX_SOURCE, "notebook") if is_notebook else (MAX_SOURCE, "submission")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UsageError(f"{path} is a pipe or a device, not a file")
        if size > largest:
            raise UsageError(f"{path} has {size:,} bytes; a {kind} has at most {largest:,}")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if not is_notebook:
        return content
    try:
        cells = json.loads(content)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}"
        raise UsageError(f"not a notebook: {error.msg} at column {error.colno}", where) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(f"{path} is not a notebook, which is JSON with a list of cells") from None
    return "\n".join([*map(_without_ipython, sources), ""]).encode("utf-8", "replace")


def _without_ipython(source: str) -> str:
    """A cell without the text of the lines that are IPython's own; inside brackets and strings none is."""
    code, depth, start, at = list[str](), 0, 0, 0
    while token := TOKENS.search(source, at):
        at = token.end()
        depth = max(0, depth + (token[0] in "([{") - (token[0] in ")]}"))
        if token["rest"] is not None and not depth:
            code.append(source[start : token.start()])
            start = at = token.end("rest")
    return "".join([*code, source[start:]])
