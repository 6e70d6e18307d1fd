"""Every command that the README shows is run."""

import re

import pytest

from tests.pages import ROOT, scripts, shell

README = ROOT / "README.md"
BLOCKS = scripts(README)
SETUP = [block.strip() for block in BLOCKS if "venv" in block]
BENCHMARKS = [block for block in BLOCKS if "tests.benchmarks" in block]
TOUR = [block for block in BLOCKS if block.strip() not in SETUP and block not in BENCHMARKS]


@pytest.mark.parametrize("block", TOUR, ids=lambda block: block.splitlines()[0][:40])
def test_the_tour(block, tmp_path):
    assert all(line.startswith(("optilab ", "RUN=", "source ")) for line in block.splitlines())
    shell(block, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("line", "".join(BENCHMARKS).splitlines())
def test_the_benchmarks_run(line):
    shell(line, ROOT)


def test_the_two_setup_commands_are_what_ci_runs():
    assert len(SETUP) == 2
    assert all("\n" not in command for command in SETUP)
    assert "README" in (ROOT / ".ci" / "run").read_text()


def test_the_exit_codes_are_those_of_the_code():
    from optilab.errors import ExitCode

    documented = {int(code) for code in re.findall(r"^\| (\d) \|", README.read_text(), flags=re.MULTILINE)}
    assert documented == set(ExitCode)
