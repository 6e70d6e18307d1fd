"""`optilab train`: one network, trained epoch by epoch."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab import runs, signals
from optilab.annotations import ConfigKey, Flag
from optilab.answer.answer import Answer
from optilab.answer.comparison import drawn
from optilab.answer.progress import starting
from optilab.answer.results import LabRun, LabStudy
from optilab.config.load import load
from optilab.errors import DivergedError
from optilab.numbers import decimals
from optilab.proposals import Proposal
from optilab.request import studies
from optilab.request.options import (
    BatchSize,
    ClusterOptions,
    Config,
    DataOptions,
    DetailOptions,
    Device,
    Expect,
    FileOptions,
    LearningRate,
    Optimizer,
    SaveOptions,
    Seed,
    SetOptions,
    Threads,
    present,
)
from optilab.request.request import Conflicts, Place
from optilab.runs import Record, Row, best, read_timings
from optilab.runs.provenance import provenance
from optilab.show import terminal
from optilab.show.blocks import Block, Details
from optilab.show.progress import INTERVAL_SECONDS, Bar
from optilab.show.table import grid
from optilab.words import duration, main_settings_text, pace, plural

if TYPE_CHECKING:
    from optilab.answer.sweeps import EndedSweep
    from optilab.config.training import TrainConfig
    from optilab.data.read import Dataset
    from optilab.judge.claims import ClaimResult
    from optilab.train.engine import Training
    from optilab.train.resume import Fork


class Train(ClusterOptions, SetOptions, DataOptions, SaveOptions, FileOptions, DetailOptions):
    """Train a network and measure it after each epoch; a run can be stopped and resumed."""

    READS = "train"
    EXAMPLES = (
        "optilab train sigmoid.yaml",
        "optilab train sigmoid.yaml --epochs 10 --seed 42 --device cpu --threads 2 --json",
        "optilab train sigmoid.yaml --set model.activation=relu --set optimizer.lr=0.1",
        "optilab train sigmoid.yaml --optimizer adam --lr 0.001 --batch-size 64",
        "optilab train relu.yaml --seeds 5",
        "optilab train batchnorm.yaml --epochs 2 --expect 'val_acc > 0.7' --quiet",
        "optilab train --resume 20261124-143512-sigmoid-1c2d9e05",
        "optilab train --fork 20261124-143512-sigmoid-1c2d9e05@9 --set optimizer=adam",
    )
    CONFLICTS: ClassVar[Conflicts] = (
        ("config", "resume", "fork", "file"),
        ("resume", "seeds"),
        ("fork", "seeds"),
        ("resume", "name"),
    )
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {"seeds": ("cluster", "jobs")}

    config: Config = None
    file: Annotated[
        str | None,
        Flag("FILE", names=("--config",), complete="preset:train", named=True),
        Doc("The same as CONFIG"),
    ] = None
    epochs: Annotated[int | None, ConfigKey("epochs"), Flag("N"), Doc("Passes over the training data")] = None
    seed: Seed = None
    seeds: Annotated[
        int | None, Flag("N"), Ge(1), Le(1000), Doc("Train with N seeds, several at once; show the spread")
    ] = None
    device: Device = None
    threads: Threads = None
    optimizer: Optimizer = None
    lr: LearningRate = None
    batch_size: BatchSize = None
    expect: Annotated[Expect, ConfigKey("expect")] = None
    resume: Annotated[str | None, Flag("RUN", complete="run"), Doc("Resume an interrupted run")] = None
    fork: Annotated[
        str | None, Flag("RUN[@EPOCH]", complete="run"), Doc("Start a new run from a checkpoint of another")
    ] = None
    picture: Annotated[
        bool | None,
        Flag(names=("--picture/--no-picture",)),
        Doc("Draw curves and layer gradients in the terminal [on if it is at least 80 columns wide]"),
    ] = None

    def run(self, place: Place) -> "LabRun | LabStudy":
        """Train one network, the rest of an interrupted run, a fork, or one network from several seeds."""
        if self.fork is not None:
            from optilab.train.resume import plan_fork

            fork = plan_fork(place.folder, self.fork, self.changes)
            return _start(fork.config, self, place, fork)
        if self.resume is not None:
            return _resume(self.resume, self, place)
        config = _new_config(self, place)
        return _start(config, self, place) if self.seeds is None else _train_seeds(config, self, place)


def _new_config(request: Train, place: Place) -> "TrainConfig":
    """The config of a training from the initial weights. UsageError without one."""
    changes = request.changes
    config: Any = request.config if request.file is None else request.file
    if config is None:
        raise studies.missing_config("train")
    from optilab.config.training import TrainConfig

    training = load(TrainConfig, studies.training(config), changes)
    studies.note_origin(config, place)
    return training


# --- one training -------------------------------------------------------------------------------------------


def _resume(name: str, request: Train, place: Place) -> "LabTraining":
    """Train the rest of the run of that name; a complete run is only read."""
    from optilab.train.resume import plan_resume, refuse_changed_trial

    changes = request.changes
    path = runs.locate(place.folder, name, "train")
    refuse_changed_trial(path, changes)
    plan = plan_resume(path, changes)
    if not plan.complete:
        return _train(path, plan.config, request, place)
    if not place.library:
        terminal.note(f"{path.name} is already complete ({plural(plan.done, 'epoch')})")
    return _result(path, plan.config, request)


def _start(config: "TrainConfig", request: Train, place: Place, fork: "Fork | None" = None) -> "LabTraining":
    """Train a new run, from the initial weights or from the checkpoint of a fork."""
    path = place.folder / runs.chosen_name(request.name, config.name)
    runs.require_free(path)
    return _train(path, config, request, place, fork)


def _train(
    path: Path, config: "TrainConfig", request: Train, place: Place, fork: "Fork | None" = None
) -> "LabTraining":
    """Train as the run `path`. Does not return where a signal stops it.

    A run that diverges is reported before its DivergedError is raised, or with it where the report is JSON.
    """
    from optilab.config.claims import BEST
    from optilab.data import fetch
    from optilab.judge.claims import require_judgeable

    require_judgeable(config.expect, [config.name, BEST], [config], sample=1)
    dataset = fetch.load_or_fetch(*config.data.source)
    with signals.on_signal() as stop:
        try:
            training, status = _run(path, config, dataset, request, place, stop, fork)
        except DivergedError as error:
            if place.library:
                error.add_note(f"the run is kept: lab.load({path.name!r})")
                raise
            answer = _result(path, config, request)
            if request.json_:  # one document, with the error in it
                error.facts = answer.full_document()
            else:
                present(answer, request)
            raise
    if stop.signal is not None:  # also where the last epoch was done already: a loop around this must stop
        if place.library:
            place.stopped(stop.signal, Proposal("stopped; ", runs.resume_command(path), " continues it"))
        stopped = status == "interrupted"
        if stopped:
            terminal.note(f"stopped after epoch {training.epoch}; continue with: {runs.resume_command(path)}")
            if request.out:  # a signal is answered at once
                terminal.note(f"not written: {', '.join(request.out)}; optilab runs plot draws the epochs so far")
        if request.json_ or not stopped:
            present(_result(path, config, request, plot=not stopped), request)
        signals.die_of(stop.signal)
    return _result(path, config, request)


def _run(
    path: Path,
    config: "TrainConfig",
    dataset: "Dataset",
    request: Train,
    place: Place,
    stop: signals.Stop,
    fork: "Fork | None",
) -> "tuple[Training, str]":
    """Train until the end or until `stop` is requested; raises what `session` raises, with the run on disk by then."""
    with starting(config.name) if not place.silent else nullcontext():
        from optilab.train import session  # torch comes in here, after everything that can be refused without it
        from optilab.train.device import exclusive_torch

    with exclusive_torch():
        if request.resume is not None:
            training, run = session.resume(path, config, dataset, terminal.note)
        else:
            where = (dataset, path.parent, path.name, provenance(place.argv, ["numpy", "torch"]))
            training, run = session.fork(fork, *where) if fork else session.start(config, *where)
        if not place.silent:
            header(training, dataset)
            if fork:
                print_fork(run.manifest["fork"])

        with TrainingDisplay(config.epochs, training.rows, place.silent) as display:
            status = session.train_to_end(training, run, display, lambda: stop.requested)
    return training, status


def _result(path: Path, config: "TrainConfig", request: Train, plot: bool = True) -> "LabTraining":
    """The result of the run on disk, with its claims checked and its files written."""
    from optilab.judge import claims

    record = runs.read(path)
    judged = claims.judge_claims(config.expect, claims.results_of_trainings([record]))
    answer = LabTraining(record, judged, request.picture)
    if plot:
        _save(request, answer, [record])
    return answer


def _save(request: Train, answer: Answer, records: Sequence[Record]) -> None:
    """Write the files that were asked for, if there is an epoch to show."""
    if any(record.last_row() for record in records):
        request.save(answer)
    elif request.out:
        terminal.note(f"not written: {', '.join(request.out)}: there is no epoch to draw")


@dataclass(frozen=True, repr=False)
class LabTraining(LabRun):
    """A training at its end."""

    schema_version: ClassVar[int] = 4
    judged: "Sequence[ClaimResult]" = ()
    picture: bool | None = None
    """True to show the curves, False to hide them, None to show them where there is room."""

    def __repr__(self) -> str:
        return f"<LabRun: {self.headline}>"

    def blocks(self) -> Iterator[Block]:
        """The test set, the curves, the diagnosis, and as details the last and the best epoch, time and speed."""
        rows = self.rows
        if rows:
            yield ""
            yield from _tested(rows, self.entry)
            yield from drawn([self.entry], self.picture)
            yield from self.diagnosis.brief()
        yield str(self.path)
        if rows:
            yield Details(
                "Details", [*_last_and_best(rows, self.entry), *self.diagnosis.background()], folded=True
            )

    def document(self) -> Mapping[str, Any]:
        """Rows, best epoch, seconds, accuracy of the chance level, diagnosis, test set."""
        from optilab.diagnose import evidence_of

        record, rows = self.entry, self.rows
        evidence = evidence_of(record)
        facts: dict[str, Any] = {"run": str(self.path), "status": record.state, "rows": rows}
        if measured := [
            {"epoch": r["epoch"], **r["curvature"]} for r in evidence.diagnostics if r.get("curvature")
        ]:
            facts["curvature"] = measured
        if origin := record.manifest.get("fork"):
            facts["fork"] = {key: value for key, value in origin.items() if key not in ("config", "fork")}
        if rows:
            facts |= {
                "best": best(rows),
                "seconds": sum(row["seconds"] for row in read_timings(self.path / "timings.csv")),
                "chance": evidence.chance,
                "diagnosis": self.diagnosis.document(),
            }
        tested = ("test_loss", "test_acc", "best_test_loss", "best_test_acc")
        return facts | {key: record.manifest[key] for key in tested if key in record.manifest}


def _last_and_best(rows: Sequence[Row], record: Record) -> Iterator[Block]:
    """Last and best epoch by validation accuracy, time and speed, and where it was trained."""
    timings = read_timings(record.path / "timings.csv")
    keys = [key for key in rows[-1] if key != "epoch"]
    lines = (("last", rows[-1]), ("best", best(rows)))
    table = [(label, str(row["epoch"]), *(decimals(row[key]) for key in keys)) for label, row in lines]
    yield grid(["", "epoch", *keys], table)
    seconds = sum(row["seconds"] for row in timings)
    speed = pace(len(timings), seconds)
    yield f"{plural(len(rows), 'epoch')} in {duration(seconds)}, {speed}"


def _tested(rows: Sequence[Row], record: Record) -> Iterator[str]:
    """Loss and accuracy on the test set, where there is one."""
    last, top = rows[-1], best(rows)
    if "test_acc" in record.manifest:
        loss, accuracy = record.manifest["test_loss"], record.manifest["test_acc"]
        yield f"test set (evaluated once, at the end): loss {loss:.4f}, accuracy {accuracy:.4f}"
    if top["epoch"] < last["epoch"] and "best_test_acc" in record.manifest:
        loss, accuracy = record.manifest["best_test_loss"], record.manifest["best_test_acc"]
        yield f"test set at epoch {top['epoch']}, the best by validation: loss {loss:.4f}, accuracy {accuracy:.4f}"


# --- several seeds ------------------------------------------------------------------------------------------


def _train_seeds(config: "TrainConfig", request: Train, place: Place) -> "EndedSweep":
    """Train from several seeds: a sweep without an axis."""
    from optilab.answer.sweeps import EndedSweep
    from optilab.config.study import SweepConfig
    from optilab.judge.claims import judge_claims
    from optilab.study.results import results_of_study
    from optilab.study.sweep import spec_of

    spec = spec_of(SweepConfig(config=config, seeds=request.seeds or 1), alone=True)
    ran = studies.run(spec, runs.chosen_name(request.name, spec.name), request, place)
    study = runs.read_study(ran.path)
    judged = judge_claims(spec.request.expect, results_of_study(study))
    answer = EndedSweep(study, ran, spec, request.picture, judged=judged)
    _save(request, answer, study.completed())
    return answer


# --- display during the training --------------------------------------------------------------------------------


def header(training: "Training", dataset: "Dataset") -> None:
    """The network, the optimizer, the seed and the dataset, in two lines."""
    from optilab.config.user_network import UserNetwork

    config, device = training.config, str(training.device)
    model, optimizer = config.model, main_settings_text(config.optimizer).replace("   ", " ")
    facts = [
        config.name,
        model.name if isinstance(model, UserNetwork) else _widths(model.widths(training.inputs, dataset.classes)),
        f"{config.optimizer.name} {optimizer}",
        f"batch {config.data.batch_size}",
        f"seed {config.seed}",
        *([device] if device != "cpu" else []),
    ]
    terminal.say("   ".join(facts), style="bold")
    info, train, validation = config.data.info, len(training.train), len(training.validation)
    name = info.name if info.is_custom else info.title
    terminal.say(f"{name}, {train:,} train, {validation:,} validation")


def print_fork(origin: Mapping[str, Any]) -> None:
    """Print a fork's run and epoch, the state of its optimizer, and its changed keys."""
    terminal.say(
        f"fork of {origin['run']} after epoch {origin['epoch']}; optimizer state {origin['optimizer_state']}"
    )
    for change in origin["changed"]:
        terminal.say(f"  {change}")


def _widths(widths: Sequence[int]) -> str:
    """784-128-128-10, or 784-100x(128)-10 where that would not fit a line."""
    if len(widths) > 12 and len(set(widths[1:-1])) == 1:
        return f"{widths[0]}-{len(widths) - 2}x({widths[1]})-{widths[-1]}"
    return "-".join(map(str, widths))


def cells_of(row: Row, epochs: int, seconds: float, diagnostics: Row) -> dict[str, str]:
    """The cells of an epoch's line by their headings; with the curvature, where it was measured."""
    from optilab.diagnose import Stability

    cells = {"epoch": f"{row['epoch']}/{epochs}"}
    cells |= {key: decimals(value) for key, value in row.items() if isinstance(value, float)}
    cells["time"] = f"{seconds:.2f}s"
    if (measured := Stability.of(diagnostics)) is not None:
        cells["sharpness"] = f"{measured.sharpness:.4g}"
        cells["limit"] = "-" if measured.limit is None else f"{measured.limit:.4g}"
    return cells


COLUMN_WIDTH = 10
"""Characters of a column of epochs: more than its numbers have."""


def aligned(texts: Iterable[str]) -> str:
    """The cells or headings of a line, in columns that no later line makes wider."""
    return "  ".join(text.rjust(COLUMN_WIDTH) for text in texts)


LONG = 60.0
"""Seconds: a training in a pipe that is estimated to take longer reports the estimate after its first epoch."""


class TrainingDisplay(Bar):
    """A line per epoch under headings, and a bar on a terminal and in a notebook; `quiet` shows nothing."""

    def __init__(self, epochs: int, rows: Sequence[Row], quiet: bool = False) -> None:
        super().__init__(epochs, quiet, on_terminal=sys.stdout.isatty())
        self._epochs, self._done, self._first = epochs, len(rows), len(rows)
        self._quiet = quiet or self.in_notebook
        self._headings: Sequence[str] = ()
        self._started = self._drawn = time.monotonic()

    def batch(self, done: int, total: int) -> None:
        if (now := time.monotonic()) - self._drawn < INTERVAL_SECONDS:
            return
        self._drawn, epochs = now, self._done + done / total
        left = (self._epochs - epochs) * (now - self._started) / (epochs - self._first)
        text = f"epoch {self._done + 1}/{self._epochs}   batch {done}/{total}"
        self.show(epochs, text, f"{duration(left)} left")

    def epoch(self, row: Row, seconds: float, diagnostics: Row) -> None:
        self._done += 1
        if not self._quiet:
            cells = cells_of(row, self._epochs, seconds, diagnostics)
            if [*cells] != self._headings:  # the curvature is not measured after every epoch
                self._headings = [*cells]
                terminal.say(aligned(self._headings))
            terminal.say(aligned(cells.values()))
            left = seconds * (self._epochs - self._done)
            if self._done == self._first + 1 and self.disable and left > LONG:
                terminal.note(f"about {duration(left)} left")


COMMAND = Train
