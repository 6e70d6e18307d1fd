"""The labelled trainings for which the rules of `optilab diagnose` were made: what was done to each network, and why.

Every case is one of the healthy networks in NETWORKS (or a preset) with one change. Its label is the change, not what
came of it; whether the change did harm is decided by the outcome, beside the unchanged network from the same seed
(`outcome.verdict`).
"""

from dataclasses import dataclass

NETWORKS: dict[str, tuple[str, ...]] = {
    "relu": ("model={hidden: [64, 64, 64], activation: relu, init: kaiming}", "optimizer={name: sgd, lr: 0.1}"),
    "tanh": ("model={hidden: [64, 64, 64, 64], activation: tanh, init: xavier}", "optimizer={name: sgd, lr: 0.1}"),
    "gelu": ("model={hidden: [96, 96], activation: gelu}", "optimizer={name: adam, lr: 0.001}"),
    "batchnorm": (
        "model={hidden: [64, 64, 64, 64], activation: sigmoid, norm: batch}",
        "optimizer={name: momentum, lr: 0.1, beta: 0.9, form: classic}",
    ),
    "elu": (
        "model={hidden: [128, 64, 32], activation: elu, init: lecun}",
        "optimizer={name: nesterov, lr: 0.02, beta: 0.9}",
    ),
    "silu": (
        "model={hidden: [48, 48, 48, 48, 48], activation: silu, init: kaiming}",
        "optimizer={name: rmsprop, lr: 0.001}",
    ),
}
"""Six networks that learn, unlike each other in width, depth, activation, initialisation, norm and optimizer."""

ACCEPTED: dict[str, frozenset[str]] = {
    "rate too high": frozenset({"learning-rate-too-high"}),
    "rate too low": frozenset({"learning-rate-too-low"}),
    "rate decayed to nothing": frozenset({"learning-rate-decayed"}),
    "collapsed late": frozenset({"learning-rate-too-high"}),
    "vanishing": frozenset({"vanishing-gradient"}),
    "exploding": frozenset({"weights-too-large"}),
    "saturated": frozenset({"weights-too-large"}),
    "dead": frozenset({"dead-units"}),
    "symmetric": frozenset({"symmetric-init"}),
    "near-symmetric": frozenset({"symmetric-init"}),
    "eps": frozenset({"eps-dominates"}),
    "weight decay": frozenset({"weight-decay-too-strong"}),
    "dropout": frozenset({"dropout-too-strong"}),
    "memorised": frozenset({"overfitting"}),
    "too few images": frozenset({"too-few-images"}),
    "labels shuffled": frozenset({"labels-unrelated"}),
    "prior only": frozenset({"inputs-out-of-scale"}),
    "one class": frozenset({"one-class"}),
    "batch norm, small batches": frozenset({"batch-norm-small-batch"}),
    "validation labels": frozenset({"labels-unrelated"}),
}
"""Cause -> the findings that name it. Too large first weights are one cause: gradients explode or units saturate."""

TWO = {
    "prior only + rate too low": ("prior only", "rate too low"),
    "weight decay + vanishing": ("weight decay", "vanishing"),
    "dropout + rate too low": ("dropout", "rate too low"),
    "dead + dropout": ("dead", "dropout"),
}
"""Two changes at once, neither of which helps without the other; both findings have to stand first, in any order."""
VISIBLE = frozenset(
    {"rate too high", "rate too low", "vanishing", "exploding", "saturated", "dead", "symmetric", "near-symmetric"}
    | {"eps", "weight decay", "prior only", "one class", *TWO}
)
"""Causes that sixty batches can show; the others take longer, or are harmless at first."""
ACCEPTED |= {name: ACCEPTED[one] | ACCEPTED[other] for name, (one, other) in TWO.items()}


@dataclass(frozen=True)
class Case:
    """One training: the settings of a `network` that learns, then `change`; `data` names what is done to the labels.

    An empty `cause` is a network that was left healthy.
    """

    name: str
    cause: str
    network: tuple[str, ...]
    change: tuple[str, ...]
    data: str
    epochs: int
    seed: int


def _deep(activation: str, layers: int, init: str, lr: float) -> str:
    return (
        f"model={{hidden: {[64] * layers}, activation: {activation}, init: {init}}} "
        f"optimizer={{name: sgd, lr: {lr}}}"
    )


SICK: dict[str, list[tuple[str, str]]] = {
    "rate too high": [
        *[("relu", f"optimizer.lr={lr}") for lr in (2, 5, 30)],
        *[("tanh", f"optimizer.lr={lr}") for lr in (3, 10, 100)],
        *[("gelu", f"optimizer.lr={lr}") for lr in (0.1, 0.3, 1)],
        *[("batchnorm", f"optimizer.lr={lr}") for lr in (20, 100)],
        *[("elu", f"optimizer.lr={lr}") for lr in (0.3, 1, 3)],
        *[("silu", f"optimizer.lr={lr}") for lr in (0.03, 0.1, 0.5)],
        ("gelu", "optimizer={name: adamw, lr: 0.2}"),
        ("relu", "optimizer={name: momentum, lr: 0.5, form: classic}"),
        ("relu", "optimizer={name: lion, lr: 0.03}"),
    ],
    "rate too low": [
        *[("relu", f"optimizer.lr={lr}") for lr in (1e-6, 1e-5, 1e-4)],
        *[("tanh", f"optimizer.lr={lr}") for lr in (1e-7, 1e-5, 1e-4)],
        *[("gelu", f"optimizer.lr={lr}") for lr in (1e-8, 1e-7, 1e-6)],
        *[("batchnorm", f"optimizer.lr={lr}") for lr in (1e-6, 1e-5)],
        *[("elu", f"optimizer.lr={lr}") for lr in (1e-7, 1e-6, 1e-5)],
        *[("silu", f"optimizer.lr={lr}") for lr in (1e-8, 1e-7, 1e-6)],
        ("relu", "optimizer={name: adagrad, lr: 1e-06}"),
    ],
    "rate decayed to nothing": [
        *[(n, "schedule={name: step, every: 1, gamma: 0.01}") for n in ("relu", "gelu", "elu", "silu")],
        *[
            (n, "schedule={name: polynomial, steps: 20, final: 0} schedule_by=batch")
            for n in ("relu", "tanh", "gelu")
        ],
        *[(n, "schedule={name: cosine, steps: 30, final: 0} schedule_by=batch") for n in ("tanh", "batchnorm")],
        *[(n, "schedule={name: step, every: 10, gamma: 0.1} schedule_by=batch") for n in ("silu", "relu", "elu")],
    ],
    "collapsed late": [
        *[
            ("relu", f"optimizer.lr={lr} schedule={{name: warm-up, steps: {steps}, start: 0.0}}")
            for lr, steps in ((4, 8), (8, 10), (20, 12))
        ],
        *[
            ("elu", f"optimizer.lr={lr} schedule={{name: warm-up, steps: {steps}, start: 0.0}}")
            for lr, steps in ((0.8, 8), (2, 10))
        ],
        *[
            ("gelu", f"optimizer.lr={lr} schedule={{name: warm-up, steps: {steps}, start: 0.0}}")
            for lr, steps in ((0.2, 8), (1, 12))
        ],
        ("tanh", "optimizer.lr=20 schedule={name: warm-up, steps: 10, start: 0.0}"),
        ("silu", "optimizer.lr=0.1 schedule={name: warm-up, steps: 8, start: 0.0}"),
        ("relu", "optimizer={name: momentum, lr: 0.3, form: classic}"),
    ],
    "vanishing": [
        ("relu", _deep("sigmoid", 4, "default", 0.1)),
        ("relu", _deep("sigmoid", 5, "default", 0.05)),
        ("relu", _deep("sigmoid", 6, "xavier", 0.1)),
        ("relu", _deep("sigmoid", 5, "{name: normal, std: 0.05}", 0.1)),
        ("relu", _deep("sigmoid", 8, "default", 0.1)),
        ("relu", _deep("hard-sigmoid", 6, "default", 0.1)),
        ("relu", _deep("tanh", 6, "{name: normal, std: 0.02}", 0.1)),
        ("relu", _deep("tanh", 8, "{name: normal, std: 0.03}", 0.05)),
        ("relu", _deep("relu", 8, "{name: normal, std: 0.02}", 0.1)),
        ("relu", _deep("relu", 12, "default", 0.05)),
        ("relu", _deep("gelu", 8, "default", 0.1)),
        ("relu", _deep("softsign", 8, "{name: normal, std: 0.02}", 0.1)),
        ("relu", _deep("sigmoid", 5, "default", 0.05).replace("sgd", "momentum")),
        ("relu", _deep("sigmoid", 10, "lecun", 0.1)),
        ("relu", _deep("silu", 10, "default", 0.1)),
        ("relu", _deep("sigmoid", 7, "{name: orthogonal}", 0.1)),
    ],
    "exploding": [
        ("relu", "model.init={name: normal, std: 1}"),
        ("relu", "model.init={name: normal, std: 0.6}"),
        ("relu", "model.init={name: kaiming, gain: 6}"),
        ("relu", "model.init={name: kaiming, gain: 10} optimizer.lr=0.01"),
        ("silu", "model.init={name: normal, std: 1}"),
        ("silu", "model.init={name: kaiming, gain: 8}"),
        ("elu", "model.init={name: normal, std: 1}"),
        ("elu", "model.init={name: uniform, low: -1, high: 1}"),
        ("gelu", "model.init={name: normal, std: 2}"),
        ("gelu", "model.init={name: normal, std: 5}"),
        ("relu", "model.init={name: xavier, gain: 8} model.hidden=[64, 64, 64, 64, 64, 64]"),
    ],
    "saturated": [
        *[("tanh", f"model.init={{name: normal, std: {std}}}") for std in (1, 2, 3, 10)],
        ("tanh", "model.init={name: uniform, low: -3, high: 3}"),
        ("tanh", "model.init={name: xavier, gain: 15}"),
        ("tanh", "model.activation=softsign model.init={name: normal, std: 5}"),
        ("tanh", "model.activation=sigmoid model.init={name: normal, std: 10}"),
        ("tanh", "model.activation=sigmoid model.init={name: normal, std: 5}"),
        ("tanh", "model.activation=hard-sigmoid model.init={name: normal, std: 10}"),
    ],
    "dead": [
        *[("relu", f"model.bias_init={{name: constant, value: {value}}}") for value in (-3, -10, -100)],
        ("relu", "model.init={name: uniform, low: -0.2, high: 0.0}"),
        ("relu", "model.init={name: normal, mean: -0.1, std: 0.05}"),
        ("silu", "model.activation=relu model.bias_init={name: constant, value: -5}"),
        ("silu", "model.activation=relu model.init={name: uniform, low: -0.3, high: 0.01}"),
        ("elu", "model.activation=relu model.bias_init={name: constant, value: -20}"),
        ("elu", "model.activation=relu model.bias_init={name: normal, mean: -6, std: 0.5}"),
        ("gelu", "model.activation=relu model.bias_init={name: constant, value: -4}"),
        ("elu", "model.activation=selu model.bias_init={name: constant, value: -40}"),
    ],
    "symmetric": [
        *[
            (n, f"model.init={{name: constant, value: {v}}}")
            for n, v in (("relu", 0), ("relu", 0.02), ("tanh", 0.1))
        ],
        *[
            (n, f"model.init={{name: constant, value: {v}}}")
            for n, v in (("gelu", 0), ("gelu", 0.05), ("elu", 0.01))
        ],
        *[(n, f"model.init={{name: constant, value: {v}}}") for n, v in (("silu", 0.1), ("tanh", 0), ("silu", 0))],
        ("tanh", "model.init={name: constant, value: 0.5} model.output_init=xavier"),
    ],
    "near-symmetric": [
        ("relu", "model.init={name: normal, mean: 0.02, std: 1e-06}"),
        ("relu", "model.init={name: normal, mean: 0.02, std: 1e-05}"),
        ("tanh", "model.init={name: normal, mean: 0.1, std: 1e-05}"),
        ("tanh", "model.init={name: uniform, low: 0.05, high: 0.0501}"),
        ("gelu", "model.init={name: normal, mean: 0.05, std: 1e-07}"),
        ("elu", "model.init={name: normal, mean: 0.01, std: 1e-07}"),
        ("elu", "model.init={name: uniform, low: 0.02, high: 0.020001}"),
        ("silu", "model.init={name: normal, mean: 0.1, std: 1e-06}"),
    ],
    "eps": [
        *[("gelu", f"optimizer.eps={eps}") for eps in (0.1, 1, 10, 100)],
        *[("silu", f"optimizer.eps={eps}") for eps in (1, 10, 100)],
        ("gelu", "optimizer={name: adamw, lr: 0.001, eps: 3}"),
        ("silu", "optimizer={name: adamax, lr: 0.002, eps: 10}"),
        ("gelu", "optimizer={name: nadam, lr: 0.001, eps: 30}"),
        ("relu", "optimizer={name: adagrad, lr: 0.01, eps: 100}"),
        ("relu", "optimizer={name: amsgrad, lr: 0.001, eps: 10}"),
    ],
    "weight decay": [
        *[("relu", f"weight_decay={decay}") for decay in (0.1, 0.3, 1, 5)],
        *[("tanh", f"weight_decay={decay}") for decay in (0.1, 0.5, 2)],
        *[("elu", f"weight_decay={decay}") for decay in (0.1, 1)],
        *[("gelu", f"weight_decay={decay}") for decay in (0.1, 1)],
        *[("silu", f"weight_decay={decay}") for decay in (0.3, 3)],
        ("gelu", "optimizer={name: adamw, lr: 0.001, weight_decay: 30}"),
        ("relu", "optimizer={name: adamw, lr: 0.001, weight_decay: 100}"),
    ],
    "dropout": [
        *[("relu", f"model.dropout={share}") for share in (0.8, 0.9, 0.95)],
        *[("tanh", f"model.dropout={share}") for share in (0.8, 0.9)],
        *[("gelu", f"model.dropout={share}") for share in (0.95, 0.98)],
        *[("elu", f"model.dropout={share}") for share in (0.9, 0.95)],
        *[("silu", f"model.dropout={share}") for share in (0.7, 0.8, 0.9)],
        ("relu", "model.input_dropout=0.98"),
    ],
    "memorised": [
        *[("gelu", f"optimizer.lr={lr} data.images=1000 epochs=40") for lr in (0.003, 0.005)],
        ("relu", "optimizer={name: adam, lr: 0.003} data.images=800 epochs=40"),
        ("elu", "optimizer={name: adam, lr: 0.002} data.images=1000 epochs=40"),
        ("silu", "data.images=1000 epochs=40 optimizer.lr=0.003"),
        ("gelu", "model.hidden=[256, 256] optimizer.lr=0.003 epochs=40"),
        ("relu", "model.hidden=[256, 256, 256] optimizer={name: nadam, lr: 0.002} epochs=40"),
        ("elu", "model.hidden=[256, 256] optimizer={name: adamw, lr: 0.002} epochs=40"),
    ],
    "too few images": [
        *[(n, f"data.images={count}") for n, count in (("relu", 20), ("relu", 60), ("tanh", 100), ("gelu", 40))],
        *[(n, f"data.images={count} epochs=25") for n, count in (("gelu", 150), ("elu", 30), ("elu", 100))],
        *[(n, f"data.images={count} epochs=25") for n, count in (("silu", 50), ("silu", 200), ("relu", 10))],
    ],
    "labels shuffled": [(n, "labels: shuffled") for n in NETWORKS]
    + [(n, "labels: shifted") for n in NETWORKS]
    + [("gelu", "labels: shuffled optimizer.lr=0.003"), ("relu", "labels: shuffled optimizer.lr=0.05")],
    "prior only": [
        *[
            (n, f"data.normalize.scale={scale}")
            for n, scale in (("relu", 1e7), ("tanh", 1e6), ("gelu", 1e8), ("elu", 1e6))
        ],
        *[
            (n, f"data.normalize.scale={scale}")
            for n, scale in (("silu", 1e8), ("relu", 1e5), ("tanh", 1e7), ("elu", 1e8))
        ],
    ],
    "one class": [(n, "labels: one") for n in NETWORKS],
    "batch norm, small batches": [
        *[("batchnorm", f"data.batch_size={size} epochs=2") for size in (2, 3, 4)],
        *[("batchnorm", f"data.batch_size={size} optimizer.lr=0.02 epochs=2") for size in (2, 3)],
        *[("relu", f"model.norm=batch data.batch_size={size} epochs=2") for size in (2, 3)],
        *[("gelu", f"model.norm=batch data.batch_size={size} epochs=2") for size in (2, 3)],
        *[("tanh", f"model.norm=batch data.batch_size={size} optimizer.lr=0.03 epochs=2") for size in (2, 4)],
        ("relu", "model.norm=standardize model.hidden=[64, 64] data.batch_size=2 epochs=2"),
    ],
    **{cause: [] for cause in ("validation labels", *TWO)},  # drawn only
    "weight decay + vanishing": [
        ("relu", f"{_deep(activation, layers, init, lr)} weight_decay={decay}")
        for activation, layers, init, lr, decay in (
            ("tanh", 9, "{name: normal, std: 0.023}", 0.14, 2.5),
            ("softsign", 5, "{name: normal, std: 0.028}", 0.12, 1.1),
            ("relu", 9, "default", 0.063, 0.42),
            ("sigmoid", 8, "{name: normal, std: 0.026}", 0.071, 0.5),
            ("hard-sigmoid", 5, "{name: normal, std: 0.033}", 0.063, 1.4),
            ("gelu", 11, "default", 0.12, 0.97),
            ("sigmoid", 7, "xavier", 0.05, 1),
            ("sigmoid", 5, "default", 0.1, 0.3),
            ("tanh", 7, "{name: normal, std: 0.03}", 0.05, 0.6),
            ("silu", 8, "{name: normal, std: 0.05}", 0.08, 2),
        )
    ],
}
"""Cause -> (network, change) of its cases."""

HARMLESS: list[tuple[str, str]] = [
    *[(n, f"seed={seed}") for n in NETWORKS for seed in (1, 2)],
    # every optimizer of the package that needs gradients alone, at a rate of its own
    *[("relu", f"optimizer={name}") for name in ("adam", "adamw", "nadam", "radam", "amsgrad", "adamax", "adopt")],
    *[("gelu", f"optimizer={name}") for name in ("adabelief", "laprop", "rmsprop", "adan", "ademamix", "adagrad")],
    *[("elu", f"optimizer={name}") for name in ("yogi", "lion", "signum", "signsgd", "adadelta", "prodigy")],
    *[("tanh", f"optimizer={name}") for name in ("schedule-free-adamw", "schedule-free-sgd", "momentum", "rprop")],
    ("tanh", "optimizer={name: qhm, lr: 0.1}"),
    ("tanh", "optimizer={name: lookahead}"),
    ("relu", "optimizer={name: barzilai-borwein, lr: 0.05}"),
    # slow, but on their way
    *[(n, f"optimizer.lr={lr} epochs=20") for n, lr in (("relu", 0.01), ("tanh", 0.01), ("elu", 0.003))],
    *[(n, f"optimizer.lr={lr} epochs=20") for n, lr in (("gelu", 0.0001), ("silu", 0.0001), ("batchnorm", 0.003))],
    *[(n, "epochs=2") for n in ("relu", "tanh", "gelu", "elu")],
    # settings that look wrong and are not
    ("gelu", "optimizer.eps=0.001"),
    ("silu", "optimizer.eps=0.01"),
    ("relu", "model.dropout=0.3"),
    ("gelu", "model.dropout=0.5"),
    ("relu", "weight_decay=0.001"),
    ("gelu", "optimizer={name: adamw, lr: 0.001, weight_decay: 0.1}"),
    ("batchnorm", "data.batch_size=8 epochs=4"),
    ("batchnorm", "data.batch_size=16"),
    ("relu", "model.norm=batch data.batch_size=8 epochs=4"),
    ("relu", "clip_norm=1"),
    ("tanh", "clip_value=0.1"),
    ("relu", "schedule=cosine"),
    ("gelu", "schedule=one-cycle schedule_by=batch optimizer.lr=0.005"),
    ("elu", "schedule={name: step, every: 4, gamma: 0.3}"),
    ("silu", "schedule={name: warm-up, steps: 3}"),
    ("tanh", "plateau={patience: 2, factor: 0.5}"),
    ("relu", "model.bias=none"),
    ("relu", "model.output_init={name: constant, value: 0}"),
    ("relu", "model.bias_init={name: constant, value: -0.1}"),
    ("relu", "model.hidden=[256, 256]"),
    ("gelu", "model.hidden=[]"),
    ("relu", "model.hidden=[16]"),
    ("relu", "model.freeze=[1]"),
    ("relu", "model.skip=[[1, 3]]"),
    ("relu", "data.batch_size=128 optimizer.lr=0.2"),
    ("relu", "data.normalize.mean=0.286 data.normalize.std=0.353"),
    ("gelu", "data.images=1200"),
    ("tanh", "labels: a tenth wrong"),
    ("relu", "labels: uneven"),
    ("batchnorm", "labels: uneven"),
    ("tanh", "model.norm=layer"),
    ("relu", "model.activation=softplus"),
    ("relu", "model.activation=mish"),
    ("tanh", "model.activation=softsign"),
    ("relu", "model.activation=prelu"),
]

PRESETS: dict[str, str] = {
    "adam": "",
    "adopt": "",
    "batchnorm": "",
    "deep": "",
    "gradient-norm": "",
    "kitchen-sink": "",
    "layernorm": "",
    "lr": "",
    "momentum": "vanishing",
    "relu": "",
    "rmsprop": "",
    "sigmoid": "vanishing",
    "skip": "",
    "staged": "",
    "standardize": "",
    "tanh": "",
    "unit-gain": "",
    "weight-std1": "",
    "weight-std10": "saturated",
    "xavier": "vanishing",
    "published/adopt": "",
    "published/batchnorm": "",
    "published/relu": "",
    "published/sigmoid": "vanishing",
    "published/weight-std1": "",
}


def cases() -> list[Case]:
    """Every case of the design half, by which the rules were made."""
    listed = [_case(cause, *pair, n) for cause, pairs in SICK.items() for n, pair in enumerate(pairs)]
    listed += [_case("", *pair, n) for n, pair in enumerate(HARMLESS)]
    listed += [_preset(name, cause) for name, cause in PRESETS.items()]
    return sorted(listed, key=lambda case: case.name)


def _case(cause: str, network: str, change: str, number: int) -> Case:
    texts, data, epochs, seed = [], "", 12, 1 + number % 2  # two seeds: the twins are trained once for each
    for text in split(change):
        key, _, value = text.partition("=")
        if key == "labels":
            data = value
        elif key == "epochs":
            epochs = int(value)
        elif key == "seed":
            seed = int(value)
        else:
            texts.append(text)
    name = f"{cause or 'healthy'} {number + 1}: {network} {change}"
    return Case(name, cause, NETWORKS[network], tuple(texts), data, epochs, seed)


def split(change: str) -> list[str]:
    """`a=1 b={c: 2, d: 3}` -> its settings; `labels: NAME` -> `labels=NAME`."""
    if change.startswith("labels: "):
        label, *rest = change.removeprefix("labels: ").split(" optimizer.")
        return [f"labels={label}", *[f"optimizer.{text}" for text in rest]]
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(f"{change} "):
        depth += (letter in "{[") - (letter in "}]")
        if letter == " " and depth == 0 and at > start:
            parts.append(change[start:at].strip())
            start = at + 1
    return parts


def _preset(name: str, cause: str) -> Case:
    """A preset with smaller batches, so that its steps are as many on a tenth of the images."""
    return Case(f"preset {name}", cause, (f"preset {name}",), (), "", 4 if name == "deep" else 20, 42)
