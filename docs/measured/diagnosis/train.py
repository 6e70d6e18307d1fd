"""Trains the cases and stores what each records: the rows of its epochs and the records of its layers.

A training sees 2,000 images of FashionMNIST and is validated on 2,000 others, on one thread. Networks of nets.py see
1,000 images of 8 x 8. Numbers are stored with six digits; the thresholds of the diagnosis are not that fine.
"""

import gzip
import json
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from docs.measured.diagnosis import causes
from optilab.config.training import TrainConfig
from optilab.config.user_network import UserNetwork
from optilab.data import fetch
from optilab.data.read import Dataset
from optilab.diagnose import PROBE_BATCHES
from optilab.errors import ConfigError, DivergedError
from optilab.train import device, engine, session
from tests.diagnosis import stored
from tests.diagnosis.stored import Case

HERE = Path(__file__).parent
IMAGES, USER_IMAGES = 2_000, 1_000
LAYER_KEYS = (
    *("gradient_norm", "weight_norm", "gradient_to_weight", "update_to_weight", "common"),
    *("saturated", "dead", "activation_std"),
)
"""The columns of a layer that are stored."""
MODULE_KEYS = ("name", "kind", "through_time")
"""Those that only layers of an own network have."""

Recorded = dict[str, Any]


def folder_of(half: str) -> Path:
    """Held-out halves are what the tests diagnose; the others are here."""
    return stored.HERE if "held-out" in half else HERE


def train_half(half: str, only: str, missing: bool, jobs: int) -> None:
    """Train the cases of a half whose name begins with `only`, and store what they record and what came of them."""
    folder = folder_of(half)
    path, listed = folder / f"{half}.json.gz", stored.cases(half, folder)
    results = stored.read(path) if path.exists() else {}
    wanted = [case for case in listed if case.name.startswith(only) and not (missing and case.name in results)]
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(recorded, case): case for case in wanted}
        for number, done in enumerate(as_completed(waiting), 1):
            case = waiting[done]
            results[case.name] = done.result()
            print(f"{half} {number}/{len(wanted)} {case.name}", file=sys.stderr)
            if number % 10 == 0 or number == len(wanted):
                write(path, results)
    halves = stored.read(folder / "cases.json.gz")
    for case in wanted:
        halves[half][case.name]["truth"] = causes.truth(case, results[case.name])
    write(folder / "cases.json.gz", halves)


def run_remedies(remedies: dict[str, tuple[Case, tuple[str, ...]]], path: Path, jobs: int) -> None:
    """Train each case with a remedy, and store the last row; empty where it diverges."""
    known = stored.read(path) if path.exists() else {}
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(remedied, *remedy): key for key, remedy in remedies.items() if key not in known}
        for number, done in enumerate(as_completed(waiting), 1):
            known[waiting[done]] = done.result()
            print(f"remedies {number}/{len(waiting)} {waiting[done]}", file=sys.stderr)
            write(path, known)


def recorded(case: Case) -> Recorded:
    """What a case records, the last row of its twin without the change, and of optilab's own network a probe run."""
    warnings.simplefilter("ignore")
    config = case.config()
    data = dataset(case.labels, config)
    record = trained(config, data)
    if not isinstance(config.model, UserNetwork):
        record["trial"] = probed(config, data)
    if case.cause:
        # Small batches are many steps: what they do to batch norm is seen next to layer norm, not to large batches.
        small = "small batches" in case.cause
        record["twin"] = _twin(case.config("model.norm=layer") if small else case.config(changed=False))
    return record


_TWINS: dict[str, dict[str, float]] = {}


def _twin(config: TrainConfig) -> dict[str, float]:
    """The last row of a healthy network; each is trained once."""
    key = repr(config)
    if key not in _TWINS:
        _TWINS[key] = _last(trained(config, dataset("", config)))
    return _TWINS[key]


def remedied(case: Case, remedy: tuple[str, ...]) -> dict[str, float]:
    """The last row of a case with a remedy; empty where it diverges, and where its network has no such argument."""
    warnings.simplefilter("ignore")
    try:
        config = case.config(*remedy)
    except ConfigError:
        return {}
    record = trained(config, dataset(case.labels, config))
    return {} if record["divergence"] else _last(record)


def _last(record: Recorded) -> dict[str, float]:
    return {key: values[-1] for key, values in record["rows"].items()}


def trained(config: TrainConfig, data: Dataset) -> Recorded:
    rows, divergence = [], ""
    device.configure(torch.device("cpu"), 1)
    training = engine.Training.start(config, data, torch.device("cpu"))
    records = [engine.initial_diagnostics(training)]
    try:
        for row, _ in training.run(lambda done, total: None, lambda: False):
            rows.append(row)
            records.append(training.diagnostics)
    except DivergedError as error:
        divergence = str(error)
    return {"rows": columns(rows), "records": _records(records), "divergence": divergence}


def probed(config: TrainConfig, data: Dataset) -> Recorded:
    """What `optilab diagnose CONFIG` sees: an epoch of sixty batches."""
    rows, records, divergence = session.probe_run(config, data, PROBE_BATCHES)
    return {"rows": columns(rows), "records": _records(records), "divergence": divergence}


@cache
def _whole(name: str) -> Dataset:
    return fetch.load_or_fetch(name)


def dataset(labels: str, config: TrainConfig) -> Dataset:
    """The first images of both halves, with `labels` done to their labels; 8 x 8 for an own network."""
    whole, count = _whole(config.data.dataset), IMAGES
    arrays = [whole.train_images, whole.train_labels, whole.test_images, whole.test_labels]
    if isinstance(config.model, UserNetwork):
        count = USER_IMAGES
        if config.data.dataset == "digits":  # of 1,797 digits those after the first thousand validate
            every = [np.concatenate([arrays[0], arrays[2]]), np.concatenate([arrays[1], arrays[3]])]
            arrays = [every[0][:count], every[1][:count], every[0][count:], every[1][count:]]
        else:
            arrays = [smaller(arrays[0][:count]), arrays[1], smaller(arrays[2][:count]), arrays[3]]
    images, targets, test_images, test_targets = (array[:count].copy() for array in arrays)
    rng = np.random.default_rng(5)
    if labels == "shuffled":
        targets = rng.permutation(targets)
    elif labels == "shifted":  # every image has the label of its neighbor
        targets = np.roll(targets, 1)
    elif labels == "validation shifted":  # every class has the name of the next one
        test_targets = (test_targets + 1) % 10
    elif labels == "validation shuffled":
        test_targets = rng.permutation(test_targets)
    elif labels == "one":
        targets, test_targets = np.full_like(targets, 3), np.full_like(test_targets, 3)
    elif labels == "a tenth wrong":
        wrong = rng.random(len(targets)) < 0.1
        targets[wrong] = rng.integers(0, 10, int(wrong.sum()))
    elif labels == "uneven":
        some = (targets < 2) | (rng.random(len(targets)) < 0.2)
        images, targets = images[some], targets[some]
    return Dataset(config.data.dataset, whole.directory, images, targets, test_images, test_targets, {})


def smaller(images: Any) -> Any:
    """Images of 28 x 28 as 8 x 8: the means of 3 x 3 pixels of their middle."""
    middle = images[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3)
    return np.rint(middle.mean((2, 4))).astype(np.uint8)


def write(path: Path, document: dict[str, Any]) -> None:
    """Compact JSON, compressed, with the same bytes for the same document."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [shortened(row[key]) for row in rows] for key in (rows[0] if rows else ())}


def _records(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    entries = []
    for record in records:
        entry = {key: shortened(value) for key, value in record.items() if key != "layers"}
        if layers := record.get("layers"):
            names = [*LAYER_KEYS, *(key for key in MODULE_KEYS if all(key in layer for layer in layers))]
            entry["layers"] = {key: [shortened(layer[key]) for layer in layers] for key in names}
        entries.append(entry)
    return entries


def shortened(value: Any) -> Any:
    """A value whose numbers have six digits."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
