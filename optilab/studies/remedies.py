"""The remedies of the vanishing-gradient study: the presets, each as the change it makes to `sigmoid.yaml`.

A preset is the study's network with one thing changed, so the change is read off the two files. `optilab remedy`
makes the same change to any config, and `optilab diagnose` names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from optilab.config import presets, strict_yaml
from optilab.config.load import Override
from optilab.errors import chosen_names

BASE = "sigmoid"
_NO_REMEDY = frozenset({BASE, "deep"})  # `deep` is another network
_OF_THE_RUN = frozenset({"name", "epochs", "seed", "device", "threads", "checkpoint_every", "probes"})


@dataclass(frozen=True)
class Remedy:
    """A change of a config: dotted key -> new value, and what the preset of that name says of it."""

    name: str
    title: str
    changes: Mapping[str, Any]

    @property
    def sets(self) -> tuple[str, ...]:
        """`KEY=VALUE` of each change, as `--set` takes it."""
        return tuple(f"{key}={strict_yaml.flow(value)}" for key, value in self.changes.items())

    @property
    def overrides(self) -> list[Override]:
        return [Override(f"remedy {self.name}", key, value) for key, value in self.changes.items()]


@cache
def remedies() -> dict[str, Remedy]:
    """Every remedy by name, in the presets' order."""
    trees = {p.name: strict_yaml.read(p.path.read_bytes(), p.name).tree for p in presets.presets("train")}
    base = _parts(trees[BASE])
    found = {}
    for preset in presets.presets("train"):
        if preset.name in _NO_REMEDY or "/" in preset.name:
            continue
        parts = _parts(trees[preset.name])
        changes = {key: _short(value) for key, value in parts.items() if value != base.get(key)}
        found[preset.name] = Remedy(preset.name, preset.title, changes)
    return found


def _parts(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A config as the pieces in which studies differ: the keys of `model` and `data`, and the top-level ones."""
    parts: dict[str, Any] = {}
    for key, value in tree.items():
        if key in ("model", "data"):
            parts |= {f"{key}.{inner}": item for inner, item in value.items()}
        elif key not in _OF_THE_RUN:
            parts[key] = value
    return parts


def _short(value: Any) -> Any:
    """A registry entry that has nothing but its name is written as its name."""
    return value["name"] if isinstance(value, dict) and value.keys() == {"name"} else value


def chosen(only: str | None) -> list[Remedy]:
    """The remedies that `--only` names, or all; UsageError names the nearest to an unknown one."""
    known = remedies()
    names = list(known) if only is None else chosen_names("--only", only, "remedy", known)
    return [known[name] for name in names]
