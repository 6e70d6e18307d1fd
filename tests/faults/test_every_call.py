"""A death, an error or a signal at every call by which a run, a resume and a study change the disk.

After each of them nothing is lost that was claimed, and the same command ends with the bytes of the undisturbed one. A
death cannot reveal a missing sync; the order of the calls is therefore compared with a list.
"""

import itertools
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.faults import sabotage
from tests.faults.file_calls import DEATH, FileCalls
from tests.faults.sandbox import Sandbox, study_files
from tests.kit.command import environment, need, run

STUDY = "sweep lab.yaml --over optimizer.lr=0.003,0.01 --epochs 1 --jobs 1 --quiet --name"
WITHOUT_GIT = environment(PATH="")


class Run:
    """A training from its start to its end."""

    after_an_error = (0, 7)

    def __init__(self, sandbox: Sandbox, scratch: Path) -> None:
        self.sandbox, self.log = sandbox, scratch / "calls.txt"
        self.prepare()

    def prepare(self) -> None: ...

    def argv(self, name: str) -> list[str]:
        return self.sandbox.argv(name)

    def check(self, name: str, ended: CompletedProcess[str]) -> None:
        self.sandbox.check_survivors(name, ended.stdout)
        if ended.returncode == 0:  # an old checkpoint that cannot be deleted is no reason to fail
            assert self.sandbox.reference.items() <= self.sandbox.result(name).items()
        else:
            self.sandbox.recover(name)

    def run(self, name: str, calls: Callable[[], object]) -> CompletedProcess[str]:
        return run(self.argv(name), self.sandbox.folder, "forked", before=calls, env=WITHOUT_GIT)

    def points(self, fault: str, every: bool) -> list[int]:
        """The numbers of the calls of an undisturbed process that the fault is about, or of their places alone."""
        calls = FileCalls(self.log, fault)
        ended = self.run("counted", calls)
        assert ended.returncode == 0, ended
        self.sandbox.remove("counted")
        return [*range(1, len(calls.points()) + 1)] if every else [n for n in calls.sites() if self.turn(calls, n)]

    def turn(self, calls: FileCalls, number: int) -> bool:
        """A full disk is met where EIO is; what it does besides is to take half of a write."""
        return calls.fault != "ENOSPC" or calls.points()[number - 1].startswith("write")


class Resume(Run):
    """The second half of a training that died in the commit of its second epoch."""

    def prepare(self) -> None:
        calls = FileCalls(self.log, nth=26)
        assert self.sandbox.train("half", before=calls, env=WITHOUT_GIT).returncode == DEATH
        assert calls.names()[-1].startswith("rename half/checkpoints/000002.")

    def argv(self, name: str) -> list[str]:
        shutil.copytree(self.sandbox.path("half"), self.sandbox.path(name))
        return self.sandbox.resume_argv(name)


class Study(Run):
    """Two trials, in the process of the command."""

    after_an_error = (0, 7, 8)

    def prepare(self) -> None:
        self.run("whole")
        self.whole = study_files(self.sandbox.path("whole"))
        assert len(self.whole) == 11, self.whole.keys()

    def argv(self, name: str) -> list[str]:
        return [*STUDY.split(), name]

    def run(self, name: str, calls: Callable[[], object] = lambda: None) -> CompletedProcess[str]:
        return super().run(name, lambda: (sabotage.inline_workers(), calls()))

    def check(self, name: str, ended: CompletedProcess[str]) -> None:
        done = self.run(name)
        assert done.returncode == 0, done
        assert study_files(self.sandbox.path(name)) == self.whole
        assert not list(self.sandbox.path(name).rglob(".*"))


FAULTS = ("death", "EIO", "ENOSPC", "SIGTERM")
CASES = [(Run, "death"), (Run, "ENOSPC"), (Resume, "death")]
"""Those of a push, at every place in the code; at night every fault comes at every call, also of a study."""
NIGHTLY = itertools.product((Run, Resume, Study), FAULTS)


@pytest.mark.parametrize(
    ("kind", "fault", "every"),
    [
        *((*case, False) for case in CASES),
        *(pytest.param(*pair, True, marks=pytest.mark.nightly) for pair in NIGHTLY),
    ],
)
def test_a_fault_at_every_call(kind: type[Run], fault: str, every: bool, sandbox: Sandbox, tmp_path: Path) -> None:
    """Once at every place in the code; at night each of its calls has its turn."""
    scene, codes = kind(sandbox, tmp_path), set[int]()
    endings = {"death": (DEATH,), "SIGTERM": (0, -signal.SIGTERM)}.get(fault, kind.after_an_error)
    for nth in scene.points(fault, every):
        calls = FileCalls(scene.log, fault, nth)
        ended = scene.run("faulty", calls)
        where = f"{fault} at call {nth}, {calls.points()[nth - 1]}: {ended}"
        assert ended.returncode in endings, where
        assert "Traceback" not in ended.stderr, where
        assert ended.returncode < 1 or ended.returncode == DEATH or "optilab: " in ended.stderr, where
        try:
            scene.check("faulty", ended)
        except AssertionError as error:
            raise AssertionError(where) from error
        sandbox.remove("faulty")
        codes.add(ended.returncode)
    assert codes - {0}


def test_dying_again_and_again(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each resume dies one call later than the one before: the run ends as the undisturbed one, and no files gather."""
    largest = max(len(data) for data in sandbox.reference.values())
    for nth in itertools.count(1):
        calls = FileCalls(tmp_path / "calls.txt", nth=nth)
        ended = sandbox.resume("again", before=calls, env=WITHOUT_GIT)
        if ended.returncode == 0:
            break
        assert ended.returncode == DEATH, ended
        sandbox.check_survivors("again", ended.stdout)
        size = sum(file.stat().st_size for file in sandbox.path("again").rglob("*") if file.is_file())
        assert size < 4 * largest + 100_000  # the last two, the best, and one that is being written
    assert nth > 15
    sandbox.compare("again")


ORDER = """mkdir .new-*
mkdir .new-*/checkpoints
create write sync .new-*/config.yaml
create write sync .new-*/diagnostics.jsonl
create write sync .new-*/manifest.json
create sync lock .new-*/run.lock
read sync .new-*
rename order
read sync runs
append write sync order/diagnostics.jsonl
append write sync order/timings.csv
create write sync order/checkpoints/.000001.*.ckpt.tmp-*
rename order/checkpoints/000001.*.ckpt
read sync order/checkpoints
append write sync order/metrics.csv
create write sync order/.manifest.json.tmp-*
rename order/manifest.json
read sync order
"""


def test_the_order_of_the_calls(sandbox: Sandbox, tmp_path: Path) -> None:
    """A file is new, whole and synced before it gets its name, and then its directory is synced."""
    calls = FileCalls(tmp_path / "calls.txt")
    assert sandbox.train("order", "--epochs", "1", before=calls).returncode == 0
    grouped = itertools.groupby((name.split() for name in calls.names()), lambda words: words[1])
    lines = "".join(f"{' '.join(verb for verb, _ in verbs)} {place}\n" for place, verbs in grouped)
    assert lines.startswith(ORDER)
    assert set(re.findall(r"\b(?:read|write|create)\b", lines.removeprefix(ORDER))) == {"read"}


VERBS = "openat,mkdir,write,fsync,rename,renameat,renameat2,unlink,unlinkat,rmdir,ftruncate"


@pytest.mark.nightly
def test_the_kernel_sees_the_same_calls(sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing changes the disk but what Python tells of."""
    need("strace")
    calls = FileCalls(tmp_path / "calls.txt")
    assert sandbox.train("kernel", before=calls).returncode == 0
    sandbox.remove("kernel")
    traced = ["strace", "-y", "-o", str(tmp_path / "trace.txt"), "-e", f"trace={VERBS}"]
    run(sandbox.argv("kernel"), sandbox.folder, "fresh", code=0, before=traced)
    trace = (tmp_path / "trace.txt").read_text(encoding="utf-8").splitlines()
    ours = [line for line in trace if '"runs/' in line or f"<{sandbox.folder}/runs" in line]
    seen = [line.partition("(")[0] for line in ours if "O_RDONLY" not in line and not line.startswith("write(1<")]
    kernel = {"sync": "fsync", "remove": "unlink", **dict.fromkeys(("create", "append", "lock"), "openat")}
    noted = [name.split()[0] for name in calls.names()]
    assert seen == [kernel.get(verb, verb) for verb in noted if verb != "read"]


def test_negative_control_in_place(sandbox: Sandbox, tmp_path: Path) -> None:
    """Deaths find half-written files where they are written in place instead of renamed."""
    for nth in range(20, 40):
        calls = FileCalls(tmp_path / "calls.txt", nth=nth)
        ended = sandbox.train("in-place", before=lambda calls=calls: (sabotage.in_place(), calls()))
        assert ended.returncode == DEATH
        if sandbox.survivors("in-place", ended.stdout).torn:
            return
        sandbox.remove("in-place")
    pytest.fail("not noticed")


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.release)])
def test_random_kills(sandbox: Sandbox, rng: random.Random, kills: int) -> None:
    """SIGKILL at any time of a forked process, and of every fourth that is a fresh one."""
    lasted = -time.perf_counter()
    sandbox.train("timed")
    lasted += time.perf_counter()
    for number in range(kills):
        fresh = number % 4 == 3
        process = sandbox.start("killed", how="fresh" if fresh else "forked")
        time.sleep((number + rng.random()) / kills * (lasted + 2.0 * fresh))
        process.send(signal.SIGKILL)
        sandbox.check_survivors("killed", process.finish().stdout)
        sandbox.recover("killed")
        sandbox.remove("killed")


def test_what_a_kill_left_is_removed_later(sandbox: Sandbox) -> None:
    """A directory that was being made or removed, once it is an hour old."""
    old, young = sandbox.path(".new-0000000000000000"), sandbox.path(".old-1111111111111111")
    for path in (old, young):
        path.mkdir()
        (path / "run.lock").touch()
    os.utime(old, (0, 0))
    assert sandbox.train("later").returncode == 0
    assert not old.exists()
    assert young.exists()
