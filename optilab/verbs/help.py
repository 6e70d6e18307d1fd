"""`optilab help`: the texts that messages refer to, which are sections of the documentation and part of the wheel."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc

from optilab.config.marks import Argument
from optilab.errors import UsageError, did_you_mean, shown
from optilab.verbs.answer import Printed
from optilab.verbs.options import SilentOptions
from optilab.verbs.verb import Place, Verb

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


class HelpRequest(SilentOptions):
    """Explain a topic that messages and help screens refer to, or a word of the glossary; without one, list the topics.

    The text is a section of the documentation, as Markdown. For the options of a command: optilab COMMAND --help.
    """

    EXAMPLES = ("optilab help", "optilab help claims", "optilab help 'chance level'")

    topic: Annotated[str | None, Argument("[TOPIC]", complete=",".join(TOPICS)), Doc("A name of the list")] = None


def explain(request: HelpRequest, place: Place) -> Printed:
    if request.topic is None:
        lines = [f"{name:12} {heading} ({page}.md)" for name, (page, heading) in TOPICS.items()]
        return Printed(lines, {"topics": list(TOPICS)}, list(TOPICS))
    words = {} if request.topic in TOPICS else glossary()
    if request.topic in TOPICS:
        text = "\n".join(section(*TOPICS[request.topic]))
    elif (term := request.topic.lower()) in words:
        text = words[term]
    else:
        near = did_you_mean(request.topic, [*TOPICS, *words])
        raise UsageError(
            f"{shown(request.topic)} is no topic and no word of the glossary{near}; `optilab help` lists the topics"
        )
    parts = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", part) for part in parts[::2]]  # links as their words
    text = "".join(parts)
    return Printed([text], {"topic": request.topic, "text": text}, [])


def glossary() -> dict[str, str]:
    """Term -> its row of the glossary, as a sentence; a row may define several terms, in bold."""
    found: dict[str, str] = {}
    for line in page_of("glossary").read_text(encoding="utf-8").splitlines():
        head, _, meaning = line.strip("| ").partition(" | ")
        for term in re.findall(r"\*\*(.+?)\*\*", line):
            found.setdefault(term.strip("`").lower(), f"{head}: {meaning}".replace("**", ""))
    return found


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
