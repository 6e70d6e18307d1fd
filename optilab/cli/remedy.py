"""`optilab remedy`: every remedy of the study on one network, side by side."""

from typing import Annotated, Any

import typer

from optilab.cli.execution import Cluster, DryRun, Jobs, ResumeStudy, StudyFile
from optilab.cli.options import (
    DataDir,
    Expect,
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
    expect: Expect = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    dry_run: DryRun = False,
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
    from optilab import runs
    from optilab.cli import execution
    from optilab.config.load import Override, load, override
    from optilab.config.study import RemedyConfig
    from optilab.console import claims as verdicts
    from optilab.console import network_race as race_views
    from optilab.console import remedy as views
    from optilab.console import study
    from optilab.lab import execution as studies
    from optilab.show import terminal
    from optilab.study import claims
    from optilab.study import network_race as races
    from optilab.study import remedy as plans

    only_one(json=json_, quiet=quiet)
    only_one(dry_run=dry_run, quiet=quiet)
    only_one(dry_run=dry_run, cluster=cluster)
    folder = runs.root(runs_dir)
    source = execution.source("remedy", config, file, resume, name, folder)
    typed = [Override("--expect", "expect", expect, adds=True)] if expect else []
    flags = {"seeds": seeds, "tune": tune}
    typed += [override(f"--{key}", key, value) for key, value in flags.items() if value is not None]
    asked = load(RemedyConfig, source.config, typed)
    changes = {**asked.set, **{change.key: change.value for change in overrides(ctx, _KEYS)}}
    names = asked.only if only is None else [name.strip() for name in only.split(",")]
    both = asked.pairs or pairs
    asked = plans.resolve(asked.model_copy(update={"set": changes, "only": names, "pairs": both}))
    label = asked.config.name
    study_name = runs.chosen_name(source.name, f"{label}-remedies")
    plan = plans.plan(asked)
    if dry_run:
        study.show_plan(plan.shape, studies.dry_run(plan, folder / study_name, jobs), json_)
        return 0
    ran = execution.run(plan, folder, study_name, quiet, jobs, cluster)
    judged = claims.of_study(asked.expect, runs.read_study(ran.path)) if asked.expect else []
    document: dict[str, Any] = {"run": str(ran.path)}
    if quiet:
        typer.echo(ran.path)
    elif isinstance(plan, plans.Remedies):
        results = plans.results(plan.tried, ran.outcomes, ran.path)
        if json_:
            document |= views.document(results)
        else:
            views.show(label, plan.trials[0].config.epochs, asked.seeds, results)
    else:
        heats = races.result(plan, ran.outcomes, ran.path)
        if json_:
            document |= {"asked": plan.asked.model_dump(mode="json", exclude={"on"}), **race_views.document(heats)}
        else:
            race_views.show(plan, heats, "table")
    if json_:
        judgement = {"expect": [one.document() for one in judged]} if judged else {}
        terminal.document(document | judgement)
    elif not quiet:
        terminal.say(str(ran.path))
    return max(ran.code, verdicts.after(judged, silent=quiet or json_))
