"""`optilab optimize`: the paths of algorithms on a test function."""

from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.options import (
    Dark,
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optilab.config.schema.optimize import OptimizeConfig
    from optilab.optimize import Trajectory

EXAMPLES = """\b
Examples:
  optilab optimize --algo adam --epochs 30
  optilab optimize --algo sgd,momentum,rmsprop,adam
  optilab optimize --algo adam --function rosenbrock --epochs 200 --start -1,1
  optilab optimize --algo nesterov --function "0.1*w1^2 + 2*w2^2" --start -5,-2
  optilab optimize --algo sgd --set schedule=cosine --set clip_norm=1
  optilab optimize --algo momentum --set algo.lr=1.2 --set algo.beta=0.5 --json
  optilab optimize --config adam.yaml --quiet
  optilab optimize --algo sgd,momentum,adam --plot paths.png --animate paths.gif
"""

_KEYS = {"epochs": "epochs", "lr": "algo.lr"}


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
            metavar="FILE", help="Write the paths as a moving picture: .gif, .mp4, .html.", callback=not_empty
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
    from optilab.config.presets import algorithms
    from optilab.config.schema.optimize import OptimizeConfig
    from optilab.errors import UsageError
    from optilab.optimize import descend
    from optilab.optimize.sensitivity import chaotic_from

    only_one(json=json_, quiet=quiet)
    only_one(quiet=quiet, no_save=no_save)
    only_one(name=name, no_save=no_save)
    changes = overrides(ctx, _KEYS, {"algo": algorithms, "function": read_function, "start": numbers})
    if config is None and not any(change.key == "algo" for change in changes):
        raise UsageError("optimize needs --algo NAME or --config FILE, as in: optilab optimize --algo adam")
    settings = load(OptimizeConfig, config, changes)
    tuned = ""
    if tune:
        settings, tuned = _tuned(settings, tune)
    paths = [
        descend(rule, settings.function, settings.start, settings.epochs, settings.tolerance, settings.regime)
        for rule in settings.algo
    ]
    if plot or animate:
        _draw(settings, paths, plot, animate, dark, tuned)
    run = None if no_save else _write(settings, paths, name, runs_dir)
    if quiet:
        typer.echo(run)
        return _status(paths, fail_on_divergence)
    from optilab import console
    from optilab.console import optimize as views

    pairs = zip(settings.algo, paths, strict=True)
    chaotic = [chaotic_from(rule, settings.function, path, settings.regime) for rule, path in pairs]
    result = views.Paths(settings, paths, chaotic, tuned)
    if json_:
        console.document(views.document(result, run))
    else:
        same = retyped(ctx, ("function", "start", "epochs", "lr", "set_"))
        written = [file for file in (plot, animate, run) if file]
        views.show(result, written, picture, None if config or tune or not algo else same)
    return _status(paths, fail_on_divergence)


def _status(paths: "Sequence[Trajectory]", fail_on_divergence: bool) -> int:
    from optilab.errors import ExitCode
    from optilab.optimize import Status

    diverged = any(path.status is Status.DIVERGED for path in paths)
    return ExitCode.DIVERGED if fail_on_divergence and diverged else ExitCode.OK


def _tuned(settings: "OptimizeConfig", budget: int) -> "tuple[OptimizeConfig, str]":
    """The config with every rule at the best of `budget` settings from the path's own start, and the sentence on it."""
    import numpy as np

    from optilab.errors import UsageError
    from optilab.optimize import Regime
    from optilab.studies.tuning import Conditions, tune

    if settings.regime != Regime():
        raise UsageError("--tune runs the bare rules; remove schedule, weight_decay, clipping and noise")
    conditions = Conditions(budget=budget, gradients=settings.epochs)
    start = np.array([settings.function.start if settings.start is None else settings.start], dtype=float)
    rules = tuple(tune(rule, settings.function, conditions, start) for rule in settings.algo)
    paths = "path" if budget == 1 else "paths"
    cost = f"{budget} random settings per rule from this start ({budget} {paths} of {settings.epochs} epochs each)"
    return settings.model_copy(update={"algo": rules}), f"tuned: the best of {cost}"


def _draw(
    settings: "OptimizeConfig",
    paths: "Sequence[Trajectory]",
    plot: str | None,
    animate: str | None,
    dark: bool,
    note: str,
) -> None:
    """The picture files; matplotlib is imported only here."""
    from optilab import figures

    named = dict(zip(settings.legend, paths, strict=True))
    if plot:
        figures.save(figures.paths(settings.function, named, dark, note), plot)
    if animate:
        figures.animate(settings.function, named, animate, dark, note)


def _write(
    settings: "OptimizeConfig", paths: "Sequence[Trajectory]", name: str | None, runs_dir: str | None
) -> str:
    """The run directory: one metrics row per algorithm and epoch."""
    import sys

    from optilab import runs
    from optilab.config.load import to_yaml
    from optilab.runs.provenance import provenance

    named = dict(zip(settings.labels, paths, strict=True))
    rows = [
        {
            "algo": label,
            "epoch": epoch,
            **{f"w{i + 1}": float(value) for i, value in enumerate(path.points[epoch])},
            "f": float(path.values[epoch]),
            "gradient_norm": float(norm),
        }
        for label, path in named.items()
        for epoch, norm in enumerate(path.gradient_norms)
    ]
    manifest = {
        "command": "optimize",
        "formulas": {label: rule.formula for label, rule in zip(named, settings.algo, strict=True)},
        "results": {label: path.status.value for label, path in named.items()},
        **provenance(sys.argv, ["numpy"]),
        "status": "done",
        "finished": runs.timestamp(),
    }
    files = {"config.yaml": to_yaml(settings), "metrics.csv": runs.table(rows)}
    folder = runs.root(runs_dir)
    return str(
        runs.write(folder, runs.chosen_name(name, "-".join(rule.name for rule in settings.algo)), files, manifest)
    )
