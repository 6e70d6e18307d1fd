"""What a comparison says about itself: rows, baseline, problems, and what is not comparable."""

import json
from dataclasses import replace

import pytest

from optilab.errors import UsageError
from optilab.study.comparison import compare_runs, judge
from optilab.study.groups import Measure, select
from optilab.verbs.comparison_tables import to_confirm, verdict
from tests.study.generated import DIGESTS, VERSIONS, training


def laid(folder, measure=None, **options):
    return compare_runs(select(folder, ["*"]).records, measure or Measure(), **options)


def pair(folder, *changes, seeds=(1, 2, 3), other_seeds=None, epochs=2, **manifest):
    """Three trainings of each of two groups: the preset, and the preset with the changes."""
    for seed in seeds:
        training(folder, f"a{seed}", f"seed={seed}", f"epochs={epochs}", accuracies=(0.3, 0.5 + seed / 100))
    for seed in other_seeds or seeds:
        training(
            folder,
            f"b{seed}",
            f"seed={seed}",
            f"epochs={epochs}",
            *changes,
            accuracies=(0.2, 0.7 - seed / 90),
            **manifest,
        )


def noted(side, *words):
    found = [note for note in side.notes if all(word in note for word in words)]
    assert len(found) == 1, side.notes
    return found[0]


def test_comparable_groups_have_nothing_to_note(tmp_path):
    pair(tmp_path, "model.activation=relu")
    assert laid(tmp_path).notes == ()


def test_a_table_in_which_nothing_learned_says_so(tmp_path):
    for seed in (1, 2, 3):
        training(tmp_path, f"a{seed}", f"seed={seed}", "epochs=2", accuracies=(0.1, 0.1))
        training(
            tmp_path,
            f"b{seed}",
            f"seed={seed}",
            "epochs=2",
            "model.activation=relu",
            accuracies=(0.1, 0.11),
        )
    assert "no row is better than chance" in noted(laid(tmp_path), "optilab diagnose")


def test_a_row_that_a_lucky_run_passes_is_the_highest_of_those_with_several_seeds(tmp_path):
    pair(tmp_path, "model.activation=relu")
    training(tmp_path, "c1", "seed=1", "epochs=2", "model.activation=tanh", accuracies=(0.1, 0.99))
    said = verdict(laid(tmp_path))
    assert said.startswith("activation relu has the highest last val_acc of the rows with several seeds: ")
    assert " below activation tanh" in said


def test_a_tie_is_called_so(tmp_path):
    for name, *changes in (("a",), ("b", "model.activation=relu")):
        for seed in (1, 2, 3):
            training(
                tmp_path, f"{name}{seed}", f"seed={seed}", "epochs=2", *changes, accuracies=(0.3, 0.5 + seed / 100)
            )
    said = verdict(laid(tmp_path))
    assert ", the same as activation " in said
    assert "0.0 percentage points" not in said


def test_one_row_that_learned_is_enough(tmp_path):
    pair(tmp_path, "model.activation=relu")
    training(tmp_path, "c1", "seed=1", "epochs=2", "model.activation=tanh", accuracies=(0.1, 0.1))
    assert not [note for note in laid(tmp_path).notes if "chance" in note]


def test_the_variance_of_the_table_is_said(tmp_path):
    pair(tmp_path, "model.activation=relu")
    for seed in (1, 2, 3):
        training(tmp_path, f"c{seed}", f"seed={seed}", "epochs=2", "model.activation=tanh", accuracies=(0.3, 0.4))
    note = (
        "fewer than 8 seeds may agree by luck, so a verdict assumes that no row varies less than the average row"
    )
    assert laid(tmp_path).notes == (note,)


def test_other_data_are_said(tmp_path):
    digests = {"train-images-idx3-ubyte": "11" * 32}
    pair(tmp_path, data={"dataset": "idx", "classes": 10, "sha256": digests})
    assert digests != DIGESTS
    side = laid(tmp_path)
    noted(side, "not the same data: data.files differs")
    assert "data.train-images-idx3-ubyte" in side.circumstances


def test_other_validation_images_are_said(tmp_path):
    pair(tmp_path, "data.holdout=100")
    noted(laid(tmp_path), "not the same data: data.holdout")


def test_other_epochs_are_said(tmp_path):
    pair(tmp_path, "epochs=9")
    noted(laid(tmp_path), "not the same epochs: 2, 9; --at 2 compares at the same epoch")
    assert not [note for note in laid(tmp_path, Measure(at=2)).notes if "epochs" in note]


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ((4, 5, 6), "share no seed: compared without pairs (Welch)"),
        ((2, 3, 4), "share only 2 seeds: compared without pairs (Welch)"),
        ((1, 2, 3, 4), "share 3 of 4 seeds; only these are compared"),
    ],
)
def test_seeds_that_are_not_shared_are_said(tmp_path, seeds, words):
    pair(tmp_path, "model.activation=relu", other_seeds=seeds)
    noted(laid(tmp_path), words)


def test_one_seed_of_loops_of_ones_own_is_not_one_of_train(tmp_path):
    pair(tmp_path, "model.activation=relu", seeds=(1,))
    for path in tmp_path.glob("*/manifest.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "command": "watch"}))
    noted(
        laid(tmp_path),
        "no interval with a single seed; save each seed under the same name in another directory",
    )


def test_one_seed_is_said(tmp_path):
    pair(tmp_path, "model.activation=relu", seeds=(1,))
    side = laid(tmp_path)
    noted(side, "no interval with a single seed; train with --seeds 5")
    assert side.comparison.rows[0].difference.verdict == "cannot tell"


def test_what_holds_of_several_groups_is_said_once():
    from optilab.study.comparison import _one_or_number

    assert _one_or_number(["lr 0.1"]) == "lr 0.1"
    assert _one_or_number(["lr 0.1", "lr 1"]) == "2 groups"


def test_many_rows_with_seeds_that_diverged_have_one_note(tmp_path):
    for number in range(4):
        for seed, status in ((1, "diverged"), (2, "done")):
            changed = ("epochs=2", f"optimizer.lr=0.{number + 1}", f"seed={seed}")
            training(tmp_path, f"r{number}{seed}", *changed, accuracies=(0.1,), status=status)
    noted(laid(tmp_path), "4 rows: 4 of 8 diverged and count as the chance level in differences and verdicts")


def test_diverged_and_unfinished_trainings_are_said(tmp_path):
    pair(tmp_path, "model.activation=relu")
    training(tmp_path, "a4", "seed=4", "epochs=2", accuracies=(0.1,), status="diverged")
    training(tmp_path, "b5", "seed=5", "epochs=2", "model.activation=relu", accuracies=(0.1,), status="failed")
    side = laid(tmp_path)
    noted(side, "activation sigmoid: 1 of 4 diverged and counts as the chance level in differences and verdicts")
    noted(side, "activation relu: left out b5: failed after epoch 1 of 2")
    row = side.comparison.rows[0]
    assert row.diverged == 1
    assert row.summary.mean == pytest.approx((0.51 + 0.52 + 0.53) / 3)
    assert row.values[4] == 0.1


def test_the_best_epoch_of_the_test_set_is_optimistic(tmp_path):
    pair(tmp_path, "model.activation=relu")
    noted(laid(tmp_path, Measure(at="best")), "optimistic")


def test_the_best_of_other_images_is_optimistic_too(tmp_path):
    """Of images that were held out: the figure is still that of the images that chose the epoch."""
    for activation in ("relu", "tanh"):
        for seed in (1, 2):
            changes = (f"model.activation={activation}", f"seed={seed}", "data.holdout=5")
            training(tmp_path, f"{activation}{seed}", *changes)
    noted(laid(tmp_path, Measure(at="best")), "optimistic")
    assert not [note for note in laid(tmp_path).notes if "optimistic" in note]


def test_the_best_of_more_epochs_is_no_better(tmp_path):
    for seed in (1, 2, 3, 4):
        wave = [0.5 + 0.01 * ((seed * epoch) % 7) for epoch in range(30)]
        training(tmp_path, f"a{seed}", f"seed={seed}", "epochs=3", accuracies=wave[:3])
        training(tmp_path, f"b{seed}", f"seed={seed}", "epochs=30", accuracies=wave)
    side = laid(tmp_path, Measure(at="best"))
    first, second = (candidate.outcomes.values for candidate in side.candidates)
    assert first == second
    noted(side, "not the same epochs: 3, 30; the best of the first 3 counts")


def test_times_are_compared_in_the_epochs_that_all_have(tmp_path):
    """The same curves, watched for 4 and for 12 epochs: nothing is faster."""
    for seed in (1, 2, 3, 4, 5):
        curve = [0.1 * epoch + 0.01 * seed for epoch in range(12)]
        training(tmp_path, f"short{seed}", f"seed={seed}", "epochs=4", accuracies=curve[:4])
        training(tmp_path, f"long{seed}", f"seed={seed}", "epochs=12", "optimizer.lr=0.02", accuracies=curve)
    side = laid(tmp_path, Measure(target=0.6))
    assert {row.verdict for row in side.comparison.rows} == {"cannot tell"}
    assert side.candidates[0].outcomes.values == side.candidates[1].outcomes.values
    noted(side, "times are compared in the first 4 epochs, in which all trainings were watched")


def test_repeated_trainings_are_said(tmp_path):
    pair(tmp_path, "model.activation=relu")
    training(tmp_path, "again", "seed=1", "epochs=2", "threads=1", accuracies=(0.3, 0.4))
    noted(laid(tmp_path), "left out, a run with the same settings and seed counts")


def test_other_versions_are_said(tmp_path):
    pair(tmp_path, "model.activation=relu", versions={**VERSIONS, "torch": "2.13.0"})
    side = laid(tmp_path)
    assert side.circumstances == {"versions.torch": {"2.10.0": 3, "2.13.0": 3}}
    noted(side, "versions.torch differs between the runs, so equal seeds do not give equal digits")


def test_one_group_is_said(tmp_path):
    pair(tmp_path, other_seeds=(4,))
    noted(laid(tmp_path), "one group: nothing to compare with")


@pytest.mark.parametrize("name", ["activation relu", "relu", "b2", "second"])
def test_a_baseline_is_named_by_label_config_or_run(tmp_path, name):
    pair(tmp_path, "model.activation=relu", "name=second")
    side = laid(tmp_path, baseline=name)
    assert side.candidates[side.comparison.baseline.key].label == "activation relu"
    assert not side.comparison.chosen


def test_an_unknown_baseline_is_refused_with_the_labels(tmp_path):
    pair(tmp_path, "model.activation=relu")
    with pytest.raises(
        UsageError, match="no row is called 'tanh'; one of 'activation sigmoid', 'activation relu'"
    ):
        laid(tmp_path, baseline="tanh")


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


def test_by_a_key_each_row_is_the_mean_over_the_other_settings(grid):
    side = laid(grid, by=["optimizer"])
    sgd, adam = side.candidates
    assert (sgd.label, adam.label) == ("optimizer sgd", "optimizer adam")
    assert side.problems == ("hidden [8]", "hidden [8, 8]", "hidden [8, 8, 8]")
    assert adam.outcomes.values == {seed: pytest.approx(0.5 + seed / 100 + seed / 500) for seed in (1, 2, 3, 4)}
    assert side.comparison.rows[0].difference.difference == pytest.approx(-0.205)
    assert side.ranks == (2.0, 1.0)
    noted(side, "each row is the mean over 3 other settings", "seeds as the sample")


def test_over_problems_the_problems_are_the_sample(grid):
    side = laid(grid, by=["optimizer"], sample="problems")
    assert side.comparison.rows[0].summary.n == 3
    assert side.comparison.rows[0].difference.difference == pytest.approx(-0.205)
    assert side.comparison.rows[0].difference.verdict == "cannot tell"  # gains of 0.1, 0.2 and 0.3


def test_problems_that_not_all_rows_have_are_left_out(grid):
    training(grid, "alone", "optimizer=adam", "model.hidden=[9]", "epochs=1", accuracies=(0.9,))
    assert len(laid(grid, by=["optimizer"]).problems) == 3


def test_by_without_anything_in_common_is_refused(tmp_path):
    for optimizer, depth in (("sgd", 1), ("sgd", 2), ("adam", 3)):
        training(tmp_path, f"{optimizer}-{depth}", f"optimizer={optimizer}", f"model.hidden={[8] * depth}")
    with pytest.raises(UsageError, match=r"--by optimizer: no setting of model.hidden is common"):
        laid(tmp_path, by=["optimizer"])


def test_by_a_key_that_decides_the_others_only_labels(tmp_path):
    pair(tmp_path, "model.activation=relu", "name=second")
    side = laid(tmp_path, by=["name"])
    assert [candidate.label for candidate in side.candidates] == ["name sigmoid", "name second"]
    assert not side.problems


@pytest.mark.parametrize(
    ("by", "message"),
    [("optimizer.lr", "the same in all runs"), ("optimzer", "no such setting")],
)
def test_by_what_does_not_differ_is_refused(tmp_path, by, message):
    pair(tmp_path, "model.activation=relu")
    with pytest.raises(UsageError, match=message):
        laid(tmp_path, by=[by])


@pytest.mark.parametrize("sample", ["problems", "best"])
def test_over_problems_needs_problems(tmp_path, sample):
    pair(tmp_path, "model.activation=relu")
    with pytest.raises(UsageError, match=f"--sample {sample} needs rows of several settings: add --by KEY"):
        laid(tmp_path, sample=sample)


def test_each_row_at_its_best_setting_which_other_seeds_chose(tmp_path):
    """Adam is worse on average, as one of its rates fails, and better at its best."""
    levels = {("sgd", 0.1): 0.6, ("sgd", 0.2): 0.62, ("adam", 0.1): 0.1, ("adam", 0.2): 0.7}
    for (optimizer, rate), level in levels.items():
        for seed in (1, 2, 3, 4):
            changes = (f"optimizer={optimizer}", f"optimizer.lr={rate}", f"seed={seed}", "epochs=1")
            accuracy = level + seed / 100 + (0.05 if (optimizer, rate, seed) == ("sgd", 0.1, 3) else 0)
            status = "diverged" if level == 0.1 else "done"
            training(tmp_path, f"{optimizer}-{rate}-{seed}", *changes, accuracies=(accuracy,), status=status)
    by = ["optimizer"]
    with pytest.raises(UsageError, match="apart from optimizer, lr, no setting has two values"):
        laid(tmp_path, by=["optimizer", "lr"], sample="best")
    assert [row.label for row in laid(tmp_path, by=["lr"]).candidates] == ["lr 0.1", "lr 0.2"]
    best = laid(tmp_path, by=by, sample="best")
    assert [best.candidates[i].label for i in best.comparison.order] == ["optimizer adam", "optimizer sgd"]
    rows = {best.candidates[row.key].label: row.values for row in best.comparison.rows}
    # Without seed 3 the rate 0.2 is the best of sgd, although at seed 3 itself 0.1 is.
    assert rows["optimizer sgd"][3] == pytest.approx(0.65)
    assert rows["optimizer adam"] == {seed: pytest.approx(0.7 + seed / 100) for seed in (1, 2, 3, 4)}
    noted(
        best,
        "each row shows the best of its 2 settings of the other axes, chosen for each seed by the other seeds",
    )
    assert not [note for note in best.notes if "diverged" in note]  # no seed chose that rate


@pytest.mark.parametrize(("verdicts", "count"), [("bwcw", 3), ("bcww", 2), ("bww", 2), ("b" + "w" * 9 + "c", 8)])
def test_a_confirmation_counts_the_best_means_down_to_the_last_that_may_be_the_best(verdicts, count):
    found = judge({place: {1: -float(place), 2: 0.5 - place} for place in range(len(verdicts))})
    words = {"b": "cannot tell", "c": "cannot tell", "w": "worse"}
    rows = [replace(row, verdict=words[word]) for row, word in zip(found.rows, verdicts, strict=True)]
    assert to_confirm(replace(found, rows=tuple(rows))) == count
