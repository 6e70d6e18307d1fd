"""The process that runs submissions: it has imported NumPy and never runs one itself, but forks a child for each.

    python -P -m optilab.verify.warden DESCRIPTOR

It takes requests from the socket DESCRIPTOR, each with the descriptors of the child's channel and output. A child
knows neither the rule nor the function: it loads the code, and answers each gradient with the next point, in lines of
JSON. What a submission leaves behind, however it detaches itself, becomes a child of the process above the warden,
where the grader finds it.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any

import numpy as np

from optilab.errors import UsageError
from optilab.optimize.own import exception_text, rule_class
from optilab.verify.candidate import begun, find_optimizer, literals, parameters

LONGEST = 1000
"""Characters of an error."""
GRACE = 2
"""Seconds of CPU time between the signal that ends a submission and the one that it cannot catch."""
HAS_PROC = os.path.isdir("/proc/self")
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 1, 4, 36, 38
_CAPABILITIES = 0x20080522
"""Version 3 of the structure of capset(2)."""


def main() -> None:
    """Serve requests until the grader has left; the process above the warden collects what submissions leave."""
    adopt()
    control = socket.socket(fileno=int(sys.argv[1]))
    if (below := os.fork()) == 0:
        end_with_parent()
        serve(control)
        os._exit(0)
    control.close()
    while os.wait()[0] != below:
        pass  # an orphan has ended
    end_processes(os.getpid())


def adopt() -> None:
    """Orphans become children of this process; others of this user do not read its memory or environment."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        libc = ctypes.CDLL(None)
        libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def end_with_parent() -> None:
    """A submission may kill the process above; without it, nothing would find what it leaves."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def renounce() -> None:
    """Root alone is not bound by what protects the memory of other processes: from here on it is like any user."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.capset((ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)())


def serve(control: socket.socket) -> None:
    """Fork a child for every request; its exit status is the reply. A grader that was killed leaves no copy behind."""
    copy = None
    try:
        control.send(str(os.getpid()).encode())
        while True:
            message, descriptors, *_ = socket.recv_fds(control, 1 << 16, 2)
            if not message:
                return
            request = json.loads(message)
            copy = request["directory"] if request["isolated"] else None
            child = os.fork()
            if child == 0:
                control.close()
                _child(request, *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            if (status := _ended(child, control)) is None:
                os.kill(child, signal.SIGKILL)
                return
            control.send(str(os.waitstatus_to_exitcode(status)).encode())
    except ConnectionError:  # the grader has left
        return
    finally:
        if copy:
            remove_tree(copy)


def _ended(child: int, control: socket.socket) -> int | None:
    """The status with which a child has ended; None where the grader has left before."""
    handle: list[Any] = [os.pidfd_open(child)] if hasattr(os, "pidfd_open") else []
    try:
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status
            ready, _, _ = select([control, *handle], [], [], 0.05)
            if control in ready and not control.recv(1, socket.MSG_PEEK):
                return None
    finally:
        for descriptor in handle:
            os.close(descriptor)


def _child(request: Mapping[str, Any], channel: int, output: int) -> None:
    """Answer the grader until it has left; never returns."""
    try:
        os.setsid()
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for limit, value in request["limits"].items():
            most = value + GRACE if limit == "CPU" else value  # the first signal, SIGXCPU, tells the grader why
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, most))
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        end_with_parent()
        renounce()
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv[:] = [request["path"]]  # as of a script; what its top level reads are no words of the grader's
        with socket.socket(fileno=channel) as connection:
            _answer(connection, request)
    finally:
        os._exit(0)


def _answer(connection: socket.socket, request: Mapping[str, Any]) -> None:
    kind, advance, step = None, None, 0
    for line in connection.makefile("r"):
        message, reply = json.loads(line), dict[str, Any]()
        try:
            if kind is None:
                path, name, like = request["path"], request["name"], request["like"]
                kind = rule_class(f"{path}:{name}" if name else find_optimizer(Path(path), like))
                numbers = literals(kind.code)
                reply = {"name": kind.name, "parameters": parameters(kind), "literals": numbers}
            elif "start" in message:
                step, advance = (
                    0,
                    begun(kind, message["values"], np.array(message["start"], dtype=np.float64)).advance,
                )
            elif advance is not None:
                step += 1
                reply = {"point": advance(np.array(message["gradient"])).ravel().tolist()}
        except UsageError as error:
            reply = {"error": str(error)[:LONGEST]}
        except BaseException as error:  # the code may raise whatever ends Python, as KeyboardInterrupt
            reply = {"error": str(kind.code.failure(error, step) if kind else exception_text(error))[:LONGEST]}
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):  # replaced or closed by the user's code
                stream.flush()
        connection.sendall(json.dumps(reply).encode() + b"\n")


def remove_tree(directory: str) -> None:
    """Remove a directory, however deep: Python's `shutil.rmtree` fails where a path or its recursion is too long."""
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        with contextlib.suppress(OSError):
            subprocess.run([*command, directory], stderr=subprocess.DEVNULL, start_new_session=True, check=False)


# --- the processes of a submission ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """Of Linux's /proc: seconds of CPU time with those of children that have ended, bytes of memory, a letter."""

    seconds: float
    memory: int
    state: str


def descendants(root: int) -> dict[int, Process]:
    """The processes below one, those that have ended left out; empty where there is no /proc."""
    found, below = dict[int, Process](), dict[int, list[int]]()
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for entry in os.scandir("/proc") if HAS_PROC else ():
        if not entry.name.isdigit():
            continue
        try:
            parts = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        below.setdefault(int(parts[1]), []).append(int(entry.name))
        seconds = sum(map(int, parts[11:15])) / tick
        found[int(entry.name)] = Process(seconds, int(parts[21]) * page, parts[0])
    waiting, own = list(below.get(root, [])), dict[int, Process]()
    while waiting:
        pid = waiting.pop()
        if found[pid].state != "Z":
            own[pid] = found[pid]
        waiting += below.get(pid, [])
    return own


def end_processes(root: int, but: int | None = None) -> None:
    """Kill the processes below one, `but` one, until none is left."""
    for _ in range(1000):
        alive = descendants(root).keys() - {but}
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


if __name__ == "__main__":
    main()
