"""python -m tests.benchmarks.listing: how long `runs ls` takes with 10,000 runs, and with a study of 10,000 trials."""

import statistics
import tempfile
from pathlib import Path
from unittest import mock

from optilab import runs
from tests.benchmarks.startup import timed
from tests.study.generated import training

COUNT = 10_000
ROUNDS = 5


def make(folder: Path) -> None:
    """10,000 finished trainings of 100 epochs, and a study with as many rows in trials.csv."""
    model = training(folder / "alone", "model", "epochs=100", accuracies=[0.1 + e / 200 for e in range(100)])
    files = {file.name: file.read_bytes() for file in model.iterdir() if file.name != "manifest.json"}
    manifest = runs.read(model).manifest | {"outcome": runs.read(model).outcome()}
    rows = []
    with mock.patch("os.fsync"):
        for number in range(COUNT):
            config = {
                **manifest["config"],
                "seed": number,
                "optimizer": {"name": "sgd", "lr": 0.01 * (number % 7)},
            }
            runs.write(folder / "runs", f"sigmoid-{number:05}", files, {**manifest, "config": config})
            facts = {"trial": f"t{number:05}", "optimizer.lr": number / COUNT, "seed": 42, "digest": "x"}
            rows.append({**facts, "status": "done", "reason": None, **manifest["outcome"]})
        study = runs.open_study(
            folder / "studies", "study", b"config: {name: sigmoid}\n", manifest | {"trials": COUNT}
        )
        study.tabulate(rows)
        study.finish("done")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        commands = {
            "runs ls": ["runs", "ls"],
            "runs ls --where --sort": ["runs", "ls", "--where", "optimizer.lr>0.03", "--sort", "-val_acc"],
            "runs ls of a study": ["runs", "ls", "--runs-dir", "studies"],
            "runs ls STUDY": ["runs", "ls", "study", "--runs-dir", "studies"],
        }
        for name, arguments in commands.items():
            measured = [timed(["-m", "optilab", *arguments], folder) for _ in range(ROUNDS)]
            wall, cpu = (statistics.median(column) for column in zip(*measured, strict=True))
            print(f"{name:24} {wall:5.2f} s wall   {cpu:5.2f} s CPU   {COUNT:,} runs")


if __name__ == "__main__":
    main()
