"""A search by TPE: the same study with any number of jobs and after any kill."""

import shutil
from math import log10
from pathlib import Path

import numpy as np
import optuna
import pytest

from optilab import runs
from optilab.study.plan import follow
from optilab.study.search import GENERATION, tpe
from optilab.study.trials import Outcome, Trial
from tests.kit.command import run
from tests.study.test_sweep import files, plan

OVER = ["--over", "optimizer=sgd,adam", "--over", "optimizer.lr=1e-4:10:log", "--over", "data.batch_size=16:64"]
BUDGET = ["--epochs", 1, "--samples", 18, "--search", "tpe", "--confirm", 0, "--quiet", "--name"]


@pytest.fixture(scope="module")
def undisturbed(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    run(["sweep", small, *OVER, *BUDGET, "whole", "--jobs", 1], folder, code=0)
    return folder / "runs" / "whole"


def test_a_study_without_its_last_trials_goes_on_to_the_same_bytes(optilab, small, tmp_path, undisturbed):
    """With another number of jobs, as after a kill in the third generation."""
    study = tmp_path / "runs" / "whole"
    shutil.copytree(undisturbed, study)
    for row in runs.read_study(undisturbed).rows()[16:]:
        shutil.rmtree(study / row["trial"])
    lines = (undisturbed / "plan.jsonl").read_text().splitlines(keepends=True)
    (study / "plan.jsonl").write_text("".join(lines[:16]))
    optilab("sweep", small, *OVER, *BUDGET, "whole", "--jobs", 2)
    assert files(study) == files(undisturbed)


def test_a_search_of_one_axis_uses_all_jobs():
    from optilab.study.study import ExecutionOptions, _workers

    spec = plan({"optimizer.lr": "1e-4:1:log"}, samples=32, search="tpe")
    with _workers(spec, ExecutionOptions(jobs=8), Path(), {}, None) as workers:
        assert workers.slots == 8


def test_the_points_are_those_of_an_unbroken_search_by_optuna():
    """40 points of three axes, some of which fail or diverge; the points come nearer."""
    over = {"optimizer.lr": "1e-6:1:log", "model.norm": "none,batch", "data.batch_size": "16:64"}
    space = plan(over, samples=40, search="tpe")
    points, outcomes = followed(space)
    distances = [-row["val_acc"] for row in outcomes]
    assert sum(distances[-16:]) / 16 < 0.5 * sum(distances[:8]) / 8
    trials = list[optuna.trial.FrozenTrial]()
    for first in range(0, 40, GENERATION):
        for number in range(first, first + GENERATION):
            seed = int(np.random.SeedSequence([space.base.seed, number]).generate_state(1)[0])
            tpe = {"n_startup_trials": GENERATION, "multivariate": True, "constant_liar": True}
            study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, **tpe))
            study.add_trials(trials)
            trial = study.ask()
            lr = trial.suggest_float("optimizer.lr", 1e-6, 1, log=True)
            norm = trial.suggest_categorical("model.norm", ["none", "batch"])
            size = trial.suggest_int("data.batch_size", 16, 64)
            assert points[number] == {
                "optimizer.lr": float(f"{lr:.12g}"),
                "model.norm": norm,
                "data.batch_size": size,
            }
            trials = study.trials
        for number in range(first, first + GENERATION):
            row, states = outcomes[number], optuna.trial.TrialState
            if row["status"] == "done":
                study.tell(number, row["val_acc"])
            else:
                study.tell(number, state=states.FAIL if row["status"] == "failed" else states.PRUNED)
        trials = study.trials


def test_points_that_are_planned_are_not_chosen_again():
    """Whatever another version of Optuna would choose."""
    over = {"optimizer.lr": "1e-6:1:log", "model.norm": "none,batch", "data.batch_size": "16,32"}
    space = plan(over, samples=20, search="tpe")
    alone, _ = followed(space)
    assert followed(space, planned=alone[:13])[0] == alone
    for first, length in (
        (0, 3),
        (8, 13),
    ):  # after a kill, the trial of a point has no directory, and a later one has
        assert followed(space, planned=alone[:first] + alone[first + 1 : length])[0] == alone
    others = [{"optimizer.lr": 10.0**-n, "model.norm": "batch", "data.batch_size": 32} for n in range(1, 6)]
    points, _ = followed(space, planned=others)
    assert points[:5] == others
    assert len({str(point) for point in points}) == 20


def followed(space, planned=()):
    """The points of a search, and rows of what came out of them: better near a rate of 0.01 without a norm."""
    points, rows = list[dict](), list[dict]()

    def trials_of(point):
        points.append(point)
        return [Trial(str(len(points)), space.base, point)]

    def train(batch, ended):
        outcomes = {}
        for number, trial in enumerate(batch.trials, len(rows)):
            rate, norm = trial.settings["optimizer.lr"], trial.settings["model.norm"]
            status = "failed" if number % 11 == 5 else "diverged" if number % 13 == 3 else "done"
            rows.append({"status": status, "val_acc": -abs(log10(rate) + 2) - (norm == "batch")})
            outcomes[trial.name] = Outcome(trial, rows[-1])
        return outcomes

    chosen = tpe(space.axes, space.request.samples, space.base.seed, "val_acc", trials_of, planned)
    follow(chosen, lambda batch: {}, train)
    return points, rows


def test_a_later_axis_does_not_replace_the_key_of_an_earlier_one(optilab, small, tmp_path):
    over = ["--over", "optimizer.lr=0.1:1", "--over", "optimizer=sgd,adam", "--search", "tpe", "--samples", 2]
    optilab("sweep", small, *over, "--confirm", 0, "--epochs", 1, "--jobs", 1, "--name", "found", "--quiet")
    study = runs.read_study(tmp_path / "runs" / "found")
    for row in study.rows():
        written = runs.read(study.path / row["trial"]).manifest["config"]["optimizer"]
        assert (written["name"], written["lr"]) == (row["optimizer"], row["optimizer.lr"])
