"""python -m tests.benchmarks.train: the notebook's loop and optilab's, side by side in one process.

Epochs of the two alternate, so that a noisy machine slows both; the ratio of the medians is the figure.
"""

import argparse
import statistics
import sys

import torch

from optilab.config.load import Override, load
from optilab.config.training import TrainConfig
from optilab.train import engine
from optilab.train.device import configure, resolve_device
from tests.reference_loops import fashion_mnist, notebook_loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5, help="epochs of each loop")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="where both loops compute: cpu, cuda, cuda:N, mps")
    arguments = parser.parse_args()

    overrides = [Override("", "threads", arguments.threads), Override("", "epochs", arguments.epochs + 1)]
    config = load(TrainConfig, "sigmoid.yaml", overrides)
    device = resolve_device(arguments.device)
    configure(device, config.threads)
    dataset, arrays = fashion_mnist()
    training = engine.Training.start(config, dataset, device)
    ours = training.run(lambda done, total: None, lambda: False)
    next(ours)  # warm-up
    notebook, optilab = [], []
    for epoch in range(1, arguments.epochs + 1):
        state = torch.get_rng_state()
        notebook += notebook_loop(arrays, 1, device=device)[1]
        torch.set_rng_state(state)
        optilab.append(next(ours)[1])
        line = f"epoch {epoch}: notebook {notebook[-1]:.3f} s, optilab {optilab[-1]:.3f} s"
        print(line, file=sys.stderr, flush=True)
    slow, fast = statistics.median(notebook), statistics.median(optilab)
    print(f"{device}: median: notebook {slow:.3f} s/epoch, optilab {fast:.3f} s/epoch, ratio {slow / fast:.1f}")


if __name__ == "__main__":
    main()
