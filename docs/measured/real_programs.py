"""Faulty Keras programs that people asked about, as plain PyTorch loops under `optilab.watch`, each broken and mended.

The programs are in real_programs.yaml, with the types of their faults. Wardat et al. (DeepLocalize, ICSE 2021;
DeepDiagnosis, ICSE 2022) and Cao et al. (DeepFD, ICSE 2022) collected them. Initialization, losses and optimizers are
those of Keras.
Skill is the explained fraction of the variance, or the accuracy above that of the most frequent class as a fraction of
what is possible. A program fails if its skill is below 0.55, or 0.1 or more below that of the mended one. The first
cause is true if the program with all mends but those of its types fails. A remedy cures if the skill comes within a
tenth of the mended program's, or half of the way to 1.
The loops take about four minutes on one core.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import optilab
from docs.measured import figures
from docs.measured.drawn_faults import MIN_LOSS_OF_SKILL, MIN_SKILL
from optilab.data import fetch
from optilab.diagnose.verdict import Finding, Severity

SEED = 7
EPS = 1e-7
"""Keras' epsilon: of its optimizers, and the least probability in its cross entropies."""
ROUNDS = 3
"""Diagnoses, each followed by its first remedy."""
MEANS = {
    "act": "dead-units vanishing-gradient softmax-twice logits-as-probabilities constant-outputs targets-out-of-reach "
    "no-nonlinearity",
    "loss": "loss-not-finite softmax-twice logits-as-probabilities labels-out-of-range regression-of-classes",
    "lr": "learning-rate-decayed learning-rate-too-high learning-rate-too-low learning-rate-zero",
    "epoch": "training-too-short",
    "opt": "eps-dominates",
    "init": "symmetric-init weights-too-large dead-units vanishing-gradient",
    "batch": "batch-norm-small-batch",
    "prep": "one-class labels-unrelated inputs-out-of-scale non-finite-data validation-out-of-scale "
    "targets-out-of-reach labels-out-of-range targets-out-of-scale",
    "data": "one-class labels-unrelated too-few-images overfitting non-finite-data labels-out-of-range",
    "layer": "weight-decay-too-strong dropout-too-strong overfitting",
}
"""Type of a ground truth -> the findings that mean it; bugs of a loop are not there, because `train` has none."""


@dataclass(frozen=True)
class Program:
    data: str
    kind: str
    hidden: list[str]
    """`dense UNITS` or `conv CHANNELS KERNEL`, options, activations; or `pool`, `flatten`, `dropout`."""
    last: str
    loss: str
    optimizer: str
    lr: float
    batch: int
    epochs: int
    momentum: float = 0.0
    decay: float = 0.0
    """The rate after t steps is lr/(1 + decay*t)."""
    init: str = "glorot"
    dropout: float = 0.0
    norm: str = ""
    inputs: str = ""
    targets: str = ""
    """Both scaled: `standardize`, `divide` by 255, or nothing."""

    def ending_in(self, activation: str) -> "Program":
        words = [word for word in self.last.split() if word not in LAYERS]
        return replace(self, last=" ".join([*words, activation]))


Mends = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Question:
    truth: set[str]
    published: list[str]
    broken: Program
    mends: Mends = field(default_factory=dict)
    further: Mends = field(default_factory=dict)
    differs: str = ""

    def mended(self, further: bool = False, without: Iterable[str] = ()) -> Program:
        """The program with its mends but those of a type in `without`."""
        mends = {**self.mends, **(self.further if further else {})}
        changes = [change for types, change in mends.items() if not {*types.split()} & {*without}]
        return replace(self.broken, **{key: value for change in changes for key, value in change.items()})


def questions() -> dict[str, Question]:
    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    for row in rows.values():
        row |= {
            "truth": {*row["truth"].split()},
            "published": row["published"].split(),
            "broken": Program(**row["broken"]),
        }
    return {number: Question(**row) for number, row in rows.items()}


# --- data ---------------------------------------------------------------------------------------------------------


class Data(NamedTuple):
    x: Tensor
    y: Tensor
    x_new: Tensor
    y_new: Tensor
    validates: bool = False
    """The loop evaluates the new data after each epoch; otherwise only the skill is of them."""


def table_of(x: Any, y: Any, count: int = 0, validates: bool = False) -> Data:
    """The first `count` samples train, and the skill is of the others; without a count both are of all samples."""
    x, y = (torch.as_tensor(np.array(values), dtype=torch.float32) for values in (x, y))
    return Data(x[:count], y[:count], x[count:], y[count:], validates) if count else Data(x, y, x, y)


def shuffled(x: Any, y: Any) -> tuple[Any, Any]:
    order = random().permutation(len(x))
    return np.asarray(x)[order], np.asarray(y)[order]


def random() -> np.random.Generator:
    return np.random.default_rng(SEED)


def function(f: Callable[[Any], Any], start: float, end: float, count: int) -> Data:
    x = np.linspace(start, end, count)[:, None]
    return table_of(x, f(x))


def two_squares() -> Data:
    low, high = random().uniform(0.2, 0.4, (100, 2)), random().uniform(0.5, 0.7, (100, 2))
    return table_of(np.concatenate([low, high]), np.repeat([0, 1], 100))


def several_labels() -> Data:
    from sklearn.datasets import make_multilabel_classification

    x, y = make_multilabel_classification(n_samples=24_000, n_features=20, n_classes=3, random_state=SEED)
    return table_of(x, y, 19_200, validates=True)


def weighted_sum() -> Data:
    x = random().uniform(0, 10_000, (50_000, 3))
    return table_of(x, x @ [[2.0], [1.0], [0.5]] + 2.2)


def ones_and_zeros() -> Data:
    y = np.resize([1, 0], 2_200)
    return table_of(np.repeat(y[:, None], 128, 1), y, 2_000, validates=True)


def letters() -> Data:
    """The codes of three letters each; the label is 1 where the first letter is D."""
    words = ["ABC"] * 10 + ["DEF"] * 7 + ["ABF"] * 2 + ["DEC"]
    return table_of(*shuffled([[*map(ord, word)] for word in words], [word[0] == "D" for word in words]), 13)


def noisy_parabola() -> Data:
    x = np.arange(0, 5, 0.1)[:, None]
    return table_of(x, 5 * x**2 + random().standard_normal(x.shape) ** 3)


def waves() -> Data:
    angles = 2 * np.pi * np.arange(300) / 100
    return table_of(np.sin([angles[1:], angles[:-1]]).T, np.ones(299), 239)


def iris(count: int = 0) -> Data:
    from sklearn.datasets import load_iris

    return table_of(*shuffled(*load_iris(return_X_y=True)), count, validates=True)


def garments(divided: bool = False) -> Data:
    """FashionMNIST from 0 to 1; `divided`: not the new images are divided by 255, but the labels."""
    images = fetch.load_or_fetch("fashion-mnist")
    x, x_new = (torch.tensor(part)[:, None].float() for part in (images.train_images, images.test_images))
    y, y_new = (torch.tensor(part).float() for part in (images.train_labels, images.test_labels))
    y, x_new = ((y / 255).floor(), x_new) if divided else (y, x_new / 255)
    return Data(x[:2_000] / 255, y[:2_000], x_new[:500], y_new[:500])


def pictures() -> Data:
    """Ten patterns of colors, from 0 to 255, with noise, and another brightness and contrast in each picture."""
    y = random().integers(0, 10, 300)
    patterns = random().standard_normal((10, 3, 4, 4)).repeat(8, 2).repeat(8, 3)[y]
    noise, levels = random().standard_normal(patterns.shape), random().uniform(0, 1, (2, 300, 1, 1, 1))
    x = 90 + 70 * levels[0] + (20 + 40 * levels[1]) * (patterns + noise)
    return table_of(x.clip(0, 255).round(), y, 200, validates=True)


def game_of_life() -> Data:
    """The cells of a torus of 3 x 3, padded by their neighbors, and the next generation."""
    cells = random().integers(0, 2, (10_000, 1, 3, 3))
    moves = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
    near = sum(np.roll(cells, move, (2, 3)) for move in moves)
    x = np.pad(cells, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="wrap")
    return table_of(x, (near == 3) | ((near == 2) & (cells == 1)), 8_000, validates=True)


TABLES: tuple[Callable[[], Data], ...] = (
    two_squares, several_labels, weighted_sum, ones_and_zeros, letters, noisy_parabola, waves, iris, garments, pictures,
    game_of_life,
)  # fmt: skip
DATA: dict[str, Callable[[], Data]] = {table.__name__: table for table in TABLES} | {
    "xor": partial(table_of, [[1, 1], [1, 0], [0, 0], [0, 1]], [0, 1, 0, 1]),
    "xor_of_six": partial(table_of, [[1, 1], [0, 0], [1, 0], [0, 1], [1, 1], [0, 0]], [0, 0, 1, 1, 0, 0]),
    "fourth_power": partial(function, lambda x: x**4, -100, 99.5, 400),
    "parabola": partial(function, lambda x: x**2 + 3, -10, 10, 151),
    "quartic": partial(function, lambda x: x**4 + x**3 - x, 0, 1, 9_000),
    "half_of_iris": partial(iris, 75),
    "divided_labels": partial(garments, divided=True),
}


# --- training as Keras does it ------------------------------------------------------------------------------------

LAYERS = {
    "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "elu": nn.ELU, "selu": nn.SELU,
    "softmax": partial(nn.Softmax, -1), "pool": partial(nn.MaxPool2d, 2), "flatten": nn.Flatten,
}  # fmt: skip
INITIAL: dict[str, Callable[[Tensor], Any]] = {
    "glorot": nn.init.xavier_uniform_, "xavier": nn.init.xavier_normal_, "he": nn.init.kaiming_normal_,
    "kaiming": nn.init.kaiming_normal_, "uniform": partial(nn.init.uniform_, a=-0.05, b=0.05),
    "normal": partial(nn.init.normal_, std=0.05), "standard normal": nn.init.normal_,
}  # fmt: skip
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "categorical": lambda p, y: F.nll_loss((p / p.sum(1, keepdim=True)).clamp(EPS, 1 - EPS).log(), y),
    "binary": lambda p, y: F.binary_cross_entropy(p.clamp(EPS, 1 - EPS), y),
    "squared": F.mse_loss, "absolute": F.l1_loss,
}  # fmt: skip
OPTIMIZERS: dict[str, Callable[[Any, Program], torch.optim.Optimizer]] = {
    "sgd": lambda weights, program: torch.optim.SGD(weights, program.lr),
    "nesterov": lambda weights, program: torch.optim.SGD(weights, program.lr, program.momentum, nesterov=True),
    "adam": lambda weights, program: torch.optim.Adam(weights, program.lr, eps=EPS),
    "rmsprop": lambda weights, program: torch.optim.RMSprop(weights, program.lr, alpha=0.9, eps=EPS),
}


def network(program: Program, x: Tensor) -> nn.Sequential:
    """The layers, each with as many inputs as the one before it has outputs for `x`."""
    layers: list[nn.Module] = []
    for line in [*program.hidden, program.last]:
        name, *words = line.split()
        sizes, inputs = [int(word) for word in words if word.isdigit()], nn.Sequential(*layers)(x).shape[1]
        options = dict(word.split("=") for word in words if "=" in word)
        if name in ("dense", "conv"):
            padding = {"padding": int(options.get("padding", 0))} if name == "conv" else {}
            layer = (nn.Linear if name == "dense" else nn.Conv2d)(inputs, *sizes, **padding)  # type: ignore[arg-type]
            INITIAL[options.get("init", program.init)](layer.weight)
            nn.init.constant_(layer.bias, float(options.get("bias", 0)))  # type: ignore[arg-type]
            norm = nn.BatchNorm1d if name == "dense" else nn.BatchNorm2d
            layers += [layer, norm(sizes[0])] if program.norm and line != program.last else [layer]
        layers += [nn.Dropout(program.dropout)] if name == "dropout" else []
        layers += [LAYERS[word]() for word in (name, *words) if word in LAYERS]  # type: ignore[operator]
    return nn.Sequential(*layers)


def scaled(how: str, values: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Both, scaled by the numbers of the former; constant columns are only centered."""
    if how == "divide":
        return values / 255, new / 255
    mean, spread = values.mean(0), values.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)
    return ((values - mean) / spread, (new - mean) / spread) if how else (values, new)


def prepared(program: Program) -> Data:
    data = DATA[program.data]()
    x, x_new = scaled(program.inputs, data.x, data.x_new)
    y, y_new = (values if values.dim() > 1 else values[:, None] for values in (data.y, data.y_new))
    y, y_new = scaled(program.targets, y, y_new)
    if program.kind == "classes":
        y, y_new = y[:, 0].long(), y_new[:, 0].long()
    return Data(x, y, x_new, y_new, data.validates)


def accuracy_of(program: Program, out: Tensor, y: Tensor) -> tuple[float, float]:
    """The accuracy, and that of the most frequent class of each output."""
    guess, right = out.argmax(1) if program.kind == "classes" else out > 0.5, y.reshape(len(y), -1).long()
    chance = sum(int(column.bincount().max()) for column in right.unbind(1)) / right.numel()
    return float((guess.reshape(right.shape) == right).float().mean()), chance


def skill_of(program: Program, out: Tensor, y: Tensor) -> float:
    """0 at least, which is the skill of outputs that are not finite."""
    if program.kind == "values":
        skill = 1 - float(F.mse_loss(out, y) / y.var(0, correction=0))
    else:
        accuracy, chance = accuracy_of(program, out, y)
        skill = (accuracy - chance) / max(1 - chance, EPS)
    return max(0.0, skill) if out.isfinite().all() else 0.0


class Seen(NamedTuple):
    """The end of a training, and its diagnosis."""

    skill: float
    findings: list[Finding]
    verdict: str

    @property
    def flags(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity > Severity.INFO]

    @property
    def causes(self) -> list[str]:
        """Causes, the first one first; without any, the note or the verdict that the training was too short."""
        notes = {finding.name for finding in self.findings} & {"training-too-short"}
        short = notes or "no sign of trouble yet" in self.verdict
        return [flag.name for flag in self.flags] or ["training-too-short"] * bool(short)

    def fails(self, best: float) -> bool:
        return self.skill < MIN_SKILL or self.skill <= best - MIN_LOSS_OF_SKILL

    @property
    def critical(self) -> bool:
        return any(flag.severity == Severity.CRITICAL for flag in self.flags)


def train(program: Program) -> Seen:
    """Train the program under a watch."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    data = prepared(program)
    model = network(program, data.x[:2])
    optimizer, loss_of = OPTIMIZERS[program.optimizer](model.parameters(), program), LOSSES[program.loss]
    step, latest = 0, 0.0

    def outputs(x: Tensor) -> Tensor:
        model.eval()
        with torch.no_grad():
            out = torch.cat([model(part) for part in x.split(500)])
        model.train()
        return out

    with optilab.watch(model, optimizer) as watch:
        for _ in range(program.epochs):
            for rows in torch.randperm(len(data.x)).split(program.batch):
                optimizer.zero_grad()
                loss = loss_of(model(data.x[rows]), data.y[rows])
                loss.backward()
                optimizer.step()
                watch.step(loss, target=data.y[rows])
                step, latest = step + 1, float(loss.detach())
                for group in optimizer.param_groups:
                    group["lr"] = program.lr / (1 + program.decay * step)
            if data.validates:
                out = outputs(data.x_new)
                scores = {"val_acc": accuracy_of(program, out, data.y_new)[0]} if out.isfinite().all() else {}
                watch.epoch(val_loss=float(loss_of(out, data.y_new)), **scores)
        diagnosis = watch.diagnosis()
    skill = skill_of(program, outputs(data.x_new), data.y_new) if math.isfinite(latest) else 0.0
    return Seen(skill, [*diagnosis.findings], diagnosis.headline)


# --- remedies -----------------------------------------------------------------------------------------------------

SETTINGS: dict[str, Callable[[str], dict[str, Any]]] = {
    "optimizer.lr": lambda value: {"lr": float(value)},
    "data.normalize": lambda _: {"inputs": "divide"},
    "model.init": lambda value: {"init": value},
    "model.norm": lambda value: {"norm": value},
}
"""The key of a remedy -> what it changes in a program."""
ADVICE: dict[str, Callable[[Program], Program]] = {
    "replace the softmax by nn.Sigmoid()": lambda program: program.ending_in("sigmoid"),
    "put nn.Sigmoid() in its place": lambda program: program.ending_in("sigmoid"),
    "remove it: the targets are values": lambda program: program.ending_in(""),
    "remove the activation after the last layer and use nn.CrossEntropyLoss()": lambda program: program.ending_in(
        "softmax" if program.kind == "classes" else "sigmoid"  # as the losses of Keras take probabilities
    ),
    "remove the activation after the last layer": lambda program: program.ending_in(""),
    "remove the ReLU after the last layer": lambda program: program.ending_in(""),
    "standardize the targets": lambda program: replace(program, targets="standardize"),
    "standardize each column of the inputs": lambda program: replace(program, inputs="standardize"),
}
"""The beginning of an advice that is no setting -> the program that follows it."""
LONGER = 5
"""Epochs of a program that is trained longer, where the advice has no number, over those of the broken one."""


def remedied(question: Question, program: Program, seen: Seen) -> Program:
    """The program after the first remedy of the first cause; the same where it names nothing that can be done."""
    if not seen.causes:
        return program
    finding = next((finding for finding in seen.findings if finding.name == seen.causes[0]), None)
    advice = finding.advice if finding else "train for more epochs"
    if finding and finding.remedies:
        pairs = [text.partition("=") for text in finding.remedies[0]]
        changes = [SETTINGS[key](value) for key, _, value in pairs if key in SETTINGS]
        return replace(program, **{key: value for change in changes for key, value in change.items()})
    if times := re.match(r"train for (?:about ([\d.]+) times|)", advice):
        return replace(program, epochs=math.ceil(float(times[1] or LONGER) * question.broken.epochs))
    if advice.startswith("print y.unique()"):  # whoever looks at them mends them
        return replace(program, **question.mends.get("data prep", {}))
    follow = next((ADVICE[words] for words in ADVICE if advice.startswith(words)), None)
    return follow(program) if follow else program


# --- the figures of a program, and the table ----------------------------------------------------------------------


class Judged(NamedTuple):
    """A program, and what its trainings have shown."""

    question: Question
    broken: Seen
    mended: Seen | None
    rounds: list[float]
    """The skill after each remedy, until one cures."""
    cured: bool
    true: bool
    """The first cause is true."""

    @property
    def faulty(self) -> bool:
        return bool(self.question.truth) and self.broken.fails(self.mended.skill if self.mended else 1.0)

    @property
    def sound(self) -> list[Seen]:
        """The trainings that learn, of a program whose truth is known."""
        mended = [self.mended] if self.mended and self.mended.skill >= MIN_SKILL else []
        return mended if self.faulty or not self.question.truth else [self.broken, *mended]

    @property
    def named(self) -> list[bool]:
        """For each cause, True if it is of a type of the ground truth."""
        return [bool(types_of(cause) & self.question.truth) for cause in self.broken.causes]


def types_of(cause: str) -> set[str]:
    return {kind for kind, findings in MEANS.items() if cause in findings.split()}


def judged(question: Question) -> Judged:
    broken, mended = train(question.broken), train(question.mended()) if question.mends else None
    best, rounds, cured, true = mended.skill if mended else 1.0, list[float](), False, False
    program, seen = question.broken, broken
    for _ in range(ROUNDS if mended else 0):
        if cured or (after := remedied(question, program, seen)) == program:
            break
        program, seen = after, train(after)
        rounds.append(seen.skill)
        gain = seen.skill - broken.skill
        cured = (seen.skill >= 0.9 * best and gain >= 0.05) or gain >= (1 - broken.skill) / 2
    if mended and broken.causes:
        whole, part = (question.mended(True, without) for without in ((), types_of(broken.causes[0])))
        best = train(whole).skill if question.further else best
        true = part != whole and best >= MIN_SKILL and train(part).fails(best)
    return Judged(question, broken, mended, rounds, cured, true)


COLUMNS: dict[str, Callable[[Judged], object]] = {
    "flagged": lambda row: row.broken.flags,
    "first cause is of the ground truth": lambda row: any(row.named[:1]),
    "any cause is": lambda row: any(row.named),
    "first cause is true": lambda row: row.true,
    "first remedy cures": lambda row: row.cured and len(row.rounds) == 1,
    "up to three remedies cure": lambda row: row.cured,
}
"""What is counted of the faulty programs."""


def line(number: str, row: Judged) -> str:
    """What came of a program."""
    marks = " ".join("+" if mark(row) else "-" for mark in COLUMNS.values())
    skills = f"{row.broken.skill:5.2f} {row.mended.skill if row.mended else math.nan:4.2f}"
    after = " ".join(f"{skill:.2f}" for skill in row.rounds)
    causes = ", ".join(f"{flag.severity.name.lower()} {flag.name}" for flag in row.broken.flags)
    alarms = ", ".join(flag.name for seen in row.sound for flag in seen.flags)
    state = "faulty" if row.faulty else "sound" if row.sound else ""
    return f"{number:9}{state:7}{marks} {skills}  {after:16}{causes or row.broken.verdict}; alarms: {alarms or 'none'}"


def fraction(values: Iterable[object]) -> list[int]:
    counted = [bool(value) for value in values]
    return [sum(counted), len(counted)]


def table_rows(rows: list[Judged]) -> Iterator[figures.Row]:
    faulty, sound = [row for row in rows if row.faulty], [seen for row in rows for seen in row.sound]
    wrong = [row.broken.critical and not (row.true or any(row.named[:1])) for row in faulty]
    cells = [fraction(map(mark, faulty)) for mark in COLUMNS.values()]
    alarms, wrong = fraction(seen.flags for seen in sound), [*wrong, *(seen.critical for seen in sound)]
    yield ["optilab.watch", *cells, alarms, fraction(wrong)]
    for at, tool in enumerate(("UMLAUT", "AutoTrainer", "DeepLocalize", "DeepFD")):
        flags, named = (fraction(row.question.published[part][at] == "1" for row in faulty) for part in (0, 1))
        yield [f"{tool}, published", flags, "", named, *[""] * 5]


def main(arguments: list[str]) -> None:
    chosen, rows = questions(), list[Judged]()
    parser = figures.parser("real_programs", __doc__)
    parser.add_argument("--only", choices=chosen, metavar="NUMBER", help="one program, whose outcome is printed")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(arguments)
    chosen = {options.only: chosen[options.only]} if options.only else chosen
    with ProcessPoolExecutor(options.jobs) as pool:
        for number, row in zip(chosen, pool.map(judged, chosen.values()), strict=True):
            rows.append(row)
            print(line(number, row), flush=True)
    if not options.only:
        columns = ["published programs", *COLUMNS, "sound: flagged", "critical and wrong"]
        figures.record("real-programs", "real_programs", columns, [*table_rows(rows)], options.print)
