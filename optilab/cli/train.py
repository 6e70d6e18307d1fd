"""`optilab train`: one network, trained epoch by epoch."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.data import dataset_of
from optilab.cli.options import (
    DataDir,
    Json,
    Name,
    Quiet,
    RunsDir,
    Set,
    complete_algo,
    complete_preset,
    complete_run,
    only_one,
    overrides,
)
from optilab.errors import DivergedError, RunError, UsageError

if TYPE_CHECKING:
    from optilab.config.load import Override
    from optilab.config.schema.train import TrainConfig
    from optilab.train.data import Dataset

EXAMPLES = """\b
Examples:
  optilab train sigmoid.yaml
  optilab train sigmoid.yaml --epochs 10 --seed 42 --device cpu --threads 2 --json
  optilab train sigmoid.yaml --set model.activation=relu --set optimizer.lr=0.1
  optilab train sigmoid.yaml --optimizer adam --lr 0.001 --batch-size 64
  optilab train relu.yaml --seeds 5
  optilab train --resume 20261124-143512-sigmoid-1c2d
"""

_KEYS = {
    "epochs": "epochs",
    "seed": "seed",
    "device": "device",
    "threads": "threads",
    "optimizer": "optimizer",
    "lr": "optimizer.lr",
    "batch_size": "data.batch_size",
    "data_dir": "data.dir",
}


@dataclass(frozen=True)
class Job:
    """One run to be trained: a new one, one that is resumed, or one of several seeds that is complete already."""

    path: Path
    config: "TrainConfig"
    resumed: bool = False
    complete: bool = False


def train(
    ctx: typer.Context,
    preset: Annotated[
        str | None,
        typer.Argument(metavar="[CONFIG]", help="YAML file or preset.", autocompletion=complete_preset("train")),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The same as CONFIG.", autocompletion=complete_preset("train")),
    ] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Passes over the training data.")] = None,
    seed: Annotated[str | None, typer.Option(metavar="N", help="Seed of every random number.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1000, help="Train with N seeds, one after another; show the spread."),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = None,
    threads: Annotated[str | None, typer.Option(metavar="N", help="CPU threads.")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Optimizer, with its defaults.", autocompletion=complete_algo),
    ] = None,
    lr: Annotated[str | None, typer.Option(metavar="LR", help="Learning rate (optimizer.lr).")] = None,
    batch_size: Annotated[str | None, typer.Option(metavar="N", help="Images per step (data.batch_size).")] = None,
    data_dir: DataDir = None,
    set_: Set = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Resume an interrupted run.", autocompletion=complete_run),
    ] = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a network and measure it after each epoch; a run can be stopped and resumed."""
    from optilab import console, runs, signals
    from optilab.console import train as views
    from optilab.train.resume import continuation

    only_one(json=json_, quiet=quiet)
    for flag, value in (("name", name), ("config", config or preset), ("seeds", seeds)):
        only_one(resume=resume, **{flag: value})
    if config is not None and preset is not None:
        raise UsageError(f"two configs: {preset} and --config {config}; give one")
    folder, changes = runs.root(runs_dir), overrides(ctx, _KEYS)
    if resume is not None:
        continued = continuation(runs.locate(folder, resume, "train"), changes)
        if continued.complete:
            advice = (
                "--epochs N trains it further" if continued.done == continued.config.epochs else "it stopped early"
            )
            console.note(f"{continued.path.name} is already complete ({continued.done} epochs); {advice}")
            views.report(continued.path, json_, quiet)
            return 0
        jobs = [Job(continued.path, continued.config, resumed=True)]
    else:
        jobs = _jobs(preset if config is None else config, changes, folder, name, seeds)
    if not (json_ or quiet):
        views.starting(jobs[0].config.name)
    dataset = dataset_of(jobs[0].config.data)
    with signals.on_signal() as stop:
        done, stopped = _train(jobs, dataset, stop, json_, quiet)
    if stopped is not None:
        console.note(stopped)
    if seeds is None and (done or json_):
        views.report(jobs[0].path, json_, quiet)
    elif seeds is not None and done:
        views.report_seeds(done, json_, quiet)
    if stop.signal is not None:  # also where the last epoch was done already: a loop around this must stop
        signals.die_of(stop.signal)
    return 0


def _jobs(
    config: str | None, changes: "Sequence[Override]", folder: Path, name: str | None, seeds: int | None
) -> list[Job]:
    """The new runs: one, or one per seed, which then ends each name. UsageError without a config."""
    from optilab import runs
    from optilab.config.load import Override, load
    from optilab.config.schema.train import TrainConfig

    if config is None:
        example = "optilab train sigmoid.yaml"
        raise UsageError(f"train needs a config, as in: {example} (optilab config ls lists the presets)")
    first = load(TrainConfig, config, changes)
    label = runs.chosen_name(name, first.name)
    if seeds is None:
        jobs = [Job(folder / label, first)]
    else:
        numbered = [
            (n, load(TrainConfig, config, [*changes, Override("--seeds", "seed", n)]))
            for n in range(first.seed, first.seed + seeds)
        ]
        jobs = [Job(folder / runs.chosen_name(f"{label}-seed{n}", label), seeded) for n, seeded in numbered]
    if seeds is not None:
        return [_begun(job) if job.path.is_dir() else job for job in jobs]
    runs.require_free(jobs[0].path)
    return jobs


def _begun(job: Job) -> Job:
    """The run of one of several seeds that exists already, to be continued; RunError if it has other settings."""
    from optilab.config.load import Override, changed_keys
    from optilab.train.resume import continuation

    before = continuation(job.path, [Override("--epochs", "epochs", job.config.epochs)])
    if changed := changed_keys(before.config, job.config):
        raise RunError(f"{job.path} exists with other settings: {'; '.join(changed)}; choose another --name")
    return replace(job, resumed=True, complete=before.complete)


def _train(
    jobs: Sequence[Job], dataset: "Dataset", stop: Callable[[], bool], json_: bool, quiet: bool
) -> tuple[list[Path], str | None]:
    """Train one run after the other: the finished ones, and how to continue where a stop request ended one.

    A run that diverges is reported before its DivergedError is raised, or with it where the report is JSON.
    """
    from optilab import console
    from optilab.console import train as views
    from optilab.train import session  # torch comes in here, after everything that can be refused without it

    done: list[Path] = []
    for number, job in enumerate(jobs, start=1):
        if job.complete:
            done.append(job.path)
            continue
        if job.resumed:
            training, run = session.resume(job.path, job.config, dataset, console.note)
        else:
            training, run = session.start(job.config, dataset, job.path.parent, job.path.name, sys.argv)
        if not (json_ or quiet):
            sizes = (len(training.train), len(training.validation))
            if len(jobs) > 1:
                console.say(f"seed {number} of {len(jobs)}")
            views.header(training.config, training.inputs, dataset.classes, *sizes, str(training.device))
        try:
            with views.Display(job.config.epochs, training.rows, quiet=json_ or quiet) as display:
                status = session.proceed(training, run, display, stop)
        except DivergedError as error:
            if json_:
                error.facts = views.document(run.path)  # one document, with the error in it
            else:
                views.report(run.path, json_, quiet)
            raise
        if training.device.type == "cpu" and (hint := display.crowded(job.config.threads)):
            console.note(hint)
        if status == "interrupted":
            return done, f"stopped after epoch {training.epoch}; {_advice(run.path, len(jobs) > 1)}"
        done.append(run.path)
    return done, None


def _advice(path: Path, several: bool) -> str:
    """How to continue a stopped run, or the several seeds to which it belongs."""
    from optilab import runs

    if several:
        return f"the same command with --name {path.name.rpartition('-seed')[0]} continues with what is missing"
    return f"continue with: {runs.resume_command(path)}"
