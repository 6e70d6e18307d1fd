"""python -m tests.benchmarks.diagnostics: an epoch with and without diagnostics, side by side in one process.

Epochs of the two alternate, so that a noisy machine slows both; the ratio of the medians is the figure.
"""

import argparse
import statistics

import torch

from optilab.config.load import Override, load
from optilab.config.training import TrainConfig
from optilab.train import engine
from optilab.train.device import configure
from tests.reference_loops import fashion_mnist


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15, help="epochs of each")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    device = torch.device("cpu")
    configure(device, arguments.threads)
    dataset, _ = fashion_mnist()
    runs = {}
    for probes in (0, 3):
        values = {"threads": arguments.threads, "epochs": arguments.epochs + 1, "probes": probes}
        config = load(TrainConfig, "sigmoid.yaml", [Override("", key, value) for key, value in values.items()])
        training = engine.Training.start(config, dataset, device)
        runs[probes] = training.run(lambda done, total: None, lambda: False)
        next(runs[probes])  # warm-up
    seconds: dict[int, list[float]] = {0: [], 3: []}
    for _ in range(arguments.epochs):
        for probes, epochs in runs.items():
            seconds[probes].append(next(epochs)[1])
    without, with_ = (statistics.median(seconds[probes]) for probes in (0, 3))
    print(f"median: without {without:.4f} s/epoch, with {with_:.4f} s/epoch, overhead {with_ / without - 1:+.1%}")


if __name__ == "__main__":
    main()
