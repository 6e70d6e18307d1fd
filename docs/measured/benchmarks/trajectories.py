"""python -m tests.benchmarks.trajectories: rates of maps beside the naive form, and the price of a step of one path.

One step-update is one step of one cell of a map on the ravine: two coordinates. Everything runs in this process and
alternates, so that a noisy machine slows all alike; the best of the rounds is printed, per second of wall time with
all cores and per second of processor time with one, and as a ratio to the naive form: the rule's own lines on
arrays (cells, 2).
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from optilab.optimize import OBJECTIVES, RULES
from optilab.optimize import path as trajectory
from optilab.optimize.emit import follow
from optilab.optimize.maps import run_grid

SIDE, STEPS, ROUNDS = 1000, 100, 3
LR = np.linspace(0.01, 2, SIDE)
BETA = np.linspace(0, 0.99, SIDE)
RAVINE = OBJECTIVES["ravine"]()


def naive(rule: str, beta: str) -> float:
    """Seconds per step-update of the rule's own lines, one array a coordinate pair."""
    steps = 5
    lr, second = (array.reshape(-1, 1) for array in np.meshgrid(LR, BETA))
    algorithm = replace(RULES[rule](), **{"lr": lr, beta: second})
    x = np.tile(np.array(RAVINE.start), (SIDE * SIDE, 1))
    state = algorithm.init(x)
    started = time.process_time()
    for _ in range(steps):
        step, state = algorithm.update(RAVINE.gradient(x), state)
        x = x + step
    return (time.process_time() - started) / (steps * SIDE * SIDE)


def grid(rule: str, beta: str, workers: int | None, clock: Callable[[], float]) -> float:
    settings = {"lr": LR[None, :], beta: BETA[:, None]}
    start = np.array(RAVINE.start)[None, None]
    started = clock()
    run_grid(RULES[rule](), RAVINE, start, STEPS, settings, workers=workers)
    return (clock() - started) / (STEPS * SIDE * SIDE)


def main() -> None:
    print(f"{'million step-updates/s':26}{'one core, CPU time':>22}{'to naive':>10}{'all cores, wall':>20}")
    for rule, beta in (("momentum", "beta"), ("adam", "beta1")):
        grid(rule, beta, None, time.perf_counter)  # touch the memory
        base, alone, together = [], [], []
        for _ in range(ROUNDS):
            base.append(naive(rule, beta))
            alone.append(grid(rule, beta, 1, time.process_time))
            together.append(grid(rule, beta, None, time.perf_counter))
        rate, ratio = 1e-6 / min(alone), min(base) / min(alone)
        print(f"{rule + ' naive':26}{1e-6 / min(base):22.0f}{1:10.1f}")
        print(f"{rule + ' map':26}{rate:22.0f}{ratio:10.1f}{1e-6 / min(together):20.0f}")
    print(f"\n{'microseconds per step':26}{'traced':>22}{'stepwise':>10}")
    for rule in ("sgd", "momentum", "rmsprop", "adam"):
        for function in ("ravine", "rosenbrock"):
            algorithm, where = RULES[rule](lr=1e-3), OBJECTIVES[function]()
            traced, stepwise = [], []
            for _ in range(ROUNDS):
                started = time.process_time()
                follow(algorithm, where, where.start, 10_000)
                traced.append((time.process_time() - started) / 10_000)
                started = time.process_time()
                trajectory._stepwise(algorithm, where, where.start, 1_000, trajectory.Regime())
                stepwise.append((time.process_time() - started) / 1_000)
            print(f"{rule + ' on ' + function:26}{min(traced) * 1e6:22.2f}{min(stepwise) * 1e6:10.1f}")


if __name__ == "__main__":
    main()
