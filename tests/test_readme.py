"""The README: its commands run, and what it and the pages that it leads to claim about the code is true."""

import ast
import re
import tomllib
from itertools import pairwise

import pytest

from optilab.errors import ExitCode
from tests.kit.command import run
from tests.kit.pages import ROOT, answer, scripts

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLASSIFIERS = PROJECT["classifiers"]
README, CI = ROOT / "README.md", ROOT / "docs" / "ci.md"
BLOCKS = scripts(README)
SETUP = [block.strip() for block in BLOCKS if "venv" in block]
TOUR = [block for block in BLOCKS if block.strip() not in SETUP]


@pytest.mark.parametrize("block", TOUR, ids=lambda block: block.splitlines()[0][:40])
def test_the_tour(block, tmp_path):
    for line in block.splitlines():
        answer(line, tmp_path)


def test_the_second_setup_command_is_what_ci_runs():
    assert len(SETUP) == 2
    assert all("\n" not in command for command in SETUP)
    first = next(line for line in README.read_text().splitlines() if "-m pytest" in line)
    assert first == SETUP[1]
    script = (ROOT / ".ci" / "run").read_text()
    assert "setup_and_test=$(grep -m1 -F -- '-m pytest' README.md)" in script
    assert 'bash -euo pipefail -c "$setup_and_test"' in script
    assert "-m pytest -q -m push" in script


def test_the_readme_names_the_systems_that_are_tested():
    systems = [line.rpartition(":: ")[2] for line in CLASSIFIERS if line.startswith("Operating System")]
    assert systems == ["Linux"]
    installation = README.read_text().partition("## Install\n")[2].partition("```")[0]
    assert installation.strip().startswith(
        "Python 3.11 or later. Tried on Linux; written for Windows and macOS, and not run"
    )


def test_a_bug_has_an_address():
    """No page promises another address than the placeholder, and the page on bugs says so."""
    assert "it has no public tracker" in (ROOT / "docs" / "faq.md").read_text()
    assert PROJECT["urls"] == {"Homepage": "https://example.org/optilab"}


def test_the_message_about_a_config_is_what_the_tool_prints(tmp_path):
    """The page shows the message alone; here is a config that has those mistakes."""
    text = (ROOT / "docs" / "configs.md").read_text()
    (tmp_path / "my.yaml").write_text(
        "model:\n  hidden: [128, 128]\n\n  activaton: relu\noptimizer:\n\n  name: sgd\n\n  lr: -0.01\n"
    )
    done = run(["train", "--config", "my.yaml"], tmp_path)
    assert done.returncode == ExitCode.USAGE
    assert f"```\n{done.stderr}```" in text


def test_the_exit_codes_are_those_of_the_code():
    """Numbers and meanings: a meaning is the text below the number in `errors.ExitCode`, or a link to the glossary."""
    (enum,) = (
        node
        for node in ast.parse((ROOT / "optilab" / "errors.py").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "ExitCode"
    )
    meanings = {
        str(before.value.value): " ".join(text.value.value.split())
        for before, text in pairwise(enum.body)
        if isinstance(before, ast.Assign) and isinstance(text, ast.Expr)
    }
    documented = dict(re.findall(r"^\| (\d) \| (.*) \|$", CI.read_text(), flags=re.MULTILINE))
    assert set(map(int, documented)) == set(ExitCode)
    assert "**diverged**" in (ROOT / "docs" / "glossary.md").read_text()
    assert documented.pop("6") == "[Diverged](glossary.md) (`optilab help diverged`)."
    assert meanings.pop("6").startswith("Diverged: ")
    assert {code: documented[code] for code in meanings} == meanings
