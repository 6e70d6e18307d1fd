"""The Markdown pages: their links, the commands they show, and the outputs they print.

A page shows a command in one of two ways:

* a block of `sh` holds commands, which must succeed;
* a block without a language whose first line is `$ COMMAND` shows what that command prints. A line
  `[N lines left out]` stands for N lines of the output; nothing else may differ.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LEFT_OUT = re.compile(r"\[(\d+) lines left out\]")


def scripts(page: Path) -> list[str]:
    """Every `sh` block of a page."""
    return re.findall(r"^```sh\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def outputs(page: Path) -> list[tuple[str, str]]:
    """Every command of a page whose output is shown, with that output."""
    blocks = re.findall(r"^```\n\$ (.*?)\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [(command, output.rstrip("\n")) for command, output in blocks]


def shell(script: str, folder: Path, **environment: str) -> str:
    """Run a script as a reader would, with this environment's optilab first on the PATH; return its stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shortened(actual: str, like: str) -> str:
    """The actual output with the lines left out that `like` leaves out."""
    lines, result = actual.splitlines(), []
    for line in like.splitlines():
        if mark := LEFT_OUT.fullmatch(line):
            result.append(line)
            del lines[: int(mark[1])]
        elif lines:
            result.append(lines.pop(0))
    return "\n".join(result + lines)
