"""`optilab race`: which rule is the best after the same tuning, on test functions or, with --on, on trainings."""

import sys
from typing import Annotated

import typer

from optilab.cli.execution import Cluster, Jobs, ResumeStudy, StudyFile
from optilab.cli.options import (
    Dark,
    DataDir,
    Expect,
    Format,
    Json,
    Name,
    Plot,
    RunsDir,
    Set,
    complete_algo,
    complete_function,
    complete_preset,
    not_empty,
    only_one,
    typed,
)
from optilab.errors import UsageError
from optilab.lab.races import ALGOS, NETWORK_ALGOS, OBJECTIVES

EXAMPLES = """\b
Examples:
  optilab race --algos sgd,momentum,adam --functions rosenbrock,beale,himmelblau --budget 20 --starts 10
  optilab race --budget 50 --starts 20 --plot race.png --report race.html
  optilab race --settings
  optilab race --on sigmoid.yaml,relu.yaml --algos sgd,momentum,adam --budget 10 --epochs 5 --seeds 5 --dry-run
"""


def _listed(names: str) -> str:
    """With spaces, so that a help text does not break inside a name."""
    return names.replace(",", ", ")


_FUNCTIONS_ONLY = ("functions", "starts", "accuracy", "cache", "settings")
_NETWORKS_ONLY = (
    "seeds",
    "target",
    "jobs",
    "cluster",
    "fail_fast",
    "dry_run",
    "set_",
    "data_dir",
    "resume",
    "file",
    "name",
    "runs_dir",
    "format_",
)


def race(
    ctx: typer.Context,
    algos: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Rules to compare [{_listed(ALGOS)}; with --on {_listed(NETWORK_ALGOS)}].",
            show_default=False,
            autocompletion=complete_algo,
        ),
    ] = ALGOS,
    functions: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Test functions with a known minimum [{_listed(OBJECTIVES)}].",
            show_default=False,
            autocompletion=complete_function,
        ),
    ] = OBJECTIVES,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="CONFIG,...",
            help="Race on these trainings instead: YAML files or presets.",
            autocompletion=complete_preset("train"),
        ),
    ] = None,
    budget: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=10_000,
            help="Random settings tried per rule and problem [50; with --on 10].",
            show_default=False,
        ),
    ] = 50,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N", help="With --on: new seeds that the chosen setting is judged on [5]."),
    ] = None,
    starts: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Starts to tune on, and as many to judge on.")
    ] = 20,
    repeats: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=1000,
            help="Repeats with other settings and starts [3; with --on 1].",
            show_default=False,
        ),
    ] = 3,
    epochs: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=1_000_000,
            help="Gradients until a path is given up [200]; with --on epochs of each training.",
            show_default=False,
        ),
    ] = 200,
    target: Annotated[
        str | None,
        typer.Option(metavar="X", help="With --on: validation accuracy to be reached [that of sgd at its end]."),
    ] = None,
    accuracy: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=1e-15, max=0.5, help="Solved when f - f_min is this share of what it was."
        ),
    ] = 1e-3,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the settings and the starts.")] = 0,
    settings: Annotated[
        bool, typer.Option("--settings", help="Print the tuned settings of every rule on every function.")
    ] = False,
    expect: Expect = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="With --on: stop at the first trial that fails.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --on: print the plan and its estimated cost; train nothing.")
    ] = False,
    set_: Set = None,
    data_dir: DataDir = None,
    file: StudyFile = None,
    resume: ResumeStudy = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    format_: Format = "table",
    plot: Plot = None,
    dark: Dark = False,
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FILE", help="Write the race as one HTML page.", callback=not_empty),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep results in the user's cache, and reuse them.")
    ] = True,
    json_: Json = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print the rules that may be the best; with --on the run directory."),
    ] = False,
) -> int:
    """Compare rules that were tuned with the same budget, on starts or seeds that none of them was tuned on."""
    given = typed(ctx)
    networks = bool(on or file or resume)
    if wrong := [name for name in (_FUNCTIONS_ONLY if networks else _NETWORKS_ONLY) if name in given]:
        flags = ", ".join(
            f"--{'config' if name == 'file' else name.rstrip('_').replace('_', '-')}" for name in wrong
        )
        where = "on test functions, without --on" if networks else "on trainings: add --on CONFIG"
        raise UsageError(f"{flags}: only for a race {where}")
    if networks:
        from optilab.cli.network_race import network_race

        return network_race(ctx, given)
    from optilab.config.claims import expectations
    from optilab.console import race as views
    from optilab.console.claims import after
    from optilab.lab.races import cache_folder, function_race
    from optilab.show import terminal
    from optilab.signals import Interrupted
    from optilab.study import race as study
    from optilab.study.claims import of_race
    from optilab.study.tuning import Conditions

    only_one(json=json_, quiet=quiet, settings=settings)
    conditions = Conditions(budget, starts, repeats, epochs, accuracy, seed)
    claims = expectations("race", expect or [])
    rules, tests = function_race(algos, functions)
    if plot:
        from optilab import figures

        figures.check(plot)
    if report:
        from optilab import pages

        page = pages.target(report)
    silent = json_ or quiet
    if not silent:
        views.announce(len(rules), len(tests), conditions)
    folder = cache_folder() if cache else None
    try:
        result = study.run(rules, tests, conditions, folder, views.RaceProgress(silent))
    except Interrupted:
        terminal.note("stopped; the same command continues where it was" if cache else "stopped")
        raise
    if plot:
        figures.save(figures.race(result, dark), plot)
    if report:
        from optilab.pages.race import race_page
        from optilab.runs.record import provenance

        pages.write(page, race_page(result, rules, tests, provenance(sys.argv, ["numpy"])))
    judged = list(of_race(claims, study.standings(result)))
    if json_:
        judgement = {"expect": [one.document() for one in judged]} if judged else {}
        terminal.document(study.document(result, rules, tests) | judgement)
    elif quiet:
        for name in study.may_be_best(study.standings(result)):
            terminal.say(name)
    else:
        views.show(result, rules, tests, settings, drawn=bool(plot))
    return after(judged, silent)
