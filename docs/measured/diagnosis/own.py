"""Labelled trainings of `train` with networks of the user's own (`nets.py`): drawn like those of `drawn.py`.

The halves have other families of networks, other strengths of the changes and other seeds. Images are 8 x 8: the digits
of scikit-learn, or those of FashionMNIST made smaller.
"""

from collections.abc import Callable
from typing import NamedTuple

from tests.diagnosis import generate
from tests.diagnosis.cases import Case, split
from tests.diagnosis.drawn import Dice, _around


class Family(NamedTuple):
    """A class of nets.py, the optimizer and the rates with which it learns, and which changes have a meaning for it."""

    network: str
    optimizer: str
    rates: tuple[float, float]
    more: str = ""  # other arguments
    widths: tuple[int, ...] = (8, 12, 16)
    act: bool = True  # ReLU between its layers
    norm: bool = False  # a batch norm by default
    place: int = 0  # of its seed


FAMILIES: dict[str, dict[str, Family]] = {
    "own-design": {
        "cnn": Family("CNN", "adam", (2e-3, 5e-3), place=0),
        "residual": Family(
            "Residual", "momentum", (0.02, 0.05), ", beta: 0.9", widths=(8, 12), norm=True, place=1
        ),
        "lstm": Family("Recurrent", "adam", (3e-3, 1e-2), widths=(24, 32, 48), act=False, place=2),
        "transformer": Family("Transformer", "adamw", (2e-3, 5e-3), widths=(24, 32), act=False, place=3),
    },
    "own-held-out": {
        "gru": Family("Gated", "rmsprop", (1e-3, 4e-3), widths=(24, 40), act=False, place=1),
        "mixer": Family("Mixer", "nadam", (2e-3, 5e-3), widths=(16, 24), act=False, place=3),
        "plain-cnn": Family("CNN", "sgd", (0.05, 0.1), widths=(10, 14), place=4),
    },
}
"""Half -> the networks that are drawn for it."""
SEEDS = {"own-design": 20261201, "own-held-out": 20261217}
ACCEPTED: dict[str, frozenset[str]] = {
    "softmax twice": frozenset({"softmax-twice"}),
    "graph cut": frozenset({"graph-cut"}),
    "vanishing through time": frozenset({"vanishing-through-time", "vanishing-gradient"}),
}
"""What only a network of the user's own can have; the other causes are those of `cases.ACCEPTED`."""

Change = tuple[str, int] | None
"""Texts of settings, and epochs; None where the change has no meaning for the family."""


def _stops(rng: Dice, family: Family, rate: float) -> Change:
    return rng.choice(
        (
            f"schedule={{name: step, every: 1, gamma: {_around(rng, 0.002, 0.02)}}}",
            f"schedule={{name: polynomial, steps: {rng.randint(8, 20)}, final: 0}} schedule_by=batch",
        )
    ), 12


def _vanishing(rng: Dice, family: Family, rate: float) -> Change:
    if not family.act or family.network == "Residual":
        return None
    depth = rng.randint(6, 9) if family.network == "CNN" else rng.randint(4, 5)
    return f"model.activation=sigmoid model.depth={depth} model.norm=none optimizer={{name: sgd, lr: 0.05}}", 12


def _dead(rng: Dice, family: Family, rate: float) -> Change:
    if not family.act or family.norm:
        return None
    return f"model.bias_init={{name: constant, value: -{_around(rng, 4, 40)}}}", 12


def _eps(rng: Dice, family: Family, rate: float) -> Change:
    adapts = family.optimizer in ("adam", "adamw", "nadam", "rmsprop")
    return (f"optimizer.eps={_around(rng, 3, 100)}", 12) if adapts else None


def _through_time(rng: Dice, family: Family, rate: float) -> Change:
    if family.network not in ("Recurrent", "Gated"):
        return None
    return f"model.plain=true model.pixels=true model.init={{name: normal, std: {_around(rng, 0.03, 0.08)}}}", 8


CAUSES: dict[str, Callable[[Dice, Family, float], Change]] = {
    "rate too high": lambda rng, family, rate: (f"optimizer.lr={rate * _around(rng, 60, 500):.2g}", 12),
    "rate too low": lambda rng, family, rate: (f"optimizer.lr={rate * _around(rng, 1e-5, 1e-3):.2g}", 12),
    "rate decayed to nothing": _stops,
    "vanishing": _vanishing,
    "exploding": lambda rng, family, rate: (f"model.init={{name: normal, std: {_around(rng, 1.5, 5)}}}", 12),
    "dead": _dead,
    "symmetric": lambda rng, family, rate: (
        f"model.init={{name: constant, value: {_around(rng, 0.01, 0.1)}}}",
        12,
    ),
    "eps": _eps,
    "weight decay": lambda rng, family, rate: (
        f"optimizer={{name: adamw, lr: {rate:.2g}, weight_decay: {_around(rng, 30, 100)}}}"
        if family.optimizer == "adamw"
        else f"weight_decay={_around(rng, 0.3, 3)}",
        12,
    ),
    "dropout": lambda rng, family, rate: (f"model.dropout={rng.uniform(0.93, 0.98):.2f}", 12),
    "too few images": lambda rng, family, rate: (f"data.images={rng.randrange(30, 100, 10)}", 30),
    "labels shuffled": lambda rng, family, rate: (f"labels: {rng.choice(('shuffled', 'shifted'))}", 16),
    "validation labels": lambda rng, family, rate: ("labels: validation shifted", 12),
    "prior only": lambda rng, family, rate: (f"data.normalize.scale={_around(rng, 1e6, 1e8):.0f}", 8),
    "one class": lambda rng, family, rate: ("labels: one", 8),
    "softmax twice": lambda rng, family, rate: ("model.softmax=true", 12),
    "graph cut": lambda rng, family, rate: ("model.cut=true", 12),
    "vanishing through time": _through_time,
}
"""Cause -> a change of a network of this family at this rate."""
BUGS = ("softmax twice", "graph cut")
"""They are there, whatever they cost."""

HARMLESS: tuple[Callable[[Dice, Family, float], Change], ...] = (
    lambda rng, family, rate: ("", 12),
    lambda rng, family, rate: ("", 12),
    lambda rng, family, rate: (f"model.dropout={rng.uniform(0.1, 0.3):.2f}", 12),
    lambda rng, family, rate: (f"optimizer.lr={rate * rng.uniform(0.3, 0.6):.2g}", 20),
    lambda rng, family, rate: (
        f"optimizer={{name: {rng.choice(('adam', 'adamw', 'nadam', 'amsgrad'))}, lr: 0.002}}",
        12,
    ),
    lambda rng, family, rate: (f"clip_norm={_around(rng, 0.5, 5)}", 12),
    lambda rng, family, rate: ("schedule=cosine", 12),
    lambda rng, family, rate: (f"data.batch_size={rng.choice((16, 32))}", 6),
    lambda rng, family, rate: (f"weight_decay={_around(rng, 1e-5, 1e-4)}", 12),
    lambda rng, family, rate: ("labels: a tenth wrong", 12),
    lambda rng, family, rate: ("model.init=kaiming", 12),
    lambda rng, family, rate: (f"model.depth={rng.choice((1, 3))}", 12),
)
"""Settings that do no harm."""


def drawn(half: str) -> list[Case]:
    """Every family with half of the changes that have a meaning for it, and with a third of the harmless ones."""
    found = []
    for name, family in FAMILIES[half].items():
        rng = Dice(SEEDS[half] + family.place, ())
        for number, (cause, change) in enumerate([*CAUSES.items(), *(("", one) for one in HARMLESS)]):
            rate = _around(rng, *family.rates)
            data = rng.choice(("digits", "fashion-mnist"))
            model = f"{{name: '{generate.HERE}/nets.py:{family.network}', width: {rng.choice(family.widths)}}}"
            network = (f"model={model}", f"optimizer={{name: {family.optimizer}, lr: {rate}{family.more}}}",
                       f"data.dataset={data}")  # fmt: skip
            made = change(rng, family, rate)
            if made is None or (number + family.place) % (2 if cause else 3):
                continue
            text, epochs = made
            texts = split(text)
            labels = next((t.removeprefix("labels=") for t in texts if t.startswith("labels=")), "")
            sets = tuple(t for t in texts if not t.startswith("labels="))
            title = f"{cause or 'healthy'} {number}: {name} {text or epochs}"
            found.append(Case(title, cause, network, sets, labels, epochs, rng.randrange(100, 10_000)))
    return found
