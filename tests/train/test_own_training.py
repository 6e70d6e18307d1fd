"""A rule of the user's own trains a network, resumes to the bit, and refuses what would not."""

import json
import textwrap

import pytest

from optilab.user_code import UserCode

SOURCE = """
import numpy as np
import torch
from typing import NamedTuple

def momentum(w, g, V, lr=0.05, beta=0.9):
    V *= beta
    V += g
    return w - lr * V, V

class Stateful:
    def __init__(self, lr=0.05, beta=0.9, noise=0.01):
        self.lr, self.beta, self.noise = lr, beta, noise
        self.past, self.random = [], np.random.default_rng(3)

    def update(self, w, g):
        self.past = [g + self.noise * self.random.standard_normal(g.shape), *self.past[:3]]
        return w - self.lr * sum(self.beta**n * past for n, past in enumerate(self.past))

class State(NamedTuple):
    V: object
    history: tuple

class Steps:
    def __init__(self, lr=0.05, beta=0.9):
        self.lr, self.beta = lr, beta

    def init(self, x):
        return State(np.zeros_like(x), ())

    def update(self, g, state):
        V = self.beta * state.V + g
        return -self.lr * V, State(V, (*state.history[-2:], float(abs(g).max())))

class Matrices:
    shaped = True
    def __init__(self, lr=0.05):
        self.lr = lr

    def update(self, w, g):
        if g.ndim == 2:
            u, _, v = np.linalg.svd(g, full_matrices=False)
            g = u @ v
        return w - self.lr * g

class Torch(torch.optim.Optimizer):
    def __init__(self, params, lr=0.05, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta})
        self.done = 0

    @torch.no_grad()
    def step(self):
        self.done += 1
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["V"] = group["beta"] * state["V"] + p.grad if "V" in state else p.grad.clone()
                p.sub_(state["V"], alpha=group["lr"] * (1 + (self.done == 8)))

class Ready(torch.optim.SGD):
    pass

def deque(w, g, state, lr=0.05):
    state["last"] = iter([g])
    return w - lr * g

class TorchDeque(torch.optim.SGD):
    def step(self, closure=None):
        self.state[self.param_groups[0]["params"][0]]["last"] = set()

def late(w, g, t, lr=0.05):
    return w - lr * g * (1 / (t - 7))

def nothing(w, g, lr=0.05):
    pass
"""


@pytest.fixture
def train(optilab, small, tmp_path):
    """Train on the small dataset with a rule of mine.py; the rows back, or the error."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(SOURCE))

    def call(name, *arguments, code=0):
        done = optilab("train", small, "--optimizer", f"mine.py:{name}", "--json", *arguments, code=code)
        return json.loads(done.stdout)["rows"] if not code else done.stderr

    return call


def losses(rows):
    return [row["train_loss"] for row in rows]


@pytest.mark.parametrize(("name", "rel"), [("momentum", 1e-6), ("Steps", 1e-5)])
def test_momentum_written_by_hand_trains_as_momentum_does(train, optilab, small, name, rel):
    known = json.loads(optilab("train", small, "--optimizer", "momentum", "--lr", 0.05, "--json").stdout)["rows"]
    assert losses(train(name)) == pytest.approx(losses(known), rel=rel)


def test_an_optimizer_of_torch_trains_as_it_does_alone(train, optilab, small):
    known = json.loads(optilab("train", small, "--lr", 0.05, "--json").stdout)["rows"]
    assert losses(train("Ready", "--lr", 0.05)) == pytest.approx(losses(known), rel=1e-6)  # ours is fused


@pytest.mark.parametrize("name", ["momentum", "Stateful", "Steps", "Matrices", "Torch"])
def test_a_resumed_run_is_the_run_that_was_not_stopped(train, optilab, tmp_path, name):
    whole = train(name, "--epochs", 4, "--name", "whole")
    train(name, "--epochs", 1, "--name", "half")
    resumed = json.loads(optilab("train", "--resume", "half", "--epochs", 4, "--json").stdout)["rows"]
    assert resumed == whole
    files = [sorted((tmp_path / "runs" / run / "checkpoints").glob("000004*")) for run in ("whole", "half")]
    assert len({file.read_bytes() for (file,) in files}) == 1


def test_weight_decay_and_a_schedule_reach_it(train, optilab, small):
    asked = ("--set", "weight_decay=0.1", "--set", "schedule=cosine")
    known = optilab("train", small, "--optimizer", "momentum", "--lr", 0.05, "--json", *asked).stdout
    assert losses(train("momentum", *asked)) == pytest.approx(losses(json.loads(known)["rows"]), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "deque",
            "mine.py:deque, step 1: line 63: its state[0]['last'] has the type list_iterator, which cannot be saved",
        ),
        (
            "TorchDeque",
            "mine.py:TorchDeque, step 1: line 68: state[0]['last'] has the type set, which cannot be saved",
        ),
        ("late", "mine.py:late failed at step 7: line 72: ZeroDivisionError"),
        ("nothing", ": returned nothing; expected the new w: end it with return w"),
    ],
)
def test_what_goes_wrong_in_it_costs_a_sentence(train, name, message):
    assert message in train(name, code=2)


NETWORK = """
class Net(torch.nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(shape[0] * shape[1] * shape[2], classes))
"""
READING = """
runs ls
runs show a
runs compare a b
runs diff a b
runs plot a
report a --out a.html
diagnose a
help own
config show train
"""


def test_what_only_reads_executes_no_file(train, optilab, tmp_path, monkeypatch):
    """A training whose other settings are wrong does not either."""
    mine = tmp_path / "mine.py"
    mine.write_text(mine.read_text() + NETWORK)
    for name in "ab":
        train("Steps", "--name", name, "--set", "model=mine.py:Net", "--set", f"seed={ord(name)}")
    with monkeypatch.context() as patched:
        patched.setattr(UserCode, "_module", lambda _: pytest.fail("executed"))
        for command in READING.strip().splitlines():
            optilab(*command.split())
        train("nobody", "--epochs", 0, code=2)
        mine.write_text("")
        optilab("diagnose", "a")
    assert "mine.py has no nobody" in train("nobody", code=2)


def test_settings_are_keys_of_the_optimizer(train):
    assert losses(train("momentum", "--set", "optimizer.beta=0.5")) != losses(train("momentum"))
    assert 'did you mean "optimizer.beta"' in train("momentum", "--set", "optimizer.bata=0.5", code=2)
