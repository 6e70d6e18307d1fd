"""python -m tests.benchmarks.threads: seconds per epoch by threads and by how OpenMP's threads wait, beside neighbours.

A thread that has nothing to do spins for a while before it sleeps, which saves microseconds on an idle machine; where
another process wants the core it costs time slices of milliseconds at each of hundreds of waits per epoch. Each number
is the median of processes of their own, because a wait policy is read when OpenMP is loaded; the settings take turns,
so that a machine that changes meanwhile changes for all of them. The bytes of a run do not depend on the policy.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

SETTINGS = {
    "1 thread": ("1", {}),
    "default": ("2", {}),
    "spinning": ("2", {"GOMP_SPINCOUNT": "300000"}),
    "passive": ("2", {"OMP_WAIT_POLICY": "PASSIVE"}),
    **{
        f"spin {count}": ("2", {"GOMP_SPINCOUNT": str(count)})
        for count in (300, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 30_000)
    },
}
"""Threads and environment. `default` is what `optilab train` does; `spinning` is what OpenMP does by itself."""
NEIGHBOURS = {
    "idle": (0, "loop"),
    "1 loop": (1, "loop"),
    "2 loops": (2, "loop"),
    "8 loops": (8, "loop"),
    "1 training": (1, "training"),
    "4 trainings": (4, "training"),
}
"""Number and kind of the processes beside it; a training has two spinning threads."""
TRAINING = """
import contextlib, statistics, sys, time
from optilab.train import device, engine
from optilab.config.load import Override, load
from optilab.config.training import TrainConfig
from optilab.data.load import load as load_data
threads, images, epochs, limit = map(int, sys.argv[1:])
texts = {"data.dataset": "synthetic", "data.images": images, "threads": threads, "epochs": 1 + epochs, "probes": 0}
config = load(TrainConfig, "sigmoid.yaml", [Override("", key, value) for key, value in texts.items()])
where = device.resolve_device("cpu")
device.configure(where, threads)
training = engine.Training.start(config, load_data("synthetic", None), where)
seconds, began = [], time.perf_counter()
with contextlib.suppress(engine.Stopped):
    for _, taken in training.run(lambda done, total: None, lambda: time.perf_counter() - began > epochs * limit):
        seconds.append(taken)
print(statistics.median(seconds[1:] or [limit]))
"""
FIRST = ("chrt", "--fifo", "1")
LOOP = "while True: pass"
FOREVER = ("999999", "9")


def environment(changes: dict[str, str]) -> dict[str, str]:
    """This one without what would decide how threads wait."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    return kept | changes


@contextlib.contextmanager
def beside(count: int, kind: str) -> Iterator[None]:
    """Neighbours that compute as long as the block lasts."""
    program = [LOOP] if kind == "loop" else [TRAINING, "2", "6000", *FOREVER]
    spinning = environment(SETTINGS["spinning"][1])
    neighbours = [subprocess.Popen([sys.executable, "-c", *program], env=spinning) for _ in range(count)]
    try:
        if kind == "training":
            with contextlib.suppress(subprocess.TimeoutExpired):
                neighbours[0].wait(timeout=15)  # for PyTorch
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def epoch(setting: str, images: int, epochs: int, limit: int, alone: bool) -> float:
    """Seconds per epoch, the median of a process; `limit` where none is done in time."""
    threads, changes = SETTINGS[setting]
    arguments = map(str, (threads, images, epochs, limit))
    command = [*(FIRST if alone else ()), sys.executable, "-c", TRAINING, *arguments]
    done = subprocess.run(command, env=environment(changes), check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS, metavar="SETTING")
    parser.add_argument(
        "--neighbours", nargs="+", default=list(NEIGHBOURS), choices=NEIGHBOURS, metavar="NEIGHBOURS"
    )
    parser.add_argument("--repeats", type=int, default=3, help="processes per number")
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=5, help="epochs per process, after one to warm up")
    parser.add_argument(
        "--alone", action="store_true", help="take the cores from all others meanwhile; needs root"
    )
    parser.add_argument("--limit", type=int, default=20, help="seconds per epoch at which a process gives up")
    arguments = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; seconds per epoch of {arguments.images:,} images"
    )
    print("".join(f"{name:>14}" for name in ("", *arguments.settings)), flush=True)
    for neighbours in arguments.neighbours:
        taken: dict[str, list[float]] = {setting: [] for setting in arguments.settings}
        with beside(*NEIGHBOURS[neighbours]):
            for _ in range(arguments.repeats):
                for setting, seconds in taken.items():
                    seconds.append(
                        epoch(setting, arguments.images, arguments.epochs, arguments.limit, arguments.alone)
                    )
        cells = [f"{statistics.median(seconds):.3f}" for seconds in taken.values()]
        print("".join(f"{cell:>14}" for cell in (neighbours, *cells)), flush=True)


if __name__ == "__main__":
    main()
