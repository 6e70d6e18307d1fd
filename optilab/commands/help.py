"""`optilab help`: sections of the documentation, which are part of the wheel, and the meaning of single words."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from inspect import cleandoc
from itertools import groupby
from typing import Annotated, Any

import yaml
from annotated_doc import Doc

from optilab.annotations import Argument
from optilab.answer.answer import SimpleAnswer
from optilab.commands import COMMANDS
from optilab.config import SCHEMAS
from optilab.config.keys import keys_of, shipped
from optilab.diagnose import CHECKS
from optilab.errors import UsageError, shown
from optilab.optimize import OBJECTIVES, RULES
from optilab.request.options import SilentOptions
from optilab.request.request import Place, options
from optilab.runs.metrics import METRICS
from optilab.words import listed

_LISTED = yaml.safe_load(shipped("docs/pages.yaml").read_text(encoding="utf-8"))["topics"]
TOPICS: dict[str, tuple[str, str]] = {topic: next(iter(place.items())) for topic, place in _LISTED.items()}
"""Topic -> page of docs/, and the heading of the section that is printed."""


class Help(SilentOptions):
    """Explain a topic, a word of the glossary, a finding of diagnose, a key of a config or an option; without one, list
    the topics.

    A topic is a section of the documentation, as Markdown. For all options of a command: optilab COMMAND --help.
    """

    EXAMPLES = ("optilab help", "optilab help claims", "optilab help 'chance level'")

    topic: Annotated[
        list[str] | None, Argument("[TOPIC]", complete=",".join(TOPICS)), Doc("A topic or a word")
    ] = None

    def run(self, place: Place) -> SimpleAnswer:
        topic = " ".join(self.topic or ())
        if not topic:
            lines = [f"{name:12} {heading} ({page}.md)" for name, (page, heading) in TOPICS.items()]
            return SimpleAnswer(lines, {"topics": list(TOPICS)}, list(TOPICS))
        known, plain = texts(), _plain(topic)
        matches = [name for name in known if _plain(name) == plain]  # an option last, where it is not typed as one
        word = topic if topic in matches else matches[-1] if matches else None
        if word is None:
            parts = {name: {_plain(name), *_plain(name).split()} for name in known}
            close = {*get_close_matches(plain, set[str]().union(*parts.values()), n=1, cutoff=0.8)}
            near = [name for name in known if _plain(name) in close] or [n for n in known if parts[n] & close]
            quoted = [f'"{name}"' for name in sorted(near, key=len)[:3]]
            suggestion = (
                f"; did you mean {listed(quoted, 'or')}?" if near else f"; expected one of {', '.join(TOPICS)}"
            )
            raise UsageError(f"unknown topic {shown(topic)}{suggestion}")
        return SimpleAnswer([known[word]], {"topic": topic, "text": known[word]}, [])


def _plain(word: str) -> str:
    """A word in lower case, with blanks in place of hyphens."""
    return re.sub(r"[\s_-]+", " ", word.strip("`").lower()).strip()


def texts() -> dict[str, str]:
    """The text of each word: of topics the section, of terms, findings, metrics, options, and of entries, keys and
    values of configs a sentence."""
    glossary = {
        term.strip("`").replace("\\|", "|").lower(): row.strip("| ")
        .replace("**", "")
        .replace(" | ", ": ")
        .replace("\\|", "|")
        for row in reversed(_readable(*TOPICS["glossary"]))
        for term in re.findall(r"\*\*(.+?)\*\*", row)
    }
    checks = sorted(CHECKS, key=lambda check: check.name)
    findings = {
        name: f"{name}, a finding of diagnose: {'; or: '.join(check.text.rstrip('.') for check in same)}"
        f"; fix {same[0].fix}"
        for name, same in ((name, [*group]) for name, group in groupby(checks, lambda check: check.name))
    }
    metrics = {name: f"{name}: {metric.title}, a column of a training" for name, metric in METRICS.items()}
    topics = {name: "\n".join(_readable(*place)) for name, place in TOPICS.items()}
    return {**_of_options(), **metrics, **_of_values(), **_of_configs(), **findings, **glossary, **topics}


def _of_options() -> dict[str, str]:
    """The options of all commands, each with a line for every meaning."""
    meanings: dict[str, dict[str, list[str]]] = {}
    for name in COMMANDS:
        module = import_module(f"optilab.commands.{name}")
        parts = getattr(module, "PARTS", None) or {"": module.COMMAND}
        for part, command in parts.items():
            for option in options(command).values():
                meanings.setdefault(option.flag, {}).setdefault(option.doc, []).append(f"{name} {part}".rstrip())
    return {
        flag: "\n".join(f"{flag}: {doc} ({', '.join(commands)})" for doc, commands in texts.items())
        for flag, texts in meanings.items()
        if flag.startswith("--")
    }


def _of_configs() -> dict[str, str]:
    """The texts of config keys, by name and by last part, and of the entries that they choose from."""
    from optilab.config.model import ACTIVATIONS, INITS, NORMS
    from optilab.optimize.schedules import SCHEDULES

    entries: Mapping[str, Any] = {**SCHEDULES, **NORMS, **INITS, **ACTIVATIONS, **OBJECTIVES, **RULES}
    words = {name: f"{name}: " + cleandoc(entry.__doc__).partition("\n\n")[0] for name, entry in entries.items()}
    keys = [key for kind in ("train", "optimize") for key in keys_of(kind)]
    keys.sort(key=lambda key: not key.key.startswith("optimizer."))
    meanings = [(key.key, f"{key.key}: {key.meaning} ({key.type})") for key in keys]
    for name, meaning in [*meanings, *((name.rpartition(".")[2], meaning) for name, meaning in meanings)]:
        if name not in COMMANDS:  # which --help explains
            words.setdefault(name, meaning)
    return words


def _of_values() -> dict[str, str]:
    """The values that keys of configs choose from, each with a line for every meaning."""
    owners: dict[str, dict[str, list[str]]] = {}
    for key in (key for kind in SCHEMAS for key in keys_of(kind)):
        for value in key.choices if key.choices != ("true", "false") else ():
            names = owners.setdefault(value, {}).setdefault(f"{key.last}: {key.meaning}", [])
            names += [key.of] if key.of and key.of not in names else []
    return {
        value: "\n".join(
            f"{value}, a value of {meaning}{f' ({listed(names)})' if names else ''}"
            for meaning, names in texts.items()
        )
        for value, texts in owners.items()
    }


def _readable(page: str, heading: str) -> list[str]:
    """A section without comments, with the page of each link in brackets."""
    lines = [line for line in section(page, heading) if not line.startswith("<!--")]
    return [re.sub(r"\[([^\]]*)\]\(([^\s)]*\.\w+)(#[^)]*)?\)", r"\1 (\2)", line) for line in lines]


def section(page: str, heading: str) -> Iterable[str]:
    """The lines below a heading of a page, up to the next heading of its level."""
    level, inside, code = 0, False, False
    for line in shipped(f"docs/{page}.md").read_text(encoding="utf-8").splitlines():
        code ^= line.startswith("```")
        marks = 0 if code else len(line) - len(line.lstrip("#"))
        if marks and line[marks:].strip() == heading:
            level, inside = max(marks, 2), True
        elif inside and marks and marks <= level:
            return
        if inside:
            yield line


COMMAND = Help
