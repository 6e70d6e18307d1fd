"""Plans as generators: any prefix of outcomes gives the same next batch, and a dry run is the same generator."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.study import BenchmarkConfig, RemedyConfig, SweepConfig
from optilab.config.training import TrainConfig
from optilab.config.tree import override_from_text
from optilab.study import benchmark, remedy, sweep
from optilab.study.plan import Batch, Outcomes, follow
from optilab.study.study import StudySpec, ahead_with_confirmation
from optilab.study.trials import Outcome

EPOCHS = 300
"""Of the preset relu."""
RATES = {"optimizer.lr": "1e-4:1:9:log"}
HELD_OUT = dump(load(TrainConfig, "relu", [override_from_text("data.holdout=1000")]))
SEARCH = {"over": {"optimizer.lr": "1e-4:1:log"}, "samples": 18, "search": "tpe", "confirm": 0}


def swept(**keys) -> StudySpec:
    return sweep.spec_of(SweepConfig(**{"config": "relu", "over": RATES, "seeds": 2, **keys}))


def raced(**keys) -> StudySpec:
    asked = BenchmarkConfig(config=["relu", "tanh"], algos=["sgd", "adam"], budget=3, seeds=2, repeats=1, **keys)
    return benchmark.spec_of(asked)


def remedied(**keys) -> StudySpec:
    return remedy.spec_of(RemedyConfig(config="relu", only=["adam", "batchnorm"], seeds=2, **keys))


PLANS = {
    "grid": swept(),
    "halving": swept(halving=3, confirm=0),
    "confirmed": swept(confirm=2),
    "confirmed by loss": swept(confirm=2, metric="val_loss"),
    "confirmed by the test set": swept(config=HELD_OUT, confirm=2, metric="test_acc"),
    "halving, confirmed": swept(halving=3),
    "benchmark": raced(),
    "benchmark with finalists": raced(finalists=2, eps=True),
    "remedy": remedied(),
    "remedies and rates": remedied(over=RATES),
}


def outcome(trial, drawn) -> Outcome:
    """The outcome that a table of draws gives a trial."""
    status, value = drawn[hash(trial.name) % len(drawn)]
    numbers = {
        "train_loss": 1 - value,
        "train_acc": value,
        "val_loss": 1 - value,
        "val_acc": value,
        "test_acc": value,
    }
    return Outcome(trial, trial.row(status, "", numbers))


def batches(spec: StudySpec, folder, drawn, count=None) -> Iterator[Batch]:
    """The batches of a plan whose trials have the outcomes of a table."""
    generator = spec.plan(folder, False)
    known: dict[str, Outcome] = {}
    batch = next(generator)
    while True:
        yield batch
        known |= {trial.name: outcome(trial, drawn) for trial in batch.trials}
        try:
            batch = generator.send(known)
        except StopIteration:
            return


def names(batch: Batch) -> tuple[list[str], int | None]:
    return [trial.name for trial in batch.trials], batch.until


DRAWN = st.lists(
    st.tuples(st.sampled_from(["done", "done", "diverged", "failed"]), st.floats(0, 1)), min_size=1, max_size=20
)


@pytest.mark.parametrize("kind", PLANS)
@settings(max_examples=10)
@given(drawn=DRAWN)
def test_every_prefix_of_outcomes_gives_the_same_next_batch(kind, drawn, tmp_path_factory):
    spec, folder = PLANS[kind], tmp_path_factory.getbasetemp()
    whole = [names(batch) for batch in batches(spec, folder, drawn)]
    assert whole == [names(batch) for batch in batches(spec, folder, drawn)]
    for length in range(1, len(whole)):
        again = batches(spec, folder, drawn)
        assert [names(next(again)) for _ in range(length + 1)] == whole[: length + 1]
        again.close()


@settings(max_examples=3)
@given(drawn=DRAWN)
def test_every_prefix_of_a_search_gives_the_same_points(drawn, tmp_path_factory):
    """Also with the journal of a study that was stopped, which has points that were asked for and not told."""
    spec, folder = swept(**SEARCH), tmp_path_factory.mktemp("search")
    (folder / "whole").mkdir()
    whole = [names(batch) for batch in batches(spec, folder / "whole", drawn)]
    for length in range(1, len(whole) + 1):
        stopped = folder / f"after-{length}"
        stopped.mkdir()
        begun = batches(spec, stopped, drawn)
        assert [names(next(begun)) for _ in range(length)] == whole[:length]
        begun.close()
        assert [names(batch) for batch in batches(spec, stopped, drawn)] == whole


HALVED = 2 * (9 * 34 + 3 * (100 - 34) + 1 * (300 - 100))


@pytest.mark.parametrize(
    ("kind", "trials", "epochs"),
    [
        ("grid", 18, 18 * EPOCHS),
        ("halving", 18, HALVED),
        ("confirmed by loss", 18 + 2 * 5, (18 + 2 * 5) * EPOCHS),
        ("confirmed by the test set", 18 + 2 * 5, (18 + 2 * 5) * EPOCHS),
        ("halving, confirmed", 18 + 5, HALVED + 5 * EPOCHS),
        ("benchmark", 4 * (3 + 2), 4 * (3 + 2) * EPOCHS),
        ("remedies and rates", 3 * 9 * 2, 54 * EPOCHS),
        ("search", 36, 36 * EPOCHS),
    ],
)
def test_a_dry_run_counts_trials_and_epochs_and_writes_nothing(kind, trials, epochs, tmp_path):
    spec = swept(**SEARCH) if kind == "search" else PLANS[kind]
    ahead = ahead_with_confirmation(spec, tmp_path)
    assert (len(ahead.trials), len(ahead.missing), ahead.epochs) == (trials, trials, epochs)
    assert not [*tmp_path.iterdir()]


def test_the_best_settings_are_trained_again_from_new_seeds(tmp_path):
    """The last rate would be the best, but one of its seeds diverged."""
    asked: list[Batch] = []

    def train(batch: Batch, ended: Outcomes) -> Outcomes:
        asked.append(batch)
        return {
            t.name: outcome(
                t, [("diverged" if t.settings["optimizer.lr"] > 0.9 and t.config.seed == 43 else "done", own(t))]
            )
            for t in batch.trials
        }

    def own(trial):
        return trial.settings["optimizer.lr"] * (0.9 + trial.config.seed / 1e6)

    spec = swept(confirm=2, seeds=6)
    outcomes = follow(spec.plan(tmp_path, False), lambda batch: {}, train)
    (choice,), again = asked, spec.confirmation(tmp_path, outcomes)
    rates = sorted({trial.settings["optimizer.lr"] for trial in choice.trials})
    assert sorted({trial.settings["optimizer.lr"] for trial in again.trials}) == rates[-3:-1]
    assert {trial.config.seed for trial in again.trials} == set(range(10_042, 10_048))
    assert again.request.config.seed == 10_042
    assert sweep.spec_of(again.request).trials == again.trials  # its study.yaml asks for the same trainings


def test_a_plan_ends_at_a_batch_that_lacks_an_outcome(tmp_path):
    asked: list[Batch] = []

    def train(batch: Batch, ended: Outcomes) -> Outcomes:
        asked.append(batch)
        return {trial.name: outcome(trial, [("done", 0.5)]) for trial in batch.trials[1:]}

    outcomes = follow(swept(halving=3).plan(tmp_path, False), lambda batch: {}, train)
    assert (len(asked), len(outcomes)) == (1, 17)
