"""Trainings drawn by chance: networks that learn, and one change that does harm or none.

In a text, `<0.1..3>` is a number drawn evenly in its logarithm, `<int 2 4>` a whole number, `<a|b>` a choice,
`<lr 15..500>` the network's learning rate times such a number, and `<layers 2 4>` hidden layers of equal width.
A change has the families of networks that it is made to (all where none is named), its settings, and epochs; what
follows `labels:` is done to the labels.
"""

import math
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from docs.measured.diagnosis.causes import accepted_by

EPOCHS = 12
SMALL = "{name: normal, std: <0.012..0.05>}"
ADAPTIVE = "gelu silu layernorm"
PLAIN = "relu tanh elu leaky " + ADAPTIVE
DEEP = (
    "model={hidden: <layers 5 11>, activation: "
    f"<<sigmoid|hard-sigmoid|relu|gelu|silu>, init: <default|{SMALL}>|<tanh|softsign>, init: {SMALL}>"
    "} optimizer={name: sgd, lr: <0.04..0.15>}"
)
DEAD = (
    "model.activation=relu model.<bias_init={name: constant, value: -<3..100>}"
    "|init={name: uniform, low: -<0.15..0.4>, high: 0.0}|init={name: normal, mean: -<0.1..0.3>, std: 0.05}>"
)
TOO_LOW = "optimizer.lr=<lr 1e-6..2e-3>"

NETWORKS = {
    "relu": ("hidden: <layers 2 4>, activation: relu, init: kaiming", "sgd", "0.05..0.2", ""),
    "tanh": ("hidden: <layers 2 5>, activation: tanh, init: xavier", "sgd", "0.05..0.2", ""),
    "gelu": ("hidden: <layers 1 3>, activation: gelu", "adam", "5e-4..2e-3", ""),
    "batchnorm": (
        "hidden: <layers 2 4>, activation: sigmoid, norm: batch",
        "momentum",
        "0.05..0.2",
        ", beta: 0.9, form: classic",
    ),
    "elu": ("hidden: <layers 2 4>, activation: elu, init: lecun", "nesterov", "0.01..0.03", ", beta: 0.9"),
    "silu": ("hidden: <layers 2 5>, activation: silu, init: kaiming", "rmsprop", "5e-4..2e-3", ""),
    "leaky": (
        "hidden: <layers 2 4>, activation: leaky-relu, init: kaiming",
        "momentum",
        "0.01..0.05",
        ", beta: 0.9, form: classic",
    ),
    "layernorm": ("hidden: <layers 2 4>, activation: mish, norm: layer", "nadam", "5e-4..2e-3", ""),
    "selu": ("hidden: <layers 2 4>, activation: selu, init: lecun", "adamw", "5e-4..2e-3", ""),
    "softsign": ("hidden: <layers 2 4>, activation: softsign, init: xavier", "lion", "1e-4..5e-4", ""),
    "softplus": ("hidden: <layers 1 3>, activation: softplus, init: xavier", "adabelief", "5e-4..2e-3", ""),
    "prelu": ("hidden: <layers 2 4>, activation: prelu, init: kaiming", "amsgrad", "5e-4..2e-3", ""),
}
"""Perceptrons that learn: model, optimizer, learning rates, and further settings of the optimizer."""

USER_NETWORKS = {
    "cnn": ("name: 'nets.py:CNN', width: <8|12|16>", "adam", "2e-3..5e-3", ""),
    "plain-cnn": ("name: 'nets.py:CNN', width: <10|14>", "sgd", "0.05..0.1", ""),
    "residual": ("name: 'nets.py:Residual', width: <8|12>", "momentum", "0.02..0.05", ", beta: 0.9"),
    "lstm": ("name: 'nets.py:Recurrent', width: <24|32|48>", "adam", "3e-3..1e-2", ""),
    "transformer": ("name: 'nets.py:Transformer', width: <24|32>", "adamw", "2e-3..5e-3", ""),
    "gru": ("name: 'nets.py:Gated', width: <24|40>", "rmsprop", "1e-3..4e-3", ""),
    "mixer": ("name: 'nets.py:Mixer', width: <16|24>", "nadam", "2e-3..5e-3", ""),
}
"""The same of networks of nets.py."""

Change = tuple[str, str] | tuple[str, str, int]
CHANGES: dict[str, Change] = {
    "rate too high": ("", "optimizer.lr=<lr 15..500>"),
    "rate too low": ("", TOO_LOW),
    "rate decayed to nothing": (
        "",
        "schedule=<{name: step, every: 1, gamma: <0.002..0.03>}"
        "|{name: step, every: <int 5 15>, gamma: <0.05..0.2>} schedule_by=batch"
        "|{name: polynomial, steps: <int 10 40>, final: 0} schedule_by=batch"
        "|{name: cosine, steps: <int 15 50>, final: 0} schedule_by=batch>",
    ),
    "collapsed late": ("", "optimizer.lr=<lr 30..400> schedule={name: warm-up, steps: <int 7 11>, start: 0.0}"),
    "vanishing": ("relu", DEEP),
    "exploding": (
        "relu silu elu gelu leaky",
        "model.init={name: <normal, std: <0.6..4>|kaiming, gain: <6..15>|uniform, low: -<1..3>, high: 2>}",
    ),
    "saturated": (
        "tanh",
        "model.<activation=tanh model.init={name: normal, std: <1..8>}"
        "|activation=<softsign|sigmoid> model.init={name: normal, std: <4..12>}"
        "|activation=hard-sigmoid model.init={name: normal, std: <6..15>}>",
    ),
    "dead": ("relu silu elu gelu", DEAD),
    "symmetric": ("", "model.init={name: constant, value: <0|<0.005..0.2>>}"),
    "near-symmetric": (PLAIN, "model.init={name: normal, mean: <0.01..0.1>, std: <1e-7..1e-5>}"),
    "eps": (
        ADAPTIVE,
        "optimizer<.eps=<0.3..100>|={name: <adamw|nadam|amsgrad>, lr: 0.001, eps: <0.3..100>}"
        "|={name: <adamax|adagrad>, lr: 0.005, eps: <0.3..100>}>",
    ),
    "weight decay": (
        PLAIN,
        "<weight_decay=<0.1..5>|weight_decay=<0.1..5>|optimizer={name: adamw, lr: 0.001, weight_decay: <20..200>}>",
    ),
    "dropout": ("", "model.<dropout=<0.75..0.97>|dropout=<0.75..0.97>|input_dropout=<0.95..0.99>>"),
    "memorised": (
        "gelu relu elu silu leaky",
        "model.hidden=<layers 2 3> optimizer={name: <adam|nadam|adamw>, lr: <0.002..0.005>} "
        "data.images=<int 600 1500>",
        40,
    ),
    "too few images": ("", "data.images=<int 10 150>", 25),
    "labels shuffled": ("", "labels: <shuffled|shifted>"),
    "prior only": (PLAIN, "data.normalize.scale=<1e5..1e8>"),
    "one class": ("", "labels: one"),
    "batch norm, small batches": (
        "batchnorm relu gelu tanh",
        "model.norm=<batch|batch|standardize> data.batch_size=<int 2 4> optimizer.lr=<lr 0.2..1>",
        2,
    ),
    "validation labels": ("", "labels: validation <shifted|shuffled>"),
    "prior only + rate too low": (PLAIN, f"data.normalize.scale=<1e5..1e8> {TOO_LOW}"),
    "weight decay + vanishing": ("relu", f"{DEEP} weight_decay=<0.3..3>"),
    "dropout + rate too low": ("", f"model.dropout=<0.8..0.97> {TOO_LOW}"),
    "dead + dropout": ("relu silu elu gelu", f"{DEAD} model.dropout=<0.8..0.97>"),
}
"""Cause -> what is changed."""

USER_CHANGES: dict[str, Change] = {
    "rate too high": ("", "optimizer.lr=<lr 60..500>"),
    "rate too low": ("", "optimizer.lr=<lr 1e-5..1e-3>"),
    "rate decayed to nothing": ("", "schedule={name: step, every: 1, gamma: <0.002..0.02>}"),
    "vanishing": (
        "cnn plain-cnn",
        "model.activation=sigmoid model.depth=<int 6 9> model.norm=none optimizer={name: sgd, lr: 0.05}",
    ),
    "exploding": ("", "model.init={name: normal, std: <1.5..5>}"),
    "dead": ("cnn plain-cnn", "model.bias_init={name: constant, value: -<4..40>}"),
    "symmetric": ("", "model.init={name: constant, value: <0.01..0.1>}"),
    "eps": ("cnn lstm transformer gru mixer", "optimizer.eps=<3..100>"),
    "weight decay": ("cnn plain-cnn residual lstm gru mixer", "weight_decay=<0.3..3>"),
    "dropout": ("", "model.dropout=<0.93..0.98>"),
    "too few images": ("", "data.images=<int 30 100>", 30),
    "labels shuffled": ("", "labels: <shuffled|shifted>", 16),
    "validation labels": ("", "labels: validation shifted"),
    "prior only": ("", "data.normalize.scale=<1e6..1e8>", 8),
    "one class": ("", "labels: one", 8),
    "softmax twice": ("", "model.softmax=true"),
    "graph cut": ("", "model.cut=true"),
    "vanishing through time": (
        "lstm gru",
        "model.plain=true model.pixels=true model.init={name: normal, std: <0.03..0.08>}",
        8,
    ),
}

HARMLESS: list[Change] = [
    ("", ""),
    ("", "", 2),
    ("", "optimizer.lr=<lr 0.05..0.2>", 20),
    ("", "optimizer=<adam|adamw|nadam|radam|amsgrad|adamax|adopt|adabelief|laprop|rmsprop|adan|ademamix|adagrad>"),
    ("", "optimizer=<yogi|lion|signum|signsgd|adadelta|prodigy|schedule-free-adamw|rprop|qhm|lookahead>"),
    ("", "model.dropout=<0.1..0.4>"),
    ("", "weight_decay=<1e-5..1e-3>"),
    ("gelu relu", "optimizer={name: adamw, lr: 0.001, weight_decay: <0.01..0.3>}"),
    (ADAPTIVE, "optimizer.eps=<1e-5..3e-3>"),
    ("batchnorm", "data.batch_size=<8|12|16>", 4),
    ("", "clip_norm=<0.5..5>"),
    ("", "schedule=<cosine|{name: warm-up, steps: 3}|{name: step, every: 4, gamma: <0.3|0.5>}>"),
    ("", "plateau={patience: 2, factor: 0.5}"),
    ("relu tanh elu leaky", "model.bias=none"),
    ("relu gelu tanh", "model.hidden=<[]|[<int 8 24>]|[64, 64, 64] model.skip=[[1, 3]]>"),
    ("", "data.images=<int 1000 1900>"),
    ("", "labels: <a tenth wrong|uneven>"),
    ("relu gelu", "model.activation=<mish|prelu|elu>"),
]
"""Settings that look wrong and are not."""

USER_HARMLESS: list[Change] = [
    ("", ""),
    ("", "model.dropout=<0.1..0.3>"),
    ("", "optimizer.lr=<lr 0.3..0.6>", 20),
    ("", "optimizer={name: <adam|adamw|nadam|amsgrad>, lr: 0.002}"),
    ("", "clip_norm=<0.5..5>"),
    ("", "schedule=cosine"),
    ("", "data.batch_size=<16|32>", 6),
    ("", "weight_decay=<1e-5..1e-4>"),
    ("", "labels: a tenth wrong"),
    ("", "model.init=kaiming"),
    ("", "model.depth=<1|3>"),
]


def drawn(seed: int, of_users: bool, of_each: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A number of trainings of each change: name -> entry of cases.json.gz, without its truth."""
    rng = random.Random(seed)
    networks = USER_NETWORKS if of_users else NETWORKS
    harmful, harmless = (USER_CHANGES, USER_HARMLESS) if of_users else (CHANGES, HARMLESS)
    for cause, change in [*harmful.items(), *(("", change) for change in harmless)]:
        families, text, epochs = (*change, EPOCHS)[:3]
        for _ in range(of_each):
            family = rng.choice(families.split() or list(networks))
            model, optimizer, rates, more = networks[family]
            rate = float(filled(f"<{rates}>", rng))
            network = [filled(f"model={{{model}}}", rng), f"optimizer={{name: {optimizer}, lr: {rate}{more}}}"]
            network += [f"data.dataset={rng.choice(('digits', 'fashion-mnist'))}"] if of_users else []
            made = filled(text, rng, rate)
            labels = made.removeprefix("labels: ") if made.startswith("labels: ") else ""
            settings = [] if labels else split(made)
            entry: dict[str, Any] = {
                "cause": cause,
                "preset": "sigmoid.yaml",
                "network": network,
                "change": settings,
            }
            entry |= {"labels": labels, "epochs": epochs, "seed": rng.randrange(100, 10_000), "truth": "unclear"}
            yield f"{cause or 'healthy'}: {family} {made or epochs} {entry['seed']}", entry | accepted_by(cause)


def filled(text: str, rng: random.Random, rate: float = 0.0) -> str:
    """A text whose places are drawn, the innermost first."""
    while "<" in text:
        text = re.sub(r"<([^<>]*)>", lambda place: _drawn(place[1], rng, rate), text)
    return text


def _drawn(place: str, rng: random.Random, rate: float) -> str:
    words = place.split()
    kinds: dict[str, Callable[[], Any]] = {
        "int": lambda: rng.randint(int(words[1]), int(words[2])),
        "layers": lambda: [rng.choice((32, 48, 64, 96, 128))] * rng.randint(int(words[1]), int(words[2])),
        "lr": lambda: rate * _between(words[1], rng),
    }
    if words and words[0] in kinds:
        value = kinds[words[0]]()
    elif "|" in place:
        return rng.choice(place.split("|"))
    else:
        value = _between(place, rng)
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _between(limits: str, rng: random.Random) -> float:
    low, high = map(float, limits.split(".."))
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def split(change: str) -> list[str]:
    """`a=1 b={c: 2, d: 3}` -> its settings."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(f"{change} "):
        depth += (letter in "{[") - (letter in "}]")
        if letter == " " and depth == 0 and at > start:
            parts.append(change[start:at].strip())
            start = at + 1
    return parts
