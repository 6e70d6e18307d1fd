"""The language of everything that people read: docs, help, messages, docstrings and pages, sentence by sentence.

Each rule is a pattern and what to write instead. docs/glossary.md has the terms. A string of the package that is no
sentence (a name, a key, code) cannot break a rule by accident: patterns are words of prose.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SOURCES = sorted(ROOT.glob("optilab/**/*.py"))
TEMPLATES = sorted(ROOT.glob("optilab/show/templates/*.html"))

RULES = {
    r"(?:^|[.:;!?]\s+|\* )Of (?:a|an|the|many|your|these|it|one|each)\b": "begin with the subject: 'For a run, ...'",
    r"\b[Bb]eside\b": "next to, or combined with",
    r"\banew\b": "again",
    r"\b[Ww]ithout a network\b|\bneeds no network\b": "offline",
    r"\b(?:so|as|equally) many\b": "N, or the same number of",
    r"\b(?:a|the|this|each|large|small) shares?\b|\b[Ss]hares? of\b": "fraction, or percentage",
    r", as (?:['`0-9]|in '|\{)": "for example",
    r"\b(?:is|are) there twice\b": "is repeated",
    r"\d %(?![\w}])": "10%, without a space",
    r"\bfirst weights\b": "initial weights",
    r"\bexpected[,;] (?:got|as|such)": "expected X, got Y",
    r"\bguessing\b": "the chance level, or the chance-level loss",
    r"\bhyper-parameter": "hyperparameter",
    r"\b[Ee]xit codes?\b": "exit status",
    r"\b[Cc]ure[sd]?\b": "remedy, or helps",
    r"\b(?:are|is) no (?:grid|experiment)\b|\bnever twice\b|\bhave no family\b": "plain English",
    r"\[the study\]\(vanishing": "the article on vanishing gradients",
    r"\b[Ff]olders?\b": "directory",
    r"(?<!paper's )\b[Aa]lgorithms?\b(?! [0-9])": "optimizer, or its update rule",
    r"\blearned by heart\b": "memorized",
    r"\b[Dd]igests?\b": "checksum",
    r"\btells? (?:time|the cost)|\bany more\b|\bwalked together\b": "plain English",
    r"(?i)\b\w*(?:normalis|initialis|memoris|minimis|maximis|recognis|generalis|summaris|standardis)\w*": "-ize",
    r"(?i)\b\w*(?:colour|honour|behaviour|neighbour|favour|labelled|modelled)\w*|\b(?:grey|centre[sd]?)\b": "American",
}


@cache
def sentences(path):
    """(line, text) of all prose of a file, without code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = re.sub(r"^```.*?^```", blank, text, flags=re.DOTALL | re.MULTILINE)
        text = re.sub(r"^ {4}.*|`[^`]*`|\]\([^)]*\)|<!--.*?-->", blank, text, flags=re.MULTILINE)
        return [(text[: at.start()].count("\n") + 1, at[0]) for at in re.finditer(r"\S(?:.|\n(?!\n))*", text)]
    if path.suffix == ".html":
        text = re.sub(r"\{[{%].*?[}%]\}", blank, text, flags=re.DOTALL)
        text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", blank, text, flags=re.DOTALL)
        return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [(node.lineno, prose(node)) for node in strings(ast.parse(text))]


def blank(match):
    """As many lines, and no words."""
    return re.sub(r"[^\n]+", " _ ", match[0])


def strings(tree):
    """Every literal; an f-string as a whole."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if isinstance(node, ast.JoinedStr) or (literal and id(node) not in inside):
            yield node


def prose(node):
    """The text of a literal: values of an f-string are {}, quoted code is nothing, a text of one word is none."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)
    return re.sub(r"``?[^`]*``?", "_", text) if " " in text.strip() else ""


@pytest.mark.parametrize("rule", RULES)
def test_no_sentence_breaks_a_rule_of_style(rule):
    found = [
        f"{path.relative_to(ROOT)}:{line + text[: match.start()].count(chr(10))}: "
        f"{match[0]!r} in {around(text, match)!r}"
        for path in (*PAGES, *SOURCES, *TEMPLATES)
        for line, text in sentences(path)
        for match in re.finditer(rule, text)
    ]
    assert not found, f"write {RULES[rule]}:\n" + "\n".join(found)


def around(text, match):
    """Some words before and after."""
    return " ".join(text[max(0, match.start() - 40) : match.end() + 40].split())


@pytest.mark.parametrize(
    ("text", "breaks"),
    [
        ("Of a run, its records are read.", True),
        ("For a run, diagnose reads its records.", False),
        ("a network beside the other", True),
        ("95 % of them", True),
        ("95% of them", False),
        ("a number expected, got 'x'", True),
        ("expected a number, got 'x'", False),
    ],
)
def test_the_rules_find_what_they_are_for(text, breaks):
    assert any(re.search(rule, text) for rule in RULES) == breaks
