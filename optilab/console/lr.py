"""`optilab lr`: the curve of a range test, the recommendation and its evidence, and the trainings that confirm it."""

import shlex
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from optilab.charts.rates import rates_chart
from optilab.config.load import dump
from optilab.config.training import TrainConfig
from optilab.config.yaml import flow
from optilab.show import terminal
from optilab.show.progress import Bar
from optilab.study.rates import MOVED, Confirmation, RangeTest, RateRamp

TIMED = 10
"""Steps after which the time of all is estimated."""


@dataclass(frozen=True)
class RateAnswer:
    """What was asked, and what was found."""

    asked: str
    """The config and the options that change it, as they were typed."""
    config: TrainConfig
    test: RangeTest
    confirmation: Confirmation | None
    study: str | None
    """The folder of the trainings that confirm."""

    @property
    def rate(self) -> float | None:
        """The recommendation: that of the trainings, where there are any."""
        return self.test.rate if self.confirmation is None else self.confirmation.rate


class RangeProgress:
    """A range test in progress: its cost after a few steps, then a bar on a terminal."""

    def __init__(self, ramp: RateRamp, batch: int, images: int, silent: bool) -> None:
        self._bar = Bar(silent)
        self._ramp, self._batch, self._images, self._silent = ramp, batch, images, silent
        self._task = self._bar.add_task("range test", total=len(ramp.rates), left="")
        self._done, self._started = 0, time.monotonic()

    def __enter__(self) -> "RangeProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, loss: float) -> None:
        """A step is done, whose batch had this loss."""
        rates = self._ramp.rates
        self._done += 1
        if self._done == 1:
            self._started = time.monotonic()  # the first step warms up
            return
        left = (len(rates) - self._done) * (time.monotonic() - self._started) / (self._done - 1)
        if self._done == min(TIMED, len(rates)) and not self._silent:
            terminal.note(f"{self._cost()}; about {terminal.duration(left)}; nothing is written")
        rate = rates[self._done - 1]
        self._bar.update(
            self._task,
            completed=self._done,
            description=f"range test   lr {rate:.2g}   loss {loss:.4g}",
            left=f"{terminal.duration(left)} left",
        )

    def _cost(self) -> str:
        rates = self._ramp.rates
        epochs = len(rates) * self._batch / self._images
        return f"range test: at most {len(rates):,} steps ({epochs:.2g} epochs), lr {rates[0]:g} to {rates[-1]:g}"


def rate_alone(result: RateAnswer) -> None:
    """The recommendation and nothing else, for `--lr $(optilab lr ... --quiet)`; on stderr why there is none."""
    if result.rate is None:
        terminal.note(unmoved(result))
    else:
        terminal.say(f"{result.rate:g}")


def show(result: RateAnswer) -> None:
    """The curve, the recommendation with its evidence, and the commands to go on with."""
    config, test = result.config, result.test
    facts = f"{config.name}   {config.optimizer.name}   batch {config.data.batch_size}   seed {config.seed}"
    terminal.say(f"{facts}   {len(test.losses):,} steps", style="bold")
    terminal.draw(rates_chart(test))
    terminal.say()
    if test.rate is None:
        terminal.say(unmoved(result), style="yellow")
    else:
        prefix = "recommended" if result.confirmation is None else "by the range test"
        terminal.say(f"{prefix}: {_key(result)} {test.rate:g}", style="bold" if prefix == "recommended" else "")
        terminal.say(_evidence(test))
    others = [f"{name} {rate:.2g}" for name, rate in test.others.items() if rate is not None]
    if others:
        terminal.say(f"other rules on the same curve: {', '.join(others)}")
    if result.confirmation is None:
        if test.rate is None:
            terminal.say(f"  try: optilab lr {result.asked} --confirm --epochs 30")
            if " " not in result.asked:  # `diagnose` takes no settings
                terminal.say(f"  why: optilab diagnose {result.asked}")
        else:
            terminal.say(f"  try: optilab train {result.asked} --set {_setting(result, test.rate)}")
            terminal.say(f"  confirm with seeds: optilab lr {result.asked} --confirm")
    else:
        _confirmed(result, result.confirmation)


def unmoved(result: RateAnswer) -> str:
    """Why there is no recommendation, and what may help."""
    test, confirmation = result.test, result.confirmation
    if confirmation is not None:
        tried = [row.rate for row in confirmation.rows]
        span = f" at lr {tried[0]:g} to {tried[-1]:g}" if tried else ""
        what = f"no training beats guessing{span} within {_counted(confirmation.epochs, 'epoch')}"
        return f"{what}; no recommendation: optilab diagnose {result.asked.split()[0]} says why, or add --epochs N"
    span = f"lr {test.rates[0]:.2g} to {test.rates[-1]:.2g}"
    return (
        f"the network does not move: from {span} the loss never falls below {MOVED:.0%} of that of guessing, "
        f"{test.guessing:.4g}; no recommendation. Some networks move only after thousands of steps at one rate, which "
        "trainings of more epochs show"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count > 1)}"


def _setting(result: RateAnswer, rate: float) -> str:
    """What `--set` takes: the rate, or of a rule around another the whole entry."""
    sections = result.test.ramp.key.split(".")[1:-1]
    if not sections:
        return f"{result.test.ramp.key}={rate:g}"
    tree = inner = dump(result.config)["optimizer"]
    for section in sections:
        inner = inner[section]
    inner["lr"] = rate
    return shlex.quote(f"optimizer={flow(tree)}")


def _key(result: RateAnswer) -> str:
    return result.test.ramp.key.removeprefix("optimizer.")


def _evidence(test: RangeTest) -> str:
    """The places of the curve, in words."""
    rise = "it does not rise again" if test.diverging is None else f"it rises again from {test.diverging:.2g} on"
    return (
        f"the middle of the valley on a log scale: half of the gain is made at {test.half:.2g}, {rise}; the loss falls "
        f"fastest at {test.steepest:.2g} and is lowest at {test.lowest:.2g} ({test.floor:.3g}; guessing "
        f"{test.guessing:.3g})"
    )


def _confirmed(result: RateAnswer, confirmation: Confirmation) -> None:
    """The table of the trainings, and the recommendation with the rates that cannot be told from it."""
    terminal.say()
    size = f"{_counted(confirmation.epochs, 'epoch')}, {_counted(confirmation.seeds, 'seed')} each"
    terminal.say(f"trainings at {len(confirmation.rows)} rates, {size}, judged on held-out images", style="bold")
    if confirmation.side is not None:
        import_module("optilab.verbs.answer").paint(_comparison(confirmation).parts())
    terminal.say()
    if confirmation.rate is None:
        terminal.say(unmoved(result), style="yellow")
    else:
        terminal.say(f"recommended: {_key(result)} {confirmation.rate:g}{_interval(confirmation)}", style="bold")
        if confirmation.at_edge:
            terminal.say(
                f"note: {confirmation.rate:g} is the last rate that was tried; a better one may lie beyond: "
                f"optilab sweep {result.asked} --over {confirmation.key}=LOW:HIGH:log"
            )
        terminal.say(f"  try: optilab train {result.asked} --set {_setting(result, confirmation.rate)}")
    terminal.say(str(result.study))


def _interval(confirmation: Confirmation) -> str:
    rest = [f"{rate:g}" for rate in sorted(confirmation.possible) if rate != confirmation.rate]
    return f" (highest mean; cannot tell it from {', '.join(rest)})" if rest else " (better than the other rates)"


def _comparison(confirmation: Confirmation) -> Any:
    """The trainings side by side."""
    return import_module("optilab.verbs.compare").LabComparison(confirmation.side)  # until `lr` is a verb


def document(result: RateAnswer) -> dict[str, Any]:
    """The document of `--json`; `curve` has one entry per step."""
    test, confirmation = result.test, result.confirmation
    found = {
        "config": result.asked,
        "key": test.ramp.key,
        "rate": result.rate,
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
        found["run"] = result.study
        found["confirmation"] = {
            "rate": confirmation.rate,
            "cannot_tell": sorted(set(confirmation.possible) - {confirmation.rate}),
            "at_edge": confirmation.at_edge,
            "learned": confirmation.learned,
            "epochs": confirmation.epochs,
            "seeds": confirmation.seeds,
            "outcomes": [{"rate": row.rate, "val_acc": row.outcomes} for row in confirmation.rows],
            "comparison": confirmation.side and _comparison(confirmation).document(),
        }
    return found
