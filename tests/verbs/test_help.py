"""`optilab help`: every topic has a text, every text is in the wheel, and every message names a topic that exists."""

import re
import tomllib
from pathlib import Path

import pytest

from optilab.optimize.path import Status
from optilab.verbs.help import TOPICS, glossary

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
    unknown = optilab("help", "xyzzy", code=2).stderr
    assert "'xyzzy' is no topic and no word of the glossary; `optilab help` lists the topics" in unknown
    several = optilab("help", "rate", code=2).stderr
    assert 'did you mean "learning rate", "convergence rate", "learning-rate-decayed"' in several


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("trial", "run: one training or one `optimize`"),
        ("Cannot Tell", "verdict: the answer of the statistics"),
        ("grad_ratio", "`grad_ratio`: the norm"),
        ("claim", "claim: a sentence about a result"),
        ("clams", "claim: a sentence about a result"),
        ("start", "starting point: the first w"),
        ("learning-rate", "learning rate: the factor of every step"),
        ("nats", "nat: the unit of a loss"),
        ("dead", "dead unit"),
        ("sat.", "dead unit (column dead), saturated output (column sat.)"),
        ("|dw|/|w|", "`|g|/|w|`, `|dw|/|w|`: "),
        ("Exit-Code", "# Scripts and CI"),
        ("against the best", "against the best: in a comparison"),
        ("vanishing-gradient", "`vanishing-gradient`: a finding of diagnose. measures: gradient of layer 1"),
    ],
)
def test_a_word_of_the_glossary_is_explained(word, meaning, optilab):
    said = optilab("help", word).stdout
    assert said.startswith(meaning)
    assert "**" not in said


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("holdout", r"data.holdout: number of training images .* optilab config show train data.holdout\n"),
        (
            "eps-placement",
            r"optimizer.eps_placement: eps outside .* optilab config show train optimizer.eps_placement\n",
        ),
        ("unit-gain", r"unit-gain: normal with variance .* More: optilab config show train model.init\n"),
        ("adam", r"adam: Adam .* More: optilab explain adam\n"),
        ("Momentum", r"momentum: Gradient descent with momentum .* More: optilab explain momentum\n"),
        ("sam", r"sam: .*\w\. More: optilab explain sam\n"),
        ("beta", r"optimizer\.\S*beta: .*\n"),
        ("ravine", r"ravine: A quadratic .* More: optilab optimize adam --function ravine\n"),
    ],
)
def test_a_word_of_the_configs_is_explained_with_the_command_that_says_more(word, meaning, optilab):
    done = optilab("help", word).stdout
    assert re.fullmatch(meaning, done)
    optilab(*done.split(" optilab ")[-1].split())


def test_a_table_wider_than_a_screen_is_a_list(optilab):
    said = optilab("help", "diagnosis").stdout
    assert "<!--" not in said
    assert (
        "\n`inputs-out-of-scale`\n  measures: root mean square of the first batch's inputs\n  threshold: below"
        in said
    )
    assert "\n**hyperparameter**\n  one number or switch" in optilab("help", "glossary").stdout


@pytest.mark.parametrize("word", ["verify", "check"])
def test_a_command_comes_before_a_part_of_a_group(word, optilab):
    assert f"its options: optilab {word} --help\n" in optilab("help", word, code=2).stderr


def test_a_word_of_the_glossary_ends_with_the_command_that_says_more(optilab):
    assert optilab("help", "verdict").stdout.endswith("How verdicts are made: optilab help verdicts\n")


def test_several_words_are_one_term(optilab):
    assert optilab("help", "chance", "level").stdout == optilab("help", "chance level").stdout
    assert optilab("help", "sweeping").stdout == optilab("help", "sweeps").stdout
    assert optilab("help", "lr").stdout.endswith("\nThe options of the command: optilab lr --help\n")
    assert (
        "'runs ls' is a command; its options: optilab runs ls --help"
        in optilab("help", "runs", "ls", code=2).stderr
    )


@pytest.mark.parametrize("status", [*Status, "healthy", "no cause found", "chaotic", "distance", "seed", "lr"])
def test_what_an_answer_says_is_a_word_of_the_glossary(status):
    assert status in glossary()


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


@pytest.mark.parametrize(
    ("word", "command"),
    [
        ("train", "train --help"),
        ("compare", "runs compare --help"),
    ],
)
def test_the_name_of_a_command_has_its_help(word, command, optilab):
    assert optilab("help", word, code=2).stderr.endswith(f": optilab {command}\n")
    assert optilab(*command.split()).stdout
