"""`optilab sweep`: one training over axes of settings and several seeds, on every core."""

from typing import Annotated

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
    complete_set,
    only_one,
    overrides,
)
from optilab.errors import ExitCode

EXAMPLES = """\b
Examples:
  optilab sweep sigmoid.yaml --over optimizer.lr=1e-3:10:9:log --over model.init=default,unit-gain --seeds 3 --epochs 10
  optilab sweep relu.yaml --over optimizer=sgd,adam --over optimizer.lr=1e-4:1:5:log --epochs 5 --dry-run
  optilab sweep relu.yaml --over optimizer.lr=1e-4:1:log --samples 30 --halving 3 --epochs 9
  optilab sweep relu.yaml --over optimizer.lr=0.1,1 --seeds 5 --epochs 5 --expect 'best: val_acc > 0.8 confidence 0.95'
  optilab sweep relu.yaml --over optimizer=sgd,adam --over optimizer.lr=1e-4:1:log --samples 32 --search tpe
  optilab sweep --resume 20261124-231207-sigmoid-sweep-91c07d4e
"""

_TRAINING = {"epochs": "epochs", "device": "device", "data_dir": "data.dir"}


def sweep(
    ctx: typer.Context,
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]", help="The training: YAML file or preset.", autocompletion=complete_preset("train")
        ),
    ] = None,
    file: StudyFile = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=LOW:HIGH[:COUNT][:log]",
            help="An axis: a range, or KEY=VALUE,VALUE,... in YAML's notation; may be repeated.",
            autocompletion=complete_set,
        ),
    ] = None,
    zip_: Annotated[
        bool, typer.Option("--zip", help="Walk the axes together; by default, take their product.")
    ] = False,
    samples: Annotated[
        str | None, typer.Option(metavar="N", help="Draw N points of the box of the axes (Sobol).")
    ] = None,
    search: Annotated[
        str | None, typer.Option(metavar="tpe", help="Let Optuna's TPE choose the N points by earlier outcomes.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N", help="Seeds of each point, from the config's on [1].")
    ] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Epochs of each training.")] = None,
    halving: Annotated[
        str | None, typer.Option(metavar="ETA", help="Successive halving: the best 1/ETA of the points go on.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What points are compared by [val_acc].")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="WHICH", help="Checkpoints that remain: last, best, none, all [last].")
    ] = None,
    expect: Expect = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="auto (the CPU), cpu, cuda, cuda:N or mps.")
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first trial that fails.")] = False,
    dry_run: DryRun = False,
    data_dir: DataDir = None,
    set_: Set = None,
    resume: ResumeStudy = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train one network over axes of settings, with several seeds each, several at once on one thread each.

    The table compares the points by their seeds. Each trial is a run directory, bit-identical to `optilab train
    --threads 1` of its config. The same command with the same --name, or --resume, continues a stopped study.
    """
    from optilab import runs
    from optilab.cli import execution
    from optilab.config.load import Override, load, override
    from optilab.config.study import SweepConfig
    from optilab.console import claims as verdicts
    from optilab.console import study
    from optilab.console import sweep as views
    from optilab.lab.execution import dry_run as estimate
    from optilab.show import terminal
    from optilab.study import claims
    from optilab.study import sweep as plans

    only_one(json=json_, quiet=quiet)
    only_one(dry_run=dry_run, quiet=quiet)
    only_one(dry_run=dry_run, cluster=cluster)
    only_one(zip=zip_, samples=samples)
    folder = runs.root(runs_dir)
    source = execution.source("sweep", config, file, resume, name, folder)
    flags = {
        "samples": samples,
        "search": search,
        "seeds": seeds,
        "halving": halving,
        "metric": metric,
        "keep": keep,
    }
    typed = [Override("--expect", "expect", expect, adds=True)] if expect else []
    typed += [override(f"--{key}", key, value) for key, value in flags.items() if value is not None]
    asked = load(SweepConfig, source.config, typed)
    asked = asked.model_copy(
        update={"over": {**asked.over, **plans.read_axes(over or [])}, "zip": asked.zip or zip_}
    )
    asked = plans.resolve(asked, overrides(ctx, _TRAINING))
    plan = plans.plan(asked)
    study_name = runs.chosen_name(source.name, f"{asked.name}-sweep")
    if dry_run:
        study.show_plan(plan.shape, estimate(plan, folder / study_name, jobs), json_)
        return ExitCode.OK
    ran = execution.run(plan, folder, study_name, quiet, jobs, cluster, fail_fast)
    through = [runs.read(path) for path in ran.completed]
    if not (quiet or json_):
        views.show(plan, ran.outcomes, through)
        terminal.say(str(ran.path))
    judged = claims.of_trainings(asked.expect, through)
    if quiet:
        typer.echo(ran.path)
    elif json_:
        judgement = {"expect": [one.document() for one in judged]} if judged else {}
        terminal.document({"run": str(ran.path), **views.document(plan, ran.outcomes, through), **judgement})
    return max(ran.code, verdicts.after(judged, silent=quiet or json_))
