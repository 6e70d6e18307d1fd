"""How fast it is: every figure next to what it replaces, measured in turns, so that a busy machine slows both.

`--only` names parts.
"""

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import optilab
from docs.measured import figures
from optilab import runs
from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.optimize import OBJECTIVES, RULES
from optilab.optimize.maps import run_grid
from optilab.train import device, engine
from tests.oracles.loops import fashion_mnist, notebook_loop

CPU = torch.device("cpu")


# --- processes ---------------------------------------------------------------------------------------------------


def process(folder: Path, *words: object) -> tuple[float, float]:
    """Wall and CPU seconds of `python WORDS`, which succeeds."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, *map(str, words)]
    done = subprocess.run(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"python {' '.join(line[1:])}: status {done.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def command(folder: Path, line: str) -> tuple[float, float]:
    return process(folder, "-m", *line.split())


def per_call(action: Callable[[], object], count: int) -> float:
    """Seconds of the processor for each of the `count` things that an action does."""
    return seconds(action, time.process_time) / count


def medians(rounds: int, actions: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """The median of what each action returns, a number or several; the actions take turns."""
    times: dict[str, list[Any]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(action())
    return {name: np.median(np.array(values), axis=0).tolist() for name, values in times.items()}


def seconds(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    action()
    return clock() - started


# --- the parts: (what, optilab, next to, ratio) ------------------------------------------------------------------


def started(probes: int) -> engine.Training:
    """A training of sigmoid.yaml in this process."""
    values = {"threads": 2, "epochs": 1000, "probes": probes}
    config = load(TrainConfig, "sigmoid.yaml", [Override("", key, value) for key, value in values.items()])
    device.configure(CPU, 2)
    return engine.Training.start(config, fashion_mnist()[0], CPU)


def epochs(rounds: int, folder: Path) -> Iterator[figures.Row]:
    """An epoch next to the usual loop, and to an epoch without diagnostics."""
    _, arrays = fashion_mnist()
    running = [started(probes).run(lambda done, total: None, lambda: False) for probes in (3, 0)]
    for warm in running:
        next(warm)
    times = medians(
        rounds,
        {
            "loop": lambda: notebook_loop(arrays, 1)[1][0],
            "epoch": lambda: next(running[0])[1],
            "silent": lambda: next(running[1])[1],
        },
    )
    epoch = times["epoch"]
    name = "an epoch of sigmoid.yaml on two threads"
    for other, title in (
        ("loop", "the loop with a DataLoader"),
        ("silent", "without diagnostics"),
    ):
        yield [name, f"{epoch:.2f} s", f"{title}: {times[other]:.2f} s", f"{times[other] / epoch:.2f}"]


def starts(rounds: int, folder: Path) -> Iterator[figures.Row]:
    """Short commands as processes, next to Python's own start, and a training next to the import of PyTorch."""
    lines = (
        "optilab --help",
        "optilab optimize --algo adam --epochs 30",
        "optilab runs ls",
        "optilab config check sigmoid.yaml",
    )
    python = {
        "python": lambda: process(folder, "-c", "pass"),
        "torch": lambda: process(folder, "-c", "import torch"),
    }
    times = medians(rounds, python | {line: lambda line=line: command(folder, line) for line in lines})
    for line in lines:
        (wall, cpu), (bare, _) = times[line], times["python"]
        yield [
            f"`{line}`",
            f"{wall:.2f} s, {cpu:.2f} s of CPU",
            f"`python -c pass`: {bare:.2f} s",
            f"{bare / wall:.2f}",
        ]
    outside = []
    for number in range(rounds):
        wall, _ = command(folder, f"optilab train sigmoid.yaml --epochs 1 --quiet --name one-{number}")
        (row,) = runs.read_timings(folder / "runs" / f"one-{number}" / "timings.csv")
        outside.append(wall - row["seconds"])
    net, bare = statistics.median(outside), times["torch"][0]
    yield [
        "`optilab train`, outside its epochs",
        f"{net:.2f} s",
        f"`import torch`: {bare:.2f} s",
        f"{bare / net:.2f}",
    ]


def studies(rounds: int, folder: Path) -> Iterator[figures.Row]:
    """Eight seeds of ten epochs next to the usual loop; and what one more trial of a batch takes."""
    _, arrays = fashion_mnist()
    loop = statistics.median(notebook_loop(arrays, 1)[1][0] for _ in range(3))
    wall, _ = command(folder, "optilab sweep sigmoid.yaml --seeds 8 --epochs 10 --quiet --name eight")
    row = f"{wall / 80:.2f} s per epoch", f"the loop with a DataLoader: {loop:.2f} s", f"{80 * loop / wall:.2f}"
    yield ["a study of 8 seeds and 10 epochs, its start included", *row]
    small = "optilab sweep sigmoid.yaml --set data.images=32 --epochs 1 --jobs 1 --quiet"
    few, many = (command(folder, f"{small} --seeds {n} --name seeds-{n}")[0] for n in (4, 44))
    yield ["one more trial of a single batch", f"{(many - few) / 40:.2f} s", "", ""]


def maps(rounds: int, folder: Path) -> Iterator[figures.Row]:
    """A million cells next to the rule on arrays: CPU nanoseconds of a step of a cell, one process."""
    size, steps, ravine = 1000, 100, OBJECTIVES["ravine"]()
    rates, decays = np.linspace(0.01, 2, size), np.linspace(0, 0.99, size)
    for rule, beta in (("momentum", "beta"), ("adam", "beta1")):

        def naive(rule: str = rule, beta: str = beta) -> None:
            lr, second = (array.reshape(-1, 1) for array in np.meshgrid(rates, decays))
            algorithm = replace(RULES[rule](), **{"lr": lr, beta: second})
            x = np.tile(np.array(ravine.start), (size * size, 1))
            state = algorithm.init(x)
            for t in range(1, 6):
                x, state = algorithm.step(x, ravine.gradient(x), t, state)

        def mapped(rule: str = rule, beta: str = beta) -> None:
            settings = {"lr": rates[None, :], beta: decays[:, None]}
            run_grid(RULES[rule](), ravine, np.array(ravine.start)[None, None], steps, settings, workers=1)

        actions = {"naive": (naive, 5), "map": (mapped, steps)}
        times = medians(
            min(rounds, 3),
            {name: partial(per_call, action, count) for name, (action, count) in actions.items()},
        )
        a, b = (1e9 * times[name] / size**2 for name in ("map", "naive"))
        yield [
            f"a step of a cell of a map, {rule}",
            f"{a:.1f} ns",
            f"the rule on arrays: {b:.1f} ns",
            f"{b / a:.1f}",
        ]


# --- watched steps -------------------------------------------------------------------------------------------------


def cnn() -> tuple[nn.Module, Tensor, Tensor]:
    layers = [
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4096, 128)]
    net = nn.Sequential(*layers, nn.ReLU(), nn.Linear(128, 10))
    return net, torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))


def transformer() -> tuple[nn.Module, Tensor, Tensor]:
    block = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    net = nn.Sequential(nn.Embedding(1000, 128), nn.TransformerEncoder(block, 4), nn.Linear(128, 1000))
    return net, torch.randint(0, 1000, (16, 64)), torch.randint(0, 1000, (16, 64))


def mlp() -> tuple[nn.Module, Tensor, Tensor]:
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return net, torch.randn(32, 64), torch.randint(0, 10, (32,))


NETWORKS = {"CNN": cnn, "transformer": transformer, "small MLP": mlp}


def stepper(name: str, attach: Callable[..., Any] | None = None, samples: int = 64) -> Callable[[], None]:
    """One step of a training, under what `attach(net, optimizer, batch)` makes."""
    torch.manual_seed(0)
    net, x, y = NETWORKS[name]()
    x, y = x[:samples], y[:samples]
    optimizer = torch.optim.Adam(net.parameters())

    def loss_of(out: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(out.flatten(0, -2), y.flatten())

    watch = attach(net, optimizer, (x, y, loss_of)).__enter__() if attach else None

    def step() -> None:
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        if watch:
            watch.step(loss, target=y)

    return step


def per_step(step: Callable[[], None], count: int = 1) -> float:
    """CPU seconds of a step."""
    began = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - began) / count


def watched(every: int) -> Callable[..., Any]:
    return lambda net, optimizer, batch: optilab.watch(net, optimizer, every=every)


def steps(rounds: int, folder: Path) -> Iterator[figures.Row]:
    """A watched step next to a plain one: not probed, probed, and one in fifty probed; and the process's memory."""
    torch.set_num_threads(1)
    for name in NETWORKS:
        made = {"plain": None, "rarely": watched(10**6), "always": watched(1)}
        taken = {kind: stepper(name, attach) for kind, attach in made.items()}
        for step in taken.values():
            per_step(step, 5)
        timed = {kind: lambda step=step: per_step(step) for kind, step in taken.items()}
        times = medians(10 * rounds, timed)
        unseen, seen = (times[kind] / times["plain"] - 1 for kind in ("rarely", "always"))
        mean = 1 + unseen + (seen - unseen) / 50
        plain, more = (memory(name, watch) for watch in (False, True))
        figure = f"{1000 * mean * times['plain']:.1f} ms, {more:.0f} MiB"
        yield [
            f"a watched step of a {name}",
            figure,
            f"plain: {1000 * times['plain']:.1f} ms, {plain:.0f} MiB",
            f"{1 / mean:.3f}",
        ]


def memory(name: str, watch: bool) -> float:
    """The largest resident MiB of a process that takes thirty steps, from /proc (Linux)."""
    code = f"from docs.measured import speed; speed.walk({name!r}, {watch})"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def walk(name: str, watch: bool) -> None:
    """Take thirty steps, and print the largest resident MiB of this process."""
    torch.set_num_threads(1)
    per_step(stepper(name, watched(50) if watch else None), 30)
    print(int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024)


PARTS = {part.__name__: part for part in (epochs, starts, studies, maps, steps)}


def main(arguments: list[str]) -> None:
    parser: argparse.ArgumentParser = figures.parser("speed", __doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    parser.add_argument("--rounds", type=int, default=11, help="rounds of what is measured in turns")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder, only = Path(name), options.only or [*PARTS]
        rows = [row for part in only for row in PARTS[part](options.rounds, folder)]
        partial = options.print or only != [*PARTS]
        figures.record("speed", "speed", ["what", "optilab", "next to", "ratio"], rows, partial)
