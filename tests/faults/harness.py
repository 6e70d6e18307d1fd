"""Processes that run optilab, and what must be true of a run after one of them died.

A trial starts a training, does something to it, and asks `Lab.survivors` what is left: no claimed epoch may be
lost, no file under a final name may be half written, and the resumed run must end with the bytes of the run that
nobody disturbed.
"""

import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optilab import runs

ROOT = Path(__file__).parents[2]
SECONDS = 300.0
"""After which a process hangs: some need a minute on a machine on which ten others compute."""

_FILE = re.compile(
    r"config\.yaml|manifest\.json|metrics\.csv|timings\.csv|diagnostics\.jsonl|run\.lock|optilab\.log"
    r"|checkpoints(/\d{6}\.[0-9a-f]{16}\.ckpt)?"
)
_TEMPORARY = re.compile(r"(checkpoints/)?\.[a-z0-9.]+\.tmp-[0-9a-f]{8}")


class Violation(AssertionError):
    """The run protocol has broken a promise."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended: `code` as in subprocess (negative: the signal it died of).

    `seconds` passed, which depends on the machine; `cpu` of them were spent by the process, whose memory was at most
    `megabytes`.
    """

    code: int
    out: str
    err: str
    seconds: float
    cpu: float
    megabytes: float


class Process:
    """A process that runs one optilab command line, fresh (`python -m optilab`) or forked from a warm one."""

    def __init__(self, pid: int, out: Path, err: Path, reap: Callable[[], tuple[int, float, float]]) -> None:
        self.pid, self._out, self._err, self._reap = pid, out, err, reap
        self._started = time.perf_counter()
        self._gone = os.pidfd_open(pid)

    def send(self, number: int) -> None:
        signal.pidfd_send_signal(self._gone, number)

    def alive(self) -> bool:
        return not select.select([self._gone], [], [], 0)[0]

    def stop(self) -> None:
        """Halt it where it is; SIGCONT lets it go on."""
        self.send(signal.SIGSTOP)
        status = Path(f"/proc/{self.pid}/status")
        until(lambda: "(stopped)" in status.read_text() or not self.alive())

    def printed(self) -> str:
        return self._out.read_text(encoding="utf-8", errors="replace")

    def finish(self, seconds: float = SECONDS) -> Outcome:
        """Wait for the end; a process that is still there after `seconds` is killed and reported."""
        late = not select.select([self._gone], [], [], seconds)[0]
        took = time.perf_counter() - self._started
        if late:
            self.send(signal.SIGKILL)
        code, cpu, megabytes = self._reap()
        os.close(self._gone)
        error = self._err.read_text(encoding="utf-8", errors="replace")
        if late:
            raise Violation(f"still running after {seconds} s; stderr: {error}")
        return Outcome(code, self.printed(), error, took, cpu, megabytes)


def said(error: str) -> str:
    """A text of stderr without the line that says, on a busy machine, that PyTorch is still loading."""
    return "".join(
        line for line in error.splitlines(keepends=True) if ": loading PyTorch, which takes" not in line
    )


def environment(**more: str) -> dict[str, str]:
    """The tests' own environment, with the optilab that is tested and nothing of a user's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPTILAB_", "NO_COLOR", "COLUMNS"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}


def fresh(
    argv: Sequence[str],
    cwd: Path,
    before: Sequence[str] = (),
    env: dict[str, str] | None = None,
    **options: Any,
) -> Process:
    """`python -m optilab ARGV` in a session of its own; `before` is put in front (strace, unshare)."""
    out, err = _outputs(cwd)
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "optilab", *argv],
            cwd=cwd,
            env=environment() if env is None else env,
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", stdout),
            stderr=stderr,
            start_new_session=True,
            **options,
        )

    def reap() -> tuple[int, float, float]:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # else Popen would wait for it again
        return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    return Process(process.pid, out, err, reap)


def run(argv: Sequence[str], cwd: Path, **options: Any) -> Outcome:
    """`fresh`, to its end."""
    return fresh(argv, cwd, **options).finish()


_counter = iter(range(10**9))


def _outputs(cwd: Path) -> tuple[Path, Path]:
    folder = cwd / ".outputs"
    folder.mkdir(exist_ok=True)
    number = next(_counter)
    return folder / f"{number}.out", folder / f"{number}.err"


class Warm:
    """The process of `tests.faults.warm`; may be used from several threads."""

    def __init__(self, light: bool = False) -> None:
        self._light = light
        self._turn = threading.Lock()
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm", *(["light"] if light else [])],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def close(self) -> None:
        self._server.communicate()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._turn:
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def start(
        self,
        argv: Sequence[str],
        cwd: Path,
        sabotage: str = "",
        ignore: Sequence[str] = (),
        hold: bool = False,
        study: bool = False,
        env: dict[str, str] | None = None,
        stdin: str = os.devnull,
        stdout: str | None = None,
        stderr: str | None = None,
    ) -> Process:
        """Fork a child that runs optilab with `argv`; with `hold` it is stopped until a SIGCONT.

        With `study` the fork server of its workers is forked, too.
        """
        out, err = _outputs(cwd)
        request = {
            "argv": list(argv),
            "cwd": str(cwd),
            "env": env or {},
            "stdin": stdin,
            "stdout": stdout or str(out),
            "stderr": stderr or str(err),
            "sabotage": sabotage,
            "ignore": list(ignore),
            "hold": hold,
            "study": study,
            "light": self._light,
        }
        out.touch()
        err.touch()
        pid = self._ask(request)["pid"]

        def reap() -> tuple[int, float, float]:  # once it is gone, so that the server is never blocked for long
            answer = self._ask({"wait": pid})
            return os.waitstatus_to_exitcode(answer["status"]), answer["cpu"], answer["megabytes"]

        return Process(pid, out, err, reap)

    def run(self, argv: Sequence[str], cwd: Path, **options: Any) -> Outcome:
        return self.start(argv, cwd, **options).finish()

    def traced(self, argv: Sequence[str], cwd: Path, options: Sequence[str]) -> tuple[Outcome, str]:
        """The same under strace, which is attached before the first instruction: how it ended, and the log."""
        process = self.start(argv, cwd, hold=True)
        log = cwd / ".outputs" / f"{process.pid}.strace"
        status = Path(f"/proc/{process.pid}/status")
        until(lambda: "(stopped)" in status.read_text())
        # Not its children: git, which says where the code comes from, reads files too.
        command = ["strace", "-q", "-o", str(log), "-p", str(process.pid), *options]
        tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(lambda: "TracerPid:\t0" not in status.read_text())
        process.send(signal.SIGCONT)
        outcome = process.finish()
        tracer.communicate()
        return outcome, log.read_text(encoding="utf-8", errors="replace")


def on_a_terminal(server: Warm, argv: Sequence[str], cwd: Path, streams: Sequence[str], **env: str) -> str:
    """What a forked process writes to a terminal of its own, which those of its standard streams are."""
    screen, end = os.openpty()
    terminal = dict.fromkeys(streams, os.ttyname(end))
    others = dict.fromkeys({"stdin", "stdout", "stderr"} - terminal.keys(), os.devnull)
    process = server.start(argv, cwd, env={"TERM": "xterm-256color", **env}, **terminal, **others)
    seen = b""
    while (ready := select.select([screen], [], [], 0.02)[0]) or process.alive():
        seen += os.read(screen, 65536) if ready else b""
    outcome = process.finish()
    os.close(end)
    os.close(screen)
    assert outcome.code == 0, (outcome, seen)
    return seen.decode()


@dataclass(frozen=True)
class Left:
    """What a dead process left of a run."""

    where: str  # absent | start | epoch | commit | done: where it died
    claimed: int  # the last epoch that it told anybody of
    durable: int  # the newest whole checkpoint


@dataclass
class Lab:
    """A dataset, a config, and the run of it that nobody disturbed."""

    folder: Path
    warm: Warm
    epochs: int = 12
    reference: dict[str, bytes] = field(default_factory=dict)
    lasted: float = 0.0

    def argv(self, name: str, *more: str) -> list[str]:
        return ["train", "--config", "lab.yaml", "--epochs", str(self.epochs), "--name", name, *more]

    def path(self, name: str) -> Path:
        return self.folder / "runs" / name

    def start(self, name: str, *more: str, **options: Any) -> Process:
        return self.warm.start(self.argv(name, *more), self.folder, **options)

    def learn(self) -> None:
        """Make the reference in a fresh process, and take the time of a warm one."""
        done = run(self.argv("reference"), self.folder)
        assert done.code == 0, done.err
        self.reference = self.result("reference")
        again = self.start("timed").finish()
        self.lasted = again.seconds
        assert self.result("timed") == self.reference, "a forked process gives other bytes than a fresh one"
        self.forget("timed")

    def result(self, name: str) -> dict[str, bytes]:
        """The bytes that must not depend on what happened on the way."""
        path = self.path(name)
        files = {name: path / name for name in ("metrics.csv", "diagnostics.jsonl") if (path / name).exists()}
        files |= {file.name: file for _, file in runs.checkpoints(path)}
        return {name: file.read_bytes() for name, file in files.items()}

    def forget(self, name: str) -> None:
        shutil.rmtree(self.path(name), ignore_errors=True)

    def tidy(self) -> None:
        """Keep the reference and nothing else among the runs."""
        for path in (self.folder / "runs").iterdir():
            if path.is_dir() and not path.is_symlink() and path.name != "reference":
                shutil.rmtree(path)
            elif path.name != "reference":
                path.unlink()

    def examine(self, name: str, printed: str) -> Left:
        """What is left of a run; checks that nothing that was claimed is lost and nothing is half there."""
        path = self.path(name)
        told = [int(number) for number in re.findall(r"^epoch (\d+)/.*s$", printed, re.MULTILINE)]
        if not path.exists():
            _require(not told, f"{name}: epochs {told} were told, and there is no run")
            return Left("absent", 0, 0)
        record = runs.read(path)  # raises if manifest or config are not whole
        files = sorted(str(file.relative_to(path)) for file in path.rglob("*"))
        temporary = [file for file in files if _TEMPORARY.fullmatch(file)]
        unknown = [file for file in files if not _FILE.fullmatch(file) and file not in temporary]
        _require(not unknown, f"{name}: undocumented files {unknown}")
        whole = [epoch for epoch, file in runs.checkpoints(path) if _is_whole(file)]
        _require(len(whole) == len(runs.checkpoints(path)), f"{name}: a checkpoint is not whole")
        metrics = path / "metrics.csv"
        table = metrics.read_bytes() if metrics.exists() else b""
        _require(
            self.reference["metrics.csv"].startswith(table), f"{name}: metrics.csv is no prefix: {table[-200:]!r}"
        )
        rows = max(0, table.count(b"\n") - 1)
        durable, claimed = max(whole, default=0), max([*told, rows, 0])
        _require(claimed <= durable, f"{name}: epoch {claimed} was claimed, epoch {durable} is the last whole one")
        if record.state == "done":
            return Left("done", claimed, durable)
        in_commit = bool(temporary) or rows < durable
        return Left("commit" if in_commit else "epoch" if durable else "start", claimed, durable)

    def recover(self, name: str, **options: Any) -> None:
        """Continue a run (or start it, where none is left) and compare its end with the reference."""
        exists = self.path(name).exists()
        argv = ["train", "--resume", name] if exists else self.argv(name)
        done = self.warm.run(argv, self.folder, **options)
        _require(done.code == 0, f"{name}: resume ended with {done.code}: {done.err}")
        _require("damaged" not in done.err, f"{name}: {done.err}")
        self.compare(name)

    def compare(self, name: str) -> None:
        """The run has the reference's bytes and no file that is not documented."""
        found, path = self.result(name), self.path(name)
        for file, data in self.reference.items():
            _require(found.get(file) == data, f"{name}: {file} is not that of the undisturbed run")
        _require(found.keys() == self.reference.keys(), f"{name}: other checkpoints: {sorted(found)}")
        litter = [f for f in path.rglob("*") if not _FILE.fullmatch(str(f.relative_to(path)))]
        _require(not litter, f"{name}: left behind: {litter}")
        _require(runs.read(path).state == "done", f"{name}: not done")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


def _is_whole(file: Path) -> bool:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] == file.name.split(".")[1]


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until it holds, which must be within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        _require(time.monotonic() < deadline, f"waited {seconds} s in vain")
        time.sleep(0.001)


def in_parallel(trials: Sequence[Callable[[], Any]], workers: int = 2) -> list[Any]:
    """The results of trials that run two at a time; the first exception is raised."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return [future.result() for future in [pool.submit(trial) for trial in trials]]


def missing(*tools: str) -> list[str]:
    """Which of these programs are not here. Where CI is set nothing may be skipped."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent and os.environ.get("CI"):
        raise RuntimeError(f"{', '.join(absent)} not installed; CI must not skip")
    return absent
