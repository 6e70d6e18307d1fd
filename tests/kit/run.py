"""The command line in this process: the real `main`, its output as text, everything that it changes restored.

A process of its own takes a second for Python and torch; a test needs one only where signals, encodings, terminals
or the start itself are the subject (`optilab_process` in conftest.py).
"""

import contextlib
import gc
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from optilab.__main__ import main
from optilab.study import workers
from tests.kit.template import FORKING

ROOT = Path(__file__).parents[2]
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE") if hasattr(signal, name)]


@dataclass(frozen=True)
class Done:
    """What a command left: its output and its exit status."""

    stdout: str
    stderr: str
    returncode: int


def run(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> Done:
    """`optilab ARGUMENTS` in `folder`, with exactly this environment and an empty stdin."""
    stdin, stdout, stderr = (_stream() for _ in range(3))
    with (
        restored(),
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.multiple(sys, argv=["optilab", *arguments], stdin=stdin, stdout=stdout, stderr=stderr),
    ):
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
    return Done(_text(stdout), _text(stderr), code)


def python(
    program: str, folder: Path, *arguments: object, **variables: object
) -> subprocess.CompletedProcess[str]:
    """A program in a new interpreter, which must end well; `variables` are of its environment."""
    words = [sys.executable, "-c", program, *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def _stream() -> io.TextIOWrapper:
    """A pipe's end as Python opens it in a UTF-8 locale."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8", "surrogateescape")  # type: ignore[attr-defined]


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """What `main` and a training set for a whole process is as it was afterwards; studies fork their template.

    `main` freezes what is in memory, which is the tests' own.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    threshold, path = gc.get_threshold(), list(sys.path)
    torch = sys.modules.get("torch")
    threads, leaving = torch.get_num_threads() if torch else None, os._exit
    try:
        with mock.patch.object(workers, "subprocess", FORKING), mock.patch.object(gc, "freeze"):
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        gc.set_threshold(*threshold)
        gc.enable()
        sys.path[:] = path
        os._exit = leaving
        if torch := sys.modules.get("torch"):
            torch.set_default_dtype(torch.float32)
            torch.set_flush_denormal(False)
            if threads is not None:
                torch.set_num_threads(threads)
