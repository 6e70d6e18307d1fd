"""`optilab help`: every topic has a text, every text is in the wheel, and every message names a topic that exists."""

import re
import tomllib
from pathlib import Path

import pytest

from optilab.verbs.help import TOPICS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_a_section_of_the_documentation(topic, optilab):
    _, heading = TOPICS[topic]
    lines = optilab("help", topic).stdout.splitlines()
    assert lines[0].lstrip("# ") == heading
    assert len(lines) > 5
    assert "](" not in re.sub(r"`[^`]*`", "", "\n".join(lines))


def test_a_section_ends_where_the_next_begins(optilab):
    said = optilab("help", "claims").stdout
    assert "[OF: ]METRIC[ at WHEN] SIGN NUMBER" in said
    assert "A file of claims lists commands" not in said


def test_the_topics_are_listed_and_an_unknown_one_is_refused(optilab):
    assert [line.split()[0] for line in optilab("help").stdout.splitlines()] == list(TOPICS)
    assert (
        "'clams' is no topic and no word of the glossary; did you mean \"claims\"?"
        in optilab("help", "clams", code=2).stderr
    )


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("trial", "run: one training or one `optimize`"),
        ("Cannot Tell", "verdict: the answer of the statistics"),
        ("grad_ratio", "`grad_ratio`: the norm"),
        ("claim", "claim: a sentence about a result"),
    ],
)
def test_a_word_of_the_glossary_is_explained(word, meaning, optilab):
    said = optilab("help", word).stdout
    assert said.startswith(meaning)
    assert "**" not in said


def test_the_wheel_has_the_pages_of_all_topics():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    pages = {path for path in wheel["force-include"] if path.endswith(".md")}
    assert pages == {f"docs/{page}.md" for page, _ in TOPICS.values()}


def test_messages_refer_to_topics_that_exist():
    texts = [path.read_text() for path in ROOT.glob("optilab/**/*.py")]
    named = {topic for text in texts for topic in re.findall(r"optilab help ([a-z-]+)", text)}
    assert named
    assert named <= set(TOPICS)


@pytest.mark.parametrize("group", ["runs", "config", "data"])
def test_no_line_of_a_group_is_cut_off(group, optilab):
    """Each subcommand has a clause that fits 80 columns."""
    listed = optilab(group, "--help", COLUMNS="80").stdout.partition("Commands:")[2].partition("Examples:")[0]
    assert listed.count("\n  ") >= 4
    assert "..." not in listed
