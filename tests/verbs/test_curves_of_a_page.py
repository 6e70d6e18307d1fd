"""The data of a report's curves: what is shown of many long trainings is what was recorded, and it stays small."""

import numpy as np
import pytest

from optilab.show.page import safe_json
from optilab.study.curves import MEASURED, History, LayerHistory, curve
from optilab.verbs.curves_page import curves

METRICS = ("train_loss", "val_loss", "train_acc", "val_acc")


def group(number, epochs, seeds, layers=6, diverged=0):
    """A group with random curves."""
    generator = np.random.default_rng(number)
    runs = {metric: {seed: generator.uniform(0.1, 1, epochs) for seed in range(seeds)} for metric in METRICS}
    found = {metric: curve(of_metric) for metric, of_metric in runs.items()}
    values = {quantity: generator.uniform(1e-6, 1, (layers, epochs)) for quantity in MEASURED}
    names = (*map(str, range(1, layers)), "out")
    best = int(np.argmax(found["val_acc"].mean)) + 1
    return History(f"group {number}", found, best, LayerHistory(names, values), None, seeds, diverged, 10)


@pytest.mark.parametrize(
    ("groups", "seeds", "megabytes"), [(34, 3, 5), (100, 1, 5), (334, 3, 6), (1000, 1, 6)], ids=str
)
def test_the_data_of_many_trainings_stay_small(groups, seeds, megabytes):
    data = curves([group(number, 300, seeds) for number in range(groups)])
    assert len(safe_json(data)) < 1e6 * megabytes
    assert data["epochs"][0] == 1
    assert data["epochs"][-1] == 300


def test_thinned_curves_show_recorded_values_and_every_end():
    histories = [group(number, 300 if number else 17, 3, diverged=not number) for number in range(334)]
    data = curves(histories)
    assert data["every"] > 1
    assert {17, 300} <= set(data["epochs"])
    for history, shown in zip(histories, data["groups"], strict=True):
        assert "runs" not in shown["acc"]
        chosen = [epoch for epoch in data["epochs"] if epoch <= history.epochs]
        for side, name in ((history.curves["val_acc"].mean, "val"), (history.curves["train_acc"].mean, "train")):
            assert shown["acc"][name] == pytest.approx([side[epoch - 1] for epoch in chosen], rel=1e-5)
        assert shown["best"][1:] == [history.curves[m].mean[history.best - 1] for m in ("val_loss", "val_acc")]


def test_few_trainings_are_whole():
    data = curves([group(0, 300, 3), None])
    assert data["epochs"] == list(range(1, 301))
    assert [len(run) for run in data["groups"][0]["loss"]["runs"]] == [300] * 3
    assert data["groups"][1] is None


def test_numbers_that_are_not_finite_are_gaps():
    history = group(0, 3, 1)
    history.curves["val_loss"].mean[1] = np.inf
    assert curves([history])["groups"][0]["loss"]["val"][1] is None


def test_no_training_has_an_epoch():
    assert curves([None]) == {"groups": [None]}
