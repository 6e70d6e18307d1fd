"""`optilab config`: the presets, and every key of a command's configs."""

from collections.abc import Sequence
from itertools import groupby

from rich.padding import Padding
from rich.text import Text

from optilab import console
from optilab.config.keys import Key
from optilab.config.presets import Preset
from optilab.errors import printable


def presets(found: Sequence[Preset]) -> None:
    """Each preset with its title, command by command."""
    for (kind, folder), group in groupby(found, lambda preset: (preset.kind, preset.path.parent.name)):
        rows = [[f"{preset.name}.yaml", preset.title] for preset in group]
        what = {"remedies": "one change each to sigmoid.yaml", "published": "networks with a published log"}
        console.show(console.grid([f"optilab {kind} --config", what.get(folder, "")], rows, left=(0, 1)))
        console.say()
    console.say("run one:  optilab train --config sigmoid.yaml")
    console.say("edit one: optilab config cp sigmoid.yaml my.yaml")


def reference(kind: str, keys: Sequence[Key]) -> None:
    """Every key of a command's config: type and range, default, meaning; what many entries share is told once."""
    console.say(f"Keys of `optilab {kind}` configs; each can be set by --set KEY=VALUE too.", style="bold")
    grouped: dict[tuple[str, str, str], dict[str, str]] = {}
    for key in keys:
        grouped.setdefault((key.key, key.type, key.meaning), {})[key.of] = key.default
    for (name, kind_of_value, meaning), defaults in grouped.items():
        console.say()
        console.say(name, style="bold")
        _paragraph(f"{meaning}: {kind_of_value}")
        if "" in defaults:
            _paragraph(f"default {defaults['']}")
        else:
            _paragraph("default " + ", ".join(f"{default} ({of})" for of, default in defaults.items()))


def _paragraph(text: str) -> None:
    """Text that wraps and stays indented."""
    console.show(Padding(Text(printable(text)), (0, 0, 0, 4)))
