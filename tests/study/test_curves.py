"""The curves of trainings: means and intervals over seeds, layers, titles, what is left out."""

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats

from optilab.answer.charts.training import metric_scale
from optilab.judge.curves import curve, histories
from optilab.judge.groups import select_runs
from tests.kit.generated import layered, training


def drawn(folder, *names):
    return histories(select_runs(folder, names or ["*"]).records)


def test_the_interval_is_that_of_students_t():
    runs = {1: np.array([0.1, 0.5]), 2: np.array([0.2, 0.4]), 3: np.array([0.3, 0.9])}
    found = curve(runs)
    for epoch in range(2):
        values = [run[epoch] for run in runs.values()]
        expected = stats.t.interval(0.95, 2, loc=fmean(values), scale=stdev(values) / math.sqrt(3))
        assert found.mean[epoch] == pytest.approx(fmean(values))
        assert [side[epoch] for side in found.interval] == pytest.approx(expected)
    assert curve({7: np.array([0.1, 0.5])}).interval is None


def test_an_interval_ends_where_the_metric_does():
    near = {1: np.array([0.9, 0.05]), 2: np.array([0.99, 0.0])}
    low, high = curve(near, "val_acc").interval
    assert (high[0], low[1]) == (1.0, 0.0)
    low, high = curve(near, "val_loss").interval
    assert (low[1] == 0) & (high[0] > 1)
    assert curve({1: np.array([-0.1]), 2: np.array([0.1])}, "val_loss").interval[0] < -0.1  # a loss of one's own


def test_a_mean_is_of_the_same_seeds_in_every_epoch():
    found = curve({1: np.array([0.1, 0.5, 0.9]), 2: np.array([0.2])})
    assert found.mean == pytest.approx([0.15])
    assert len(found.runs[1]) == 3


def test_a_group_is_one_history(tmp_path):
    for seed, accuracies in ((5, (0.2, 0.6, 0.5)), (6, (0.2, 0.8, 0.6))):
        training(tmp_path, f"relu-{seed}", f"seed={seed}", "model.activation=relu", accuracies=accuracies)
    training(tmp_path, "tanh", "seed=5", "model.activation=tanh", accuracies=(0.3,))
    relu, tanh = drawn(tmp_path).groups
    assert (relu.name, relu.seeds, relu.epochs, relu.best) == ("activation relu", (5, 6), 3, 2)
    assert relu.curves["val_acc"].mean == pytest.approx([0.2, 0.7, 0.55])
    assert relu.curves["train_loss"].mean == pytest.approx([0.8, 0.3, 0.45])
    assert (tanh.name, tanh.best, tanh.layers) == ("activation tanh", 1, None)


def test_runs_without_an_epoch_are_left_out_of_curves(tmp_path):
    training(tmp_path, "a", "seed=1", "optimizer.lr=9", status="diverged")
    training(tmp_path, "b", "seed=2", "optimizer.lr=9")
    training(tmp_path, "c", "seed=3", "optimizer.lr=9", accuracies=(), status="diverged")
    training(tmp_path, "d", "seed=1", "optimizer.lr=99", status="diverged")
    training(tmp_path, "e", "epochs=7", accuracies=(), status="diverged")
    found = drawn(tmp_path)
    assert [history.name for history in found.groups] == ["lr 9 (2 of 3 diverged)", "lr 99 (diverged)"]
    assert [record.name for record in found.without_epochs] == ["e"]
    nothing = drawn(tmp_path, "e")
    assert (nothing.groups, [record.name for record in nothing.without_epochs]) == ((), ["e"])


def test_layers_are_averaged_over_the_seeds_as_logarithms(tmp_path):
    for seed, norms in ((1, [1e-6, 1.0, 4.0]), (2, [1e-2, 0.0, None])):
        layered(training(tmp_path, f"run{seed}", f"seed={seed}", accuracies=(0.5,)), norms)
    (history,) = drawn(tmp_path).groups
    assert history.layers.names == ("1", "2", "out")
    gradients = history.layers.values["gradient_norm"]
    assert gradients[:2, 0] == pytest.approx([1e-4, 0.0])
    assert np.isnan(gradients[2, 0])
    assert history.layers.values["update_to_weight"][0, 0] == pytest.approx(1e-5)
    assert history.layers.values["saturated"][:2, 0].tolist() == [0.25, 0.25]
    assert np.isnan(history.layers.values["saturated"][2, 0])


def test_a_layer_of_a_later_stage_has_no_past(tmp_path):
    layered(training(tmp_path, "run", accuracies=(0.1, 0.2)), [1.0, 5.0], [2.0, 3.0, 6.0])
    (history,) = drawn(tmp_path).groups
    expected = [[1.0, 2.0], [math.nan, 3.0], [5.0, 6.0]]  # layer 1, layer 2, output
    assert history.layers.values["gradient_norm"] == pytest.approx(np.array(expected), nan_ok=True)


def test_diagnostics_that_are_damaged_or_ahead_of_the_rows_are_no_layers(tmp_path):
    run = training(tmp_path, "run", accuracies=(0.1, 0.2))
    layered(run, [1.0, 5.0], [2.0, 6.0], [3.0, 7.0])
    with (run / "diagnostics.jsonl").open("a") as file:
        for layers in ("7", "[]", "[7]", '"a"', '[{"gradient_norm": "a"}]'):
            file.write(f'{{"epoch": 900000000000, "layers": {layers}}}\n')
    gradients = drawn(tmp_path).groups[0].layers.values["gradient_norm"]
    assert gradients == pytest.approx(np.array([[1.0, 2.0], [5.0, 6.0]]))
    (run / "diagnostics.jsonl").write_text('{"epoch": 1, "layers": [{"gradient_norm": "a"}, {}]}\n')
    assert np.isnan(drawn(tmp_path).groups[0].layers.values["gradient_norm"]).all()


def test_a_diverged_group_leaves_the_picture_unless_it_is_alone(tmp_path):
    """And the noise of a network that learns nothing stays small."""
    training(tmp_path, "flat", accuracies=(0.1, 0.101, 0.099))
    training(tmp_path, "bad", "optimizer.lr=9", accuracies=(0.1, -1e30), status="diverged")
    view = metric_scale(drawn(tmp_path).groups, "acc")
    assert view.high - view.low == pytest.approx(0.1)
    assert 0.94 < metric_scale(drawn(tmp_path).groups, "loss").high < 1.1
    alone = metric_scale(drawn(tmp_path, "bad").groups, "loss")
    assert alone.high == pytest.approx(1.2 * 100 * math.log(10))  # beyond, a loss leaves the scale
    assert alone.log
