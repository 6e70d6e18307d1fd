"""What commands cost with 10, 100, 1,000 and 10,000 runs: CPU seconds, peak memory, and what one more run adds."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from docs.measured import figures
from optilab import runs
from optilab.config.load import load
from optilab.config.section import to_yaml
from optilab.config.training import TrainConfig
from tests.kit.generated import training

SIZES = (10, 100, 1000, 10_000)
COMMANDS = {
    "runs ls": "runs ls",
    "runs ls --where --sort": "runs ls --where optimizer.lr>0.03 --sort -val_acc",
    "runs ls of a study": "runs ls --runs-dir studies",
    "runs ls STUDY": "runs ls study --runs-dir studies",
    "runs compare": "runs compare * --format csv",
    "runs export": "runs export * --out table.csv",
    "report": "report * --out page.html",
    "check": "check * --expect val_acc>0.1",
    "train, one batch": "train sigmoid.yaml --epochs 1 --set data.images=32 --name fresh-{runs} --quiet",
    "sweep --dry-run": "sweep sigmoid.yaml --over optimizer.lr=1e-6:1:{runs}:log --dry-run",
}
"""Names of runs are left to optilab, which knows the pattern."""


def make(folder: Path, count: int) -> None:
    """Finished trainings of 100 epochs, ten seeds of each setting, and a study with the same number of trials."""
    model = training(folder / "alone", "model", "epochs=100", accuracies=[0.1 + e / 200 for e in range(100)])
    files = {file.name: file.read_bytes() for file in model.iterdir() if file.name != "manifest.json"}
    manifest = runs.read(model).manifest | {"outcome": runs.read(model).outcome()}
    with mock.patch("os.fsync"):
        facts = manifest | {"command": "sweep", "trials": count}
        study = runs.open_study(folder / "studies", "study", b"config: {name: sigmoid}\n", facts)
        for number in range(count):
            config = manifest["config"] | {"seed": number % 10}
            config["optimizer"] = {"name": "sgd", "lr": 0.01 * (1 + number // 10)}
            text = {**files, "config.yaml": to_yaml(load(TrainConfig, config))}
            runs.write(folder / "runs", f"sigmoid-{number:05}", text, {**manifest, "config": config})
            runs.write(study.path, f"t{number:05}", text, {**manifest, "config": config})
        lrs = (0.01 * (1 + number // 10) for number in range(count))
        study.plan(
            {"trial": f"t{number:05}", "optimizer.lr": lr, "seed": number % 10, "digest": f"x{number}"}
            for number, lr in enumerate(lrs)
        )
        study.finish("done")


def cost(arguments: list[str], folder: Path) -> tuple[float, float]:
    """CPU seconds and peak MiB of a command."""
    line = [sys.executable, "-m", "optilab", *arguments]
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(arguments: list[str]) -> None:
    parser = figures.parser("growth", __doc__)
    parser.add_argument("runs", nargs="*", type=int, default=SIZES, metavar="RUNS")
    options = parser.parse_args(arguments)
    sizes, costs = options.runs, dict[str, list[tuple[float, float]]]()
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), count)
            for name, line in COMMANDS.items():
                words = [word.format(runs=count) for word in line.split()]
                costs.setdefault(name, []).append(cost(words, Path(folder)))
    rows: list[figures.Row] = []
    for name, measured in costs.items():
        added = 1000 * (measured[-1][0] - measured[0][0]) / max(1, sizes[-1] - sizes[0])
        cells = [f"{seconds:.2f} s, {memory:.0f} MiB" for seconds, memory in measured]
        rows.append([f"`{name}`", *cells, f"{added:.2f} ms"])
    columns = ["CPU time and memory", *(f"{count:,} runs" for count in sizes), "one more run"]
    figures.record("growth", "growth", columns, rows, options.print or tuple(sizes) != SIZES)
