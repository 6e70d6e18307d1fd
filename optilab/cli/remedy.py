"""`optilab remedy`: every remedy of the study on one network, side by side."""

from pathlib import Path
from typing import Annotated

import typer

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

    All start from the same random numbers, several run at once; the table says what each changes and gives.
    """
    from optilab import console, runs, signals
    from optilab.config.load import load
    from optilab.config.schema.train import TrainConfig
    from optilab.console import remedy as views
    from optilab.console.data import Transfer
    from optilab.errors import ExitCode
    from optilab.studies import remedies, trials
    from optilab.studies import remedy as study
    from optilab.train import fetch

    only_one(json=json_, quiet=quiet)
    changes = overrides(ctx, _KEYS)
    base = load(TrainConfig, config, changes)
    plans = study.plan(config, changes, remedies.chosen(only), seeds)
    folder = runs.root(runs_dir) / runs.chosen_name(name, f"{base.name}-remedies")
    with Transfer() as transfer:  # once, before many want it
        fetch.ensure(base.data.dataset, Path(base.data.dir) if base.data.dir else None, transfer.report)
    planned = [trial for plan in plans for trial in plan.trials]
    with signals.on_signal() as stop, views.Progress(len(planned)) as progress:
        outcomes = trials.run(planned, folder, jobs, progress.done, stop)
    if stop.signal is not None:
        console.note(f"stopped; the same command with --name {folder.name} goes on with what is missing")
        signals.die_of(stop.signal)
    results = study.results(plans, outcomes)
    if json_:
        console.document({"run": str(folder), **views.document(results)})
    else:
        if not quiet:
            views.show(base, seeds, results)
        console.say(str(folder))
    return ExitCode.SWEEP if any(outcome.failed for outcome in outcomes) else ExitCode.OK
