"""A damaged file of a study, and every command that reads it: none passes over what it cannot read.

The claim fails by one trial of four. Whatever happens to a file, `check` does not succeed, and a command that compares
or exports fails, names the trial that it leaves out, or has the numbers of the whole study.
"""

import csv
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optilab import runs
from optilab.config.study import SweepConfig
from optilab.runs.tables import outcome
from optilab.study import sweep
from tests.faults.conftest import Drawn, Figure
from tests.run import run
from tests.study.generated import training

ACCURACIES = {(0.01, 42): 0.7, (0.01, 43): 0.8, (0.1, 42): 0.9, (0.1, 43): 0.1}
CLAIM = "lr 0.1: val_acc > 0.5"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose runs/study is a sweep of two learning rates with two seeds."""
    folder = tmp_path_factory.mktemp("damage")
    over = {"optimizer.lr": [0.01, 0.1]}
    plan = sweep.plan(sweep.resolve(SweepConfig(config="sigmoid", over=over, seeds=2, name="study")))
    facts = {"command": "sweep", "versions": {"optilab": "0"}, "trials": 4, "argv": ["optilab", "sweep"]}
    study = runs.open_study(folder / "runs", "study", plan.study(), facts)
    for trial in plan.trials:
        rate, seed = trial.config.optimizer.lr, trial.config.seed
        values = (0.05, ACCURACIES[rate, seed])
        rows = [
            {"epoch": epoch, "train_loss": 1 - acc, "train_acc": acc, "val_loss": 1 - acc, "val_acc": acc}
            for epoch, acc in enumerate(values, start=1)
        ]
        changes = (f"optimizer.lr={rate}", f"seed={seed}", "threads=1", "device=cpu", "name=study")
        training(study.path, trial.name, *changes, accuracies=values, outcome=outcome(rows))
        study.add(trial.row("done", "", outcome(rows)), 1.0)
    study.finish("done")
    return folder


# --- damages -----------------------------------------------------------------------------------------------


def _put(content: bytes) -> Callable[[Path, random.Random], Any]:
    return lambda file, chance: file.write_bytes(content)


def _cut(file: Path, chance: random.Random) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: chance.randrange(len(whole))])


def _cut_at_a_line(file: Path, chance: random.Random) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[: chance.randrange(len(lines))]))


def _without_a_line(file: Path, chance: random.Random) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    file.write_bytes(b"".join(lines))


def _flip(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def _digit(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    digits = [place for place, byte in enumerate(data) if byte in b"123456789"]
    data[chance.choice(digits)] = ord("8")
    file.write_bytes(data)


def _replace(make: Callable[[Path], Any]) -> Callable[[Path, random.Random], Any]:
    def damage(file: Path, chance: random.Random) -> None:
        file.unlink()
        make(file)

    return damage


def _huge(file: Path) -> None:
    file.touch()
    os.truncate(file, 16 << 30)


DAMAGES: dict[str, Callable[[Path, random.Random], Any]] = {
    "gone": lambda file, chance: file.unlink(),
    "cut": _cut,
    "cut at a line": _cut_at_a_line,
    "without a line": _without_a_line,
    "a flipped bit": _flip,
    "another digit": _digit,
    "empty": _put(b""),
    "a list": _put(b"[1, 2]\n"),
    "an empty mapping": _put(b"{}\n"),
    "zeros": _put(b"\0" * 512),
    "random": lambda file, chance: file.write_bytes(chance.randbytes(512)),
    "a folder": _replace(Path.mkdir),
    "a link": _replace(lambda file: file.symlink_to("/etc/passwd")),
    "a FIFO": _replace(os.mkfifo),
    "16 GB": _replace(_huge),
}
OF_A_TRIAL = ("manifest.json", "config.yaml", "metrics.csv", "timings.csv")
OF_A_STUDY = ("manifest.json", "study.yaml", "trials.csv", "timings.csv")


def _swap(study: Path, one: str, other: str) -> None:
    """A trial's run in the place of another's."""
    shutil.rmtree(study / one)
    shutil.copytree(study / other, study / one)


def damages(whole: Path, count: int, scratch: Path, chance: random.Random) -> Iterator[tuple[str, Path]]:
    """So many damaged copies of the study: what was done, and the folder of its runs."""
    trials = [row["trial"] for row in runs.read_study(whole / "runs" / "study").trials()]
    bad = trials[-1]
    places = [*(f"{bad}/{name}" for name in OF_A_TRIAL), *OF_A_STUDY]
    kinds = [(place, kind) for kind in DAMAGES for place in places]
    kinds = chance.sample(kinds, min(count, len(kinds))) + [
        (chance.choice(places), chance.choice(["cut", "a flipped bit", "another digit", "without a line"]))
        for _ in range(count - len(kinds))
    ]
    for number, (place, kind) in enumerate(kinds):
        folder = scratch / str(number)
        shutil.copytree(whole, folder)
        DAMAGES[kind](folder / "runs" / "study" / place, chance)
        yield f"{place}: {kind}", folder
    for other in trials[:-1]:
        folder = scratch / f"swap-{other}"
        shutil.copytree(whole, folder)
        _swap(folder / "runs" / "study", bad, other)
        yield f"{bad} is a copy of {other}", folder
    folder = scratch / "failed"
    shutil.copytree(whole, folder)
    rows = folder / "runs" / "study" / "trials.csv"
    before, _, after = rows.read_text().rpartition(",done,")
    rows.write_text(f"{before},failed,{after}")
    yield f"the row of {bad} says that it failed", folder


# --- readers -----------------------------------------------------------------------------------------------


def _compared(text: str) -> Any:
    groups = json.loads(text)["groups"]
    return [(group["group"], group["outcomes"]) for group in groups]


def _exported(folder: Path) -> Any:
    with (folder / "rows.csv").open() as file:
        return [
            (row["run"], row["optimizer.lr"], row["seed"], row["epoch"], row["val_acc"])
            for row in csv.DictReader(file)
        ]


def judge(folder: Path, expected: dict[str, Any]) -> list[str]:
    """What is wrong with how the commands read the study in a folder."""
    wrong = []

    def read(*command: str) -> Any:
        done = run([*command], folder, dict(os.environ))
        told = done.stdout + done.stderr
        if "Traceback" in told or "a bug in optilab" in told or done.returncode == 1:
            wrong.append(f"{' '.join(command)}: {told[-300:]}")
        if "root:" in told:
            wrong.append(f"{' '.join(command)} quotes a foreign file")
        return done

    if read("check", "study", "--expect", CLAIM).returncode == 0:
        wrong.append("check passes")
    compared = read("runs", "compare", "study", "--json")
    if (
        not compared.returncode
        and _compared(compared.stdout) != expected["compare"]
        and "left out" not in compared.stdout
        and "not the same data" not in compared.stdout  # of a manifest that names other files
    ):
        wrong.append("runs compare says nothing of what it leaves out")
    exported = read("runs", "export", "study", "--out", "rows.csv")
    if not exported.returncode and _exported(folder) != expected["export"]:
        wrong.append("runs export says nothing of what it leaves out")
    reported = read("report", "study")
    if not reported.returncode:
        page = (folder / "report.html").read_text()
        said = reported.stdout.count(" is left out: ") == compared.stdout.count(" is left out: ")
        if not said or not all(name in page for name in expected["trials"]):
            wrong.append("report says nothing of what it leaves out")
    for command in ("show", "plot", "ls"):
        read("runs", command, "study")
    return wrong


@pytest.mark.parametrize("count", [16, pytest.param(200, marks=pytest.mark.slow)])
def test_nothing_passes_over_what_it_cannot_read(
    count: int, whole: Path, tmp_path: Path, figure: Figure, drawn: Drawn
) -> None:
    undamaged = tmp_path / "undamaged"
    shutil.copytree(whole, undamaged)
    done = run(["runs", "compare", "study", "--json"], undamaged, dict(os.environ))
    run(["runs", "export", "study", "--out", "rows.csv"], undamaged, dict(os.environ))
    expected = {"compare": _compared(done.stdout), "export": _exported(undamaged)}
    expected["trials"] = [row["trial"] for row in runs.read_study(undamaged / "runs" / "study").trials()]
    assert judge(undamaged, expected) == []
    failures, total = [], 0
    for what, folder in damages(whole, count, tmp_path, drawn(24)):
        total += 1
        failures += [f"{what}: {reason}" for reason in judge(folder, expected)]
        shutil.rmtree(folder)
    assert not failures, "\n".join(failures)
    figure(
        "G28",
        f"{total} damages of a study's files x 7 readers",
        "0 pass a gate, 0 leave out in silence, 0 tracebacks",
    )
