"""A submission in a process of its own: its numbers come back, and only those; what it may use has a limit.

The limits are times of its own: the CPU time of all its processes, and the time in which none of them computes (it
sleeps, or waits for input). So a verdict does not depend on how busy the machine is. Memory and files are those of all
its processes together, looked at every twentieth of a second, in addition to the limits that Linux enforces on each.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any, Self

import numpy as np

from optilab.errors import SystemFailure, UsageError, printable
from optilab.optimize.objective import Floats
from optilab.verify.candidate import FAR, Candidate, Walk
from optilab.verify.warden import HAS_PROC, Process, descendants, end_processes

POLL_SECONDS = 0.05
SHOWN_OUTPUT = 4000
"""Characters of a submission's own output that are kept, the last ones."""
LONGEST_REPLY = 1 << 20
LARGEST_FILE = 16 << 20
MAX_FILES = 10_000
"""Files and directories that a submission may make."""
MAX_DEPTH = 12
"""Directories inside each other; the path of the last is short enough for the system to list it."""
MOST_PROCESSES = 64
WHOLE = 6
"""The time limit of all steps of a submission, in time limits of a step."""


class TimeLimit(UsageError):
    """The code used more time than it may."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use. `memory` (MiB) and files are unlimited where it is None."""

    seconds: float
    """Of its own time, for one step; all steps have six times as much."""
    memory: int | None = None
    loading: float = 20.0
    """Seconds of its own time until the file is loaded, with the libraries that it imports."""

    @property
    def of_a_process(self) -> dict[str, int]:
        """Those that the system enforces on each process, by their names there."""
        cpu = {"CPU": round(min(self.loading + self.seconds * (WHOLE + 1), 1e8)) + 2, "CORE": 0}
        if self.memory is None:
            return cpu
        return cpu | {"AS": self.memory << 20, "FSIZE": LARGEST_FILE}


class Warden:
    """The process that forks a child for each submission, one at a time; see `optilab.verify.warden`."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._pid: int | None = None
        self._control, theirs = socket.socketpair()
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            self._process = subprocess.Popen(
                # -P: a numpy.py of the directory is not imported in place of NumPy.
                [sys.executable, "-P", "-m", "optilab.verify.warden", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_environment(os.environ),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, and the submission that runs."""
        self.end_processes()
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
            return
        end_processes(self._process.pid)
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def running(
        self, path: Path, name: str, label: str, limits: Limits, isolated: bool = True, like: str = ""
    ) -> Iterator["Submission"]:
        """A submission, not loaded yet; none of its processes is left at the end.

        `name`: empty for the only one that fits, or that is called `like`. `label`: the path in its messages.
        `isolated`: in the file's directory, which is removed if the grader is killed, and without the environment of
        the person who grades.
        """
        here, there = socket.socketpair()
        reader, writer = os.pipe()
        request = {
            "path": str(path),
            "name": name,
            "like": like,
            "directory": str(path.parent if isolated else Path.cwd()),
            "environment": _own_environment(path.parent) if isolated else dict(os.environ),
            "limits": limits.of_a_process,
            "isolated": isolated,
        }
        with here:
            try:
                self._ready()
                socket.send_fds(self._control, [json.dumps(request).encode()], [there.fileno(), writer])
            except OSError as error:
                raise SystemFailure(f"a process for submissions cannot be started: {error}") from None
            finally:
                there.close()
                os.close(writer)
            submission = Submission(self, here, reader, label, path, limits, isolated)
            try:
                yield submission
            finally:
                submission.drain()
                os.close(reader)
                self.end_processes()

    def _ready(self, again: bool = True) -> None:
        """Wait until the warden has started, or its last child has ended; a warden that was ended is replaced."""
        while not select([self._control], [], [], POLL_SECONDS)[0]:
            for pid in filter(None, (self._process.pid, self._pid)):  # a submission may have stopped them
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        reply = self._control.recv(64)
        if not reply and again:
            self.stop()
            self._start()
            self._ready(again=False)
        elif not reply:
            raise OSError("it ends at once")
        elif self._pid is None:
            self._pid = int(reply)

    def status(self) -> str:
        """How the child that has ended did so."""
        if not select([self._control], [], [], 2.0)[0]:
            return "it closed its connection"
        reply = self._control.recv(64, socket.MSG_PEEK)
        if not reply:
            return "it ended the process that watches it"
        code = int(reply)
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def processes(self) -> dict[int, Process]:
        """Those of the submission that runs."""
        return {pid: one for pid, one in descendants(self._process.pid).items() if pid != self._pid}

    @property
    def has_ended(self) -> bool:
        """Whether a submission has ended the warden; to be asked where it has something to say."""
        return not self._control.recv(64, socket.MSG_PEEK)

    def end_processes(self) -> None:
        """Kill the submission's processes until none is left."""
        end_processes(self._process.pid, self._pid)

    def fileno(self) -> int:
        """To be waited for: what the warden says next."""
        return self._control.fileno()


class Submission:
    """The grader's end of the channel to one submission."""

    def __init__(
        self,
        warden: Warden,
        channel: socket.socket,
        output: int,
        label: str,
        path: Path,
        limits: Limits,
        isolated: bool,
    ) -> None:
        self._warden, self._channel, self._output = warden, channel, output
        self._label, self._path, self._limits, self._isolated = label, path, limits, isolated
        self._received = b""
        self._tail = b""
        self._used, self._looked = 0.0, time.monotonic()
        self._begun = False
        os.set_blocking(output, False)

    @property
    def output(self) -> str:
        """The end of what it printed."""
        return self._shown(self._tail.decode("utf-8", "replace"))

    def load(self) -> Candidate:
        """The candidate. Raises UsageError where its file cannot be loaded, and TimeLimit."""
        reply = self._ask({}, "loading the file", self._limits.loading)
        name, parameters, literals = reply.get("name"), reply.get("parameters"), reply.get("literals")
        if not (isinstance(name, str) and isinstance(parameters, dict) and isinstance(literals, list)):
            raise self._wrong()
        numbers = [n for n in literals[:1000] if isinstance(n, float) and abs(n) < FAR]
        return Candidate(
            self._shown(name), {str(key): bool(value) for key, value in parameters.items()}, numbers, self._begin
        )

    def _begin(self, values: Mapping[str, Any], start: Floats) -> Walk:
        # Libraries load more of themselves when their first optimizer is made, as PyTorch does for a second.
        limit = self._limits.seconds if self._begun else self._limits.loading
        self._ask({"values": values, "start": start.tolist()}, "making the optimizer", limit)
        self._begun = True
        step = 0

        def advance(gradient: Floats) -> Floats:
            nonlocal step
            step += 1
            reply = self._ask({"gradient": gradient.tolist()}, f"step {step}", self._limits.seconds)
            point = reply.get("point")
            if not isinstance(point, list) or len(point) != start.size or any(type(x) is not float for x in point):
                raise self._wrong()
            return np.array(point).reshape(start.shape)

        return Walk(advance, dict)

    def _ask(self, message: Mapping[str, Any], what: str, seconds: float) -> dict[str, Any]:
        try:
            self._channel.sendall(json.dumps(message).encode() + b"\n")
            line = self._line(what, seconds)
        except OSError:
            line = b""
        if not line:
            self.drain()
            if (status := self._warden.status()) == f"signal {signal.SIGXCPU:d}":
                limit = self._limits.loading + WHOLE * self._limits.seconds
                raise TimeLimit(f"{self._label}: all steps took more than {limit:g} s (--timeout)")
            raise UsageError(f"{self._label}: the code ended the process ({status})")
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise self._wrong()
        if "error" in reply:
            raise UsageError(self._shown(str(reply["error"])))
        return reply

    def _line(self, what: str, seconds: float) -> bytes:
        """The next line from the child; empty where it has ended. Raises TimeLimit, and UsageError past a limit."""
        clock: _Clock | None = None
        while b"\n" not in self._received:
            waits: list[Any] = [self._channel, self._output]
            ready, _, _ = select(waits, [], [], POLL_SECONDS)
            if self._output in ready and not self._read_output():  # closed by the code
                time.sleep(POLL_SECONDS)
            if not ready and select([self._warden], [], [], 0)[0] and self._warden.has_ended:
                return b""
            if self._channel in ready:
                chunk = self._channel.recv(1 << 16)
                if not chunk:
                    return b""
                self._received += chunk
                if len(self._received) > LONGEST_REPLY:
                    raise self._wrong()
                continue
            clock = clock or _Clock()
            processes = self._warden.processes()
            used = clock.used(processes)
            if used > seconds or self._used + used > self._limits.loading + WHOLE * self._limits.seconds:
                whole = "" if used > seconds else "with all before it "
                limit = seconds if used > seconds else self._limits.loading + WHOLE * self._limits.seconds
                raise TimeLimit(f"{self._label}: {what} {whole}took more than {limit:g} s (--timeout)")
            self._require_modest(processes)
        self._used += clock.total if clock else 0.0
        if time.monotonic() - self._looked > POLL_SECONDS:  # it may write a little in each of many steps
            self._require_modest({})
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _require_modest(self, processes: Mapping[int, Process]) -> None:
        """UsageError where all its processes together use more than one may."""
        if self._limits.memory is None:
            return
        if sum(process.memory for process in processes.values()) > self._limits.memory << 20:
            raise UsageError(f"{self._label}: its processes used more than {self._limits.memory} MiB (--memory)")
        if len(processes) > MOST_PROCESSES:
            raise UsageError(f"{self._label}: it started more than {MOST_PROCESSES} processes")
        if self._isolated and (excess := _excess(str(self._path.parent))):
            raise UsageError(f"{self._label}: it {excess}")
        self._looked = time.monotonic()

    def _read_output(self) -> bool:
        """Whether there was any."""
        try:
            chunk = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return False
        self._tail = (self._tail + chunk)[-4 * SHOWN_OUTPUT :]
        return bool(chunk)

    def drain(self) -> None:
        """Keep the end of what it printed so far."""
        for _ in range(64):
            if not self._read_output():
                return

    def _wrong(self) -> UsageError:
        return UsageError(f"{self._label}: the code wrote to the connection that returns its points")

    def _shown(self, text: str) -> str:
        """Text of the submission with its file's own name, safe for a terminal."""
        if self._isolated:
            own = Path(self._label).name
            text = text.replace(f"{self._path.parent}{os.sep}", "").replace(self._path.name, own)
        return printable(text)


# --- the system ----------------------------------------------------------------------------------------------

_KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")
"""What a submission sees of the environment; a teacher's tokens are not among it."""


def _environment(whole: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in whole.items() if key in _KEPT} | {"OMP_NUM_THREADS": "1"}


def _own_environment(directory: Path) -> dict[str, str]:
    home = {"HOME": str(directory), "TMPDIR": str(directory), "NO_COLOR": "1", "MPLBACKEND": "agg"}
    return _environment(os.environ) | home


class _Clock:
    """A submission's own time since this was made: CPU time, and the time in which none of its processes computes."""

    def __init__(self) -> None:
        self._first: dict[int, float] | None = None
        self._before, self._idle, self.total = time.monotonic(), 0.0, 0.0

    def used(self, processes: Mapping[int, Process]) -> float:
        now = time.monotonic()
        if self._first is None:
            self._first = {pid: process.seconds for pid, process in processes.items()}
        # Without a process the child has not started yet, or there is no /proc, and the time is that of the clock.
        waits = processes or not HAS_PROC
        if waits and not any(process.state in "RD" for process in processes.values()):
            self._idle += min(now - self._before, 4 * POLL_SECONDS)
        self._before = now
        cpu = sum(process.seconds - self._first.get(pid, 0.0) for pid, process in processes.items())
        self.total = max(self.total, cpu + self._idle)
        return self.total


def _excess(directory: str) -> str:
    """What exceeds a limit, as the end of a sentence; empty if nothing does. Files that vanish count nothing."""
    size, files, waiting = 0, 0, [(directory, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"made more than {MAX_DEPTH} directories inside each other"
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    if files > MAX_FILES:
                        return f"made more than {MAX_FILES:,} files and directories"
                    with contextlib.suppress(OSError):
                        size += entry.stat(follow_symlinks=False).st_size
        except PermissionError:
            return "made a directory that cannot be listed"
        except OSError:  # it vanishes meanwhile
            continue
    return f"wrote more than {4 * LARGEST_FILE >> 20} MiB" if size > 4 * LARGEST_FILE else ""


@contextlib.contextmanager
def closed_memory(alone: bool) -> Iterator[None]:
    """In this context other processes of this user do not read or write this one's memory; where it does nothing else
    (`alone`), its variables are taken out of what /proc shows of it, too."""
    import ctypes

    get_dumpable, set_dumpable = 3, 4
    try:
        prctl = ctypes.CDLL(None).prctl
        before = prctl(get_dumpable, 0, 0, 0, 0)
        if alone:
            parts = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
            start, end = int(parts[47]), int(parts[48])
            for key, value in os.environ.items():
                os.putenv(key, value)  # the C library has its own copy from here on
            if 0 < start < end:
                ctypes.memset(start, 0, end - start)
        prctl(set_dumpable, 0, 0, 0, 0)
    except (OSError, AttributeError, ValueError, IndexError):  # only Linux has it
        yield
        return
    try:
        yield
    finally:
        prctl(set_dumpable, before, 0, 0, 0)
