"""Forks one optilab process per trial from a process that has torch imported already.

    python -m tests.faults.warm [light]      requests on stdin, answers on stdout, one JSON line each

A start of Python and torch takes two seconds, which hundreds of kills cannot afford. This process imports what
the commands import, runs a few that are done at once, starts no thread, and forks. The child is a real process with
its own descriptors, signals and memory: it runs `optilab.__main__.main()` as the console script does, can be killed and
traced, and dies of what kills it. What it does not show is the start of the interpreter and the imports; for
that, and for terminals and encodings, the tests start `python -m optilab`. With `light` torch is not imported, and
a child that imports it says so on stderr.
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import tempfile
import traceback
from multiprocessing import util
from pathlib import Path
from typing import Any

import optilab.optimize.rules
import optilab.verbs
from tests.run import run

LIGHT = (
    "encodings.utf_8_sig",
    "importlib.metadata",  # pydantic imports it for the first option
    "numpy",
    "optilab.__main__",
    "optilab.cli.flags",
    "optilab.show.progress",
)
HEAVY = ("optilab.data.fetch", "optilab.train.session")
WARM_UP = (
    "optimize --algo sgd,adam --name warm",
    "runs ls",
    "runs show warm",
    "config show sigmoid.yaml",
    "train sigmoid.yaml --epochs 0",
)
"""They calculate nothing with PyTorch, and end in this process; the last one is refused."""
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
TORCH = "torch was imported\n"


def serve() -> None:
    verbs, rules = ((package.__name__, package.__path__) for package in (optilab.verbs, optilab.optimize.rules))
    own = [f"{name}.{module.name}" for name, path in (verbs, rules) for module in pkgutil.iter_modules(path)]
    for module in (*LIGHT, *own, *(() if "light" in sys.argv else HEAVY)):
        importlib.import_module(module)
    _warm_up()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status, usage = os.wait4(request["wait"], 0)
            seconds, megabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
            answer = {"status": status, "cpu": seconds, "megabytes": megabytes}
        else:
            answer = {"pid": os.fork()}
            if answer["pid"] == 0:
                _become(request)
        print(json.dumps(answer), flush=True)


def _warm_up() -> None:
    """What the first command of a process builds once, such as the validators of options, is there for all children."""
    with tempfile.TemporaryDirectory() as folder:
        for line in WARM_UP:
            run(line.split(), Path(folder), os.environ)
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, all pages


def _connect(number: int, name: str, target: str) -> None:
    """A standard stream as the shell hands it over: a path, `closed`, or a `pipe` whose other end is closed."""
    if target == "closed":
        os.close(number)
        setattr(sys, name, None)  # as Python's start does
    elif target == "pipe":
        reading, writing = os.pipe()
        os.dup2(reading if number == 0 else writing, number)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
        os.dup2(os.open(target, flags, 0o644), number)
        if number and os.isatty(number):
            getattr(sys, name).reconfigure(line_buffering=True)  # as Python's start does


def _look_at_the_terminal() -> None:
    """Width and colors, as the import of the module finds them."""
    from optilab.show import terminal

    terminal.out, terminal.err = terminal._console(), terminal._console(stderr=True)


def _hand_over_the_fork_server() -> None:
    """The fork server of a study's workers is forked here and now, with what this process has loaded, and waits.

    Another one, after its death, is a new interpreter as usual.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        message, received, *_ = socket.recv_fds(theirs, 1 << 16, 2)
        if not message:  # the command has ended
            os._exit(0)
        theirs.close()
        asked = json.loads(message)
        high = [fcntl.fcntl(number, fcntl.F_DUPFD, 100) for number in received]
        os.closerange(3, 64)
        for number, wanted in zip(high, asked["numbers"], strict=True):
            os.dup2(number, wanted)
            os.close(number)
        os.environ.clear()
        os.environ.update(asked["environment"])
        signal.pthread_sigmask(signal.SIG_SETMASK, asked["blocked"])
        ctypes.CDLL(None).prctl(PR_SET_NAME, b"forkserver")
        exec(asked["program"], {})
        os._exit(0)
    theirs.close()
    spawn, waiting = util.spawnv_passfds, [pid]

    def start(path: Any, arguments: Any, numbers: Any) -> int:
        if "forkserver" not in arguments[-1] or not waiting:
            return spawn(path, arguments, numbers)
        blocked = [*signal.pthread_sigmask(signal.SIG_BLOCK, [])]
        asked = {
            "program": arguments[-1],
            "numbers": [*numbers],
            "environment": {**os.environ},
            "blocked": blocked,
        }
        socket.send_fds(ours, [json.dumps(asked).encode()], numbers)
        return waiting.pop()

    util.spawnv_passfds = start


def _become(request: dict[str, Any]) -> None:
    """The child: a fresh session that runs one command line and never returns."""
    code: Any = 1
    leave = os._exit
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # an interrupted harness leaves nobody behind
        os.setsid()
        os.chdir(request["cwd"])
        os.environ.update(request["env"])
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            _connect(number, name, request[name])
        os.closerange(3, 64)
        sys.argv = ["optilab", *request["argv"]]
        for name in request["ignore"]:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        _look_at_the_terminal()
        if request["study"]:
            _hand_over_the_fork_server()
        if request["sabotage"]:
            from tests.faults import sabotage

            getattr(sabotage, request["sabotage"])()
        if request["hold"]:  # until a tracer is attached
            os.kill(os.getpid(), signal.SIGSTOP)
        from optilab.__main__ import main

        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            if "torch" in sys.modules and request["light"]:
                sys.stderr.write(TORCH)
            sys.stdout.flush()  # as Python's end does
            sys.stderr.flush()
        finally:
            leave(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    serve()
