"""On a real GPU: `python -m pytest -m gpu`. Skipped, with the reason, on a machine without one.

What a simulated device cannot show: that CUDA's kernels give the same bytes again, and how far they are from the CPU's.
"""

import warnings
from itertools import pairwise

import pytest
import torch

from optilab.data import read as data
from optilab.errors import DivergedError, SystemFailure
from optilab.runs.provenance import provenance
from optilab.runs.tables import json_line
from optilab.train import checkpoint, session
from tests.kit.idx import write_idx_dataset
from tests.kit.trainings import CPU, Silent
from tests.train.test_device import CASES, DEVICE, configured, started

pytestmark = pytest.mark.gpu

EPOCHS = 3
NETWORKS = {
    "sigmoid": {"model__activation": "sigmoid", "optimizer": {"name": "sgd", "lr": 0.1}},
    "relu": {"model__activation": "relu", "optimizer": {"name": "sgd", "lr": 0.1}},
    "adam": {"optimizer": "adam"},
    "batchnorm": {"model__norm": "batch", "optimizer": "adam"},
    "adopt": {"optimizer": "adopt"},
    "staged": {"stages": [{"layers": 1, "epochs": 1}, {"layers": 3}], "optimizer": "adam"},
    "dropout": {"model__dropout": 0.3, "model__input_dropout": 0.1},
    "float64": {"dtype": "float64", "optimizer": "adam"},
}
LARGER = {"model__hidden": [128, 128, 128], "data__batch_size": 256, "epochs": EPOCHS}


@pytest.fixture(autouse=True)
def _needs_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip(f"PyTorch {torch.__version__} finds no CUDA device on this machine")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return data.load("idx", write_idx_dataset(tmp_path_factory.mktemp("idx") / "data", train=4000, test=1000))


def epochs(training):
    """After each epoch: row, line of diagnostics.jsonl, checkpoint."""
    for row, _ in training.run(lambda done, total: None, lambda: False):
        yield row, json_line(training.diagnostics), checkpoint.save(training)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_config_gives_the_same_bytes(network, images):
    config = configured(**LARGER | NETWORKS[network])
    once = list(epochs(started(config, images)))
    assert list(epochs(started(config, images))) == once
    assert len(once) == EPOCHS


@pytest.mark.parametrize("case", [*CASES, *NETWORKS])
def test_a_resumed_run_gives_the_bytes_of_the_undisturbed_one(case, images):
    config = configured(**LARGER | NETWORKS[case]) if case in NETWORKS else configured(**CASES[case])
    straight = list(epochs(started(config, images)))
    for done, (_, _, state) in enumerate(straight, 1):
        torch.cuda.manual_seed(done)  # as another process would find it
        resumed = started(config, images)
        checkpoint.restore(resumed, state)
        assert checkpoint.save(resumed) == state
        assert list(epochs(resumed)) == straight[done:]


@pytest.mark.parametrize("network", [name for name in NETWORKS if name not in ("dropout", "float64")])
def test_cpu_and_gpu_train_on_the_same_images_and_agree(network, images):
    """The order of the images by the bytes of the generators; the first epoch in float64 within 1e-10."""
    config = configured(**LARGER | NETWORKS[network] | {"dtype": "float64"})
    rows, states = [], []
    for where in (CPU, DEVICE):
        training = started(config, images, where)
        row, _ = next(training.run(lambda done, total: None, lambda: False))
        rows.append(row)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    assert rows[1] == pytest.approx(rows[0], rel=1e-10, abs=1e-10)


def test_a_step_synchronises_once(images):
    """Counted by PyTorch itself; diagnostics, clipping and dropout included."""
    config = configured(**LARGER | NETWORKS["dropout"] | {"clip_norm": 1.0, "probes": 5})
    training = started(config, images)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = []
        steps = training.run(lambda done, total: counts.append(len(caught)), lambda: False)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            next(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert [after - before for before, after in pairwise(counts)] == [1] * (len(counts) - 1)


def test_a_divergence_ends_with_code_6(images, tmp_path):
    config = configured(**LARGER | {"device": "cuda", "optimizer": {"name": "sgd", "lr": 1e30}})
    training, run = session.start(config, images, tmp_path, "r", provenance([], ["torch"]))
    with pytest.raises(DivergedError):
        session.train_to_end(training, run, Silent(), lambda: False)
    assert run.manifest["status"] == "diverged"
    assert run.manifest["numerics"]["cuda"] == torch.version.cuda
    assert run.manifest["numerics"]["device_name"] == torch.cuda.get_device_name(0)


def test_a_lack_of_memory_ends_with_code_7(images, tmp_path):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-9)
    try:
        with pytest.raises(SystemFailure, match="not enough memory on cuda:0"):
            session.start(
                configured(**LARGER | {"device": "cuda"}), images, tmp_path, "r", provenance([], ["torch"])
            )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
