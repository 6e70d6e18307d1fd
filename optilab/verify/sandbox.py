"""A submission in a separate process: its points come back, and only those.

    python -P -m optilab.verify.sandbox

is the other end of the channel (`system.start`). It is told neither the rule nor the function: it loads the code and
answers each gradient with the next point, in lines of JSON. The process that asks calculates the verdict from these
points.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from optilab import system
from optilab.errors import SystemFailure, UsageError, printable
from optilab.optimize.interfaces import choose_name, optimizer_names
from optilab.optimize.objective import Floats
from optilab.user_code import UserCode, exception_text, user_code
from optilab.verify import candidate as candidates
from optilab.verify.candidate import MAX_MAGNITUDE, Candidate, Walk

LEVELS = {
    "bubblewrap": "isolated by bubblewrap",
    "namespaces": "isolated by namespaces of the system (unshare)",
    "limits": "not isolated: a submission could read, change and delete your files",
}
"""Levels of isolation, the strongest first, with the words of a report."""
ENCLOSED = ("bubblewrap", "namespaces")
"""The levels with a separate file system."""
TOTAL_LIMITS = 10
"""The time limit of all answers of a submission, in time limits of one answer."""
START_SECONDS = 120.0
"""Seconds in which Python and NumPy start, on a busy machine, too."""
MAX_OUTPUT, MAX_ERROR, MAX_REPLY = 4000, 1000, 1 << 20
"""Characters of a submission's output that are kept, the last ones; of an error; bytes of a reply."""
CANDIDATE = {"name": str, "parameters": dict, "literals": list, "defaults": dict}
"""What a process tells of a candidate, and the type of each part."""
MAX_PARTS = 100
"""Parts of a state that are read."""
MAX_FILE, MAX_FILES, MAX_PROCESSES = 16 << 20, 64 << 20, 256
"""Bytes of a file, and of all files of its separate file system; processes of a submission."""

DIRECTORY = "/tmp/submission"
"""The working directory in the separate file system."""
PYTHON = (sys.prefix, sys.base_prefix)
EXECUTED = str(Path(sys.executable).resolve().parents[1])
INSTALLED = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
ROOT = str(Path(__file__).parents[2])
PATHS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts"),
    *(f"{prefix}/{part}" for prefix in (*PYTHON, EXECUTED) for part in ("bin", "lib", "lib64", "pyvenv.cfg")),
    *(*system.DEVICES, *INSTALLED, f"{ROOT}/optilab"),
)
"""Paths that an isolated submission sees: the system's libraries, Python and its packages; no home directory."""
NEW_ROOT = f"""set -e
mount -t tmpfs -o size={MAX_FILES},nr_inodes=10000 tmpfs /mnt
cd /mnt
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p ".$1"; else mkdir -p ".${{1%/*}}"; : > ".$1"; fi
    mount --rbind -o ro "$1" ".$1"
    shift
done
mkdir -p .{DIRECTORY}
exec chroot . setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""
"""A shell script that makes a root of the paths up to `--`, as bubblewrap does, and runs the rest in it.

Without capabilities no process leaves it, and the kernel makes no user namespace in it.
"""


class TimeLimit(UsageError):
    """The code took longer than its time limit."""


@dataclass(frozen=True)
class Sandbox:
    """The isolation of a submission, and the limits of its resources.

    `seconds` for one answer: loading the file, making the optimizer, a step. `memory`: MiB of each process. `level`:
    a key of LEVELS; empty for the user's file, which sees what the user sees.
    """

    seconds: float
    memory: int | None = None
    level: str = ""

    @property
    def limits(self) -> dict[str, int]:
        """The limits that the system enforces on each process, by the system's names."""
        limits = {
            "CORE": 0,
            "FSIZE": MAX_FILE,
            "CPU": round(min(TOTAL_LIMITS * self.seconds + START_SECONDS, 1e8)),
        }
        if self.memory is not None:
            limits["AS"] = self.memory << 20
        if self.level:
            limits["NPROC"] = MAX_PROCESSES + (0 if self.level in ENCLOSED else system.tasks())
        return limits


# --- what isolates -----------------------------------------------------------------------------------------


def strongest_level() -> str:
    """The first of LEVELS that works here."""
    return next(level for level in LEVELS if works(level))


@cache
def works(level: str) -> bool:
    """True if a process starts at this level of isolation."""
    if level == "limits":
        return True
    with contextlib.suppress(OSError):  # no such program
        return not subprocess.run(_command(level), env=_environment(DIRECTORY), capture_output=True).returncode
    return False


def _command(level: str, *arguments: str) -> list[str]:
    """The command of the isolated process that answers; without arguments it tests that Python starts there."""
    python = [sys.executable, "-P", "-m", "optilab.verify.sandbox", *arguments]
    paths = [path for path in dict.fromkeys(PATHS) if os.path.exists(path)]
    if level == "bubblewrap":
        words = ["bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]
        words += ["--size", str(MAX_FILES), "--tmpfs", "/tmp", "--dir", DIRECTORY]
        for path in paths:
            words += ["--dev-bind" if path.startswith("/dev/") else "--ro-bind", path, path]
        return [*words, "--remount-ro", "/", *python]
    dies_with_grader = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    if level == "namespaces":
        kinds = ["--user", "--map-root-user", "--mount", "--net", "--pid", "--ipc", "--uts"]
        words = [*dies_with_grader, "unshare", *kinds, "--fork", "--kill-child", "sh", "-c", NEW_ROOT, "sh"]
        return [*words, *paths, "--", *python]
    return [*dies_with_grader, *python]


def _environment(directory: str | None) -> dict[str, str]:
    """The environment of a submission, without variables of the grader; None: the environment of the user."""
    packages = {"PYTHONPATH": os.pathsep.join(p for p in (ROOT, *INSTALLED) if not p.startswith(PYTHON))}
    if directory is None:
        return {**os.environ, **packages}
    language = {
        key: os.environ[key] for key in ("LANG", "LD_LIBRARY_PATH", *system.VARIABLES) if key in os.environ
    }
    plain = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "NO_COLOR": "1", "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    return {**language, **plain, **packages, "HOME": directory, "TMPDIR": directory}


# --- the process that asks ---------------------------------------------------------------------------------

_processes: set["subprocess.Popen[bytes]"] = set()


@contextmanager
def running(
    file: Path, code: bytes | None, name: str, like: str, sandbox: Sandbox, by_name: bool = False
) -> Iterator["Submission"]:
    """A submission, not loaded yet; its process is gone at the end, and if it is enclosed all that it has started.

    `code`: the program, if `file` itself is not executed. `name`: the class or function; if it is empty, the only class
    or function that fits, or that has the name `like`; `by_name`: the latter alone.
    """
    copied = "" if sandbox.level in ENCLOSED or code is None else tempfile.mkdtemp(prefix="optilab-")
    path = file if code is None else Path(copied or DIRECTORY, "submission.py")
    directory = str(path.parent) if sandbox.level else None
    text = None if code is None else code.decode("latin-1")  # bytes as JSON
    request = {"path": str(path), "code": text, "directory": directory, "limits": sandbox.limits}
    try:
        with tempfile.TemporaryFile() as log:
            command = _command(sandbox.level)
            process, connection = system.start(command, stdout=log, stderr=log, env=_environment(directory))
            _processes.add(process)
            try:
                request |= {"name": name}
                channel, seconds = (connection, log, process), sandbox.seconds
                yield Submission(file, path, request, like, by_name, seconds, *channel)
            finally:
                system.kill_group(process)
                process.wait()
                _processes.discard(process)
                connection.close()
    finally:
        if copied:
            remove_tree(copied)


def end_all() -> None:
    """End the submissions of all threads; a thread that waits for one sees that it has ended."""
    for process in [*_processes]:
        system.kill_group(process)


def remove_tree(directory: str) -> None:
    """Remove a directory, however deep: `shutil.rmtree` fails where a path or its recursion is too long."""
    if system.WINDOWS:
        shutil.rmtree(directory, ignore_errors=True)
        return
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        subprocess.run([*command, directory], stderr=subprocess.DEVNULL, check=False)


@dataclass
class Submission:
    """The asking end of the channel to one submission. `path` is that of `file` where it is executed."""

    file: Path
    path: Path
    request: Mapping[str, Any]
    like: str
    by_name: bool
    seconds: float
    channel: socket.socket
    log: IO[bytes]
    process: "subprocess.Popen[bytes]"
    used: float = 0.0
    """Seconds of all answers."""
    received: bytes = field(default=b"", init=False)

    @property
    def output(self) -> str:
        """The output of the submission; of a long one its last lines, and that it is longer."""
        size, most = os.fstat(self.log.fileno()).st_size, 4 * MAX_OUTPUT
        printed = self._printable(system.read_at(self.log, most, max(0, size - most)).decode("utf-8", "replace"))
        if size <= most and len(printed) <= MAX_OUTPUT:
            return printed
        end = printed[-MAX_OUTPUT:]
        return f"... (the end of {size:,} bytes)\n" + (end.partition("\n")[2] or end)

    def load(self) -> Candidate:
        """The candidate. Raises UsageError where its file cannot be loaded, and TimeLimit."""
        try:
            started = self._line(time.monotonic() + START_SECONDS)
        except TimeoutError:  # a later greeting would be read as the answer to the first request
            raise SystemFailure(f"the process of {self.file} takes over {START_SECONDS:g} s to start") from None
        if not started:
            raise SystemFailure(f"the process of {self.file} does not start: {self.output or self._status()}")
        names = self._request(self.request, "loading the file").get("names")
        if not (isinstance(names, list) and names):
            raise self._wrong()
        names = [self._printable(str(name)[:MAX_ERROR]) for name in names[:MAX_PARTS]]
        chosen = choose_name(self._printable(str(self.path)), names, self.like, self.by_name)
        reply = self._request({"name": chosen}, "loading the file")
        parts: list[Any] = [reply.get(key) for key in CANDIDATE]
        if [type(part) for part in parts] != [*CANDIDATE.values()]:
            raise self._wrong()
        name, known, numbers, defaults = parts
        numbers = [n for n in numbers[:1000] if isinstance(n, float) and abs(n) < MAX_MAGNITUDE]
        known = {str(key): bool(value) for key, value in known.items()}
        defaults = {k: n for k, n in defaults.items() if type(n) in (int, float) and abs(n) < MAX_MAGNITUDE}
        return Candidate(self._printable(name), known, numbers, self._begin, defaults)

    def _begin(self, values: Mapping[str, Any], start: Floats) -> Walk:
        self._request({"values": values, "start": start.tolist()}, "making the optimizer")
        step = 0

        def advance(gradient: Floats) -> Floats:
            nonlocal step
            step += 1
            point = self._request({"gradient": gradient.tolist()}, f"step {step}").get("point")
            return np.array(self._numbers(point, start.size)).reshape(start.shape)

        def remembered() -> dict[str, list[float]]:
            parts = self._request({"remembered": True}, "reading the state").get("remembered")
            if not isinstance(parts, dict) or len(parts) > MAX_PARTS:
                raise self._wrong()
            return {self._printable(name): self._numbers(numbers, start.size) for name, numbers in parts.items()}

        return Walk(advance, remembered)

    def _numbers(self, values: Any, size: int) -> list[float]:
        if not isinstance(values, list) or len(values) != size or any(type(x) is not float for x in values):
            raise self._wrong()
        return values

    def _request(self, message: Mapping[str, Any], label: str) -> dict[str, Any]:
        started, whole = time.monotonic(), TOTAL_LIMITS * self.seconds
        limit = max(min(self.seconds, whole - self.used), 0.001)
        try:
            self.channel.settimeout(limit)
            self.channel.sendall(json.dumps(message).encode() + b"\n")
            line = self._line(started + limit)
        except TimeoutError:
            took = f"{label} took more than {self.seconds:g} s"
            if limit < self.seconds:
                took = f"all answers up to {label} together took more than {whole:g} s"
            raise TimeLimit(f"{self.file}: {took} (--timeout)") from None
        except OSError:
            line = b""
        self.used += time.monotonic() - started
        if not line:
            raise UsageError(f"{self.file}: the code ended the process ({self._status()})")
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise self._wrong()
        if "error" in reply:
            raise UsageError(self._printable(str(reply["error"])[:MAX_ERROR]))
        return reply

    def _line(self, deadline: float) -> bytes:
        """The next line; empty where the process has ended. Raises TimeoutError, and UsageError past a limit."""
        while b"\n" not in self.received:
            self.channel.settimeout(max(deadline - time.monotonic(), 0.001))
            if not (chunk := self.channel.recv(1 << 16)):
                return b""
            self.received += chunk
            if len(self.received) > MAX_REPLY:
                raise self._wrong()
        line, _, self.received = self.received.partition(b"\n")
        return line

    def _status(self) -> str:
        """The end of the process: a signal or an exit status; the isolation adds 128 to the number of a signal."""
        try:
            code = self.process.wait(2.0)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        number = -code if code < 0 else code - 128
        return f"signal {number}" if number > 0 else f"exit status {code}"

    def _wrong(self) -> UsageError:
        return UsageError(f"{self.file}: the code wrote to the connection that returns its points")

    def _printable(self, text: str) -> str:
        """Text of the submission with its file's own name, safe for a terminal."""
        if self.path != self.file:
            text = text.replace(str(self.path), self.file.name).replace(self.path.name, self.file.name)
        return printable(text)


# --- the process that answers ------------------------------------------------------------------------------


def answer(channel: socket.socket) -> None:
    """Answer until the grader has left."""
    channel.sendall(b"{}\n")  # from here on the time is the submission's
    code, candidate, walk, step, reply = None, None, None, 0, dict[str, Any]()
    for message in map(json.loads, channel.makefile("r", encoding="utf-8")):
        try:
            if walk and "gradient" in message:
                step += 1
                reply = {"point": walk.advance(np.array(message["gradient"])).ravel().tolist()}
            elif walk and "remembered" in message:
                reply = {"remembered": dict(islice(walk.remembered().items(), MAX_PARTS))}
            elif candidate:
                step, reply = 0, {}
                walk = candidate.begin(message["values"], np.array(message["start"], dtype=np.float64))
            elif not code:
                code = _prepared(**message)
                reply = {"names": [code.name] if code.name else optimizer_names(code)}
            else:
                code = replace(code, name=message["name"])
                candidate = candidates.load(code)
                reply = {key: getattr(candidate, key) for key in CANDIDATE}
        except UsageError as error:
            reply = {"error": str(error)[:MAX_ERROR]}
        except BaseException as error:  # the code may raise whatever ends Python, as KeyboardInterrupt
            reply = {"error": str(code.failure(error, step) if code else exception_text(error))[:MAX_ERROR]}
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):  # replaced or closed by the user's code
                stream.flush()
        channel.sendall(json.dumps(reply).encode() + b"\n")


def _prepared(
    path: str, name: str, code: str | None, directory: str | None, limits: Mapping[str, int]
) -> UserCode:
    """The file of a submission, or the class or function in it; its limits apply from here on."""
    system.limit(limits)
    if directory:
        os.chdir(directory)
    if code is not None:
        Path(path).write_bytes(code.encode("latin-1"))
    sys.argv[:] = [path]  # as of a script
    return user_code(f"{path}:{name}" if name else path)


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            answer(system.join(argument))
    finally:
        os._exit(0)  # whatever the code has left to be done at the end
