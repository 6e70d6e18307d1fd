"""Processes that run optilab: forked from the tests' own process in milliseconds, or fresh interpreters.

A forked process has what the tests have imported. It has its own streams, session, signals and memory, runs `main` as
the console script does, can be killed, and dies of what kills it. It does not show how Python starts.
"""

import contextlib
import ctypes
import functools
import gc
import importlib
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NoReturn

import optilab.commands
from optilab.optimize import RULES
from optilab.study import workers
from tests.kit.command import OPTILAB, environment, run, without_loading_notice
from tests.kit.template import EXIT, SIGNALS, TEMPLATE

SECONDS = 300.0
"""A process hangs if it takes longer: some need a minute on a machine on which ten others compute."""

STREAMS = ("stdin", "stdout", "stderr")
PR_SET_PDEATHSIG = 1
IMPORTED_TORCH = 99
"""The exit status of a process `forked without torch` that imports PyTorch."""


class Process:
    """A child of the tests whose output goes to two files."""

    def __init__(self, pid: int, arguments: list[str], out: Path, err: Path) -> None:
        self.pid, self.arguments, self._out, self._err = pid, arguments, out, err
        self._gone = os.pidfd_open(pid)

    def send(self, number: int) -> None:
        signal.pidfd_send_signal(self._gone, number)

    def alive(self) -> bool:
        return not select.select([self._gone], [], [], 0)[0]

    def stop(self) -> None:
        """Halt it where it is; SIGCONT lets it go on."""
        self.send(signal.SIGSTOP)
        status = Path(f"/proc/{self.pid}/status")
        wait_until(lambda: "(stopped)" in status.read_text() or not self.alive())

    def printed(self) -> str:
        return self._out.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, text: str) -> None:
        """Wait until it has printed the text."""
        wait_until(lambda: text in self.printed() or not self.alive())
        assert text in self.printed(), self.finish()

    def finish(self, seconds: float = SECONDS) -> CompletedProcess[str]:
        """Wait for the end; a process that is still there after `seconds` is killed and reported."""
        late = not select.select([self._gone], [], [], seconds)[0]
        if late:
            self.send(signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._gone)
        error = without_loading_notice(self._err.read_text(encoding="utf-8", errors="replace"))
        assert not late, f"still running after {seconds} s; stderr: {error}"
        return CompletedProcess(self.arguments, os.waitstatus_to_exitcode(status), self.printed(), error)


def wait_until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until it holds, which must be within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.001)


_numbers = iter(range(10**9))


def _outputs(folder: Path) -> tuple[Path, Path]:
    """New files for stdout and stderr."""
    outputs = folder / ".outputs"
    outputs.mkdir(exist_ok=True)
    out, err = (outputs / f"{os.getpid()}-{next(_numbers)}.{kind}" for kind in ("out", "err"))
    out.touch()
    err.touch()
    return out, err


def start(
    arguments: Sequence[object],
    folder: Path,
    how: str = "forked",
    env: Mapping[str, str] | None = None,
    before: Callable[[], object] | Sequence[str] = (),
    **streams: str,
) -> Process:
    """Start `optilab ARGUMENTS` in a session of its own, `forked`, `forked without torch`, or `fresh`.

    `before` is what a forked process calls first, or what is put in front of a fresh one (strace, unshare). A stream
    is the path of a file; of a forked process also `closed`, or a `pipe` whose other end is closed.
    """
    words, env = [*map(str, arguments)], environment() if env is None else env
    out, err = _outputs(folder)
    targets = {"stdin": os.devnull, "stdout": str(out), "stderr": str(err), **streams}
    if how == "fresh":
        return Process(_spawn([*before, *OPTILAB, *words], folder, env, targets), words, out, err)
    prepare(torch=how == "forked")
    with contextlib.suppress(ValueError):  # closed by an earlier test
        sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _run_in_child(words, folder, env, targets, how == "forked", before or None)
    return Process(pid, words, out, err)


def on_a_terminal(
    arguments: Sequence[object],
    folder: Path,
    how: str = "forked",
    streams: Sequence[str] = STREAMS,
    typed: tuple[str, str] | None = None,
    code: int = 0,
    **variables: object,
) -> str:
    """What it writes to a terminal of its own, which `streams` are; `typed` is a text to wait for and an answer."""
    keyboard, screen = os.openpty()
    targets = {name: os.ttyname(screen) if name in streams else os.devnull for name in STREAMS}
    env = environment(**{"TERM": "xterm-256color", **variables})
    process = start(arguments, folder, how, env=env, **targets)
    seen, running = b"", True
    while running:
        running = process.alive()  # asked before the last look: it may write and end between the two
        while select.select([keyboard], [], [], 0.02)[0]:
            seen += os.read(keyboard, 65536)
        if typed and typed[0].encode() in seen:
            os.write(keyboard, typed[1].encode())
            typed = None
    done = process.finish()
    os.close(screen)
    os.close(keyboard)
    assert done.returncode == code, (done, seen)
    return seen.decode()


def _spawn(command: list[str], folder: Path, env: Mapping[str, str], targets: Mapping[str, str]) -> int:
    """The number of a new process."""
    with contextlib.ExitStack() as stack:
        streams: Any = {
            name: stack.enter_context(open(target, "rb" if name == "stdin" else "wb"))
            for name, target in targets.items()
        }
        process = subprocess.Popen(command, cwd=folder, env=env, start_new_session=True, **streams)
    process.returncode = 0  # `Process` waits for it, Popen does not
    return process.pid


@functools.cache
def prepare(torch: bool) -> None:
    """What the first commands of a process import and build is there for all that are forked from it."""
    for module in pkgutil.iter_modules(optilab.commands.__path__, "optilab.commands."):
        importlib.import_module(module.name)
    assert RULES
    lines = ["optimize sgd --epochs 1 --name one", "runs ls", "config show train"]
    if torch:
        small = "--set model.hidden=[4] --set data.dataset=synthetic --set data.images=20"
        lines += [f"train sigmoid.yaml --epochs 1 --threads 1 --name two {small}", "runs show two"]
    with tempfile.TemporaryDirectory() as folder:
        for line in lines:
            run(line.split(), Path(folder), code=0)


def _run_in_child(
    argv: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    streams: Mapping[str, str],
    torch: bool,
    before: Callable[[], object] | None,
) -> NoReturn:
    import resource  # which Windows does not have

    code: object = 1
    try:
        gc.freeze()  # a collection would write to all pages, and so copy them
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # an interrupted test leaves nobody behind
        os.setsid()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        for number, name in enumerate(STREAMS):
            _connect(number, name, streams[name])
        os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16))
        _reset()
        if not torch:
            _forget_torch()
        if before:
            before()
        sys.argv = ["optilab", *argv]
        from optilab.__main__ import main

        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()  # as Python's end does
            sys.stderr.flush()
        finally:
            EXIT(code if isinstance(code, int) else 0 if code is None else 1)


def _connect(number: int, name: str, target: str) -> None:
    """A standard stream as a shell hands it over and as Python opens it at its start."""
    if target == "closed":
        os.close(number)
        setattr(sys, name, None)
        return
    if target == "pipe":
        reading, writing = os.pipe()
        os.dup2(writing if number else reading, number)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
        os.dup2(os.open(target, flags, 0o644), number)
    lines = os.isatty(number) or name == "stderr"
    stream = open(  # noqa: SIM115
        number, "w" if number else "r", 1 if lines else -1, "utf-8", "surrogateescape", closefd=False
    )
    setattr(sys, name, stream)


def _reset() -> None:
    """What a new process does not have from the tests: handlers, helper processes, the width of a terminal."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    workers._templates.clear()
    resource_tracker._resource_tracker.__init__()
    from optilab.show import terminal

    terminal.out, terminal.err = terminal._console(), terminal._console(stderr=True)


_hidden: list[object] = []


def _forget_torch() -> None:
    """As if PyTorch had not been imported, nor what imports it; an import of it ends the process."""

    class Guard:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "torch":
                os.write(2, b"torch was imported\n")
                EXIT(IMPORTED_TORCH)

    names = [name for name in sys.modules if name.startswith(("torch", "optilab.train", "optilab.loop"))]
    _hidden.extend(sys.modules.pop(name) for name in names)  # kept: their end would be PyTorch's
    sys.meta_path.insert(0, Guard())


def children(pid: int) -> list[int]:
    """Those that any of its threads has started."""
    with contextlib.suppress(OSError):
        return [
            int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()
        ]
    return []


def templates(pid: int) -> list[int]:
    """The template of a command, or of any process among its children."""
    found = []
    for child in children(pid):
        try:
            names = [Path(f"/proc/{child}/{file}").read_bytes() for file in ("cmdline", "comm")]
        except OSError:
            continue
        is_one = b"optilab.train.worker" in names[0] or names[1].strip() == TEMPLATE
        found += [child] if is_one else templates(child)
    return found


def trial_processes(pid: int) -> list[int]:
    """The workers that its templates have forked."""
    return [worker for template in templates(pid) for worker in children(template)]
