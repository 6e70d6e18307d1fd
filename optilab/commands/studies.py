"""Shared parts of the commands that train many networks: where a study starts, its settings, its progress."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from optilab import runs
from optilab.call import Command
from optilab.commands.answer import Answer
from optilab.commands.options import JobOptions, StudyOptions
from optilab.commands.request import Place, plain
from optilab.config.load import at_place, tree_of
from optilab.config.section import build
from optilab.config.tree import Tree
from optilab.errors import RunError, UsageError, shown
from optilab.runs import Record
from optilab.runs.metrics import metric_of
from optilab.runs.record import CONFIG
from optilab.show import terminal
from optilab.show.progress import Bar
from optilab.show.table import Table
from optilab.words import duration, pace, plural

if TYPE_CHECKING:
    from optilab.commands.results import EndedStudy
    from optilab.study.study import Cost, StudyResult, StudySpec
    from optilab.study.trials import Outcome


def tree_and_name(
    command: str, request: StudyOptions, config: Any, place: Place, **started: Any
) -> tuple[Tree, str | None]:
    """The start of a study, a training with what is `started`, a study's file or a study to be continued, and its name,
    if that is chosen. UsageError where there is none."""
    assert request.STUDY is not None
    if request.resume is not None:
        try:
            path = runs.locate(place.folder, request.resume)
            _require_study_of(command, path, place.folder)
            runs.run_name(path.name)
        except ValueError as error:
            raise UsageError(f"{request.flag('resume')}: {error}") from None
        return tree_of(request.STUDY.kind, str(path / runs.STUDY)), path.name
    for each in config if isinstance(config, list) else [config]:
        if isinstance(each, str) and Path(each).name == runs.STUDY:
            raise UsageError(f"expected a training, got the study {each} (--study)")
    if config is not None:
        keys = [training(each) for each in config] if isinstance(config, list) else training(config)
        return Tree.of({"config": keys, **started}, ""), request.name
    if request.study is None:
        raise missing_config(command)
    return tree_of(request.STUDY.kind, request.study), request.name


def study_config(request: StudyOptions, tree: Tree) -> Any:
    """The keys of the study's file: those of its start, changed by what was given; a mapping adds to one."""
    assert request.STUDY is not None
    for change in request.study_overrides():
        before = tree.values.get(change.key)
        if isinstance(change.value, dict) and isinstance(before, dict):
            change = replace(change, value={**before, **change.value})
        tree.put(change)
    return build(request.STUDY, tree)


def with_location(tree: Tree, call: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `call`; errors of what stands in a study's file get its line."""
    try:
        return call(*arguments)
    except UsageError as error:
        located = at_place(error, tree)
        raise (error if str(located) == str(error) else located) from None


def training(config: Any) -> str | Mapping[str, Any]:
    """A training as `load` takes it: a preset, a file, or its keys. UsageError for anything else."""
    keys: Any = plain(config)
    if not isinstance(keys, str | Mapping):
        raise UsageError(f"expected a preset, a YAML file or a mapping of keys, got {shown(config)}", "config")
    return keys


def note_origin(config: Any, place: Place) -> None:
    """Note which config is meant by the directory of a run, and by the name of a preset that a run has, too. The config
    of a fork does not say where the fork started."""
    if place.silent or not isinstance(config, str) or os.path.isfile(config):
        return
    run = place.folder / config
    if os.path.isdir(config):
        text = f"the config is {os.path.join(config, CONFIG)}"
        if origin := runs.read(Path(config)).manifest.get("fork"):
            text += f"; the run is a fork of {origin.get('run')} after epoch {origin.get('epoch')}"
            text += ", and this training starts from the initial weights"
        terminal.note(text)
    elif (run / CONFIG).is_file():
        terminal.note(f"the config is the preset {config}; the run of that name is {run}")


def missing_config(command: str) -> UsageError:
    """The error of a command that trains, without a config."""
    return UsageError(f"{command} needs a config: a preset, a YAML file or the directory of a run")


def _require_study_of(command: str, path: Path, directory: Path) -> None:
    """RunError for a run, and for a study that another command makes or that is not in the directory of runs."""
    entry = runs.read_entry(path)
    made = entry.manifest["command"]
    if not isinstance(entry, runs.Study):
        raise RunError(f"{path} is a run of `optilab {made}`, not a study")
    if made != command:
        raise RunError(f"expected a study of `optilab {command}`, got one of `optilab {made}`: {path}")
    if sweep := runs.sweep_of(path):
        raise RunError(f"{path} is a part of its sweep, {sweep.name}")
    if os.path.realpath(path.parent) != os.path.realpath(directory):
        raise RunError(f"{path} is not in {directory}")
    entry.require_unedited()


# --- the study runs -----------------------------------------------------------------------------------------


E = TypeVar("E", bound="EndedStudy")


def run_or_plan(
    request: StudyOptions,
    place: Place,
    tree: Tree,
    name: str | None,
    spec_of: Callable[..., "StudySpec"],
    label: str,
    answer: type[E],
) -> "E | PlannedStudy":
    """The study that a request makes of its `tree`, planned by `spec_of` and run, as an `answer`; or its cost.

    `label` ends the name of a study that is given none.
    """
    from optilab.judge.claims import judge_claims
    from optilab.study.results import results_of_study

    spec = with_location(tree, spec_of, study_config(request, tree), request.changes)
    config = getattr(request, "config", None)
    for training in config if isinstance(config, list) else [config]:
        note_origin(training, place)
    name = runs.chosen_name(name, f"{spec.name}-{label}")
    if request.dry_run:
        return dry_run(spec, name, request, place)
    ran = run(spec, name, request, place)
    study, claims = runs.read_study(ran.path), spec.request.expect
    judged = judge_claims(claims, results_of_study(study)) if claims else []
    ended = answer(study, ran, spec, judged=judged)
    request.save(ended)
    return ended


def run(spec: "StudySpec", name: str, request: JobOptions, place: Place) -> "StudyResult":
    """Run the study `name` and its confirmation, or what is missing. A signal ends it, and does not return here."""
    from optilab.study import study

    _require_possible(spec, place.folder / name)
    how = study.ExecutionOptions(
        request.jobs, getattr(request, "cluster", None), bool(getattr(request, "fail_fast", False))
    )
    typed = request.typed and isinstance(request, StudyOptions)  # progress stands next to a document, too
    silent = bool(request.arguments.get("quiet")) if typed else place.silent
    ran = study.run(spec, place.folder, name, place.argv, TerminalView(silent), how)
    if ran.stopped is not None:
        sentence: str | Command = f"stopped; the same command with --name {name} continues with what is missing"
        if isinstance(request, StudyOptions):
            again = runs.resume_command(ran.path, spec.command)
            sentence = Command("stopped; continue with: ", again)
        place.stopped(ran.stopped, sentence)
    best = spec.confirmation(ran.path, {outcome.trial.name: outcome for outcome in ran.outcomes})
    if best is None or (how.fail_fast and ran.code):
        return ran
    inside = replace(place, folder=ran.path, argv=runs.read_study(ran.path).manifest["argv"])
    return replace(ran, confirmation=run(best, runs.CONFIRMED_DIRECTORY, request, inside))


def _require_possible(spec: "StudySpec", path: Path) -> None:
    """Refuse claims that can never be checked, and the name of a run."""
    from optilab.judge.claims import require_judgeable

    trainings = [trial.config for trial in spec.trials]
    require_judgeable(spec.request.expect, spec.labels, trainings, spec.sample, unit=spec.unit)
    if (path / "manifest.json").is_file() and isinstance(entry := runs.read_entry(path), Record):
        raise RunError(f"--name: {path} is a run of `optilab {entry.manifest['command']}`, not a study")


def dry_run(spec: "StudySpec", name: str, request: JobOptions, place: Place) -> "PlannedStudy":
    """The cost of the study `name`, or of its missing trials; nothing is written."""
    from optilab.study import study

    _require_possible(spec, place.folder / name)
    cost = study.dry_run(spec, place.folder / name, study.ExecutionOptions(request.jobs))
    return PlannedStudy(spec.shape, cost, spec.detectable, spec.notes)


@contextlib.contextmanager
def starting(name: str, soon: bool = True) -> Iterator[None]:
    """The first line, while PyTorch is loaded, which takes seconds: on a terminal at once where it is `soon`, else
    after ten seconds."""
    text = f"starting {name}: loading PyTorch, which takes long on a busy machine"
    if soon and terminal.err.is_terminal:
        terminal.note(text)
        yield
    else:
        with terminal.note_if_slow(text):
            yield


@dataclass(frozen=True, repr=False)
class PlannedStudy(Answer):
    """The answer of a dry run."""

    shape: str
    cost: "Cost"
    detectable: float | None
    """The smallest difference to the best that is found in 8 of 10 cases, in standard deviations over the seeds."""
    remarks: Sequence[str] = ()

    schema_version: ClassVar[int] = 2

    @property
    def headline(self) -> str:
        return announcement(self.shape, self.cost)

    @property
    def notes(self) -> list[str]:
        if self.detectable is None:
            return [*self.remarks]
        difference = f"a difference to the best setting of {self.detectable:.2g} standard deviations over seeds"
        return [*self.remarks, f"would find, with a probability of 80%, {difference}"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [dict(self.document())]

    def blocks(self) -> Iterable[str]:
        return (self.headline, *self.notes)

    def table(self) -> Table:
        return Table([], [], self.notes)

    def document(self) -> Mapping[str, Any]:
        cost = {key: value for key, value in asdict(self.cost).items() if key != "problem"}
        return {"plan": self.shape, **cost, "detectable": self.detectable, "notes": self.notes}


# --- what is shown meanwhile --------------------------------------------------------------------------------


class TerminalView:
    """A study on the terminal or in a notebook; `silent`: only errors and notes."""

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent

    def announce(self, shape: str, cost: "Callable[[], Cost]") -> None:
        if not self._silent:
            with starting(shape, soon=False):
                estimate = cost()
            terminal.note(announcement(shape, estimate))

    def progress(self, trials: int, epochs: int, metric: str) -> "StudyProgress":
        return StudyProgress(trials, epochs, metric, self._silent)

    def note(self, message: str) -> None:
        terminal.note(message)


def announcement(shape: str, cost: "Cost") -> str:
    """The trials of a study and their estimated cost: `54 trials: 9 values of optimizer.lr x 3 seeds, ...`."""
    same_length = cost.epochs == cost.longest * cost.trials
    each = (
        f"{plural(cost.longest, 'epoch')}{' each' * (cost.trials > 1)}"
        if same_length
        else f"up to {cost.longest:,} epochs"
    )
    parts = [f"{plural(cost.trials, 'trial')}: {shape}, {each}"]
    if cost.missing < cost.trials:
        parts.append(f"{cost.trials - cost.missing:,} done already")
    if cost.seconds is not None and cost.seconds_per_epoch is not None:
        at_once = f"{cost.at_once} at a time, {cost.seconds_per_epoch:.2g} s per epoch"
        parts.append(f"at least {duration(cost.seconds)} ({at_once})")  # measured alone: others slow it down
    if cost.bytes is not None:
        parts.append(f"about {max(0.1, cost.bytes / 2**20):,.1f} MiB on disk")
    return "; ".join(parts)


class StudyProgress(Bar):
    """Trials and epochs done, the best trial so far, time left: a bar on a terminal and in a notebook, a line per trial
    in a log.
    """

    def __init__(self, trials: int, epochs: int, metric: str, quiet: bool) -> None:
        super().__init__(epochs, quiet)
        self._trials = trials
        self._metric, self._best = metric_of(metric), list[float]()
        self._statuses = dict[str, str]()
        self._epochs = self._first = 0
        self._started, self._begun, self._moves = time.monotonic(), False, False

    def recount(self, trials: int, epochs: int) -> None:
        """Count to other numbers from now on."""
        self._trials, self._total = trials, epochs
        self.update(self._task, total=epochs)

    def epochs(self, done: int) -> None:
        """Report the number of epochs that are on disk; time counts from the first one here, without the start."""
        self._epochs = done
        moves = self._begun and done > self._first
        if not self._begun or (moves and not self._moves):
            self._first, self._started = done, time.monotonic()
        self._begun, self._moves = True, self._moves or moves
        self._draw()

    def known(self, outcomes: "Iterable[Outcome]") -> None:
        """Count trials that had ended before this command."""
        for outcome in outcomes:
            self._statuses[outcome.trial.name] = outcome.status
            value = outcome.row.get(self._metric.name)
            if outcome.status in ("done", "stopped") and isinstance(value, int | float):
                self._best = [max([*self._best, value], key=lambda v: v * self._metric.sign)]

    def done(self, outcome: "Outcome") -> None:
        """Count and report a trial that has ended."""
        self.known([outcome])
        self._draw()
        if outcome.failed or self.in_log:
            reason = f": {outcome.reason}" if outcome.failed else ""
            left = f", {left}" if (left := self._left()) else ""
            count = f"{len(self._statuses)}/{self._trials}"
            terminal.note(f"{count} {outcome.trial.name} {outcome.status}{reason}{left}")

    def _left(self) -> str:
        """`about 2:30 left`, from the epochs since the first ones; empty while nothing is known."""
        fresh, elapsed = self._epochs - self._first, time.monotonic() - self._started
        ended = len(self._statuses) == self._trials and "stopped" not in self._statuses.values()
        if fresh <= 0 or ended or self._epochs >= self._total:
            return ""
        return f"about {duration((self._total - self._epochs) * elapsed / fresh)} left"

    def _draw(self) -> None:
        counts, name = Counter(self._statuses.values()), self._metric.name
        bad = [f"{counts[status]} {status}" for status in ("failed", "diverged") if counts[status]]
        best = [f"best {name} {self._metric.text(float(value))}" for value in self._best]
        speed = pace(self._epochs - self._first, time.monotonic() - self._started)
        text = "   ".join([f"{len(self._statuses)} of {self._trials} trials", *bad, *best, speed])
        self.show(self._epochs, text, self._left())


class StepProgress(Bar):
    """A number of steps and the time left: a bar on a terminal and in a notebook, a line every ten seconds in a log."""

    def __init__(self, total: int, silent: bool, text: str) -> None:
        super().__init__(total, silent)
        self._done, self._started = 0, time.monotonic()
        self._noted = self._started
        self.show(0, text, "")

    def step(self, text: str) -> None:
        """Count one more step; time counts from the first one, which warms up."""
        self._done, now, left = self._done + 1, time.monotonic(), ""
        if self._done == 1:
            self._started = now
        else:
            seconds = (self._total - self._done) * (now - self._started) / (self._done - 1)
            left = f"{duration(seconds)} left"
        self.show(self._done, text, left)
        if self.in_log and now - self._noted >= terminal.MAX_SILENCE_SECONDS:
            self._noted = now
            terminal.note(", ".join(filter(None, (text, left))))
