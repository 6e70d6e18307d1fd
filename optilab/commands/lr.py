"""`optilab lr`: which learning rate, by a range test and, with --confirm, by trainings with seeds."""

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab import runs
from optilab.call import Call, Command
from optilab.commands import studies
from optilab.commands.answer import Answer, Block, Sentence
from optilab.commands.compare import LabComparison
from optilab.commands.options import (
    QUIET,
    BatchSize,
    DataOptions,
    Device,
    JobOptions,
    Optimizer,
    OutputOptions,
    PictureOptions,
    SaveOptions,
    Seed,
    SetOptions,
    Threads,
)
from optilab.commands.request import Place
from optilab.config.load import load
from optilab.config.section import dump
from optilab.errors import ExitCode
from optilab.marks import Argument, Flag, claim_doc
from optilab.optimize.rule import learning_rates
from optilab.show import terminal
from optilab.show.chart import Chart, Mark, Panel, PanelRow, Points, Polyline, Scale, Span, Threshold
from optilab.show.progress import Bar
from optilab.words import duration, plural

if TYPE_CHECKING:
    from optilab.config.training import TrainConfig
    from optilab.data.load import Dataset
    from optilab.study.claims import ClaimResult
    from optilab.study.execution import StudyResult
    from optilab.study.rates import Confirmation, RangeTest, RateRamp

TIMED = 10
"""Steps after which the time of all is estimated."""
CHANGES = ("optimizer", "batch_size", "seed", "device", "threads", "data_dir", "set")
"""What the commands that go on with the answer repeat."""


class Lr(JobOptions, SetOptions, DataOptions, SaveOptions, PictureOptions, OutputOptions):
    """Recommend a learning rate with a short range test, which takes seconds and writes no files.

    The rate grows at each step of one short training, and the loss tells which rates are too small and which too
    large. With --confirm, runs at five learning rates around the answer decide, as a study that is kept. Exit status
    9: there is no rate to recommend.
    """

    CONFIG = "train"
    EXAMPLES = (
        "optilab lr relu.yaml",
        "optilab lr relu.yaml --optimizer adam --out rates.png",
        "optilab lr batchnorm.yaml --confirm --seeds 3 --epochs 3",
        "optilab train relu.yaml --epochs 3 --lr $(optilab lr relu.yaml --quiet)",
    )
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {"confirm": ("seeds", "epochs", "jobs", "name", "runs_dir")}

    config: Annotated[
        Any, Argument("[CONFIG]", complete="preset:train"), Doc("What to train: YAML file or preset")
    ] = None
    optimizer: Optimizer = None
    batch_size: BatchSize = None
    steps: Annotated[int, Flag("N"), Ge(100), Le(100_000), Doc("Steps of the range test, at most")] = 1000
    confirm: Annotated[bool, Doc("Train at five rates around the answer, with seeds; keep the runs")] = False
    seeds: Annotated[int, Flag("N"), Ge(1), Le(1000), Doc("With --confirm: seeds of each rate")] = 3
    epochs: Annotated[int, Flag("N"), Ge(1), Le(1_000_000), Doc("With --confirm: epochs of each run")] = 3
    seed: Seed = None
    device: Device = None
    threads: Threads = None
    expect: Annotated[list[str] | None, Flag("CLAIM"), claim_doc("rate > 0.01")] = None
    quiet: Annotated[bool, QUIET, Doc("Print the rate and nothing else")] = False

    def run(self, place: Place) -> "LabRate":
        """The range test, and with `confirm` the trainings around its answer."""
        from optilab.config.claims import expectations
        from optilab.config.training import TrainConfig

        if self.config is None:
            raise studies.no_config("lr")
        asked = load(TrainConfig, studies.training(self.config), self.changes)
        claims = expectations("lr", self.expect or [])
        from optilab.study import rates
        from optilab.study.claims import of_rate, require_judgeable

        if found := next((change for change in self.changes if change.key == "optimizer.lr"), None):
            terminal.note(f"{found.where} changes nothing here: lr finds the learning rate")
        require_judgeable(claims, [asked.name])
        ramp = rates.rate_ramp(asked.optimizer, self.steps)
        dataset = studies.dataset_of(asked.data)
        config = [self.config if isinstance(self.config, str) else asked.name]
        again = replace(self.call("lr"), arguments=config)
        one_thread = None if place.library else replace(again, options={**again.options, "threads": 1})
        test = range_test(asked, ramp, dataset, place.silent, one_thread)
        confirmation: Confirmation | None = None
        ran: StudyResult | None = None
        if self.confirm:
            near = rates.rates_near(test)
            plan = rates.plan(asked, ramp, near, self.seeds, self.epochs, len(dataset.train_images))
            ran = studies.run(plan, runs.chosen_name(self.name, f"{asked.name}-lr"), self, place)
            confirmation = rates.confirm(plan, studies.completed(ran), runs.read_study(ran.path).earlier_looks)
        in_set = any(change.key == "epochs" for change in self.changes)
        epochs = {} if in_set else {"epochs": self.given.get("epochs", asked.epochs)}
        answer = LabRate(
            replace(self.call("lr", *CHANGES), arguments=config),
            asked,
            test,
            confirmation,
            ran,
            epochs,
            drawn=self.plot,
        )
        self.draw(answer.chart)
        return replace(answer, judged=of_rate(claims, answer.rate, asked.name))


def range_test(
    asked: "TrainConfig", ramp: "RateRamp", dataset: "Dataset", silent: bool, one_thread: Call | None = None
) -> "RangeTest":
    """The range test, with its cost beforehand and its progress; it ends where the loss runs away.

    `one_thread` repeats it, which is the advice where the machine is busy; without it there is none.
    """
    from optilab.study import rates
    from optilab.train.crowding import Crowding

    with studies.starting(asked.name) if not silent else nullcontext():
        from optilab.train import session  # torch comes in here
        from optilab.train.device import alone

    crowding = Crowding(asked.threads if one_thread else 1, lambda: one_thread or Call("lr"))
    losses: list[float] = []
    with alone():
        training = session.build(asked, dataset)
        with RangeProgress(ramp, asked.data.batch_size, len(training.train), silent) as progress:
            for loss in training.ramp(rate / ramp.lr for rate in ramp.rates):
                losses.append(loss)
                progress.step(loss)
                if advice := crowding.batch(len(losses)):
                    terminal.note(advice)
                if rates.runs_away(losses, training.chance_loss):
                    break
    return rates.read_range_test(ramp, losses, training.chance_loss)


@dataclass(frozen=True, repr=False)
class LabRate(Answer):
    """What was asked, and what was found."""

    asked: Call
    """The config and the options that change it."""
    config: "TrainConfig"
    test: "RangeTest"
    confirmation: "Confirmation | None"
    ran: "StudyResult | None"
    """The trainings that confirm."""
    epochs: Mapping[str, Any]
    """The option for a training at the answer, with the epochs that were asked for; empty where `asked` has it."""
    drawn: str | None = None
    """The picture file."""
    judged: "Sequence[ClaimResult]" = ()

    @property
    def rate(self) -> float | None:
        """The recommendation: that of the trainings, where there are any."""
        return self.test.rate if self.confirmation is None else self.confirmation.rate

    @property
    def study(self) -> str | None:
        """The directory of the trainings that confirm."""
        return str(self.ran.path) if self.ran else None

    @property
    def headline(self) -> str:
        return unmoved(self) if self.rate is None else f"recommended: {_key(self)} {self.rate:g}"

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
        found = ExitCode.OK if self.judged or self.rate is not None else ExitCode.EXPECTATION
        return max(found, self.ran.code if self.ran else ExitCode.OK)

    def blocks(self) -> Iterator[Block]:
        """The curve, the recommendation with its evidence, and the commands to go on with."""
        config, test = self.config, self.test
        facts = f"{config.name}   {config.optimizer.name}   batch {config.data.batch_size}   seed {config.seed}"
        yield Sentence(f"{facts}   {len(test.losses):,} steps", "bold")
        yield rates_chart(test)
        yield ""
        if test.rate is None:
            yield Sentence(unmoved(self), "yellow")
        else:
            prefix = "recommended" if self.confirmation is None else "by the range test"
            yield Sentence(f"{prefix}: {_key(self)} {test.rate:g}", "bold" if prefix == "recommended" else "")
            yield _evidence(test)
        if self.confirmation is None:
            yield from (Sentence(doubt, "yellow") for doubt in _doubts(test))
        others = [f"{name} {rate:.2g}" for name, rate in test.others.items() if rate is not None]
        if others:
            yield f"other suggestion methods on the same curve: {', '.join(others)}"
        if self.confirmation is None:
            if test.rate is None:
                yield Command("  try: ", self._on("lr", confirm=True, epochs=30))
                if not self.asked.options:  # `diagnose` takes no settings
                    yield Command("  why: ", self._on("diagnose"))
            else:
                train, confirm = self._training(test.rate), self._on("lr", confirm=True)
                if _memorized(test):
                    yield from (Command("  try: ", confirm), Command("  train at it: ", train))
                else:
                    yield from (Command("  try: ", train), Command("  confirm with seeds: ", confirm))
        else:
            yield from _confirmed(self, self.confirmation)
        if self.drawn:
            yield self.drawn

    def _on(self, command: str, **options: Any) -> Call:
        """Another command with the config and the options that change it."""
        return Call(command, self.asked.arguments, {**self.asked.options, **options})

    def _training(self, rate: float) -> Call:
        """The training at a rate."""
        settings = {**self.asked.options.get("set", {}), **_setting(self, rate)}
        return self._on("train", **self.epochs, set=settings)

    def document(self) -> Mapping[str, Any]:
        """`curve` has one entry per step."""
        test, confirmation = self.test, self.confirmation
        found = {
            "config": shlex.join(self.asked.words()[2:]),
            "key": test.ramp.key,
            "rate": self.rate,
            "range_test": {
                "status": test.status,
                "rate": test.rate,
                "steps": len(test.losses),
                "low": test.ramp.rates[0],
                "high": test.ramp.rates[-1],
                "guessing": test.guessing,
                "lowest_loss": test.floor,
                "half": test.half,
                "steepest": test.steepest,
                "lowest": test.lowest,
                "diverging": test.diverging,
                "other_rules": test.others,
                "curve": {"rate": test.rates, "loss": test.losses, "smoothed": test.smooth},
            },
            "confirmation": None,
        }
        if confirmation is not None:
            found["run"] = self.study
            found["confirmation"] = {
                "rate": confirmation.rate,
                "cannot_tell": sorted(set(confirmation.possible) - {confirmation.rate}),
                "at_edge": confirmation.at_edge,
                "learned": confirmation.learned,
                "epochs": confirmation.epochs,
                "seeds": confirmation.seeds,
                "outcomes": [{"rate": rate, "val_acc": own} for rate, own in confirmation.outcomes.items()],
                "comparison": confirmation.side and _comparison(confirmation).document(),
            }
        return found

    def short(self) -> Iterable[str]:
        """The recommendation and nothing else, for `--lr $(optilab lr ... --quiet)`; on stderr why there is none, or
        why it is doubtful."""
        if self.rate is None:
            terminal.note(unmoved(self))
        else:
            yield f"{self.rate:g}"
        for doubt in _doubts(self.test) if self.confirmation is None else ():
            terminal.note(doubt)

    def chart(self) -> Chart:
        """The losses over the rates, and the confirmed rates."""
        return rates_chart(self.test, self.confirmation, self.config.name)


class RangeProgress(Bar):
    """A range test in progress: its cost after a few steps, then a bar on a terminal."""

    def __init__(self, ramp: "RateRamp", batch: int, images: int, silent: bool) -> None:
        super().__init__(silent)
        self._ramp, self._batch, self._images, self._silent = ramp, batch, images, silent
        self._task = self.add_task("range test", total=len(ramp.rates), left="")
        self._done, self._started = 0, time.monotonic()

    def step(self, loss: float) -> None:
        """A step is done, whose batch had this loss."""
        rates = self._ramp.rates
        self._done += 1
        if self._done == 1:
            self._started = time.monotonic()  # the first step warms up
            return
        left = (len(rates) - self._done) * (time.monotonic() - self._started) / (self._done - 1)
        if self._done == min(TIMED, len(rates)) and not self._silent:
            terminal.note(f"{self._cost()}; about {duration(left)}; nothing is written")
        rate = rates[self._done - 1]
        self.update(
            self._task,
            completed=self._done,
            description=f"range test   lr {rate:.2g}   loss {loss:.4g}",
            left=f"{duration(left)} left",
        )

    def _cost(self) -> str:
        rates = self._ramp.rates
        epochs = len(rates) * self._batch / self._images
        count = f"{epochs:,.0f}" if epochs >= 10 else f"{epochs:.2g}"
        return f"range test: at most {len(rates):,} steps ({count} epochs), lr {rates[0]:g} to {rates[-1]:g}"


def unmoved(result: LabRate) -> str:
    """Why there is no recommendation, and what may help."""
    from optilab.study.rates import MOVED

    test, confirmation = result.test, result.confirmation
    if confirmation is not None:
        tried = list(confirmation.outcomes)
        span = f" at lr {tried[0]:g} to {tried[-1]:g}" if tried else ""
        what = f"no training is better than chance{span} within {plural(confirmation.epochs, 'epoch')}"
        return f"{what}; no recommendation"
    span = f"lr {test.rates[0]:.2g} to {test.rates[-1]:.2g}"
    return (
        f"the network does not move: from {span} the loss never falls below {MOVED:.0%} of the chance level, "
        f"{test.guessing:.4g}; no recommendation. Some networks move only after thousands of steps at one rate, which "
        "trainings of more epochs show"
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
"""Loss over the chance level that only images have that were seen many times."""


def _memorized(test: "RangeTest") -> bool:
    """Whether the images were learned before the rates became large: the loss cannot say then which are too large."""
    return test.rate is not None and test.diverging is None and test.floor < MEMORIZED * test.guessing


def _doubts(test: "RangeTest") -> list[str]:
    """Why an answer is not to be trusted: the ramp is short, or the images were memorized before its end."""
    from optilab.study import rates

    steps, doubts = len(test.ramp.rates), []
    if steps < rates.STEPS:
        what = (
            "a network that trains may not move" if test.rate is None else "the rate may be several times too high"
        )
        doubts.append(
            f"{steps} steps are few for a range test, and {what}; use --steps {rates.STEPS}, or --confirm"
        )
    if _memorized(test):
        doubts.append(
            f"the loss falls to {test.floor:.1g}: these images are memorized before the rates become large, and "
            "the rate may be many times too high; use --confirm"
        )
    return doubts


def _evidence(test: "RangeTest") -> str:
    """The places of the curve, in words."""
    rise = "it does not rise again" if test.diverging is None else f"it rises again from {test.diverging:.2g} on"
    return (
        f"the middle of the valley on a log scale: half of the gain is made at {test.half:.2g}, {rise}; the loss falls "
        f"fastest at {test.steepest:.2g} and is lowest at {test.lowest:.2g} ({test.floor:.3g}; chance level "
        f"{test.guessing:.3g})"
    )


def _confirmed(result: LabRate, confirmation: "Confirmation") -> Iterator[Block]:
    """The table of the trainings, and the recommendation with the rates that cannot be told from it."""
    yield ""
    size = f"{plural(confirmation.epochs, 'epoch')}, {plural(confirmation.seeds, 'seed')} each"
    yield Sentence(f"trainings at {len(confirmation.outcomes)} rates, {size}, judged on held-out images", "bold")
    if confirmation.side is not None:
        yield from _comparison(confirmation).blocks()
    yield ""
    if confirmation.rate is None:
        yield Sentence(unmoved(result), "yellow")
        yield Command("  why: ", Call("diagnose", result.asked.arguments))
    else:
        yield Sentence(f"recommended: {_key(result)} {confirmation.rate:g}{_interval(confirmation)}", "bold")
        if failed := confirmation.diverged.get(confirmation.rate):
            yield f"note: {failed} of {plural(confirmation.seeds, 'training')} at this rate diverged; try a lower one"
        if confirmation.at_edge:
            beyond = result._on("sweep", over={confirmation.key: "LOW:HIGH:log"})
            yield Command(
                f"note: {confirmation.rate:g} is the last rate that was tried; a better one may lie beyond: ",
                beyond,
            )
        yield Command("  try: ", result._training(confirmation.rate))
    yield str(result.study)


def _interval(confirmation: "Confirmation") -> str:
    """Why this rate, and the rates that cannot be told from it."""
    rest = [f"{rate:g}" for rate in sorted(confirmation.possible) if rate != confirmation.rate]
    if not rest:
        return " (better than the other rates)"
    stable = confirmation.diverged and confirmation.rate not in confirmation.diverged
    return f" (highest mean{' where none diverged' if stable else ''}; cannot tell it from {', '.join(rest)})"


def _comparison(confirmation: "Confirmation") -> LabComparison:
    """The trainings side by side."""
    assert confirmation.side is not None
    return LabComparison(confirmation.side)


# --- the chart ---------------------------------------------------------------------------------------------

PLACES = ("half", "steepest", "diverging")
"""For a range test, with letters in text; the lowest loss is between the last two."""


def rates_chart(test: "RangeTest", confirmation: "Confirmation | None" = None, title: str = "") -> Chart:
    """The loss of every batch and its mean against the rate, with the places that count; right the outcome by rate."""
    panels = (_curve(test),) if confirmation is None else (_curve(test), _outcomes(confirmation))
    return Chart(
        (PanelRow(panels),), title=title, width=7.5 if confirmation is None else 12.5, height=4.6, title_size=12
    )


def _curve(test: "RangeTest") -> Panel:
    import numpy as np

    low, high = float(test.smooth.min()), 1.1 * max(test.guessing, float(test.smooth[0]))
    low -= 0.05 * (high - low)
    marks: list[Mark] = [
        Points(test.rates, test.losses, "dot", 0, size=2, alpha=0.35, detail=True),
        Threshold(test.guessing, name="chance level"),
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
        marks.append(Threshold(x=test.rate, series=1, name=f"recommended {test.rate:g}"))
    others = {name: rate for name, rate in test.others.items() if rate is not None}
    letters = "   ".join(f"{place[0]} {place}" for place in PLACES)
    return Panel(
        tuple(marks),
        Scale("learning rate", float(test.ramp.rates[0]), float(test.ramp.rates[-1]), log=True),
        Scale("loss of the batch", low, high),
        "range test",
        f"mean loss   {letters}   R recommended" if test.rate else "mean loss",
        below=others,
    )


def _outcomes(confirmation: "Confirmation") -> Panel:
    """The outcome of every training by its rate, and the means; shaded what no verdict tells from the best."""
    import numpy as np

    marks: list[Mark] = [
        Points([rate] * len(own), list(own), "dot", 0, alpha=0.6) for rate, own in confirmation.outcomes.items()
    ]
    means = [(rate, float(np.mean(own))) for rate, own in confirmation.outcomes.items() if own]
    if means:
        tried, outcomes = zip(*means, strict=True)
        marks.append(Polyline(tried, outcomes, 0, marker=6, every=1))
    if confirmation.possible:
        marks.append(Span(min(confirmation.possible), max(confirmation.possible), 1))
    if confirmation.rate is not None:
        marks.append(Threshold(x=confirmation.rate, series=1))
    size = f"{plural(confirmation.epochs, 'epoch')}, {plural(confirmation.seeds, 'seed')}"
    title = f"{size}; shaded: cannot be told apart"
    return Panel(tuple(marks), Scale("learning rate", log=True), Scale(confirmation.measure), title)


COMMAND = Lr
