"""`optilab lr`: which learning rate, by a range test."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab.annotations import Flag, claim_doc
from optilab.answer.answer import Answer
from optilab.answer.progress import StepProgress, starting
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.tree import Override
from optilab.errors import ExitCode, quoted
from optilab.optimize.rule import learning_rates
from optilab.proposals import Call, Proposal, objects
from optilab.request import studies
from optilab.request.options import (
    QUIET,
    BatchSize,
    Config,
    DataOptions,
    Device,
    FileOptions,
    Optimizer,
    OutputOptions,
    Seed,
    SetOptions,
    Threads,
)
from optilab.request.request import Place, plain
from optilab.show import terminal
from optilab.show.blocks import Block, Sentence
from optilab.show.chart import Chart, Mark, Panel, PanelRow, Points, Polyline, ReferenceLine, Scale

if TYPE_CHECKING:
    from optilab.config.training import TrainConfig
    from optilab.data.read import Dataset
    from optilab.judge.claims import ClaimResult
    from optilab.study.rates import RangeTest, RateRamp

SEEDS, EPOCHS, EPOCHS_UNMOVED = 3, 3, 30
"""Seeds and epochs of the sweep that confirms; the epochs where the range test has no answer."""
CHANGES = ("optimizer", "batch_size", "seed", "device", "threads", "data_dir", "set")
"""The options that the commands in an answer repeat."""


class Lr(SetOptions, DataOptions, FileOptions, OutputOptions):
    """Recommend a learning rate with a short range test, which takes seconds and writes no files.

    The rate grows at each step of one short training, and the loss tells which rates are too small and which too
    large. The answer ends with the sweep that confirms it: trainings with seeds at five rates around it. Exit status
    9: there is no rate to recommend.
    """

    READS = "train"
    EXAMPLES = (
        "optilab lr relu.yaml",
        "optilab lr relu.yaml --optimizer adam --out rates.png",
        "optilab train relu.yaml --epochs 3 --lr $(optilab lr relu.yaml --quiet)",
    )

    config: Config = None
    optimizer: Optimizer = None
    batch_size: BatchSize = None
    steps: Annotated[int, Flag("N"), Ge(100), Le(100_000), Doc("Steps of the range test, at most")] = 1000
    seed: Seed = None
    device: Device = None
    threads: Threads = None
    expect: Annotated[list[str] | None, Flag("CLAIM"), claim_doc("rate > 0.01")] = None
    quiet: Annotated[bool, QUIET, Doc("Print the rate and nothing else")] = False

    def run(self, place: Place) -> "LabRate":
        from optilab.config.claims import expectations
        from optilab.config.training import TrainConfig

        if self.config is None:
            raise studies.missing_config("lr")
        tested = [Override("", "optimizer.lr", 1.0)]
        config = load(TrainConfig, studies.training(self.config), self.changes, replaced=tested)
        studies.note_origin(self.config, place)
        claims = expectations("lr", self.expect or [])
        from optilab.data import fetch
        from optilab.judge.claims import judge_claims, require_judgeable, results_of_rate
        from optilab.study import rates

        if rate := next((change for change in self.changes if change.key == "optimizer.lr"), None):
            terminal.note(f"{rate.where} changes nothing here: lr finds the learning rate")
        require_judgeable(claims, [config.name])
        ramp = rates.rate_ramp(config.optimizer, self.steps)
        dataset = fetch.load_or_fetch(*config.data.source)
        argument = self.config if isinstance(self.config, str | Mapping) else config.name
        test = range_test(config, ramp, dataset, place.silent)
        in_set = any(change.key == "epochs" for change in self.changes)
        answer = LabRate(
            replace(self.call("lr", *CHANGES), arguments=[argument]),
            config,
            test,
            {} if in_set else {"epochs": config.epochs},
            {} if config.data.holdout else {"data.holdout": rates.held_out(config, len(dataset.train_images))},
        )
        answer = replace(answer, judged=judge_claims(claims, results_of_rate(answer.rate, config.name)))
        self.save(answer)
        return answer


def range_test(config: "TrainConfig", ramp: "RateRamp", dataset: "Dataset", silent: bool) -> "RangeTest":
    """Run the range test, with an estimate of its cost and with progress; it ends where the loss runs away."""
    from optilab.study import rates

    with starting(config.name) if not silent else nullcontext():
        from optilab.train import session  # torch comes in here
        from optilab.train.device import exclusive_torch

    losses: list[float] = []
    with exclusive_torch():
        training = session.build(config, dataset)
        if not silent:
            steps, low, high = len(ramp.rates), ramp.rates[0], ramp.rates[-1]
            epochs = steps * config.data.batch_size / len(training.train)
            count = f"{steps:,} steps ({max(round(epochs, 1), 0.1):,g} epochs)"
            terminal.note(f"range test: at most {count}, lr {low:g} to {high:g}; nothing is written")
        with StepProgress(len(ramp.rates), silent, "range test") as progress:
            for rate, loss in zip(ramp.rates, training.ramp(rate / ramp.lr for rate in ramp.rates), strict=False):
                losses.append(loss)
                progress.step(f"range test   lr {rate:.2g}   loss {loss:.4g}")
                if rates.runs_away(losses, training.chance_loss):
                    break
    return rates.read_range_test(ramp, losses, training.chance_loss)


@dataclass(frozen=True, repr=False)
class LabRate(Answer):
    """The learning rate that a range test recommends."""

    call: Call
    """The config and the options that change it."""
    config: "TrainConfig"
    test: "RangeTest"
    epochs: Mapping[str, Any]
    """The option for a training at the answer, with the epochs of the config; empty where `call` has it."""
    held_out: Mapping[str, int]
    """The key that holds out images when the answer is confirmed; empty where the config does."""
    judged: "Sequence[ClaimResult]" = ()

    schema_version: ClassVar[int] = 3

    @property
    def rate(self) -> float | None:
        """The recommendation."""
        return self.test.rate

    @property
    def headline(self) -> str:
        return no_rate_message(self.test) if self.rate is None else f"recommended: {_key(self)} {self.rate:g}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per step of the range test: rate, loss, smoothed loss."""
        test = self.test
        return [
            {"rate": float(rate), "loss": float(loss), "smoothed": float(smooth)}
            for rate, loss, smooth in zip(test.rates, test.losses, test.smooth, strict=False)
        ]

    @property
    def code(self) -> ExitCode:
        """9 without a recommendation, which may be what a claim expects."""
        return ExitCode.OK if self.judged or self.rate is not None else ExitCode.EXPECTATION

    def blocks(self) -> Iterator[Block]:
        """The curve, the recommendation with its evidence, and the commands to go on with."""
        config, test = self.config, self.test
        facts = f"{config.name}   {config.optimizer.name}   batch {config.data.batch_size}   seed {config.seed}"
        yield Sentence(f"{facts}   {len(test.losses):,} steps", "bold")
        yield rates_chart(test)
        yield ""
        if test.rate is None:
            yield Sentence(no_rate_message(test), "yellow")
        else:
            yield Sentence(self.headline, "bold")
            yield _evidence(test)
        yield from (Sentence(doubt, "yellow") for doubt in _doubts(test))
        if test.rate is not None:
            yield Proposal("  train at it: " if _memorized(test) else "  try: ", self.training)
        elif not self.call.options:  # `diagnose` takes no settings
            yield Proposal("  why: ", Call("diagnose", self.call.arguments))
        if not [*objects(plain([*self.call.arguments, self.call.options]))]:
            yield Proposal("  confirm with seeds: " if test.rate else "  try: ", self.confirmation)
        elif test.rate is None:  # the processes of a sweep do not have these classes and functions
            yield Proposal("  try: ", self._on("train", {"epochs": EPOCHS_UNMOVED, "set": {}}))

    @property
    def training(self) -> Call:
        """The training at the recommended rate."""
        assert self.rate is not None
        return self._on("train", {**self.epochs, "set": _setting(self, self.rate)})

    @property
    def confirmation(self) -> Call:
        """The sweep of trainings with seeds at rates around the answer; longer ones where no short one learns."""
        from optilab.study.rates import axes_near

        axes = axes_near(self.config.optimizer, self.test)
        options: dict[str, Any] = {"over": {key: tuple(rates) for key, rates in axes.items()}}
        options |= {"zip": True} if len(axes) > 1 else {}
        options |= {"seeds": SEEDS}
        if self.epochs:
            options["epochs"] = EPOCHS if self.rate else EPOCHS_UNMOVED
        return self._on("sweep", {"set": self.held_out, **options})

    def _on(self, command: str, options: Mapping[str, Any]) -> Call:
        """A call of another command with this config, the options that change it, and further options."""
        changed = {
            key: value for key, value in self.call.options.get("set", {}).items() if key != self.test.ramp.key
        }
        settings = {**changed, **options["set"]}
        return Call(command, self.call.arguments, {**self.call.options, **options, "set": settings})

    def document(self) -> Mapping[str, Any]:
        """`curve` has one entry per step."""
        test = self.test
        return {
            "config": quoted(self.call.words()[2:]),
            "key": test.ramp.key,
            "rate": self.rate,
            "range_test": {
                "status": test.status,
                "rate": test.rate,
                "steps": len(test.losses),
                "low": test.ramp.rates[0],
                "high": test.ramp.rates[-1],
                "chance_loss": test.chance_loss,
                "lowest_loss": test.lowest_loss,
                "half": test.half,
                "steepest": test.steepest,
                "lowest": test.lowest,
                "diverging": test.diverging,
                "curve": {"rate": test.rates, "loss": test.losses, "smoothed": test.smooth},
            },
        }

    def short(self) -> Iterable[str]:
        """The recommendation and nothing else, for `--lr $(optilab lr ... --quiet)`; on stderr why there is none, or
        why it is doubtful."""
        if self.rate is None:
            terminal.note(no_rate_message(self.test))
        else:
            yield f"{self.rate:g}"
        for doubt in _doubts(self.test):
            terminal.note(doubt)

    def chart(self) -> Chart:
        """The losses over the rates."""
        return rates_chart(self.test, self.config.name)


def no_rate_message(test: "RangeTest") -> str:
    """A sentence on why there is no recommendation, and on what may help."""
    from optilab.study.rates import MAX_MOVED_LOSS

    span = f"lr {test.rates[0]:.2g} to {test.rates[-1]:.2g}"
    return (
        f"the network does not move: from {span} the loss never falls below {MAX_MOVED_LOSS:.0%} of the chance level, "
        f"{test.chance_loss:.4g}; no recommendation. Some networks move only after thousands of steps at one rate, "
        "which trainings of more epochs show"
    )


def _setting(result: LabRate, rate: float) -> Mapping[str, Any]:
    """The key that sets a rate, and its value; of a rule around another or with a second rate the whole entry."""
    from optilab.study import rates

    rule, ramp = result.config.optimizer, result.test.ramp
    if list(learning_rates(rule)) == ["lr"]:
        return {ramp.key: float(f"{rate:g}")}
    at_rate = result.config.model_copy(update={"optimizer": rates.at_rate(rule, ramp, rate)})
    return {"optimizer": dump(at_rate)["optimizer"]}


def _key(result: LabRate) -> str:
    return result.test.ramp.key.removeprefix("optimizer.")


MEMORIZED = 0.02
"""Loss over the chance level, below which a network has memorized its images."""


def _memorized(test: "RangeTest") -> bool:
    """True if the images were learned before the rates became large: the loss does not show which are too large."""
    return test.rate is not None and test.diverging is None and test.lowest_loss < MEMORIZED * test.chance_loss


def _doubts(test: "RangeTest") -> list[str]:
    """Warnings about an answer: the ramp is short, or the images were memorized before its end."""
    from optilab.study import rates

    steps, doubts = len(test.ramp.rates), []
    if steps < rates.STEPS:
        effect = (
            "a network that trains may not move" if test.rate is None else "the rate may be several times too high"
        )
        doubts.append(
            f"{steps} steps are few for a range test, and {effect}; use {rates.STEPS:,} steps, or confirm with seeds"
        )
    if _memorized(test):
        doubts.append(
            f"the loss falls to {test.lowest_loss:.1g}: these images are memorized before the rates become large, and "
            "the rate may be many times too high; confirm it with seeds"
        )
    return doubts


def _evidence(test: "RangeTest") -> str:
    """The places of the curve, in words."""
    rise = "it does not rise again" if test.diverging is None else f"it rises again from {test.diverging:.2g} on"
    return (
        f"the middle of the valley on a log scale: half of the gain is made at {test.half:.2g}, {rise}; the loss falls "
        f"fastest at {test.steepest:.2g} and is lowest at {test.lowest:.2g} ({test.lowest_loss:.3g}; chance level "
        f"{test.chance_loss:.3g})"
    )


# --- the chart ---------------------------------------------------------------------------------------------

PLACES = ("half", "steepest", "diverging")
"""Rates that a chart of a range test marks, with letters in text; the lowest loss is between the last two."""


def rates_chart(test: "RangeTest", title: str = "") -> Chart:
    """The loss of every batch and its mean against the rate, with the marked places."""
    return Chart((PanelRow((_curve(test),), 4.2),), title=title)


def _curve(test: "RangeTest") -> Panel:
    import numpy as np

    low, high = float(test.smooth.min()), 1.1 * max(test.chance_loss, float(test.smooth[0]))
    low -= 0.05 * (high - low)
    marks: list[Mark] = [
        Points(test.rates, test.losses, "dot", 0, detail=True),
        ReferenceLine(test.chance_loss, name="chance level"),
        Polyline(test.rates, test.smooth, 0, width=2.0),
    ]
    for name in (*PLACES[:2], "lowest", PLACES[2]):
        place = getattr(test, name)
        if place is not None:
            height = float(np.interp(np.log(place), np.log(test.rates), test.smooth))
            marks.append(
                Points([place], [height], "place", 0, name, before=name == "half", detail=name not in PLACES)
            )
    if test.rate is not None:
        marks.append(ReferenceLine(x=test.rate, series=1, name=f"recommended {test.rate:g}"))
    return Panel(
        tuple(marks),
        Scale("learning rate", float(test.ramp.rates[0]), float(test.ramp.rates[-1]), log=True),
        Scale("loss of the batch", low, high),
        "range test",
    )


COMMAND = Lr
