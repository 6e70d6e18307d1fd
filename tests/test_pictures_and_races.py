"""Every command of docs/pictures-and-races.md is run, and what the page prints is what they print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "pictures-and-races.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("optilab ")
]


def run(line, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        ["bash", "-c", line.replace("optilab", f"'{sys.executable}' -m optilab", 1)],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def standings(text):
    """Mean rank of each rule."""
    return {name: float(rank) for name, rank in re.findall(r"^(\S+) +(\d\.\d\d) .* to ", text, flags=re.MULTILINE)}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page(line, tmp_path):
    shown = run(line, tmp_path)
    for file in re.findall(r"--(?:plot|animate) (\S+)", line):
        assert (tmp_path / file).stat().st_size > 10_000
    if line == "optilab race --plot race.png":
        # Another processor's exp and sin differ in the last bit, and a tuned setting may follow.
        assert standings(shown) == pytest.approx(standings(PAGE), abs=0.15)
    if line == "optilab optimize --algo momentum --epochs 100":
        assert re.search(r"^theory: .*$", shown, flags=re.MULTILINE)[0] in PAGE


def test_the_pictures_of_the_page_are_there_and_small():
    named = re.findall(r"\]\((pictures/\S+\.png)\)", PAGE)
    assert len(named) == 4
    for name in named:
        data = (ROOT / "docs" / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 200_000
