"""Two runs compared to the last bit: what differs in config, environment and data, from which row on, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optilab.config.training import edited
from optilab.config.tree import Tree, flat
from optilab.errors import OptilabError, UsageError, printable, shown
from optilab.runs import Record, Row, Study
from optilab.study.groups import NOT_SETTINGS, edits, text
from optilab.study.listing import config_of

SECTIONS = ("versions", "host", "numerics", "environment")


def circumstances(record: Record) -> dict[str, str]:
    """Under which versions, on which machine and data a run was made, as text by dotted keys of its manifest."""
    manifest = record.manifest
    facts = flat({section: manifest.get(section, {}) for section in SECTIONS})
    facts |= {f"data.{key}": manifest.get("data", {}).get(key) for key in ("dataset", "train", "validation")}
    facts |= {f"data.{name}": digest for name, digest in manifest.get("data", {}).get("sha256", {}).items()}
    git = manifest.get("git", {})
    facts["git.commit"] = f"{git.get('commit', 'none')}{' (changed)' if git.get('dirty') else ''}"
    return {key: text(value) if not isinstance(value, str) else value for key, value in facts.items()}


def varying(facts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The keys whose values are not the same in all: value -> how many have it; `none` where a key is absent."""
    keys = dict.fromkeys(key for one in facts for key in one)
    counts: dict[str, dict[str, int]] = {}
    for key in keys:
        of_key: dict[str, int] = {}
        for one in facts:
            value = one.get(key, "none")
            of_key[value] = of_key.get(value, 0) + 1
        if len(of_key) > 1:
            counts[key] = of_key
    return counts


# --- two runs -------------------------------------------------------------------------------------------------


ROUNDING = 1e-3
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
    """What sets two runs apart."""

    config: Pairs
    environment: Pairs
    """Versions, host, numerics, environment variables, source code."""
    data: Pairs
    lengths: tuple[int, int]
    """Rows of each run."""
    first: FirstDifference | None
    """None where all rows that both have are equal."""
    causes: tuple[str, ...]
    """What can have made the rows part, the likeliest first; empty where they did not."""
    edited: tuple[str, ...] = ()
    """What is said of a config.yaml that is not the one its run was started with: `config` is that of the start."""

    @property
    def equal(self) -> int:
        """Number of rows before the first that differs."""
        return self.first.row - 1 if self.first else min(self.lengths)


def diff_runs(a: Record | Study, b: Record | Study) -> Diff:
    """What sets two runs apart. UsageError for studies, runs of two commands and twice the same run; DataError for a
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
    config = _pairs(*(flat(config_of(record)) for record in (a, b)))
    around = _pairs(*map(circumstances, (a, b)))
    data = {key: pair for key, pair in around.items() if key.startswith("data.")}
    environment = {key: pair for key, pair in around.items() if key not in data}
    rows = a.rows(), b.rows()
    first = _first(*rows)
    causes = _causes(config, environment, data, first, (a, b)) if first else ()
    changed = tuple(filter(None, map(_edited, (a, b))))
    return Diff(config, environment, data, (len(rows[0]), len(rows[1])), first, tuple(causes), changed)


def _edited(record: Record) -> str:
    if not record.is_training or record.is_watched:
        return ""
    file = record.path / "config.yaml"
    try:
        changed = edits(record, Tree.read(record.config, str(file)).values)
    except OptilabError as error:
        return str(error)
    return edited(file, changed) if changed else ""


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}


def _first(a: Sequence[Row], b: Sequence[Row]) -> FirstDifference | None:
    for number, (mine, other) in enumerate(zip(a, b, strict=False), start=1):
        if mine != other:
            return FirstDifference(number, _pairs(mine, other))
    return None


# --- causes ------------------------------------------------------------------------------------------------


def _causes(
    config: Pairs, environment: Pairs, data: Pairs, first: FirstDifference, records: tuple[Record, Record]
) -> list[str]:
    """What can have made the rows part: what changes the calculation, then what changes its rounding."""
    settings = [key for key in config if key not in NOT_SETTINGS and key != "epochs"]
    found = [f"config: {', '.join(_said(key, config) for key in settings[:6])}"] if settings else []
    if any(record.is_watched for record in records):
        found.append("the loops, whose code is not recorded")
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
