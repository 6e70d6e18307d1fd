"""`optilab optimize`: the paths of algorithms on a test function."""

from typing import TYPE_CHECKING, Annotated, Any

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
        typer.Option(metavar="NAME|FORMULA", help="Test function, or your own.", autocompletion=complete_function),
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="W1,W2", help="Start point, as -5,-2.")] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Number of steps.")] = None,
    lr: Annotated[str | None, typer.Option(metavar="LR", help="Learning rate (algo.lr).")] = None,
    set_: Set = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Quiet = False,
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
        bool, typer.Option("--fail-on-divergence", help="Exit with 6 if a path diverges; else it is a result.")
    ] = False,
) -> int:
    """Run optimizers on a test function, in NumPy: every point of the path, to the last digit."""
    from optilab.config.load import function as read_function
    from optilab.config.load import load, numbers
    from optilab.config.presets import algorithms
    from optilab.config.schema.optimize import OptimizeConfig
    from optilab.errors import ExitCode, UsageError
    from optilab.optimize import Status, descend

    only_one(json=json_, quiet=quiet)
    changes = overrides(ctx, _KEYS, {"algo": algorithms, "function": read_function, "start": numbers})
    if config is None and not any(change.key == "algo" for change in changes):
        raise UsageError("optimize needs --algo NAME or --config FILE, as in: optilab optimize --algo adam")
    settings = load(OptimizeConfig, config, changes)
    paths = [
        descend(rule, settings.function, settings.start, settings.epochs, settings.tolerance, settings.regime)
        for rule in settings.algo
    ]
    if plot or animate:
        _draw(settings, paths, plot, animate, dark)
    run = _write(settings, paths, name, runs_dir)
    if quiet:
        typer.echo(run)
    elif json_:
        from optilab import console

        console.document(_document(settings, paths, run))
    else:
        from optilab.console import optimize as views

        same = retyped(ctx, ("function", "start", "epochs", "lr", "set_"))
        views.show(settings, paths, run, picture, None if config or not algo else same)
    diverged = any(path.status is Status.DIVERGED for path in paths)
    return ExitCode.DIVERGED if fail_on_divergence and diverged else ExitCode.OK


def _draw(
    settings: "OptimizeConfig", paths: "Sequence[Trajectory]", plot: str | None, animate: str | None, dark: bool
) -> None:
    """The picture files; matplotlib is loaded here and nowhere sooner."""
    from optilab import figures

    named = dict(zip(settings.labels, paths, strict=True))
    if plot:
        figures.save(figures.paths(settings.function, named, dark), plot)
    if animate:
        figures.animate(settings.function, named, animate, dark)


def _document(settings: "OptimizeConfig", paths: "Sequence[Trajectory]", run: str) -> dict[str, Any]:
    from optilab.config.load import dump

    algorithms = dump(settings)["algo"]
    results = [
        {
            "algo": algorithm.pop("name"),
            "params": algorithm,
            "function": settings.function.name,
            "epochs": settings.epochs,
            "points": path.points.tolist(),
            "values": path.values.tolist(),
            "status": path.status.value,
            "diverged_at": path.diverged_at,
            "theory": _theory(settings, rule, path),
        }
        for algorithm, rule, path in zip(algorithms, settings.algo, paths, strict=True)
    ]
    return {"run": run, "results": results}


def _theory(settings: "OptimizeConfig", rule: Any, path: "Trajectory") -> dict[str, Any] | None:
    from dataclasses import asdict

    from optilab.optimize.regime import Regime
    from optilab.optimize.theory import best_rates, measured_rate, predict

    bounds = best_rates(settings.function) if settings.regime == Regime() else None
    if bounds is None:
        return None
    prediction = predict(rule, settings.function)
    known = {} if prediction is None else {**asdict(prediction), "stable": prediction.stable}
    return {**known, "measured_rate": measured_rate(path, settings.function), "best_rates": bounds}


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
    return str(runs.write(folder, runs.chosen_name(name, "-".join(named)), files, manifest))
