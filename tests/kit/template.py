"""A study's template of workers, forked from the tests' process, which has PyTorch, in place of a new interpreter."""

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from optilab.study import workers

SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGALRM")
    if hasattr(signal, name)
]
PR_SET_NAME = 15

TEMPLATE = b"template"
"""The name of a forked one."""

EXIT, FREEZE = os._exit, gc.freeze
"""Taken before a command, or a test of one, replaces them."""


class ForkedTemplate:
    """In place of `subprocess.Popen` of a study's template of workers."""

    def __init__(self, command: Sequence[str], stdin: int, env: Mapping[str, str], **_: object) -> None:
        worker = importlib.import_module("optilab.train.worker")
        self._pid = os.fork()
        if self._pid == 0:
            try:
                FREEZE()  # a collection would write to all pages, and so copy them
                os.setsid()
                os.dup2(stdin, 0)
                os.dup2(2, 1)
                os.closerange(3, 256)
                sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
                for number in {*SIGNALS} - {signal.SIGPIPE}:
                    signal.signal(number, signal.SIG_DFL)
                signal.signal(signal.SIGPIPE, signal.SIG_IGN)
                ctypes.CDLL(None).prctl(PR_SET_NAME, TEMPLATE)
                worker.main()
            finally:
                EXIT(1)

    def poll(self) -> int | None:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(self._pid, os.WNOHANG)[0] == 0:
                return None
        return 0

    def wait(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


FORKING = SimpleNamespace(Popen=ForkedTemplate, DEVNULL=subprocess.DEVNULL)
"""In place of `subprocess` in the module that starts templates."""


def fork_the_template() -> None:
    """In a process that is forked itself."""
    workers.subprocess = FORKING
