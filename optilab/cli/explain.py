"""`optilab explain`: one step of a rule, worked out."""

from typing import Annotated, Any, Literal

import typer

from optilab.cli.options import Json, Set, overrides

EXAMPLES = """\b
Examples:
  optilab explain --algo adam --step 2
  optilab explain --algo momentum --step 3 --format markdown
  optilab explain --algo rmsprop --function "w1^2 + w1*w2 + w2^2" --start 1,-2 --format latex
"""


def explain(
    ctx: typer.Context,
    algo: Annotated[str, typer.Option(metavar="NAME", help="Algorithm, as in its preset.")],
    step: Annotated[int, typer.Option(min=1, max=100_000, help="Which step, from 1.")] = 1,
    function: Annotated[
        str | None, typer.Option(metavar="NAME|FORMULA", help="Test function, or your own.")
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="W1,W2", help="Start point, as -5,-2.")] = None,
    lr: Annotated[str | None, typer.Option(metavar="LR", help="Learning rate (algo.lr).")] = None,
    format_: Annotated[
        Literal["text", "markdown", "latex"], typer.Option("--format", help="How it is written.")
    ] = "text",
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Work out one step: every intermediate result with its numbers, checked against the run."""
    from optilab import console
    from optilab.config.load import function as read_function
    from optilab.config.load import load, numbers
    from optilab.config.presets import algorithms
    from optilab.config.schema.optimize import OptimizeConfig
    from optilab.console import explain as views
    from optilab.errors import UsageError
    from optilab.optimize import Regime
    from optilab.optimize.worked_step import worked_step

    readers = {"algo": algorithms, "function": read_function, "start": numbers}
    settings = load(OptimizeConfig, None, overrides(ctx, {"lr": "algo.lr"}, readers))
    if len(settings.algo) > 1:
        raise UsageError("explain takes one algorithm at a time")
    if settings.regime != Regime():
        raise UsageError("explain calculates the rule alone, without schedule, weight decay, clipping and noise")
    worked = worked_step(settings.algo[0], settings.function, settings.start, step)
    if json_:
        console.document(_document(worked))
    else:
        views.show(worked, format_)


def _document(worked: Any) -> dict[str, Any]:
    import numpy as np

    from optilab.optimize import formula

    def plain(value: Any) -> Any:
        return np.atleast_1d(value).ravel()

    return {
        "algo": worked.rule.name,
        "function": worked.function.name,
        "step": worked.step,
        "point": plain(worked.point),
        "gradient": plain(worked.gradient),
        "lines": [
            {"target": line.target, "formula": formula.text(line.node), "value": plain(line.value)}
            for line in worked.lines
        ],
        "result": plain(worked.result),
        "difference": worked.difference,
    }
