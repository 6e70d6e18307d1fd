"""`optilab train`: one network, trained epoch by epoch."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.execution import Cluster, Jobs
from optilab.cli.options import (
    Dark,
    DataDir,
    Expect,
    Json,
    Name,
    Plot,
    Quiet,
    RunsDir,
    Set,
    complete_algo,
    complete_preset,
    complete_run,
    no_config,
    only_one,
    overrides,
)
from optilab.errors import DivergedError, UsageError

if TYPE_CHECKING:
    from optilab.config.claims import Claim
    from optilab.config.load import Override
    from optilab.config.training import TrainConfig
    from optilab.train.resume import Branch

EXAMPLES = """\b
Examples:
  optilab train sigmoid.yaml
  optilab train sigmoid.yaml --epochs 10 --seed 42 --device cpu --threads 2 --json
  optilab train sigmoid.yaml --set model.activation=relu --set optimizer.lr=0.1
  optilab train sigmoid.yaml --optimizer adam --lr 0.001 --batch-size 64
  optilab train relu.yaml --seeds 5
  optilab train relu.yaml --log tensorboard
  optilab train batchnorm.yaml --epochs 2 --expect 'val_acc > 0.7' --quiet
  optilab train --resume 20261124-143512-sigmoid-1c2d9e05
  optilab train --fork 20261124-143512-sigmoid-1c2d9e05@9 --set optimizer=adam
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
    "expect": "expect",
}


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
        typer.Option(metavar="N", min=1, max=1000, help="Train with N seeds, several at once; show the spread."),
    ] = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
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
    expect: Expect = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Resume an interrupted run.", autocompletion=complete_run),
    ] = None,
    fork: Annotated[
        str | None,
        typer.Option(
            metavar="RUN[@EPOCH]",
            help="Start a new run from a checkpoint of another.",
            autocompletion=complete_run,
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="TRACKER", help="tensorboard: write each epoch to an event file in the run directory."
        ),
    ] = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
    picture: Annotated[
        bool | None,
        typer.Option("--picture/--no-picture", help="Curves and layers [shown on a terminal 80 wide]."),
    ] = None,
    plot: Plot = None,
    dark: Dark = False,
) -> int:
    """Train a network and measure it after each epoch; a run can be stopped and resumed."""
    from optilab import runs
    from optilab.config.load import load
    from optilab.config.training import TrainConfig
    from optilab.show import terminal
    from optilab.train.resume import branch, continuation, require_alike

    only_one(json=json_, quiet=quiet)
    only_one(resume=resume, fork=fork, config=config or preset)
    only_one(resume=resume, fork=fork, seeds=seeds)
    only_one(resume=resume, name=name)
    if config is not None and preset is not None:
        raise UsageError(f"two configs: {preset} and --config {config}; give one")
    if plot is not None:
        from optilab.show import chart_file

        chart_file.check(plot)
    if log is not None:
        from optilab.lab.logged import tracked

        tracked(log)
        if seeds is not None:
            raise UsageError(
                "one training at a time; runs export STUDY --tensorboard DIR writes those of a study", "--log"
            )
    view = _View(json_, quiet, picture, plot, dark, log is not None)
    folder, changes, source = runs.root(runs_dir), overrides(ctx, _KEYS), preset if config is None else config
    if resume is not None:
        place = runs.locate(folder, resume, "train")
        require_alike(place, changes)
        continued = continuation(place, changes)
        if continued.complete:
            advice = (
                "--epochs N trains it further" if continued.done == continued.config.epochs else "it stopped early"
            )
            terminal.note(f"{continued.path.name} is already complete ({continued.done} epochs); {advice}")
            return view.report(continued.path, continued.config.expect)
        return _train(continued.path, continued.config, view, resumed=True)
    if fork is not None:
        forked = branch(folder, fork, changes)
        path = folder / runs.chosen_name(name, forked.config.name)
        runs.require_free(path)
        return _train(path, forked.config, view, fork=forked)
    if source is None:
        raise no_config("train")
    if cluster is not None and seeds is None:
        raise UsageError("it trains several networks: add --seeds N", "--cluster")
    if seeds is not None:
        if threads not in (None, "1"):
            raise UsageError(f"--threads {threads}: with --seeds, each training has one thread")
        return _train_seeds(source, changes, seeds, jobs, cluster, folder, name, view)
    first = load(TrainConfig, source, changes)
    path = folder / runs.chosen_name(name, first.name)
    runs.require_free(path)
    return _train(path, first, view)


@dataclass
class _View:
    """What is shown of a training, and how."""

    json_: bool
    quiet: bool
    picture: bool | None
    plot: str | None
    dark: bool
    log: bool
    """Write an event file of TensorBoard."""

    @property
    def silent(self) -> bool:
        """Whether nothing is shown before the end."""
        return self.json_ or self.quiet

    def report(self, path: Path, expect: "Sequence[Claim]" = ()) -> int:
        """Show a run at its end; the exit code is that of the claims."""
        from optilab import runs
        from optilab.console import claims as verdicts
        from optilab.console import train as views
        from optilab.study import claims

        judged = claims.of_trainings(expect, [runs.read(path)])
        views.report(path, self.json_, self.quiet, self.picture, self.draw([path]), judged)
        return verdicts.after(judged, self.silent)

    def draw(self, paths: Sequence[Path]) -> list[str]:
        """Write the picture file, after the training: matplotlib is slow to import. Returns the files written."""
        if self.plot is None:
            return []
        from optilab import runs
        from optilab.charts.training import training_chart
        from optilab.show import chart_file, terminal
        from optilab.study.curves import histories

        found = histories([runs.read(path) for path in paths])
        if not found.groups:
            terminal.note(f"{self.plot} is not written: there is no epoch to draw")
            return []
        chart_file.save(training_chart(found), self.plot, self.dark)
        return [self.plot]


def _train(
    path: Path, config: "TrainConfig", view: _View, resumed: bool = False, fork: "Branch | None" = None
) -> int:
    """Train one network, the rest of an interrupted run, or a fork. Does not return where a signal stops it.

    A run that diverges is reported before its DivergedError is raised, or with it where the report is JSON.
    """
    from optilab import runs, signals
    from optilab.console import train as views
    from optilab.lab import training
    from optilab.lab.execution import dataset_of
    from optilab.show import terminal

    if not view.silent:
        views.starting(config.name)
    dataset = dataset_of(config.data)
    with signals.on_signal() as stop:
        try:
            trained = training.train(
                path, config, dataset, sys.argv, stop, view.silent, resumed, fork, log=view.log
            )
        except DivergedError as error:
            if view.json_:
                view.draw([path])
                error.facts = views.document(path)  # one document, with the error in it
            else:
                view.report(path, config.expect)
            raise
    state = trained.training
    if trained.status == "interrupted":
        terminal.note(f"stopped after epoch {state.epoch}; continue with: {runs.resume_command(path)}")
        if view.plot is not None:  # a signal is answered at once
            terminal.note(f"{view.plot} is not written; optilab runs plot draws the epochs so far")
            view.plot = None
    elif state.device.type == "cpu" and (hint := trained.display.crowded(config.threads)):
        terminal.note(hint)
    code = 0
    if not view.silent:
        views.curvature_cost(state.cost.measurements, state.cost.products, state.cost.seconds)
    if trained.status != "interrupted" or view.json_:
        code = view.report(path, config.expect)
    if stop.signal is not None:  # also where the last epoch was done already: a loop around this must stop
        signals.die_of(stop.signal)
    return code


def _train_seeds(
    config: str,
    changes: "Sequence[Override]",
    seeds: int,
    jobs: int | None,
    cluster: str | None,
    folder: Path,
    name: str | None,
    view: _View,
) -> int:
    """Train with several seeds: a sweep without an axis."""
    from optilab import runs
    from optilab.cli import execution
    from optilab.config.study import SweepConfig
    from optilab.console import claims as verdicts
    from optilab.console import train as views
    from optilab.study import claims, sweep

    asked = sweep.resolve(SweepConfig(config=config, seeds=seeds), changes)
    plan = sweep.plan(asked, "train")
    ran = execution.run(plan, folder, runs.chosen_name(name, plan.base.name), view.silent, jobs, cluster)
    judged = claims.of_trainings(plan.asked.expect, [runs.read(run) for run in ran.completed])
    drawn = view.draw(ran.completed)
    views.report_seeds(ran.path, ran.outcomes, view.json_, view.quiet, view.picture, drawn, judged)
    return max(ran.code, verdicts.after(judged, view.silent))
