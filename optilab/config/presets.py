"""The shipped configs, and the file that `--config` means."""

import os
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from optilab import runs
from optilab.config import SCHEMAS, yaml
from optilab.errors import OptilabError, UsageError, did_you_mean, for_each, shell, shown, unknown
from optilab.optimize import RULES, Rule
from optilab.optimize.own import is_own, kind_of
from optilab.runs.record import MANIFEST

REMEDIES = "remedies"
"""The directory of the remedies; their names leave it out."""

KINDS = ("optimize", "train")
"""The commands that read a config; the directories of configs/."""
NO_NETWORK = {"optimize": ": optimize, play, map and explain follow optimizers on functions, and train no network"}
"""Why a command does not take the configs of the other."""
STUDIES = {"sweep": "config: and over:", "remedy": "config:", "race": "on: and algos:"}
"""The commands that read the file of a study, and how it begins."""


@dataclass(frozen=True)
class Preset:
    """A shipped config: `name` is its path below configs/KIND, without the ending and without `remedies/`."""

    kind: str
    name: str
    path: Path

    @property
    def is_remedy(self) -> bool:
        """Whether it is a remedy of the vanishing-gradient study: a change of `sigmoid.yaml`."""
        return self.path.parent.name == REMEDIES

    @property
    def title(self) -> str:
        """What it is: the file's first comment line, behind the one for editors."""
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


def presets_folder() -> Path:
    """configs/ next to the package: inside it in an installed wheel, above it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def schema_file(kind: str) -> Path:
    """The installed JSON Schema of a command's configs."""
    return presets_folder() / "schema" / f"{kind}.schema.json"


def presets(kind: str | None = None) -> list[Preset]:
    """The shipped configs by kind: those in no directory, the remedies, then the other directories; each sorted by
    name."""
    return [preset for folder in ([kind] if kind else KINDS) for preset in _below(presets_folder() / folder)]


@cache
def _below(root: Path) -> tuple[Preset, ...]:
    paths = sorted(
        root.rglob("*.yaml"), key=lambda path: (path.parent != root, path.parent.name != REMEDIES, path)
    )
    return tuple(Preset(root.name, _bare(path.relative_to(root).as_posix()), path) for path in paths)


def _bare(config: str) -> str:
    """The name of the preset that `config` names: `remedies/relu.yaml` is `relu`."""
    return config.removesuffix(".yaml").removesuffix(".yml").removeprefix(f"{REMEDIES}/")


def lookup(kind: str, config: str) -> Preset | None:
    """The preset of a command that `config` names, with or without `.yaml` and `remedies/`."""
    name = _bare(config.removeprefix(f"{kind}/"))
    return next((preset for preset in presets(kind) if preset.name == name), None)


def find(kind: str, config: str) -> Path:
    """The file that `--config` means: that path if it exists, else the shipped preset of that name."""
    path = Path(config)
    if path.suffix in (".csv", ".json", ".jsonl") and path.with_name(MANIFEST).is_file():
        for own in filter(Path.is_file, map(path.with_name, ("config.yaml", runs.STUDY))):
            raise UsageError(f"{config} is no config, but a file of a run; its config is {own}")
    try:
        if config and path.is_file() and path.suffix != ".py":
            return path.absolute()
    except OSError as error:  # a name that no file can have
        raise UsageError(f"{shown(config)}: {error.strerror}") from None
    if config and path.exists() and not path.is_dir() and path.suffix != ".py":
        raise UsageError(f"{path.absolute()} is a pipe or a device; save the config to a file first")
    if config and path.is_dir():
        file = next(path.glob("*.yaml"), "") or "one of a preset (optilab config ls)"
        advice = of_runs(kind, config, path) or f"expected a YAML file, such as {file}"
        raise UsageError(f"{config} is a directory; {advice}")
    if preset := lookup(kind, config):
        return preset.path
    raise UsageError(_not_found(kind, config, _bare(re.sub(rf"^({'|'.join(KINDS)})/", "", config))))


def _not_found(kind: str, config: str, name: str) -> str:
    if not config:
        return "empty path; give a YAML file or the name of a preset (optilab config ls)"
    if "://" in config:
        return f"{shown(config, 300)} is an address; download the config, and give the name of the file"
    if re.fullmatch(r"\+*[a-z][\w.]*=.*", config):
        return f"{shown(config)} is a setting; write it after a config, as in relu.yaml --set {config.lstrip('+')}"
    if re.search(r"[\w\"'}]\s*:\s|\n", config):
        mapping = yaml.read(config.encode(), "the text").tree
        instead = "save it to a file" if config in sys.argv[1:] else f"give a file, or the mapping {mapping}"
        return f"{shown(config)} is the text of a config; {instead}"
    if is_own(config) and (config.endswith(".py") or config.rpartition(":")[2].isidentifier()):
        own = f"{config}:NAME" if config.endswith(".py") else config
        gone = f"there is no file {config}; also, " * (config.endswith(".py") and not os.path.isfile(config))
        return (
            f"{gone}{shown(config)} is code, and a config is YAML; for a network of yours write relu.yaml --set "
            f"model={own}, for an optimizer relu.yaml --set optimizer={own}"
        )
    from optilab.data.sources import DATASETS

    if config in DATASETS:
        return f"{config} is a dataset, not a config; write relu.yaml --set data.dataset={config}"
    names = [preset.name for preset in presets(kind)]
    for other in (preset for preset in presets() if preset.kind != kind):
        if other.name == name and kind in STUDIES:
            return of_another(kind, other.kind, config, f"{name} is a preset")
        if other.name == name and kind:
            own = ", ".join(names) if len(names) < 9 else "see optilab config ls"
            return (
                f"{name} is a preset of `optilab {other.kind}`, not of `optilab {kind}`{NO_NETWORK.get(kind, '')}; "
                f"presets of `optilab {kind}`: {own}; write: optilab {other.kind} {name}.yaml"
            )
    close = get_close_matches(name, names, n=1)
    advice = f'did you mean the preset "{close[0]}"?' if close else "optilab config ls shows the presets"
    if near := get_close_matches(config, map(str, Path(config).parent.glob("*.y*ml")), n=1, cutoff=0.8):
        advice = f'did you mean "{near[0]}"?'
    if kind in STUDIES and not close:
        advice = "the file of a study is runs/NAME/study.yaml"
    advice = f"{config} is a command; leave it out" if config in SCHEMAS else advice
    advice = ("" if "/" in config else of_runs(kind, config, runs.root(None) / config)) or advice
    return f"{shown(config, 300)}: no file and no preset has this name; {advice}"


def of_runs(kind: str, config: str, path: Path) -> str:
    """What to write instead of the run or study in the directory `path`; empty where it is neither."""
    if not os.path.isfile(path / MANIFEST):
        return ""
    kept, made = path / "config.yaml", ""
    with suppress(OptilabError):
        made = runs.read_entry(path).manifest["command"]
    which = "the run of this name" if kept.is_file() else "a run of the study of this name"
    if which[0] == "a" and kind in STUDIES:
        return f"a study has this name: to repeat it write --study {shlex.quote(str(path / runs.STUDY))}"
    kept = kept if kept.is_file() else next(iter(sorted(path.glob("*/config.yaml"))), kept)
    show = f"`{shell('runs', 'show', config)}` shows it"
    if not kept.is_file():
        return f"a study has this name: {show}"
    if made == "watch":
        return f"the run of this name is of a loop of yours, without a config: {show}"
    if kind in STUDIES or (kind and made and (made == "optimize") != (kind == "optimize")):
        return of_another(kind, made or "train", str(kept), "the run of this name is one")
    line = [str(kept) if word == config else word for word in sys.argv[1:]]  # where it is a word of the command
    written = f": {shell(*line)}" if str(kept) in line else f" {kept}"
    return f"for the config of {which} write{written}"


def of_another(kind: str, other: str, config: str, what: str) -> str:
    """Why a command does not take the config of another one, and the line that does; `what` names the config."""
    begins = f"a study file begins with {STUDIES[kind]}; " if kind in STUDIES and other not in STUDIES else ""
    words = [other, *(["--study"] if other in STUDIES else [])]
    if kind in STUDIES and other == "train":
        words = [kind, *(["--on"] if kind == "race" else [])]
    axis = ["--over", "optimizer.lr=0.01,0.1"] if (kind, other) == ("sweep", "train") else []
    return f"{begins}{what} of `optilab {other}`{NO_NETWORK.get(kind, '')}; write: {shell(*words, config, *axis)}"


def named(name: str) -> Preset:
    """The preset of that name, of whichever command; UsageError names the nearest."""
    bare = _bare(name)
    found = presets()
    for preset in found:
        if preset.name in (bare, _bare(bare.removeprefix(f"{preset.kind}/"))):
            return preset
    if kind := READS.get(bare):
        raise UsageError(f"{bare} reads configs of {kind}: optilab config show {kind}")
    if os.path.isfile(name):
        raise UsageError(
            f"{name} is a file, not a preset: cp copies it; to look for mistakes in it: "
            f"{shell('config', 'check', name)}"
        )
    if os.path.isfile(runs.root(None) / name / MANIFEST):
        raise UsageError(
            f"{shown(name)} is a run, not a preset; its config: {shell('runs', 'show', name, '--config')}"
        )
    names = [preset.name for preset in found]
    close = did_you_mean(bare, KINDS) or did_you_mean(bare, names)
    raise UsageError(f"no preset is called {shown(name)}{close} (`optilab config ls` lists the presets)")


READS = {"lr": "train", "diagnose": "train"} | dict.fromkeys(("explain", "verify", "map", "play"), "optimize")
"""Commands that read the configs of another one."""


def algorithms(text: str, where: str = "--algo") -> list[str]:
    """`--algo adam,my.py:Mine` as the value of `algo`. UsageError for an empty name among others."""
    names = [name.strip() for name in text.split(",")]
    if "" in names and any(names):
        raise UsageError(f"{shown(text)} has an empty name; write {','.join(filter(None, names))}", where)
    return [name.lower() if name.lower() in RULES else name for name in names]  # an unknown one as it was typed


def is_config(value: Any) -> bool:
    """Whether a value without a name is a config: its keys, or the name of a file or a preset; not an optimizer."""
    if not isinstance(value, str):
        return isinstance(value, Mapping) and "name" not in value
    if value.endswith((".yaml", ".yml")):
        return True
    named = value in RULES or is_own(value)
    return not named and (os.path.exists(value) or any(lookup(kind, value) for kind in KINDS))


def rules_named(where: str, text: str) -> list[Rule]:
    """The rules of `adam,my.py:Mine`, each once, with the defaults of the literature or of the code.

    UsageError, with all of them, for names that are unknown and files that make no rule.
    """

    def read(name: str) -> Rule:
        if not is_own(name) and name not in RULES:
            raise UsageError(unknown("optimizer", name, RULES), where)
        kind: Any = kind_of(name) if is_own(name) else RULES[name]
        if needed := [f.name for f in fields(kind) if f.default is MISSING]:
            missing = f"{', '.join(needed)} needs a default in the code, as in {needed[0]}=0.1"
            raise UsageError(f"{kind.name}: {missing}", where)
        return kind()  # type: ignore[no-any-return]

    return for_each(read, dict.fromkeys(algorithms(text, where)))


def filled(rule: Any) -> Any:
    """A rule of an optimize config, or a list of them, with the settings of its preset where it leaves them out.

    So `adam` is the same rule in `--algo adam`, `--set algo=[adam]`, `algo: adam` and `base: adam`, and
    `{name: adam, beta1: 0.5}` is that rule with another beta1. A rule without a preset keeps its defaults.
    """
    if isinstance(rule, list):
        return [filled(entry) for entry in rule]
    if isinstance(rule, str):
        rule = {"name": rule}
    if not isinstance(rule, dict) or not isinstance(name := rule.get("name"), str):
        return rule
    inner = {"base": filled(rule["base"])} if "base" in rule else {}
    return {**rules().get(name, {}), **rule, **inner}


@cache
def rules() -> Mapping[str, Mapping[str, Any]]:
    """The `algo` section of each preset of `optimize`, by the rule's name."""
    sections = (yaml.read(p.path.read_bytes(), p.name).tree["algo"] for p in presets("optimize"))
    return {section["name"]: section for section in sections}
