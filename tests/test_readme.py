"""Every command that the README shows is run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
SETUP = [block.strip() for block in BLOCKS if "venv" in block]
BENCHMARKS = [block for block in BLOCKS if "tests.benchmarks" in block]
TOUR = [block for block in BLOCKS if block.strip() not in SETUP and block not in BENCHMARKS]


def shell(script: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


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

    documented = {int(code) for code in re.findall(r"^\| (\d) \|", README, flags=re.MULTILINE)}
    assert documented == set(ExitCode)
