"""Many implementations, a row each: whatever one of them does costs its own row.

A submission is a copy of one file, under a fixed name in an empty directory, so its code finds nobody else's next to
it, and runs in a process of its own (`optilab.verify.remote`). The verdict is calculated here, from the points that it
returns. This bounds accidents and pranks. It is not a sandbox: the code runs as the user who grades, and strangers'
code belongs in a container.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from optilab.errors import OptilabError, UsageError, printable, shown, unknown

if TYPE_CHECKING:
    from optilab.verify.candidate import Candidate
    from optilab.verify.compare import Verdict
    from optilab.verify.remote import Limits, Warden

VERDICTS = ("equal", "explained", "differs", "timeout", "error")
"""Equal to the rule; different, by a known convention or slip; different without an explanation; too slow to tell;
nothing to compare."""
POINTS: Mapping[str, float] = {"equal": 1.0, "explained": 0.5, "differs": 0.0, "timeout": 0.0, "error": 0.0}
LARGEST_SOURCE = 1 << 20
NOTEBOOK = ".ipynb"


@dataclass(frozen=True)
class Graded:
    """One row."""

    submission: str
    verdict: str
    points: float
    first_step: int | None = None
    function: str | None = None
    explanation: str = ""
    """What turns the rule into the submission, or what went wrong."""
    output: str = ""
    """The end of what the submission printed."""
    seconds: float = 0.0
    name: str = ""
    """The class or function that was graded."""
    compared: "Verdict | None" = None


def is_pattern(spec: str) -> bool:
    """Whether FILE:NAME means many files."""
    pattern, _ = split(spec)
    return any(character in pattern for character in "*?[") and not Path(pattern).is_file()


def split(spec: str) -> tuple[str, str]:
    """The file or pattern, and the name after the colon; empty for none and for `*`."""
    file, colon, name = spec.rpartition(":")
    if colon and file and (name in ("", "*") or name.isidentifier()):
        return file, name.strip("*")
    return spec, ""


def files(specs: Sequence[str]) -> dict[Path, str]:
    """The files of `submissions/*.py:Adam` and the like, by path, and the name in each. UsageError for no file."""

    def read(spec: str) -> dict[Path, str]:
        pattern, name = split(spec)
        matches = [pattern] if Path(pattern).is_file() else glob(pattern, recursive=True)
        found = [path for path in map(Path, matches) if not path.is_dir()]
        if not found:
            plain = [one for one in Path(pattern).parents if not set(str(one)) & set("*?[")]
            gone = [f": there is no directory {printable(str(one))}" for one in plain if not one.is_dir()][-1:]
            there = next((f" {one}" for one in plain if one.is_dir() and str(one) != "."), "")
            raise UsageError(f"no file matches {shown(pattern)}{''.join(gone)}; see what is there: ls{there}")
        return dict.fromkeys(found, name)

    return dict(sorted(item for found in map(read, specs) for item in found.items()))


def read_points(text: str | None) -> dict[str, float]:
    """`equal=10,explained=6` as the points of every verdict, those left out 0. UsageError for anything else."""
    if text is None:
        return dict(POINTS)
    points = dict.fromkeys(VERDICTS, 0.0)
    seen = set[str]()
    for part in text.split(","):
        key, _, number = part.strip().partition("=")
        if key not in points:
            raise UsageError(
                f"expected VERDICT=N, as in equal=10,explained=6: {unknown('verdict', key, VERDICTS)}", "--points"
            )
        if key in seen:
            raise UsageError(f"{key} is repeated; give its points once", "--points")
        try:
            points[key] = float(number)
        except ValueError:
            points[key] = float("nan")
        seen.add(key)
        if not abs(points[key]) < 1e9:
            raise UsageError(f"expected a number of points, as in {key}=10; got {shown(part)}", "--points")
    return points


def grade_all(
    found: Mapping[Path, str],
    grade: "Callable[[Candidate], Verdict]",
    limits: "Limits",
    points: Mapping[str, float],
    jobs: int,
    like: str = "",
) -> Iterator[Graded]:
    """Grade the name in each file, `jobs` at a time, in their order; `grade` compares a candidate with the rule, which
    is called `like`."""
    from optilab.verify.remote import Warden

    wardens, made = SimpleQueue[Warden](), [Warden() for _ in range(jobs)]

    def graded(path: Path) -> Graded:
        warden = wardens.get()
        try:
            return grade_one(warden, path, found[path], grade, limits, points, like)
        finally:
            wardens.put(warden)

    for warden in made:
        wardens.put(warden)
    pool = ThreadPoolExecutor(jobs)
    try:
        yield from pool.map(graded, found)
    finally:  # after Ctrl-C, too: what runs ends as an error, and nothing else begins
        for warden in made:
            warden.stop()
        pool.shutdown(cancel_futures=True)


def grade_one(
    warden: "Warden",
    path: Path,
    name: str,
    grade: "Callable[[Candidate], Verdict]",
    limits: "Limits",
    points: Mapping[str, float],
    like: str = "",
) -> Graded:
    """The row of one file."""
    from optilab.verify.remote import TimeLimit
    from optilab.verify.warden import remove_tree

    started, output, own = time.monotonic(), "", ""
    verdict, compared, explanation = "error", None, ""
    directory = os.path.abspath(tempfile.mkdtemp(prefix="optilab-"))
    copy = Path(directory, "submission.py")
    try:
        write_source(path, copy)
        with warden.running(copy, name, str(path), limits, like=like) as submission:
            try:
                candidate = submission.load()
                own = candidate.name.rpartition(":")[2]
                compared = grade(candidate)
            finally:
                submission.drain()
                output = submission.output
    except TimeLimit as error:
        verdict, explanation = "timeout", str(error)
    except OptilabError as error:
        explanation = str(error)
    except Exception as error:  # of whatever kind: the rows of the others follow
        explanation = f"{type(error).__name__}: {error}"
    finally:
        remove_tree(directory)
    if compared is not None:
        biases = f"on a bias it {compared.on_biases}" if compared.on_biases else ""
        reasons = (compared.reading, biases) if compared.equal else compared.explanation
        explanation = "; ".join(filter(None, reasons))
        verdict = "equal" if compared.equal else "explained" if compared.explanation else "differs"
    facts = (compared.first_step, compared.function) if compared else (None, None)
    seconds = round(time.monotonic() - started, 2)
    text = printable(explanation)
    return Graded(str(path), verdict, points[verdict], *facts, text, output, seconds, own, compared)


def write_source(path: Path, copy: Path) -> None:
    """Copy a file; of a notebook, the code of its cells without the lines that are IPython's own.

    UsageError for a file that cannot be read, or is larger than any program.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UsageError(f"{path} is a pipe or a device, not a file")
        if size > LARGEST_SOURCE and path.suffix != NOTEBOOK:
            raise UsageError(f"{path} has {size:,} bytes; a submission has at most {LARGEST_SOURCE:,}")
        if path.suffix != NOTEBOOK:
            shutil.copyfile(path, copy)
            return
        if size > 16 * LARGEST_SOURCE:
            raise UsageError(f"{path} has {size:,} bytes; a notebook has at most {16 * LARGEST_SOURCE:,}")
        cells = json.loads(path.read_bytes())["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}"
        raise UsageError(f"not a notebook: {error.msg} at column {error.colno}; save it again", where) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(f"{path} is not a notebook, which is JSON with a list of cells; save it again") from None
    lines = [line for source in sources for line in source.splitlines()]
    code = ["" if line.lstrip().startswith(("%", "!", "?")) else line for line in lines]
    copy.write_text("\n".join([*code, ""]), encoding="utf-8")
