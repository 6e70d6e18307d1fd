"""One number per training: where it is taken, and what stands for a training that has none."""

from math import log

import numpy as np
import pytest
from scipy import optimize

from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import override_from_text
from optilab.errors import DataError, UsageError
from optilab.judge.comparison import no_better_than_chance
from optilab.judge.groups import groups, select_runs
from optilab.judge.measure import Measure, read_measure, values_of
from optilab.runs import best, read
from optilab.study.plan import Batch
from optilab.study.study import known
from optilab.study.trials import Trial
from tests.kit.generated import training


def outcomes(folder, measure):
    """What was taken of the group `lr 0.01` and of `lr 0.1`, if there is one."""
    return values_of(groups(select_runs(folder, ["*"]).records).groups, measure)


@pytest.fixture
def one(tmp_path):
    training(tmp_path, "one", "seed=1", accuracies=(0.1, 0.8, 0.6))
    return tmp_path


@pytest.mark.parametrize(
    ("measure", "name", "expected"),
    [
        (("val_acc", "last", None, "epochs"), "last val_acc", 0.6),
        (("val_acc", "best", None, "epochs"), "best val_acc", 0.8),
        (("val_acc", "1", None, "epochs"), "val_acc at epoch 1", 0.1),
        (("val_acc", "area", None, "epochs"), "mean val_acc", 0.5),
        (("val_loss", "last", None, "epochs"), "last val_loss", 0.4),
        (("val_loss", "best", None, "epochs"), "best val_loss", 0.2),
        (("val_acc", "last", 0.6, "epochs"), "epochs to 60%", 2.0),
        (("train_loss", "last", 0.4, "seconds"), "seconds to train_loss 0.4", 4.0),
        (("seconds", "last", None, "epochs"), "last seconds", 6.0),
        (("test_acc", "last", None, "epochs"), "last test_acc", 0.7),
    ],
)
def test_where_the_outcome_is_taken(tmp_path, measure, name, expected):
    training(tmp_path, "one", "seed=1", accuracies=(0.1, 0.8, 0.6), test_acc=0.7)
    taken = read_measure(*measure)
    (outcome,) = outcomes(tmp_path, taken)
    assert taken.name == name
    assert outcome.values == {1: pytest.approx(expected)}
    assert not outcome.imputed
    assert not outcome.excluded


def test_the_test_set_at_the_best_epoch_is_that_of_a_training_that_ends_there(optilab, small, tmp_path):
    """However long the trainings are, and whichever of their epochs is the best."""
    more = (small, "--set", "data.holdout=40", "--set", "weight_decay=0.1", "--lr", "2", "--quiet")
    records = {}
    for epochs in range(1, 7):
        optilab("train", *more, "--epochs", epochs, "--name", f"e{epochs}")
        records[epochs] = read(tmp_path / "runs" / f"e{epochs}")
    top = {epochs: best(record.rows())["epoch"] for epochs, record in records.items()}
    assert any(top[epochs] < epochs for epochs in top)
    for epochs, record in records.items():
        for key in ("test_acc", "test_loss"):
            assert record.manifest[f"best_{key}"] == records[top[epochs]].manifest[key]
    (taken,) = values_of(groups([records[6]]).groups, Measure("test_acc", "best"))
    assert taken.values == {42: records[top[6]].manifest["test_acc"]}


def test_an_epoch_without_its_time_is_named(one):
    path = one / "one" / "timings.csv"
    lines = path.read_text().splitlines(keepends=True)
    for lost in (1, 2, 3):
        path.write_text("".join(line for number, line in enumerate(lines) if number != lost))
        with pytest.raises(DataError, match=rf"timings\.csv has no time of epoch {lost}$"):
            outcomes(one, Measure("seconds"))


@pytest.mark.parametrize(
    ("measure", "worst"),
    [
        (Measure(), 0.1),
        (Measure(at="best"), 0.1),
        (Measure(at=1), 0.1),
        (Measure("val_loss", at="area"), log(10)),
        (Measure(target=0.55), 4.0),
        (Measure(target=0.55, until="seconds"), 8.0),
    ],
)
def test_a_training_that_diverged_counts_as_the_worst(one, measure, worst):
    training(one, "diverged", "seed=2", accuracies=(0.5,), status="diverged")
    (taken,) = outcomes(one, measure)
    assert taken.values[2] == pytest.approx(worst)
    assert taken.imputed == {2: "diverged"}
    (seconds,) = outcomes(one, Measure("seconds"))  # which has no chance level
    assert (seconds.values, seconds.excluded) == ({1: 6.0}, {2: "diverged: diverged"})
    (reached,) = outcomes(one, Measure(target=0.5))  # before it diverged
    assert reached.values == {1: 2.0, 2: 1.0}


@pytest.mark.parametrize("metric", ["val_loss", "val_acc", "top5_acc"])
def test_what_diverged_is_left_out_without_a_chance_level(metric, tmp_path):
    """Of a regression, whose number of classes is 0, and of a column that only a loop has."""
    facts = {"command": "watch", "data": {"classes": 10 if metric == "top5_acc" else 0}}
    records = []
    for seed, status in ((1, "done"), (2, "diverged")):
        path = training(tmp_path / str(seed), "loop", f"seed={seed}", "epochs=2", status=status, **facts)
        table = path / "metrics.csv"
        table.write_text(table.read_text().replace("train_acc", "top5_acc"))
        records.append(read(path))
    (taken,) = values_of(groups(records).groups, Measure(metric))
    assert (taken.chance, [*taken.values], [*taken.excluded]) == (None, [1], [2])
    assert not no_better_than_chance([taken], higher_is_better=True)


def test_what_a_divergence_counts_as_does_not_depend_on_other_groups(one):
    training(one, "high", "seed=2", accuracies=(-8.0,))
    training(one, "diverged", "seed=3", accuracies=(0.5,), status="diverged")
    training(one, "other", "seed=1", "optimizer.lr=0.2", accuracies=(0.5,), status="diverged")
    training(one, "awful", "seed=2", "optimizer.lr=0.3", accuracies=(-40.0,))
    own, other, _ = outcomes(one, Measure("val_loss"))
    assert own.values[3] == 9.0  # the highest of its own group
    assert other.values[1] == pytest.approx(log(10))


def test_the_time_is_where_the_isotonic_regression_crosses_the_target(tmp_path):
    generator = np.random.default_rng(0)
    for seed in range(20):
        curve = 0.05 * np.arange(12) + generator.normal(0, 0.1, 12)
        training(tmp_path, f"r{seed:02}", f"seed={seed}", "epochs=12", accuracies=curve.tolist())
    (taken,) = outcomes(tmp_path, Measure(target=0.3))
    for record in select_runs(tmp_path, ["*"]).records:
        fitted = optimize.isotonic_regression([row["val_acc"] for row in record.rows()]).x
        reached = np.flatnonzero(fitted >= 0.3)
        assert taken.values[record.manifest["seed"]] == (reached[0] + 1 if len(reached) else 13)


def test_times_are_compared_between_trainings_of_one_length(tmp_path):
    training(tmp_path, "short", "seed=1", "epochs=3", accuracies=(0.1, 0.2, 0.3))
    training(tmp_path, "long", "seed=1", "epochs=5", accuracies=(0.1, 0.2, 0.3, 0.4, 0.5))
    with pytest.raises(UsageError, match="--target: expected trainings of one length, got 3 and 5 epochs"):
        outcomes(tmp_path, Measure(target=0.4))


def test_a_target_that_was_not_reached_is_one_epoch_after_the_end_of_the_longest_training(one):
    """Also for a training that stopped early without it."""
    for seed, curve in ((2, (0.1, 0.2, 0.3)), (3, (0.1, 0.1, 0.1, 0.1, 0.5, 0.8, 0.8))):
        training(one, f"r{seed}", f"seed={seed}", "epochs=300", accuracies=curve)
    (taken,) = outcomes(one, Measure(target=0.55))
    assert taken.values == {1: 2.0, 2: 8.0, 3: 6.0}
    assert taken.imputed == {2: "never reached"}
    assert outcomes(one, Measure(target=0.55, until="seconds"))[0].values == {1: 4.0, 2: 16.0, 3: 12.0}
    assert outcomes(one, Measure(target=0.25))[0].values == {1: 2.0, 2: 3.0, 3: 5.0}


@pytest.mark.parametrize("measure", [Measure(), Measure(at=3), Measure(target=0.7), Measure("test_acc")])
def test_a_training_that_did_not_end_has_no_outcome(one, measure):
    """But an epoch that it has counts."""
    training(one, "stopped", "seed=2", accuracies=(0.1, 0.2), status="interrupted", test_acc=0.3)
    training(one, "one-more", "seed=3", accuracies=(0.1, 0.8, 0.6), test_acc=0.3)
    (taken,) = outcomes(one, measure)
    assert taken.excluded[2] == "stopped: interrupted after epoch 2 of 300"
    assert 2 not in taken.values
    assert outcomes(one, Measure(at=2))[0].values == {1: 0.8, 2: 0.2, 3: 0.8}


@pytest.mark.parametrize("measure", [Measure(), Measure(at="best"), Measure(at="area"), Measure(target=0.7)])
def test_a_training_that_was_killed_after_its_last_epoch_has_not_ended(measure, tmp_path):
    """Until it is continued, which finds nothing left to train: the same for every measure."""
    training(tmp_path, "killed", "epochs=2", accuracies=(0.1, 0.8), status="interrupted")
    missing = measure.value(read(tmp_path / "killed"), 2)
    assert getattr(missing, "why", missing) == "killed: interrupted after epoch 2 of 2"


@pytest.mark.parametrize(("epochs", "done"), [(10, 10), (20, 10), (10, 6), (20, 6)])
def test_a_training_has_ended_with_all_epochs_or_by_early_stopping(epochs, done, tmp_path):
    """A study that grows by epochs trains on those that early stopping did not end."""
    changes = ["early_stopping.patience=3", "epochs=10"]
    trial = Trial(
        "one", load(TrainConfig, "sigmoid", [override_from_text(text) for text in (*changes, f"epochs={epochs}")])
    )
    training(tmp_path, trial.name, *changes, accuracies=(0.5,) * done)
    assert bool(known(tmp_path, Batch([trial]))) == (done == 6 or epochs == 10)
