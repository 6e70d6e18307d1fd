"""python -m tests.benchmarks.studies: many runs, beside the published loop and `import torch`; on a quiet machine.

Figures are ratios of medians, measured in turns in one run, so that a noisy machine slows both sides. `--only` names
the parts: training, study, start, startup, overhead, listing, busy.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from optilab import runs
from optilab.config.load import Override, dump, load
from optilab.config.study import SweepConfig
from optilab.config.training import TrainConfig
from optilab.runs.provenance import provenance
from optilab.study import pool, sweep
from optilab.study.trials import MODULE, Places, TrialRunner

IMAGES, BATCH = 60_000, 512
WIDTHS = (784, 128, 128, 128, 128, 128, 10)


def median_of(rounds: int, action: Callable[[], object]) -> float:
    """Median seconds of an action."""
    return statistics.median(timed(action) for _ in range(rounds))


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def command(folder: Path, *arguments: object) -> float:
    """Wall seconds of one process."""
    started = time.perf_counter()
    line = [sys.executable, *map(str, arguments)]
    subprocess.run(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


# --- trainings ---------------------------------------------------------------------------------------------


def published_epoch(arrays: Any) -> float:
    """Seconds of an epoch of the published loop, all its threads at its disposal."""
    from tests.reference_loops import notebook_loop

    return float(notebook_loop(arrays, 1)[1][0])


def products() -> float:
    """Seconds of the matrix products of an epoch of the study's network: forward, backward, validation."""
    import torch

    total = 0.0
    for images, passes in ((IMAGES, 3), (IMAGES // 6, 1)):
        for number, (inputs, outputs) in enumerate(pairwise(WIDTHS)):
            x, w = torch.rand(BATCH, inputs), torch.rand(outputs, inputs)
            d = torch.rand(BATCH, outputs)
            calls = [lambda x=x, w=w: x @ w.T]
            if passes == 3:
                calls.append(lambda x=x, d=d: d.T @ x)
                calls += [lambda d=d, w=w: d @ w] if number else []
            total += sum(median_of(30, call) for call in calls) * images / BATCH
    return total


def training(arguments: argparse.Namespace, folder: Path) -> None:
    """One training on two threads, beside the published loop and beside its matrix products."""
    from optilab.train import engine
    from optilab.train.device import configure, resolve_device
    from tests.reference_loops import fashion_mnist

    overrides = [Override("", "threads", 2), Override("", "epochs", arguments.rounds + 1)]
    config, device = load(TrainConfig, "sigmoid.yaml", overrides), resolve_device("cpu")
    configure(device, 2)
    dataset, arrays = fashion_mnist()
    ours = engine.Training.start(config, dataset, device).run(lambda done, total: None, lambda: False)
    next(ours)
    slow, fast, least = [], [], []
    for _ in range(arguments.rounds):
        slow.append(published_epoch(arrays))
        fast.append(next(ours)[1])
        least.append(products())
    loop, epoch, floor = map(statistics.median, (slow, fast, least))
    print(f"training: {loop / epoch:.1f} x the published loop ({loop:.2f} and {epoch:.2f} s/epoch)")
    print(f"training: matrix products alone {floor:.2f} s/epoch, {100 * floor / epoch:.0f} % of the time")


def study(arguments: argparse.Namespace, folder: Path) -> None:
    """A study of 8 seeds and 10 epochs, start-up included, beside the published loop."""
    from tests.reference_loops import fashion_mnist

    _, arrays = fashion_mnist()
    slow = [published_epoch(arrays)]
    sweep_line = ("-m", "optilab", "sweep", "sigmoid.yaml", "--seeds", 8, "--epochs", 10, "--quiet")
    seconds = command(folder, *sweep_line, "--name", "eight")
    slow += [published_epoch(arrays) for _ in range(2)]
    loop = statistics.median(slow)
    print(
        f"study: {80 / seconds:.2f} model-epochs/s, {80 / seconds * loop:.1f} x the published loop ({loop:.2f} s)"
    )


def start(arguments: argparse.Namespace, folder: Path) -> None:
    """What a trial takes before its first batch and after its last: a training of one batch of 32 images."""
    config = load(TrainConfig, "sigmoid.yaml", [Override("", "data.images", 32), Override("", "epochs", 1)])
    asked = sweep.resolve(SweepConfig(config=dump(config), seeds=20))
    trials, watch = sweep.plan(asked).trials, Watch()
    with opened(folder, "start", asked) as (open_study, place), pool.Pool(MODULE, 1) as workers:
        execution = TrialRunner(open_study, workers, place, provenance([], []), watch, lambda: False)
        execution.run(trials)
    between = [b - a for a, b in pairwise(watch.ended)]
    print(f"start: {statistics.median(between):.2f} s per trial of one batch, {len(trials)} trials in a row")


def startup(arguments: argparse.Namespace, folder: Path) -> None:
    """`train --epochs 1` outside its epoch, beside a bare `import torch`."""
    bare, whole = [], []
    for number in range(arguments.rounds):
        bare.append(command(folder, "-c", "import torch"))
        name = f"one-{number}"
        seconds = command(
            folder, "-m", "optilab", "train", "sigmoid.yaml", "--epochs", 1, "--quiet", "--name", name
        )
        (row,) = runs.read_timings(folder / "runs" / name / "timings.csv")
        whole.append(seconds - row["seconds"])
    a, b = statistics.median(bare), statistics.median(whole)
    print(f"startup: train --epochs 1 outside its epoch {b:.2f} s, {b / a:.2f} x import torch ({a:.2f} s)")


# --- the machinery -----------------------------------------------------------------------------------------


class Watch:
    """A view that only notes when trials end."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def known(self, outcomes: object) -> None: ...

    def epochs(self, done: int) -> None: ...

    def done(self, outcome: object) -> None:
        self.ended.append(time.perf_counter())


def millisecond(folder: str, name: str, stop: Callable[[], bool], **_: Any) -> dict[str, Any]:
    """A trial of a millisecond in place of a training: a run directory, and an outcome."""
    time.sleep(0.001)
    os.mkdir(Path(folder) / name)
    (Path(folder) / name / "manifest.json").write_bytes(
        b'{"schema_version": 1, "name": "%s", "command": "train", "status": "done"}' % name.encode()
    )
    outcome = {"epochs": 1, "train_loss": 1.0, "train_acc": 0.5, "val_loss": 1.0, "val_acc": 0.5}
    return {"status": "done", "reason": "", "seconds": 0.001, "outcome": outcome}


class Milliseconds(pool.Pool):
    """Workers whose trials are `millisecond`."""

    def submit(self, function: str, arguments: Mapping[str, Any]) -> Any:
        return super().submit(f"{__spec__.name if __spec__ else __name__}:millisecond", arguments)


@contextmanager
def opened(folder: Path, name: str, asked: SweepConfig) -> Iterator[tuple[runs.OpenStudy, Places]]:
    """A new study in `folder`, and where the dataset is."""
    from optilab.study.execution import places_of
    from optilab.verbs.studies import dataset_of

    assert isinstance(asked.config, TrainConfig)
    facts = {"command": "sweep", **provenance([], []), "trials": asked.seeds}
    open_study = runs.open_study(folder / "runs", name, sweep.plan(asked).study(), facts)
    try:
        data = asked.config.data
        yield open_study, places_of({data.place: dataset_of(data)})
    finally:
        open_study.finish("done")


def overhead(arguments: argparse.Namespace, folder: Path) -> None:
    """What a trial of 1 ms is made longer by, and how long a finished study is recognised."""
    config = load(TrainConfig, "sigmoid.yaml", [Override("", "epochs", 1)])
    asked = sweep.resolve(
        SweepConfig(config=dump(config), seeds=10, over={"optimizer.lr": f"1e-6:1:{arguments.trials // 10}:log"})
    )
    trials = sweep.plan(asked).trials
    with opened(folder, "many", asked) as (open_study, place), Milliseconds(MODULE, 1) as workers:
        watch = Watch()
        execution = TrialRunner(open_study, workers, place, provenance([], []), watch, lambda: False)
        execution.run(trials[:100])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = timed(partial(execution.run, trials))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    each = 1000 * seconds / (len(watch.ended) - 100) - 1  # the first have no runs that are read, and run again
    first, last = (
        statistics.median(b - a for a, b in pairwise(part))
        for part in (watch.ended[100:1100], watch.ended[-1000:])
    )
    print(f"overhead: {each:.1f} ms per trial of 1 ms, {len(trials):,} trials, one worker")
    print(f"overhead: {1000 * first:.1f} ms between the first thousand, {1000 * last:.1f} ms between the last")
    print(f"overhead: {grown / 1024:.0f} MiB more memory at the end")

    def read() -> None:
        again = sweep.plan(sweep.resolve(load(SweepConfig, str(open_study.path / runs.STUDY))))
        rows = runs.read_study(open_study.path).trials()  # their runs, which `known` looks at, are not made here
        assert {row["trial"] for row in rows} == {trial.name for trial in again.trials}

    print(f"overhead: plan and rows of a study of {len(trials):,} trials are read in {timed(read):.1f} s")


def listing(arguments: argparse.Namespace, folder: Path) -> None:
    """`runs ls` with 10,000 runs, and with a study of as many trials if `overhead` made one."""
    command(
        folder, "-m", "optilab", "train", "sigmoid.yaml", "--epochs", 1, "--set", "data.images=32", "--name", "r0"
    )
    few = folder / "runs" / "r0"
    manifest = json.loads((few / "manifest.json").read_text())
    for number in range(1, arguments.trials):
        path = folder / "runs" / f"r{number}"
        path.mkdir()
        for file in ("config.yaml", "metrics.csv"):
            (path / file).write_bytes((few / file).read_bytes())
        (path / "manifest.json").write_text(json.dumps(manifest | {"name": path.name}))
    seconds = median_of(3, lambda: command(folder, "-m", "optilab", "runs", "ls"))
    print(f"listing: runs ls of {arguments.trials:,} runs {seconds:.1f} s")


def busy(arguments: argparse.Namespace, folder: Path) -> None:
    """A study while another process computes on every core, beside the same study alone."""
    line = ("-m", "optilab", "sweep", "sigmoid.yaml", "--seeds", 4, "--epochs", 4, "--quiet", "--name")
    alone = command(folder, *line, "alone")
    others = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(pool.cores())]
    for other in others:
        other.start()
    crowded = command(folder, *line, "crowded")
    for other in others:
        other.kill()
    print(f"busy: with a busy process per core {crowded / alone:.1f} x as long ({alone:.1f} and {crowded:.1f} s)")


def _spin() -> None:
    while True:
        pass


PARTS = {part.__name__: part for part in (training, study, start, startup, overhead, listing, busy)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.studies", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of what is measured in turns")
    parser.add_argument("--trials", type=int, default=10_000, help="trials of 1 ms, and runs to be listed")
    arguments = parser.parse_args()
    print(f"{pool.cores()} cores, load {os.getloadavg()[0]:.1f}")
    for name in arguments.only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](arguments, Path(folder))


if __name__ == "__main__":
    main()
