"""What a comparison says about itself: rows, baseline, problems, and what is not comparable."""

from dataclasses import replace

import pytest

from optilab import runs
from optilab.answer.comparison_tables import to_confirm
from optilab.errors import UsageError
from optilab.judge.comparison import compare_runs
from optilab.judge.groups import select_runs
from optilab.judge.judge import judge
from optilab.judge.measure import Measure, Missing
from tests.kit.generated import VERSIONS, training

RELU = "model.activation=relu"


def laid(folder, measure=None, **options):
    return compare_runs(select_runs(folder, ["*"]).records, measure or Measure(), **options)


def pair(folder, *changes, seeds=(1, 2, 3), other_seeds=None, **manifest):
    """Trainings of two epochs of the preset (a1, a2, ...), and of the preset with the changes (b1, b2, ...)."""
    for seed in seeds:
        training(folder, f"a{seed}", f"seed={seed}", "epochs=2", accuracies=(0.3, 0.5 + seed / 100))
    for seed in other_seeds or seeds:
        changed = (f"seed={seed}", "epochs=2", *changes)
        training(folder, f"b{seed}", *changed, accuracies=(0.2, 0.7 - seed / 90), **manifest)


def group(folder, name, *changes, ends, seeds=(1, 2, 3), **manifest):
    """Trainings of two epochs whose last accuracies are given, one for each seed."""
    for seed, end in zip(seeds, ends, strict=True):
        training(folder, f"{name}{seed}", f"seed={seed}", "epochs=2", *changes, accuracies=(0.1, end), **manifest)


def noted(side, words):
    notes = [note for note in (*side.notes, *side.procedure) if words in note]
    assert len(notes) == 1, (side.notes, side.procedure)


# --- what is not comparable is said ------------------------------------------------------------------------

OTHER_DATA = {"dataset": "idx", "classes": 10, "sha256": {"train-images-idx3-ubyte": "11" * 32}}
NOTES = {
    "data": ((), {"data": OTHER_DATA}, "different images (data.files)"),
    "no shared seed": ((RELU,), {"other_seeds": (4, 5, 6)}, "too few common seeds for pairs (Welch)"),
    "two shared seeds": ((RELU,), {"other_seeds": (2, 3, 4)}, "too few common seeds for pairs (Welch)"),
    "three of four": ((RELU,), {"other_seeds": (1, 2, 3, 4)}, "only common seeds are compared"),
    "versions": (
        (RELU,),
        {"versions": {**VERSIONS, "torch": "2.13.0"}},
        "equal digits (versions.torch)",
    ),
}


@pytest.mark.parametrize("what", NOTES)
def test_what_is_not_comparable_is_noted(what, tmp_path):
    changes, made, words = NOTES[what]
    pair(tmp_path, *changes, **made)
    noted(laid(tmp_path), words)


def test_comparable_groups_have_nothing_to_note(tmp_path):
    """Negative control of the notes above."""
    pair(tmp_path, RELU)
    assert laid(tmp_path).notes == ()
    assert laid(tmp_path).circumstances == {}


def test_a_table_in_which_nothing_learned_says_so(tmp_path):
    group(tmp_path, "a", ends=[0.1] * 3)
    group(tmp_path, "b", RELU, ends=[0.11] * 3)
    noted(laid(tmp_path), "no row is better than chance")
    group(tmp_path, "c", "model.activation=tanh", ends=[0.6] * 3)  # one row that learned is enough
    assert not [note for note in laid(tmp_path).notes if "chance" in note]


def test_diverged_and_unfinished_trainings_are_said(tmp_path):
    pair(tmp_path, RELU)
    group(tmp_path, "a", seeds=[4], ends=[0.1], status="diverged")
    group(tmp_path, "b", RELU, seeds=[5], ends=[0.1], status="interrupted")
    training(tmp_path, "again", "seed=1", "epochs=2", "threads=1", accuracies=(0.3, 0.51))
    side = laid(tmp_path)
    for words in (
        "1 of 4 seeds diverged",
        "left out: b5: interrupted",
        "another run has the same settings and seed",
    ):
        noted(side, words)
    row = side.judgment.rows[0]
    assert (row.diverged, row.values[4]) == (1, 0.1)
    assert row.summary.mean == pytest.approx((0.51 + 0.52 + 0.53) / 3)


def test_the_best_of_more_epochs_is_no_better(tmp_path):
    for seed in (1, 2, 3, 4):
        wave = [0.5 + 0.01 * ((seed * epoch) % 7) for epoch in range(30)]
        training(tmp_path, f"a{seed}", f"seed={seed}", "epochs=3", accuracies=wave[:3])
        training(tmp_path, f"b{seed}", f"seed={seed}", "epochs=30", accuracies=wave)
    side = laid(tmp_path, Measure(at="best"))
    first, second = (candidate.outcomes.values for candidate in side.candidates)
    assert first == second
    noted(side, "not the same epochs: 3, 30; the best of the first 3 counts")


def test_the_best_of_an_accuracy_that_few_epochs_have_is_within_the_first_epochs(tmp_path):
    run = training(tmp_path, "few", "epochs=4", accuracies=(0.1, 0.4, 0.6, 0.8), command="watch")
    rows = runs.read(run).rows()
    for row in rows[::2]:
        row["val_acc"] = None
    (run / "metrics.csv").write_bytes(runs.table(rows))
    record = runs.read(run)
    assert [Measure(at="best").value(record, horizon) for horizon in (4, 3)] == [0.8, 0.4]
    assert isinstance(Measure(at="best").value(record, 1), Missing)


# --- several problems --------------------------------------------------------------------------------------


@pytest.fixture
def grid(tmp_path):
    """Two rules on three depths; adam is better by 0.1, 0.2 and 0.3, and each seed by a little."""
    for optimizer, gain in (("sgd", 0.0), ("adam", 0.1)):
        for depth in (1, 2, 3):
            for seed in (1, 2, 3, 4):
                changes = (f"optimizer={optimizer}", f"model.hidden={[8] * depth}", f"seed={seed}", "epochs=1")
                accuracy = 0.3 + gain * depth + seed / 100 + gain * seed / 50
                training(tmp_path, f"{optimizer}-{depth}-{seed}", *changes, accuracies=(accuracy,))
    return tmp_path


def test_by_a_key_rows_are_means_over_settings(grid):
    side = laid(grid, by=["optimizer"])
    sgd, adam = side.candidates
    assert (sgd.label, adam.label) == ("sgd", "adam")
    assert side.other_settings == ("hidden [8]", "hidden [8, 8]", "hidden [8, 8, 8]")
    assert adam.outcomes.values == {seed: pytest.approx(0.5 + seed / 100 + seed / 500) for seed in (1, 2, 3, 4)}
    assert side.judgment.rows[0].difference.difference == pytest.approx(-0.205)
    noted(side, "each row is the mean over 3 other settings")


def test_a_setting_that_a_row_lacks_is_left_out(grid):
    training(grid, "alone", "optimizer=adam", "model.hidden=[9]", "epochs=1", accuracies=(0.9,))
    side = laid(grid, by=["optimizer"])
    assert len(side.other_settings) == 3
    assert side.judgment.rows[0].difference.difference == pytest.approx(-0.205)


def test_by_a_key_that_decides_the_others_only_labels(tmp_path):
    pair(tmp_path, RELU, "name=second")
    side = laid(tmp_path, by=["name"])
    assert [candidate.label for candidate in side.candidates] == ["name sigmoid", "name second"]
    assert not side.other_settings


@pytest.mark.parametrize("name", ["activation relu", "relu", "b2", "second"])
def test_a_baseline_is_a_label_a_config_or_a_run(tmp_path, name):
    pair(tmp_path, RELU, "name=second")
    side = laid(tmp_path, baseline=name)
    assert side.candidates[side.judgment.baseline.key].label == "activation relu"


def test_rows_without_a_common_setting_are_refused(tmp_path):
    for optimizer, depth in (("sgd", 1), ("sgd", 2), ("adam", 3)):
        training(tmp_path, f"{optimizer}-{depth}", f"optimizer={optimizer}", f"model.hidden={[8] * depth}")
    with pytest.raises(UsageError, match=r"--by optimizer: no setting of model.hidden is common"):
        laid(tmp_path, by=["optimizer"])


def test_other_seeds_choose_the_best_setting(tmp_path):
    """Adam is worse on average, as one of its rates fails, and better at its best."""
    levels = {("sgd", 0.1): 0.6, ("sgd", 0.2): 0.62, ("adam", 0.1): 0.1, ("adam", 0.2): 0.7}
    for (optimizer, rate), level in levels.items():
        for seed in (1, 2, 3, 4):
            changes = (f"optimizer={optimizer}", f"optimizer.lr={rate}", f"seed={seed}", "epochs=1")
            accuracy = level + seed / 100 + (0.09 if (optimizer, rate, seed) == ("sgd", 0.1, 3) else 0)
            status = "diverged" if level == 0.1 else "done"
            training(tmp_path, f"{optimizer}-{rate}-{seed}", *changes, accuracies=(accuracy,), status=status)
    with pytest.raises(UsageError, match="apart from optimizer, lr, no setting has two values"):
        laid(tmp_path, by=["optimizer", "lr"], best=True)
    best = laid(tmp_path, by=["optimizer"], best=True)
    assert [best.candidates[i].label for i in best.judgment.order] == ["adam", "sgd"]
    rows = {best.candidates[row.key].label: row.values for row in best.judgment.rows}
    # Without seed 3 the rate 0.2 is the best of sgd, although with it 0.1 is.
    assert rows["sgd"][3] == pytest.approx(0.65)
    assert rows["adam"] == {seed: pytest.approx(0.7 + seed / 100) for seed in (1, 2, 3, 4)}
    assert not [note for note in best.notes if "diverged" in note]  # no seed chose that rate


@pytest.mark.parametrize(("verdicts", "count"), [("bwcw", 3), ("bcww", 2), ("bww", 2), ("b" + "w" * 9 + "c", 8)])
def test_a_confirmation_covers_all_that_may_be_best(verdicts, count):
    found = judge({place: {1: -float(place), 2: 0.5 - place} for place in range(len(verdicts))})
    words = {"b": "cannot tell", "c": "cannot tell", "w": "worse"}
    rows = [replace(row, verdict=words[word]) for row, word in zip(found.rows, verdicts, strict=True)]
    assert to_confirm(replace(found, rows=tuple(rows))) == count
