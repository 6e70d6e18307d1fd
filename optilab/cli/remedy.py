"""`optilab remedy`: every remedy of the study on one network, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.execution import Cluster, Jobs, ResumeStudy, StudyFile
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

if TYPE_CHECKING:
    from optilab.config.schema.study import RemedyConfig

EXAMPLES = """\b
Examples:
  optilab remedy sigmoid.yaml --epochs 5 --only batchnorm,adam
  optilab remedy sigmoid.yaml --seeds 3 --epochs 30
  optilab remedy sigmoid.yaml --only batchnorm,relu,unit-gain --pairs --tune 5 --seeds 3 --epochs 10
"""

_KEYS = {"epochs": "epochs", "data_dir": "data.dir"}


def remedy(
    ctx: typer.Context,
    config: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG", help="A YAML file or a preset.", autocompletion=complete_preset("train")),
    ] = None,
    file: StudyFile = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N", help="Seeds per remedy, from the config's on [1].")
    ] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Epochs of each run.")] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME...]", help="These remedies only.", autocompletion=complete_remedy),
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Also two remedies at once, where they change different keys.")
    ] = False,
    tune: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Give each remedy, and the network as it is, the best of N learning rates; judge on new seeds.",
        ),
    ] = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and its estimated cost; train nothing.")
    ] = False,
    data_dir: DataDir = None,
    set_: Set = None,
    resume: ResumeStudy = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> int:
    """Try every remedy of the vanishing-gradient study on a network, each as a minimal change of its config.

    All start from the same random numbers, several run at once; the table gives each change and its result. The same
    command with the same --name, or --resume, continues a stopped study.
    """
    from optilab import console, runs
    from optilab.cli import execution
    from optilab.config.load import load, override, to_yaml
    from optilab.config.schema.study import RemedyConfig
    from optilab.console import remedy as views
    from optilab.console import study
    from optilab.lab import execution as studies
    from optilab.studies import remedy as plans

    only_one(json=json_, quiet=quiet)
    only_one(dry_run=dry_run, quiet=quiet)
    only_one(dry_run=dry_run, cluster=cluster)
    folder = runs.root(runs_dir)
    source = execution.source("remedy", config, file, resume, name, folder)
    flags = {"seeds": seeds, "tune": tune}
    typed = [override(f"--{key}", key, value) for key, value in flags.items() if value is not None]
    asked = load(RemedyConfig, source.config, typed)
    changes = {**asked.set, **{change.key: change.value for change in overrides(ctx, _KEYS)}}
    names = asked.only if only is None else [name.strip() for name in only.split(",")]
    both = asked.pairs or pairs
    asked = plans.resolve(asked.model_copy(update={"set": changes, "only": names, "pairs": both}))
    label = asked.config.name
    study_name = runs.chosen_name(source.name, f"{label}-remedies")
    if asked.tune is not None:
        return _tuned(asked, folder, study_name, jobs, cluster, dry_run, quiet, json_)
    planned = plans.plan(asked)
    trials = [trial for plan in planned for trial in plan.trials]
    base = trials[0].config
    request = studies.Request(
        "remedy",
        to_yaml(asked),
        lambda path: plans.require_same(path, asked),
        f"{len(planned)} networks x {asked.seeds} seed{'s' * (asked.seeds > 1)}",
        trials,
        lambda all_of_it: all_of_it.run(trials),
        jobs,
        cluster=cluster,
    )
    if dry_run:
        study.show_plan(request.shape, studies.dry_run(request, folder / study_name), json_)
        return 0
    ran = execution.run(request, folder, study_name, quiet)
    results = plans.results(planned, ran.outcomes, ran.path)
    if quiet:
        typer.echo(ran.path)
    elif json_:
        console.document({"run": str(ran.path), **views.document(results)})
    else:
        views.show(label, base.epochs, asked.seeds, results)
        console.say(str(ran.path))
    return ran.code


def _tuned(
    asked: "RemedyConfig",
    folder: Path,
    name: str,
    jobs: int | None,
    cluster: str | None,
    dry_run: bool,
    quiet: bool,
    json_: bool,
) -> int:
    """Remedies with their own learning rates, as a race."""
    from optilab import console
    from optilab.cli import execution
    from optilab.config.load import to_yaml
    from optilab.console import network_race as views
    from optilab.console import study
    from optilab.lab import execution as studies
    from optilab.studies import network_race as races
    from optilab.studies import remedy as plans

    planned = plans.tuned(asked)
    request = studies.of_race(
        "remedy",
        to_yaml(asked),
        lambda path: plans.require_same(path, asked),
        planned,
        jobs,
        cluster=cluster,
    )
    if dry_run:
        study.show_plan(request.shape, studies.dry_run(request, folder / name), json_)
        return 0
    ran = execution.run(request, folder, name, quiet)
    if quiet:
        typer.echo(ran.path)
        return ran.code
    heats = races.result(planned, ran.outcomes, ran.path)
    if json_:
        console.document(
            {
                "run": str(ran.path),
                "asked": planned.asked.model_dump(mode="json", exclude={"on"}),
                **views.document(heats),
            }
        )
    else:
        views.show(planned, heats, "table")
        console.say(str(ran.path))
    return ran.code
