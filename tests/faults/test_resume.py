"""Resume: at every epoch, for everything a config can contain, to the last byte.

The cases come from the schema (`optilab.config.keys`): each choice, each flag, each number that is off by default. A
new key joins by itself; the last test fails for a key without an example.
"""

import copy
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from optilab.config.keys import ENTRY, SECTION, Key, keys_of
from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.data import read as data
from optilab.errors import ConfigError, DivergedError
from optilab.runs.tables import json_line
from optilab.train import checkpoint
from optilab.train.engine import Training
from tests.faults import sabotage
from tests.faults.sandbox import Sandbox
from tests.kit.idx import write_idx_dataset

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
PLATEAUS = {"factor": 0.3, "patience": 1, "monitor": "val_acc", "threshold": 0.0}
PLATEAUS |= {"relative": False, "cooldown": 1, "lowest": 0.4}
STAGES = [{"layers": 1, "epochs": 2}, {"layers": 2}]
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "expect": [{"expect": ["val_acc > 0"]}],
    "optimizer.base": [{"optimizer": {"name": "lookahead", "base": base}} for base in ("sgd", "adam")],
    "optimizer.others": [{"optimizer": {"name": "muon", "others": {"name": "adam", "lr": 0.01}}}],
    "model.skip": [{"model.skip": [[1, 2]]}],
    "stages.layers": [{"stages": STAGES}],
    "stages.epochs": [{"stages": [{"layers": 1, "epochs": 1}, {"layers": 2}]}],
    "replay.loaders_per_epoch": [{"stages": STAGES, "replay.loaders_per_epoch": [0, 2]}],
    "data.holdout": [{"data.holdout": 32}],
    "dtype": [
        {"dtype": "float64", "optimizer": {"name": "nadam"}, "model.norm": "batch"},
        {"dtype": "float64", "optimizer": {"name": "adopt"}, "stages": STAGES},
    ],
    "data.shuffle": [
        {"data.shuffle": False, "model.dropout": 0.2, **seed} for seed in ({}, {"replay.shuffle_seed": 7})
    ],
    "replay.split_seed": [{"data.holdout": 32, "replay.split_seed": 7}],
    "data.images": [{"data.images": 90}],
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
    choices, kind = row.type.split(" | "), row.type.rpartition(" or ")[2]
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


def is_state(row: Key) -> bool:
    """Whether the key may switch on what a checkpoint has to hold; another number of what is on anyway does not."""
    return not row.of or not row.type.rpartition(" or ")[2].startswith("number") or row.default in ("0.0", "none")


def cases() -> tuple[dict[str, TrainConfig], set[str], list[str]]:
    """The configs of the matrix, by their changes; those that only a release tests; the keys without one."""
    found: dict[str, TrainConfig] = {"base": settings({})}
    later = set()
    seen = {found["base"].model_dump_json()}
    without = []
    for row in keys_of("train"):
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
                found[name := json.dumps(changes).replace('"', "")] = config
                later |= set() if is_state(row) else {name}
            if accepted and not row.choices and row.key not in EXAMPLES:
                break  # of a number one value will do
        if not accepted and not _untrainable(row):
            without.append(f"{row.key} ({row.of}): {row.type}")
    return found, later, without


def _untrainable(row: Key) -> bool:
    """An optimizer that needs more than gradients cannot train a network."""
    try:
        settings({"optimizer": {"name": row.of}})
    except ConfigError:
        return row.key.startswith("optimizer.")
    return False


CASES, LATER, WITHOUT = cases()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    return data.load("idx", write_idx_dataset(tmp_path_factory.mktemp("idx") / "data", 128, 64))


def trained(training: Training) -> list[tuple[bytes, bytes]]:
    """Checkpoint and line of diagnostics.jsonl after each further epoch; where a run diverges, that is its end."""
    saved = []
    try:
        epochs = training.run(lambda done, total: None, lambda: False)
        saved.extend((checkpoint.save(training), json_line(training.diagnostics)) for _ in epochs)
    except DivergedError as error:
        saved.append((str(error).encode(), b""))
    return saved


def begun(config: TrainConfig, dataset: data.Dataset) -> Training:
    return Training.start(config, dataset, torch.device("cpu"))


def differing(config: TrainConfig, dataset: data.Dataset, every: bool = True) -> list[int]:
    """The epochs, of all or the one in the middle, after which a resume ends differently from the undisturbed run."""
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
    return wrong


FAST_OR_FULL = [pytest.param(False, id="one"), pytest.param(True, id="every", marks=pytest.mark.release)]


@pytest.mark.parametrize("every", FAST_OR_FULL)
@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[pytest.mark.release] if what in LATER else []) for what in CASES]
)
def test_resume_is_exact_at_every_epoch(what: str, every: bool, dataset: data.Dataset) -> None:
    assert differing(CASES[what], dataset, every) == []


def test_every_key_of_the_schema_is_in_the_matrix() -> None:
    assert WITHOUT == [], "add a value to EXAMPLES"


def test_negative_control_no_generator(dataset: data.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    assert all(differing(config, dataset) for config in [*CASES.values()][:20])


# --- by the command line -----------------------------------------------------------------------------------


def test_negative_control_by_the_command_line(sandbox: Sandbox) -> None:
    sandbox.train("control", "--epochs", "2")
    assert sandbox.resume("control", before=sabotage.no_generator).returncode == 0
    with pytest.raises(AssertionError, match="of the undisturbed run"):
        sandbox.compare("control")


def test_a_checkpoint_every_second_epoch(sandbox: Sandbox) -> None:
    """Rows ahead of the last checkpoint are computed again with the same bytes."""
    process = sandbox.start("second", "--set", "checkpoint_every=2", before=sabotage.slow_epochs)
    process.wait_for(" 1/")
    process.send(signal.SIGKILL)
    process.finish()
    assert sandbox.resume("second", "--set", "checkpoint_every=2").returncode == 0
    assert sandbox.result("second")["metrics.csv"] == sandbox.reference["metrics.csv"]
