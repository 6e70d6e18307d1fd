"""`optilab explain`: single steps of rules, worked out."""

import re
from typing import Annotated, Literal

import typer

from optilab.cli.completion import objective as complete_function
from optilab.cli.completion import rule as complete_algo
from optilab.cli.options import Json, Set, examples, only_one, overrides
from optilab.errors import UsageError, shown

EXAMPLES = examples(
    "optilab explain adam --step 2",
    "optilab explain sgd,momentum --step 1-3",
    "optilab explain momentum --step 3 --format markdown",
    'optilab explain rmsprop --function "w1^2 + w1*w2 + w2^2" --start 1,-2 --format latex',
)
LAST_STEP = 100_000
MOST = 100
"""Steps of one rule that are worked out at once."""


def explain(
    ctx: typer.Context,
    rule: Annotated[
        str | None,
        typer.Argument(metavar="NAME[,NAME...]", help="Rules, as in their presets.", autocompletion=complete_algo),
    ] = None,
    algo: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME...]", help="The same as an option.", autocompletion=complete_algo),
    ] = None,
    step: Annotated[str, typer.Option(metavar="N|N-M", help="A step, from 1, or a range of steps.")] = "1",
    function: Annotated[
        str | None,
        typer.Option(metavar="NAME|FORMULA", help="Test function, or your own.", autocompletion=complete_function),
    ] = None,
    start: Annotated[str | None, typer.Option(metavar="W1,W2", help="Start point, as -5,-2.")] = None,
    lr: Annotated[str | None, typer.Option(metavar="LR", help="Learning rate (algo.lr).")] = None,
    format_: Annotated[
        Literal["text", "markdown", "latex"], typer.Option("--format", help="Format of the output.")
    ] = "text",
    set_: Set = None,
    json_: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the points after the steps and nothing else.")
    ] = False,
) -> None:
    """Work out steps of a rule: every intermediate result with its numbers, checked against the run."""
    from itertools import islice

    from optilab.config.fields import Override, load, numbers
    from optilab.config.fields import function as read_function
    from optilab.config.optimize import OptimizeConfig
    from optilab.config.presets import algorithms
    from optilab.console import explain as views
    from optilab.optimize import Regime
    from optilab.optimize.path import worked_steps
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    if rule is None and algo is None:
        raise UsageError("explain needs the name of a rule, as in: optilab explain adam --step 2")
    if rule is not None and algo is not None:
        raise UsageError("NAME and --algo cannot be combined")
    first, last = _steps(step)
    named = [] if rule is None else [Override("NAME", "algo", algorithms(rule))]
    readers = {"algo": algorithms, "function": read_function, "start": numbers}
    settings = load(OptimizeConfig, None, [*named, *overrides(ctx, {"lr": "algo.lr"}, readers)])
    if settings.regime != Regime():
        raise UsageError("explain works out the bare rule; remove schedule, weight_decay, clipping and noise")
    paths = (worked_steps(each, settings.function, settings.start) for each in settings.algo)
    worked = [one for path in paths for one in islice(path, first - 1, last)]
    if json_:
        terminal.document(views.document(worked))
    elif quiet:
        for one in worked:
            terminal.say(" ".join(map(repr, one.result.tolist())))
    else:
        views.show(worked, format_)


def _steps(text: str) -> tuple[int, int]:
    """The first and the last step of `2` or `1-3`."""
    match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= LAST_STEP:
        raise UsageError(
            f"a step from 1 to {LAST_STEP:,}, or a range as 1-3, expected, got {shown(text)}", "--step"
        )
    if last - first >= MOST:
        raise UsageError(f"at most {MOST} steps at once, got {last - first + 1:,}", "--step")
    return first, last
