"""`optilab config`: the presets, and every key of a command's configs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from optilab.config.fields import ENTRY, EVERYDAY, LAST, SECTION, Key
from optilab.config.presets import Preset
from optilab.config.yaml import flow
from optilab.show import terminal


def presets(listed: Sequence[Preset]) -> None:
    """Each preset with its title, command by command."""
    for (kind, folder), group in groupby(listed, lambda preset: (preset.kind, preset.path.parent.name)):
        rows = [[f"{preset.name}.yaml", preset.title] for preset in group]
        what = {
            "remedies": "one change each to sigmoid.yaml",
            "optimizers": "sigmoid.yaml with another rule, its lr tuned",
            "published": "networks with a published log",
        }
        terminal.show(terminal.grid([f"optilab {kind} --config", what.get(folder, "")], rows, left=(0, 1)))
        terminal.say()
    terminal.say("run one:  optilab train --config sigmoid.yaml")
    terminal.say("edit one: optilab config cp sigmoid.yaml my.yaml")


def key_facts(kind: str, keys: Sequence[Key]) -> dict[str, Any]:
    """Keys as `--json` prints them."""
    return {"command": kind, "keys": [asdict(key) for key in keys]}


def preset_facts(listed: Sequence[Preset]) -> dict[str, Any]:
    """Presets as `--json` prints them."""
    return {
        "presets": [{"command": p.kind, "name": p.name, "title": p.title, "path": str(p.path)} for p in listed]
    }


def overview(kind: str, keys: Sequence[Key]) -> None:
    """Every key of a command's config, section by section, then the entries of each choice with their settings."""
    set_ = "; --set KEY=VALUE sets any of them" if kind in ("optimize", "train") else ""
    terminal.say(f"Keys of `optilab {kind}` configs with their defaults{set_}.", "bold")
    examples = {"optimize": "adam, function", "train": "model.norm, data, adam", "check": "checks.expect"}
    example = examples.get(kind, "seeds, expect")
    terminal.say(f"Types and ranges of a part: optilab config show {kind} PART, as in: {example}")
    plain = [key for key in keys if not key.of and key.key not in EVERYDAY[kind]]
    _keys("everyday", [key for name in EVERYDAY[kind] for key in keys if key.key == name])
    _keys("other keys of the run", [key for key in plain if "." not in key.key and key.type != SECTION])
    sections = [key for key in plain if key.type == SECTION]
    for section in sorted(sections, key=lambda key: key.key == LAST):
        if section.key == LAST:
            _choices(keys)
        default = f"; default {section.default}" if section.default else ""
        _keys(
            f"{section.key}: {section.meaning}{default}",
            [key for key in plain if key.key.startswith(f"{section.key}.")],
        )
    if not any(section.key == LAST for section in sections):
        _choices(keys)


def _keys(title: str, keys: Sequence[Key]) -> None:
    """A line for each key: name, default, meaning."""
    terminal.say()
    terminal.say(title, style="bold")
    terminal.show(
        terminal.grid(
            ["", "", ""], [[key.key, key.default, key.meaning] for key in keys], left=(0, 1, 2), show_header=False
        )
    )


def _choices(keys: Sequence[Key]) -> None:
    """A line for each entry of each choice: name, settings; keys that choose from the same entries share them."""
    titles: dict[tuple[str, ...], list[str]] = {}
    for key in keys:
        if key.type == ENTRY and not key.of:
            shared = next((names for names in titles if set(key.choices) <= set(names)), key.choices)
            titles.setdefault(shared, []).append(key.key)
    for names, chosen_by in titles.items():
        terminal.say()
        terminal.say(f"{', '.join(chosen_by)}: one of", style="bold")
        rows = []
        for name in names:
            settings = [key for key in keys if key.of == name and key.key.rpartition(".")[0] == chosen_by[0]]
            texts = (f"{key.key.removeprefix(f'{chosen_by[0]}.')} {key.default}" for key in settings)
            rows.append([name, ", ".join(texts)])
        terminal.show(terminal.grid(["", ""], rows, left=(0, 1), show_header=False))


def details(keys: Sequence[Key], rules: Mapping[str, Mapping[str, Any]]) -> None:
    """Keys with their types and ranges; `rules` holds the settings of a rule's preset, by the rule's name."""
    for of, group in groupby(keys, key=lambda key: key.of):
        preset, rows = rules.get(of, {}), []
        for key in group:
            names = f"; one of {', '.join(key.choices)}" if key.type == ENTRY else ""
            value = preset.get(key.key.rpartition(".")[2])
            rows.append(
                [key.key, key.default, *([flow(value)] if preset else []), f"{key.meaning}: {key.type}{names}"]
            )
        terminal.say()
        if of:
            terminal.say(of, style="bold")
        headings = ["key", "default", *(["preset"] if preset else []), "meaning"]
        terminal.show(terminal.grid(headings, rows, left=range(4)))
        if preset:
            terminal.say(f"preset: of the exercise; used wherever optimize, map and explain find the name {of}")
            terminal.say("default: of the literature; used by train and verify")
