"""The shipped configs, and the file that a config argument names: a path, a preset or the directory of a run."""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from optilab import runs
from optilab.config import archive
from optilab.config.keys import schema_file, shipped
from optilab.config.tree import Tree
from optilab.errors import UsageError, did_you_mean, shown, unknown
from optilab.optimize import RULES, Rule
from optilab.optimize.formula import outside_brackets
from optilab.optimize.rule import (
    COMMON_VALUES,
    formula_rule,
    is_formula,
    labeled,
    split_label,
    without_label,
)
from optilab.optimize.user_rule import rule_class
from optilab.runs.record import CONFIG_FILE, MANIFEST
from optilab.user_code import is_user_code

REMEDIES = "remedies"
"""The directory of the remedies; their names leave it out."""

KINDS = ("optimize", "train")
"""The commands that read a config; the directories of configs/."""


@dataclass(frozen=True)
class Preset:
    """A shipped config: `name` is its path below configs/KIND, without the ending and without `remedies/`."""

    kind: str
    name: str
    path: Path

    @property
    def title(self) -> str:
        """The description: the file's first comment line after the one for editors."""
        return self.path.read_text(encoding="utf-8").split("\n", 2)[1].lstrip("# ").rstrip()

    @property
    def code(self) -> Path | None:
        """The file with the network that it names, next to it and of the same name; None: it has none."""
        return file if (file := self.path.with_suffix(".py")).is_file() else None

    @property
    def copy(self) -> bytes:
        """The file as it stands elsewhere: an editor finds the schema where it is installed."""
        first, _, rest = self.path.read_text(encoding="utf-8").partition("\n")
        return f"{first.partition('=')[0]}={schema_file(self.kind)}\n{rest}".encode()


def presets(kind: str | None = None) -> list[Preset]:
    """The shipped configs by kind: those in no directory, the remedies, then the other directories; each sorted by
    name."""
    return [
        preset for directory in ([kind] if kind else KINDS) for preset in _below(shipped("configs") / directory)
    ]


@cache
def _below(root: Path) -> tuple[Preset, ...]:
    paths = sorted(
        root.rglob("*.yaml"), key=lambda path: (path.parent != root, path.parent.name != REMEDIES, path)
    )
    return tuple(Preset(root.name, _preset_name(path.relative_to(root).as_posix()), path) for path in paths)


def _preset_name(config: str) -> str:
    """The name of the preset that `config` names: `remedies/relu.yaml` is `relu`."""
    return config.removesuffix(".yaml").removesuffix(".yml").removeprefix(f"{REMEDIES}/")


def lookup(kind: str, config: str) -> Preset | None:
    """The preset that `config` names, with or without `.yaml` and `remedies/`; of any command where `kind` is empty."""
    named = (p for p in presets(kind) if p.name == _preset_name(config.removeprefix(f"{p.kind}/")))
    return next(named, None)


def find(kind: str, config: str) -> Path:
    """The file of a config argument: a path, the name of a preset, the directory of a run, whose config.yaml it is, or
    an archive, which is unpacked. UsageError for anything else."""
    try:
        mode = os.stat(config).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        if preset := lookup(kind, config):
            return preset.path
        raise UsageError(_unknown(kind, config)) from None
    except OSError as error:
        raise UsageError(f"{shown(config)}: {error.strerror}") from None
    if stat.S_ISREG(mode) and config.lower().endswith(archive.ENDING):
        return archive.unpacked(Path(config))
    if stat.S_ISREG(mode) and not config.endswith(".py"):
        return Path(config).absolute()
    if (Path(config) / MANIFEST).is_file():
        if runs.read(Path(config)).is_watched:
            raise UsageError(f"expected a config, got a run of optilab.watch, which has none: {config}")
        return Path(config).absolute() / CONFIG_FILE
    kind_of_file = "code" if stat.S_ISREG(mode) else "a directory" if stat.S_ISDIR(mode) else "a pipe or a device"
    raise UsageError(f"expected a YAML file, a preset or the directory of a run, got {kind_of_file}: {config}")


def _unknown(kind: str, config: str) -> str:
    if other := lookup("", config):
        return f"{shown(config)} is a preset of {other.kind}, not of {kind}"
    names = {path.name: str(path) for path in runs.directories(runs.root(None)) if kind == "train"}
    names |= {preset.name: preset.name for preset in presets(kind)}
    names |= {_preset_name(str(file)): str(file) for file in Path(config).parent.glob("*.y*ml")}
    close = get_close_matches(_preset_name(config), names, n=1, cutoff=0.75)
    accepted = "expected a YAML file or a preset, which `optilab config ls` lists"
    near = f'did you mean "{names[close[0]]}"?' if close else accepted
    return f"unknown config {shown(config, 300)}; {near}"


def named(name: str) -> Preset:
    """The preset of that name, of whichever command. UsageError names the nearest."""
    if preset := lookup("", name):
        return preset
    accepted = [*KINDS, *(preset.name for preset in presets())]
    raise UsageError(f"unknown preset {shown(name)}{did_you_mean(_preset_name(name), accepted)}")


def optimizer_names(text: str, where: str = "--algo") -> list[str]:
    """`--algo adam,my.py:Mine` as the value of `algo`, split outside brackets. UsageError for an empty name among
    others."""
    names = [name.strip() for name in outside_brackets(text)]
    if "" in names and any(names):
        raise UsageError(f"{shown(text)} has an empty name", where)
    return [*map(_in_lower_case, names)]


def _in_lower_case(name: str) -> str:
    """An optimizer of optilab in lower case, with its name of the user's as it is; another one as it was typed."""
    rule = without_label(name)
    return name.removesuffix(rule) + rule.lower() if rule.lower() in RULES else name


def is_config(value: Any) -> bool:
    """True if a value without a name is a config: its keys, or the name of a file or a preset; not an optimizer."""
    if not isinstance(value, str):
        return isinstance(value, Mapping) and "name" not in value
    if value.endswith((".yaml", ".yml")):
        return True
    is_optimizer = value in RULES or is_user_code(value) or is_formula(value)
    return not is_optimizer and (os.path.exists(value) or lookup("", value) is not None)


def rules_named(where: str, names: Sequence[Any], tuned: Iterable[str] = ()) -> list[Rule]:
    """The rules of names and of objects of this process, each once, with the defaults of the literature or of the code.
    UsageError for an unknown name and a file that makes no rule. Settings that are `tuned` need no default: a value is
    drawn for them."""
    rules, texts = [], ",".join(name for name in names if isinstance(name, str))
    objects = [name for name in names if not isinstance(name, str)]
    for name in dict.fromkeys([*(optimizer_names(texts, where) if texts or not objects else []), *objects]):
        label, name = split_label(name, where) if isinstance(name, str) else ("", name)
        if name not in RULES and not is_formula(name) and not is_user_code(name):
            raise UsageError(unknown("optimizer", name, RULES), where)
        kind: Any = formula_rule(name) if is_formula(name) else RULES[name] if name in RULES else rule_class(name)
        settings = usual_settings(name)
        needed = [field.name for field in fields(kind) if field.default is MISSING]
        settings |= {setting: 1.0 for setting in needed if setting in tuned and setting not in settings}
        if missing := [setting for setting in needed if setting not in settings]:
            over = "--over" if where.startswith("--") else "over"
            raise UsageError(f"{kind.name}: no value of {', '.join(missing)}; {over} takes a range of it", where)
        rules.append(labeled(kind(**settings), label))
    for rule in rules:
        if twice := [other.name for other in rules if other.original is rule.original][1:]:
            raise UsageError(f"{rule.name} and {twice[0]} are the same optimizer", where)
    return rules


def usual_settings(name: str) -> dict[str, float]:
    """The usual values of the hyperparameters of a formula that are named like those of known rules."""
    if not is_formula(name):
        return {}
    kind: Any = formula_rule(name)
    names = [field.name for field in fields(kind)]
    return {name: COMMON_VALUES[name] for name in names if name in COMMON_VALUES}


def with_preset_settings(rule: Any, tuned: bool = False) -> Any:
    """A rule of an optimize config, or a list of them, in which settings that are left out are those of the
    presets.

    So `adam` is the same rule in `--algo adam`, `--set algo=[adam]`, `algo: adam` and `base: adam`, and
    `{name: adam, beta1: 0.5}` is that rule with another beta1. A rule without a preset keeps its defaults. A formula
    has none, and where it is `tuned` the usual values.
    """
    if isinstance(rule, list):
        return [with_preset_settings(entry, tuned) for entry in rule]
    if isinstance(rule, str):
        rule = {"name": rule}
    if not isinstance(rule, dict) or not isinstance(name := rule.get("name", rule.get("formula")), str):
        return rule
    inner = {"base": with_preset_settings(rule["base"])} if "base" in rule else {}
    name = without_label(name)
    preset = preset_sections().get(name, {})
    if tuned:
        with suppress(UsageError):  # of a formula that cannot be read, which is refused where it is built
            preset = preset or usual_settings(name)
    return {**preset, **rule, **inner}


@cache
def preset_sections() -> Mapping[str, Mapping[str, Any]]:
    """The `algo` section of each preset of `optimize`, by the rule's name."""
    sections = (Tree.read(p.path.read_bytes(), p.name).values["algo"] for p in presets("optimize"))
    return {section["name"]: section for section in sections}
