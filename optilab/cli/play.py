"""`optilab play`: the optimizer playground, one HTML page."""

from typing import Annotated

import typer

from optilab.cli.options import (
    Json,
    Set,
    complete_algo,
    complete_function,
    complete_preset,
    examples,
    not_empty,
    only_one,
    overrides,
)
from optilab.errors import UsageError

EXAMPLES = examples(
    "optilab play --algo sgd,momentum,adam",
    "optilab play --algo sgd,momentum,adam --function rosenbrock --tune 50 --epochs 200 --out play.html",
    'optilab play --algo adam,rmsprop --function "x^2 + 3*y^4" --start 2,1 --out mine.html',
    "optilab play --algo nesterov --function himmelblau --lr 0.01 --epochs 80 --out himmelblau.html",
)
EPOCHS = 60
"""Steps where neither the command line nor a config says how many."""


def play(
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
            metavar="NAME|FORMULA", help="Test function, or a formula of x, y.", autocompletion=complete_function
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="W1,W2", help="Start point, as -5,-2.")] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help=f"Number of steps [{EPOCHS}].")] = None,
    lr: Annotated[str | None, typer.Option(metavar="LR", help="Learning rate (algo.lr).")] = None,
    set_: Set = None,
    tune: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Start every rule at the best of as many random settings."),
    ] = None,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="The page to write, .html.", callback=not_empty)
    ] = "play.html",
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the file and nothing else.")] = False,
) -> int:
    """Write a page on which the settings of rules are moved, and their paths and limits follow at once."""
    from optilab import pages
    from optilab.config.load import Override, load, numbers
    from optilab.config.load import function as read_function
    from optilab.config.optimize import OptimizeConfig
    from optilab.config.presets import algorithms
    from optilab.console import play as views
    from optilab.lab.paths import tuned
    from optilab.optimize import Regime
    from optilab.pages import play as playground
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    if algo is None and config is None:
        raise UsageError("play needs --algo NAME or --config FILE, as in: optilab play --algo sgd,momentum,adam")
    readers = {"algo": algorithms, "function": read_function, "start": numbers}
    given = overrides(ctx, {"epochs": "epochs", "lr": "algo.lr"}, readers)
    steps = [] if epochs or config else [Override("epochs", "epochs", EPOCHS)]
    settings = load(OptimizeConfig, config, [*steps, *given])
    if settings.regime != Regime():
        raise UsageError("play runs the bare rules; remove schedule, weight_decay, clipping and noise")
    if settings.epochs > playground.MOST_EPOCHS:
        raise UsageError(f"play computes at most {playground.MOST_EPOCHS:,} epochs, got {settings.epochs:,}")
    for rule in settings.algo:
        playground.require(rule, settings.function)
    file, note = pages.target(out), ""
    if tune:
        settings, note = tuned(settings, tune)
    page = playground.page(playground.scene(settings, note))
    pages.write(file, page)
    if json_:
        terminal.document(views.document(settings, out, len(page)))
    elif quiet:
        typer.echo(out)
    else:
        views.show(settings, out, len(page))
    return 0
