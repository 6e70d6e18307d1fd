"""A search by TPE: the same study with any number of jobs and after any kill, and a journal that Optuna opens."""

import json
import shutil
from math import log10

import pytest

from optilab import runs
from optilab.errors import CheckpointError
from optilab.study import search
from optilab.study.plan import GENERATION
from optilab.study.trials import Outcome
from tests.run import run
from tests.study.test_sweep import files, plan

optuna = pytest.importorskip("optuna")

OVER = ["--over", "optimizer=sgd,adam", "--over", "optimizer.lr=1e-4:10:log", "--over", "data.batch_size=16:64"]
BUDGET = ["--epochs", 1, "--samples", 18, "--search", "tpe", "--confirm", 0, "--quiet", "--name"]


def journal(study):
    backend = optuna.storages.journal.JournalFileBackend(str(study / search.JOURNAL))
    return optuna.load_study(study_name=study.name, storage=optuna.storages.JournalStorage(backend))


@pytest.fixture(scope="module")
def undisturbed(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    assert run([*map(str, ["sweep", small, *OVER, *BUDGET, "whole", "--jobs", 1])], folder, {}).returncode == 0
    return folder / "runs" / "whole"


def test_a_study_without_its_last_trials_goes_on_to_the_same_bytes(optilab, small, tmp_path, undisturbed):
    """With another number of jobs, as after a kill in the third generation: of its points two are written, the second
    in part, none is trained."""
    study = tmp_path / "runs" / "whole"
    shutil.copytree(undisturbed, study)
    lines = (undisturbed / search.JOURNAL).read_text().splitlines(keepends=True)
    asked = [n for n, line in enumerate(lines) if json.loads(line)["op_code"] == 4]
    (study / search.JOURNAL).write_text("".join(lines[: asked[17]]) + lines[asked[17]][:20])
    (study / f"{search.JOURNAL}.lock").touch()
    for row in runs.read_study(undisturbed).trials()[16:]:
        shutil.rmtree(study / row["trial"])
    optilab("sweep", small, *OVER, *BUDGET, "whole", "--jobs", 2)
    assert files(study) == files(undisturbed)
    again, before = journal(study).trials, journal(undisturbed).trials
    assert [(t.params, t.value) for t in again] == [(t.params, t.value) for t in before]


def test_the_journal_has_the_settings_and_the_objective(undisturbed):
    found, rows = journal(undisturbed), runs.read_study(undisturbed).trials()
    assert found.direction == optuna.study.StudyDirection.MAXIMIZE
    assert len(found.trials) == len(rows) == 18
    for trial, row in zip(found.trials, rows, strict=True):
        assert trial.params["optimizer"] == row["optimizer"]
        assert trial.params["optimizer.lr"] == pytest.approx(row["optimizer.lr"], rel=1e-11)
        assert trial.params["data.batch_size"] == row["data.batch_size"]
        assert trial.value == (row["val_acc"] if row["status"] == "done" else None)


def test_a_kill_after_any_line_of_the_journal_changes_no_point(tmp_path):
    """Points of two axes, three generations; what was told after the kill is told again. The points come nearer."""
    space = plan({"optimizer.lr": "1e-6:1:log", "model.norm": "none,batch"}, samples=40, search="tpe")
    (tmp_path / "whole").mkdir()
    distances = _ask_and_tell(tmp_path / "whole", space, 40)
    early, late = distances[:GENERATION], distances[-2 * GENERATION :]
    assert sum(late) / len(late) < 0.5 * sum(early) / len(early)
    lines = (tmp_path / "whole" / search.JOURNAL).read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 40 + 40
    for cut in range(41):
        folder = tmp_path / str(cut) / "whole"
        folder.mkdir(parents=True)
        (folder / search.JOURNAL).write_bytes(b"".join(lines[:cut]))
        assert _ask_and_tell(folder, space, 20) == distances[:20]


def test_a_damaged_journal_is_named(tmp_path):
    space = plan({"optimizer.lr": "1e-6:1:log"}, samples=8, search="tpe")
    _ask_and_tell(tmp_path, space, 8)
    whole = (tmp_path / search.JOURNAL).read_bytes()
    for damaged in (whole.replace(b"optimizer.lr", b"optimizer.xx"), b"{}\n" + whole, b"no json\n" + whole):
        (tmp_path / search.JOURNAL).write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"optuna.log is damaged"):
            _ask_and_tell(tmp_path, space, 8)


def _ask_and_tell(folder, space, samples=40):
    asks = search.Journal(folder, space.axes, space.base.seed, "val_acc")
    distances = []
    for first in range(0, samples, GENERATION):
        numbers = range(first, min(first + GENERATION, samples))
        points = [asks.ask(number) for number in numbers]
        for number, point in zip(numbers, points, strict=True):
            distances.append(abs(log10(point["optimizer.lr"]) + 2) + (point.get("model.norm") == "batch"))
            asks.tell(number, [Outcome(space.trials[0], {"status": "done", "val_acc": -distances[-1]})])
    return distances


def test_a_later_axis_does_not_replace_the_key_of_an_earlier_one(optilab, small, tmp_path):
    over = ["--over", "optimizer.lr=0.1:1", "--over", "optimizer=sgd,adam", "--search", "tpe", "--samples", 2]
    optilab("sweep", small, *over, "--confirm", 0, "--epochs", 1, "--jobs", 1, "--name", "found", "--quiet")
    study = runs.read_study(tmp_path / "runs" / "found")
    for row in study.trials():
        written = runs.read(study.path / row["trial"]).manifest["config"]["optimizer"]
        assert (written["name"], written["lr"]) == (row["optimizer"], row["optimizer.lr"])
