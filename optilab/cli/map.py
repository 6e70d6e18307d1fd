"""`optilab map`: one rule over a grid of settings or of starts."""

from typing import Annotated

import typer

from optilab.cli.options import (
    Dark,
    Json,
    Plot,
    Set,
    Silent,
    complete_algo,
    complete_axis,
    complete_function,
    complete_preset,
    only_one,
    overrides,
)

EXAMPLES = """\b
Examples:
  optilab map --algo momentum --x lr=0.01:2:400 --y beta=0:0.99:200 --epochs 100
  optilab map --algo adam --x lr=1e-3:1:200:log --y beta1=0:0.99:200 --function beale --plot adam.png
  optilab map --algo momentum --function himmelblau --lr 0.01 --basins --epochs 200 --plot basins.png
"""


def map(
    ctx: typer.Context,
    algo: Annotated[
        str | None, typer.Option(metavar="NAME", help="Algorithm.", autocompletion=complete_algo)
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=LOW:HIGH[:COUNT][:log]", help="Across: a setting, or w1.", autocompletion=complete_axis
        ),
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=LOW:HIGH[:COUNT][:log]", help="Upwards: a setting, or w2.", autocompletion=complete_axis
        ),
    ] = None,
    basins: Annotated[
        bool, typer.Option("--basins", help="Map the starts of the box: the minimum that each reaches.")
    ] = False,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="YAML file or preset.", autocompletion=complete_preset("optimize")),
    ] = None,
    function: Annotated[
        str | None, typer.Option(metavar="NAME", help="Test function.", autocompletion=complete_function)
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="W1,W2", help="Start point.")] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Steps of every cell [100].")] = None,
    lr: Annotated[str | None, typer.Option(metavar="LR", help="Learning rate (algo.lr).")] = None,
    set_: Set = None,
    show: Annotated[
        str, typer.Option(metavar="WHAT", help="value (f above its minimum) or steps (until it converged).")
    ] = "value",
    plot: Plot = None,
    dark: Dark = False,
    json_: Json = False,
    quiet: Silent = False,
) -> int:
    """Final value, steps to tolerance or divergence over a grid of settings; or the basins of the minima."""
    from optilab.config.load import Override, load, numbers
    from optilab.config.load import function as read_function
    from optilab.config.optimize import OptimizeConfig
    from optilab.config.presets import algorithms
    from optilab.errors import UsageError, did_you_mean
    from optilab.optimize import Regime
    from optilab.optimize.rule import settings_of
    from optilab.study import map as study
    from optilab.study.axes import Axis

    only_one(json=json_, quiet=quiet)
    only_one(basins=basins, x=x)
    only_one(basins=basins, y=y)
    if (algo is None and config is None) or not (basins or (x and y)):
        raise UsageError("map needs --algo NAME, and --x KEY=LOW:HIGH with --y KEY=LOW:HIGH, or --basins")
    if show not in ("value", "steps"):
        raise UsageError(f"--show {show}: value or steps expected")
    readers = {"algo": algorithms, "function": read_function, "start": numbers}
    given = overrides(ctx, {"epochs": "epochs", "lr": "algo.lr"}, readers)
    steps = [] if epochs or config else [Override("epochs", "epochs", 100)]
    settings = load(OptimizeConfig, config, [*given, *steps])
    if len(settings.algo) != 1:
        raise UsageError(f"map takes one algorithm, got {len(settings.algo)}")
    if basins:
        if len(settings.function.start) != 2:
            count = len(settings.function.start)
            raise UsageError(f"--basins needs a function of two variables; {settings.function.name} has {count}")
        if not settings.function.minima:
            raise UsageError(f"no minimum of {settings.function.name} is known, so --basins has nothing to map")
        axes = [Axis(f"w{i + 1}", low, high, 300) for i, (low, high) in enumerate(settings.function.box)]
    else:
        axes = [study.read_axis("--x", str(x)), study.read_axis("--y", str(y))]
    rule = settings.algo[0]
    numeric = [name for name, value in settings_of(rule).items() if isinstance(value, float)]
    for flag, axis in zip(("--x", "--y"), axes, strict=True):
        if not axis.field:
            continue
        if axis.field not in numeric:
            advice = did_you_mean(axis.field, numeric) or f"; one of {', '.join(numeric)}"
            raise UsageError(f"{flag} {axis.field}: not a numeric setting of {rule.name}{advice}")
        for value in (axis.low, axis.high):  # the ends are checked like any setting
            load(OptimizeConfig, config, [*given, Override(f"{flag} {axis.field}={value:g}", axis.key, value)])
    if settings.regime != Regime():
        raise UsageError("map runs the bare rule; remove schedule, weight_decay, clipping and noise")
    found = study.chart(
        rule, settings.function, axes[0], axes[1], settings.start, settings.epochs, settings.tolerance
    )
    if plot:
        from optilab import figures

        figures.save(figures.heat_map(found, show, dark), plot)
    from optilab.console import map as views
    from optilab.show import terminal

    if json_:
        terminal.document(views.document(found))
    elif not quiet:
        views.show(found, show)
        if plot:
            terminal.say(plot)
    return 0
