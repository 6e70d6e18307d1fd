"""Train the labelled cases and store what each recorded: the rows of its epochs and the records of its layers.

A training sees 2,000 images of FashionMNIST and is validated on 2,000 others, on one thread. Numbers are stored with
four digits; the rules' thresholds are not that fine.
"""

import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from optilab.config.load import load, override_from_text
from optilab.config.own_network import OwnNetwork
from optilab.config.training import TrainConfig
from optilab.data import fetch
from optilab.data.load import Dataset
from optilab.diagnose import TRIAL_BATCHES
from optilab.errors import ConfigError, DivergedError
from optilab.train import device, engine, session
from tests.diagnosis.cases import Case

HERE = Path(__file__).parent
TRAIN, VALIDATION = 2_000, 2_000
OWN_IMAGES = 1_000
"""The same of networks of the user's own; of 1,797 digits the other 797 validate."""
KEPT = (
    "gradient_norm",
    "weight_norm",
    "gradient_to_weight",
    "update_to_weight",
    "identical_units",
    "common",
    "saturated",
    "dead",
    "activation_std",
)
"""The columns of a layer that are stored."""
OF_OWN = ("name", "kind", "through_time")
"""Those that only layers of a network of the user's own have."""

Recorded = dict[str, Any]


def settings(case: Case, remedy: tuple[str, ...] = (), twin: bool = False) -> TrainConfig:
    """The config of a case; of its healthy twin without the change; or with a remedy on top."""
    network = case.network
    source = network[0].removeprefix("preset ") if network[0].startswith("preset ") else "sigmoid"
    texts = [
        *(() if source != "sigmoid" or network[0].startswith("preset ") else network),
        "data.batch_size=64",
        "data.validation_batch_size=500",
        f"epochs={case.epochs}",
        f"seed={case.seed}",
        *(() if twin else case.change),
        "threads=1",
        "device=cpu",
        *remedy,
    ]
    return load(TrainConfig, source, [override_from_text("--set", text) for text in texts])


def dataset(name: str, config: TrainConfig) -> Dataset:
    """The first images of both halves, their labels changed as `name` says; 8 x 8 for a network of the user's own."""
    source = config.data.dataset
    whole = fetch.ensure(source, None, lambda *_: None)
    images, labels = whole.train_images[:TRAIN], whole.train_labels[:TRAIN].copy()
    test_images, test_labels = whole.test_images[:VALIDATION], whole.test_labels[:VALIDATION]
    if source == "digits":
        images, test_images = np.split(np.concatenate([images, test_images]), [OWN_IMAGES])
        labels, test_labels = np.split(np.concatenate([labels, test_labels]), [OWN_IMAGES])
    elif isinstance(config.model, OwnNetwork):
        images, labels = smaller(images)[:OWN_IMAGES], labels[:OWN_IMAGES]
        test_images, test_labels = smaller(test_images)[:OWN_IMAGES], test_labels[:OWN_IMAGES]
    rng = np.random.default_rng(5)
    if name == "shuffled":
        labels = rng.permutation(labels)
    elif name == "shifted":  # every image has the label of its neighbour
        labels = np.roll(labels, 1)
    elif name == "validation shifted":  # every class has the name of the next one
        test_labels = (test_labels + 1) % 10
    elif name == "validation shuffled":
        test_labels = rng.permutation(test_labels)
    elif name == "one":
        labels, test_labels = np.full_like(labels, 3), np.full_like(test_labels, 3)
    elif name == "a tenth wrong":
        wrong = rng.random(len(labels)) < 0.1
        labels[wrong] = rng.integers(0, 10, int(wrong.sum()))
    elif name == "uneven":
        kept = (labels < 2) | (rng.random(len(labels)) < 0.2)
        images, labels = images[kept], labels[kept]
    return Dataset(source, whole.folder, images, labels, test_images, test_labels, {})


def smaller(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images of 28 x 28 as 8 x 8: the means of 3 x 3 pixels of their middle."""
    middle = images[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3)
    return np.rint(middle.mean((2, 4))).astype(np.uint8)


def train(config: TrainConfig, data: Dataset) -> Recorded:
    """What a training records, as columns, and how it ended."""
    rows, divergence = [], ""
    device.configure(torch.device("cpu"), 1)
    training = engine.Training.start(config, data, torch.device("cpu"))
    records = [engine.before_training(training)]
    try:
        for row, _ in training.run(lambda done, total: None, lambda: False):
            rows.append(row)
            records.append(training.record)
    except DivergedError as error:
        divergence = str(error)
    return {"rows": _columns(rows), "records": _records(records), "divergence": divergence}


def trial(config: TrainConfig, data: Dataset) -> Recorded:
    """What `optilab diagnose CONFIG` sees: an epoch of sixty batches."""
    rows, records, divergence = session.look_into(config, data, TRIAL_BATCHES)
    return {"rows": _columns(rows), "records": _records(records), "divergence": divergence}


def run(case: Case) -> Recorded:
    """A case beside its healthy twin; of optilab's own network also what a trial of it sees."""
    warnings.simplefilter("ignore")
    config = settings(case)
    data = dataset(case.data, config)
    recorded = train(config, data)
    if not isinstance(config.model, OwnNetwork):
        recorded["trial"] = trial(config, data)
    if case.cause:
        # Small batches are many steps: what they do to batch norm is seen beside layer norm, not beside large batches.
        other = (
            settings(case, ("model.norm=layer",)) if "small batches" in case.cause else settings(case, twin=True)
        )
        recorded["twin"] = _twin(other)
    return recorded


_TWINS: dict[str, dict[str, float]] = {}


def _twin(config: TrainConfig) -> dict[str, float]:
    """The last row of a healthy network; each is trained once."""
    key = repr(config)
    if key not in _TWINS:
        _TWINS[key] = {name: values[-1] for name, values in train(config, dataset("", config))["rows"].items()}
    return _TWINS[key]


def remedied(case: Case, remedy: tuple[str, ...]) -> dict[str, float]:
    """The last row of a case with a remedy; empty where it diverges, and where its network has no such argument."""
    warnings.simplefilter("ignore")
    try:
        config = settings(case, remedy)
    except ConfigError:
        return {}
    recorded = train(config, dataset(case.data, config))
    return {} if recorded["divergence"] else {key: values[-1] for key, values in recorded["rows"].items()}


def write(path: Path, document: dict[str, Any]) -> None:
    """Compact JSON, compressed, with the same bytes for the same document."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return document


def rows(recorded: Recorded) -> list[dict[str, Any]]:
    """The rows again, from columns."""
    columns = recorded["rows"]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def records(recorded: Recorded) -> list[dict[str, Any]]:
    """The records again, their layers from columns."""
    found = []
    for record in recorded["records"]:
        layers = record.get("layers", {})
        listed = [dict(zip(layers, values, strict=True)) for values in zip(*layers.values(), strict=True)]
        found.append(record | ({"layers": listed} if layers else {}))
    return found


def _columns(listed: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [_short(row[key]) for row in listed] for key in (listed[0] if listed else ())}


def _records(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    short = []
    for record in listed:
        entry = {key: _short(value) for key, value in record.items() if key != "layers"}
        if "layers" in record:
            columns = [*KEPT, *(key for key in OF_OWN if all(key in layer for layer in record["layers"]))]
            entry["layers"] = {key: [_short(layer[key]) for layer in record["layers"]] for key in columns}
        short.append(entry)
    return short


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
