"""Trainings on a device, tested without one: on a simulated GPU, and with injected failures."""

import functools
from itertools import pairwise

import pytest
import torch

from optilab.config.study import RemedyConfig
from optilab.config.training import MISSING_IN_TRAINING
from optilab.data import read as data
from optilab.errors import ExitCode, SystemFailure, UsageError
from optilab.optimize import RULES
from optilab.runs.provenance import provenance
from optilab.study import remedy
from optilab.train import checkpoint, device, engine, session
from optilab.train.batches import Images, as_input
from optilab.train.trees import leaves
from tests.kit import trainings
from tests.kit.idx import write_idx_dataset
from tests.kit.trainings import CPU, TRAINABLE, Silent
from tests.train.fake_gpu import DEVICE, OnDevice, simulated

EPOCHS = 2
STAGES = [{"layers": 1, "epochs": 1}, {"layers": 2}]
CASES = {name: {"optimizer": name} for name in TRAINABLE} | {
    "shampoo": {"optimizer": {"name": "shampoo", "interval": 10}},  # its eigendecompositions wait, too
    "batch norm and dropout": {"model__norm": "batch", "model__dropout": 0.2},
    "layer norm, clipped": {"model__norm": "layer", "clip_norm": 0.1, "clip_value": 0.01},
    "stages": {"stages": STAGES, "optimizer": "adam"},
    "float64": {"dtype": "float64", "optimizer": "nadam"},
    "hold-out": {"data__holdout": 16, "data__validation_batch_size": 8},
    "one cycle": {"schedule": "one-cycle", "schedule_by": "batch"},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return data.load("idx", write_idx_dataset(tmp_path_factory.mktemp("idx") / "data", train=64, test=32))


BASE = {
    "optimizer": "sgd",
    "data.batch_size": 16,
    "data.dataset": "idx",
    "model.hidden": [8, 8],
    "epochs": EPOCHS,
}
configured = functools.partial(trainings.configured, BASE)


def test_every_optimizer_that_trains_is_a_case():
    assert len(TRAINABLE) > 35
    assert CASES.keys() > {*TRAINABLE}


def started(config, dataset, where=DEVICE):
    device.configure(where, 1, config.dtype)
    return engine.Training.start(config, dataset, where)


def places(training):
    """Where the numbers of the optimizer's state are: index and name -> classes."""
    state = training.optimizer.state_dict()["state"]
    slots = [(index, name, value) for index, slot in state.items() for name, value in slot.items()]
    return {(index, name): [type(leaf) for leaf in leaves(value)] for index, name, value in slots}


# --- a simulated GPU -------------------------------------------------------------------------------------


def test_every_rule_that_trains_is_tried_on_a_device():
    assert {name for name in RULES if not MISSING_IN_TRAINING.keys() & {*RULES[name]().needs}} <= CASES.keys()


@pytest.mark.parametrize("case", CASES)
def test_a_training_stays_on_its_device_and_waits_once_per_step(case, small, monkeypatch):
    """Uninterrupted, and resumed after each epoch: one device, one synchronisation per step."""
    config = configured(**CASES[case])
    with simulated(monkeypatch) as simulation:

        def epochs(training):
            """After each epoch: checkpoint, diagnostics, places; checks what its steps waited for."""
            waits = []
            batch = lambda done, total: waits.append(simulation.counts["synchronisations"])  # noqa: E731
            results = []
            for _ in training.run(batch, lambda: False):
                assert [after - now for now, after in pairwise(waits)] == [1] * (len(waits) - 1)
                state = checkpoint.save(training)
                results.append((state, training.diagnostics, places(training)))
                waits.clear()
            return results

        training = started(config, small)
        straight = epochs(training)
        assert len(straight) == EPOCHS
        assert all(isinstance(parameter, OnDevice) for parameter in training.model.parameters())
        for done, (state, _, fresh) in enumerate(straight, 1):
            resumed = started(config, small)
            checkpoint.restore(resumed, state)
            assert places(resumed) == fresh
            assert checkpoint.save(resumed) == state
            assert epochs(resumed) == straight[done:]


@pytest.mark.parametrize("case", [case for case in CASES if "dropout" not in case])
def test_a_simulated_device_gives_the_cpus_numbers(case, small, monkeypatch):
    """So the simulation trains what the CPU trains; dropout draws from another generator there."""
    config = configured(**CASES[case])
    with simulated(monkeypatch):
        there = started(config, small)
        rows = [row for row, _ in there.run(lambda done, total: None, lambda: False)]
    here = [row for row, _ in started(config, small, CPU).run(lambda done, total: None, lambda: False)]
    assert [row["val_acc"] for row in rows] == pytest.approx([row["val_acc"] for row in here])
    assert [row["train_loss"] for row in rows] == pytest.approx([row["train_loss"] for row in here], rel=1e-5)


def test_the_simulation_refuses_tensors_of_two_devices(monkeypatch):
    """The negative control of the tests above: mixed devices are noticed, waits are counted."""
    with simulated(monkeypatch) as simulation:
        there = torch.ones(2).to(DEVICE)
        with pytest.raises(AssertionError, match="one device"):
            there + torch.ones(2)
        assert float((there * torch.tensor(2.0)).sum()) == 4.0
        assert there.tolist() == [1.0, 1.0]
        assert simulation.counts["synchronisations"] == 2


@pytest.mark.parametrize("keys", [{}, {"data__normalize": {"mean": 0.28, "std": 0.35}}])
def test_inputs_are_converted_on_the_cpu(keys, small, monkeypatch):
    """CUDA divides by multiplying with the reciprocal, which changes the last bit of every second pixel value."""
    config = configured(**keys)
    pixels = torch.from_numpy(small.train_images.reshape(64, -1).copy())
    expected = as_input(pixels, config.data)
    with simulated(monkeypatch):
        inputs = started(config, small).train.pixels
        assert isinstance(inputs, OnDevice)
        assert torch.equal(inputs.memory, expected)
    assert started(config, small, CPU).train.pixels.dtype == torch.uint8


def test_nothing_is_computed_in_float64_on_a_device_without_it(small, monkeypatch):
    """As on mps, where the default config failed before its first epoch."""
    with simulated(monkeypatch, float64=False):
        training = started(configured(), small)
        assert engine.initial_diagnostics(training)["sample_gradients"]
        row, _ = next(training.run(lambda done, total: None, lambda: False))
        assert row["epoch"] == 1
        with pytest.raises(TypeError, match="float64"):
            torch.ones(2, dtype=torch.float64).to(DEVICE)


# --- which device ----------------------------------------------------------------------------------------


def machine(monkeypatch, cuda=0, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("has", "name", "dtype", "expected"),
    [
        ({}, "auto", "float32", "cpu"),
        ({"cuda": 2}, "auto", "float32", "cuda:0"),
        ({"cuda": 2}, "auto", "float64", "cuda:0"),
        ({"cuda": 2}, "cuda", "float32", "cuda:0"),
        ({"cuda": 2}, "cuda:1", "float32", "cuda:1"),
        ({"mps": True}, "auto", "float32", "mps"),
        ({"mps": True}, "auto", "float64", "cpu"),
        ({"mps": True}, "mps", "float32", "mps"),
    ],
)
def test_a_device_is_chosen_by_what_the_machine_has(monkeypatch, has, name, dtype, expected):
    machine(monkeypatch, **has)
    assert str(device.resolve_device(name, dtype)) == expected


def test_float64_is_refused_on_mps_before_training(small, monkeypatch, tmp_path):
    machine(monkeypatch, mps=True)
    with pytest.raises(UsageError, match="expected float32 on mps"):
        session.start(configured(device="mps", dtype="float64"), small, tmp_path, "r", provenance([], ["torch"]))
    assert not list(tmp_path.iterdir())


def test_a_remedys_trials_run_on_the_device_that_is_named():
    """Without one they run on the CPU, several at once."""
    named = remedy.variants_of(RemedyConfig(config="sigmoid.yaml", set={"device": "cuda"}, only=["lr"]))
    default = remedy.variants_of(RemedyConfig(config="sigmoid.yaml", only=["lr"]))
    assert [variants[0].trials[0].config.device for variants in (named, default)] == ["cuda", "cpu"]


# --- its generator, its versions, its failures -------------------------------------------------------------


def test_the_generator_of_mps_is_saved_and_restored(monkeypatch):
    states = [torch.arange(4, dtype=torch.uint8)]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    mps = torch.device("mps")
    here, saved = device.generators(mps)
    device.set_generators(mps, (here, saved + 1))
    assert torch.equal(device.generators(mps)[1], saved + 1)
    for other in (torch.zeros(9, dtype=torch.uint8), None):  # of another kind of device
        device.set_generators(mps, (here, other))
    assert len(states) == 2
    assert device.generators(CPU)[1] is None


FAILURES = {
    "memory of a GPU": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8 GiB"),
        "not enough memory",
    ),
    "memory of the machine": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
        "not enough memory on cpu; a smaller model.hidden or data.batch_size needs less",
    ),
    "a broken GPU": (
        torch.AcceleratorError(
            "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be"
        ),
        "cpu failed: CUDA error: an illegal memory access was encountered; the run can be resumed",
    ),
}


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("when", ["start", "epoch"])
def test_a_failure_of_the_device_is_explained(what, when, small, monkeypatch, tmp_path):
    """Exit status 7 with a sentence, and the run's directory records it; while it is built there is no directory."""
    failure, message = FAILURES[what]

    def fail(*_):
        raise failure

    if when == "start":
        monkeypatch.setattr(Images, "of", fail)
        with pytest.raises(SystemFailure, match=message) as raised:
            session.start(configured(device="cpu"), small, tmp_path, "r", provenance([], ["torch"]))
        assert not list(tmp_path.iterdir())
    else:
        monkeypatch.setattr(engine.Training, "_train_epoch", fail)
        training, run = session.start(configured(device="cpu"), small, tmp_path, "r", provenance([], ["torch"]))
        with pytest.raises(SystemFailure, match=message) as raised:
            session.train_to_end(training, run, Silent(), lambda: False)
        assert run.manifest["status"] == "failed"
        assert message in run.manifest["reason"]
        assert not (run.path / "optilab.log").exists()
    assert raised.value.code is ExitCode.SYSTEM


def test_another_error_is_not_explained_away():
    with pytest.raises(RuntimeError, match="a bug"), device.explain_device_errors("cpu"):
        raise RuntimeError("a bug")
