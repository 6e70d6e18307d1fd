"""Two runs compared to the last bit: what differs in config, data and environment, and from which row on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optilab.config.load import NOT_SETTINGS
from optilab.config.tree import flat
from optilab.errors import UsageError
from optilab.judge.circumstances import circumstances
from optilab.judge.variant import listed_config
from optilab.runs import Record, Row, Study

MAX_ROUNDING_ERROR = 1e-3
"""A first difference below this, relative to the value, is one that rounding can make within an epoch."""
Pairs = Mapping[str, tuple[Any, Any]]
"""Dotted key -> the value of each run, None where it has none."""


@dataclass(frozen=True)
class FirstDifference:
    """The first row in which two runs differ."""

    row: int
    """Counted from 1; of a training the epoch."""
    values: Mapping[str, tuple[Any, Any]]
    """The columns that differ there."""

    @property
    def relative(self) -> float | None:
        """The largest difference of two numbers there, relative to the larger; None without numbers."""
        pairs = [pair for pair in self.values.values() if all(isinstance(v, int | float) for v in pair)]
        return max((abs(a - b) / max(abs(a), abs(b)) for a, b in pairs), default=None)


@dataclass(frozen=True)
class Diff:
    """The differences of two runs in their configs, data, environments and metrics."""

    config: Pairs
    data: Pairs
    environment: Pairs
    """Versions, host, numerics, environment variables, source code."""
    lengths: tuple[int, int]
    """Rows of each run."""
    first: FirstDifference | None
    """None where all rows that both have are equal."""
    edited: tuple[str, ...]
    """Warnings about a config.yaml that was edited after its run started: `config` is that of the start."""
    causes: tuple[str, ...] = ()
    """Sentences on why the rows part, where neither config nor data say so."""

    @property
    def equal(self) -> int:
        """Number of rows before the first that differs."""
        return self.first.row - 1 if self.first else min(self.lengths)


def diff_runs(a: Record | Study, b: Record | Study) -> Diff:
    """The differences of two runs. UsageError for studies, runs of two commands and twice the same run; DataError for a
    damaged table."""
    for entry in (a, b):
        if isinstance(entry, Study):
            raise UsageError(f"expected two runs, got the study {entry.name}")
    assert isinstance(a, Record)
    assert isinstance(b, Record)
    if a.path.resolve() == b.path.resolve():
        raise UsageError(f"{a.name} is named twice")
    commands = [str(record.manifest["command"]) for record in (a, b)]
    if commands[0] != commands[1] and not (a.is_training and b.is_training):
        got = f"{a.name} of {commands[0]} and {b.name} of {commands[1]}"
        raise UsageError(f"expected two runs of one command, got {got}")
    configs, problems = zip(*map(listed_config, (a, b)), strict=True)
    config = _pairs(*map(flat, configs))
    around = _pairs(*map(circumstances, (a, b)))
    data = {key: pair for key, pair in around.items() if key.startswith("data.")}
    environment = {key: pair for key, pair in around.items() if key not in data}
    rows = a.rows(), b.rows()
    edited = tuple(filter(None, problems))
    diff = Diff(config, data, environment, (len(rows[0]), len(rows[1])), _first(*rows), edited)
    return replace(diff, causes=tuple(_causes(a, b, diff))) if diff.first else diff


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}


def _first(a: Sequence[Row], b: Sequence[Row]) -> FirstDifference | None:
    for number, (mine, other) in enumerate(zip(a, b, strict=False), start=1):
        if mine != other:
            return FirstDifference(number, _pairs(mine, other))
    return None


def _causes(a: Record, b: Record, diff: Diff) -> Iterator[str]:
    """Causes of different rows that neither config nor data show."""
    for record in (a, b):
        for resume in record.manifest.get("resumes", []):
            if isinstance(resume, dict) and resume.get("epoch", 0) <= diff.equal:
                resumed = f"{record.name} was resumed after epoch {resume.get('epoch', 0)}"
                if changed := resume.get("changed"):
                    yield f"{resumed} with {', '.join(map(str, changed))}"
                if condition := resume.get("exact_if"):
                    yield f"{resumed}, which is exact if {condition}"
    settings = [key for key in diff.config if key == "seed" or key not in {*NOT_SETTINGS, "epochs"}]
    if a.is_watched or b.is_watched:
        yield "the code of a loop is not recorded"
    elif diff.first and not settings and not diff.data:
        size = diff.first.relative
        rounding = size is not None and size <= MAX_ROUNDING_ERROR
        yield (
            f"config and data are equal and the first difference is {size:.1g}: rounding"
            if rounding
            else "config and data are equal: the files of a run were changed, or something that is not recorded differs"
        )
