"""The remedies of the vanishing-gradient study: configs/train/remedies, each as the change it makes to `sigmoid.yaml`.

`optilab remedy` makes the same change to any config, and `optilab diagnose` names it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

from optilab.config import presets
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.training import TrainConfig
from optilab.config.tree import Override, Tree, flow
from optilab.errors import chosen_names

BASE = "sigmoid"
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
        return tuple(f"{key}={flow(value)}" for key, value in self.changes.items())

    @property
    def size(self) -> int:
        """The number of settings that change: a mapping counts each of its entries."""
        return sum(_leaves(value) for value in self.changes.values())

    @property
    def overrides(self) -> list[Override]:
        return [Override(f"remedy {self.name}", key, value) for key, value in self.changes.items()]


def pairs(found: Sequence[Remedy]) -> list[Remedy]:
    """Two remedies at once, each two of these that change different keys, as another remedy."""
    return [
        Remedy(f"{a.name}-and-{b.name}", f"{a.title}; {b.title}", {**a.changes, **b.changes})
        for a, b in combinations(found, 2)
        if not any(_overlap(own, other) for own in a.changes for other in b.changes)
    ]


def _overlap(key: str, other: str) -> bool:
    return key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.")


@cache
def remedies() -> dict[str, Remedy]:
    """Every remedy by name, the smallest change first; of equal ones another number before another part."""
    base = _parts(dump(load(TrainConfig, BASE)))
    found = [
        Remedy(preset.name, preset.title, _changes(preset, base))
        for preset in presets.presets("train")
        if preset.is_remedy
    ]
    numbers = {remedy.name: all(isinstance(v, float | int) for v in remedy.changes.values()) for remedy in found}
    found.sort(key=lambda remedy: (remedy.size, not numbers[remedy.name], remedy.name))
    return {remedy.name: remedy for remedy in found}


def _changes(preset: presets.Preset, base: Mapping[str, Any]) -> dict[str, Any]:
    """The keys whose values differ from those of `base`, as the preset writes them."""
    written = _parts(Tree.read(preset.path.read_bytes(), preset.name).values)
    resolved = _parts(dump(load(TrainConfig, str(preset.path))))
    changed = [key for key in [*written, *resolved] if resolved.get(key) != base[key]]
    changes: dict[str, Any] = {}
    for key in changed:
        value, before = resolved[key], base[key]
        if isinstance(value, dict) and isinstance(before, dict) and value.get("name") == before.get("name"):
            changes |= {f"{key}.{inner}": item for inner, item in value.items() if item != before[inner]}
        else:
            changes[key] = _short(written.get(key, value))
    return changes


def _leaves(value: Any) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return 1 if inner is None else sum(map(_leaves, inner))


def _parts(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A config as the pieces in which remedies differ: the keys of `model` and `data`, and the top-level ones."""
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


def chosen(only: Sequence[str] | None) -> list[Remedy]:
    """The remedies of these names, or all; UsageError names the nearest to an unknown one."""
    known = remedies()
    names = list(known) if only is None else chosen_names("--only", ",".join(only), "remedy", known)
    return [known[name] for name in names]
