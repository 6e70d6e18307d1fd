"""Many implementations, each graded in a process of its own: whatever one of them does costs its own row.

A submission is a copy of one file in an empty folder, so its code finds nobody else's beside it. Its process has limits
of time, memory and file size; its output goes to a file of its own. This bounds accidents and pranks. It is not a
sandbox: the code runs as the user who grades, and strangers' code belongs in a container.
"""

import contextlib
import json
import mmap
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from optilab.errors import OptilabError, UsageError, printable, shown
from optilab.optimize import own_source

VERDICTS = ("equal", "explained", "differs", "error")
"""Equal to the rule; different, by a known convention or slip; different without an explanation; nothing to compare."""
POINTS: Mapping[str, float] = {"equal": 1.0, "explained": 0.5, "differs": 0.0, "error": 0.0}
WHOLE = 6
"""The time limit of a whole submission, in time limits of a step, beside `COMPARISON`."""
COMPARISON = 30.0
"""Seconds for Python's start and for the comparison, which are not the submission's fault."""
LARGEST_FILE = 16 << 20
SHOWN_OUTPUT = 4000
"""Characters of a submission's own output that a document holds."""

_START = """
import resource, runpy, sys
memory, size, seconds, *sys.argv = sys.argv[1:]
for limit, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, size), (resource.RLIMIT_CPU, seconds)):
    resource.setrlimit(limit, (int(value), int(value)))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
runpy.run_module("optilab", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Allowance:
    """Of one submission."""

    seconds: float
    """Of one step."""
    memory: int = 4096
    """MiB of address space."""

    @property
    def whole(self) -> float:
        """Seconds of a whole submission."""
        return self.seconds * WHOLE + COMPARISON


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


def is_pattern(spec: str) -> bool:
    """Whether FILE:NAME means many files."""
    return any(character in spec for character in "*?[")


def files(spec: str) -> tuple[list[Path], str]:
    """The files of `submissions/*.py:Adam`, by name, and the name in each. UsageError for no file or no name."""
    pattern, colon, name = spec.rpartition(":")
    if not colon or not name:
        raise UsageError(f"PATTERN:NAME expected, as in 'submissions/*.py:Adam'; got {shown(spec)}")
    found = sorted(Path(path) for path in glob(pattern, recursive=True) if Path(path).is_file())
    if not found:
        raise UsageError(f"no file matches {shown(pattern)}")
    return found, name


def read_points(text: str | None) -> dict[str, float]:
    """`equal=10,explained=6` as the points of every verdict, those left out 0. UsageError for anything else."""
    if text is None:
        return dict(POINTS)
    points = dict.fromkeys(VERDICTS, 0.0)
    for part in text.split(","):
        key, _, number = part.strip().partition("=")
        try:
            points[key] = float(number) if key in points else float("nan")
        except ValueError:
            points[key] = float("nan")
        if not abs(points[key]) < 1e9:
            accepted = f"{', '.join(VERDICTS)} = number"
            raise UsageError(f"{accepted} expected, as in equal=10,explained=6; got {shown(part)}", "--points")
    return points


def grade_all(
    found: Sequence[Path],
    name: str,
    options: Sequence[str],
    limits: Allowance,
    points: Mapping[str, float],
    jobs: int,
) -> Iterator[Graded]:
    """Grade files, `jobs` at a time, in their order. `options` are those of `optilab verify FILE:NAME`."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda path: _grade(path, name, options, limits, points), found)


def _grade(
    path: Path, name: str, options: Sequence[str], limits: Allowance, points: Mapping[str, float]
) -> Graded:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="optilab-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder, "submission", path.name)
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        document, output = Path(folder, "document"), Path(folder, "output")
        status = _run(copy, name, options, limits, document, output)
        text = output.read_bytes()[-SHOWN_OUTPUT:].decode("utf-8", "replace").replace(f"{copy.parent}/", "")
        try:
            answer = json.loads(document.read_bytes()[:LARGEST_FILE])
        except (OSError, ValueError):
            answer = None
        prefix = f"{copy.parent}{os.sep}"
    facts = _verdict(answer, status, limits)
    facts["explanation"] = printable(str(facts["explanation"]).replace(prefix, ""))
    seconds = round(time.monotonic() - started, 2)
    own = text if facts["verdict"] != "error" else _without_error(text)
    return Graded(str(path), points=points[facts["verdict"]], output=printable(own), seconds=seconds, **facts)


def _run(
    copy: Path, name: str, options: Sequence[str], limits: Allowance, document: Path, output: Path
) -> int | None:
    """The exit status of a submission's process, None if it took too long; none of its processes is left."""
    whole = limits.whole
    numbers = [limits.memory << 20, LARGEST_FILE, max(1, round(whole) + 1)]
    arguments = ["verify", f"{copy.name}:{name}", *options, "--timeout", str(limits.seconds), "--json"]
    # -P: a numpy.py of the submission's folder is not imported in place of NumPy.
    command = [sys.executable, "-P", "-c", _START, *map(str, numbers), "optilab", *arguments]
    home = {"HOME": str(copy.parent), "TMPDIR": str(copy.parent), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    environment = {key: value for key, value in os.environ.items() if key in _KEPT} | home
    with document.open("wb") as out, output.open("wb") as err:
        process = subprocess.Popen(
            command,
            cwd=copy.parent,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,
        )
        try:
            return process.wait(whole)
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                process.kill()
            process.wait()


_KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")
"""What a submission sees of the environment; a teacher's tokens are not among it."""


def _verdict(answer: Any, status: int | None, limits: Allowance) -> dict[str, Any]:
    """The columns of a row, from the document of `verify --json` and how its process ended."""
    if status is None:
        return {"verdict": "error", "explanation": f"took more than {limits.whole:g} s altogether"}
    if not isinstance(answer, dict):
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return {"verdict": "error", "explanation": f"its process ended without a result ({how})"}
    if "error" in answer:
        return {"verdict": "error", "explanation": dict(answer["error"]).get("message", "")}
    if answer.get("equal") is True:
        return {"verdict": "equal", "explanation": str(answer.get("reading") or "")}
    words = [str(word) for word in answer.get("explanation") or ()]
    return {
        "verdict": "explained" if words else "differs",
        "first_step": answer.get("first_step"),
        "function": answer.get("function"),
        "explanation": "; ".join(words),
    }


def _without_error(text: str) -> str:
    """The output without the line with which `verify` reports the error, which is the row's explanation."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("optilab: "))


POLL_SECONDS = 0.02
_STATE = struct.Struct(
    "dq"
)  # when the user's code was entered (0: it is not running), and the step, 0 while loading
_shared: mmap.mmap | None = None


@contextlib.contextmanager
def counted(step: int) -> Iterator[None]:
    """The user's code runs inside: step 0 loads the file, step t computes the t-th point."""
    if _shared is not None:
        _STATE.pack_into(_shared, 0, time.monotonic(), step)
    try:
        yield
    finally:
        if _shared is not None:
            _STATE.pack_into(_shared, 0, 0.0, step)


def time_limited(work: Callable[[], Any], label: str, seconds: float) -> Any:
    """The result of `work()`, computed in a child process.

    Raises what `work` raises of optilab's own errors, and UsageError if the user's code is inside `counted` for more
    than `seconds` at a time, or ends the process.
    """
    if not hasattr(os, "fork"):
        return work()
    global _shared
    own_source.clock = counted
    _shared = mmap.mmap(-1, _STATE.size)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of threads that a fork does not copy; those of the libraries here are idle
        child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(work, writer)
    os.close(writer)
    try:
        return _result(reader, child, label, seconds)
    finally:
        _shared = None
        own_source.clock = own_source.unlimited
        os.close(reader)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _answer(work: Callable[[], Any], writer: int) -> None:
    """In the child: send the result or the error, and end without cleaning up what belongs to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(2, 1)  # stdout is the verdict's
    try:
        answer: tuple[str, Any] = ("result", work())
    except OptilabError as error:
        answer = ("error", error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # replaced or closed by the user's code
            stream.flush()
    with os.fdopen(writer, "wb") as pipe:
        pickle.dump(answer, pipe)
    os._exit(0)


def _result(reader: int, child: int, label: str, seconds: float) -> Any:
    os.set_blocking(reader, False)
    data = bytearray()
    status: int | None = None
    while True:
        try:
            chunk = os.read(reader, 1 << 16)
        except BlockingIOError:
            if status is not None:  # a process that the code has forked keeps the pipe open
                break
            status = _ended(child)
            since, step = _STATE.unpack_from(_shared or b"", 0)
            if since and time.monotonic() - since > seconds:
                where = f"step {step}" if step else "loading the file"
                raise UsageError(f"{label}: {where} took more than {seconds:g} s (--timeout)") from None
            time.sleep(POLL_SECONDS)
            continue
        if not chunk:
            break
        data += chunk
    if not data:
        status = os.waitpid(child, 0)[1] if status is None else status
        raise UsageError(f"{label}: the code ended the process ({_reason(status)})")
    kind, value = pickle.loads(bytes(data))
    if kind == "error":
        raise value
    return value


def _ended(child: int) -> int | None:
    """The status with which the child has ended; None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return status if pid else None


def _reason(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code}" if code < 0 else f"exit status {code}"
