"""Bad command lines, by the hundred: each is refused before anything is trained, in one sentence that names it."""

import os
from pathlib import Path

import pytest

from tests.data.idx import write_idx_dataset
from tests.faults.conftest import CONFIG, Figure
from tests.run import run

COMMANDS = {
    "train lab.yaml --epochs 2": "train",
    "train lab.yaml --epochs 2 --seeds 2": "train",
    "sweep lab.yaml --epochs 2 --over optimizer.lr=0.1,1 --seeds 2": "train",
    "sweep lab.yaml --epochs 2 --over optimizer.lr=0.1,1 --seeds 2 --dry-run": "train",
    "remedy lab.yaml --epochs 2 --only tanh --seeds 2": "train",
    "race --on lab.yaml --epochs 2 --algo sgd,adam --budget 1 --set data.holdout=50": "race --on",
    "race --algo sgd,adam --function ravine --budget 1 --starts 1": "race",
    "optimize --algo sgd,adam --epochs 5": "optimize",
    "lr lab.yaml": "lr",
}
METRIC = {"train": "val_acc", "race --on": "test_acc", "race": "cost", "optimize": "f", "lr": "rate"}
CLAIMS = [
    "nobody: {metric} > 0.5",
    "{metric} at 99 > 0.5",
    "status == happy",
    "verdict == good",
    "nothing > 0.5",
    "{metric} > high",
    "{metric} at never > 0.5",
    "{metric} == 0.5 +- 0",
    "{metric} > 0.5 confidence 1",
    "{metric} == 0.5 confidence 0.9",
    "{metric} > 0.5 +- 0.1",
    "{metric}",
    "",
]
OPTIONS = [
    "sweep lab.yaml --over optimizer.lr=0.1,1 --halving 3 --epochs 2",
    "sweep lab.yaml --over optimizer.lr=0.1,1 --search tpe --samples 3",
    "sweep lab.yaml --over optimizer.lr=0.1,-1",
    "sweep lab.yaml --over optimizer.lr=0.1,1 --set data.holdout=640",
    "sweep lab.yaml --over data.holdout=10,640",
    "sweep lab.yaml --over data.images=10,641",
    "train lab.yaml --set optimizer.lr.x=1",
    "train lab.yaml --set data.holdout=640",
    "remedy lab.yaml --only relu",
    "remedy lab.yaml --tune 2 --only tanh",
    "race --on lab.yaml, --algo sgd,adam",
    "race --on lab.yaml --algo sgd,adam",
    "race --algo adam",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_idx_dataset(tmp_path / "data", 640, 200)
    (tmp_path / "lab.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def refused(command: list[str], folder: Path) -> str:
    """What is wrong with how a command line is refused; empty where it is right."""
    done = run(command, folder, dict(os.environ))
    if done.returncode != 2 or "Traceback" in done.stderr or "a bug in optilab" in done.stderr:
        return f"{command}: exit status {done.returncode}: {done.stderr[-300:]}"
    return f"{command}: it has made a run" if (folder / "runs").exists() else ""


LINES = [
    [*line.split(), "--expect", claim.format(metric=METRIC[kind])]
    for line, kind in COMMANDS.items()
    for claim in CLAIMS
] + [line.split() for line in OPTIONS]


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_bad_command_lines_are_refused_before_the_work(every: int, folder: Path, figure: Figure) -> None:
    chosen = LINES[::every]
    wrong = [reason for line in chosen if (reason := refused(line, folder))]
    assert not wrong, "\n".join(wrong)
    figure(
        "G29",
        f"{len(chosen)} bad claims and options",
        f"{len(chosen)} exit status 2, nothing trained, 0 tracebacks",
    )
