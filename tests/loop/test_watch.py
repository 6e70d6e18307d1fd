"""`optilab.watch` in loops of plain PyTorch: it changes nothing, sees every kind of layer, and names bugs of loops."""

import copy
import dataclasses
import json
import math
import pickle
import re
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import optilab
from optilab.diagnose import CAUSES, Severity, diagnose
from optilab.errors import DataError, RunError, UsageError
from optilab.loop.watch import Watch
from optilab.train.layers import activation_before, layers_of, operations


@pytest.fixture(autouse=True)
def _seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


class Everything(nn.Module):
    """Every kind of layer: embedding, recurrent, attention, convolution and its transpose, norms; one reused."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(9, 8), nn.LSTM(8, 8, batch_first=True)
        self.attention, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)
        self.conv, self.up, self.batch = nn.Conv1d(8, 6, 3), nn.ConvTranspose1d(6, 8, 3), nn.BatchNorm1d(8)
        self.mix, self.drop, self.head = nn.Linear(8, 8), nn.Dropout(0.2), nn.Linear(8, 4)
        self.frozen, self.unused = nn.Linear(8, 8).requires_grad_(False), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        x = self.rnn(x)[0]
        x = self.norm(x + self.attention(x, x, x, need_weights=False)[0])
        x = self.batch(self.up(F.relu(self.conv(x.transpose(1, 2))))).transpose(1, 2)
        x = torch.tanh(self.mix(torch.sigmoid(self.mix(x))))
        return self.head(self.drop(self.frozen(x)).mean(1))


def learn(net, x, y, *, watched=True, steps=70, loss=F.cross_entropy, lr=1e-3, step=None, target=True, batch=16):
    """A loop of the user's own; `step(optimizer, loss)` takes the place of zero_grad, backward and step."""
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    watch = optilab.watch(net, optimizer) if watched else None
    for number in range(steps):
        here = torch.arange(number * batch, (number + 1) * batch) % len(x)
        value = loss(net(x[here]), y[here])
        if step is None:
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        else:
            step(optimizer, value)
        if watch:
            watch.step(value, target=y[here] if target else None)
    return watch


def names(watch):
    return [finding.name for finding in watch.diagnosis().findings if finding.severity > Severity.INFO]


X = torch.randn(200, 6, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


def mlp(*end):
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3), *end)


def test_weights_are_equal_to_the_bit_with_and_without_it():
    """Also with dropout, whose random numbers the watch must not draw, and with a recurrent layer on raw inputs."""
    for build, x in (
        (Everything, torch.randint(0, 9, (64, 12))),
        (lambda: Raw(), torch.randn(64, 12, 5)),
    ):
        y = torch.randint(0, 4, (64,))
        weights = []
        for watched in (False, True):
            torch.manual_seed(3)
            net = build()
            watch = learn(net, x, y, watched=watched)
            weights.append(net.state_dict())
            assert not watch or not watch.evidence().loop["error"]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


class Raw(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.drop, self.head = nn.RNN(5, 8, batch_first=True), nn.Dropout(0.5), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.rnn(x)[0][:, -1]))


def test_every_kind_of_layer_is_measured_in_the_order_of_the_first_call():
    watch = learn(Everything(), torch.randint(0, 9, (64, 12)), torch.randint(0, 4, (64,)))
    evidence = watch.evidence()
    layers = evidence.epochs[-1]["layers"]
    assert [layer["name"] for layer in layers] == [
        "embed", "rnn", "attention", "conv", "up", "mix", "frozen", "head",
    ]  # fmt: skip
    trained = [layer for layer in layers if layer["name"] != "frozen"]
    assert all(layer["gradient_norm"] > 0 and layer["update_to_weight"] > 0 for layer in trained)
    assert all(layer["activation_std"] > 0 for layer in layers)
    by_name = {layer["name"]: layer for layer in layers}
    assert 0 < by_name["rnn"]["through_time"] <= 1
    assert by_name["conv"]["dead"] is not None  # from the relu that is only a function
    assert evidence.loop["unused"] == ["unused"]
    assert evidence.setup.dropouts == {"model.dropout": 0.2}
    assert evidence.setup.normed_over == 16 * 12


def test_measurements_equal_those_of_numpy_by_hand():
    net, optimizer = mlp(), None
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    watch = optilab.watch(net, optimizer)
    before = net[0].weight.detach().clone()
    loss = F.cross_entropy(net(X), Y)
    loss.backward()
    hidden = net[1](net[0](X)).detach()
    gradient = net[0].weight.grad.clone()
    optimizer.step()
    watch.step(loss, target=Y)
    (layer, *_) = watch.evidence().epochs[-1]["layers"]
    assert layer["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert layer["update_to_weight"] == pytest.approx(0.1 * float(gradient.norm() / before.norm()), rel=1e-4)
    assert layer["dead"] == pytest.approx(float((hidden == 0).all(0).float().mean()))
    chance = torch.bincount(Y) / len(Y)
    assert watch.evidence().entropy == pytest.approx(float(-(chance * chance.log()).sum()), rel=1e-5)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.GroupNorm(2, 4)])
def test_an_activation_before_a_norm_is_that_of_the_layer(norm):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), norm, nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        net[0].bias[:2] = -100.0
    watch = learn(net, torch.randn(64, 1, 6, 6), torch.randint(0, 3, (64,)), steps=3)
    assert watch.evidence().epochs[-1]["layers"][0]["dead"] == 0.5
    assert watch.evidence().setup.activation == "relu"


def test_it_detaches_without_a_trace_and_copies_have_no_hook():
    net = Everything()
    optimizer = torch.optim.Adam(net.parameters())
    with optilab.watch(net, optimizer):
        copied = copy.deepcopy(net)
        pickle.loads(pickle.dumps(net))
        assert net._forward_hooks
        copied(torch.randint(0, 9, (4, 12)))  # which the watch must not see
    hooked = [m for m in net.modules() if m._forward_hooks or m._forward_pre_hooks]
    of_gradients = [p for p in net.parameters() if p._backward_hooks]
    assert not hooked
    assert not of_gradients
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_an_error_of_the_watch_never_ends_the_training(monkeypatch):
    from optilab.train import layers

    monkeypatch.setattr(layers.Window, "before_step", lambda self, held: 1 / 0)
    net = mlp()
    watch = learn(net, X, Y, steps=80)
    assert not net._forward_hooks
    finding = watch.diagnosis().findings[-1]
    assert (finding.name, finding.severity) == ("watch-stopped", Severity.INFO)
    assert "ZeroDivisionError: division by zero; please report this error" in finding.text


def test_a_loop_waits_for_the_configs_at_its_diagnosis_only():
    """They are two thirds of what a watched loop needs of memory."""
    program = """
import sys
import torch
import optilab
net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
watch = optilab.watch(net, optimizer := torch.optim.Adam(net.parameters()))
for _ in range(12):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(net(torch.randn(8, 4)), y := torch.randint(0, 3, (8,)))
    loss.backward()
    optimizer.step()
    watch.step(loss, target=y)
print({"pydantic", "yaml", "optilab.diagnose"} & set(sys.modules))
watch.diagnosis()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_is_not_a_model_is_refused():
    with pytest.raises(UsageError, match=r"expected a torch\.nn\.Module, got 3; write optilab.watch"):
        optilab.watch(3)
    with pytest.raises(
        UsageError, match=r"expected an optimizer of torch\.optim, got 3; write optimizer = torch\.optim\.Adam"
    ):
        optilab.watch(mlp(), [3])
    with pytest.raises(UsageError, match="every: expected a whole number from 1"):
        optilab.watch(mlp(), every=0)
    with pytest.raises(UsageError, match=r"(?s)expected a torch\.nn\.Module.*expected an optimizer.*every: "):
        optilab.watch(3, 3, every=True)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda w: optilab.watch(), "optilab.watch: needs model; write optilab.watch(model, optimizer"),
        (
            lambda w: optilab.watch(mlp(), interval=5),
            "'interval'; it takes model, optimizer, every: optilab.watch(",
        ),
        (
            lambda w: optilab.watch(torch.optim.SGD(mlp().parameters()), mlp()),
            "optilab.watch: the two are swapped; write optilab.watch(model, optimizer)",
        ),
        (
            lambda w: optilab.watch(mlp(), every=0, log_freq=100),
            "'log_freq'; did you mean \"every\"?\nevery: expected a whole number from 1, got 0; write every=50",
        ),
        (lambda w: optilab.watch(mlp(), evry=5), "optilab.watch: unknown keyword 'evry'; did you mean \"every\"?"),
        (lambda w: w.lightning(every=1), "unknown keyword 'every'; write optilab.watch.lightning()"),
        (lambda w: w.transformers(every=1), "unknown keyword 'every'; write optilab.watch.transformers()"),
        (lambda w: w.step(1.0, targets=X), "watch.step: unknown keyword 'targets'; did you mean \"target\"?"),
        (
            lambda w: w.step(1.0, loss=2.0, y=X),
            "'y'; it takes loss, target: watch.step(loss, target=y)\nloss is given twice",
        ),
        (lambda w: w.epoch({"val_loss": 1}), "a mapping needs a name or **; write watch.epoch(val_loss=0.5"),
        (
            lambda w: optilab.watch(X for _ in "ab"),
            "expected a torch.nn.Module, got a generator; write optilab.watch(",
        ),
        (
            lambda w: optilab.watch(nn.Linear),
            "expected a torch.nn.Module, got the class Linear; write optilab.watch(",
        ),
        (
            lambda w: w.epoch(0.3, 0.9),
            "watch.epoch: 0.3 needs a name; write watch.epoch(val_loss=0.3, val_acc=0.9)",
        ),
        (lambda w: optilab.watch(mlp(), torch.optim.SGD), "got the class SGD; write optimizer = torch.optim.SGD("),
        (lambda w: w.close(1), "watch.close: 1 is a value too many; write watch.close()"),
        (lambda w: w.diagnosis(verbose=True), "unknown keyword 'verbose'; write watch.diagnosis()"),
        (lambda w: w.save(nmae="a"), "watch.save: unknown keyword 'nmae'; did you mean \"name\"?"),
        (lambda w: w.save(5), 'name: expected text, got 5; write watch.save("my-loop")'),
        (lambda w: w.save("a/b"), "name: 'a/b' contains '/'"),
        (lambda w: w.save("a", 5), "folder: expected the directory of the runs, got 5"),
        (
            lambda w: w.plot(size=3),
            "watch.plot: unknown keyword 'size'; it takes dark: watch.plot(dark=True).savefig(",
        ),
        (
            lambda w: w.plot("x.png"),
            "'x.png' is a value too many; write watch.plot().savefig(\"x.png\")",
        ),
        (
            lambda w: optilab.watch.step(1.0),
            "optilab.watch is a class; write watch = optilab.watch(model, optimizer)",
        ),
        (lambda w: w.report(), 'watch.report: needs path; write watch.report("my-loop.html")'),
        (lambda w: w.save("a", overwrite=1), "overwrite: expected True or False, got 1"),
        (lambda w: w.epoch(val_accuracy=85.0), "got 85.0; write val_accuracy=0.85"),
        (
            lambda w: w.epoch(accuracy=85.0),
            "accuracy: expected a fraction from 0 to 1, got 85.0; write accuracy=0.85",
        ),
        (lambda w: w.epoch(acc="85%"), "acc: expected a fraction from 0 to 1, got '85%'; write acc=0.85"),
        (
            lambda w: w.epoch(val_acc=85.0),
            "watch.epoch: val_acc: expected a fraction from 0 to 1, got 85.0; write val_acc=0.85",
        ),
        (
            lambda w: w.epoch(val_acc="85%"),
            "val_acc: expected a fraction from 0 to 1, got '85%'; write val_acc=0.85",
        ),
        (lambda w: w.epoch(val_acc="1%"), "got '1%'; write val_acc=0.01"),
        (lambda w: w.epoch(train_acc="0.9"), "got '0.9'; write train_acc=0.9"),
        (lambda w: w.epoch(val_acc=1.5), "got 1.5; write val_acc=0.85"),
        (
            lambda w: w.epoch(val_loss=[1, 2], epoch=3),
            "val_loss: expected a number, got [1, 2]; write val_loss=0.5; epoch: ",
        ),
    ],
)
def test_a_call_that_does_not_fit_is_refused_at_once(call, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        call(optilab.watch(mlp()))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda w: w.step(torch.ones(3)), "the loss has shape (3,); give one number: watch.step(loss.mean())"),
        (
            lambda w: w.step(torch.ones(3, 2)),
            "shape (3, 2); write watch.step(loss) with what cross_entropy returned",
        ),
        (lambda w: w.step(Y), "got a tensor of int64 of shape (200,); write watch.step(loss, target=y)"),
        (
            lambda w: [w.close(), w.step(1.0)],
            "watch.step: the watch was closed before; close it after the last step",
        ),
        (lambda w: w.step("loss"), "watch.step: loss: expected one number, got 'loss'; write watch.step(loss)"),
        (
            lambda w: w.step(1.0, target=[0, 1]),
            "target: expected a tensor, got [0, 1]; write target=torch.tensor(y)",
        ),
        (
            lambda w: w.step("x", target=3),
            "got 'x'; write watch.step(loss) with what cross_entropy returned; target: expected",
        ),
        (lambda w: w.step(), "the model returns no loss; give it: watch.step(loss)"),
    ],
)
def test_a_wrong_value_ends_the_watch_and_is_named_everywhere(call, sentence):
    watch = optilab.watch(mlp())
    call(watch)
    watch.step(1.0)
    diagnosis = watch.diagnosis()
    assert sentence in diagnosis.findings[-1].text
    assert "report this error" not in diagnosis.findings[-1].text
    assert sentence in diagnosis.headline
    with pytest.raises(DataError, match=re.escape(sentence)):
        watch.report("x.html")


def test_what_a_watch_does_not_have_is_answered_by_what_it_has():
    watch = optilab.watch(mlp())
    with pytest.raises(AttributeError, match="Watch has no method 'diagnose'; did you mean \"diagnosis\""):
        _ = watch.diagnose
    with pytest.raises(AttributeError, match="'log'; it has close, diagnosis, epoch"):
        watch.log({"loss": 1})
    with pytest.raises(AttributeError, match="Diagnosis has no method 'finding'; did you mean \"findings\""):
        _ = watch.diagnosis().finding
    with pytest.raises(
        AttributeError, match="no attribute 'Watch'; it has Lab and watch; commands are methods of"
    ):
        _ = optilab.Watch


def test_a_watch_that_saw_no_step_says_so(tmp_path):
    watch = optilab.watch(mlp())
    watch.epoch(val_acc=torch.tensor(1.0), val_loss=None)
    assert "watch.step(loss) was not called; call it after each optimizer.step()" in watch.diagnosis().headline
    watch.step(math.nan)
    with pytest.raises(DataError, match="nothing to show: diverged at step 1: loss is nan"):
        watch.plot()
    watch.save("base", tmp_path)
    with pytest.raises(RunError, match=r'already exists .*; choose another name: watch\.save\("base-2"\)'):
        watch.save("base", tmp_path)


def test_a_healthy_loop_has_no_finding():
    watch = learn(mlp(), X, Y, steps=300, lr=1e-2)
    assert names(watch) == []
    assert str(watch.diagnosis()).splitlines()[-1].startswith("healthy: training accuracy")


@pytest.mark.parametrize("share", [0.1, 0.03, 0.01])
@pytest.mark.parametrize("lr", [1e-2, 1e-5])
def test_rare_classes_are_no_bug(share, lr):
    """The first loss is far above the chance level, and most batches have one class."""
    x = torch.randn(1000, 6)
    rare = (x[:, 0] > x[:, 0].quantile(1 - share)).long()
    assert set(names(learn(mlp(), x, rare, steps=150, lr=lr))) <= {"learning-rate-too-low"}


def test_a_rate_that_is_far_too_high_is_one_where_a_class_is_rare():
    x = torch.randn(1000, 6)
    rare = (x[:, 0] > x[:, 0].quantile(0.95)).long()
    watch = learn(mlp(), x, rare, steps=150, lr=30.0)
    assert names(watch)[0] == "learning-rate-too-high"


# --- bugs of loops: each case has its own loop ---------------------------------------------------------------


def never_zeroed(optimizer, loss):
    loss.backward()
    optimizer.step()


def zeroed_first(optimizer, loss):
    optimizer.zero_grad()
    never_zeroed(optimizer, loss)


def never_stepped(optimizer, loss):
    loss.backward()


def zeroed_too_late(optimizer, loss, set_to_none=True):
    loss.backward()
    optimizer.zero_grad(set_to_none=set_to_none)
    optimizer.step()


def never_backward(optimizer, loss):
    optimizer.zero_grad()
    optimizer.step()


def accumulated():
    """Four batches per step, on purpose."""
    seen = []

    def step(optimizer, loss):
        if len(seen) % 4 == 0:
            optimizer.zero_grad()
        seen.append(1)
        (loss / 4).backward()
        if len(seen) % 4 == 0:
            optimizer.step()

    return step


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x)).detach())


class Last(nn.Module):
    """A recurrent layer whose last output decides."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(rnn.hidden_size, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def nll(out, y):
    return F.nll_loss(out, y)


def by_hand(out, y):
    """A cross-entropy that takes -1 as the last class."""
    return -out.log_softmax(1)[torch.arange(len(y)), y].mean()


def far_away(x):
    return (x[:, :1] * 100 + 500).clone()


class Words(nn.Module):
    """A language model of seven tokens: an embedding, a layer over time, a head."""

    def __init__(self, layer: nn.Module, norm: bool = False) -> None:
        super().__init__()
        self.embed, self.layer, self.head = nn.Embedding(7, 8), layer, nn.Linear(8, 7)
        self.norm = nn.BatchNorm1d(8) if norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.embed(x).transpose(1, 2)).transpose(1, 2)
        out = self.layer(x)
        return self.head(out[0] if isinstance(out, tuple) else out)


def validated(scale):
    """A loop that validates with inputs of another scale after each 20 steps."""
    net, x = mlp(), X * 0.5 + 1
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    watch = optilab.watch(net, optimizer)
    with torch.no_grad():
        net(torch.zeros(1, 6))  # which finds out shapes
    for _ in range(5):
        for here in torch.arange(200).split(10):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x[here]), Y[here])
            loss.backward()
            optimizer.step()
            watch.step(loss, target=Y[here])
        with torch.no_grad():
            for here in torch.arange(200).split(50):
                net(x[here] * scale)
        watch.epoch(val_acc=0.9 if scale == 1 else 0.3)
    return watch


def test_a_validation_with_inputs_of_the_same_scale_is_healthy():
    assert not names(validated(1))


TEXT = torch.randint(1, 3, (200, 13), generator=torch.Generator().manual_seed(0)).cumsum(1) % 7


def of_words(out, y):
    return F.cross_entropy(out.flatten(0, 1), y.flatten())


BUGS = {
    "labels-out-of-range": lambda: learn(mlp(), X, Y - 1, loss=by_hand, steps=100),
    "targets-out-of-scale": lambda: learn(mlp(nn.Linear(3, 1)), X, far_away(X), loss=F.mse_loss, steps=100),
    "vanishing-through-time": lambda: learn(
        Last(nn.RNN(6, 8, batch_first=True)), X[:, None].expand(-1, 40, -1).flip(0), Y, steps=100
    ),
    "validation-out-of-scale": lambda: validated(255),
    "batch-as-time": lambda: learn(Last(nn.LSTM(6, 8)), X[:, None].expand(-1, 9, -1), Y, steps=300, lr=1e-2),
    "no-causal-mask": lambda: learn(
        Words(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)), TEXT[:, :-1], TEXT[:, 1:], loss=of_words
    ),
    "gradients-not-zeroed": lambda: learn(mlp(), X, Y, step=never_zeroed),
    "no-optimizer-step": lambda: learn(mlp(), X, Y, step=never_stepped),
    "no-gradient-in-step": lambda: learn(mlp(), X, Y, step=zeroed_too_late),
    "softmax-twice": lambda: learn(mlp(nn.Softmax(1)), X, Y),
    "activation-before-loss": lambda: learn(mlp(nn.ReLU()), X, torch.where(X[:, 2] > 0, Y, 1), steps=300),
    "logits-as-probabilities": lambda: learn(mlp(), X, Y, loss=nll, steps=200, lr=1e-2),
    "graph-cut": lambda: learn(Cut(), X, Y),
    "same-batch": lambda: learn(mlp(), X[:16], Y[:16]),
    "batches-sorted-by-class": lambda: learn(mlp(), X[Y.argsort()], Y.sort().values, batch=8, steps=300),
    "one-class": lambda: learn(mlp(), X, Y * 0 + 1),
    "non-finite-data": lambda: learn(mlp(), torch.where(X > 2, torch.nan, X), Y, batch=100),
    "inputs-out-of-scale": lambda: learn(mlp(), X * 1e-4, Y),
    "learning-rate-too-high": lambda: learn(mlp(), X, Y, lr=10.0, steps=200),
    "learning-rate-too-low": lambda: learn(mlp(), X, Y, lr=1e-8, steps=200),
    "loss-is-a-sum": lambda: learn(
        mlp(), X, Y[torch.randperm(len(Y))], loss=lambda out, y: F.cross_entropy(out, y, reduction="sum")
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_of_a_loop_is_the_first_finding(name):
    watch = BUGS[name]()
    assert not watch.evidence().loop["error"]
    finding = watch.diagnosis().findings[0]
    assert (finding.name, finding.severity > Severity.INFO) == (name, True)
    assert finding.remedy


def test_what_gradients_that_add_up_have_done_is_a_note_next_to_them():
    """Saturated units of weights that were right at first: no other initialization or rate is proposed."""
    torch.manual_seed(0)
    layers = [part for n in range(3) for part in (nn.Linear(20 if n == 0 else 64, 64), nn.Sigmoid())]
    net, x = nn.Sequential(*layers, nn.Linear(64, 4)), torch.randn(256, 20)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    watch = optilab.watch(net, optimizer)
    for here in torch.arange(256).repeat(12).split(32):
        loss = F.cross_entropy(net(x[here]), y[here])
        never_zeroed(optimizer, loss)
        watch.step(loss, target=y[here])
    first, *others = watch.diagnosis().findings
    assert first.name == "gradients-not-zeroed"
    assert {"learning-rate-too-high", "weights-too-large"} & {finding.name for finding in others}
    assert all(finding.severity is Severity.INFO and not finding.remedy for finding in others)


def ignoring(out, y):
    """A fifth of the labels is not known, and is 255, as in segmentation."""
    return F.cross_entropy(out, y, ignore_index=255)


ON_PURPOSE = {
    "a language model, and samples that a norm mixes": lambda: learn(
        Words(nn.LSTM(8, 8, batch_first=True), norm=True),
        TEXT[:, :-1],
        TEXT[:, 1:],
        loss=of_words,
        steps=200,
        lr=1e-2,
    ),
    "an ignored label": lambda: learn(
        mlp(), X, torch.where(torch.arange(200) % 5 == 0, 255, Y), loss=ignoring, steps=300, lr=1e-2
    ),
    "a loss that rises from zero": lambda: learn(mlp(), X, Y, target=False, steps=200, lr=1e-2, loss=rising()),
    "accumulation": lambda: learn(mlp(), X, Y, step=accumulated(), steps=200, lr=1e-2),
    "no targets": lambda: learn(mlp(), X, Y, target=False, steps=200, lr=1e-2),
    "log_softmax before nll_loss": lambda: learn(mlp(nn.LogSoftmax(1)), X, Y, loss=nll, steps=200, lr=1e-2),
    "autocast": lambda: learn(Autocast(), X, Y, steps=200, lr=1e-2),
    "squeezed after the network": lambda: learn(
        score(), X, X[:, 0], steps=200, lr=1e-2, loss=squeezed(F.mse_loss)
    ),
    "targets with a second axis": lambda: learn(score(), X, X[:, 0], steps=200, lr=1e-2, loss=two_axes),
    "squeezed logits": lambda: learn(
        score(), X, (X[:, 0] > 0).float(), steps=200, lr=1e-2, loss=squeezed(F.binary_cross_entropy_with_logits)
    ),
}


def score():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))


def squeezed(loss):
    return lambda out, y: loss(out.squeeze(1), y)


def two_axes(out, y):
    """A loss of the user's own; the watch is given targets without the second axis."""
    return ((out - y[:, None]) ** 2).mean()


def rising():
    """A loss without a known level of guessing, which is near zero at first and then about one."""
    first = iter([1e-4] * 3)
    return lambda out, y: (1 + 0.1 * (out**2).mean()) * next(first, 1.0)


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.net(x)


@pytest.mark.parametrize("name", ON_PURPOSE)
def test_what_is_done_on_purpose_is_no_finding(name):
    watch = ON_PURPOSE[name]()
    assert not watch.evidence().loop["error"]
    assert names(watch) == []


def test_an_optimizer_of_another_model_and_one_that_lacks_layers():
    net = mlp()
    for parameters, name in ((mlp().parameters(), "optimizer-of-another-model"), (net[4].parameters(), None)):
        optimizer = torch.optim.Adam(parameters)
        with optilab.watch(net, optimizer) as watch:
            for _ in range(70):
                optimizer.zero_grad()
                loss = F.cross_entropy(net(X), Y)
                loss.backward()
                optimizer.step()
                watch.step(loss, target=Y)
        findings = {finding.name: finding for finding in watch.diagnosis().findings}
        assert (name or "parameters-not-in-optimizer") in findings
    assert "4 parameters" in findings["parameters-not-in-optimizer"].text
    assert "0.weight" in findings["parameters-not-in-optimizer"].text


def test_a_network_that_is_made_again_is_not_the_one_that_is_watched():
    net = mlp()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    watch = optilab.watch(net, optimizer)
    for _ in range(3):
        for _ in range(64):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(X), Y)
            loss.backward()
            optimizer.step()
            watch.step(loss, target=Y)
        net = mlp()
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    (finding, *_) = watch.diagnosis().findings
    assert (finding.name, finding.severity) == ("no-optimizer-step", Severity.WARNING)
    assert finding.text == "no step of the optimizer since loss 64 of 192"


@pytest.mark.parametrize(("every", "zeroed"), [(32, False), (32, True), (8, True)])
def test_a_step_after_many_losses_is_named_where_nothing_is_learned(every, zeroed):
    """Gradients of 32 or 8 batches are added up on purpose, or all but the last are lost."""
    seen = []

    def step(optimizer, loss):
        if zeroed or len(seen) % every == 0:
            optimizer.zero_grad()
        seen.append(1)
        (loss / every).backward()
        if len(seen) % every == 0:
            optimizer.step()

    rng = torch.Generator().manual_seed(4)
    y = torch.randint(0, 3, (4000,), generator=rng) if zeroed else (MANY[:, 0] > 0).long()
    x = torch.randn(4000, 6, generator=rng) if zeroed else MANY
    found = names(learn(mlp(), x, y, step=step, steps=320 if zeroed else 1920, lr=1e-2))
    assert found[:1] == (["no-optimizer-step"] if zeroed else [])


def test_labels_of_sequences_are_counted_not_sequences():
    """Thirty sequences of forty labels each are not few."""
    net, x = nn.Sequential(nn.Embedding(9, 32), nn.Linear(32, 9)), torch.randint(0, 9, (30, 40))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    watch = optilab.watch(net, optimizer)
    for _ in range(30):
        for here in torch.arange(30).split(10):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x[here]).flatten(0, 1), x[here].flatten())
            loss.backward()
            optimizer.step()
            watch.step(loss, target=x[here])
        with torch.no_grad():  # the validation asks for the next label
            watch.epoch(val_loss=F.cross_entropy(net(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten()))
    assert names(watch) == ["labels-unrelated"]


def test_a_warm_up_that_is_longer_than_the_training():
    net = mlp()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (step + 1) / 1e6)
    watch = optilab.watch(net, optimizer)
    for number in range(100):
        here = torch.arange(number, number + 50)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(MANY[here]), LABELS[here])
        loss.backward()
        optimizer.step()
        schedule.step()
        watch.step(loss, target=LABELS[here])
    assert names(watch)[0] == "learning-rate-decayed"
    assert "still below a hundredth of 0.01: its warm-up does not end" in watch.diagnosis().findings[0].text


def test_two_optimizers_hold_the_model_together():
    net = mlp()
    optimizers = [torch.optim.Adam(net[:2].parameters(), 1e-2), torch.optim.SGD(net[2:].parameters(), 0.1)]
    watch = optilab.watch(net, optimizers)
    for _ in range(70):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = F.cross_entropy(net(X), Y)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        watch.step(loss, target=Y)
    evidence = watch.evidence()
    assert not evidence.loop["error"]
    assert all(layer["update_to_weight"] > 0 for layer in evidence.epochs[-1]["layers"])
    assert "parameters-not-in-optimizer" not in names(watch)


@pytest.mark.parametrize(
    ("drop", "acts"),
    [
        (nn.Dropout(0.2), True),
        (nn.Dropout(0.0), False),
        (nn.AlphaDropout(0.0), False),
        (nn.TransformerEncoderLayer(16, 2, 8, dropout=0.0), False),
    ],
)
def test_modes_of_training_and_validation_of_dropout(drop, acts):
    """Dropout at rate 0 is the same in both modes."""
    for training, validation, name in (
        (False, False, "eval-mode-in-training"),
        (True, True, "train-mode-in-validation"),
    ):
        net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), drop, nn.Linear(16, 3))
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        watch = optilab.watch(net, optimizer)
        for _ in range(10):
            for _ in range(8):
                net.train(training)
                optimizer.zero_grad()
                loss = F.cross_entropy(net(X), Y)
                loss.backward()
                optimizer.step()
                watch.step(loss, target=Y)
            net.train(validation)
            with torch.no_grad():
                watch.epoch(val_loss=F.cross_entropy(net(X), Y))
        assert names(watch).count(name) == acts


def spoiled(change):
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            change(layer)
    return net


def deep():
    layers = [part for _ in range(8) for part in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(nn.Linear(6, 16), nn.Sigmoid(), *layers, nn.Linear(16, 3))


def dropped():
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.97), nn.Linear(32, 3))


def normed():
    return nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))


RNG = torch.Generator().manual_seed(2)
MANY = torch.randn(600, 6, generator=RNG)
LABELS = (MANY[:, 0] > 0).long() + (MANY[:, 1] > 0).long()
NOISE = torch.randint(0, 3, (600,), generator=RNG)
SETTINGS = {
    "symmetric-init": {"net": lambda: spoiled(lambda layer: (layer.weight.fill_(0.1), layer.bias.zero_()))},
    "dead-units": {"net": lambda: spoiled(lambda layer: layer.bias.fill_(-20.0))},
    "weights-too-large": {"net": lambda: spoiled(lambda layer: layer.weight.mul_(60)), "epochs": 2},
    "vanishing-gradient": {"net": deep, "made": lambda p: torch.optim.SGD(p, 0.05)},
    "weight-decay-too-strong": {"made": lambda p: torch.optim.SGD(p, 0.1, weight_decay=2.0)},
    "eps-dominates": {"made": lambda p: torch.optim.Adam(p, 1e-2, eps=100.0)},
    "dropout-too-strong": {"net": dropped},
    "batch-norm-small-batch": {"net": normed, "batch": 2, "epochs": 4},
    "learning-rate-decayed": {"gamma": 0.2, "made": lambda p: torch.optim.SGD(p, 0.05)},
    "labels-unrelated": {"y": NOISE, "epochs": 40, "net": lambda: spoiled(lambda layer: None)},
    "too-few-images": {"train": 60, "y": NOISE, "epochs": 60},
    "overfitting": {
        "y": torch.where(torch.rand(600, generator=RNG) < 0.3, NOISE, LABELS),
        "epochs": 50,
        "net": lambda: spoiled(lambda layer: None),
    },
}


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_units_that_are_alike_in_every_gate_are_alike(kind):
    net = Last(getattr(nn, kind)(6, 8, batch_first=True))
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(0.03)
    watch = learn(net, X[:, None].expand(-1, 9, -1), Y, steps=120, lr=1e-2)
    assert watch.evidence().epochs[-1]["layers"][0]["common"] == pytest.approx(1.0)
    assert names(watch)[0] == "symmetric-init"


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_setting_of_a_loop_is_the_first_finding(name):
    """The causes of `diagnose` in a loop that validates after each epoch."""
    usual = {"net": mlp, "made": lambda p: torch.optim.Adam(p, 1e-2), "y": LABELS, "train": 300, "epochs": 12}
    case = {**usual, "batch": 20, "gamma": 1.0, **SETTINGS[name]}
    net, y, size = case["net"](), case["y"], case["train"]
    optimizer = case["made"](net.parameters())
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, case["gamma"])
    watch = optilab.watch(net, optimizer)
    for _ in range(case["epochs"]):
        net.train()
        for here in torch.randperm(size).split(case["batch"]):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(MANY[here]), y[here])
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y[here])
        schedule.step()
        net.eval()
        with torch.no_grad():
            out = net(MANY[300:])
        accuracy = (out.argmax(1) == y[300:]).float().mean()
        watch.epoch(val_loss=F.cross_entropy(out, y[300:]), val_acc=accuracy)
    assert not watch.evidence().loop["error"]
    assert names(watch)[:1] == [name], watch.diagnosis()
    assert watch.diagnosis().findings[0].remedy


def test_a_module_that_is_never_called_is_a_note():
    net = mlp()
    net.extra = nn.Linear(3, 3)
    net.forward = lambda x: nn.Sequential.forward(net[:5], x)
    finding = learn(net, X, Y, steps=300, lr=1e-2).diagnosis().findings[-1]
    assert (finding.name, finding.severity, finding.evidence) == (
        "unused-modules", Severity.INFO, {"modules": ["extra"]},
    )  # fmt: skip


def test_every_cause_of_a_loop_is_tried_here():
    tried = {*BUGS, *SETTINGS, *ELSEWHERE}
    assert tried == {cause.name for cause in CAUSES}


ELSEWHERE = (
    "frozen-untrained", "optimizer-of-another-model", "parameters-not-in-optimizer", "eval-mode-in-training",
    "train-mode-in-validation", "shapes-broadcast", "learning-rate-zero", "unused-modules", "watch-stopped",
    "loss-without-graph",
)  # fmt: skip
"""Causes with a test of their own in this file."""


def test_predictions_of_another_shape_than_the_targets():
    x, y = torch.randn(64, 4), torch.randn(64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns itself
        watch = learn(nn.Linear(4, 1), x, y, loss=F.mse_loss)
    assert names(watch)[0] == "shapes-broadcast"
    assert "(16, 1) and targets (16,)" in watch.diagnosis().findings[0].text


def test_outputs_that_a_loss_of_the_users_own_compares_with_every_target():
    watch = learn(score(), X, X[:, 0], loss=lambda out, y: ((out - y) ** 2).mean())
    assert names(watch)[0] == "shapes-broadcast"


@pytest.mark.parametrize("step", [lambda o, loss: zeroed_too_late(o, loss, set_to_none=False), never_backward])
def test_a_step_without_a_gradient_is_named_whichever_way_it_was_lost(step):
    finding = learn(mlp(), X, Y, step=step).diagnosis().findings[0]
    assert (finding.name, finding.severity) == ("no-gradient-in-step", Severity.CRITICAL)
    assert ("no backward pass" in finding.text) == (step is never_backward)


class Apart(nn.Module):
    """A body that runs without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16)), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x = self.body(x)
        return self.head(torch.relu(x))


@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
def test_a_body_that_runs_without_gradients(mode):
    """On purpose where it is frozen, or in eval mode; it is called all the same."""
    net = Apart()
    if mode == "eval":
        net.body.eval()
    if mode == "frozen":
        net.body.requires_grad_(False)
    findings = learn(net, X, Y, steps=200, lr=1e-2).diagnosis().findings
    assert ("graph-cut" in [one.name for one in findings]) == (mode == "train")
    assert "unused-modules" not in [one.name for one in findings]


@pytest.mark.parametrize("trained", [False, True])
def test_a_frozen_body_that_was_never_trained(trained):
    """It is named where nothing is learned, here because the labels depend on what random weights do not show."""
    rng = torch.Generator().manual_seed(4)
    body = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
    if trained:
        with torch.no_grad():
            for layer in (body[0], body[2]):
                layer.weight += layer.weight[:, :1] + 0.2
    net = nn.Sequential(body.requires_grad_(False), nn.Linear(32, 3))
    y = torch.randint(0, 3, (4000,), generator=rng)
    found = names(learn(net, torch.randn(4000, 6, generator=rng), y, steps=200, lr=1e-4))
    assert (found[:1] == ["frozen-untrained"]) is not trained


def test_labels_that_belong_to_nothing_where_no_image_can_be_learned_by_heart():
    """Each batch is new, so that the training loss stays at the chance level; nothing is validated."""
    rng = torch.Generator().manual_seed(4)
    x, y = torch.randn(4000, 6, generator=rng), torch.randint(0, 3, (4000,), generator=rng)
    finding = learn(mlp(), x, y, steps=200).diagnosis().findings[0]
    assert (finding.name, finding.severity) == ("labels-unrelated", Severity.CRITICAL)
    assert "of the chance-level loss" in finding.text


def test_sixty_steps_at_the_chance_level_say_nothing_about_labels():
    """Not even in a training that is no probe run."""
    rng = torch.Generator().manual_seed(4)
    x, y = torch.randn(4000, 6, generator=rng), torch.randint(0, 3, (4000,), generator=rng)
    e = learn(mlp(), x, y, steps=200, lr=1e-2).evidence()
    for steps, found in ((61, True), (60, False)):
        start = {**e.records[0], "loop": {**e.loop, "steps": steps}}
        findings = diagnose(dataclasses.replace(e, records=[start, *e.records[1:]]))
        assert ("labels-unrelated" in [one.rule for one in findings]) == found


@pytest.mark.parametrize("given", [torch.Tensor.item, torch.Tensor.detach, torch.Tensor.mean])
def test_a_loss_that_has_lost_its_operations_is_a_note(given):
    model = mlp()
    watch = optilab.watch(model)
    watch.step(given(F.cross_entropy(model(X[:16]), Y[:16])), target=Y[:16])
    found = [one.text for one in watch.diagnosis().findings if one.name == "loss-without-graph"]
    assert bool(found) == (given is not torch.Tensor.mean)
    assert all("write watch.step(loss), without .item()" in text for text in found)


class Steps(nn.Module):
    """A layer over sequences, whose inputs may be (time, batch, features), and outputs one, or one for each step."""

    def __init__(self, layer: nn.Module, swap: bool = False, each: bool = False) -> None:
        super().__init__()
        self.layer, self.head, self.swap, self.each = layer, nn.Linear(8, 3), swap, each

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(0, 1) if self.swap else x
        out = self.layer(x)
        out = self.head(out[0] if isinstance(out, tuple) else out)
        return out if self.each else out.mean(0 if self.swap else 1)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(("kind", "batch"), [("GRU", 16), ("GRU", 2), ("attention", 16)])
def test_samples_that_are_taken_for_time_steps(kind, batch, swap, first):
    layer = (
        nn.GRU(8, 8, batch_first=first)
        if kind == "GRU"
        else nn.TransformerEncoderLayer(8, 2, 8, batch_first=first)
    )
    found = names(learn(Steps(layer, swap), torch.randn(64, 9, 8), Y[:64], steps=20, batch=batch))
    assert ("batch-as-time" in found) == (swap == first)


@pytest.mark.parametrize("first", [False, True])
def test_an_output_for_each_time_step_says_nothing_about_axes_but_by_the_order_of_inputs(first):
    """Neighbors in time are alike, or follow each other as letters do; samples are in any order."""
    words, steps, noise = TEXT[:, :12], torch.randn(64, 24, 8).cumsum(1), torch.randn(64, 9, 8)
    cases = [(Words(nn.GRU(8, 8, batch_first=first)), words, not first)]
    cases += [
        (Steps(nn.GRU(8, 8, batch_first=first), each=True), x, x is steps and not first) for x in (steps, noise)
    ]
    for net, x, swapped in cases:
        watch = learn(net, x, torch.randint(0, 3, x.shape[:2]), steps=20, loss=of_words)
        assert ("batch-as-time" in names(watch)) == swapped


class Places(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.place = nn.Linear(8, 3), nn.Parameter(torch.zeros(9, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) + self.place


def test_how_frequent_labels_are_at_each_time_step_is_no_knowledge():
    x, often = torch.randn(512, 9, 8), torch.arange(9) % 3
    y = torch.where(torch.rand(512, 9) < 0.7, often, torch.randint(0, 3, (512, 9)))
    watch = learn(Places(), x, y, steps=400, lr=1e-2, loss=of_words)
    assert names(watch) == ["labels-unrelated"]
    assert not watch.evidence().knows


def test_the_entropy_of_labels_at_each_time_step_is_corrected_for_their_number():
    """Miller (1955): half of (labels that occur - 1) / count; the third label occurs at other steps only."""
    x, second = torch.randn(64, 9, 8), torch.arange(64)[:, None] % 2  # 64 labels of each step
    watch = learn(Places(), x, (torch.arange(9) + second) % 3, steps=16, loss=of_words)
    assert watch.evidence().entropy == pytest.approx(math.log(2) + 1 / (2 * 64), abs=1e-6)


@pytest.mark.parametrize("scale", [0.1, 1, 10])
def test_a_loss_below_that_of_the_mean_is_knowledge_beyond_its_error_only(scale):
    e = learn(score(), X, scale * torch.randn(200), loss=squeezed(F.mse_loss), lr=1e-6).evidence()
    for factor, knows in ((0.85, False), (0.4, True)):
        rows = [{"epoch": 1, "train_loss": e.entropy, "val_loss": factor * e.entropy}]
        assert dataclasses.replace(e, rows=rows).knows == knows


def test_inputs_out_of_scale_matter_until_nearly_all_is_learned():
    for y, found in ((LABELS, []), (torch.where(torch.rand(600, generator=RNG) < 0.2, NOISE, LABELS), [1])):
        watch = learn(mlp(), 40 * MANY, y, steps=600, lr=1e-2)
        findings = {one.name: one.severity for one in watch.diagnosis().findings}
        assert findings["inputs-out-of-scale"] == (Severity.WARNING if found else Severity.INFO)


def test_a_gradient_through_time_that_only_training_has_lost_is_not_the_first_cause():
    x = torch.randn(300, 40, 6, generator=torch.Generator().manual_seed(3))
    for seed in range(
        2, 8
    ):  # such a training is chaotic: which of them loses the gradient depends on the processor
        torch.manual_seed(seed)
        net = Last(nn.GRU(6, 8, batch_first=True))
        watch = learn(net, x, (x[:, -1, 0] > 0).long(), steps=300, lr=10.0)
        shares = [record["layers"][0]["through_time"] for record in watch.evidence().epochs]
        if shares[0] > 1e-5 > shares[-1]:
            break
    assert shares[0] > 1e-5 > shares[-1]
    assert names(watch)[0] == "learning-rate-too-high"


@pytest.mark.parametrize(
    ("kind", "coupled", "own"),
    [(torch.optim.SGD, 0.3, 0.0), (torch.optim.Adam, 0.3, 0.0), (torch.optim.AdamW, 0.0, 0.3)],
)
def test_decay_is_in_the_gradient_or_in_the_rule(kind, coupled, own):
    """Loshchilov and Hutter (2019): AdamW takes it from the weights, past the moments of the gradient."""
    net = mlp()
    optimizer = kind(net.parameters(), lr=1e-3, weight_decay=0.3)
    watch = optilab.watch(net, optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(X), Y)
        loss.backward()
        optimizer.step()
        watch.step(loss, target=Y)
    setup = watch.evidence().setup
    assert (setup.weight_decay, setup.rule.weight_decay) == (coupled, own)


def test_batches_of_two_classes_that_are_sorted():
    y = (X[:, 0] > 0).float()
    watch = learn(
        score(), X[y.argsort()], y.sort().values, batch=8, steps=300,
        loss=squeezed(F.binary_cross_entropy_with_logits),
    )  # fmt: skip
    assert names(watch)[0] == "batches-sorted-by-class"


class OwnLoss(nn.Module):
    """A model of sequences that returns its loss, and shifts the labels itself."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(12, 16), nn.Linear(16, 12)

    def forward(self, ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.head(self.embed(ids))
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return {"loss": loss, "logits": logits}


def test_the_chance_level_of_labels_that_a_model_shifts_itself():
    ids = torch.randint(0, 12, (64, 20)).clamp_min(6)  # six of the twelve tokens, one of them frequent
    net = OwnLoss()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    watch = optilab.watch(net, optimizer)
    for number in range(100):
        optimizer.zero_grad()
        net(ids=ids[number % 4 :: 4], labels=ids[number % 4 :: 4])["loss"].backward()
        optimizer.step()
        watch.step()
    shares = torch.bincount(ids.flatten()) / ids.numel()
    shares = shares[shares > 0]
    assert not watch.evidence().loop["error"]
    assert watch.evidence().entropy == pytest.approx(float(-(shares * shares.log()).sum()), rel=0.02)
    assert "train_acc" not in watch.evidence().rows[-1]


def test_an_accuracy_of_training_is_not_compared_with_a_loss_of_validation():
    """Labels that are known in half of the cases: accuracy 75%, and little of the loss is gone."""
    net, rng = mlp(), torch.Generator().manual_seed(5)
    x = torch.randn(900, 6, generator=rng)
    y = torch.where(torch.rand(900, generator=rng) < 0.5, 0, 1 + (x[:, 0] > 0).long())
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    watch = optilab.watch(net, optimizer)
    for _ in range(5):
        for here in torch.randperm(600).split(20):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x[here]), y[here])
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y[here])
        with torch.no_grad():
            watch.epoch(val_loss=F.cross_entropy(net(x[600:]), y[600:]))
    evidence = watch.evidence()
    gone = 1 - evidence.validation_loss / evidence.validation_entropy
    assert evidence.skill == evidence.accuracy == pytest.approx(gone)
    assert abs(evidence.held_back) < 0.1 < evidence.training_accuracy - evidence.accuracy
    assert names(watch) == []
    assert "validation loss" in watch.diagnosis().document()["verdict"]


class Attending(nn.Module):
    """Attention of separate projections: queries and keys begin with hardly any gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleList(nn.Linear(6, 6) for _ in range(6)) for _ in range(2))
        self.pool, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        for query, key, *_ in self.blocks:
            nn.init.normal_(query.weight, std=0.01)
            nn.init.normal_(key.weight, std=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for query, key, value, mix, up, down in self.blocks:
            x = x + mix((query(x) @ key(x).transpose(1, 2)).softmax(2) @ value(x))
            x = x + down(torch.relu(up(x)))
        return self.head(torch.tanh(self.pool(x.mean(1))))


def test_small_gradients_of_queries_do_not_hide_a_rate_that_is_too_low():
    watch = learn(Attending(), MANY[:200].view(50, 4, 6), Y[:50], lr=1e-9, steps=100)
    first = watch.evidence().epochs[-1]["layers"]
    assert first[0]["gradient_norm"] < 0.01 * first[-2]["gradient_norm"]
    assert names(watch)[0] == "learning-rate-too-low"


class Pooled(nn.Module):
    """As in BERT the first layers begin with a hundredth of the pooler's gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
        self.pool, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.first:
            x = x + 0.01 * layer(x)
        return self.head(torch.tanh(self.pool(x)))


def test_a_rate_that_is_too_low_is_no_vanishing_gradient_and_its_remedy_is_a_rate():
    """All layers stand still alike; the rate itself is taken to zero by a schedule, as Trainer does."""
    net = Pooled()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 100)
    watch = optilab.watch(net, optimizer)
    for number in range(100):
        here = torch.arange(number, number + 50)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(X[here]), Y[here])
        loss.backward()
        optimizer.step()
        schedule.step()
        watch.step(loss, target=Y[here])
    assert watch.evidence().ratio < 0.05
    assert names(watch) == ["learning-rate-too-low"]
    assert watch.diagnosis().findings[0].remedy.startswith("lr=")


def test_a_schedule_that_has_taken_the_rate_to_zero():
    net = mlp()
    optimizer = torch.optim.SGD(net.parameters(), 1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: max(0.0, 1 - epoch / 3))
    watch = optilab.watch(net, optimizer, every=10)
    for _ in range(10):
        for _ in range(10):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(X), Y)
            loss.backward()
            optimizer.step()
            watch.step(loss, target=Y)
        schedule.step()
        watch.epoch()
    assert "learning-rate-zero" in names(watch)


# --- the value -----------------------------------------------------------------------------------------------


def test_a_diagnosis_is_a_value():
    found = learn(mlp(nn.Softmax(1)), X, Y).diagnosis()
    (finding,) = [one for one in found.findings if one.name == "softmax-twice"]
    assert finding.remedy.startswith("give the loss the logits")
    (row, *_) = json.loads(json.dumps(found.document()))["findings"]
    assert row["finding"] == found.findings[0].name
    assert "softmax-twice" in str(found)
    page = found._repr_html_()
    assert "critical: softmax-twice" in page
    assert f"1. {finding.remedy}" in page


def test_remedies_of_initial_weights_are_lines_of_their_own():
    net = spoiled(lambda layer: layer.weight.mul_(60))
    (finding, *_) = learn(net, X, Y).diagnosis().findings
    assert finding.name == "weights-too-large"
    assert len({*finding.code}) == len(finding.code) >= 3
    assert "layer.reset_parameters()" in finding.code[1]
    assert "nn.BatchNorm1d" in finding.code[2]


@pytest.mark.parametrize("measured", [True, False], ids=["validated", "loss only"])
def test_a_watched_loop_is_a_run_that_the_commands_read(optilab, tmp_path, measured):
    """Also one that has no column but its training loss."""
    watch = learn(mlp(), X, Y, steps=100, target=measured)
    watch.epoch(**({"val_loss": 0.9, "val_acc": 0.6} if measured else {}))
    path = watch.save("mine", tmp_path / "runs")
    watch.save("other", tmp_path / "runs")
    column = "val_acc" if measured else "train_loss"
    for command in (
        ("runs", "ls"),
        ("runs", "show", "mine"),
        ("runs", "plot", "mine"),
        ("runs", "compare", "mine", "--metric", column),
        ("runs", "diff", "mine", "other"),
        ("report", "mine", "--metric", column),
        ("check", "mine", "--expect", f"{column} > 0"),
        ("diagnose", "mine"),
    ):
        done = optilab(*command)
        assert done.stdout, command
        assert "nan" not in done.stdout.split(), command
        assert "in a probe run" not in done.stdout, command
    shown = optilab("runs", "show", "mine").stdout
    assert "command    optilab.watch, in a loop of yours" in shown
    assert "marked no epochs" not in shown
    learn(mlp(), X, Y, steps=30).save("unmarked", tmp_path / "runs")
    shown = optilab("runs", "show", "unmarked").stdout
    assert "the loop marked no epochs (watch.epoch()); the rows are equal parts of its steps" in shown
    assert "a short training cannot show" in optilab("diagnose", "unmarked").stdout
    refused = learn(mlp(), X, Y, steps=30)
    refused.step("loss")
    refused.save("refused", tmp_path / "runs")
    shown = optilab("runs", "show", "refused").stdout
    assert "reason     watch.step: loss: expected one number, got 'loss'" in shown
    assert "the watch ended before an epoch; the rows are" in shown
    missing = optilab("check", "refused", "--expect", "val_acc > 0", code=2).stdout
    assert "val_acc > 0: no run has 'val_acc'; " in missing
    assert (
        json.loads(optilab("diagnose", "mine", "--json").stdout)["verdict"]
        == watch.diagnosis().document()["verdict"]
    )
    assert "only a training can be resumed" in optilab("train", "--resume", str(path), code=4).stderr
    with pytest.raises(RunError, match="already exists"):
        watch.save("mine", tmp_path / "runs")


def test_every_epoch_that_a_short_loop_marks_has_its_row(optilab, tmp_path):
    """Although so few steps are judged as those of a probe run."""
    net = mlp()
    optimizer, ends = torch.optim.SGD(net.parameters(), 0.1), [0.5, 0.6, 0.7, 0.8]
    watch = Watch(net, optimizer)
    for accuracy in ends:
        for here in torch.arange(len(X)).split(20):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(X[here]), Y[here])
            loss.backward()
            optimizer.step()
            watch.step(loss, target=Y[here])
        watch.epoch(val_loss=loss.item(), val_acc=accuracy)
    assert [row["val_acc"] for row in watch.evidence().rows] == ends
    watch.save("short", tmp_path / "runs")
    assert "4 epochs" in optilab("runs", "show", "short").stdout
    found = json.loads(optilab("diagnose", "short", "--json").stdout)
    assert (
        found["verdict"]
        == watch.diagnosis().document()["verdict"]
        == "no sign of trouble in 40 batches, too few to tell more"
    )


@pytest.mark.parametrize("kind", ["before", "twice", "nan"])
def test_every_epoch_of_a_dying_network_is_kept(kind, tmp_path):
    """Also after a validation before the training, of two calls per epoch, and of a metric that is not finite."""
    net = mlp()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    watch = optilab.watch(net, optimizer)
    if kind == "before":
        watch.epoch(val_loss=1.1, auc=math.inf)
    for epoch in range(8):
        if epoch == 2:
            for parameter in net.parameters():
                parameter.data.zero_()
            optimizer.param_groups[0]["lr"] = 0.0
        for here in torch.arange(len(X)).split(20):
            loss = F.cross_entropy(net(X[here]), Y[here])
            zeroed_first(optimizer, loss)
            watch.step(loss, target=Y[here])
        measured = {"val_loss": loss.detach(), "auc": math.nan if kind == "nan" and epoch == 1 else 0.5}
        for metrics in [{key: value} for key, value in measured.items()] if kind == "twice" else [measured]:
            watch.epoch(**metrics)
    rows = watch.evidence().rows
    assert [row["epoch"] for row in rows] == [*range(1, 9)]
    assert [row.get("auc") for row in rows] == [0.5, None if kind == "nan" else 0.5, *[0.5] * 6]
    assert not watch.diagnosis().healthy
    assert watch.evidence().start.get("metrics") == ({"val_loss": 1.1, "auc": None} if kind == "before" else None)
    run = watch.save("dying", tmp_path)
    assert len((run / "metrics.csv").read_text().splitlines()) == 9
    assert (run / "metrics.csv").read_text().splitlines()[2].endswith("," if kind == "nan" else ",0.5")
    watch.report(tmp_path / "page.html")


def test_an_infinite_last_validation_loss_is_a_divergence():
    watch = learn(mlp(), X, Y, steps=70)
    for loss in (math.nan, 1.0):  # the second call is about the same epoch
        watch.epoch(val_loss=loss)
    assert (len(watch.evidence().rows), watch.evidence().divergence) == (1, "")
    watch.epoch(val_loss=math.inf)
    assert watch.evidence().divergence == "diverged at epoch 1: val_loss is inf"


def test_a_saved_loop_is_replaced_on_request_alone(optilab, tmp_path):
    watch = learn(mlp(), X, Y, steps=70)
    path = watch.save("loop", tmp_path / "runs")
    watch.epoch(val_acc=0.5)
    with pytest.raises(RunError, match=r'choose another name: watch\.save\("loop-2"\), or overwrite=True$'):
        watch.save("loop", tmp_path / "runs")
    assert "val_acc" not in (path / "metrics.csv").read_text()
    assert watch.save("loop", tmp_path / "runs", overwrite=True) == path
    assert "val_acc" in (path / "metrics.csv").read_text()
    assert [file.name for file in path.parent.iterdir()] == ["loop"]
    watch.save("with-a-file", tmp_path / "runs").joinpath("model.pt").touch()
    optilab("optimize", "--algo", "adam", "--name", "path")
    (tmp_path / "runs" / "mine").mkdir()
    (tmp_path / "runs" / "link").symlink_to(path)
    before = sorted(file.name for file in (tmp_path / "runs").iterdir())
    for name in ("with-a-file", "path", "mine", "link"):
        with pytest.raises(RunError, match=r"overwrite=True replaces only a directory of watch\.save without"):
            watch.save(name, tmp_path / "runs", overwrite=True)
    assert sorted(file.name for file in (tmp_path / "runs").iterdir()) == before


def test_a_loop_is_compared_with_a_training(optilab, tmp_path):
    """Although its config does not say how many epochs it was to have."""
    watch = learn(mlp(), X, Y, steps=100)
    watch.epoch(val_loss=0.9, val_acc=0.6)
    watch.save("loop", tmp_path / "runs")
    changes = ["data.dataset=synthetic", "data.images=200", "model.hidden=[8]", "threads=1", "probes=0"]
    optilab(
        "train", "--config", "relu", "--epochs", 2, "--name", "it", *[a for c in changes for a in ("--set", c)]
    )
    assert "not the same epochs: 1, 2; --at 1" in optilab("runs", "compare", "loop", "it").stdout
    assert "verdict: " in optilab("report", "it", "loop").stdout
    assert "config.epochs" in optilab("runs", "diff", "it", "loop").stdout


def test_pictures_and_pages_of_a_loop(tmp_path):
    watch = learn(mlp(), X, Y, steps=100, target=False)
    assert watch.plot().axes
    assert watch.report(str(tmp_path / "page.html")).read_bytes().startswith(b"<!doctype html>")


def test_operations_and_layers_by_their_public_names():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    out = net[:4](torch.randn(3, 1, 6, 6))
    assert activation_before(out) == ("relu", False)
    assert activation_before(torch.tanh(net(torch.randn(3, 1, 6, 6)))) == ("tanh", True)
    assert operations(F.cross_entropy(net(torch.randn(3, 1, 6, 6)), torch.zeros(3).long()))[:2] == [
        "NllLoss",
        "LogSoftmax",
    ]
    assert [name for name, _ in layers_of(net)] == ["0", "1", "2", "3", "4"]
    parametrized = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    assert [name for name, _ in layers_of(parametrized)] == ["0"]


# --- other ways to train -------------------------------------------------------------------------------------


def test_a_step_that_computes_its_gradients_itself():
    net = mlp()
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=4)
    watch = optilab.watch(net, optimizer)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(X), Y)
        loss.backward()
        return loss

    for _ in range(30):
        watch.step(optimizer.step(closure), target=Y)
    evidence = watch.evidence()
    assert not evidence.loop["error"]
    assert all(
        layer["gradient_norm"] > 0 and layer["update_to_weight"] > 0 for layer in evidence.epochs[-1]["layers"]
    )
    assert names(watch) == []


COMPILERS = {
    "script": torch.jit.script,
    "script of a copy": lambda net: torch.jit.script(copy.deepcopy(net)),
    "script of a part": lambda net: torch.jit.script(nn.Sequential(*net[:3])),
    "trace": lambda net: torch.jit.trace(net, X[:4]),
    "export": lambda net: torch.export.export(net, (X[:4],)).graph_module,
    "strict export": lambda net: torch.export.export(net, (X[:4],), strict=True).graph_module,
}


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", COMPILERS)
def test_a_watched_network_compiles_to_the_same_program(name):
    """In a step that is looked into; the training and the watch go on."""
    programs, weights = [], []
    for watched in (False, True):
        torch.manual_seed(0)
        net = mlp()
        optimizer = torch.optim.Adam(net.parameters())
        watch = optilab.watch(net, optimizer) if watched else None
        for step in range(20):
            if step == 1:
                programs.append(COMPILERS[name](net).code)
            loss = F.cross_entropy(net(X), Y)
            zeroed_first(optimizer, loss)
            if watch:
                watch.step(loss, target=Y)
        weights.append(net.state_dict())
    assert programs[0] == programs[1]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    evidence = watch.evidence()
    assert (evidence.loop["error"], len(evidence.epochs[-1]["layers"])) == ("", 3)
    assert evidence.loop["samples"] >= 3
    watch.close()
    assert not any("__prepare_scriptable__" in vars(module) for module in net.modules())


@pytest.mark.parametrize("early", [False, True])
def test_a_step_inside_the_backward_pass_is_no_finding(early):
    """An optimizer for each parameter, as in PyTorch's tutorial; the hooks are there before the watch, or after."""
    net = mlp()
    optimizers = {parameter: torch.optim.Adam([parameter], 1e-2) for parameter in net.parameters()}

    def step(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    watch = None if early else optilab.watch(net, [*optimizers.values()])
    for parameter in net.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    watch = watch or optilab.watch(net, [*optimizers.values()])
    for number in range(100):
        here = torch.arange(16 * number, 16 * number + 16) % len(X)
        loss = F.cross_entropy(net(X[here]), Y[here])
        loss.backward()
        watch.step(loss, target=Y[here])
    assert watch.diagnosis().findings == []


def test_a_network_whose_outputs_another_network_takes_is_no_finding():
    net, head = mlp(), nn.Linear(3, 3)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], 1e-2)
    watch = optilab.watch(net, optimizer)
    for number in range(100):
        here = torch.arange(16 * number, 16 * number + 16) % len(X)
        loss = F.cross_entropy(head(net(X[here])), Y[here])
        zeroed_first(optimizer, loss)
        watch.step(loss, target=Y[here])
    assert watch.diagnosis().findings == []


class Magnitude(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()


@pytest.mark.parametrize("kind", ["lazy", "complex", "complex outputs"])
def test_lazy_and_complex_layers_are_watched(kind, recwarn):
    number = torch.complex64
    layers = {
        "lazy": lambda: [nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(3)],
        "complex": lambda: [nn.Linear(6, 16, dtype=number), Magnitude(), nn.Linear(16, 3)],
        "complex outputs": lambda: [nn.Linear(6, 3, dtype=number)],
    }[kind]
    loss = (lambda out, y: F.cross_entropy(out.abs(), y)) if kind == "complex outputs" else F.cross_entropy
    watch = learn(nn.Sequential(*layers()), X if kind == "lazy" else X.to(number), Y, loss=loss, lr=1e-2)
    evidence = watch.evidence()
    assert evidence.loop["error"] == ""
    assert all(layer["gradient_norm"] > 0 for layer in evidence.epochs[-1]["layers"])
    assert all(0 < layer["update_to_weight"] < 1 for layer in evidence.epochs[-1]["layers"])
    assert not [one for one in recwarn if "imaginary" in str(one.message)]


def test_two_networks_that_are_trained_against_each_other():
    """Gradients of the generator's loss are in the discriminator when its step begins, until they are zeroed."""
    generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    judge = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3) for net in (generator, judge)]
    watches = [optilab.watch(*pair) for pair in zip((generator, judge), optimizers, strict=True)]
    for _ in range(100):
        real, fake = torch.randn(32, 2) + 2, generator(torch.randn(32, 4))
        for number, inputs in ((1, (fake.detach(), real)), (0, (fake,))):
            loss = sum(
                (F.softplus(judge(x) * (1 if x is inputs[0] else -1)).mean() for x in inputs), torch.zeros(())
            )
            loss = F.softplus(-judge(fake)).mean() if number == 0 else loss
            optimizers[number].zero_grad()
            loss.backward()
            optimizers[number].step()
            watches[number].step(loss)
    assert not any(watch.evidence().loop["error"] for watch in watches)
    assert [names(watch) for watch in watches] == [[], []]


def test_what_a_compiled_network_hides_is_said():
    net = torch.compile(mlp(), backend="eager")  # which compiles nothing before it is called
    watch = optilab.watch(net, torch.optim.Adam(net.parameters()))
    watch.step(1.0)
    assert "torch.compile hides the layers' outputs" in str(watch.diagnosis())
    assert "torch.compile" not in str(learn(mlp(), X, Y, steps=3).diagnosis())


def test_tied_weights_groups_clipping_and_a_schedule_are_no_finding():
    net = nn.Sequential(nn.Embedding(12, 16), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 12, bias=False))
    net[3].weight = net[0].weight
    optimizer = torch.optim.Adam(
        [{"params": [net[0].weight]}, {"params": net[1].parameters(), "lr": 5e-3}], lr=1e-2
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    ids = torch.randint(0, 12, (64, 10))
    watch = optilab.watch(net, optimizer)
    for number in range(200):
        x = ids[number % 4 :: 4]
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x).flatten(0, 1), x.flatten() // 2)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        watch.step(loss, target=x // 2)
    layers = watch.evidence().epochs[-1]["layers"]
    assert [layer["name"] for layer in layers] == ["0", "1", "3"]
    assert layers[0]["weight_norm"] == layers[2]["weight_norm"]
    assert watch.diagnosis().findings == []
    assert str(watch.diagnosis()).splitlines()[-1].startswith("healthy: training accuracy")


@pytest.mark.release  # the compiler starts
def test_a_compiled_network_has_no_outputs_but_all_else():
    net = torch.compile(mlp(), backend="eager")
    watch = learn(net, X, Y, steps=80, lr=1e-2)
    layers = watch.evidence().epochs[-1]["layers"]
    assert [layer["name"] for layer in layers] == ["0", "2", "4"]
    assert all(layer["gradient_norm"] > 0 and layer["activation_std"] is None for layer in layers)
    assert names(watch) == []
