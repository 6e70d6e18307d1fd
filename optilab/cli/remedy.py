"""`optilab remedy`: every remedy of the study on one network, side by side."""

import sys
from typing import Annotated

import typer

from optilab.cli.data import dataset_of
from optilab.cli.options import (
    DataDir,
    Json,
    Name,
    Quiet,
    RunsDir,
    Set,
    complete_preset,
    complete_remedy,
    only_one,
    overrides,
)

EXAMPLES = """\b
Examples:
  optilab remedy sigmoid.yaml --epochs 5 --only batchnorm,adam
  optilab remedy sigmoid.yaml --seeds 3 --epochs 30
"""

_KEYS = {"epochs": "epochs", "data_dir": "data.dir"}


def remedy(
    ctx: typer.Context,
    config: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="A YAML file or a preset.", autocompletion=complete_preset("train")),
    ],
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, max=100, help="Seeds per remedy, from the config's on.")
    ] = 1,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Epochs of each run.")] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME...]", help="These remedies only.", autocompletion=complete_remedy),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Runs at once, each on one thread.")] = 2,
    data_dir: DataDir = None,
    set_: Set = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> int:
    """Try every remedy of the vanishing-gradient study on a network, each as a minimal change of its config.

    All start from the same random numbers, several run at once; the table gives each change and its result. The same
    command with the same --name continues a stopped study.
    """
    from optilab import console, runs, signals
    from optilab.config.load import load
    from optilab.config.schema.train import TrainConfig
    from optilab.console import remedy as views
    from optilab.errors import ExitCode
    from optilab.runs.provenance import provenance
    from optilab.studies import remedies, trials
    from optilab.studies import remedy as plans

    only_one(json=json_, quiet=quiet)
    changes = overrides(ctx, _KEYS)
    base = load(TrainConfig, config, changes)
    planned = plans.plan(config, changes, remedies.chosen(only), seeds)
    folder, study_name = runs.root(runs_dir), runs.chosen_name(name, f"{base.name}-remedies")
    dataset_of(base.data)  # fetched once, before many processes need it
    trainings = [trial for plan in planned for trial in plan.trials]
    facts = {"command": "remedy", **provenance(sys.argv, []), "runs": [trial.name for trial in trainings]}
    status = "failed"
    with signals.on_signal() as stop:
        study = runs.open_study(folder, study_name, facts)
        try:
            done = trials.epochs_done(trainings, study.path)
            if not quiet:
                views.cost(trainings, done, jobs)
            with views.Progress(trainings, done, quiet) as progress:
                outcomes = trials.run(trainings, study.path, jobs, progress, stop)
            failed = any(outcome.failed for outcome in outcomes)
            status = "interrupted" if stop() else "failed" if failed else "done"
        finally:
            study.finish(status)
    if stop.signal is not None:
        console.note(f"stopped; the same command with --name {study.name} continues with what is missing")
        signals.die_of(stop.signal)
    results = plans.results(planned, outcomes)
    if quiet:
        typer.echo(study.path)
    elif json_:
        console.document({"run": str(study.path), **views.document(results)})
    else:
        views.show(base, seeds, results)
        console.say(str(study.path))
    return ExitCode.SWEEP if failed else ExitCode.OK
