"""What differs between Linux, macOS and Windows: no other module asks on which of them it runs.

A name of the standard library that one of them lacks is used here alone, with its other way (`python -m
tests.test_system` lists them).
"""

import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    import subprocess

WINDOWS, MACOS = sys.platform == "win32", sys.platform == "darwin"
FORKS = sys.platform == "linux"
"""True where a process that has loaded PyTorch can be forked. macOS has a fork, after which Accelerate crashes."""

MOVES_OPEN = not WINDOWS
"""True where a directory can be renamed that has an open file, such as a lock."""

# --- files -------------------------------------------------------------------------------------------------

NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
READ = os.O_RDONLY | NO_LINK | getattr(os, "O_NONBLOCK", 0) | _BINARY
"""How a file is opened to be read: neither through a link, nor waiting for the other end of a FIFO."""
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | _BINARY
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK | _BINARY
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What a file system without locks answers."""
_LOCK = os.O_RDWR | os.O_CREAT | NO_LINK | _BINARY
_BUSY_SECONDS, _POLL_SECONDS, _CONNECT_SECONDS = 0.2, 0.02, 10.0
_IN_USE = (32, 33)  # winerror: another program has the file open, or a part of it locked


def sync(descriptor: int) -> None:
    """Flush a file to its disk; on macOS past the cache of the disk, where the file system can."""
    if MACOS:
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, getattr(fcntl, "F_FULLFSYNC"))  # noqa: B009  # macOS alone has it
            return
    os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    """Flush a directory's names to disk; Windows opens no directory, and has its own journal of names."""
    if not WINDOWS:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_in_use(error: OSError) -> bool:
    """True if a file cannot be written, replaced or deleted because another program (Excel, OneDrive, a virus scanner)
    has it open, which happens on Windows alone."""
    return getattr(error, "winerror", None) in _IN_USE


def replace(source: Path, target: Path) -> None:
    """`os.replace`; on Windows again for an instant, in which a reader closes the target."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return os.replace(source, target)
        except OSError as error:
            if not is_in_use(error) or time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_SECONDS)


def read_at(file: IO[bytes], size: int, start: int) -> bytes:
    """Bytes of an open file to which another process adds: where that writes is not moved, but on Windows, whose
    processes have a place of their own."""
    if not WINDOWS:
        return os.pread(file.fileno(), size, start)
    file.seek(start)
    return file.read(size)


# --- locks -------------------------------------------------------------------------------------------------


def lock(path: Path, mode: int) -> int:
    """A descriptor of the file, created with `mode` where it is missing, that holds its exclusive lock.

    The system releases it when the descriptor is closed, or the process ends. BlockingIOError where another process
    holds it, OSError where the file system has no locks.
    """
    descriptor = os.open(path, _LOCK, mode)
    try:
        _take(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """True if a process holds the lock of an existing file. Nothing is written, so that it works on a read-only disk.

    Windows tells by an exclusive lock that is held for an instant: only one that is refused again and again is held.
    """
    descriptor, deadline = os.open(path, READ), time.monotonic() + _BUSY_SECONDS
    try:
        while True:
            try:
                _take(descriptor, shared=not WINDOWS)
            except BlockingIOError:
                if not WINDOWS or time.monotonic() >= deadline:
                    return True
                time.sleep(_POLL_SECONDS)
            else:
                return False
    finally:
        os.close(descriptor)


def _take(descriptor: int, shared: bool = False) -> None:
    import portalocker

    kind = portalocker.LockFlags.SHARED if shared else portalocker.LockFlags.EXCLUSIVE
    try:
        portalocker.lock(descriptor, kind | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked:
        raise BlockingIOError from None
    except portalocker.LockException as error:
        cause = error.args[0] if error.args else error
        raise (cause if isinstance(cause, OSError) else OSError(str(error))) from None


# --- processes and their signals ---------------------------------------------------------------------------

STOPS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n))
"""The signals that ask a process to stop."""
BROKEN_PIPE = getattr(signal, "SIGPIPE", None)
"""The signal of a write to a pipe without a reader, which is an OSError alone on Windows."""
OWN_GROUP: Mapping[str, Any] = {"creationflags": 0x200} if WINDOWS else {"start_new_session": True}
"""Options of Popen for a process that Ctrl-C in the terminal does not reach (0x200: CREATE_NEW_PROCESS_GROUP)."""
VARIABLES = ("SYSTEMROOT", "PATHEXT", "COMSPEC", "TEMP") if WINDOWS else ()
"""Variables of the environment without which Python does not start."""
DEVICES = ("/proc/cpuinfo", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
"""What Linux's libraries read of the machine, for a separate file system."""
_CPUS = Path("/sys/devices/system/cpu")


def end_by(number: int) -> None:
    """End this process by a real signal; return where there is none, or it is blocked."""
    signal.signal(number, signal.SIG_DFL)
    if not WINDOWS:
        os.kill(os.getpid(), number)


def send(connection: "socket.socket", data: bytes) -> None:
    """Send all of it. OSError, and no signal, where the other end is gone."""
    import socket

    connection.sendall(data, getattr(socket, "MSG_NOSIGNAL", 0))


def send_descriptor(connection: "socket.socket", descriptor: int) -> None:
    """Send an open descriptor to another process, where processes are forked. OSError where the other end is gone."""
    import socket

    socket.send_fds(connection, [b"\0"], [descriptor], socket.MSG_NOSIGNAL)


def received_descriptors(connection: "socket.socket") -> Iterator[int]:
    """The descriptors that are sent, until the other end is closed."""
    import socket

    while descriptors := socket.recv_fds(connection, 1, 1, socket.MSG_CMSG_CLOEXEC)[1]:
        yield descriptors[0]


def fork() -> bool:
    """True in the child: this process becomes two, where `FORKS`. Children that have ended are forgotten."""
    if os.fork() == 0:
        return True
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    return False


def start(command: Sequence[str], **options: Any) -> "tuple[subprocess.Popen[bytes], socket.socket]":
    """Start a Python process in a group of its own, and the connection to it, whose other end `join` gets there.

    Its last argument says how: the number of a descriptor; on Windows, which hands none over, a port of this machine,
    where it has to say the word on its standard input. Of a process that dies before, the other end is closed.
    """
    import socket
    import subprocess

    if not WINDOWS:
        connection, other = socket.socketpair()
        with other:
            number = other.fileno()
            at = {"stdin": subprocess.DEVNULL, "pass_fds": [number], **OWN_GROUP, **options}
            return subprocess.Popen([*command, str(number)], **at), connection
    import hmac
    import secrets

    word = secrets.token_hex().encode()
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = {"stdin": subprocess.PIPE, **OWN_GROUP, **options}
        process = subprocess.Popen([*command, str(server.getsockname()[1])], **at)
        assert process.stdin is not None
        with contextlib.suppress(OSError), process.stdin as stream:
            stream.write(word)
        server.settimeout(_POLL_SECONDS)
        while process.poll() is None:
            with contextlib.suppress(OSError):
                connection = server.accept()[0]
                connection.settimeout(_CONNECT_SECONDS)
                if hmac.compare_digest(_received(connection, len(word)), word):
                    connection.settimeout(None)
                    return process, connection
                connection.close()
    connection, other = socket.socketpair()
    other.close()
    return process, connection


def _received(connection: "socket.socket", size: int) -> bytes:
    """The next bytes, and none of those that follow; fewer where the other end is closed before."""
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def join(argument: str) -> "socket.socket":
    """The other end of the connection of `start`, by the last argument of this process."""
    import socket

    if not WINDOWS:
        return socket.socket(fileno=int(argument))
    connection = socket.create_connection(("127.0.0.1", int(argument)))
    connection.sendall(sys.stdin.buffer.read())
    return connection


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process that was started with OWN_GROUP, and on POSIX those that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if WINDOWS:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def cores() -> int:
    """Physical cores that this process may use; processors where the system does not tell them apart."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = set()
    for number in allowed:
        try:
            siblings.add((_CPUS / f"cpu{number}/topology/thread_siblings_list").read_text(encoding="ascii"))
        except OSError:
            return len(allowed)
    return len(siblings)


def tasks() -> int:
    """The processes and threads of this user, all of which Linux counts against a limit of processes; 0 elsewhere."""
    count, user = 0, getattr(os, "geteuid", lambda: None)()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            count += len(os.listdir(process / "task")) if process.stat().st_uid == user else 0
    return count


def limit(limits: Mapping[str, int]) -> None:
    """Limit the resources of this process, by POSIX's names without `RLIMIT_`; Windows has no such limits."""
    if WINDOWS:
        return
    import resource

    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except ValueError:
            if not MACOS:  # which knows RLIMIT_AS, and refuses it
                raise
