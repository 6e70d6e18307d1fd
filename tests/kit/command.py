"""`optilab ARGUMENTS` in a test: `run(ARGUMENTS, FOLDER, how)`.

* `here`: the real `main` in this process, in milliseconds; everything that it changes is restored.
* `forked`: in a fork of this process, which has PyTorch; with streams, a session, signals and memory of its own.
* `forked without torch`: the same without PyTorch; an import of it ends the process with IMPORTED_TORCH.
* `fresh`: in a new interpreter, in a second or more; for what the start decides.

`here` and `fresh` fork nothing themselves, for systems that have no fork. A process that a test stops, kills or lets
wait is started by `start` in processes.py, forked or fresh.
"""

import contextlib
import gc
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from unittest import mock

import pytest

from optilab.__main__ import main
from optilab.study import workers
from tests.kit.template import FORKING

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "recorded"
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE") if hasattr(signal, name)]
OPTILAB = [sys.executable, "-m", "optilab"]
"""The words that start it in a new interpreter."""
TEXT: Any = {"encoding": "utf-8", "errors": "surrogateescape"}


def environment(**changes: object) -> dict[str, str]:
    """The tests' own environment, which has nothing of the user's (conftest.py), with the optilab that is tested."""
    ours = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, **ours, **{name: str(value) for name, value in changes.items()}}


def run(
    arguments: Iterable[object],
    folder: Path,
    how: str = "here",
    code: int | None = None,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> CompletedProcess[str]:
    """Run `optilab ARGUMENTS` in a directory to its end.

    `code` is the exit status that it must have, and `env` its whole environment. The options are those of `start`.
    """
    words = [*map(str, arguments)]
    env = environment() if env is None else env
    match how:
        case "here":
            done = _here(words, folder, env, **options)
        case "fresh":
            done = _fresh(words, folder, env, **options)
        case _:
            from tests.kit.processes import start

            done = start(words, folder, how, env=env, **options).finish()
    if code is not None:
        assert done.returncode == code, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    return done


def python(
    program: str, folder: Path, *arguments: object, env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """A program in a new interpreter, which must end well."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    env = environment() if env is None else env
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False, **TEXT)
    assert done.returncode == 0, done.stderr
    return done


def need(*programs: str) -> None:
    """Skip the test where a program is not installed; in CI and at night it fails instead (conftest.py)."""
    if absent := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"not installed: {', '.join(absent)}")


def without_loading_notice(error: str) -> str:
    """A text of stderr without the line that says, on a busy machine, that PyTorch is still loading."""
    lines = error.splitlines(keepends=True)
    return "".join(line for line in lines if ": loading PyTorch, which takes" not in line)


def _fresh(
    words: list[str], folder: Path, env: Mapping[str, str], before: Iterable[str] = ()
) -> CompletedProcess[str]:
    command, nothing = [*before, *OPTILAB, *words], subprocess.DEVNULL
    done = subprocess.run(command, cwd=folder, env=env, stdin=nothing, capture_output=True, check=False, **TEXT)
    done.stderr = without_loading_notice(done.stderr)
    return done


def _here(words: list[str], folder: Path, env: Mapping[str, str]) -> CompletedProcess[str]:
    """With exactly this environment and an empty stdin."""
    stdin, stdout, stderr = (_stream() for _ in range(3))
    with (
        restored(),
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, env, clear=True),
        mock.patch.multiple(sys, argv=["optilab", *words], stdin=stdin, stdout=stdout, stderr=stderr),
    ):
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
    return CompletedProcess(words, code, _text(stdout), _text(stderr))


def _stream() -> io.TextIOWrapper:
    """A pipe's end as Python opens it in a UTF-8 locale."""
    return io.TextIOWrapper(io.BytesIO(), write_through=True, **TEXT)


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
        popen = FORKING if hasattr(os, "fork") else subprocess
        with mock.patch.object(workers, "subprocess", popen), mock.patch.object(gc, "freeze"):
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
