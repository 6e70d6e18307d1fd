"""Cases drawn by chance: networks, strengths of the change, and seeds that no rule was made for.

The kinds of change are those of `cases.SICK`. Networks are drawn, too: families, in which width, depth and learning
rate vary within a range where they learn. Draws that were opened are part of the design half; the last is held out.
"""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from tests.diagnosis.cases import PRESETS, Case, split


class Network(NamedTuple):
    """A healthy network: its family, its optimizer's name and rate, and its settings."""

    family: str
    optimizer: str
    lr: float
    depth: int
    sets: tuple[str, ...]


class Family(NamedTuple):
    """What is drawn for a network: depths, learning rates; the rest is fixed."""

    model: str
    depths: tuple[int, int]
    optimizer: str
    rates: tuple[float, float]
    more: str = ""


FAMILIES: dict[str, Family] = {
    "relu": Family("activation: relu, init: kaiming", (2, 4), "sgd", (0.05, 0.2)),
    "tanh": Family("activation: tanh, init: xavier", (2, 5), "sgd", (0.05, 0.2)),
    "gelu": Family("activation: gelu", (1, 3), "adam", (5e-4, 2e-3)),
    "batchnorm": Family(
        "activation: sigmoid, norm: batch", (2, 4), "momentum", (0.05, 0.2), ", beta: 0.9, form: classic"
    ),
    "elu": Family("activation: elu, init: lecun", (2, 4), "nesterov", (0.01, 0.03), ", beta: 0.9"),
    "silu": Family("activation: silu, init: kaiming", (2, 5), "rmsprop", (5e-4, 2e-3)),
    "leaky": Family(
        "activation: leaky-relu, init: kaiming", (2, 4), "momentum", (0.01, 0.05), ", beta: 0.9, form: classic"
    ),
    "layernorm": Family("activation: mish, norm: layer", (2, 4), "nadam", (5e-4, 2e-3)),
    "selu": Family("activation: selu, init: lecun", (2, 4), "adamw", (5e-4, 2e-3)),
    "softsign": Family("activation: softsign, init: xavier", (2, 4), "lion", (1e-4, 5e-4)),
    "softplus": Family("activation: softplus, init: xavier", (1, 3), "adabelief", (5e-4, 2e-3)),
    "prelu": Family("activation: prelu, init: kaiming", (2, 4), "amsgrad", (5e-4, 2e-3)),
}
ADAPTIVE = ("gelu", "silu", "layernorm")
GRADIENT = ("relu", "tanh", "elu", "leaky")


class Draw(NamedTuple):
    """A seed, the families that networks are drawn from, how many cases of each cause, how many of the causes, and how
    often the healthy ones are drawn."""

    name: str
    seed: int
    families: tuple[str, ...]
    per_cause: int
    causes: int = 19
    healthy: int = 1


class Dice(random.Random):
    """The generator of one draw; `families` is where it draws networks from."""

    def __new__(cls, seed: int, families: tuple[str, ...]) -> "Dice":
        return super().__new__(cls, seed)

    def __init__(self, seed: int, families: tuple[str, ...]) -> None:
        super().__init__(seed)
        self.families = families


Change = tuple[Network, str, str, int]
"""Network, change, what is done to the labels, epochs."""


def _around(rng: Dice, low: float, high: float) -> float:
    """Between two positive numbers, evenly in the logarithm, with two digits."""
    return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.2g}")


def _network(rng: Dice, *families: str) -> Network:
    name = rng.choice(families or rng.families)
    family = FAMILIES[name]
    depth, lr = rng.randint(*family.depths), _around(rng, *family.rates)
    hidden = [rng.choice((32, 48, 64, 96, 128))] * depth
    model = f"model={{hidden: {hidden}, {family.model}}}"
    optimizer = f"optimizer={{name: {family.optimizer}, lr: {lr}{family.more}}}"
    return Network(name, family.optimizer, lr, depth, (model, optimizer))


def _rate(rng: Dice, low: float, high: float) -> Change:
    network = _network(rng)
    return network, f"optimizer.lr={network.lr * _around(rng, low, high):.2g}", "", 12


def _decayed(rng: Dice) -> Change:
    by_batch = " schedule_by=batch"
    texts = (
        f"schedule={{name: step, every: 1, gamma: {_around(rng, 0.002, 0.03)}}}",
        f"schedule={{name: polynomial, steps: {rng.randint(10, 40)}, final: 0}}{by_batch}",
        f"schedule={{name: cosine, steps: {rng.randint(15, 50)}, final: 0}}{by_batch}",
        f"schedule={{name: step, every: {rng.randint(5, 15)}, gamma: {_around(rng, 0.05, 0.2)}}}{by_batch}",
    )
    return _network(rng), rng.choice(texts), "", 12


def _collapsed(rng: Dice) -> Change:
    network = _network(rng)
    lr = network.lr * _around(rng, 30, 400)
    warm_up = f"{{name: warm-up, steps: {rng.randint(7, 11)}, start: 0.0}}"
    return network, f"optimizer.lr={lr:.2g} schedule={warm_up}", "", 12


def _vanishing(rng: Dice) -> Change:
    activation = rng.choice(("sigmoid", "sigmoid", "hard-sigmoid", "tanh", "relu", "gelu", "softsign", "silu"))
    small = f"{{name: normal, std: {_around(rng, 0.012, 0.05)}}}"
    init = small if activation in ("tanh", "softsign") else rng.choice(("default", small))
    hidden = [rng.choice((48, 64, 96))] * rng.randint(5, 11)
    model = f"model={{hidden: {hidden}, activation: {activation}, init: {init}}}"
    return _network(rng, "relu"), f"{model} optimizer={{name: sgd, lr: {_around(rng, 0.04, 0.15)}}}", "", 12


def _exploding(rng: Dice) -> Change:
    init = rng.choice(
        (
            f"{{name: normal, std: {_around(rng, 0.6, 4)}}}",
            f"{{name: kaiming, gain: {_around(rng, 6, 15)}}}",
            f"{{name: uniform, low: -{(bound := _around(rng, 1, 3))}, high: {bound}}}",
        )
    )
    return _network(rng, "relu", "silu", "elu", "gelu", "leaky"), f"model.init={init}", "", 12


def _saturated(rng: Dice) -> Change:
    activation, low, high = rng.choice(
        (("tanh", 1.0, 8.0), ("softsign", 4.0, 12.0), ("sigmoid", 4.0, 12.0), ("hard-sigmoid", 6.0, 15.0))
    )
    init = f"{{name: normal, std: {_around(rng, low, high)}}}"
    return _network(rng, "tanh"), f"model.activation={activation} model.init={init}", "", 12


def _dead(rng: Dice) -> Change:
    change = rng.choice(
        (
            f"model.bias_init={{name: constant, value: -{_around(rng, 3, 100)}}}",
            f"model.init={{name: uniform, low: -{_around(rng, 0.15, 0.4)}, high: 0.0}}",
            f"model.init={{name: normal, mean: -{_around(rng, 0.1, 0.3)}, std: 0.05}}",
        )
    )
    return _network(rng, "relu", "silu", "elu", "gelu"), f"model.activation=relu {change}", "", 12


def _symmetric(rng: Dice) -> Change:
    value = rng.choice((0, _around(rng, 0.005, 0.2)))
    return _network(rng), f"model.init={{name: constant, value: {value}}}", "", 12


def _near_symmetric(rng: Dice) -> Change:
    init = f"{{name: normal, mean: {_around(rng, 0.01, 0.1)}, std: {_around(rng, 1e-7, 1e-5):.7f}}}"
    return _network(rng, *GRADIENT, *ADAPTIVE), f"model.init={init}", "", 12


def _eps(rng: Dice) -> Change:
    eps = _around(rng, 0.3, 100)
    if rng.random() < 0.5:
        return _network(rng, *ADAPTIVE), f"optimizer.eps={eps}", "", 12
    name, lr = rng.choice(
        (("adamw", 0.001), ("adamax", 0.002), ("nadam", 0.001), ("adagrad", 0.01), ("amsgrad", 0.001))
    )
    return _network(rng, "relu", "gelu", "silu"), f"optimizer={{name: {name}, lr: {lr}, eps: {eps}}}", "", 12


def _decay(rng: Dice) -> Change:
    if rng.random() < 0.3:
        optimizer = f"{{name: adamw, lr: 0.001, weight_decay: {_around(rng, 20, 200)}}}"
        return _network(rng, "relu", "gelu"), f"optimizer={optimizer}", "", 12
    return _network(rng, *GRADIENT, *ADAPTIVE), f"weight_decay={_around(rng, 0.1, 5)}", "", 12


def _dropout(rng: Dice) -> Change:
    key = rng.choice(("model.dropout", "model.dropout", "model.dropout", "model.input_dropout"))
    share = rng.uniform(0.75, 0.97) if key == "model.dropout" else rng.uniform(0.95, 0.99)
    return _network(rng), f"{key}={share:.2f}", "", 12


def _memorised(rng: Dice) -> Change:
    hidden = [rng.choice((96, 128, 192, 256))] * rng.randint(2, 3)
    name = rng.choice(("adam", "nadam", "adamw"))
    change = (
        f"model.hidden={hidden} optimizer={{name: {name}, lr: {_around(rng, 0.002, 0.005)}}} "
        f"data.images={rng.randrange(600, 1500, 100)}"
    )
    return _network(rng, "gelu", "relu", "elu", "silu", "leaky"), change, "", 40


def _few(rng: Dice) -> Change:
    return _network(rng), f"data.images={round(_around(rng, 10, 150))}", "", rng.choice((12, 25))


def _labels(*names: str) -> Callable[[Dice], Change]:
    return lambda rng: (_network(rng), "", rng.choice(names), 12)


def _scale(rng: Dice) -> Change:
    return _network(rng, *GRADIENT, *ADAPTIVE), f"data.normalize.scale={_around(rng, 1e5, 1e8):.0f}", "", 12


def _small_batch(rng: Dice) -> Change:
    change = f"data.batch_size={rng.randint(2, 4)}"
    network = _network(rng, "batchnorm", "relu", "gelu", "tanh")
    if network.family != "batchnorm":
        change = f"model.norm={rng.choice(('batch', 'batch', 'standardize'))} {change}"
    slower = "" if network.optimizer == "adam" else f" optimizer.lr={network.lr * _around(rng, 0.2, 1):.2g}"
    return network, change + slower, "", 2


def _with_rate_too_low(change: Callable[[Dice], Change]) -> Callable[[Dice], Change]:
    def both(rng: Dice) -> Change:
        network, text, data, epochs = change(rng)
        return network, f"{text} optimizer.lr={network.lr * _around(rng, 1e-6, 2e-3):.2g}", data, epochs

    return both


def _decayed_and_vanishing(rng: Dice) -> Change:
    network, text, data, epochs = _vanishing(rng)
    return network, f"{text} weight_decay={_around(rng, 0.3, 3)}", data, epochs


def _dead_and_dropped(rng: Dice) -> Change:
    network, text, data, epochs = _dead(rng)
    return network, f"{text} model.dropout={rng.uniform(0.8, 0.97):.2f}", data, epochs


CAUSES: dict[str, Callable[[Dice], Change]] = {
    "rate too high": lambda rng: _rate(rng, 15, 500),
    "rate too low": lambda rng: _rate(rng, 1e-6, 2e-3),
    "rate decayed to nothing": _decayed,
    "collapsed late": _collapsed,
    "vanishing": _vanishing,
    "exploding": _exploding,
    "saturated": _saturated,
    "dead": _dead,
    "symmetric": _symmetric,
    "near-symmetric": _near_symmetric,
    "eps": _eps,
    "weight decay": _decay,
    "dropout": _dropout,
    "memorised": _memorised,
    "too few images": _few,
    "labels shuffled": _labels("shuffled", "shifted"),
    "prior only": _scale,
    "one class": _labels("one"),
    "batch norm, small batches": _small_batch,
    "validation labels": _labels("validation shifted", "validation shuffled"),
    "prior only + rate too low": _with_rate_too_low(_scale),
    "weight decay + vanishing": _decayed_and_vanishing,
    "dropout + rate too low": _with_rate_too_low(_dropout),
    "dead + dropout": _dead_and_dropped,
}

# fmt: off
OPTIMIZERS = (
    "adam", "adamw", "nadam", "radam", "amsgrad", "adamax", "adopt", "adabelief",
    "laprop", "rmsprop", "adan", "ademamix", "adagrad", "yogi", "lion", "signum", "signsgd", "adadelta",
    "prodigy", "schedule-free-adamw", "schedule-free-sgd", "momentum", "nesterov", "rprop", "qhm", "lookahead",
)
# fmt: on
"""Those that need gradients alone, each at its default rate."""

HARMLESS: tuple[Callable[[Dice], Change], ...] = (
    lambda rng: (_network(rng), f"model.dropout={rng.uniform(0.1, 0.4):.2f}", "", 12),
    lambda rng: (_network(rng), f"weight_decay={_around(rng, 1e-5, 1e-3)}", "", 12),
    lambda rng: (
        _network(rng, "gelu", "relu"),
        f"optimizer={{name: adamw, lr: 0.001, weight_decay: {_around(rng, 0.01, 0.3)}}}",
        "",
        12,
    ),
    lambda rng: (_network(rng, *ADAPTIVE), f"optimizer.eps={_around(rng, 1e-5, 3e-3)}", "", 12),
    lambda rng: (_network(rng, "batchnorm"), f"data.batch_size={rng.choice((8, 12, 16))}", "", 4),
    lambda rng: (_network(rng), f"clip_norm={_around(rng, 0.5, 5)}", "", 12),
    lambda rng: (_network(rng), rng.choice(("schedule=cosine", "schedule={name: warm-up, steps: 3}")), "", 12),
    lambda rng: (_network(rng), f"schedule={{name: step, every: 4, gamma: {rng.choice((0.3, 0.5))}}}", "", 12),
    lambda rng: (_network(rng), "plateau={patience: 2, factor: 0.5}", "", 12),
    lambda rng: (_network(rng, "relu", "tanh", "elu", "leaky"), "model.bias=none", "", 12),
    lambda rng: (_network(rng, "relu", "gelu"), "model.hidden=[]", "", 12),
    lambda rng: (_network(rng), f"model.hidden=[{rng.randint(8, 24)}]", "", 12),
    lambda rng: (_network(rng), "model.freeze=[1]", "", 12),
    lambda rng: (_network(rng, "relu", "gelu", "tanh"), "model.hidden=[64, 64, 64] model.skip=[[1, 3]]", "", 12),
    lambda rng: (_network(rng), f"data.images={rng.randrange(1000, 1900, 100)}", "", 12),
    lambda rng: (_network(rng), "", "a tenth wrong", 12),
    lambda rng: (_network(rng), "", "uneven", 12),
    lambda rng: (
        _network(rng, "relu", "gelu"),
        f"model.activation={rng.choice(('mish', 'prelu', 'elu'))}",
        "",
        12,
    ),
)
"""Settings that look wrong and are not."""


DRAWS = (
    Draw("first", 20261125, tuple(FAMILIES)[:8], per_cause=6),
    Draw("second", 20261127, tuple(FAMILIES)[:10], per_cause=10),
    Draw("third", 20261128, tuple(FAMILIES), per_cause=10),
    Draw("fourth", 20261129, tuple(FAMILIES), per_cause=5, causes=24),
    Draw("fifth", 20261130, tuple(FAMILIES), per_cause=5, causes=24, healthy=2),
)
"""Each was opened once, when the rules that had not seen it were finished; the last of them is the held-out half."""


def opened() -> list[Case]:
    """The draws that the rules have seen."""
    return [replace(case, name=f"{draw.name} draw, {case.name}") for draw in DRAWS[:-1] for case in drawn(draw)]


def held_out() -> list[Case]:
    """The draw that the rules have not seen."""
    return drawn(DRAWS[-1])


def drawn(draw: Draw) -> list[Case]:
    """So many of each cause; then healthy ones: OPTIMIZERS, slow ones, HARMLESS, plain ones; and all PRESETS."""
    rng = Dice(draw.seed, draw.families)
    causes = list(CAUSES.items())[: draw.causes]
    listed = [_case(rng, cause, n, change(rng)) for cause, change in causes for n in range(draw.per_cause)]
    families = ("relu", "tanh", "gelu", "elu", "leaky")
    healthy: list[Change] = []
    for _ in range(draw.healthy):
        healthy += [(_network(rng, *families), f"optimizer={name}", "", 12) for name in OPTIMIZERS]
        healthy += [(*_rate(rng, 0.05, 0.2)[:3], 20) for _ in range(8)]
        healthy += [(_network(rng), "", "", 2) for _ in range(4)]
        healthy += [change(rng) for change in HARMLESS]
        healthy += [(_network(rng), "", "", 12) for _ in range(14)]
    listed += [_case(rng, "", n, change) for n, change in enumerate(healthy)]
    for name, cause in PRESETS.items():
        epochs = 4 if name == "deep" else 20
        seed = rng.randrange(100, 10_000)
        listed.append(Case(f"preset {name}", cause, (f"preset {name}",), (), "", epochs, seed))
    return sorted(listed, key=lambda case: case.name)


def _case(rng: Dice, cause: str, number: int, change: Change) -> Case:
    network, text, data, epochs = change
    name = f"{cause or 'healthy'} {number + 1}: {network.family} {text or data or epochs}"
    return Case(name, cause, network.sets, tuple(split(text)), data, epochs, rng.randrange(100, 10_000))
