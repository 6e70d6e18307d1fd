"""python -m tests.benchmarks.watch: a step of a loop with and without `optilab.watch`, and the memory of both.

Steps of the two alternate in blocks, so that a noisy machine slows both; the ratio of the medians is the figure. What
a step that is looked into costs more is measured apart, because its time, over `every`, is what is left in a long
training. The memory is the largest resident size of two processes that do nothing else, from /proc (Linux): the one
of `getrusage` begins, after a fork, with that of the process that started them.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import optilab


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


def watched(every: int) -> Callable[..., Any]:
    return lambda net, optimizer, batch: optilab.watch(net, optimizer, every=every)


def stepper(
    name: str, attach: Callable[..., Any] | None = None, samples: int = 64
) -> tuple[Callable[[], None], Any]:
    """A function that takes one step of a training of its own, and what `attach(net, optimizer, batch)` made there."""
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

    return step, watch


def seconds(step: Callable[[], None], count: int = 1) -> float:
    started = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - started) / count


def measure(name: str, blocks: int) -> None:
    """Print what a step costs: plain, watched but not looked into, and looked into."""
    plain, _ = stepper(name)
    rarely, _ = stepper(name, watched(10**6))
    always, watch = stepper(name, watched(1))
    for step in (plain, rarely, always):
        seconds(step, 5)
    times: dict[str, list[float]] = {"plain": [], "rarely": [], "always": []}
    for _ in range(blocks):
        times["plain"].append(seconds(plain))
        times["rarely"].append(seconds(rarely))
        times["always"].append(seconds(always))
    medians = {key: statistics.median(values) for key, values in times.items()}
    unseen, seen = (medians[key] / medians["plain"] - 1 for key in ("rarely", "always"))
    total = unseen + (seen - unseen) / 50
    print(f"{name}: {1000 * medians['plain']:.2f} ms per step; not looked into {unseen:+.1%}, looked into {seen:+.1%}, "
          f"one in 50 {total:+.1%}")  # fmt: skip
    assert not watch.evidence().loop["error"]


def memory(name: str, watch: bool, steps: int) -> int:
    """The largest resident size of a process that takes so many steps, in kilobytes."""
    command = [sys.executable, "-m", "tests.benchmarks.watch", "--memory-of", name, "--steps", str(steps)]
    done = subprocess.run(
        [*command, *(["--watched"] if watch else [])], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def largest() -> str:
    """The largest resident size of this process, in kilobytes."""
    return re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.watch", description=__doc__)
    parser.add_argument("--blocks", type=int, default=60, help="steps of each")
    parser.add_argument("--steps", type=int, default=30, help="steps of the processes whose memory is measured")
    parser.add_argument("--memory-of", choices=NETWORKS)
    parser.add_argument("--watched", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory_of:
        step, _ = stepper(arguments.memory_of, watched(50) if arguments.watched else None)
        seconds(step, arguments.steps)
        print(largest())
        return
    for name in NETWORKS:
        measure(name, arguments.blocks)
        plain, more = (memory(name, watch, arguments.steps) for watch in (False, True))
        print(f"{name}: {plain / 1024:.0f} MiB, watched {more / 1024:.0f} MiB, {more / plain - 1:+.1%}")


if __name__ == "__main__":
    main()
