"""Two runs compared to the last bit: what differs in config, environment and data, where their rows part, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optilab.config.load import flat
from optilab.errors import UsageError, printable, shown
from optilab.runs import Record, Row, Study
from optilab.study.differences import circumstances
from optilab.study.groups import NOT_SETTINGS
from optilab.study.presets import config_of

ROUNDING = 1e-3
"""A first difference below this, relative to the value, is one that rounding can make within an epoch."""
Pairs = Mapping[str, tuple[Any, Any]]
"""Dotted key -> the value of each run, None where it has none."""


@dataclass(frozen=True)
class First:
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
class Parting:
    """What sets two runs apart."""

    config: Pairs
    environment: Pairs
    """Versions, host, numerics, environment variables, source code."""
    data: Pairs
    lengths: tuple[int, int]
    """Rows of each run."""
    first: First | None
    """None where all rows that both have are equal."""
    causes: tuple[str, ...]
    """What can have made the rows part, the likeliest first; empty where they did not."""

    @property
    def equal(self) -> int:
        """Number of rows before the first that differs."""
        return self.first.row - 1 if self.first else min(self.lengths)


def part(a: Record | Study, b: Record | Study) -> Parting:
    """What sets two runs apart. UsageError for studies, runs of two commands and twice the same run; DataError for a
    damaged table."""
    for entry in (a, b):
        if isinstance(entry, Study):
            raise UsageError(
                f"{entry.name} is a study; name two runs, as {entry.path}/TRIAL (optilab runs ls lists them)"
            )
    assert isinstance(a, Record)
    assert isinstance(b, Record)
    if a.path.resolve() == b.path.resolve():
        raise UsageError(f"{a.name} is one run; name two")
    commands = [str(record.manifest["command"]) for record in (a, b)]
    if commands[0] != commands[1]:
        raise UsageError(
            f"{a.name} is a run of {shown(commands[0])}, {b.name} of {shown(commands[1])}: nothing in common"
        )
    config = _pairs(*(flat(config_of(record)) for record in (a, b)))
    around = _pairs(*map(circumstances, (a, b)))
    data = {key: pair for key, pair in around.items() if key.startswith("data.")}
    environment = {key: pair for key, pair in around.items() if key not in data}
    rows = a.rows(), b.rows()
    first = _first(*rows)
    causes = _causes(config, environment, data, first, (a, b)) if first else ()
    return Parting(config, environment, data, (len(rows[0]), len(rows[1])), first, tuple(causes))


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}


def _first(a: Sequence[Row], b: Sequence[Row]) -> First | None:
    for number, (mine, other) in enumerate(zip(a, b, strict=False), start=1):
        if mine != other:
            return First(number, _pairs(mine, other))
    return None


# --- causes ------------------------------------------------------------------------------------------------


def _causes(
    config: Pairs, environment: Pairs, data: Pairs, first: First, records: tuple[Record, Record]
) -> list[str]:
    """What can have made the rows part: what changes the calculation, then what changes its rounding."""
    settings = [key for key in config if key not in NOT_SETTINGS and key != "epochs"]
    found = [f"config: {', '.join(_said(key, config) for key in settings[:6])}"] if settings else []
    if files := [key for key in data if key not in ("data.dataset", "data.train", "data.validation")]:
        found.append(f"data: {', '.join(key.removeprefix('data.') for key in files)}")
    if "seed" in config:
        found.append(f"seed: {_said('seed', config)}")
    rounding = [text for word, of in _ROUNDING if (text := _named(word, of, environment))]
    rounding += [text for record in records if (text := _resumed(record, first.row))]
    if found and first.relative is not None and first.relative > ROUNDING:
        return found  # rounding alone does not make such a difference in a first row
    if not (found or rounding):
        device = str(records[0].manifest.get("numerics", {}).get("device", "cpu"))
        kernels = "kernels of a GPU that add in any order" if device != "cpu" else "another processor or library"
        rounding = [f"nothing that is recorded differs: {kernels}, or the files of one run were changed"]
    return [*found, *rounding]


_ROUNDING: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("device", lambda key: key in ("numerics.device", "numerics.device_name")),
    ("threads", lambda key: key == "numerics.threads"),
    ("torch", lambda key: key in ("numerics.torch", "versions.torch")),
    ("kernel", lambda key: key.startswith(("numerics.", "environment.")) or key == "host.machine"),
    ("versions", lambda key: key.startswith("versions.")),
    ("source code", lambda key: key == "git.commit"),
)
"""What only changes the last digits, by the first of these that a key belongs to."""


def _named(word: str, of: Callable[[str], bool], environment: Pairs) -> str:
    before = [others for name, others in _ROUNDING[: [name for name, _ in _ROUNDING].index(word)]]
    keys = [key for key in environment if of(key) and not any(other(key) for other in before)]
    texts = dict.fromkeys(_said(key, environment) for key in keys)
    return f"{word}: {', '.join(texts)}" if texts else ""


def _resumed(record: Record, row: int) -> str:
    """The last resume before a row that was not bit-exact."""
    for resume in reversed(record.manifest.get("resumes", [])):
        if isinstance(resume, dict) and resume.get("changed") and resume.get("epoch", 0) < row:
            changed = ", ".join(map(str, resume["changed"]))
            return f"{record.name} was resumed after epoch {resume.get('epoch', 0)} with {changed}"
    return ""


def _said(key: str, pairs: Pairs) -> str:
    a, b = (printable(value) if isinstance(value, str) else shown(value) for value in pairs[key])
    return f"{key} {a} -> {b}"
