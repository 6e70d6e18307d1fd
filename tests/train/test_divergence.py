"""What counts as diverged: numbers that are not finite, and a loss that is thrown far above its start."""

import itertools
import math

import pytest
import torch

from optilab import runs
from optilab.data import read as data
from optilab.errors import DivergedError, UsageError
from optilab.runs.provenance import provenance
from optilab.train import checkpoint, device, engine, probe, session
from tests.kit.idx import write_idx_dataset
from tests.kit.trainings import CPU, Silent, configured

OVERFLOWS = {"optimizer": "adam", "model.hidden": [], "data.normalize.scale": 1e-20}
"""Inputs of 1e22 give a finite loss, and gradients whose squares overflow; Adam then divides by infinity: no step."""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return data.load("idx", write_idx_dataset(tmp_path_factory.mktemp("idx") / "data", train=64, test=32))


BASE = {
    "optimizer": {"name": "sgd", "lr": 0.1},
    "data.batch_size": 16,
    "data.dataset": "idx",
    "model.hidden": [8, 8],
    "epochs": 2,
    "device": "cpu",
    "threads": 1,
}


def ended(changes, dataset, folder):
    """The run in the end, and the message of its divergence."""
    training, run = session.start(configured(BASE | changes), dataset, folder, "r", provenance([], ["torch"]))
    with pytest.raises(DivergedError) as raised:
        session.train_to_end(training, run, Silent(), lambda: False)
    return training, run, str(raised.value)


def test_a_loss_that_stays_far_above_guessing_is_a_divergence(small, tmp_path):
    """Finite to the end: every row is kept, and the status is not `done`."""
    training, run, message = ended({"optimizer": {"name": "sgd", "lr": 1e30}}, small, tmp_path)
    assert "10 times the chance-level loss or that of the first batch" in message
    assert run.manifest["status"] == "diverged"
    assert run.manifest["epoch"] == 2
    rows = runs.read(run.path).rows()
    assert len(rows) == 2
    assert min(rows[-1]["train_loss"], rows[-1]["val_loss"]) > training.loss_limit
    assert len(runs.checkpoints(run.path)) == 2


def test_a_resumed_run_diverges_as_the_undisturbed_one(small):
    """The first batch's loss is part of the checkpoint."""
    config = configured(BASE | {"optimizer": {"name": "sgd", "lr": 1e30}})
    device.configure(CPU, 1)
    straight = engine.Training.start(config, small, CPU)
    next(straight.run(lambda done, total: None, lambda: False))
    resumed = engine.Training.start(config, small, CPU)
    assert math.isnan(resumed.first_loss)
    checkpoint.restore(resumed, checkpoint.save(straight))
    assert resumed.first_loss == straight.first_loss
    assert resumed.loss_limit == straight.loss_limit


@pytest.mark.parametrize(
    ("train_loss", "val_loss", "diverges"),
    [
        (24.1, 24.1, True),
        (24.1, 23.9, False),
        (23.9, 24.1, False),
        (2.0, 300.0, False),
        (math.log(10), 2.3, False),
    ],
    ids=["thrown", "comes back within the epoch", "overfits", "overfits much", "guesses"],
)
def test_the_limit_is_ten_times_guessing_or_the_first_batch(small, train_loss, val_loss, diverges):
    """Both losses of the last epoch must be above it."""
    device.configure(CPU, 1)
    training = engine.Training.start(configured(BASE | {"epochs": 1}), small, CPU)
    training.first_loss = 2.4  # above ln 10, what guessing costs
    assert training.loss_limit == 24.0
    training.rows.append({"epoch": 1, "train_loss": train_loss, "val_loss": val_loss})
    above = min(train_loss, val_loss) > training.loss_limit
    assert above == diverges
    if diverges:
        with pytest.raises(DivergedError):
            list(training.run(lambda done, total: None, lambda: False))
    else:
        assert list(training.run(lambda done, total: None, lambda: False)) == []


def test_a_state_that_overflowed_is_not_committed(small, tmp_path):
    """The loss is finite; a checkpoint with an infinity in it could never be resumed."""
    _, run, message = ended(OVERFLOWS, small, tmp_path)
    assert "a number of the optimizer's state is not finite" in message
    assert runs.checkpoints(run.path) == []
    assert run.manifest["status"] == "diverged"


LARGE = [
    *itertools.chain.from_iterable(
        ({**settings, "dtype": "float64"}, settings)
        for settings in (
            {"model.init": {"name": "kaiming", "gain": 3e38}},
            {"model.init": {"name": "uniform", "low": -3e38, "high": 3e38}},
            {"model.init": {"name": "constant", "value": 3e38}},
            {"model.activation": {"name": "leaky-relu", "slope": 3e38}},
            {"model.activation": {"name": "softplus", "beta": 3e38}},
            {"optimizer": {"name": "sgd", "lr": 3e38}},
        )
    ),
    {"dtype": "float64", "model.init": {"name": "kaiming", "gain": 1e308}},
    {"dtype": "float64", "model.activation": {"name": "elu", "alpha": 1e300}},
]


@pytest.mark.parametrize("changes", LARGE, ids=str)
def test_the_largest_numbers_end_with_a_documented_code(changes, small, tmp_path):
    """Refused (2), diverged (6) or trained, and nothing that is not finite on the disk; never a bug."""
    try:
        training, run = session.start(configured(BASE | changes), small, tmp_path, "r", provenance([], ["torch"]))
        session.train_to_end(training, run, Silent(), lambda: False)
    except (UsageError, DivergedError):
        pass
    for file in tmp_path.rglob("*.jsonl"):
        assert "Infinity" not in file.read_text()
        assert "NaN" not in file.read_text()


def test_the_first_layer_that_spoils_finite_numbers_is_named():
    layers = [torch.nn.Linear(2, 2) for _ in range(3)]
    with torch.no_grad():
        layers[1].weight.fill_(float("inf"))
    model = torch.nn.Sequential(*layers)
    model.named_parts = [(f"layer {number}", layer) for number, layer in enumerate(layers, 1)]
    origin = probe.origin_of_overflow(model, torch.ones(1, 2))
    assert origin == "layer 2 is the first whose output is not finite (largest weight inf)"


def test_a_network_that_spoils_finite_layers_is_named():
    class Spoiled(torch.nn.Linear):
        named_parts = ()

        def forward(self, x):
            return super().forward(x) * float("nan")

    origin = probe.origin_of_overflow(Spoiled(2, 2), torch.zeros(1, 2))
    assert (
        origin
        == "every layer's output is finite, the network's is not: look at what forward does after the layers"
    )
