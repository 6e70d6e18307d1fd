"""`optilab optimize`: the paths of algorithms on a test function."""

from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.options import (
    Dark,
    Expect,
    Json,
    Name,
    Plot,
    Quiet,
    RunsDir,
    Set,
    complete_algo,
    complete_function,
    complete_preset,
    not_empty,
    only_one,
    overrides,
    retyped,
)
from optilab.verbs.paths import follow, judge, rows, tuned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optilab.config.optimize import OptimizeConfig
    from optilab.optimize import Trajectory
    from optilab.study.claims import ClaimResult

EXAMPLES = """\b
Examples:
  optilab optimize --algo adam --epochs 30
  optilab optimize --algo sgd,momentum,rmsprop,adam
  optilab optimize --algo adam --function rosenbrock --epochs 200 --start -1,1
  optilab optimize --algo nesterov --function "0.1*w1^2 + 2*w2^2" --start -5,-2
  optilab optimize --algo sgd --set schedule=cosine --set clip_norm=1
  optilab optimize --algo momentum --set algo.lr=1.2 --set algo.beta=0.5 --json
  optilab optimize --config adam.yaml --quiet
  optilab optimize --algo adam --expect 'distance < 0.2' --expect 'status == moving'
  optilab optimize --algo sgd,momentum,adam --plot paths.png --animate paths.gif
"""

_KEYS = {"epochs": "epochs", "lr": "algo.lr", "expect": "expect"}


def optimize(
    ctx: typer.Context,
    algo: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME...]", help="Algorithm(s), as in their presets.", autocompletion=complete_algo
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="YAML file or preset.", autocompletion=complete_preset("optimize")),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FORMULA",
            help="Test function, or a formula of x, y.",
            autocompletion=complete_function,
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="W1,W2", help="Start point, as -5,-2.")] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Number of steps.")] = None,
    lr: Annotated[str | None, typer.Option(metavar="LR", help="Learning rate (algo.lr).")] = None,
    set_: Set = None,
    expect: Expect = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
    no_save: Annotated[bool, typer.Option("--no-save", help="Write no run directory.")] = False,
    tune: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Tune every rule with as many random settings first."),
    ] = None,
    picture: Annotated[
        bool | None,
        typer.Option("--picture/--no-picture", help="Contour and curves [shown on a terminal 100 wide]."),
    ] = None,
    plot: Plot = None,
    animate: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the paths step by step: .gif, .mp4, or a page, .html.", callback=not_empty
        ),
    ] = None,
    dark: Dark = False,
    fail_on_divergence: Annotated[
        bool,
        typer.Option("--fail-on-divergence", help="Exit with status 6 if a path diverges [report it, exit 0]."),
    ] = False,
) -> int:
    """Run optimizers on a test function, in float64: every point of the path, reproducible bit by bit."""
    from optilab.config.load import function as read_function
    from optilab.config.load import load, numbers
    from optilab.config.optimize import OptimizeConfig
    from optilab.config.presets import algorithms
    from optilab.errors import UsageError
    from optilab.optimize.theory import chaotic_from

    only_one(json=json_, quiet=quiet)
    only_one(quiet=quiet, no_save=no_save)
    only_one(name=name, no_save=no_save)
    changes = overrides(ctx, _KEYS, {"algo": algorithms, "function": read_function, "start": numbers})
    if config is None and not any(change.key == "algo" for change in changes):
        raise UsageError("optimize needs --algo NAME or --config FILE, as in: optilab optimize --algo adam")
    settings = load(OptimizeConfig, config, changes)
    note = ""
    if tune:
        settings, note = tuned(settings, tune)
    paths = follow(settings)
    if plot or animate:
        _draw(settings, paths, plot, animate, dark, note)
    run = None if no_save else _write(settings, paths, name, runs_dir)
    judged = judge(settings, paths)
    if quiet:
        typer.echo(run)
        return max(_status(paths, fail_on_divergence), _after(judged, silent=True))
    from optilab.console import optimize as views
    from optilab.show import terminal

    pairs = zip(settings.algo, paths, strict=True)
    chaotic = [chaotic_from(rule, settings.function, path, settings.regime) for rule, path in pairs]
    result = views.Paths(settings, paths, chaotic, note)
    if json_:
        judgement = {"expect": [one.document() for one in judged]} if judged else {}
        terminal.document(views.document(result, run) | judgement)
    else:
        same = retyped(ctx, ("function", "start", "epochs", "lr", "set_"))
        written = [file for file in (plot, animate, run) if file]
        views.show(result, written, picture, None if config or tune or not algo else same)
    return max(_status(paths, fail_on_divergence), _after(judged, silent=json_))


def _after(judged: "list[ClaimResult]", silent: bool) -> int:
    """The exit code of the claims, which are shown."""
    if not judged:
        return 0
    from optilab.console.claims import after

    return after(judged, silent)


def _status(paths: "Sequence[Trajectory]", fail_on_divergence: bool) -> int:
    from optilab.errors import ExitCode
    from optilab.optimize import Status

    diverged = any(path.status is Status.DIVERGED for path in paths)
    return ExitCode.DIVERGED if fail_on_divergence and diverged else ExitCode.OK


def _draw(
    settings: "OptimizeConfig",
    paths: "Sequence[Trajectory]",
    plot: str | None,
    animate: str | None,
    dark: bool,
    note: str,
) -> None:
    """The picture files; matplotlib is imported only here. A moving picture that ends in .html is a page."""
    from optilab.charts.paths import paths_chart, require_plane
    from optilab.show import chart_file

    chart = paths_chart(settings.function, dict(zip(settings.legend, paths, strict=True)), note)
    ending = chart_file.check(animate, ("gif", "mp4", "html")).suffix.lower() if animate else ""
    if plot:
        chart_file.save(chart, plot, dark)
    if animate and ending == ".html":
        from optilab import pages
        from optilab.verbs.play import page

        pages.write(pages.target(animate), page(settings, note, paths))
    elif animate:
        require_plane(settings.function)
        chart_file.animate(chart, animate, dark)


def _write(
    settings: "OptimizeConfig", paths: "Sequence[Trajectory]", name: str | None, runs_dir: str | None
) -> str:
    """The run directory: one metrics row per algorithm and epoch."""
    import re
    import sys

    from optilab import runs
    from optilab.config.load import dump, to_yaml
    from optilab.optimize.own import described, sources
    from optilab.runs.provenance import provenance

    named = dict(zip(settings.labels, paths, strict=True))
    manifest = {
        "command": "optimize",
        "formulas": {label: rule.formula for label, rule in zip(named, settings.algo, strict=True)},
        "results": {label: path.status.value for label, path in named.items()},
        **provenance(sys.argv, ["numpy"]),
        "config": dump(settings),
        "status": "done",
        "finished": runs.timestamp(),
    }
    own = sources(settings.algo)
    files = {"config.yaml": to_yaml(settings), "metrics.csv": runs.table(rows(named))}
    files |= {name: origin.source for name, origin in own.items()}
    manifest |= {"own_rules": described(own)} if own else {}
    folder = runs.root(runs_dir)
    label = re.sub(r"[^A-Za-z0-9._-]", "-", "-".join(rule.name for rule in settings.algo))
    return str(runs.write(folder, runs.chosen_name(name, label), files, manifest))
