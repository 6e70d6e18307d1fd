"""python -m tests.benchmarks.startup: wall time of whole commands beside an empty Typer app's `--help`.

The commands alternate, so that a noisy machine slows all; medians and their ratio to the empty app are printed.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EMPTY = """
import typer

app = typer.Typer()


@app.command()
def one():
    "The first."


@app.command()
def two():
    "The second."


app()
"""
ROUNDS = 21


def main() -> None:
    optilab = shutil.which("optilab", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert optilab is not None, "optilab is not installed in this environment"
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder, "empty.py")
        empty.write_text(EMPTY)
        commands = {
            "empty Typer app --help": [sys.executable, str(empty), "--help"],
            "optilab --help": [optilab, "--help"],
            "optilab optimize (30 epochs)": [optilab, "optimize", "--algo", "adam", "--epochs", "30"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:30} {median * 1000:6.0f} ms   {median / medians['empty Typer app --help']:.2f}x")


if __name__ == "__main__":
    main()
