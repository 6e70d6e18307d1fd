"""What mkdocs generates: the reference of commands, config keys and the library, from the program itself."""

import io
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import yaml
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


def on_config(config: Any) -> Any:
    """Order the pages as docs/pages.yaml does."""
    listed = yaml.safe_load((ROOT / "docs" / "pages.yaml").read_text(encoding="utf-8"))["pages"]
    groups = {group: [f"{name}.md" for name in pages] for group, pages in listed.items()}
    groups["Reference"] += [f"reference/{name}.md" for name in GENERATED]
    config.nav = ["README.md", *({group: pages} for group, pages in groups.items())]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for name, content in GENERATED.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links that lead out of docs/, which a code host follows, are words here."""
    return re.sub(
        r"\[([^\]]+)\]\(\.\./[^)]*\)|\[([^\]]+)\]\([\w./-]+\.(?:ipynb|json|yaml|py)\)", r"\1\2", markdown
    )


def output_of(*words: str) -> str:
    """The output of `optilab WORDS`, 80 columns wide."""
    from optilab.cli import build

    out = io.StringIO()
    with redirect_stdout(out), suppress(SystemExit):
        build([*words])(args=[*words], prog_name="optilab", standalone_mode=True)
    return out.getvalue().rstrip()


def commands() -> str:
    """The help screen of every command."""
    from importlib import import_module

    from optilab.cli import COMMANDS

    parts = ["# Commands", "", "```text", output_of("--help"), "```"]
    for name in COMMANDS:
        parts_of = getattr(import_module(f"optilab.commands.{name}"), "PARTS", {})
        for words in [(name,), *((name, part) for part in parts_of)]:
            parts += ["", f"## optilab {' '.join(words)}", "", "```text", output_of(*words, "--help"), "```"]
    return "\n".join(parts)


def keys() -> str:
    """Every key of every kind of config: type, default, meaning."""
    from optilab.config import SCHEMAS
    from optilab.config.keys import keys_of

    parts = ["# Config keys"]
    for kind in SCHEMAS:
        parts += ["", f"## {kind}", "", "| key | of | type | default | meaning |", "|---|---|---|---|---|"]
        for key in keys_of(kind):
            cells = (f"`{key.key}`", key.of, key.type, key.default, key.meaning)
            parts.append("| " + " | ".join(re.sub(r"([|\[<])", r"\\\1", str(cell)) for cell in cells) + " |")
    return "\n".join(parts)


def api() -> str:
    """The library's front doors, from their docstrings."""
    doors = ("optilab.lab.Lab", "optilab.loop.Watch", "optilab.errors")
    return "\n".join(["# Python API", *(f"\n## {door}\n\n::: {door}" for door in doors)])


GENERATED = {"commands": commands, "keys": keys, "api": api}
