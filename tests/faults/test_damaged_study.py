"""A damaged file of a study, and every command that reads it: none passes over what it cannot read.

The claim fails by one trial of four. Whatever happens to a file, `check` does not succeed, and a command that compares
or exports fails, names the trial that it leaves out, or has the numbers of the whole study.
"""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optilab import runs
from optilab.config.section import to_yaml
from optilab.config.study import SweepConfig
from optilab.files import read_json
from optilab.runs import record
from optilab.runs.tables import outcome
from optilab.study import results, sweep
from tests.faults.damage import DAMAGES, Damage
from tests.kit.command import run
from tests.kit.generated import backwards, training

ACCURACIES = {(0.01, 42): 0.7, (0.01, 43): 0.8, (0.1, 42): 0.9, (0.1, 43): 0.1}
CLAIM = "lr 0.1: val_acc > 0.5"
FILES = (
    *("manifest.json", "study.yaml", "plan.jsonl", "trials.csv", "timings.csv"),
    *(f"TRIAL/{name}" for name in ("manifest.json", "config.yaml", "metrics.csv", "timings.csv")),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose runs/study is a sweep of two learning rates with two seeds."""
    folder = tmp_path_factory.mktemp("damage")
    over = {"optimizer.lr": [0.01, 0.1]}
    spec = sweep.spec_of(SweepConfig(config="sigmoid", over=over, seeds=2, name="study"))
    facts = {"command": "sweep", "versions": {"optilab": "0"}, "trials": 4, "argv": ["optilab", "sweep"]}
    study = runs.open_study(folder / "runs", "study", to_yaml(spec.request), facts)
    for trial in spec.trials:
        rate, seed = trial.config.optimizer.lr, trial.config.seed
        values = (0.05, ACCURACIES[rate, seed])
        rows = [
            {"epoch": epoch, "train_loss": 1 - acc, "train_acc": acc, "val_loss": 1 - acc, "val_acc": acc}
            for epoch, acc in enumerate(values, start=1)
        ]
        changes = (f"optimizer.lr={rate}", f"seed={seed}", "threads=1", "device=cpu", "name=study")
        training(study.path, trial.name, *changes, accuracies=values, outcome=outcome(rows))
        study.add(trial.line, 1.0)
    study.finish("done")
    return folder


def trials(folder: Path) -> list[str]:
    return [row["trial"] for row in runs.read_study(folder / "runs" / "study").rows()]


def read(folder: Path, *command: str) -> CompletedProcess[str]:
    done = run(command, folder)
    assert done.returncode != 1, (command, done)
    assert "Traceback" not in done.stderr, (command, done)
    assert "root:" not in done.stdout + done.stderr, (command, "quotes a foreign file")
    return done


def compared(done: CompletedProcess[str]) -> Any:
    return [(group["group"], group["outcomes"]) for group in json.loads(done.stdout)["groups"]]


def exported(folder: Path) -> Any:
    with (folder / "rows.csv").open() as file:
        keys = ("run", "optimizer.lr", "seed", "epoch", "val_acc")
        return [[row[key] for key in keys] for row in csv.DictReader(file)]


def check_readers(folder: Path, groups: Any, rows: Any, names: list[str]) -> None:
    """No command leaves out a trial in silence, and the claim does not hold."""
    assert read(folder, "check", "study", "--expect", CLAIM).returncode, "the claim passes"
    done = read(folder, "runs", "compare", "study", "--json")
    if not done.returncode and "left out" not in done.stdout and "measured on different images" not in done.stdout:
        assert compared(done) == groups
    if not read(folder, "runs", "export", "study", "--out", "rows.csv", "--force").returncode:
        assert exported(folder) == rows
    (folder / "report.html").unlink(missing_ok=True)
    report = read(folder, "report", "study")
    if not report.returncode:
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert all(name in page for name in names)
        assert report.stdout.count(" is left out: ") == done.stdout.count(" is left out: ")
    for command in ("show", "plot", "ls"):
        read(folder, "runs", command, "study")


@pytest.fixture(scope="module")
def expected(whole: Path) -> tuple[Any, Any, list[str]]:
    groups = compared(read(whole, "runs", "compare", "study", "--json"))
    read(whole, "runs", "export", "study", "--out", "rows.csv")
    answers = groups, exported(whole), trials(whole)
    check_readers(whole, *answers)
    return answers


@pytest.mark.parametrize("examples", [12, pytest.param(400, marks=pytest.mark.release)])
def test_no_damage_is_passed_over(examples: int, whole: Path, expected: Any, tmp_path: Path) -> None:
    @settings(max_examples=examples)
    @given(file=st.sampled_from(FILES), damage=DAMAGES)
    def check(file: str, damage: Damage) -> None:
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        damage(folder / "runs" / "study" / file.replace("TRIAL", trials(whole)[-1]))
        check_readers(folder, *expected)

    check()


def test_a_copy_of_another_trial_is_not_passed_over(whole: Path, expected: Any, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "damaged")
    study, (first, *_, last) = tmp_path / "damaged" / "runs" / "study", trials(whole)
    shutil.rmtree(study / last)
    shutil.copytree(study / first, study / last)
    check_readers(tmp_path / "damaged", *expected)


@pytest.mark.parametrize("what", ["deleted", "edited", "plan"])
def test_no_answer_depends_on_trials_csv_or_an_order_of_keys(what: str, whole: Path, tmp_path: Path) -> None:
    """trials.csv is for other tools, and the same command writes it again. The keys of plan.jsonl have names."""
    commands = [
        ["runs", "ls"],
        ["runs", "ls", "study", "--format", "csv"],
        ["runs", "show", "study"],
        ["runs", "compare", "study", "--json"],
        ["check", "study", "--expect", CLAIM],
        ["runs", "export", "study", "--out", "rows.csv", "--force"],
    ]
    shutil.copytree(whole, tmp_path / "copy")
    before = [vars(read(tmp_path / "copy", *command)) for command in commands], exported(tmp_path / "copy")
    file = tmp_path / "copy" / "runs" / "study" / "trials.csv"
    text = file.read_text(encoding="utf-8")
    if what == "edited":
        file.write_text(text.replace(",done,", ",failed,").replace("0.1", "0.7"), encoding="utf-8")
    elif what == "deleted":
        file.unlink()
    else:
        backwards(file.with_name("plan.jsonl"))
    assert (
        [vars(read(tmp_path / "copy", *command)) for command in commands],
        exported(tmp_path / "copy"),
    ) == before
    study = runs.open_study(file.parents[1], "study", b"", {"command": "sweep"})
    study.finish("done")
    assert file.read_text(encoding="utf-8") == text


def test_each_trial_of_a_study_is_read_once(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, reads = trials(whole), Counter[str]()
    monkeypatch.setattr(
        record, "read_json", lambda path, *rest: reads.update([path.parent.name]) or read_json(path, *rest)
    )
    results.results_of_study(study := runs.read_study(whole / "runs" / "study"))
    assert (len(study.rows()), study.runs()[1]) == (4, {})
    assert reads == Counter(["study", *names])


def test_negative_control_what_readers_are_asked(
    whole: Path, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, rows, names = expected
    for wrong in (
        (groups[:1], rows, names),
        (groups, rows[:-1], names),
        (groups, rows, [*names, "no such trial"]),
    ):
        with pytest.raises(AssertionError):
            check_readers(whole, *wrong)
    monkeypatch.setitem(globals(), "CLAIM", "lr 0.1: val_acc > 0.01")
    with pytest.raises(AssertionError, match="the claim passes"):
        check_readers(whole, *expected)
