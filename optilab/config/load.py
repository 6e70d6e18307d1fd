"""The file, preset or mapping that a command is given, as a tree and as a value of its schema.

Precedence: the default of the field < YAML < overrides, in their order.
"""

import os
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Literal, TypeVar

from optilab import runs
from optilab.config import SCHEMAS, archive, presets
from optilab.config.keys import keys_of, top_keys
from optilab.config.section import Section, build, dump
from optilab.config.tree import MAX_BYTES, KeyPath, Override, Tree, changed_values, edited
from optilab.errors import (
    CheckpointError,
    ConfigError,
    OptilabError,
    Problem,
    RunError,
    SystemFailure,
    UsageError,
    did_you_mean,
    shown,
)
from optilab.optimize.rule import without_label
from optilab.runs.record import MANIFEST

S = TypeVar("S", bound=Section)
STUDIES = ("sweep", "remedy", "benchmark")
CODE_KEYS = {
    "train": ("model", "optimizer"),
    "optimize": ("algo",),
    "sweep": ("config",),
    "remedy": ("config",),
    "benchmark": ("config", "algos"),
}
"""The keys of each command's config that may name a user's code."""
_MEASURED = ("probes", "curvature", "curvature.every", "curvature.images")
NOT_SETTINGS = frozenset(
    {"name", "optimizer.label", "device", "threads", "checkpoint_every", "data.dir", "expect", "seed", *_MEASURED}
)
"""The keys of a training to which no result is attributed."""
NEEDED = {"train": {"name": str, "seed": int, "epochs": int}, "watch": {"name": str, "seed": int}}
"""Keys that the config of every run of a command has, with their types."""
_FILE_AND_LINE = re.compile(r"(?!--).*:\d+")
Config = str | Mapping[str, Any] | Section | Tree | None


def load(
    schema: type[S],
    config: Config,
    overrides: Sequence[Override] = (),
    rules: Literal["exercise", "literature", "tuned"] = "exercise",
    replaced: Sequence[Override] = (),
) -> S:
    """The value of a config: a path, the name of a preset, a mapping, a value or a tree; None: the defaults.

    `rules`: whose settings a rule of `optimize` has where the config gives none: its preset's (`exercise`), or the
    literature's, which a rule of `train` always has. Where rules are `tuned`, those settings of a
    formula that are named like known ones need no value. A missing key that the caller has `replaced` has that value.
    ConfigError with every problem at once.
    """
    tree = tree_of(schema.kind, config)
    for change in overrides:
        tree.put(change)
    if schema.kind == "optimize" and rules != "literature" and "algo" in tree.values:
        tree.values["algo"] = presets.with_preset_settings(tree.values["algo"], rules == "tuned")
    return build(schema, tree, replaced)


def tree_of(kind: str, config: Config) -> Tree:
    """The tree of a config as it was written."""
    if isinstance(config, Tree):
        return config
    if config is None:
        return Tree()
    if isinstance(config, Section):
        return Tree.of(dump(config))
    if isinstance(config, Mapping):
        return Tree.of(config)
    if not isinstance(config, str):
        raise UsageError(f"expected a YAML file, a preset or a mapping of keys, got {shown(config)}", "config")
    path = presets.find(kind, config)
    is_archive = config.lower().endswith(archive.ENDING)
    tree = read(path, os.path.join(config, path.name) if is_archive else "")
    if kind in SCHEMAS and (other := _owner(kind, tree)) != kind:
        raise UsageError(f"expected a config of `optilab {kind}`, got one of `optilab {other}`", tree.source)
    if os.path.isdir(config):
        config_of(runs.read(Path(config)))
    if kind == "train":
        tree.values.setdefault("name", _name_of(path))
    for key in CODE_KEYS.get(kind, ()):
        if key in tree.values:
            tree.values[key] = _resolve_code_next_to_config(path, tree.values[key], is_archive)
    return tree


def config_of(record: runs.Record, free: Set[str] = frozenset()) -> dict[str, Any]:
    """The config that a run was started with; of a watched loop, as it is written. No code of the user's is executed.

    RunError where config.yaml was edited since, but for the keys that are `free`; ConfigError where it cannot be read,
    CheckpointError where the manifest is damaged.
    """
    config, written = record.verified_config, dict[str, Any]()
    if config is None or record.is_watched:
        written = Tree.read(record.config, str(record.path / record.FILE)).values
        # A process may have continued the run since.
        config = written if record.is_watched else runs.read(record.path).manifest.get("config", {})
    needed = NEEDED.get(record.manifest["command"], {})
    if missing := [key for key, kind in needed.items() if not isinstance(config.get(key), kind)]:
        raise CheckpointError(f"{record.path / MANIFEST} is damaged: its config has no {missing[0]}")
    if written and (changed := changed_values(config, written, free)):
        raise RunError(edited(record.path / record.FILE, changed))
    return config


def read(path: Path, source: str = "") -> Tree:
    """The tree of a file; `source` is its name in messages, where that is another one."""
    source = source or (os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))
    try:
        with path.open("rb") as file:
            return Tree.read(file.read(MAX_BYTES + 1), source)
    except OSError as error:
        is_user_error = isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError)
        raise (UsageError if is_user_error else SystemFailure)(f"cannot read {path}: {error.strerror}") from None


def _owner(kind: str, tree: Tree) -> str:
    """The command whose config this is: `kind`, unless a key that it does not have is one of another command."""
    keys, needed = tree.values.keys(), required_keys(kind)
    best = max(SCHEMAS, key=lambda command: (len(top_keys(command) & keys), command == kind))
    whole = best in STUDIES and top_keys(best) >= keys
    return best if whole or not needed & keys else kind


def required_keys(kind: str) -> Set[str]:
    """The keys that a config of this kind cannot lack."""
    return {key.key for key in keys_of(kind) if not key.section and key.default == "required"}


def command_of(config: str) -> str:
    """The command whose keys a config has, or whose preset it names."""
    if preset := presets.lookup("", config):
        return preset.kind
    tree = read(presets.find("", config))
    keys = {key.partition(".")[0] for key in tree.values}
    names = [key.key for kind in SCHEMAS for key in keys_of(kind) if not key.section]
    if not keys.intersection(names):
        first = next(iter(tree.values), "")
        where = tree.places.get((first,), tree.source)
        raise ConfigError(tree.source, [Problem(where, first, f"unknown key{did_you_mean(first, names)}")])
    return max(SCHEMAS, key=lambda kind: (len(top_keys(kind) & keys), required_keys(kind) <= keys))


def _resolve_code_next_to_config(path: Path, part: Any, first: bool) -> Any:
    """A part of a config whose code, FILE.py:NAME or FILE.py, is not found from here but next to the config; `first`:
    is found there, wherever else a file of that name is."""
    if isinstance(part, list):
        return [_resolve_code_next_to_config(path, entry, first) for entry in part]
    if isinstance(part, dict):
        named = {key: part[key] for key in ("name", *CODE_KEYS["train"]) if key in part}
        return {**part, **{key: _resolve_code_next_to_config(path, item, first) for key, item in named.items()}}
    name = str(without_label(part))
    file = name if name.endswith(".py") else name.rpartition(":")[0]
    elsewhere = not first and Path(file).is_file()
    if not file.endswith(".py") or elsewhere or not (path.parent / file).is_file():
        return part
    return f"{str(part).removesuffix(name)}{path.parent / name}"


def _name_of(path: Path) -> str:
    """The name of a config that has none: that of its file."""
    try:
        return runs.run_name(re.sub(r"[^A-Za-z0-9._-]", "-", path.stem))
    except ValueError:
        return "train"


def at_place(error: OptilabError, tree: Tree, at: KeyPath = (), inner: KeyPath = ()) -> OptilabError:
    """An error of values that stand in `tree` below `at`, with the file and line of each.

    `inner` is where the keys of the config stand, which may be below what changes them.
    """
    if not isinstance(error, ConfigError):
        return type(error)(str(_located(Problem(error.where, "", error.message), tree, at, inner)))
    return ConfigError(tree.source, [_located(problem, tree, at, inner) for problem in error.problems])


def _located(problem: Problem, tree: Tree, at: KeyPath, inner: KeyPath) -> Problem:
    """The problem at the line of its key, or of the nearest key above it that was written.

    It is unchanged if it has a line already, or if the key was typed.
    """
    section, _, changed = problem.where.removeprefix("--").partition(" ")  # `--over optimizer.lr=0`
    key = problem.key or changed.partition("=")[0] or section * section.isidentifier()
    keys = tuple(int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", key or "config"))
    paths = [(*base, *path) for base in (at, inner) for path in ((section, key), keys)]
    beginnings = [path[:n] for path in (*paths, at) for n in range(len(path) + 1)]
    written = [beginning for beginning in beginnings if beginning in tree.places]
    where = tree.places[max(written, key=len)] if written else tree.source
    typed = not where or where.startswith("--")
    if typed or _FILE_AND_LINE.fullmatch(problem.where):
        return problem
    return Problem(where, key if key != where else "", problem.message)
