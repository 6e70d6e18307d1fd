"""`optilab.watch` in loops of plain PyTorch: it changes nothing, measures every kind of layer, and finds bugs."""

import copy
import dataclasses
import functools
import gc
import json
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import optilab
from optilab.diagnose import CHECKS, Finding, Severity, diagnose
from optilab.diagnose.verdict import sentence
from optilab.loop.loss import has_compiled


@pytest.fixture(autouse=True)
def _seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


# --- loops ---------------------------------------------------------------------------------------------------

RNG = torch.Generator().manual_seed(2)
MANY = torch.randn(600, 6, generator=RNG)
LABELS = (MANY[:, 0] > 0).long() + (MANY[:, 1] > 0).long()
NOISE = torch.randint(0, 3, (600,), generator=RNG)
FLIPPED = torch.where(torch.rand(600, generator=RNG) < 0.3, NOISE, LABELS)
X, Y = MANY[:200], LABELS[:200]
FRESH = torch.randn(4000, 6, generator=RNG), torch.randint(0, 3, (4000,), generator=RNG)
"""More samples than a loop takes, with labels that say nothing about them."""
TEXT = torch.randint(1, 3, (200, 13), generator=torch.Generator().manual_seed(0)).cumsum(1) % 7


def zeroed_first(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def adam(lr=1e-2, **settings):
    return lambda parameters: torch.optim.Adam(parameters, lr=lr, **settings)


def sgd(lr, **settings):
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, **settings)


QUICK = adam()


def learn(
    net, x=X, y=Y, *, steps=70, batch=16, made=torch.optim.Adam, step=zeroed_first, loss=F.cross_entropy, target=True,
    schedule=None, held_out=None, modes=(True, False), watched=True, bare=False,
):  # fmt: skip
    """The watch of a user's loop; `step(optimizer, loss)` is what it does with a loss.

    With `bare` the watch gets the losses as numbers, and the targets only where it says so. `schedule(step)` multiplies
    the learning rate; `held_out` is validated after each pass over x, where the network is in the second of `modes`.
    """
    optimizer = made(net.parameters())
    watch = optilab.watch(net, optimizer) if watched else None
    rates = schedule and torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    for number in range(steps):
        here = torch.arange(number * batch, (number + 1) * batch) % len(x)
        if held_out:
            net.train(modes[0])
        value = loss(net(x[here]), y[here])
        step(optimizer, value)
        if rates:
            rates.step()
        if watch and bare:
            watch.step(value.item(), target=y[here] if bare == "with targets" else None)
        elif watch:
            watch.step(value, target=y[here] if target else None)
        if held_out and (number + 1) * batch % len(x) < batch:
            net.train(modes[1])
            with torch.no_grad():
                out = net(held_out[0])
                accuracy = (out.argmax(1) == held_out[1]).float().mean() if out.ndim == 2 else None
                if watch:
                    watch.epoch(val_loss=loss(out, held_out[1]), val_acc=accuracy)
    return watch


longer = functools.partial(learn, steps=200, made=QUICK)


def validated(net, y=LABELS, epochs=12, batch=20, size=300, made=QUICK, **keys):
    """A loop that validates after each epoch."""
    held_out = MANY[300:], y[300:]
    return learn(
        net, MANY[:size], y[:size], held_out=held_out, batch=batch, steps=epochs * size // batch, made=made, **keys
    )


def names(watch):
    return [finding.name for finding in watch.diagnosis().findings if finding.severity > Severity.INFO]


def mlp(*end):
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3), *end)


def score():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))


def relu(norm=None, drop=None):
    return nn.Sequential(
        nn.Linear(6, 32), norm or nn.Identity(), nn.ReLU(), drop or nn.Identity(), nn.Linear(32, 3)
    )


def deep():
    layers = [part for _ in range(8) for part in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(nn.Linear(6, 16), nn.Sigmoid(), *layers, nn.Linear(16, 3))


def spoiled(change):
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            change(layer)
    return net


class Called(nn.Module):
    """A network whose forward pass is a function of it: one line for each odd network of this file."""

    def __init__(self, forward, **modules) -> None:
        super().__init__()
        self.call = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *inputs, **keywords):
        return self.call(self, *inputs, **keywords)


def last(rnn):
    """A recurrent layer whose last output decides."""
    return Called(lambda net, x: net.head(net.rnn(x)[0][:, -1]), rnn=rnn, head=nn.Linear(rnn.hidden_size, 3))


def first_of(out):
    return out[0] if isinstance(out, tuple) else out


def words(layer, norm=False):
    """A language model of seven tokens: an embedding, a layer over time, a head."""

    def forward(net, x):
        x = net.norm(net.embed(x).transpose(1, 2)).transpose(1, 2)
        return net.head(first_of(net.layer(x)))

    norm = nn.BatchNorm1d(8) if norm else nn.Identity()
    return Called(forward, embed=nn.Embedding(7, 8), layer=layer, head=nn.Linear(8, 7), norm=norm)


def steps_of(layer, swap=False, each=False):
    """A layer over sequences, whose inputs may be (time, batch, features), and outputs one, or one for each step."""

    def forward(net, x):
        out = net.head(first_of(net.layer(x.transpose(0, 1) if swap else x)))
        return out if each else out.mean(0 if swap else 1)

    return Called(forward, layer=layer, head=nn.Linear(8, 3))


def apart(train=True, frozen=False):
    """A body that runs without gradients: on purpose where it is frozen, or in eval mode."""

    def forward(net, x):
        with torch.no_grad():
            x = net.body(x)
        return net.head(torch.relu(x))

    body = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16)).train(train).requires_grad_(not frozen)
    return Called(forward, body=body, head=nn.Linear(16, 3))


def in_a_list(trained):
    """Hidden layers that `parameters()` does not have."""
    layers = [nn.Linear(16, 16).requires_grad_(trained), nn.Linear(16, 16).requires_grad_(trained)]
    return Called(
        lambda net, x: net.head(net.layers[1](net.layers[0](net.body(x).relu()).relu()).relu()),
        layers=layers,
        body=nn.Linear(6, 16),
        head=nn.Linear(16, 3),
    )


def alike(kind):
    net = last(kind(6, 8, batch_first=True))
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(0.03)
    return net


def autocast():
    def forward(net, x):
        with torch.autocast("cpu", torch.bfloat16):
            return net.net(x)

    return Called(forward, net=mlp())


def tied():
    net = nn.Sequential(nn.Embedding(7, 16), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 7, bias=False))
    net[3].weight = net[0].weight
    return net


def rare(fraction, lr, steps=150):
    """The first loss is far above the chance level, and most batches have one class."""
    x = torch.randn(1000, 6)
    return learn(mlp(), x, (x[:, 0] > x[:, 0].quantile(1 - fraction)).long(), steps=steps, made=adam(lr))


def squeezed(loss):
    return lambda out, y: loss(out.squeeze(1), y)


def of_words(out, y):
    return F.cross_entropy(out.flatten(0, 1), y.flatten())


def ignoring(out, y):
    """A fifth of the labels is not known, and is 255, as in segmentation."""
    return F.cross_entropy(out, y, ignore_index=255)


def never_zeroed(optimizer, loss):
    loss.backward()
    optimizer.step()


def never_stepped(optimizer, loss):
    loss.backward()


def never_backward(optimizer, loss):
    optimizer.zero_grad()
    optimizer.step()


def zeroed_too_late(set_to_none):
    def step(optimizer, loss):
        loss.backward()
        optimizer.zero_grad(set_to_none=set_to_none)
        optimizer.step()

    return step


def clipped(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()


def accumulated(every, zeroed=False):
    """One step for `every` batches, whose gradients are added up, or all but the last are lost."""
    seen = []

    def step(optimizer, loss):
        if zeroed or len(seen) % every == 0:
            optimizer.zero_grad()
        seen.append(1)
        (loss / every).backward()
        if len(seen) % every == 0:
            optimizer.step()

    return step


def together(parameters):
    """Two optimizers that hold a model together."""
    first, second, *others = parameters
    return [torch.optim.Adam([first, second], 1e-2), torch.optim.SGD(others, 0.1)]


def both_stepped(optimizers, loss):
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()


def lbfgs():
    """A step that computes its gradients itself."""
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
    return watch


def stepped_in_backward(early):
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
    for here in torch.arange(1600).remainder(len(X)).split(16):
        loss = F.cross_entropy(net(X[here]), Y[here])
        loss.backward()
        watch.step(loss, target=Y[here])
    return watch


def adversarial(watched):
    """Gradients of the generator's loss are in the critic when its step begins, until they are zeroed."""
    generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    nets = generator, critic
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3) for net in nets]
    watches = [optilab.watch(*pair) for pair in zip(nets, optimizers, strict=True)]
    for _ in range(100):
        real, fake = torch.randn(32, 2) + 2, generator(torch.randn(32, 4))
        loss = F.softplus(critic(fake.detach())).mean() + F.softplus(-critic(real)).mean()
        zeroed_first(optimizers[1], loss)
        watches[1].step(loss)
        loss = F.softplus(-critic(fake)).mean()
        zeroed_first(optimizers[0], loss)
        watches[0].step(loss)
    return watches[watched]


def watched_apart(optimized, watched, head=nn.Identity, forget=None):
    """A loop whose watch and optimizer do not have all of the same network."""
    net, head = mlp(), head()
    optimizer = adam()([*optimized(net), *head.parameters()])
    watch = optilab.watch(watched(net), optimizer)
    for number in range(100):
        if number == forget:  # the network is made again
            net = mlp()
            optimizer = adam()(net.parameters())
        here = torch.arange(16 * number, 16 * number + 16) % len(X)
        loss = F.cross_entropy(head(net(X[here])), Y[here])
        zeroed_first(optimizer, loss)
        watch.step(loss, target=Y[here])
    return watch


def out_of_scale_when_validated(scale):
    with torch.no_grad():
        net = mlp()
        net(torch.zeros(1, 6))  # which finds out shapes
    return longer(net, X * 0.5 + 1, steps=100, batch=10, held_out=(scale * (X * 0.5 + 1), Y))


def rate_of_zero():
    """A schedule of epochs that has taken the rate to zero."""
    return learn(
        mlp(),
        steps=100,
        batch=20,
        made=sgd(1e-4),
        schedule=lambda step: max(0.0, 1 - step // 10 / 3),
        held_out=(X, Y),
    )


def in_modes(drop, training, validation):
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), drop, nn.Linear(16, 3))
    return longer(net, steps=120, held_out=(X, Y), modes=(training, validation))


FRAMES = X[:, None].expand(-1, 9, -1)
AT_RANDOM = {"x": FRESH[0], "y": FRESH[1]}
STILL = torch.randn(64, 9, 8, generator=RNG)


def transformer(size, first, dropout=0.1):
    return nn.TransformerEncoderLayer(size, 2, 8, batch_first=first, dropout=dropout)


def encoder(size, width, batch_first):
    return nn.TransformerEncoderLayer(size, 2, width, batch_first=batch_first)


def over_time(layer, first, swap, batch=16):
    return learn(steps_of(layer(8, 8, batch_first=first), swap), STILL, Y[:64], steps=20, batch=batch)


def entropy_of_probabilities(out, y):
    """Cross-entropy by its formula, which is nan as soon as a probability is rounded to 0 or 1."""
    p = torch.sigmoid(40 * out[:, 0])
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def negative(outputs=1):
    """A layer whose first output is below zero for all samples."""
    layer = nn.Linear(6, outputs)
    with torch.no_grad():
        layer.bias[0] = -20.0
    return layer


@pytest.fixture(autouse=True)
def _nothing_compiled():
    """Nothing that another test has compiled keeps a watch from seeing the loss, and no mode stays."""
    if has_compiled():
        torch.compiler.reset()
    yield
    gc.collect()
    assert not torch._C._len_torch_function_stack()


LOOPS = {
    "vanishing-through-time: 40 steps of an RNN": lambda: learn(
        last(nn.RNN(6, 8, batch_first=True)), torch.randn(200, 40, 6), steps=100
    ),
    "validation-out-of-scale: validated with other inputs": lambda: out_of_scale_when_validated(255),
    "healthy: validated with the same inputs": lambda: out_of_scale_when_validated(1),
    "healthy: numbers with targets": lambda: learn(mlp(), held_out=(X, Y), steps=200, bare="with targets"),
    "loss-not-finite: 0*log(0) of a network that has learned": lambda: learn(
        score(), steps=600, y=(X[:, 0] > 0).float(), loss=entropy_of_probabilities
    ),
    "loss-not-finite: the logarithm of an output": lambda: learn(score(), loss=lambda out, y: -out.log().mean()),
    "loss-not-finite: a mean over nothing": lambda: learn(
        Called(
            lambda net, x: net.head(net.body(x).sum(1, keepdim=True) / 0),
            body=nn.Linear(6, 8),
            head=nn.Linear(1, 3),
        )
    ),
    "batch-as-time: sequences of a batch": lambda: longer(last(nn.LSTM(6, 8)), FRAMES, steps=300),
    "no-causal-mask: no causal mask": lambda: learn(
        words(transformer(8, True)), TEXT[:, :-1], TEXT[:, 1:], loss=of_words
    ),
    "gradients-not-zeroed: never zeroed": lambda: learn(mlp(), step=never_zeroed),
    "no-optimizer-step: never stepped": lambda: learn(mlp(), step=never_stepped),
    "no-optimizer-step: zeroed before the step": lambda: learn(mlp(), step=zeroed_too_late(True)),
    "no-optimizer-step: set to 0 before the step": lambda: learn(mlp(), step=zeroed_too_late(False)),
    "no-optimizer-step: no backward pass": lambda: learn(mlp(), step=never_backward),
    "softmax-twice: softmax before cross-entropy": lambda: learn(mlp(nn.Softmax(1))),
    "logits-as-probabilities: relu before cross-entropy": lambda: learn(
        mlp(nn.ReLU()), y=torch.where(X[:, 2] > 0, Y, 1), steps=300
    ),
    "logits-as-probabilities: logits in nll_loss": lambda: longer(mlp(), loss=F.nll_loss),
    "graph-cut: detached": lambda: learn(
        Called(
            lambda net, x: net.head(torch.relu(net.body(x)).detach()), body=nn.Linear(6, 16), head=nn.Linear(16, 3)
        )
    ),
    "graph-cut: outputs detached": lambda: learn(
        mlp(), loss=lambda out, y: F.cross_entropy(out.detach().requires_grad_(), y)
    ),
    "graph-cut: the loss as a new tensor": lambda: learn(
        mlp(), loss=lambda out, y: torch.tensor(F.cross_entropy(out, y).item(), requires_grad=True)
    ),
    "graph-cut: a body under no_grad": lambda: longer(apart()),
    "same-batch: one batch": lambda: learn(mlp(), X[:16], Y[:16]),
    "batches-sorted-by-class: sorted by class": lambda: learn(
        mlp(), X[Y.argsort()], Y.sort().values, batch=8, steps=300
    ),
    "one-class: one class": lambda: learn(mlp(), y=Y * 0 + 1),
    "non-finite-data: NaN in the data": lambda: learn(mlp(), torch.where(X > 2, torch.nan, X), batch=100),
    "non-finite-data: NaN in each batch": lambda: learn(mlp(), torch.full_like(X, torch.nan), batch=100),
    "inputs-out-of-scale: tiny inputs": lambda: learn(mlp(), X * 1e-4),
    "learning-rate-too-high: rate 10": lambda: learn(mlp(), made=adam(10.0), steps=200),
    "learning-rate-too-high: rate 30 and a rare class": lambda: rare(0.05, 30.0),
    "learning-rate-too-low: rate 1e-8": lambda: learn(mlp(), made=adam(1e-8), steps=200),
    "loss-is-a-sum: a sum of losses": lambda: learn(
        mlp(), y=NOISE[:200], loss=lambda out, y: F.cross_entropy(out, y, reduction="sum")
    ),
    "shapes-broadcast: a difference that is written out, without targets": lambda: learn(
        score(), y=X[:, 1], loss=lambda output, target: ((output - target) ** 2).mean(), target=False
    ),
    "shapes-broadcast: predictions (16, 1), targets (16,)": lambda: learn(
        score(), y=X[:, 0], loss=lambda out, y: ((out - y) ** 2).mean()
    ),
    "optimizer-of-another-model: an optimizer of another network": lambda: watched_apart(
        lambda net: mlp().parameters(), lambda net: net
    ),
    "parameters-not-in-optimizer: an optimizer of the last layer": lambda: watched_apart(
        lambda net: net[4].parameters(), lambda net: net
    ),
    "parameters-not-in-optimizer: layers in a list": lambda: longer(in_a_list(trained=True)),
    "healthy: layers in a list that nothing trains on purpose": lambda: longer(in_a_list(trained=False)),
    "no-optimizer-step: a network that is made again": lambda: watched_apart(
        lambda net: net.parameters(), lambda net: net, forget=30
    ),
    "eval-mode-in-training: trained in eval mode": lambda: in_modes(nn.Dropout(0.2), False, False),
    "train-mode-in-validation: validated in train mode": lambda: in_modes(nn.Dropout(0.2), True, True),
    "labels-unrelated: random labels of new samples": lambda: learn(mlp(), **AT_RANDOM, steps=200),
    "no-optimizer-step: all but one gradient in 32 lost": lambda: longer(
        mlp(), **AT_RANDOM, step=accumulated(32, zeroed=True), steps=320
    ),
    "no-optimizer-step: all but one gradient in 8 lost": lambda: longer(
        mlp(), **AT_RANDOM, step=accumulated(8, zeroed=True), steps=320
    ),
    "learning-rate-decayed: warm-up that does not end": lambda: longer(
        mlp(), MANY, LABELS, batch=50, steps=100, schedule=lambda step: (step + 1) / 1e6
    ),
    "learning-rate-zero: a rate of 0": rate_of_zero,
    **{
        f"{'healthy' if swap != first else 'batch-as-time'}: {layer.__name__}, swap={swap}, first={first}, {batch}": (
            functools.partial(over_time, layer, first, swap, batch)
        )
        for layer, batch in ((nn.GRU, 16), (nn.GRU, 2), (encoder, 16))
        for swap in (False, True)
        for first in (False, True)
    },
    "symmetric-init: units alike": lambda: validated(
        spoiled(lambda layer: (layer.weight.fill_(0.1), layer.bias.zero_()))
    ),
    "symmetric-init: gates of an LSTM": lambda: longer(alike(nn.LSTM), FRAMES, steps=120),
    "symmetric-init: gates of a GRU": lambda: longer(alike(nn.GRU), FRAMES, steps=120),
    "symmetric-init: an RNN": lambda: longer(alike(nn.RNN), FRAMES, steps=120),
    "dead-units: biases of -20": lambda: validated(spoiled(lambda layer: layer.bias.fill_(-20.0))),
    "weights-too-large: weights times 60": lambda: validated(
        spoiled(lambda layer: layer.weight.mul_(60)), epochs=2
    ),
    "vanishing-gradient: ten sigmoid layers": lambda: validated(deep(), made=sgd(0.05)),
    "weight-decay-too-strong: weight decay 2": lambda: validated(mlp(), made=sgd(0.1, weight_decay=2.0)),
    "eps-dominates: eps 100": lambda: validated(mlp(), made=adam(eps=100.0)),
    "dropout-too-strong: dropout 97%": lambda: validated(relu(drop=nn.Dropout(0.97))),
    "batch-norm-small-batch: batch norm of two samples": lambda: validated(
        relu(norm=nn.BatchNorm1d(32)), batch=2, epochs=4
    ),
    "learning-rate-decayed: rate divided by 5 after each epoch": lambda: validated(
        mlp(), made=sgd(0.05), schedule=lambda step: 0.2 ** (step // 15)
    ),
    "labels-unrelated: a loss of other labels": lambda: validated(
        mlp(), loss=lambda out, y: F.cross_entropy(out, (y + 1) % 3)
    ),
    "labels-unrelated: random labels": lambda: validated(relu(), NOISE, epochs=40),
    "too-few-images: 60 samples": lambda: validated(mlp(), NOISE, size=60, epochs=60),
    "constant-outputs: a softmax over one output": lambda: learn(
        nn.Sequential(score(), nn.Softmax(1)), y=(X[:, :1] > 0).float(), loss=F.mse_loss
    ),
    "constant-outputs: a softmax over the batch": lambda: learn(
        nn.Sequential(mlp(), nn.Softmax(0)), loss=lambda p, y: F.nll_loss(p.clamp(1e-7, 1).log(), y)
    ),
    "constant-outputs: a dead ReLU at the end": lambda: learn(
        nn.Sequential(negative(), nn.ReLU()), y=X[:, :1] + 3, loss=F.mse_loss
    ),
    "constant-outputs: a ReLU that holds classes at zero": lambda: learn(
        nn.Sequential(negative(3), nn.ReLU()), y=F.one_hot(Y, 3).float(), loss=F.mse_loss
    ),
    "constant-outputs: a table whose rows are equal": lambda: learn(mlp(), x=torch.ones(len(X), 6), batch=24),
    "constant-outputs: equal images": lambda: learn(
        nn.Sequential(nn.Flatten(), mlp()), x=torch.rand(1, 2, 3).repeat(len(X), 1, 1), batch=24
    ),
    "targets-out-of-reach: a sigmoid before targets around -10": lambda: learn(
        nn.Sequential(score(), nn.Sigmoid()), y=X[:, :1] - 10, loss=F.mse_loss, target=False
    ),
    "targets-out-of-reach: a tanh before an error that is written out": lambda: learn(
        nn.Sequential(score(), nn.Tanh()), y=5 * X[:, :1], loss=lambda out, y: ((out - y) ** 2).mean()
    ),
    "targets-out-of-reach: a softmax before several labels": lambda: learn(
        nn.Sequential(mlp(), nn.Softmax(1)), y=(X[:, :3] > 0).float(), loss=F.mse_loss
    ),
    "labels-out-of-range: labels 1 and 2 of a binary loss": lambda: learn(
        score(), y=(X[:, :1] > 0).float() + 1, loss=F.binary_cross_entropy_with_logits, target=False
    ),
    "logits-as-probabilities: the logarithm of a clamped ReLU": lambda: learn(
        nn.Sequential(mlp(), nn.ReLU()), loss=lambda p, y: F.nll_loss(p.clamp(1e-7, 1).log(), y)
    ),
    "targets-out-of-scale: prices": lambda: learn(score(), y=1e5 + 1e4 * X[:, :1], loss=F.mse_loss),
    "inputs-out-of-scale: one column of a table": lambda: learn(
        score(), x=X * torch.tensor([1e4, 1, 1, 1, 1, 1]), y=X[:, 1:2] * X[:, 2:3], loss=F.mse_loss, steps=200
    ),
    "one-class: all targets of a regression are the same": lambda: learn(
        score(), y=torch.full((len(X), 1), 14.0), loss=F.mse_loss
    ),
    "learning-rate-too-low: a regression of steps below 3e-4": lambda: learn(
        score(), y=5 * X[:, :1], loss=F.mse_loss, steps=400, made=lambda p: torch.optim.SGD(p, 1e-5)
    ),
    "overfitting: 30% of labels wrong": lambda: validated(spoiled(lambda layer: None), FLIPPED, epochs=50),
    "healthy: healthy": lambda: longer(mlp(), steps=300),
    "healthy: bare numbers": lambda: longer(mlp(), steps=300, bare=True),
    "learning-rate-too-high: dead after a loss of millions, bare numbers": lambda: learn(
        mlp(), X * 1e6, made=adam(3.0), steps=200, bare=True
    ),
    "labels-unrelated: the loss of guessing, bare numbers": lambda: learn(
        mlp(), **AT_RANDOM, steps=200, bare=True
    ),
    "healthy: 1% of one class": lambda: rare(0.01, 1e-2),
    "learning-rate-too-low: 1e-5 and a rare class": lambda: rare(0.1, 1e-5),
    "healthy: a language model, and samples that a norm mixes": lambda: longer(
        words(nn.LSTM(8, 8, batch_first=True), norm=True), TEXT[:, :-1], TEXT[:, 1:], loss=of_words
    ),
    "healthy: an ignored label": lambda: longer(
        mlp(), y=torch.where(torch.arange(200) % 5 == 0, 255, Y), loss=ignoring, steps=300
    ),
    "healthy: gradients of 4 batches added": lambda: longer(mlp(), step=accumulated(4)),
    "healthy: gradients of 32 batches added": lambda: longer(
        mlp(), MANY, LABELS, step=accumulated(32), steps=1920
    ),
    "healthy: no targets": lambda: longer(mlp(), target=False),
    "healthy: log_softmax before nll_loss": lambda: longer(mlp(nn.LogSoftmax(1)), loss=F.nll_loss),
    "healthy: autocast": lambda: longer(autocast()),
    "healthy: squeezed after the network": lambda: longer(score(), y=X[:, 0], loss=squeezed(F.mse_loss)),
    "healthy: targets with a second axis": lambda: longer(
        score(), y=X[:, 0], loss=lambda out, y: ((out - y[:, None]) ** 2).mean()
    ),
    "healthy: squeezed logits": lambda: longer(
        score(), y=(X[:, 0] > 0).float(), loss=squeezed(F.binary_cross_entropy_with_logits)
    ),
    "healthy: a body under no_grad in eval mode": lambda: longer(apart(train=False)),
    "healthy: two optimizers": lambda: learn(mlp(), made=together, step=both_stepped),
    "healthy: dropout 0, trained in eval mode": lambda: in_modes(nn.Dropout(0.0), False, False),
    "healthy: dropout 0, validated in train mode": lambda: in_modes(nn.AlphaDropout(0.0), True, True),
    "healthy: dropout 0 in attention": lambda: in_modes(transformer(16, False, 0.0), True, True),
    "healthy: large inputs that are learned": lambda: longer(mlp(), 40 * MANY, LABELS, steps=600),
    "healthy: lbfgs": lbfgs,
    "healthy: steps in the backward pass": lambda: stepped_in_backward(early=False),
    "healthy: steps in the backward pass before the watch": lambda: stepped_in_backward(early=True),
    "healthy: outputs that another network takes": lambda: watched_apart(
        lambda net: net.parameters(), lambda net: net, head=lambda: nn.Linear(3, 3)
    ),
    "healthy: a generator": lambda: adversarial(0),
    "healthy: a critic": lambda: adversarial(1),
    "healthy: tied weights, clipping and a schedule": lambda: longer(
        tied(), TEXT, TEXT, loss=of_words, step=clipped, schedule=lambda step: 1 - step / 200
    ),
}
"""Loops by their first finding, or `healthy`, and what is special."""


@pytest.mark.parametrize("name", LOOPS)
def test_first_finding_of_a_loop(name):
    watch = LOOPS[name]()
    assert not watch.evidence().loop.error
    findings = [finding for finding in watch.diagnosis().findings if finding.severity > Severity.INFO]
    assert [finding.name for finding in findings][:1] == [name.split(":")[0]] * (not name.startswith("healthy"))
    assert all(finding.remedy for finding in findings[:1])


@pytest.mark.parametrize(
    ("name", "loop"),
    [
        (
            "regression-of-classes",
            lambda: learn(score(), y=Y[torch.randperm(len(Y))].float()[:, None], loss=F.mse_loss),
        ),
        (
            "no-nonlinearity",
            lambda: learn(nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)), y=Y[torch.randperm(len(Y))]),
        ),
        ("training-too-short", lambda: learn(mlp(), steps=100, made=lambda p: torch.optim.SGD(p, 0.1))),
    ],
)
def test_note_about_a_loop(name, loop):
    torch.manual_seed(0)
    findings = loop().diagnosis().findings
    assert [(finding.name, finding.severity) for finding in findings if finding.name == name] == [
        (name, Severity.INFO)
    ]


def test_every_cause_is_found_in_a_loop():
    note = {"loss-without-graph", "regression-of-classes", "no-nonlinearity", "training-too-short"}
    assert {name.split(":")[0] for name in LOOPS} - {"healthy"} | note == {check.name for check in CHECKS}


def test_a_cause_is_named_before_what_it_causes():
    """Saturated units of gradients that added up are a note: no other initialization or rate is proposed."""
    layers = [part for n in range(3) for part in (nn.Linear(64 if n else 20, 64), nn.Sigmoid())]
    x = torch.randn(256, 20)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    net = nn.Sequential(*layers, nn.Linear(64, 4))
    first, *others = learn(net, x, y, made=sgd(0.1), batch=32, steps=96, step=never_zeroed).diagnosis().findings
    assert first.name == "gradients-not-zeroed"
    assert {"learning-rate-too-high", "weights-too-large"} & {finding.name for finding in others}
    assert all(finding.severity is Severity.INFO and not finding.remedy for finding in others)


@pytest.mark.parametrize("change", [torch.Tensor.item, torch.Tensor.detach, torch.Tensor.mean])
def test_a_loss_without_operations_is_a_note(change):
    model = mlp()
    watch = optilab.watch(model)
    watch.step(change(F.cross_entropy(model(X[:16]), Y[:16])), target=Y[:16])
    names = [finding.name for finding in watch.diagnosis().findings]
    assert ("loss-without-graph" in names) == (change is not torch.Tensor.mean)


def test_a_softmax_before_the_last_layer_is_none_of_the_loss():
    """Also where the last layer has no bias, through which the graph's first inputs lead on."""
    net = nn.Sequential(nn.Linear(6, 16), nn.Sigmoid(), nn.Linear(16, 3, bias=False))
    diagnosis = learn(net).diagnosis()
    assert diagnosis.evidence.loop.loss_path[:3] == ["NllLoss", "LogSoftmax", "Mm"]
    assert "softmax-twice" not in [finding.name for finding in diagnosis.findings]


@pytest.mark.parametrize("several", [True, False])
def test_a_loss_of_real_and_generated_samples_has_two_classes(several):
    """The critic of a GAN has a call for each."""

    def loss(logits, _):
        real, made = logits.chunk(2)
        first = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
        return first + F.binary_cross_entropy_with_logits(made, torch.zeros_like(made)) if several else first

    findings = learn(score(), loss=loss, target=False).diagnosis().findings
    assert ("one-class" in [finding.name for finding in findings]) != several


def test_steps_that_are_too_large_say_nothing_about_labels():
    e = longer(mlp(), *FRESH).evidence()
    for factor, expected in ((1, True), (100, False)):
        epochs = [
            {
                **line,
                "layers": [
                    {**layer, "update_to_weight": factor * layer["update_to_weight"]} for layer in line["layers"]
                ],
            }
            for line in e.epochs
        ]
        findings = diagnose(dataclasses.replace(e, diagnostics=[e.start, *epochs]))
        assert ("labels-unrelated" in [finding.name for finding in findings]) == expected


def test_sixty_steps_say_nothing_about_labels():
    """Not even in a training that is no probe run."""
    e = longer(mlp(), *FRESH).evidence()
    for steps, expected in ((61, True), (60, False)):
        start = {**e.diagnostics[0], "loop": {**dataclasses.asdict(e.loop), "steps": steps}}
        findings = diagnose(dataclasses.replace(e, diagnostics=[start, *e.diagnostics[1:]]))
        assert ("labels-unrelated" in [finding.name for finding in findings]) == expected


@pytest.mark.parametrize("scale", [0.1, 1, 10])
def test_a_loss_is_knowledge_only_beyond_its_error(scale):
    loss = squeezed(F.mse_loss)
    e = learn(score(), y=scale * torch.randn(200), loss=loss, made=adam(1e-6)).evidence()
    for factor, knows in ((0.85, False), (0.4, True)):
        rows = [{"epoch": 1, "train_loss": e.chance_loss, "val_loss": factor * e.chance_loss}]
        assert dataclasses.replace(e, rows=rows).beats_chance == knows


def test_accuracy_is_not_compared_with_a_loss():
    """Labels that are known in half of the cases: accuracy 75%, and little of the loss is gone."""
    x, half = FRESH[0][:900], torch.rand(900) < 0.5
    y = torch.where(half, 0, 1 + (x[:, 0] > 0).long())
    net = mlp()
    optimizer = adam()(net.parameters())
    watch = optilab.watch(net, optimizer)
    for _ in range(5):
        for here in torch.randperm(600).split(20):
            loss = F.cross_entropy(net(x[here]), y[here])
            zeroed_first(optimizer, loss)
            watch.step(loss, target=y[here])
        with torch.no_grad():
            watch.epoch(val_loss=F.cross_entropy(net(x[600:]), y[600:]))
    evidence = watch.evidence()
    gone = 1 - evidence.validation_loss / evidence.validation_chance_loss
    assert evidence.skill == evidence.accuracy == pytest.approx(gone)
    assert abs(evidence.accuracy_gap) < 0.1 < evidence.training_accuracy - evidence.accuracy
    assert names(watch) == []


# --- it changes nothing --------------------------------------------------------------------------------------


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


def raw():
    """A recurrent layer on raw inputs, and dropout, whose random numbers the watch must not draw."""
    rnn = nn.RNN(5, 8, batch_first=True)
    return Called(
        lambda net, x: net.head(net.drop(net.rnn(x)[0][:, -1])),
        rnn=rnn,
        drop=nn.Dropout(0.5),
        head=nn.Linear(8, 4),
    )


def test_weights_are_equal_to_the_bit():
    for build, x in ((Everything, torch.randint(0, 9, (64, 12))), (raw, torch.randn(64, 12, 5))):
        y = torch.randint(0, 4, (64,))
        weights = []
        for watched in (False, True):
            torch.manual_seed(3)
            net = build()
            watch = learn(net, x, y, held_out=(x[:20], y[:20]), watched=watched)
            weights.append(net.state_dict())
            assert not watch or (watch.evidence().loop.error, len(watch.evidence().rows)) == ("", 17)
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


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
def test_a_watched_network_compiles_alike(name):
    """In a step that is probed; the training and the watch go on."""
    programs, weights = [], []
    for watched in (False, True):
        torch.manual_seed(0)
        net = mlp()
        optimizer = adam()(net.parameters())
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
    assert (evidence.loop.error, len(evidence.epochs[-1]["layers"])) == ("", 3)
    assert evidence.loop.samples >= 3
    watch.close()
    assert not any("__prepare_scriptable__" in vars(module) for module in net.modules())


def test_it_detaches_and_copies_have_no_hook():
    net = Everything()
    optimizer = adam()(net.parameters())
    with optilab.watch(net, optimizer):
        copied = copy.deepcopy(net)
        pickle.loads(pickle.dumps(net))
        assert net._forward_hooks
        copied(torch.randint(0, 9, (4, 12)))  # which the watch must not see
    assert not [module for module in net.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert not [parameter for parameter in net.parameters() if parameter._backward_hooks]
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_its_own_errors_never_end_a_training(monkeypatch):
    from optilab.train import probe

    monkeypatch.setattr(probe.Probe, "before_step", lambda self, optimized: 1 / 0)
    net = mlp()
    diagnosis = learn(net, steps=80).diagnosis()
    assert not net._forward_hooks
    assert "ZeroDivisionError: division by zero; please report this error" in str(diagnosis)
    assert not diagnosis.healthy


# --- measurements --------------------------------------------------------------------------------------------


def test_every_kind_of_layer_is_measured():
    """In the order of the first call."""
    evidence = learn(Everything(), torch.randint(0, 9, (64, 12)), torch.randint(0, 4, (64,))).evidence()
    layers = {layer["name"]: layer for layer in evidence.epochs[-1]["layers"]}
    assert [*layers] == ["embed", "rnn", "attention", "conv", "up", "mix", "frozen", "head"]
    trained = [layer for name, layer in layers.items() if name != "frozen"]
    assert all(layer["gradient_norm"] > 0 and layer["update_to_weight"] > 0 for layer in trained)
    assert all(layer["activation_std"] > 0 for layer in layers.values())
    assert 0 < layers["rnn"]["through_time"] <= 1
    assert layers["conv"]["dead"] is not None  # from the relu that is only a function
    assert evidence.setup.dropouts == {"model.dropout": 0.2}
    assert evidence.setup.normed_over == 16 * 12


def test_measurements_equal_those_by_hand():
    net = mlp()
    optimizer = sgd(0.1)(net.parameters())
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
    assert watch.evidence().chance_loss == pytest.approx(float(-(chance * chance.log()).sum()), rel=1e-5)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.GroupNorm(2, 4)])
def test_activation_before_a_norm_is_the_layers(norm):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), norm, nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        net[0].bias[:2] = -100.0
    watch = learn(net, torch.randn(64, 1, 6, 6), torch.randint(0, 3, (64,)), steps=3)
    assert watch.evidence().epochs[-1]["layers"][0]["dead"] == 0.5
    assert watch.evidence().setup.activation == "relu"


@pytest.mark.parametrize("kind", ["lazy", "complex"])
def test_lazy_and_complex_layers_are_watched(kind, recwarn):
    number = torch.complex64
    layers = (
        [nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(3)] if kind == "lazy" else [nn.Linear(6, 3, dtype=number)]
    )
    x = X if kind == "lazy" else X.to(number)
    loss = lambda out, y: F.cross_entropy(out.abs(), y)  # noqa: E731
    evidence = longer(nn.Sequential(*layers), x, loss=loss, steps=70).evidence()
    assert evidence.loop.error == ""
    for layer in evidence.epochs[-1]["layers"]:
        assert layer["gradient_norm"] > 0
        assert 0 < layer["update_to_weight"] < 1
    assert not [warning for warning in recwarn if "imaginary" in str(warning.message)]


@pytest.mark.nightly  # the compiler starts
def test_a_compiled_network_has_all_but_outputs():
    net = torch.compile(mlp(), backend="eager")
    watch = longer(net, steps=80)
    layers = watch.evidence().epochs[-1]["layers"]
    assert [layer["name"] for layer in layers] == ["0", "2", "4"]
    assert all(layer["gradient_norm"] > 0 and layer["activation_std"] is None for layer in layers)
    assert names(watch) == []
    assert "torch.compile hides the layers' outputs" in str(watch.diagnosis())
    assert "torch.compile" not in str(learn(mlp(), steps=3).diagnosis())


@pytest.mark.parametrize(
    ("kind", "in_gradient", "in_rule"),
    [
        (torch.optim.SGD, 0.3, 0.0),
        (torch.optim.Adam, 0.3, 0.0),
        (torch.optim.AdamW, 0.0, 0.3),
        (functools.partial(torch.optim.NAdam, decoupled_weight_decay=True), 0.0, 0.3),
    ],
)
def test_decay_is_in_gradient_or_rule(kind, in_gradient, in_rule):
    """Loshchilov and Hutter (2019): AdamW takes it from the weights, past the moments of the gradient."""
    made = lambda parameters: kind(parameters, lr=1e-3, weight_decay=0.3)  # noqa: E731
    setup = learn(mlp(), made=made, steps=3).evidence().setup
    assert (setup.weight_decay, setup.decoupled_decay) == (in_gradient, in_rule)


def test_chance_level_of_labels_a_model_shifts():
    """A model of sequences that returns its loss, as those of Hugging Face do."""

    def forward(net, ids, labels):
        logits = net.head(net.embed(ids))
        return {"loss": of_words(logits[:, :-1], labels[:, 1:]), "logits": logits}

    ids = torch.randint(0, 12, (64, 20)).clamp_min(6)  # six of the twelve tokens, one of them frequent
    net = Called(forward, embed=nn.Embedding(12, 16), head=nn.Linear(16, 12))
    optimizer = adam()(net.parameters())
    watch = optilab.watch(net, optimizer)
    for number in range(100):
        zeroed_first(optimizer, net(ids=ids[number % 4 :: 4], labels=ids[number % 4 :: 4])["loss"])
        watch.step()
    shares = torch.bincount(ids.flatten()) / ids.numel()
    shares = shares[shares > 0]
    assert not watch.evidence().loop.error
    assert watch.evidence().chance_loss == pytest.approx(float(-(shares * shares.log()).sum()), rel=0.02)
    assert "train_acc" not in watch.evidence().rows[-1]


# --- the value and the run -----------------------------------------------------------------------------------


def test_a_diagnosis_is_a_value():
    diagnosis = learn(mlp(nn.Softmax(1))).diagnosis()
    (finding,) = [entry for entry in diagnosis.findings if entry.name == "softmax-twice"]
    (row, *_) = json.loads(json.dumps(diagnosis.document()))["findings"]
    assert row["finding"] == diagnosis.findings[0].name
    page = diagnosis._repr_html_()
    assert "critical: softmax-twice" in page
    assert finding.remedy in page
    (finding, *_) = learn(spoiled(lambda layer: layer.weight.mul_(60))).diagnosis().findings
    assert len({*finding.code}) == len(finding.code) >= 3  # remedies of initial weights are lines of code
    assert "layer.reset_parameters()" in finding.code[1]
    assert "nn.BatchNorm1d" in finding.code[2]


@pytest.mark.parametrize("kind", ["before", "twice", "nan"])
def test_every_epoch_of_a_dying_network_is_kept(kind, tmp_path):
    """Also after a validation before the training, of two calls per epoch, and of a metric that is not finite."""
    net = mlp()
    optimizer = sgd(0.1)(net.parameters())
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
    lines = (watch.save("dying", tmp_path) / "metrics.csv").read_text().splitlines()
    assert len(lines) == 9
    assert lines[2].endswith("," if kind == "nan" else ",0.5")
    watch.report(tmp_path / "page.html")


def test_an_infinite_last_validation_loss_is_divergence():
    watch = learn(mlp(), steps=70)
    for loss in (math.nan, 1.0):  # the second call is about the same epoch
        watch.epoch(val_loss=loss)
    assert (len(watch.evidence().rows), watch.evidence().divergence) == (1, "")
    watch.epoch(val_loss=math.inf)
    assert watch.evidence().divergence == "diverged at epoch 1: val_loss is inf"


def test_chance_level_is_that_of_the_classes_where_a_loop_flattens_them():
    """Outputs (time, batch, vocabulary) with flattened targets: neither the batch nor the time is the classes."""
    torch.manual_seed(0)
    steps, batch, words = 7, 5, 60
    model = nn.Sequential(nn.Embedding(words, 16), nn.Linear(16, words))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    with optilab.watch(model, optimizer) as watch:
        for _ in range(80):
            x = torch.randint(words, (steps, batch))
            y = (x + 1) % words
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x).view(-1, words), y.view(-1))
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y.view(-1))
    diagnosis = watch.diagnosis()
    assert watch.evidence().uniform_loss == pytest.approx(math.log(words))
    assert not [finding.name for finding in diagnosis.findings if finding.severity > 0]


def test_a_sum_over_pixels_with_a_divergence_has_no_chance_level():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(50, 20), nn.ReLU(), nn.Linear(20, 50), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images = (torch.rand(100, 50) < 0.3).float()
    with optilab.watch(model, optimizer) as watch:
        for number in range(100):
            batch = images[number % 5 * 20 :][:20]
            optimizer.zero_grad()
            answer = model(batch)
            divergence = 2000 * (1 + answer.square().mean())
            loss = F.binary_cross_entropy(answer, batch, reduction="sum") + divergence
            loss.backward()
            optimizer.step()
            watch.step(loss, target=batch)
    diagnosis = watch.diagnosis()
    assert "its chance level is not known" in str(diagnosis)
    assert not diagnosis.healthy
    assert not [finding.name for finding in diagnosis.findings if finding.severity > 0]


def test_a_critic_that_learns_first_cuts_no_graph():
    """The layers of another optimizer may have no gradient before its own step."""
    torch.manual_seed(0)
    critic, maker = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)), nn.Linear(4, 8)
    optimizers = [torch.optim.Adam(part.parameters(), lr=1e-3) for part in (critic, maker)]
    of = F.binary_cross_entropy_with_logits

    def findings(cut):
        with optilab.watch(nn.ModuleList([critic, maker]), optimizers) as watch:
            for _ in range(80):
                for number, optimizer in enumerate(optimizers):
                    made = maker(torch.randn(32, 4))
                    made = made.detach() if cut or number == 0 else made
                    loss = of(critic(made), torch.full((32, 1), float(number)))
                    loss = loss if number else loss + of(critic(torch.randn(32, 8)), torch.ones(32, 1))
                    for part in optimizers:
                        part.zero_grad()
                    loss.backward()
                    optimizer.step()
                    watch.step(loss)
        return [finding.name for finding in watch.diagnosis().findings]

    assert "graph-cut" not in findings(cut=False)
    assert "graph-cut" in findings(cut=True)


def test_a_sparse_input_is_not_measured():
    torch.manual_seed(0)
    model, y = nn.Linear(3, 3), torch.randint(3, (60,))
    x = (F.one_hot(y, 3).float() + 0.1 * torch.randn(60, 3)).relu().to_sparse()

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 16))
            self.out = nn.Linear(16, 3)

        def forward(self, x):
            return self.out(torch.sparse.mm(x, self.weight))

    model = Network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    with optilab.watch(model, optimizer) as watch:
        for _ in range(100):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y)
    assert watch.diagnosis().healthy
    assert not watch.evidence().loop.error


@pytest.mark.parametrize("of", [F.mse_loss, F.smooth_l1_loss, F.l1_loss])
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_pairs_are_found_where_the_target_has_the_shape_of_the_outputs(of):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with optilab.watch(model, optimizer) as watch:
        for _ in range(100):
            x = torch.randn(32, 4)
            y = x.sum(1, keepdim=True)
            optimizer.zero_grad()
            loss = of(model(x), y.squeeze(1))
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y)
    assert "shapes-broadcast" in [finding.name for finding in watch.diagnosis().findings]


def _trained(model, loss_of, x, y, steps=300, lr=0.05, size=None, **metrics):
    """The watch of a short training on these samples."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    with optilab.watch(model, optimizer) as watch:
        for number in range(steps):
            at = slice(None) if size is None else slice(number * size % len(x), number * size % len(x) + size)
            optimizer.zero_grad()
            loss = loss_of(model(x[at]), y[at])
            loss.backward()
            optimizer.step()
            watch.step(loss, target=y[at])
            if number % 30 == 29:
                watch.epoch(**metrics)
    return watch


def test_an_accuracy_next_to_a_loss_without_classes_is_no_health():
    """Squared errors tell no classes: what an accuracy of 65% is worth is not known."""
    torch.manual_seed(0)
    x = torch.randn(200, 4)
    y = (x[:, :1] + torch.randn(200, 1) > -0.5).float()
    watch = _trained(nn.Linear(4, 1), F.mse_loss, x, y, size=20, val_acc=0.656)
    assert not watch.diagnosis().healthy
    assert "chance 0.0%" not in str(watch.diagnosis())


def test_a_mean_that_is_written_as_a_formula_is_no_sum():
    torch.manual_seed(0)
    x = torch.randn(200, 4)
    y = (x[:, :1] > 0).float()

    def loss_of(p, t):
        p = p.clamp(1e-6, 1 - 1e-6)
        return -(t * p.log() + (1 - t) * (1 - p).log()).mean()

    watch = _trained(nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()), loss_of, x, y, size=10, val_acc=0.99)
    assert "loss-is-a-sum" not in [finding.name for finding in watch.diagnosis().findings]
    assert "chance 0.0%" not in str(watch.diagnosis())


def test_one_hot_targets_of_a_binary_loss_are_right_by_their_largest_output():
    torch.manual_seed(0)
    y = torch.arange(200) % 10
    x = F.one_hot(y, 10).float()
    watch = _trained(nn.Linear(10, 10), F.binary_cross_entropy_with_logits, x, x, steps=90, lr=1e-5)
    assert watch.evidence().chance == pytest.approx(0.1)
    assert watch.evidence().training_accuracy < 0.5


def test_first_inputs_of_zeros_are_not_the_size_of_all():
    torch.manual_seed(0)
    x = torch.ones(50, 3)
    x[0] = 0
    watch = _trained(nn.Linear(3, 1), F.mse_loss, x, x[:, :1], size=1)
    assert "inputs-out-of-scale" not in [finding.name for finding in watch.diagnosis().findings]


def test_no_rate_is_named_where_the_gradient_is_zero():
    """A softmax over one output is 1 whatever the weights are."""
    torch.manual_seed(0)
    x = torch.randn(100, 3)
    y = (x[:, :1] > 0).float()
    watch = _trained(nn.Sequential(nn.Linear(3, 1), nn.Softmax(dim=1)), F.mse_loss, x, y, size=20)
    assert "lr=" not in str(watch.diagnosis())


def test_a_solved_task_has_no_gradient_left():
    torch.manual_seed(0)
    x = torch.randn(100, 2)
    y = (x[:, :1] > 0).float()

    def loss_of(logit, t):
        return F.binary_cross_entropy_with_logits(1e3 * logit, t).clamp(min=2e-3)

    watch = _trained(nn.Linear(2, 1), loss_of, x.sign() * (x.abs() + 1), y, steps=600, size=20)
    assert not [finding.name for finding in watch.diagnosis().findings if finding.severity > 0]


def test_small_batches_of_one_class_are_sorted():
    torch.manual_seed(0)
    x, y = torch.randn(400, 4), torch.arange(400) // 200
    watch = _trained(nn.Linear(4, 2), F.cross_entropy, x, y, size=4)
    assert "batches-sorted-by-class" in [finding.name for finding in watch.diagnosis().findings]


def test_a_last_epoch_with_a_loss_above_chance_is_no_health():
    """The accuracy is that of the sampled batches, the loss that of all."""
    torch.manual_seed(0)
    x = torch.randn(400, 4)
    watch = _trained(nn.Linear(4, 2), F.cross_entropy, x, (x[:, 0] > 0).long(), size=20)
    evidence = watch.evidence()
    assert evidence.learned
    rows = [*evidence.rows[:-1], {**evidence.rows[-1], "train_loss": 8.0}]
    assert not dataclasses.replace(evidence, rows=rows).learned


def _named(evidence, losses, **columns):
    """The findings on this evidence if its epochs had these losses and columns."""
    rows = [
        {"epoch": number, "train_loss": loss, **{key: values[number - 1] for key, values in columns.items()}}
        for number, loss in enumerate(losses, 1)
    ]
    return [finding.name for finding in diagnose(dataclasses.replace(evidence, rows=rows))]


def test_what_the_validation_knows_is_no_other_label():
    """A validation accuracy above chance, while the loss falls, comes from the labels; so does one that swings."""
    torch.manual_seed(0)
    x = torch.randn(400, 4)
    evidence = _trained(nn.Linear(4, 2), F.cross_entropy, x, (x[:, 0] > 0).long(), size=20).evidence()
    falls, stays = [0.6, 0.55, 0.5, 0.45, 0.4, 0.35], [0.5] * 6
    high = [0.69] * 6
    assert "labels-unrelated" in _named(evidence, falls, val_loss=high, val_acc=stays)
    assert "labels-unrelated" not in _named(evidence, falls, val_loss=high, val_acc=[0.75] * 6)
    lost, swings = [0.9, 0.8, 0.7, 0.6, 0.55, 0.5], [0.9, 0.6, 0.9, 0.6, 0.6, 0.6]
    low = [0.3] * 6
    assert "labels-unrelated" in _named(evidence, falls, val_loss=low, val_acc=lost, train_acc=lost)
    assert "labels-unrelated" not in _named(evidence, falls, val_loss=low, val_acc=swings, train_acc=swings)


def test_a_chance_level_that_is_hardly_known_says_nothing_of_labels():
    """Targets with rare and far values: their mean absolute distance is known to a fifth."""
    torch.manual_seed(0)
    x = torch.cat([torch.randn(4000, 1) ** k for k in range(1, 5)], 1)
    watch = _trained(
        nn.Linear(4, 1), F.smooth_l1_loss, x, x @ torch.tensor([[2.0], [-9.0], [4.0], [5.0]]), lr=3e-4, size=32
    )
    assert "labels-unrelated" not in [finding.name for finding in watch.diagnosis().findings]


@pytest.mark.parametrize("of", ["logits", "probabilities", "smoothed", "weighted"])
def test_the_chance_level_fits_every_cross_entropy(of):
    torch.manual_seed(0)
    x = torch.randn(400, 4)
    y = (x[:, 0] > 0).long()
    model = nn.Sequential(nn.Linear(4, 2), nn.Softmax(dim=1)) if of == "probabilities" else nn.Linear(4, 2)
    settings = {"smoothed": {"label_smoothing": 0.1}, "weighted": {"weight": torch.tensor([0.7, 1.0])}}

    def loss_of(output, labels):
        if of == "probabilities":
            return F.nll_loss(output.clamp(min=1e-7).log(), labels)
        return F.cross_entropy(output, labels, **settings.get(of, {}))

    watch = _trained(model, loss_of, x, y, size=20)
    assert watch.evidence().chance_loss_source == "guessing"
    assert watch.diagnosis().healthy


def test_the_loss_is_looked_at_between_the_forward_pass_and_the_step_alone():
    """No mode of PyTorch stays: not after the step, a pass without one, or the end of the watch."""
    modes = torch._C._len_torch_function_stack
    net = mlp()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    watch = optilab.watch(net, optimizer)
    out = net(X[:8])
    assert modes() == 1
    with torch.device("cpu"):  # which is a mode, too
        F.cross_entropy(out, Y[:8]).backward()
        assert modes() == 2
        optimizer.step()
        assert modes() == 1
    assert modes() == 0
    net(X[:8])
    watch.diagnosis()
    assert modes() == 0
    net(X[:8])
    watch.close()
    assert modes() == 0


def test_nothing_of_the_data_is_noted_where_that_is_asked_for():
    net = score()
    optimizer = torch.optim.Adam(net.parameters())
    with optilab.watch(net, optimizer, data=False) as watch:
        for _ in range(20):
            optimizer.zero_grad()
            loss = F.mse_loss(net(X[:16]), X[:16, :1])
            loss.backward()
            optimizer.step()
            watch.step(loss)
    assert (watch.evidence().loop.entered, watch.evidence().loop.columns) == (None, None)
    with pytest.raises(optilab.errors.UsageError, match="data: expected True or False"):
        optilab.watch(net, optimizer, data="no")


@pytest.mark.parametrize("kind", ["one term", "two terms", "rewards"])
def test_a_loss_without_a_chance_level_makes_no_symptom_a_fault(kind):
    torch.manual_seed(0)
    hidden = [nn.Linear(4, 32), nn.Sigmoid()] + [
        layer for _ in range(4) for layer in (nn.Linear(32, 32), nn.Sigmoid())
    ]
    model = nn.Sequential(*hidden, nn.Linear(32, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    watch = optilab.watch(model, optimizer)
    for _ in range(300):
        x = torch.randn(32, 4)
        actor, critic = model(x).unbind(1)
        loss = (critic - x[:, 1]).square().mean()
        if kind != "one term":
            loss = loss + (actor - x[:, 2]).square().mean()
        if kind == "rewards":
            loss = (actor * x[:, 3]).mean().tanh() + critic.mean().sin()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.step(loss)
    diagnosis = watch.diagnosis()
    faults = [finding for finding in diagnosis.findings if finding.severity > Severity.INFO]
    assert bool(faults) == (kind == "one term"), diagnosis
    assert ("cannot tell" in str(diagnosis)) == (kind != "one term")
    assert ("from a loss of this kind" in str(diagnosis)) == (kind != "one term")


def test_two_symptoms_of_a_loop_are_alternatives():
    evidence = learn(mlp(), X[:16], Y[:16]).evidence()
    names = ("dead-units", "vanishing-gradient")
    verdicts = {
        Severity.WARNING: f"cannot tell: {' or '.join(names)}; the remedy that helps tells which",
        Severity.CRITICAL: f"critical: {' and '.join(names)}",
    }
    for severity, verdict in verdicts.items():
        findings = [Finding(names[0], severity, "", "", ""), Finding(names[1], Severity.WARNING, "", "", "")]
        assert sentence(evidence, findings) == verdict


def test_a_sum_that_diverges_is_a_sum():
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=10.0)
    with optilab.watch(model, optimizer) as watch:
        for _ in range(60):
            x = torch.randn(24, 4)
            target = x[:, :1] + 0.1
            loss = F.mse_loss(model(x), target, reduction="sum")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss, target=target)
    findings = watch.diagnosis().findings
    assert findings[0].name == "loss-is-a-sum"
    assert "24 values" in findings[0].text


def test_a_loss_that_another_one_has_over_all_pairs_compares_no_pairs():
    from optilab.loop.chance import Chance

    chance = Chance()
    output, target = torch.tensor([[0.0], [1.0], [0.0], [0.0]]), torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    chance.add_batch(output, target, 0.25, ["L1Loss"])  # as is the smooth loss of all pairs
    assert "pairs" not in chance.facts()
