"""`optilab train`: one network, trained on FashionMNIST, epoch by epoch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.options import (
    DataDir,
    Json,
    Name,
    Quiet,
    RunsDir,
    Set,
    complete_preset,
    complete_run,
    only_one,
    overrides,
)

if TYPE_CHECKING:
    from optilab.config.load import Override
    from optilab.config.schema.train import TrainConfig

EXAMPLES = """\b
Examples:
  optilab train --config sigmoid.yaml
  optilab train --config sigmoid.yaml --epochs 10 --seed 42 --device cpu --threads 2 --json
  optilab train --config sigmoid.yaml --set model.activation=relu --set optimizer.lr=0.1
  optilab train --config relu.yaml --seeds 5
  optilab train --resume 20261124-143512-sigmoid-1c2d
"""

_KEYS = {
    "epochs": "epochs",
    "seed": "seed",
    "device": "device",
    "threads": "threads",
    "lr": "optimizer.lr",
    "data_dir": "data.dir",
}


def train(
    ctx: typer.Context,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="YAML file or preset.", autocompletion=complete_preset("train")),
    ] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Passes over the training data.")] = None,
    seed: Annotated[str | None, typer.Option(metavar="N", help="Seed of every random number.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1000, help="Train with N seeds, one after another; show the spread."),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = None,
    threads: Annotated[str | None, typer.Option(metavar="N", help="CPU threads.")] = None,
    lr: Annotated[str | None, typer.Option(metavar="LR", help="Learning rate (optimizer.lr).")] = None,
    data_dir: DataDir = None,
    set_: Set = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Continue an interrupted run.", autocompletion=complete_run),
    ] = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a network and measure it after each epoch; a run can be stopped and resumed."""
    from optilab import console, runs, signals
    from optilab.config.load import load
    from optilab.config.schema.train import TrainConfig
    from optilab.console import train as views
    from optilab.console.data import Transfer
    from optilab.errors import DivergedError, UsageError
    from optilab.train import fetch
    from optilab.train.resume import continuation

    only_one(json=json_, quiet=quiet)
    only_one(resume=resume, name=name)
    only_one(resume=resume, config=config)
    only_one(resume=resume, seeds=seeds)
    if config is None and resume is None:
        example = "optilab train --config sigmoid.yaml"
        raise UsageError(f"train needs --config FILE, as in: {example} (optilab config ls shows more)")
    folder, changes = runs.root(runs_dir), overrides(ctx, _KEYS)
    if resume is not None:
        path = runs.locate(folder, resume, "train")
        continued = continuation(path, changes)
        settings = continued.config
        if continued.complete:
            console.note(
                f"{path.name} is already complete ({settings.epochs} epochs); --epochs N trains it further"
            )
            return _report(path, json_, quiet)
        plan = {path.name: settings}
    else:
        settings = load(TrainConfig, config, changes)
        plan = _plan(settings, runs.chosen_name(name, settings.name), seeds, config, changes)
        for name in plan:
            runs.require_free(folder / name)
    with Transfer() as transfer:
        folder_given = Path(settings.data.dir) if settings.data.dir else None
        dataset = fetch.ensure(settings.data.dataset, folder_given, transfer.report)

    done: list[Path] = []
    with signals.on_signal() as stop:
        from optilab.train import session  # torch comes in here, after everything that can be refused without it

        for name, settings in plan.items():
            if resume is not None:
                training, run = session.resume(path, settings, dataset, console.note)
            else:
                training, run = session.start(settings, dataset, folder, name, sys.argv)
            silent = json_ or quiet
            if not silent:
                sizes = (len(training.train), len(training.validation))
                views.header(settings, training.inputs, dataset.classes, *sizes, str(training.device))
            try:
                with views.Display(settings.epochs, training.rows, quiet=silent) as display:
                    status = session.proceed(training, run, display, stop)
                if training.device.type == "cpu" and (hint := display.crowded(settings.threads)):
                    console.note(hint)
            except DivergedError:
                _report(run.path, json_, quiet)
                raise
            if status == "interrupted":
                break
            done.append(run.path)
    code = 0
    if status == "interrupted":
        console.note(f"stopped after epoch {training.epoch}; continue with: {runs.resume_command(run.path)}")
    if seeds is not None:
        code = _report_seeds(done, json_, quiet) if done else 0
    elif status == "done" or json_:
        code = _report(run.path, json_, quiet)
    if stop.signal is not None:  # also where the last epoch was done already: a loop around this must stop
        signals.die_of(stop.signal)
    return code


def _plan(
    settings: "TrainConfig", name: str, seeds: int | None, config: str | None, changes: "list[Override]"
) -> "dict[str, TrainConfig]":
    """Name of each run -> its config; several seeds share the name, each with its seed at the end."""
    from optilab.config.load import Override, load
    from optilab.config.schema.train import TrainConfig
    from optilab.runs import chosen_name

    if seeds is None:
        return {name: settings}
    numbers = range(settings.seed, settings.seed + seeds)
    return {
        chosen_name(f"{name}-seed{n}", name): load(TrainConfig, config, [*changes, Override("--seeds", "seed", n)])
        for n in numbers
    }


def _report(path: Path, json_: bool, quiet: bool) -> int:
    """What a finished run prints: its directory, one JSON document, or the summary."""
    from optilab import console, runs
    from optilab.console import diagnose as diagnosis
    from optilab.console import train as views
    from optilab.studies.diagnose import diagnose, of_run

    record = runs.read(path)
    rows = record.rows()
    if quiet:
        typer.echo(path)
    elif json_:
        test = {key: value for key, value in record.manifest.items() if key in ("test_loss", "test_acc")}
        console.document({"run": str(path), "status": record.state, "rows": rows, **test})
    else:
        if rows:
            views.summary(rows, runs.read_table(path / "timings.csv"), record)
            evidence = of_run(record)
            diagnosis.top(evidence, diagnose(evidence), str(path / "config.yaml"))
        console.say(str(path))
    return 0


def _report_seeds(paths: "list[Path]", json_: bool, quiet: bool) -> int:
    """What several seeds print: their directories, one JSON document, or a table with mean and spread."""
    from optilab import console, runs
    from optilab.console import train as views
    from optilab.studies import seeds

    records = [runs.read(path) for path in paths]
    outcomes = [seeds.outcome(record.rows()) for record in records]
    spread = seeds.spread(outcomes)
    if quiet:
        for path in paths:
            typer.echo(path)
    elif json_:
        facts = [
            {"run": str(path), "status": record.state, "seed": record.manifest["seed"], "rows": record.rows()}
            for path, record in zip(paths, records, strict=True)
        ]
        summary = {key: value._asdict() for key, value in spread.items()}
        console.document({"runs": facts, "summary": summary})
    else:
        views.seeds([record.manifest["seed"] for record in records], outcomes, spread)
        for path in paths:
            console.say(str(path))
    return 0
