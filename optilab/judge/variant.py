"""The config of a run as a preset and what it changed against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from optilab.config.keys import keys_of
from optilab.config.load import config_of, load
from optilab.config.presets import presets
from optilab.config.section import dump, handling_user_code, schema_for
from optilab.config.tree import decimal, flat
from optilab.errors import OptilabError
from optilab.judge.groups import without_directory
from optilab.optimize import RULES
from optilab.proposals import flow
from optilab.runs import Record

HIDDEN = frozenset({"name", "data.dir"})
"""Keys that change no number and are of no interest in a list."""


@dataclass(frozen=True)
class PresetDiff:
    """A config as a preset and its changes."""

    preset: str
    """The preset of the config's name; empty where there is none."""
    changed: Mapping[str, Any]
    """The settings, by dotted key, that differ from those of the preset, or without a preset from the defaults."""


def listed_config(record: Record) -> tuple[dict[str, Any], str]:
    """The config that a run was started with, several rules of `optimize` by their names; and what is wrong with its
    config.yaml, such as that it was edited since."""
    config, problem = record.manifest.get("config", {}), ""
    try:
        config = config_of(record)
    except OptilabError as error:
        problem = str(error)
    rules = config.get("algo")
    if not (isinstance(rules, list) and all(isinstance(rule, dict) for rule in rules)):
        return config, problem
    rest = {key: value for key, value in config.items() if key != "algo"}
    names = [str(rule.get("label", rule.get("name"))) for rule in rules]
    named = {"algo": rules[0]} if len(rules) == 1 else dict(zip(names, rules, strict=True))
    return {**named, **rest}, problem


def variant_of(command: str, config: Mapping[str, Any]) -> PresetDiff:
    """The variant of a config of `train`, or of one of `optimize` as `listed_config` returns it; other commands have no
    presets. No code of a user's rule is run."""
    if not config or command not in ("train", "optimize"):
        return PresetDiff("", {})
    preset = str(config.get("name"))
    base = _training(preset) if command == "train" else _path("")
    if command == "optimize":
        sections = {key: rule for key, rule in config.items() if isinstance(rule, dict)}
        rules = {k: rule for k, rule in sections.items() if k in ("algo", rule.get("name"), rule.get("label"))}
        for key, rule in rules.items():
            names = {name: rule[name] for name in ("name", "label") if name in rule}
            settings = {**_path(str(rule.get("name"))), **names}
            base = base | {f"{key}.{setting}": value for setting, value in settings.items()}
        preset = ",".join(str(rule.get("label") or without_directory(rule.get("name"))) for rule in rules.values())
    return PresetDiff(preset if base else "", _under_labels(_changed(command, flat(config), base)))


def _under_labels(changed: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the name that the user gave an optimizer in place of the optimizer's."""
    labels = {key.removesuffix("label") + "name": v for key, v in changed.items() if key.endswith(".label")}
    return {key: value for key, value in {**changed, **labels}.items() if not key.endswith(".label")}


@cache
def _training(name: str) -> dict[str, Any]:
    """The preset of trainings of this name; empty without one."""
    with handling_user_code("recorded"):
        paths = [str(preset.path) for preset in presets("train") if preset.name.replace("/", "-") == name]
        return flat(dump(load(schema_for("train"), paths[0]))) if paths else {}


@cache
def _path(rule: str) -> dict[str, Any]:
    """A rule of `optimize` with the settings of the exercise or the literature; without a rule the rest of a config."""
    if rule and rule not in RULES:
        return {}
    config = dump(load(schema_for("optimize"), {"algo": [rule or "sgd"]}))
    (settings,) = config.pop("algo")
    return flat(settings if rule else config)


@cache
def _defaults(command: str) -> dict[tuple[str, str], str]:
    """Key and the name of its entry, if it is one of an entry -> the default, as YAML."""
    keys = keys_of(command)
    names = {(f"{key.key}.name", key.of): key.default for key in keys if key.choices}
    return names | {(key.key, key.of): key.default for key in keys}


def _changed(command: str, config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from those of the base. An entry that the base does not have is named without its
    defaults: `adam` in place of `sgd`, without its betas. Without a base, the values that differ from the defaults."""
    entries = {key: str(value) for key, value in config.items() if key.endswith(".name")}

    def is_default(key: str, value: Any) -> bool:
        if key in HIDDEN or key.endswith(".sha256") or (key in base and base[key] == value):
            return True
        owners = [of for k, of in entries.items() if key.startswith(k.removesuffix("name")) and base.get(k) != of]
        defaults = [_defaults(command).get((key, of)) for of in (*owners, *([] if base else [""]))]
        return any(flow(value) == text or decimal(flow(value)) == decimal(text) for text in defaults if text)

    return {key: value for key, value in config.items() if not is_default(key, value)}
