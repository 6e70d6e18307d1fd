"""Trainings as arrays over the epochs: every metric with its interval over the seeds, and what every layer did.

Picture files, the terminal and reports draw these tables. Index 0 of an array of epochs is epoch 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from optilab.judge.groups import Grouping, groups, relabeled, short_names, value_text
from optilab.judge.judge import LEVEL, quantile
from optilab.judge.measure import bounds
from optilab.judge.variant import listed_config, variant_of
from optilab.optimize.objective import Floats
from optilab.runs import Record, Row, best_column, read_diagnostics
from optilab.runs.metrics import EPOCH_METRICS, metric_of

MEASURED = ("gradient_norm", "update_to_weight", "saturated")
"""The quantities of a layer that are drawn; norms and ratios are averaged over the seeds as logarithms."""


@dataclass(frozen=True)
class Curve:
    """One metric of the runs of a group.

    `mean` ends with the shortest run: a mean over the runs that are left would compare different seeds. `interval` is
    that of the mean (Student's t, n - 1 degrees of freedom) as (low, high); None for a single run.
    """

    runs: Mapping[int, Floats]  # by seed, (epochs of the run,)
    mean: Floats  # (epochs of the shortest run,)
    interval: tuple[Floats, Floats] | None
    n: int
    """The size of the sample: runs, or repeats of a race."""


@dataclass(frozen=True)
class LayerHistory:
    """Quantities of the layers: `names` from the input to the output layer, `values` by quantity, (layers, epochs).

    Over several seeds the geometric mean of norms and ratios, and the mean of shares. nan where nothing is recorded:
    the output layer has no activation, and a layer of a later stage no past.
    """

    names: tuple[str, ...]
    values: Mapping[str, Floats]


@dataclass(frozen=True)
class CurvatureHistory:
    """The curvature of the loss, each (measurements,), the mean over the seeds; nan where there is no number.

    `sharpness` is preconditioned where the rule is adaptive: what `limit` is for.
    """

    epochs: Floats
    sharpness: Floats
    along_gradient: Floats
    limit: Floats
    preconditioned: bool


@dataclass(frozen=True)
class History:
    """The curves of a group: runs that differ in nothing but the seed. `layers` is None without diagnostics."""

    label: str
    curves: Mapping[str, Curve]  # by column of metrics.csv
    best: int  # epoch with the highest mean validation accuracy; on a tie, the first
    layers: LayerHistory | None
    curvature: CurvatureHistory | None  # None where it was not measured
    runs: int  # those without an epoch included
    diverged: int
    classes: int

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.curves["val_acc"].runs)

    @property
    def epochs(self) -> int:
        """The number of epochs of the longest run."""
        return max(map(len, self.curves["val_acc"].runs.values()))

    @property
    def name(self) -> str:
        """The label, and how many runs diverged."""
        if not self.diverged:
            return self.label
        count = "diverged" if self.runs == 1 else f"{self.diverged} of {self.runs} diverged"
        return f"{self.label} ({count})"


@dataclass(frozen=True)
class Histories:
    """The groups of a selection of runs that have an epoch, what they share, and the runs that are left out."""

    groups: tuple[History, ...]
    title: str
    without_epochs: tuple[Record, ...]
    repeated: tuple[Record, ...]


def histories(records: Sequence[Record], labels: Sequence[str] = ()) -> Histories:
    """The curves of runs, by group, relabeled. Groups without an epoch are left out of the labels as well."""
    drawn = histories_of(groups(records))
    if (empty := drawn.without_epochs) and drawn.groups:
        drawn = histories_of(groups([record for record in records if record not in empty]))
    return replace(drawn, groups=relabeled(drawn.groups, labels), without_epochs=empty)


def histories_of(grouping: Grouping) -> Histories:
    """The curves of groups, and the runs of those without an epoch."""
    curves = [history(group.label, group.runs, group.repeats) for group in grouping.groups]
    pairs = list(zip(grouping.groups, curves, strict=True))
    empty = [record for group, drawn in pairs if drawn is None for record in group.runs.values()]
    drawn = tuple(drawn for drawn in curves if drawn is not None)
    return Histories(drawn, title(grouping), tuple(empty), grouping.repeated)


def title(grouping: Grouping) -> str:
    """The settings that all groups share and their presets lack, and the seeds: `sigmoid, lr 0.1, seeds 42 to 44`."""
    records = [next(iter(group.runs.values())) for group in grouping.groups]
    variants = [variant_of(str(record.manifest["command"]), listed_config(record)[0]) for record in records]
    preset, *others = {variant.preset for variant in variants} or {""}
    changed = [key for variant in variants[:1] for key in variant.changed]
    if records and records[0].is_watched:  # whose config has no presets
        changed = [key for key in grouping.shared if not key.startswith("watch.")]
    words = short_names([key for key in changed if key in grouping.shared])
    settings = [f"{word} {value_text(grouping.shared[key])}" for key, word in words.items()]
    seeds = _seeds_text(sorted({seed for group in grouping.groups for seed in group.runs}))
    return ", ".join([*([preset] if preset and not others else []), *settings, seeds])


def _seeds_text(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"


def history(label: str, runs: Mapping[int, Record], repeats: Mapping[int, int] | None = None) -> History | None:
    """The curves of a group, by seed, with the `repeats` of seeds as the sample if there are any.

    None where no run has an epoch. DataError if a table is damaged."""
    tables = {seed: rows for seed, record in runs.items() if (rows := record.rows())}
    if not tables:
        return None
    records = [read_diagnostics(runs[seed].path) for seed in tables]
    # A loop that was watched may lack columns: their curves have no number.
    columns = dict.fromkeys([*EPOCH_METRICS, *(key for rows in tables.values() for row in rows for key in row)])
    columns.pop("epoch", None)
    best = best_column([row for rows in tables.values() for row in rows])
    by_seed = {key: {seed: _column(rows, key) for seed, rows in tables.items()} for key in columns}
    curves = {key: curve(by_seed[key], key, repeats or {}) for key in columns}
    return History(
        label,
        curves,
        int(np.argmax(np.nan_to_num(curves[best].mean * metric_of(best).sign, nan=-np.inf))) + 1,
        layers(records, min(map(len, tables.values()))),
        curvature(records),
        len(runs),
        sum(record.state == "diverged" for record in runs.values()),
        next(iter(runs.values())).classes,
    )


def _column(rows: Sequence[Row], key: str) -> Floats:
    return np.array([row.get(key, math.nan) for row in rows], dtype=float)


def curve(runs: Mapping[int, Floats], metric: str = "", repeats: Mapping[int, int] | None = None) -> Curve:
    """Mean and 95% interval of the same metric of several runs, which may have different lengths; of the means of
    `repeats`, the block of each seed, where these are the sample."""
    shortest, blocks = min(map(len, runs.values())), dict[int, list[Floats]]()
    for seed, run in runs.items():
        blocks.setdefault((repeats or {}).get(seed, seed), []).append(run[:shortest])
    values = np.stack([np.mean(block, axis=0) for block in blocks.values()])
    mean, count = values.mean(axis=0), len(values)
    if count == 1:
        return Curve(runs, mean, None, count)
    half = quantile(count - 1, LEVEL) * values.std(axis=0, ddof=1) / math.sqrt(count)
    limits = bounds(metric, values[~np.isnan(values)])
    return Curve(runs, mean, (np.clip(mean - half, *limits), np.clip(mean + half, *limits)), count)


def layers(recorded: Sequence[Sequence[Row]], epochs: int) -> LayerHistory | None:
    """The layers of a group in its first `epochs`, from the diagnostics of its runs; None where a run has none.

    The output layer is the last, whatever the number of hidden layers of an epoch.
    """
    measured = [[record for record in records if _has_layers(record, epochs)] for records in recorded]
    if not all(measured):
        return None
    depth = max(len(record["layers"]) for record in chain(*measured))
    tables = np.full((len(measured), len(MEASURED), depth, epochs), math.nan)
    for table, record in ((table, r) for table, records in zip(tables, measured, strict=True) for r in records):
        values = [[_number(layer.get(name)) for name in MEASURED] for layer in record["layers"]]
        table[:, [*range(len(values) - 1), depth - 1], record["epoch"] - 1] = np.transpose(values)
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0 is -inf, and the mean then 0
        means = {
            name: tables[:, n].mean(axis=0) if name == "saturated" else np.exp(np.log(tables[:, n]).mean(axis=0))
            for n, name in enumerate(MEASURED)
        }
    return LayerHistory((*map(str, range(1, depth)), "out"), means)


def _has_layers(record: Row, epochs: int) -> bool:
    layers = record.get("layers")
    whole = isinstance(layers, list) and bool(layers) and all(isinstance(layer, dict) for layer in layers)
    return whole and 0 < record["epoch"] <= epochs


def curvature(recorded: Sequence[Sequence[Row]]) -> CurvatureHistory | None:
    """The curvature of a group from the diagnostics of its runs, where all have measured it; None where none is."""
    measurements = [
        {r["epoch"]: r["curvature"] for r in records if isinstance(r.get("curvature"), dict)}
        for records in recorded
    ]
    epochs = sorted(set.intersection(*map(set, measurements)))
    if not epochs:
        return None
    scaled = any(
        measured[epoch].get("preconditioned") is not None for measured in measurements for epoch in epochs
    )
    if scaled:  # before its first step an adaptive rule has no preconditioner
        epochs = [epoch for epoch in epochs if epoch > 0]
    sharpness = "preconditioned" if scaled else "sharpness"
    sharp, along, limit = (
        np.array([[_number(measured[epoch].get(key)) for epoch in epochs] for measured in measurements]).mean(
            axis=0
        )
        for key in (sharpness, "along_gradient", "limit")
    )
    return CurvatureHistory(np.array(epochs, dtype=float), sharp, along, limit, scaled)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
