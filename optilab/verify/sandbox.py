"""A submission in a process of its own: its points come back, and only those.

    python -P -m optilab.verify.sandbox DESCRIPTOR

is the other end of the channel. It knows neither the rule nor the function: it loads the code and answers each
gradient with the next point, in lines of JSON. The process that asks calculates the verdict from these points.
"""

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from optilab.errors import SystemFailure, UsageError, printable
from optilab.optimize.objective import Floats
from optilab.optimize.own import exception_text, rule_class
from optilab.verify.candidate import FAR, Candidate, Walk, begun, find_optimizer, literals, parameters

MAX_OUTPUT = 4000
"""Characters of a submission's output that are kept, the last ones."""
MAX_ERROR = 1000
MAX_REPLY = 1 << 20
MAX_FILE = 16 << 20
MAX_FILES = 64 << 20
"""Bytes of all files of an isolated submission."""
MAX_PARTS = 100
"""Parts of a state that are read."""
MAX_PROCESSES = 256
DIRECTORY = "/tmp/submission"
"""The working directory in a file system of its own."""
TOTAL = 10
"""The time limit of all answers of a submission, in time limits of one answer."""
START = 120.0
"""Seconds in which Python and NumPy start, on a busy machine, too."""

LEVELS = {
    "bubblewrap": "isolated by bubblewrap",
    "namespaces": "isolated by namespaces of the system (unshare)",
    "limits": "not isolated: install bubblewrap, or use a container",
}
"""What isolates a submission, the strongest first, as a report says it."""
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts"),
    "/proc/cpuinfo",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
NEW_ROOT = f"""set -e
mount -t tmpfs -o size={MAX_FILES},nr_inodes=10000 tmpfs "$1"
cd "$1"
shift
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p ".$1"; else mkdir -p ".${{1%/*}}"; : > ".$1"; fi
    mount --rbind -o ro "$1" ".$1"
    shift
done
mkdir -p .{DIRECTORY}
shift
exec chroot . setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""
"""A shell script that makes a root as bubblewrap does: in directory $1, of the paths up to `--`; the rest is run in it.

Without capabilities no process leaves it, and the kernel makes no user namespace in it.
"""


class TimeLimit(UsageError):
    """The code took longer than it may."""


@dataclass(frozen=True)
class Sandbox:
    """What isolates a submission, and what it may use.

    `level`: a key of LEVELS, or empty for a file of the user's own, which sees what the user sees.
    """

    seconds: float
    """For one answer: loading the file, making the optimizer, a step."""
    memory: int | None = None
    """MiB of each process."""
    level: str = ""

    @property
    def limits(self) -> dict[str, int]:
        """Those that the system enforces on each process, by their names there."""
        limits = {"CORE": 0, "FSIZE": MAX_FILE, "CPU": round(min(TOTAL * self.seconds + START, 1e8))}
        if self.memory is not None:
            limits["AS"] = self.memory << 20
        if self.is_enclosed:  # elsewhere all processes of the user count
            limits["NPROC"] = MAX_PROCESSES
        return limits

    @property
    def is_enclosed(self) -> bool:
        """Whether it has a file system of its own."""
        return self.level in ("bubblewrap", "namespaces")


# --- what isolates -----------------------------------------------------------------------------------------


def strongest_level() -> str:
    """The first of LEVELS that works here."""
    return next(level for level in LEVELS if works(level))


@cache
def works(level: str) -> bool:
    """Whether a process starts that is isolated so."""
    if level == "limits":
        return True
    with contextlib.suppress(OSError):  # no such program
        return not subprocess.run(_command(level), env=_environment(DIRECTORY), capture_output=True).returncode
    return False


def _command(level: str, *arguments: str) -> list[str]:
    """The command that answers, inside what isolates it."""
    python = [sys.executable, "-P", "-m", "optilab.verify.sandbox", *arguments]
    ends_with_grader = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    if level == "bubblewrap":
        bound = [word for path in _visible() for word in ("--ro-bind", path, path)]
        files = ["--dev", "/dev", "--size", str(MAX_FILES), "--tmpfs", "/tmp", *bound, "--dir", DIRECTORY]
        isolated = ["--unshare-all", "--die-with-parent", "--cap-drop", "ALL", *files, "--remount-ro", "/"]
        return ["bwrap", *isolated, "--", *python]
    if level == "namespaces":
        paths = [*_visible(), *DEVICES]
        place = next(
            (p for p in ("/mnt", "/media", "/srv") if not any(_is_below(path, p) for path in paths)), "/mnt"
        )
        kinds = ["--user", "--map-root-user", "--mount", "--net", "--pid", "--ipc", "--uts"]
        script = ["sh", "-c", NEW_ROOT, "sh", place, *paths, "--", *python]
        return [*ends_with_grader, "unshare", *kinds, "--fork", "--kill-child", *script]
    return [*ends_with_grader, *python]


def _packages() -> list[str]:
    """The directories from which Python imports packages, this one included."""
    installed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return [str(Path(__file__).parents[2]), *installed]


def _visible() -> list[str]:
    """The paths that an isolated submission sees: Python, its packages and the system's libraries, no home."""
    here, *installed = _packages()
    python = [sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1])]
    paths = [path for path in (*SYSTEM, *python, *installed, f"{here}/optilab") if os.path.exists(path)]
    paths = list(dict.fromkeys(paths))
    return [path for path in paths if not any(_is_below(path, other) for other in paths)]


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")


def _environment(directory: str) -> dict[str, str]:
    """What an isolated submission sees of it: nothing of the grader's."""
    home = dict.fromkeys(("HOME", "TMPDIR"), directory)
    plain = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "NO_COLOR": "1", "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    kept = {key: os.environ[key] for key in ("LANG", "LD_LIBRARY_PATH") if key in os.environ}
    return {**kept, **plain, **home, **_python_path()}


def _python_path() -> dict[str, str]:
    """Where Python finds those packages that are not its own."""
    others = [path for path in _packages() if not any(_is_below(path, p) for p in (sys.prefix, sys.base_prefix))]
    return {"PYTHONPATH": os.pathsep.join(others)}


# --- the process that asks ---------------------------------------------------------------------------------


@contextmanager
def running(file: Path, code: bytes | None, name: str, like: str, sandbox: Sandbox) -> Iterator["Submission"]:
    """A submission, not loaded yet; its process is gone at the end, and with namespaces all that it has started.

    `code`: the program, if it is not `file` itself that is executed. `name`: the class or function; empty for the only
    one that fits, or that is called `like`.
    """
    directory = "" if sandbox.is_enclosed or code is None else tempfile.mkdtemp(prefix="optilab-")
    path = file if code is None else Path(directory or DIRECTORY, "submission.py")
    here, there = socket.socketpair()
    with contextlib.ExitStack() as stack:
        if directory:
            stack.callback(remove_tree, directory)
        stack.enter_context(here)
        log = stack.enter_context(tempfile.TemporaryFile())
        fcntl.fcntl(log, fcntl.F_SETFL, os.O_APPEND)  # it is truncated while the process writes
        with there:
            process = subprocess.Popen(
                _command(sandbox.level, str(there.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[there.fileno()],
                env=_environment(str(path.parent)) if sandbox.level else {**os.environ, **_python_path()},
                start_new_session=True,
            )
        stack.callback(_end, process)
        _processes.add(process)
        request = {
            "path": str(path),
            "name": name,
            "like": like,
            "limits": sandbox.limits,
            "code": None if code is None else code.decode("latin-1"),  # bytes as JSON
            "directory": str(path.parent) if sandbox.level else None,
        }
        yield Submission(file, path, request, sandbox, here, log.fileno(), process)


_processes: set["subprocess.Popen[bytes]"] = set()


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _processes.discard(process)


def end_all() -> None:
    """End the submissions of all threads: to those that wait for them they have ended by themselves."""
    for process in [*_processes]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def remove_tree(directory: str) -> None:
    """Remove a directory, however deep: `shutil.rmtree` fails where a path or its recursion is too long."""
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        subprocess.run([*command, directory], stderr=subprocess.DEVNULL, check=False)


class Submission:
    """The asking end of the channel to one submission."""

    def __init__(
        self,
        file: Path,
        path: Path,
        request: Mapping[str, Any],
        sandbox: Sandbox,
        channel: socket.socket,
        log: int,
        process: "subprocess.Popen[bytes]",
    ) -> None:
        self._file, self._path, self._request, self._sandbox = file, path, request, sandbox
        self._channel, self._log, self._process = channel, log, process
        self._received, self._printed = b"", b""
        self._seconds = TOTAL * sandbox.seconds
        """What is left for all answers."""

    @property
    def output(self) -> str:
        """The end of what it printed."""
        self._empty_log()
        return self._shown(self._printed.decode("utf-8", "replace"))[-MAX_OUTPUT:]

    def _empty_log(self) -> None:
        """Keep the end of the log, which has a limit that what an honest submission prints in all does not have."""
        size = os.fstat(self._log).st_size
        self._printed += os.pread(self._log, 4 * MAX_OUTPUT, max(0, size - 4 * MAX_OUTPUT))
        self._printed = self._printed[-4 * MAX_OUTPUT :]
        os.ftruncate(self._log, 0)

    def load(self) -> Candidate:
        """The candidate. Raises UsageError where its file cannot be loaded, and TimeLimit."""
        with contextlib.suppress(OSError):
            if not self._line(time.monotonic() + START):
                raise SystemFailure(f"the process of {self._file} does not start: {self.output or self._status()}")
        reply = self._ask(self._request, "loading the file")
        name, known, numbers = reply.get("name"), reply.get("parameters"), reply.get("literals")
        if not (isinstance(name, str) and isinstance(known, dict) and isinstance(numbers, list)):
            raise self._wrong()
        numbers = [n for n in numbers[:1000] if isinstance(n, float) and abs(n) < FAR]
        return Candidate(
            self._shown(name), {str(key): bool(value) for key, value in known.items()}, numbers, self._begin
        )

    def _begin(self, values: Mapping[str, Any], start: Floats) -> Walk:
        self._empty_log()
        self._ask({"values": values, "start": start.tolist()}, "making the optimizer")
        step = 0

        def advance(gradient: Floats) -> Floats:
            nonlocal step
            step += 1
            point = self._ask({"gradient": gradient.tolist()}, f"step {step}").get("point")
            return np.array(self._numbers(point, start.size)).reshape(start.shape)

        def remembered() -> dict[str, list[float]]:
            parts = self._ask({"remembered": True}, "reading the state").get("remembered")
            if not isinstance(parts, dict) or len(parts) > MAX_PARTS:
                raise self._wrong()
            return {name: self._numbers(numbers, start.size) for name, numbers in parts.items()}

        return Walk(advance, remembered)

    def _numbers(self, values: Any, size: int) -> list[float]:
        if not isinstance(values, list) or len(values) != size or any(type(x) is not float for x in values):
            raise self._wrong()
        return values

    def _ask(self, message: Mapping[str, Any], what: str) -> dict[str, Any]:
        started, limit = time.monotonic(), min(self._sandbox.seconds, self._seconds)
        try:
            self._channel.settimeout(limit)
            self._channel.sendall(json.dumps(message).encode() + b"\n")
            line = self._line(started + limit)
        except TimeoutError:
            whole = limit < self._sandbox.seconds
            what = f"all answers up to {what} together" if whole else what
            seconds = TOTAL * self._sandbox.seconds if whole else limit
            raise TimeLimit(f"{self._file}: {what} took more than {seconds:g} s (--timeout)") from None
        except OSError:
            line = b""
        self._seconds = max(self._seconds - (time.monotonic() - started), 0.001)
        if not line:
            raise UsageError(f"{self._file}: the code ended the process ({self._status()})")
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise self._wrong()
        if "error" in reply:
            raise UsageError(self._shown(str(reply["error"])[:MAX_ERROR]))
        return reply

    def _line(self, deadline: float) -> bytes:
        """The next line; empty where the process has ended. Raises TimeoutError, and UsageError past a limit."""
        while b"\n" not in self._received:
            self._channel.settimeout(max(deadline - time.monotonic(), 0.001))
            if not (chunk := self._channel.recv(1 << 16)):
                return b""
            self._received += chunk
            if len(self._received) > MAX_REPLY:
                raise self._wrong()
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _status(self) -> str:
        """How its process has ended; what isolates it states a signal as 128 more than its number."""
        try:
            code = self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        number = -code if code < 0 else code - 128
        return f"signal {number}" if number > 0 else f"exit status {code}"

    def _wrong(self) -> UsageError:
        return UsageError(f"{self._file}: the code wrote to the connection that returns its points")

    def _shown(self, text: str) -> str:
        """Text of the submission with its file's own name, safe for a terminal."""
        if self._path != self._file:
            text = text.replace(str(self._path), self._file.name).replace(self._path.name, self._file.name)
        return printable(text)


# --- the process that answers ------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> None:
    """Answer until the grader has left; without an argument, show that Python and NumPy start."""
    if not arguments:
        return
    with socket.socket(fileno=int(arguments[0])) as channel:
        channel.sendall(b"{}\n")  # from here on the time is the submission's
        lines = channel.makefile("r")
        request = json.loads(next(lines, "null"))
        if request is None:
            return
        for limit, value in request["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))
        if request["directory"]:
            os.chdir(request["directory"])
        if request["code"] is not None:
            Path(request["path"]).write_bytes(request["code"].encode("latin-1"))
        sys.argv[:] = [request["path"]]  # as of a script
        _answer(channel, lines, request)


def _answer(channel: socket.socket, lines: Iterator[str], request: Mapping[str, Any]) -> None:
    kind, walk, step, reply = None, None, 0, dict[str, Any]()
    message: dict[str, Any] | None = {}
    while message is not None:
        try:
            if kind is None:
                path, name = request["path"], request["name"]
                kind = rule_class(f"{path}:{name}" if name else find_optimizer(Path(path), request["like"]))
                numbers = literals(kind.code)
                reply = {"name": kind.name, "parameters": parameters(kind), "literals": numbers}
            elif "start" in message:
                step, reply = 0, {}
                walk = begun(kind, message["values"], np.array(message["start"], dtype=np.float64))
            elif walk is not None and "remembered" in message:
                reply = {"remembered": dict(islice(walk.remembered().items(), MAX_PARTS))}
            elif walk is not None:
                step += 1
                reply = {"point": walk.advance(np.array(message["gradient"])).ravel().tolist()}
        except UsageError as error:
            reply = {"error": str(error)[:MAX_ERROR]}
        except BaseException as error:  # the code may raise whatever ends Python, as KeyboardInterrupt
            reply = {"error": str(kind.code.failure(error, step) if kind else exception_text(error))[:MAX_ERROR]}
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):  # replaced or closed by the user's code
                stream.flush()
        channel.sendall(json.dumps(reply).encode() + b"\n")
        message = json.loads(next(lines, "null"))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:
        os._exit(0)  # whatever the code has left to be done at the end
