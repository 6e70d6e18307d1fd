"""What mkdocs generates: the reference of commands, config keys and the library, from the program itself."""

import io
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages = {"commands": commands(), "keys": keys(), "api": api(), **topics(), "documents": documents()}
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
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


def topics() -> dict[str, str]:
    """The sections of pages that are a reference, as `optilab help` prints them: one page each."""
    from optilab.commands.help import TOPICS, section

    pages = {}
    for name in ("claims", "exit-codes", "diagnosis", "own"):
        page, heading = TOPICS[name]
        text = "\n".join(section(page, heading))
        title = f"# {heading}\n\nFrom [{page}.md](../{page}.md), where it stands in its context.\n"
        pages[name] = title + re.sub(r"\]\((?=[\w.-]+\.(?:md|json))", "](../", text.partition("\n")[2])
    return pages


def documents() -> str:
    """Every document of `--json`: the commands that print it, and its keys."""
    listed = (ROOT / "tests" / "golden" / "documents.txt").read_text()
    return f"# JSON documents\n\n[What they promise](../ci.md#json-documents).\n\n```text\n{listed}```\n"


def api() -> str:
    """The library's front doors, from their docstrings."""
    doors = ("optilab.lab.Lab", "optilab.loop.Watch", "optilab.errors")
    return "\n".join(["# Python API", *(f"\n## {door}\n\n::: {door}" for door in doors)])
