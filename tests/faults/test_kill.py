"""SIGKILL: at random, aimed at a commit, and at every file system call."""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Drawn, Figure
from tests.faults.harness import Lab, Left, Violation, fresh, in_parallel, until

FEW_OR_MANY = [10, pytest.param(200, marks=pytest.mark.slow)]


def _summary(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


@pytest.mark.parametrize("trials", FEW_OR_MANY)
def test_random_kills(lab: Lab, figure: Figure, trials: int, drawn: Drawn) -> None:
    """Delays cover the whole run, some of them counted from its directory on, however long the machine takes to start.

    A tenth of the processes are fresh ones and can be killed while they start.
    """
    chance = drawn(1)

    def trial(number: int) -> str:
        name, share = f"random-{trials}-{number}", (number + chance.random()) / trials
        real = number % 10 == 5
        process = fresh(lab.argv(name), lab.folder) if real else lab.start(name)
        if number % 4 == 3:
            until(lambda: not process.alive() or lab.path(name).exists())
        time.sleep(share * (lab.lasted + (2.0 if real else 0.0)))
        process.send(signal.SIGKILL)
        left = lab.examine(name, process.finish().out)
        lab.recover(name)
        lab.forget(name)
        return left.where

    kinds = Counter(in_parallel([lambda number=number: trial(number) for number in range(trials)]))
    figure("G1", f"{trials} random SIGKILLs", f"0 epochs lost, {trials} identical; died in {_summary(kinds)}")
    assert kinds["absent"] + kinds["start"] > 0
    assert kinds["epoch"] + kinds["commit"] > 0


def _kill_in_commit(lab: Lab, name: str, epoch: int, sabotage: str = "") -> Left:
    """Kill as soon as the temporary file of that epoch's checkpoint appears."""
    folder, wanted = lab.path(name) / "checkpoints", f"{epoch:06d}."
    process = lab.start(name, sabotage=sabotage)
    while process.alive():
        try:
            if any(wanted in file.name for file in folder.iterdir()):
                process.send(signal.SIGKILL)
                break
        except FileNotFoundError:
            time.sleep(0.001)
    return lab.examine(name, process.finish().out)


@pytest.mark.parametrize("trials", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_aimed_kills(lab: Lab, figure: Figure, trials: int, drawn: Drawn) -> None:
    """Repeated until `trials` kills have hit a commit; on a busy machine some runs end before the kill."""
    chance = drawn(2)
    kinds: Counter[str] = Counter()
    while kinds["commit"] < trials:
        name = f"aimed-{trials}-{kinds.total()}"
        kinds[_kill_in_commit(lab, name, chance.randint(1, lab.epochs)).where] += 1
        lab.recover(name)
        lab.forget(name)
        assert kinds.total() < 5 * trials, f"only {kinds} of the kills hit a commit"
    total = kinds.total()
    figure("G2", f"{total} aimed SIGKILLs", f"0 epochs lost, {total} identical; died in {_summary(kinds)}")


def test_a_kill_before_the_last_pruning_leaves_no_checkpoint_too_many(lab: Lab) -> None:
    """All epochs are recorded and nothing is left to train: the resume deletes what the commit would have deleted."""
    outcome = lab.start("unpruned", sabotage="killed_before_pruning").finish()
    assert outcome.code == -signal.SIGKILL
    assert len(lab.result("unpruned")) == len(lab.reference) + 1
    lab.recover("unpruned")
    lab.forget("unpruned")


@pytest.mark.parametrize("enough", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_negative_control_in_place(lab: Lab, figure: Figure, enough: int) -> None:
    """The same kills find half-written checkpoints if files are written in place instead of renamed."""
    violations = kills = 0
    while violations < enough and kills < 10:
        kills += 1
        try:
            _kill_in_commit(lab, f"in-place-{enough}-{kills}", 4, "in_place")
        except Violation:
            violations += 1
    figure("G2", "control: files written in place", f"noticed in {violations} of {kills} aimed kills")
    assert violations > 0  # each one would fail the test above


@pytest.mark.parametrize("kills", [10, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_in_a_row(lab: Lab, figure: Figure, drawn: Drawn, kills: int) -> None:
    """One run, killed repeatedly: it ends with the same bytes, and no files accumulate."""
    chance, name = drawn(3), f"again-{kills}"
    process = lab.start(name, sabotage="slow_epochs")
    until(lambda: lab.path(name).exists())
    sizes = [0]
    for number in range(kills):
        if number % 2:  # after an epoch, however long a busy machine takes for it
            until(lambda process=process: not process.alive() or "epoch " in process.printed())
        time.sleep(chance.uniform(0.1, 0.45))  # an epoch takes 0.2 s
        if process.alive():
            process.send(signal.SIGKILL)
        lab.examine(name, process.finish().out)
        if lab.path(name).exists():
            sizes.append(sum(file.stat().st_size for file in lab.path(name).rglob("*") if file.is_file()))
            process = lab.warm.start(["train", "--resume", name], lab.folder, sabotage="slow_epochs")
        else:
            process = lab.start(name, sabotage="slow_epochs")
    process.finish()
    lab.recover(name)
    checkpoint = max(len(data) for data in lab.reference.values())
    assert max(sizes) > checkpoint, "no kill met a run that had a checkpoint"
    figure(
        "G16", f"{kills} kills of one run", f"no litter, at most {max(sizes) / checkpoint:.1f} checkpoints of disk"
    )
    assert max(sizes) <= 4 * checkpoint + 1_000_000  # last two, the best, one being written


def test_a_kill_does_not_leave_hidden_directories_for_ever(lab: Lab) -> None:
    """A later run removes what a kill left of a directory that was being made or removed."""
    old, young = lab.folder / "runs" / ".new-0000000000000000", lab.folder / "runs" / ".old-1111111111111111"
    for path in (old, young):
        path.mkdir()
        (path / "run.lock").touch()
    os.utime(old, (0, 0))
    lab.start("after-hidden").finish()
    assert not old.exists()
    assert young.exists()
    young.joinpath("run.lock").unlink()
    young.rmdir()
    lab.forget("after-hidden")


# --- every system call -------------------------------------------------------------------------------------

CALLS = ("openat", "mkdir", "write", "fsync", "rename", "unlink", "rmdir", "ftruncate")
FAULTS = {
    "SIGKILL": "signal=SIGKILL",
    "ENOSPC": "error=ENOSPC",
    "EIO": "error=EIO",
}


def _points(lab: Lab, argv: list[str], name: str) -> list[tuple[str, int]]:
    """(call, its number) of every file system call, starting with the first in the runs directory."""
    outcome, log = lab.warm.traced(argv, lab.folder, ["-e", f"trace={','.join(CALLS)}"])
    assert outcome.code == 0, outcome.err
    points, seen, begun = [], Counter[str](), False
    for line in log.splitlines():
        if match := re.match(r"(\w+)\(", line):
            seen[match[1]] += 1
            ours = "runs" in line
            begun = begun or ours
            # Other files that are opened meanwhile are libraries' business.
            if begun and (ours or match[1] != "openat"):
                points.append((match[1], seen[match[1]]))
    return points


def _sweep(lab: Lab, fault: str, resuming: bool, every: int, first: int) -> Counter[str]:
    """One run per point, in which that call fails; how often each ending occurred."""
    what = f"{fault.lower()}-{'resume' if resuming else 'train'}"
    short = Lab(lab.folder, lab.warm, epochs=3)
    argv = short.argv("short")
    assert lab.warm.run(argv, lab.folder).code == 0
    short.reference = short.result("short")
    short.forget("short")

    def prepare(name: str) -> list[str]:
        if not resuming:
            return short.argv(name)
        # Interrupted after the first epoch: killed at the write of its row on stdout would do; this is quicker.
        begun = short.warm.start(short.argv(name), short.folder, sabotage="slow_epochs")
        while "epoch 1/" not in begun.printed():
            time.sleep(0.005)
        begun.send(signal.SIGKILL)
        begun.finish()
        return ["train", "--resume", name]

    def trial(index: int, call: str, count: int) -> str:
        name = f"{what}-{index}"
        inject = f"inject={call}:{FAULTS[fault]}:when={count}"
        argv = prepare(name)
        outcome, _ = lab.warm.traced(argv, lab.folder, ["-e", f"trace={','.join(CALLS)}", "-e", inject])
        if fault == "SIGKILL":
            assert outcome.code == -signal.SIGKILL, f"{call} {count} was not reached: {outcome}"
        else:
            unread = resuming and outcome.code == 3 and "expected a readable file" in outcome.err  # the dataset
            assert outcome.code in (0, 7) or unread, f"{call} {count}: {outcome}"
            assert "Traceback" not in outcome.err, f"{call} {count}: {outcome.err}"
            assert outcome.code == 0 or outcome.err.startswith("optilab: "), outcome.err
        try:
            left = short.examine(name, outcome.out)
            if left.where != "done" or outcome.code != 0:
                short.recover(name)
        except Violation as violation:
            raise Violation(f"{fault} at {call} {count}: {violation}") from None
        short.forget(name)
        return f"{outcome.code}/{left.where}" if fault != "SIGKILL" else left.where

    points = _points(lab, prepare(f"{what}-points"), f"{what}-points")
    short.forget(f"{what}-points")
    chosen = list(enumerate(points))[first % every :: every]
    kinds = Counter(in_parallel([lambda i=i, p=p: trial(i, *p) for i, p in chosen]))
    kinds["points"], kinds["of"] = len(chosen), len(points)
    return kinds


def _sweep_summary(kinds: Counter[str]) -> str:
    points, total = kinds.pop("points"), kinds.pop("of")
    return f"{points} of {total} points, 0 violations; {_summary(kinds)}"


EVERY = [10, pytest.param(1, marks=pytest.mark.slow)]
"""The fast suite takes every tenth call, `--draw` from which one on."""


@pytest.mark.parametrize("every", EVERY)
def test_kill_at_every_file_call(
    lab: Lab, figure: Figure, needs: Callable[..., None], every: int, drawn: Drawn
) -> None:
    needs("strace")
    kinds = _sweep(lab, "SIGKILL", False, every, drawn(1).randrange(every))
    assert {"start", "commit"} <= kinds.keys()
    assert every > 1 or {"absent", "epoch"} <= kinds.keys()
    figure("G3", "SIGKILL at every file call of 3 epochs", _sweep_summary(kinds))


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_errors_at_file_calls(
    lab: Lab, figure: Figure, needs: Callable[..., None], fault: str, every: int, drawn: Drawn
) -> None:
    needs("strace")
    kinds = _sweep(lab, fault, False, every, drawn(2).randrange(every))
    assert any(kind.startswith("7/") for kind in kinds)
    figure("G3", f"{fault} at every file call of 3 epochs", _sweep_summary(kinds))


@pytest.mark.slow
@pytest.mark.parametrize("fault", list(FAULTS))
def test_faults_at_every_file_call_of_a_resume(
    lab: Lab, figure: Figure, needs: Callable[..., None], fault: str
) -> None:
    needs("strace")
    figure("G3", f"{fault} at every file call of a resume", _sweep_summary(_sweep(lab, fault, True, 1, 0)))


def test_order_of_a_commit(lab: Lab, figure: Figure, needs: Callable[..., None]) -> None:
    """Exclusive temporary, write, fsync, rename, fsync of the directory; a final name is never opened to write.

    A kill cannot show a missing fsync, because the page cache survives a process.
    """
    needs("strace")
    argv = Lab(lab.folder, lab.warm, epochs=3).argv("order")
    options = ["-y", "-e", "trace=openat,write,fsync,rename,renameat,renameat2,close"]
    outcome, log = lab.warm.traced(argv, lab.folder, options)
    assert outcome.code == 0
    lines = log.splitlines()
    commits = 0
    for index, line in enumerate(lines):
        if not (renamed := re.match(r'rename\("([^"]*)", "(runs/order/[^"]*)"\) = 0', line)):
            continue
        temporary, final = renamed[1], renamed[2]
        before = [text for text in lines[:index] if temporary in text]
        steps = [re.split(r"[(]", text)[0] for text in before]
        assert "O_EXCL" in before[0], before
        assert "O_NOFOLLOW" in before[0], before
        assert steps[0] == "openat", steps
        assert set(steps[1:-2]) == {"write"}, steps
        assert steps[-2:] == ["fsync", "close"], steps
        folder = str(Path(final).parent)
        after = next(text for text in lines[index + 1 :] if text.startswith(("fsync", "write")))
        assert after.startswith("fsync"), after
        assert f"{folder}>" in after, after
        opened = [text for text in lines if text.startswith("openat") and f'"{final}"' in text]
        assert all("O_RDONLY" in text for text in opened), opened
        commits += 1
    assert commits == 4  # three checkpoints, one manifest
    figure("G3", "order of the calls of every commit", f"{commits} of {commits} in order")
