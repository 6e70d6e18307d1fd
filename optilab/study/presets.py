"""What the config of a run changed against the preset that it is a variant of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optilab.config.fields import decimal, describe, schema_for
from optilab.config.load import dump, load
from optilab.config.presets import presets
from optilab.config.yaml import flow
from optilab.optimize.own import is_own
from optilab.runs import Record

HIDDEN = frozenset({"name", "data.dir"})
"""Keys that change no number and say nothing about a run that its name does not."""


@dataclass(frozen=True)
class Variant:
    """A config as a preset and its changes."""

    preset: str
    """Empty where there is none."""
    changed: Mapping[str, Any]
    """Dotted keys, with the values of the config."""


def config_of(record: Record) -> dict[str, Any]:
    """The config in a run's manifest, empty in one of an older version; several rules of `optimize` by their names."""
    config: dict[str, Any] = record.manifest.get("config", {})
    rules = config.get("algo")
    if not (isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules)):
        return config
    rest = {key: value for key, value in config.items() if key != "algo"}
    return {**_named(rules), **rest}


def _named(rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"algo": rules[0]} if len(rules) == 1 else {str(rule.get("name")): rule for rule in rules}


class Variants:
    """The presets, resolved when the first config is compared with them. No code of a user's rule is run."""

    def __init__(self) -> None:
        self._nearest: dict[str, str] = {}
        self._optimize: dict[str, dict[str, Any]] = {}
        self._defaults: dict[str, dict[tuple[str, str], str]] = {}
        """Of each command: key and the name of its entry -> the default, as YAML."""

    def of(self, command: str, config: Mapping[str, Any]) -> Variant:
        """Of a config of `train`, or of one of `optimize` as `config_of` returns it; other commands have no presets."""
        if config and command == "train":
            preset = self._preset(config)
            return Variant(preset, self._telling(command, _changed(config, self._trainings[preset])))
        if config and command == "optimize":
            rules = {key: rule.get("name") for key, rule in config.items() if isinstance(rule, dict)}
            names = [str(name) for key, name in rules.items() if key in ("algo", name)]
            return Variant(",".join(names), self._telling(command, _changed(config, self._paths(names))))
        return Variant("", {})

    def _preset(self, config: Mapping[str, Any]) -> str:
        """The preset of the config's name, else the one that it differs from in the fewest keys."""
        name = str(config.get("name"))
        if name not in self._nearest:
            counts = {preset: len(_changed(config, base)) for preset, base in self._trainings.items()}
            self._nearest[name] = name if name in counts else min(counts, key=counts.__getitem__)
        return self._nearest[name]

    @cached_property
    def _trainings(self) -> dict[str, dict[str, Any]]:
        schema = schema_for("train")
        trees = [dump(load(schema, str(preset.path))) for preset in presets("train")]
        return {tree["name"]: tree for tree in trees}

    def _paths(self, rules: Sequence[str]) -> dict[str, Any]:
        """These rules of `optimize` with the settings of the exercise or the literature, on the default function."""
        names = ",".join(rules)
        if names not in self._optimize:
            listed = [name for name in rules if not is_own(name)]
            config = dump(load(schema_for("optimize"), {"algo": listed or ["sgd"]}))
            algo = config.pop("algo")
            self._optimize[names] = {**({"algo": algo[0]} if len(rules) == 1 else _named(algo)), **config}
        return self._optimize[names]

    def _telling(self, command: str, changed: Mapping[str, Any]) -> dict[str, Any]:
        """The changes without the defaults of an entry that was changed: `adam` for `sgd`, without its betas."""
        entries = {key.removesuffix("name"): value for key, value in changed.items() if key.endswith(".name")}
        if entries and command not in self._defaults:
            keys = describe(schema_for(command))
            self._defaults[command] = {(key.key, key.of): key.default for key in keys if key.of}

        def follows(key: str, value: Any) -> bool:
            owners = [of for prefix, of in entries.items() if key.startswith(prefix)]
            return any(_same(value, self._defaults[command].get((key, str(of)))) for of in owners)

        shown = {k: v for k, v in changed.items() if k not in HIDDEN and not k.endswith(".sha256")}
        return {key: value for key, value in shown.items() if not follows(key, value)}


def _same(value: Any, default: str | None) -> bool:
    """Whether a value is a default, which `describe` gives as YAML."""
    return default is not None and (flow(value) == default or decimal(value) == decimal(default))


def _changed(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config that its base lacks or has otherwise, by dotted keys."""
    absent = object()
    changed: dict[str, Any] = {}
    for key, value in config.items():
        other = base.get(key, absent)
        if value == other:
            continue
        if isinstance(value, dict):
            inner = _changed(value, other if isinstance(other, dict) else {})
            changed |= {f"{key}.{name}": v for name, v in inner.items()}
        else:
            changed[key] = value
    return changed
