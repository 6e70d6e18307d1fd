"""`optilab help`: the texts that messages refer to, which are sections of the documentation and part of the wheel."""

import inspect
import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc

from optilab.commands import COMMANDS
from optilab.commands.answer import Printed
from optilab.commands.completion import GROUPS, verbs_of
from optilab.commands.options import SilentOptions
from optilab.commands.verb import Place, Verb
from optilab.errors import UsageError, shown
from optilab.marks import Argument
from optilab.optimize import OBJECTIVES, RULES
from optilab.words import listed

TOPICS = {
    "claims": ("ci", "What a claim is made of"),
    "exit-codes": ("ci", "Scripts and CI"),
    "configs": ("configs", "Which value counts"),
    "data": ("data", "Offline"),
    "diagnosis": ("diagnose", "Findings"),
    "documents": ("ci", "JSON documents"),
    "glossary": ("glossary", "Glossary"),
    "own": ("invent", "What a file may define"),
    "resume": ("runs", "Runs and resume"),
    "sweeps": ("sweeps", "What can be swept"),
    "verdicts": ("verdicts", "The procedure"),
}
"""Topic -> page of docs/, and the heading of the section that is printed."""


WIDTH = 100
"""The widest row of a table that a screen can show."""


class HelpRequest(SilentOptions):
    """Explain a topic that messages and help screens refer to, or a word of the glossary; without one, list the topics.

    The text is a section of the documentation, as Markdown. For the options of a command: optilab COMMAND --help.
    """

    EXAMPLES = ("optilab help", "optilab help claims", "optilab help 'chance level'")

    topic: Annotated[
        list[str] | None, Argument("[TOPIC]", complete=",".join(TOPICS)), Doc("A name of the list")
    ] = None


def explain(request: HelpRequest, place: Place) -> Printed:
    topic = " ".join(request.topic or ())
    if not topic:
        lines = [f"{name:12} {heading} ({page}.md)" for name, (page, heading) in TOPICS.items()]
        return Printed(lines, {"topics": list(TOPICS)}, list(TOPICS))
    text = _unfolded(found(topic))
    parts = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", part) for part in parts[::2]]  # links as their words
    text = "".join(parts)
    command = command_of(topic)
    options = [f"The options of the command: optilab {command} --help"] if command else []
    return Printed([text, *options], {"topic": topic, "text": text}, [])


def _unfolded(text: str) -> str:
    """A text without comments, whose tables are lists of what each row has where a row is wider than a screen."""
    lines = list[str]()
    for table, group in groupby(re.sub(r"<!--.*?-->\n?", "", text).split("\n"), lambda line: line.startswith("|")):
        own = list(group)
        if not table or max(map(len, own)) <= WIDTH:
            lines += own
            continue
        heading, _, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in own)
        names = [f"{name}: " for name in heading[1:]] if heading[2:] else [""]
        for first, *cells in rows:
            lines += [first, *(f"  {name}{cell}" for name, cell in zip(names, cells, strict=True) if cell)]
    return "\n".join(lines)


def command_of(word: str) -> str:
    """The command of a name, `train`, `compare` or `runs compare`; empty where there is none."""
    if word in COMMANDS:
        return word
    group = next((name for name in GROUPS if word.removeprefix(f"{name} ") in verbs_of(name)), "")
    return f"{group} {word.removeprefix(f'{group} ')}" if group else ""


def found(word: str) -> str:
    """The section of a topic, or what the word means; UsageError where neither is called like that.

    Case, hyphens and a plural make no difference. Where the word is only close, the one thing that is meant is shown.
    """
    if word.lower() in TOPICS:
        return "\n".join(section(*TOPICS[word.lower()]))
    words = {**glossary(), **findings()}
    texts = {_spelling(term): text for term, text in words.items()}
    sections = {_spelling(topic): topic for topic in TOPICS}
    known, key = {**sections, **texts}, _spelling(word)
    near = [key] if key in known else [one for one in known if key and key in one.split()]
    near = near or [one for one in known if len(key) > 3 and f" {one}".find(f" {key}") >= 0]
    near = near or get_close_matches(key, known, n=3, cutoff=0.82)
    near = near or [one for one in known if get_close_matches(key, one.split(), n=1, cutoff=0.82)]
    near = near or [one for one in map(_spelling, [word.removesuffix("ing"), *word.split()]) if one in known]
    if key not in known and (command := command_of(word)):
        raise UsageError(f"{shown(word)} is a command; its options: optilab {command} --help")
    meanings = dict.fromkeys(known[one] for one in near)
    if len(meanings) == 1:
        (meant,) = meanings
        return found(meant) if near[0] not in texts else meant
    names = [f'"{term}"' for term in (*TOPICS, *words) if _spelling(term) in near]
    close = f"; did you mean {listed(names, 'or')}?" if names else ""
    if not names and (commands := get_close_matches(word, COMMANDS, n=1, cutoff=0.75)):
        close = f"; write: optilab {commands[0]} --help"
    if not names and (text := _of_config(word)):
        return text
    if not names and (rules := get_close_matches(word, RULES, n=1, cutoff=0.85)):
        is_one = "is an optimizer" if rules[0] == word else f"is no topic; {rules[0]} is an optimizer"
        raise UsageError(f"{shown(word)} {is_one}; its formula and its first step: optilab explain {rules[0]}")
    raise UsageError(
        f"{shown(word)} is no topic and no word of the glossary{close or '; `optilab help` lists the topics'}"
    )


def _of_config(word: str) -> str:
    """What a key of a config, an optimizer, a function, or another thing that a key takes is; empty for any other."""
    from optilab.config import fields, model
    from optilab.optimize.schedules import SCHEDULES

    own, choices = word.lower().replace(" ", "-"), dict[str, str]()
    described = {kind: list(fields.describe(fields.schema_for(kind))) for kind in ("train", "optimize")}
    for kind, keys in described.items():
        own_keys = [key for key in reversed(keys) if not key.of]  # of several, the first is the usual one
        choices |= {name: f"config show {kind} {key.key}" for key in own_keys for name in key.choices}
    choices |= {name: f"explain {name}" for name in RULES}
    choices |= {name: f"optimize adam --function {name}" for name in OBJECTIVES}
    kinds = {**RULES, **OBJECTIVES, **model.ACTIVATIONS, **model.INITS, **model.NORMS, **SCHEDULES}
    if own in kinds and own in choices:
        text = inspect.cleandoc(kinds[own].__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        sentence = re.split(r"\.\s+(?=[A-Z])", text)[0].removesuffix(".")
        return f"{own}: {sentence}. More: optilab {choices[own]}"
    for kind, keys in described.items():
        for key in sorted(keys, key=lambda key: not key.key.startswith("optimizer.")):
            if own.replace("-", "_") in (key.key, key.key.rpartition(".")[2]) and key.meaning:
                return f"{key.key}: {key.meaning}. Its type and default: optilab config show {kind} {key.key}"
    return ""


def _spelling(term: str) -> str:
    """A term in lower case, without hyphens and the s of a plural."""
    return re.sub(r"(\w\w)s\b", r"\1", " ".join(re.split(r"[\s_-]+", term.strip("` ").lower())))


def glossary() -> dict[str, str]:
    """Term -> its row of the glossary, as a sentence; a row may define several terms, in bold."""
    found: dict[str, str] = {}
    for line in page_of("glossary").read_text(encoding="utf-8").splitlines():
        head, _, meaning = line.strip("| ").replace("\\|", "|").partition(" | ")
        for term in re.findall(r"\*\*(.+?)\*\*", line.replace("\\|", "|")):
            found.setdefault(term.strip("`").lower(), f"{head}: {meaning}".replace("**", ""))
    return {term: re.sub(r"\[([^\]]*)\]\((\S+)\.md\)", _reference, text) for term, text in found.items()}


def _reference(link: re.Match[str]) -> str:
    """What to type for a link's page."""
    topic = next((topic for topic, (page, _) in TOPICS.items() if page == link[2]), None)
    return f"{link[1]}: optilab help {topic}" if topic else link[1]


def findings() -> dict[str, str]:
    """Finding of `diagnose` -> its row of the table of findings, as a sentence."""
    rows = [line.strip("| ").split(" | ") for line in section("diagnose", "Findings") if line.startswith("| ")]
    headings, *rest = rows
    return {
        row[0].strip("`"): f"{row[0]}: a finding of diagnose. "
        + "; ".join(f"{heading}: {text}" for heading, text in zip(headings[1:], row[1:], strict=True))
        for row in rest
    }


def page_of(name: str) -> Path:
    """A page of the documentation: inside the package in an installed wheel, next to it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "docs" / f"{name}.md"
    return inside if inside.is_file() else package.parent / "docs" / f"{name}.md"


def section(page: str, heading: str) -> Iterable[str]:
    """The lines below a heading of a page, up to the next heading of its level."""
    level, inside, code = 0, False, False
    for line in page_of(page).read_text(encoding="utf-8").splitlines():
        code ^= line.startswith("```")
        marks = 0 if code else len(line) - len(line.lstrip("#"))
        if marks and line[marks:].strip() == heading:
            level, inside = max(marks, 2), True
        elif inside and marks and marks <= level:
            return
        if inside:
            yield line


VERB = Verb(explain, (HelpRequest,))
