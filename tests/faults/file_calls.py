"""The calls of a process that change or read files below runs/: each is noted, and the nth of them fails.

Python's audit events show how files are opened, renamed and deleted, whoever does it; writes and syncs are seen by a
subclass of FileIO and by `os.fsync`. A nightly test compares the calls with those that the kernel sees.
"""

import builtins
import errno
import io
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from tests.kit.template import EXIT

CHANGES = {"create", "append", "overwrite", "mkdir", "write", "rename", "remove", "rmdir", "truncate", "link"}
POINTS = {
    "death": CHANGES,  # after a sync there is on disk, for who reads it, what was there before
    "EIO": CHANGES | {"sync", "read"},
    "ENOSPC": {"create", "append", "mkdir", "write", "rename", "sync"},
    "SIGTERM": CHANGES,
}
NEED_SPACE = {"create", "mkdir", "write"}
DEATH = 137
_EVENTS = {
    "os.mkdir": "mkdir",
    "os.rename": "rename",
    "os.remove": "remove",
    "os.rmdir": "rmdir",
    "os.truncate": "truncate",
    "os.link": "link",
    "os.symlink": "link",
}
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_ADDED = os.O_APPEND | os.O_NOFOLLOW


class FileCalls:
    """Called in a forked process, it watches the process from there on; `log` gets a line for each call.

    At the nth call that `fault` is about the process dies, gets a signal or an error; a disk that is full stays full.
    """

    def __init__(self, log: Path, fault: str = "death", nth: int = 0) -> None:
        self.log, self.fault, self.nth = log, fault, nth
        self.seen, self.full = 0, False

    def __call__(self) -> None:
        self.noted = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        sys.addaudithook(self._audited)
        os.fsync = self._fsync
        io.open = builtins.open = self._opener()

    def names(self) -> list[str]:
        """The calls of a process that has ended, such as `rename manifest.json`."""
        return [line.partition(" at ")[0] for line in self._lines()]

    def points(self) -> list[str]:
        """Those that `fault` is about, with their places in the code."""
        return [line for line in self._lines() if line.split()[0] in POINTS[self.fault]]

    def sites(self) -> list[int]:
        """The numbers of the points without repetitions: of equal verbs, kinds of paths and places the last one.

        An epoch and a trial make the calls of the one before, and the last of them finds the most on the disk.
        """
        kinds = [re.sub(r"\d+(?=.* at )", "N", line) for line in self.points()]
        return sorted({kind: number for number, kind in enumerate(kinds, start=1)}.values())

    def _lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    def _happens(self, verb: str, path: Any) -> bool:
        """Note a call; whether it is the one that fails. A death and an error leave from here, but for a write."""
        below = f"{path}/".rpartition("/runs/")[2].strip("/").removeprefix("runs/") or "runs"
        os.write(self.noted, f"{verb} {re.sub('[0-9a-f]{8,}', '*', below)} at {_place()}\n".encode())
        self.seen += verb in POINTS[self.fault]
        now = verb in POINTS[self.fault] and self.seen == self.nth
        if (now and verb != "write") or (self.full and verb in NEED_SPACE):
            self._fail()
        return now

    def _fail(self) -> None:
        if self.fault == "death":
            EXIT(DEATH)
        if self.fault == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
            return
        self.full = self.fault == "ENOSPC"
        number = getattr(errno, self.fault)
        raise OSError(number, os.strerror(number))

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and "runs" in os.fspath(path).split("/"):
                self._happens(_verb(flags), path)
        elif event in _EVENTS:
            path = arguments[1] if event in ("os.rename", "os.link", "os.symlink") else arguments[0]
            folder = arguments[-1] if event in ("os.remove", "os.rmdir") else -1
            whole = f"{os.readlink(f'/proc/self/fd/{folder}')}/{path}" if folder >= 0 else str(path)
            if "runs" in whole.split("/"):
                self._happens(_EVENTS[event], whole)

    def _fsync(self, descriptor: int) -> None:
        """Noted and left out: what is in memory outlives a process."""
        self._happens("sync", os.readlink(f"/proc/self/fd/{descriptor}"))

    def _opener(self) -> Any:
        calls, real = self, io.open

        class Noted(io.FileIO):
            def write(self, data: Any) -> int:
                path = os.readlink(f"/proc/self/fd/{self.fileno()}")
                if "runs" in path.split("/") and calls._happens("write", path):
                    if calls.fault != "SIGTERM":  # half of it is written
                        written = super().write(memoryview(data)[: len(data) // 2])
                        if calls.fault == "ENOSPC":
                            calls.full = True
                            return written
                    calls._fail()
                return super().write(data)

        def opened(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            *more: Any,
            closefd: bool = True,
            opener: Any = None,
            **options: Any,
        ) -> Any:
            if "b" not in mode or not set(mode) & set("wxa+"):
                return real(file, mode, buffering, *more, closefd=closefd, opener=opener, **options)
            raw = Noted(file, mode.replace("b", ""), closefd, opener)
            return raw if buffering == 0 else io.BufferedWriter(raw)

        return opened


def _place() -> str:
    """The lines of optilab that have led to a call."""
    frame, lines = sys._getframe(), list[str]()
    while frame := frame.f_back:
        folder, _, file = frame.f_code.co_filename.rpartition("/optilab/")
        if folder and "/tests/" not in file:
            lines.append(f"{file}:{frame.f_lineno}")
    return " < ".join(lines)


def _verb(flags: int) -> str:
    if not flags & (os.O_WRONLY | os.O_RDWR):
        return "read"
    if flags & _NEW == _NEW:
        return "create"
    return "append" if flags & _ADDED == _ADDED else "lock" if flags & os.O_RDWR else "overwrite"
