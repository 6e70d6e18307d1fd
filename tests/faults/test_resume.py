"""Resume: at every epoch, for everything a config can contain, to the last byte.

The cases come from the schema (`optilab.config.fields`): each choice, each flag, each number that is off by default. A
new key joins by itself; the last test fails for a key without an example.
"""

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from optilab.config.fields import ENTRY, SECTION, Key, describe
from optilab.config.load import Override, load
from optilab.config.training import TrainConfig
from optilab.data import load as data
from optilab.errors import ConfigError, DivergedError
from optilab.runs.tables import record_line
from optilab.train import checkpoint
from optilab.train.engine import Training
from tests.data.idx import write_idx_dataset
from tests.faults.conftest import Drawn, Figure, Tally
from tests.faults.harness import Lab, Violation, environment, in_parallel, run

EPOCHS = 4
BASE = {
    "model.hidden": [12, 12],
    "data.dataset": "idx",
    "data.batch_size": 64,
    "optimizer": {"name": "sgd"},
    "epochs": EPOCHS,
    "threads": 1,
}
NOT_STATE = {
    "name": "changes no number",
    "data.dataset": "the tests' own",
    "data.dir": "changes no number",
    "data.batch_size": "set in BASE",
    "epochs": "what a resume is about",
    "seed": "set by default",
    "device": "the tests have a CPU",
    "threads": "part of the envelope, set in BASE",
    "checkpoint_every": "tested by itself below",
    "model.hidden": "set in BASE",
}
PLATEAUS = {
    "factor": 0.3,
    "patience": 1,
    "monitor": "val_acc",
    "threshold": 0.0,
    "relative": False,
    "cooldown": 1,
    "lowest": 0.4,
}
STAGES = [{"layers": 1, "epochs": 2}, {"layers": 2}]
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "optimizer.base": [{"optimizer": {"name": "lookahead", "base": base}} for base in ("sgd", "adam")],
    "optimizer.others": [{"optimizer": {"name": "muon", "others": {"name": "adam", "lr": 0.01}}}],
    "model.skip": [{"model.skip": [[1, 2]]}],
    "model.dropout_at": [
        {"model.dropout": 0.2, "model.norm": "batch", "model.dropout_at": at}
        for at in ("preactivation", "before-norm")
    ],
    "model.skip_at": [{"model.skip": [[1, 2]], "model.skip_at": "preactivation"}],
    "replay.layers_drawn": [{"model.init": "xavier", "replay.layers_drawn": "layer-by-layer"}],
    "replay.stages_drawn": [{"stages": STAGES, "replay.stages_drawn": "in-turn"}],
    "stages.layers": [{"stages": STAGES}],
    "stages.epochs": [{"stages": [{"layers": 1, "epochs": 1}, {"layers": 2}]}],
    "replay.loaders_per_epoch": [{"stages": STAGES, "replay.loaders_per_epoch": [0, 2]}],
    "stages.train": [{"stages": [STAGES[0], {"layers": 2, "train": train}]} for train in ("all", "new")],
    "data.holdout": [{"data.holdout": 32}],
    "replay.cycle_momentum": [
        {"schedule": "one-cycle", "replay.cycle_momentum": True, "optimizer": {"name": rule}}
        for rule in ("adam", "nesterov")
    ],
    "dtype": [
        {"dtype": "float64", "optimizer": {"name": rule}, **more}
        for rule, more in (
            ("sgd", {}),
            ("nadam", {"model.norm": "batch"}),
            ("adopt", {"stages": STAGES}),
            ("lion", {}),
        )
    ],
    "data.shuffle": [
        {"data.shuffle": False, "model.dropout": 0.2, **seed} for seed in ({}, {"replay.shuffle_seed": 7})
    ],
    "replay.split_seed": [{"data.holdout": 32, "replay.split_seed": 7}],
    "data.images": [{"data.images": 90}],
    "replay.take": [{"data.images": 90, "replay.take": "random"}],
    "replay.hold_out": [{"data.holdout": 32, "replay.hold_out": which} for which in ("first", "last")],
    **{
        f"plateau.{key}": [{"plateau": {"patience": 0, "factor": 0.5, "threshold": 0.2, key: value}}]
        for key, value in PLATEAUS.items()
    },
    "early_stopping.monitor": [
        {"early_stopping": {"patience": 2, "monitor": monitor}} for monitor in ("val_loss", "val_acc")
    ],
    "early_stopping.min_delta": [{"early_stopping": {"patience": 2, "min_delta": 0.5}}],
}
"""Keys whose value needs other keys; all other examples follow from the key's type."""


def candidates(row: Key) -> Iterator[dict[str, Any]]:
    """Settings with a value of the key other than its default."""
    if row.key in EXAMPLES:
        yield from EXAMPLES[row.key]
        return
    if row.type == ENTRY:
        yield from ({f"{row.key}.name": name} for name in row.choices)
        return
    choices, kind = row.type.split(" | "), row.type
    values: list[Any]
    if "true | false" in kind:
        values = [True, False]
    elif len(choices) > 1:
        values = [choice for choice in choices if choice != "none" or row.key.endswith(".name")]
    elif kind.startswith("list"):
        values = [[1], [0.5]]
    elif kind.startswith("whole"):
        values = [2, 1, 0]
    elif kind.startswith("number"):
        values = [0.1, 0.5, 1.5, 0.01]
    else:
        values = []
    for value in values:
        section, _, _ = row.key.rpartition(".")
        yield {**({f"{section}.name": row.of} if row.of else {}), row.key: value}


def settings(changes: dict[str, Any]) -> TrainConfig:
    tree = copy.deepcopy({**BASE, **changes})
    return load(TrainConfig, None, [Override(key, key, value) for key, value in tree.items()])


def cases() -> tuple[dict[str, TrainConfig], list[str]]:
    """The configs of the matrix, by their changes; the keys without one."""
    found: dict[str, TrainConfig] = {"base": settings({})}
    seen = {found["base"].model_dump_json()}
    without = []
    for row in describe(TrainConfig):
        if row.key.startswith("expect."):  # what is said of the numbers afterwards
            continue
        if row.key in NOT_STATE or row.type in (row.default, SECTION):  # a choice of one
            continue
        accepted = 0
        for changes in candidates(row):
            try:
                config = settings(changes)
            except ConfigError:
                continue
            accepted += 1
            if (text := config.model_dump_json()) not in seen:
                seen.add(text)
                found[json.dumps(changes).replace('"', "")] = config
            if accepted and not row.choices and row.key not in EXAMPLES:
                break  # of a number one value will do
        if not accepted and not _untrainable(row):
            without.append(f"{row.key} ({row.of}): {row.type}")
    return found, without


def _untrainable(row: Key) -> bool:
    """An optimizer that needs more than gradients cannot train a network."""
    try:
        settings({"optimizer": {"name": row.of}})
    except ConfigError:
        return row.key.startswith("optimizer.")
    return False


CASES, WITHOUT = cases()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    return data.load("idx", write_idx_dataset(tmp_path_factory.mktemp("idx") / "data", 128, 64))


def trained(training: Training) -> list[tuple[bytes, bytes]]:
    """Checkpoint and line of diagnostics.jsonl after each further epoch; where a run diverges, that is its end."""
    saved = []
    try:
        epochs = training.run(lambda done, total: None, lambda: False)
        saved.extend((checkpoint.save(training), record_line(training.record)) for _ in epochs)
    except DivergedError as error:
        saved.append((str(error).encode(), b""))
    return saved


def begun(config: TrainConfig, dataset: data.Dataset) -> Training:
    return Training.start(config, dataset, torch.device("cpu"))


def differing(config: TrainConfig, dataset: data.Dataset, every: bool = True) -> tuple[list[int], int]:
    """The epochs after which a resume ends differently from the undisturbed run, and the number of epochs tried: every
    one, or the one in the middle.
    """
    torch.set_num_threads(1)
    straight = trained(begun(config, dataset))
    wrong = []
    chosen = range(1, len(straight)) if every else [len(straight) // 2][: len(straight) - 1]
    for epoch in chosen:
        torch.manual_seed(epoch)  # as another process would find it
        training = begun(config, dataset)
        checkpoint.restore(training, straight[epoch - 1][0])
        if trained(training) != straight[epoch:]:
            wrong.append(epoch)
    return wrong, len(chosen)


ONE_OR_ALL = [pytest.param(False, id="one"), pytest.param(True, id="every", marks=pytest.mark.slow)]


@pytest.mark.parametrize("every", ONE_OR_ALL)
@pytest.mark.parametrize("what", list(CASES))
def test_resume_is_exact_at_every_epoch(what: str, every: bool, dataset: data.Dataset, tally: Tally) -> None:
    started = time.perf_counter()
    wrong, points = differing(CASES[what], dataset, every)
    identical = 0 if wrong else points
    what = "{} configs, resumed at every epoch"
    tally("G6", what, "{} of {} identical", time.perf_counter() - started, 1, identical, points)
    assert wrong == []


def test_frozen_layers_have_no_gradient_in_the_diagnostics(dataset: data.Dataset) -> None:
    """Their gradients of the previous stage are cleared; they would count in the norms and in the noise."""
    training = begun(settings({"stages": [{"layers": 1, "epochs": 2}, {"layers": 2, "train": "new"}]}), dataset)
    epochs = training.run(lambda done, total: None, lambda: False)
    norms = [[layer["gradient_norm"] for layer in training.record["layers"]] for _ in epochs]
    assert norms[1][0] > 0
    assert [row[0] for row in norms[2:]] == [0.0, 0.0]
    assert all(value > 0 for row in norms for value in row[1:])


def test_every_key_of_the_schema_is_in_the_matrix() -> None:
    assert WITHOUT == [], "add a value to EXAMPLES"


def test_negative_control_no_generator(
    dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    found = [what for what, config in list(CASES.items())[:20] if differing(config, dataset)[0]]
    figure("G6", "control: generators not restored", f"noticed in {len(found)} of 20 configs")
    assert len(found) == 20


# --- by the command line -----------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_resume_from_every_epoch_by_the_command_line(lab: Lab, figure: Figure, every: int) -> None:
    """Twelve epochs in two processes, split after each epoch; a changed `epochs` changes no number."""
    points = range(1, lab.epochs, every)
    for epoch in points:
        name = f"two-parts-{epoch}"
        first = lab.start(name, "--epochs", str(epoch)).finish()
        assert first.code == 0
        again = lab.warm.run(["train", "--resume", name, "--epochs", str(lab.epochs)], lab.folder)
        assert again.code == 0, again.err
        lab.compare(name)
        lab.forget(name)
    figure("G6", f"by the command line, {len(points)} points", f"{len(points)} of {len(points)} identical")


def test_negative_control_by_the_command_line(lab: Lab) -> None:
    lab.start("control", "--epochs", "5").finish()
    argv = ["train", "--resume", "control", "--epochs", str(lab.epochs)]
    assert lab.warm.run(argv, lab.folder, sabotage="no_generator").code == 0
    with pytest.raises(Violation, match=r"metrics\.csv is not that"):
        lab.compare("control")
    lab.forget("control")


def test_checkpoint_every_third_epoch(lab: Lab) -> None:
    """Rows ahead of the last checkpoint are recomputed with the same bytes."""
    process = lab.start("third", "--set", "checkpoint_every=3", sabotage="slow_epochs")
    while "epoch 5/" not in process.printed():
        assert process.alive()
    process.send(9)
    process.finish()
    done = lab.warm.run(["train", "--resume", "third"], lab.folder)
    assert done.code == 0, done.err
    assert lab.result("third")["metrics.csv"] == lab.reference["metrics.csv"]


def test_a_finished_run_says_so(lab: Lab) -> None:
    before = lab.result("reference")
    done = lab.warm.run(["train", "--resume", "reference"], lab.folder)
    assert done.code == 0
    assert "12" in done.out + done.err
    assert "complete" in done.out + done.err
    assert lab.result("reference") == before


@pytest.mark.parametrize("count", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_surroundings_do_not_matter(lab: Lab, figure: Figure, count: int, drawn: Drawn) -> None:
    """Hash seed, locale, folder, encoding, width, name and output change no byte; each in a fresh process."""
    elsewhere = lab.folder / "else where"
    elsewhere.mkdir(exist_ok=True)
    config = str(lab.folder / "lab.yaml")
    surroundings: list[tuple[dict[str, str], list[str], Path]] = [
        ({"PYTHONHASHSEED": "0"}, [], lab.folder),
        ({"PYTHONHASHSEED": "4242"}, [], lab.folder),
        ({"LC_ALL": "C"}, [], lab.folder),
        ({"LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"}, [], lab.folder),
        ({"PYTHONIOENCODING": "ascii"}, [], lab.folder),
        ({"COLUMNS": "1"}, [], lab.folder),
        ({"NO_COLOR": "1", "TERM": "dumb"}, [], lab.folder),
        ({"PYTHONOPTIMIZE": "1"}, [], lab.folder),
        ({}, ["--quiet"], lab.folder),
        ({}, ["--json"], lab.folder),
        ({}, ["--data-dir", str(lab.folder / "data")], elsewhere),
        ({"OMP_NUM_THREADS": "2"}, ["--data-dir", str(lab.folder / "data")], elsewhere),
    ]

    def trial(number: int, env: dict[str, str], more: list[str], folder: Path) -> None:
        name = f"surroundings-{count}-{number}"
        argv = ["train", "--config", config, "--epochs", str(lab.epochs), "--name", name, *more]
        done = run(argv, folder, env=environment(**env))
        assert done.code == 0, (env, more, done.err)
        path = folder / "runs" / name
        assert (path / "metrics.csv").read_bytes() == lab.reference["metrics.csv"]
        kept = {file.name for file in (path / "checkpoints").iterdir()}
        assert kept == {name for name in lab.reference if name.endswith(".ckpt")}  # names are digests

    chosen = drawn(13).sample(surroundings, count)
    in_parallel([lambda n=n, one=one: trial(n, *one) for n, one in enumerate(chosen)])
    figure("G7", f"{count} surroundings, fresh processes", f"{count} of {count} with the same bytes")
