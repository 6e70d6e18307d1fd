"""`optilab verify`: the rules beside torch.optim, optax or their equations, or your implementation beside a rule."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optilab.cli.options import (
    FORMATS,
    Json,
    Set,
    Silent,
    chosen_format,
    complete_algo,
    complete_function,
    only_one,
    overrides,
    retyped,
)

if TYPE_CHECKING:
    from optilab.lab.verification import Exam
    from optilab.verify.grade import Verdict
    from optilab.verify.submissions import Allowance

EXAMPLES = """\b
Examples:
  optilab verify
  optilab verify --algo adam,nadam
  optilab verify my_adam.py:Adam --against adam
  optilab verify 'submissions/*.py:Adam' --against adam --points equal=10,explained=6 --format csv
  optilab verify my_momentum.py:step --against momentum --set algo.form=ema --json
\b
A file may define (arguments are recognised by their names):
  def momentum(w, g, lr, V, beta): return w, V     a function; its state is what it returns after w
  class Adam with update(w, g) -> w                hyper-parameters in __init__
  class Rule with init(x), update(g, state)        the step API of optilab.optimize
  class Mine(torch.optim.Optimizer)
\b
Exit status 9: something differs.
"""


def verify(
    ctx: typer.Context,
    candidate: Annotated[
        str | None,
        typer.Argument(metavar="FILE:NAME", help="Your class or function, or of many files: '*.py:Adam'."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="NAME", help="The rule that it is meant to be.", autocompletion=complete_algo
        ),
    ] = None,
    algo: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME...]", help="Without a file: only these rules.", autocompletion=complete_algo
        ),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FORMULA",
            help="With a file: compare on this function only.",
            autocompletion=complete_function,
        ),
    ] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="With a file: steps to compare.")] = None,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            help="With a file: time limit of one step.",
        ),
    ] = 10.0,
    memory: Annotated[
        int, typer.Option("--memory", metavar="MIB", min=512, help="With many files: memory limit of each.")
    ] = 4096,
    points: Annotated[
        str | None,
        typer.Option(
            metavar="VERDICT=N,...", help="With many files: points for equal, explained, differs, error."
        ),
    ] = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="Of many files: table, csv, markdown, latex, junit, json."
        ),
    ] = "table",
    set_: Set = None,
    json_: Json = False,
    quiet: Silent = False,
) -> int:
    """Check the rules against torch.optim, optax or their equations, or your own implementation against a rule."""
    from optilab.errors import UsageError
    from optilab.verify.submissions import Allowance, is_pattern

    only_one(json=json_, quiet=quiet)
    if candidate is None:
        if against or function or epochs or set_:
            raise UsageError("--against, --function, --epochs and --set need a FILE:NAME to check")
        return _table(algo, json_, quiet)
    if against is None:
        raise UsageError("verify FILE:NAME needs --against NAME, as in: --against adam")
    if algo is not None:
        raise UsageError("--algo chooses rows of the table; the rule for a file is --against NAME")
    if is_pattern(candidate):
        return _grade_all(ctx, candidate, against, Allowance(timeout, memory), points, format_, json_, quiet)
    if points is not None or format_ != "table":
        raise UsageError("--points and --format need many files, as 'submissions/*.py:Adam'")
    return _grade(ctx, candidate, against, timeout, json_, quiet)


def _grade_all(
    ctx: typer.Context,
    spec: str,
    against: str,
    limits: "Allowance",
    points: str | None,
    format_: str,
    json_: bool,
    quiet: bool,
) -> int:
    """Grade many submissions; progress goes to stderr."""
    import os

    from optilab.console import verify as views
    from optilab.errors import ExitCode
    from optilab.show import terminal
    from optilab.verify.submissions import files, grade_all, read_points

    format_ = chosen_format(format_, json_, (*FORMATS, "junit"))
    found, name = files(spec)
    worth = read_points(points)
    _exam(ctx, against)  # refused once, not in every row
    options = ["--against", against, *shlex.split(retyped(ctx, ("function", "epochs", "set_")))]
    rows = []
    with terminal.err.status("grading") as status:
        for row in grade_all(found, name, options, limits, worth, max(1, (os.cpu_count() or 2) // 2)):
            rows.append(row)
            status.update(f"graded {len(rows)} of {len(found)}")
    if not quiet:
        views.submissions(rows, format_, against.strip().lower())
    return ExitCode.OK if all(row.verdict == "equal" for row in rows) else ExitCode.EXPECTATION


def _table(algo: str | None, json_: bool, quiet: bool) -> int:
    from optilab.console import verify as views
    from optilab.errors import ExitCode, chosen_names
    from optilab.optimize import RULES
    from optilab.show import terminal
    from optilab.verify.cases import rows

    names = chosen_names("--algo", algo, "algorithm", RULES) if algo is not None else []
    found = list(views.followed(rows(names)))
    if json_:
        terminal.document(views.rows_document(found))
    elif not quiet:
        views.table(found)
    return ExitCode.OK if all(row.holds for row in found) else ExitCode.EXPECTATION


def _grade(ctx: typer.Context, spec: str, against: str, timeout: float, json_: bool, quiet: bool) -> int:
    from optilab.console import verify as views
    from optilab.errors import ExitCode
    from optilab.show import terminal
    from optilab.verify import candidate
    from optilab.verify.submissions import time_limited

    exam = _exam(ctx, against)
    rule = exam.rule
    verdict = time_limited(lambda: exam.grade(candidate.load(spec)), spec, timeout)
    label = spec.replace("\\", "/").rpartition("/")[2]
    if json_:
        terminal.document(views.document(label, rule, verdict))
    elif not quiet:
        views.verdict(label, rule, verdict, _by_hand(rule, verdict, retyped(ctx, ("function",))))
    return ExitCode.OK if verdict.equal else ExitCode.EXPECTATION


def _exam(ctx: typer.Context, against: str) -> "Exam":
    """The comparison that is asked for."""
    from optilab.config.load import function as read_function
    from optilab.lab.verification import Exam

    return Exam.of(against, overrides(ctx, {"epochs": "epochs"}, {"function": read_function}))


def _by_hand(rule: Any, verdict: "Verdict", options: str) -> str:
    """The `explain` that calculates with the numbers of the comparison; --algo alone would take the preset's."""
    from dataclasses import fields

    from optilab.config.load import Override, load
    from optilab.config.optimize import OptimizeConfig

    usual = load(OptimizeConfig, None, [Override("--algo", "algo", rule.name)]).algo[0]
    compared = {f.name: verdict.settings.get(f.name, getattr(rule, f.name)) for f in fields(rule)}
    changed = [f"--set algo.{key}={value}" for key, value in compared.items() if value != getattr(usual, key)]
    where = options or f"--function {verdict.function}"
    start = ",".join(f"{value:g}" for value in verdict.start or ())
    return " ".join([f"optilab explain --algo {rule.name}", where, f"--start {start}", *changed])
