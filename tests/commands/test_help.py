"""`optilab help`: every topic has a text, every text is in the wheel, and every message names a topic that exists."""

import re
import tomllib
from pathlib import Path

import pytest

from optilab.commands.help import TOPICS, texts
from optilab.config import SCHEMAS
from optilab.config.keys import keys_of
from optilab.diagnose import CHECKS
from optilab.optimize import Status

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_a_section_of_the_documentation(topic, optilab):
    _, heading = TOPICS[topic]
    lines = optilab("help", topic).stdout.splitlines()
    assert lines[0].lstrip("# ") == heading
    assert len(lines) > 5
    assert "](" not in re.sub(r"`[^`]*`", "", "\n".join(lines))


def test_every_word_of_an_answer_has_a_text():
    """A status, an answer of `diagnose`, a finding, a column, an optimizer, a function, a key."""
    answers = {
        *Status,
        "healthy",
        "no cause found",
        "chaotic",
        "95%",
        "|dw|/|w|",
        "dead",
        "sat.",
        "std",
        "verdict",
    }
    of_paths = {"f(w)", "w1", "distance", "theory", "measured", "stable up to", "best", "convergence rate"}
    of_trainings = {"epoch", "train_loss", "val_acc", "last", "chance", "nats", "n", "baseline", "preset", "seed"}
    findings = {check.name for check in CHECKS}
    keys = {"adam", "ravine", "relu", "optimizer.lr", "batch_size"}
    assert {*answers, *of_paths, *of_trainings, *findings, *keys} <= texts().keys()


def test_every_value_of_every_key_has_a_text(optilab):
    """All but true and false, which would have the texts of all switches."""
    values = {value for kind in SCHEMAS for key in keys_of(kind) for value in key.choices} - {"true", "false"}
    assert len(values) > 100
    assert values <= texts().keys()
    assert optilab("help", "decoupled").stdout.startswith(
        "decoupled, a value of weight_decay_form: decay added to"
    )
    assert "eps inside or outside the root (adagrad and rmsprop)" in optilab("help", "outside").stdout
    assert "the optimizer sgd" in optilab("help", "gd").stdout.replace("`", "")


@pytest.mark.parametrize("word", ["--confirm-seeds", "confirm_seeds"])
def test_an_option_has_a_text(word, optilab):
    assert "--confirm-seeds: New seeds for each of these K" in optilab("help", word).stdout


def test_the_wheel_has_the_pages_of_all_topics_and_their_list():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    pages = {path for path in wheel["force-include"] if path.startswith("docs/")}
    assert pages == {"docs/pages.yaml", *(f"docs/{page}.md" for page, _ in TOPICS.values())}


def test_messages_refer_to_topics_that_exist():
    texts = [path.read_text() for path in ROOT.glob("optilab/**/*.py")]
    named = {topic for text in texts for topic in re.findall(r"optilab help ([a-z-]+)", text)}
    assert named
    assert named <= set(TOPICS)
