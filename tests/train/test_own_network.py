"""A custom network in a config: its keys, what it gets of the data, its run.

Its diagnosis and its refusals: tests/recorded/transcripts/own-networks.txt and refused-networks.txt.
"""

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.training import TrainConfig

SOURCE = """
import torch
from torch import nn
from torch.nn import functional as F


class CNN(nn.Module):
    def __init__(self, channels, classes, width=4, depth: int = 1, act=F.relu, dropout=0, sizes=(3, 3), normed=False):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width if n else channels, width, sizes, padding=1) for n in range(depth)
        )
        self.norm = nn.BatchNorm2d(width) if normed else nn.Identity()
        self.act, self.drop, self.head = act, nn.Dropout(dropout), nn.Linear(width, classes)

    def forward(self, x):
        assert x.dim() == 4
        for conv in self.convs:
            x = self.act(conv(x))
        return self.head(self.drop(self.norm(x).mean((2, 3))))


class Sees(nn.Module):
    def __init__(self, shape, in_channels, height, width, num_classes):
        super().__init__()
        assert shape == (in_channels, height, width)
        print("shape", shape, "classes", num_classes)
        self.head = nn.Linear(in_channels * height * width, num_classes)

    def forward(self, x):
        return self.head(x.flatten(1))
"""


@pytest.fixture
def project(optilab, small, tmp_path, monkeypatch):
    """A directory with net.py and cnn.yaml on the small dataset."""
    (tmp_path / "net.py").write_text(SOURCE)
    text = small.read_text().replace("model: {hidden: [16, 16]}", "model: net.py:CNN")
    (tmp_path / "cnn.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _single_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def train(optilab, project):
    """Train cnn.yaml; its rows, or the error."""

    def call(*arguments, code=0):
        done = optilab("train", "cnn.yaml", "--json", *arguments, code=code)
        return json.loads(done.stdout)["rows"] if not code else done.stderr

    return call


def records(run):
    return [json.loads(line) for line in (run / "diagnostics.jsonl").read_text().splitlines()]


def test_it_trains_as_a_plain_loop_of_pytorch_does(train, project, small):
    """Bit for bit: one engine for every network."""
    sys.path.insert(0, str(project))
    rows = train("--name", "own", "--set", "optimizer.lr=0.05")
    namespace: dict = {}
    exec(compile(SOURCE, "net.py", "exec"), namespace)
    from optilab.data import read as data

    dataset = data.load("idx", small.parent)
    torch.set_flush_denormal(True)
    torch.manual_seed(42)
    images = torch.from_numpy(dataset.train_images.copy())[:, None].float() / 255
    labels = torch.from_numpy(dataset.train_labels.astype("int64"))
    net = namespace["CNN"](1, dataset.classes)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, fused=True)
    losses = []
    for _ in range(3):
        net.train()
        batch_losses = []
        for x, y in torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(images, labels), batch_size=32, shuffle=True
        ):
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            batch_losses.append(loss.item())
        losses.append(sum(batch_losses) / len(batch_losses))
        list(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images), batch_size=32))
    sys.path.remove(str(project))
    assert [row["train_loss"] for row in rows] == losses


def test_it_gets_what_the_data_has_and_an_argument_wins(train, project, optilab):
    stderr = optilab("train", "cnn.yaml", "--epochs", 1, "--set", "model=net.py:Sees").stderr
    assert "shape (1, " in stderr
    config = load(TrainConfig, "cnn.yaml")
    assert config.model.called_with((3, 5, 7), 4) == {
        "channels": 3, "classes": 4, "width": 4, "depth": 1, "dropout": 0, "sizes": (3, 3), "normed": False,
    }  # fmt: skip
    assert train("--epochs", 1, "--set", "model.classes=11")
    assert dump(config)["model"]["name"] == f"{project / 'net.py'}:CNN"
    assert load(TrainConfig, dump(config)) == config


def test_its_arguments_are_keys(train):
    rows = train("--epochs", 1)
    assert train("--epochs", 1, "--set", "model.width=4") == rows
    assert train("--epochs", 1, "--set", "model.width=5") != rows
    assert train("--epochs", 1, "--set", "model.dropout=1e-1") != rows
    assert train("--epochs", 1, "--set", "model={name: net.py:CNN, depth: 2, sizes: [3, 1]}") != rows


@pytest.mark.parametrize(
    "extra", [(), ("--optimizer", "muon", "--set", "optimizer.matrices=all"), ("--optimizer", "sam")]
)
def test_a_resumed_run_is_the_run_that_was_not_stopped(train, optilab, project, extra):
    asked = ("--set", "model.dropout=0.2", "--set", "model.normed=true", *extra)
    whole = train("--epochs", 3, "--name", "whole", *asked)
    train("--epochs", 1, "--name", "half", *asked)
    resumed = json.loads(optilab("train", "--resume", "half", "--epochs", 3, "--json").stdout)["rows"]
    assert resumed == whole
    files = [sorted((project / "runs" / run / "checkpoints").glob("000003*")) for run in ("whole", "half")]
    assert len({file.read_bytes() for (file,) in files}) == 1
    optilab("train", "--fork", "half@1", "--set", "weight_decay=0.01", "--epochs", 2, "--name", "branch")


def test_npz_with_channels_before_height_and_width(train, optilab, project):
    generator = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.uint8) % 3
    images = generator.integers(0, 99, (60, 2, 9, 8), np.uint8)
    images[np.arange(60), 1, labels] = 255
    for name, x in (("first", images), ("last", np.moveaxis(images, 1, 3))):
        np.savez(project / f"{name}.npz", x_train=x[:48], y_train=labels[:48], x_test=x[48:], y_test=labels[48:])
    asked = ("--set", "data.dataset=npz", "--set", "model=net.py:Sees", "--data-dir")
    first, last = (optilab("train", "cnn.yaml", *asked, f"{n}.npz", "--json") for n in ("first", "last"))
    assert "shape (2, 9, 8) classes 3" in first.stderr
    assert json.loads(first.stdout)["rows"] == json.loads(last.stdout)["rows"]


def test_initial_weights_reach_every_layer(project):
    from optilab.train.network import UserModel

    def weights(**keys):
        config = load(
            TrainConfig, {**dump(load(TrainConfig, "cnn.yaml")), "model": {"name": "net.py:CNN", **keys}}
        )
        torch.manual_seed(3)
        return UserModel(config.model, (1, 6, 6), 3, torch.rand(2, 36)).state_dict()

    plain = weights(width=64)
    filled = weights(width=64, init={"name": "normal", "std": 0.5}, bias_init={"name": "constant", "value": 0.25})
    for name, tensor in filled.items():
        if name.endswith("bias"):
            assert bool((tensor == 0.25).all())
        else:
            assert float(tensor.std()) == pytest.approx(0.5, rel=0.2)
    rows = weights(width=4, init="orthogonal")["network.convs.0.weight"].flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(4))
    drawn = weights(width=64, init="xavier")["network.convs.0.weight"]  # 9 inputs, each of 64 outputs at 9 places
    assert float(drawn.abs().max()) == pytest.approx((6 / (9 + 64 * 9)) ** 0.5, rel=0.02)
    gain = weights(width=64, init="unit-gain")["network.convs.0.weight"]
    assert float(gain.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)  # of a ReLU
    again = weights(width=64, init="default")
    assert list(again) == list(plain)
    assert float(again["network.convs.0.weight"].abs().max()) <= 1 / 3
    assert not weights(width=64, init="unit-gain")["network.head.bias"].any()


def test_looking_changes_no_bit(train, project):
    asked = ("--set", "model={name: net.py:CNN, normed: true, dropout: 0.3}")
    looked = ("--set", "probes=5", "--set", "curvature={every: 2, images: 8}", "--name", "looked")
    assert train("--epochs", 2, "--set", "probes=0", *asked) == train("--epochs", 2, *looked, *asked)
    before, _, last = records(project / "runs" / "looked")
    assert [layer["name"] for layer in last["layers"]] == ["convs.0", "head"]
    assert before["network"]["norm"] == "batch"
    assert before["network"]["dropouts"] == {"model.dropout": 0.3}
    assert last["curvature"]["sharpness"] is not None


@pytest.fixture
def network(project):
    """Write net.py: a network with these lines in four places, whose forward passes in training `self.n` counts."""

    def write(**lines):
        top, init, forward, methods = (lines.get(place, "") for place in ("top", "init", "forward", "methods"))
        (project / "net.py").write_text(
            "import atexit, os, pathlib, random, threading, time\nimport torch\nfrom torch import nn\n"
            "class Odd(BaseException): pass\n"
            f"{top}\n"
            "class Net(nn.Module):\n"
            "    def __init__(self, shape, classes):\n"
            "        super().__init__()\n"
            "        self.n, self.inputs = 0, shape[0] * shape[1] * shape[2]\n"
            "        self.a, self.b = nn.Linear(self.inputs, 8), nn.Linear(8, classes)\n"
            f"        {init}\n"
            "    def forward(self, x):\n"
            "        self.n += self.training\n"
            "        x = x.flatten(1)\n"
            f"        {forward}\n"
            "        return self.b(self.a(x).relu())\n"
            f"    {methods}\n"
        )
        return ("--set", "model=net.py:Net", "--set", "data.batch_size=40")

    return write


SAVED = "def get_extra_state(self): return {'n': [self.n, None]}\n"
SAVED += "    def set_extra_state(self, state): self.n = state['n'][0]"

UNSAVED = "self.register_buffer('m', torch.zeros(1), persistent=False)"
GENERATOR = "self.g = torch.Generator().manual_seed(1)"


@pytest.mark.parametrize(
    ("lines", "exact"),
    [
        ({"forward": "x = x * (1 + torch.rand(1))"}, True),
        ({"forward": "x = x * (1 + self.n / 100)", "methods": SAVED}, True),
        ({"forward": "x = x * (1 + self.n / 100)"}, False),
        ({"init": UNSAVED, "forward": "x = x - self.m.mul_(0.9).add_(x.mean())"}, False),
        ({"init": GENERATOR, "forward": "x = x + torch.rand(1, generator=self.g)"}, False),
        ({"top": "L = []", "forward": "L.append(1); x = x * (1 + len(L) / 100)"}, False),
    ],
)
def test_every_resume_says_when_it_is_exact(optilab, project, network, lines, exact):
    """On the screen and in the manifest, each time; and `runs diff` where the rows of two runs part after it."""
    asked = ("train", "cnn.yaml", *network(**lines))
    assert "exact" not in optilab(*asked, "--epochs", 3, "--name", "whole").stderr
    assert "exact" not in optilab(*asked, "--epochs", 1, "--name", "resumed").stderr
    condition = "all state of net.py:Net is in its state_dict()"
    for epochs in (2, 3):
        done = optilab("train", "--resume", "resumed", "--epochs", epochs)
        assert f"the resume is exact if {condition}\n" in done.stderr
    resumes = json.loads((project / "runs" / "resumed" / "manifest.json").read_text())["resumes"]
    assert [resume["exact_if"] for resume in resumes] == [condition] * 2
    diff = json.loads(optilab("runs", "diff", "whole", "resumed", "--json").stdout)
    said = f"resumed was resumed after epoch 1, which is exact if {condition}" in diff["causes"]
    assert (diff["first"] is None) is exact
    assert said is not exact


@pytest.mark.parametrize("optimizer", ["adam", "lion", "adopt", "shampoo", "rule.py:f", "rule.py:Adam"])
def test_a_layer_that_is_frozen_late_stays(optilab, project, network, optimizer):
    (project / "rule.py").write_text(
        "import torch\ndef f(w, g, V, lr=0.1):\n    V = 0.9 * V + g\n    return w - lr * V, V\n"
        "class Adam(torch.optim.Adam):\n    def __init__(self, params, lr=0.01): super().__init__(params, lr=lr)\n"
    )
    freeze = "if self.n == 4: self.a.requires_grad_(False); self.at = self.a.weight.clone()"
    check = "if self.n > 4: assert torch.equal(self.a.weight, self.at)"
    asked = (*network(forward=f"{freeze}\n        {check}"), "--optimizer", optimizer)
    optilab("train", "cnn.yaml", *asked, "--set", "weight_decay=0.01", "--epochs", 2, "--name", "frozen")
    optilab("train", "--resume", "frozen", "--epochs", 3)


def test_an_exit_in_a_forward_pass_is_an_error(optilab, network):
    asked = network(forward="if self.n == 3: os._exit(0)")
    error = optilab("train", "cnn.yaml", *asked, "--expect", "val_acc > 0.99", code=2).stderr
    assert "failed in its forward pass: line 15: SystemExit: os._exit" in error


@pytest.mark.parametrize("place", ["top", "init", "forward"])
def test_the_working_directory_is_put_back_after_each_call(optilab, project, network, place):
    (project / "elsewhere").mkdir()
    (project / "elsewhere" / "scale").write_text("2")
    change = "os.chdir('elsewhere')"
    asked = network(**{place: change, "forward": f"{change}; x = x * float(pathlib.Path('scale').read_text())"})
    done = optilab("train", "cnn.yaml", *asked, "--epochs", 2, "--name", "here", "--out", "plot.png")
    assert done.stdout.split()[-2:] == ["runs/here", "plot.png"]
    assert (project / "runs" / "here" / "metrics.csv").is_file()
    assert {file.name for file in (project / "elsewhere").iterdir()} == {"scale"}


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ({"top": "atexit.register(lambda: os._exit(0))", "forward": "raise ValueError"}, 2),
        ({"top": "threading.Timer(0.1, os._exit, [0]).start()", "forward": "time.sleep(9)"}, 2),
        ({"top": "threading.Timer(60, open, ['late', 'w']).start()"}, 0),
    ],
)
def test_neither_its_threads_nor_its_exits_decide(optilab, project, network, lines, code):
    optilab("train", "cnn.yaml", *network(**lines), "--epochs", 1, "--quiet", how="fresh", code=code)
    assert not (project / "late").exists()
