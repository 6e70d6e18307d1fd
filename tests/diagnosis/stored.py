"""Trainings and loops whose cause is known, as they were recorded at commit b08ecbb: the ruler of the diagnosis.

`cases.json.gz` says what each training is and what came of it, `HALF.json.gz` what it recorded. `python docs/measured
diagnosis` and `loops` train them; the design halves, by which the causes were made, are in docs/measured/diagnosis.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import override_from_text
from optilab.diagnose import Evidence, Setup

HERE = Path(__file__).parent
NETS = HERE.parents[1] / "docs" / "measured" / "diagnosis" / "nets.py"
"""The networks of the trainings with an own network."""


@dataclass(frozen=True)
class Case:
    """A training: the settings of a network that learns, with one change. A loop has its setup in its records."""

    name: str
    cause: str
    """What the change is; empty where it does no harm by itself."""
    truth: str
    """`faulty` or `healthy`, by the outcome next to that of the same training without the change; or `unclear`."""
    accepted: tuple[frozenset[str], ...]
    """The findings that name the cause; of a change with two causes, those of each."""
    preset: str = ""
    network: tuple[str, ...] = ()
    change: tuple[str, ...] = ()
    labels: str = ""
    """What is done to the labels."""
    epochs: int = 0
    seed: int = 0
    visible: bool = False
    """A probe run of sixty batches can show the cause."""

    def config(self, *more: str, changed: bool = True) -> TrainConfig:
        """The config of the training; without its change; or with further settings."""
        network = [text.replace("nets.py", str(NETS)) for text in self.network]
        fixed = [
            "data.batch_size=64",
            "data.validation_batch_size=500",
            f"epochs={self.epochs}",
            f"seed={self.seed}",
        ]
        change = self.change if changed else ()
        texts = [*network, *fixed, *change, "threads=1", "device=cpu", *more]
        return load(TrainConfig, self.preset, [override_from_text(text) for text in texts])


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return document


def cases(half: str, folder: Path = HERE) -> list[Case]:
    """Every training of a half."""
    return [case_of(name, entry) for name, entry in read(folder / "cases.json.gz")[half].items()]


def case_of(name: str, entry: dict[str, Any]) -> Case:
    texts = {key: tuple(entry[key]) for key in ("network", "change") if key in entry}
    return Case(name, **{**entry, **texts, "accepted": tuple(map(frozenset, entry["accepted"]))})


def evidence(case: Case, recorded: dict[str, Any], probe: bool = False) -> Evidence:
    """What a training recorded, or its probe run, for `diagnose`."""
    if "setup" in recorded:
        rule, records = recorded["setup"]["rule"], recorded["records"]
        setup = Setup.of_loop(rule["lr"], rule["weight_decay"], recorded["setup"])
        return Evidence(setup, recorded["rows"], records, recorded["divergence"], recorded["trial"])
    source = recorded["trial"] if probe else recorded
    records = [
        {**record, "layers": listed(record["layers"])} if "layers" in record else record
        for record in source["records"]
    ]
    setup = Setup.of(case.config(), records[0].get("network", {}) if records else {})
    return Evidence(setup, listed(source["rows"]), records, source["divergence"], probe)


def listed(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Rows, from columns."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
