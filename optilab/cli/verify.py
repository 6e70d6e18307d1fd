"""`optilab verify`: every rule beside torch.optim and optax, or a user's own implementation beside a rule."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from optilab.cli.options import Json, Set, overrides, retyped

if TYPE_CHECKING:
    from optilab.verify.grade import Verdict

EXAMPLES = """\b
Examples:
  optilab verify
  optilab verify --algo adam,nadam
  optilab verify my_adam.py:Adam --against adam
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
        str | None, typer.Argument(metavar="FILE:NAME", help="Your class or function; the file is executed.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="NAME", help="The rule that it is meant to be.")
    ] = None,
    algo: Annotated[
        str | None, typer.Option(metavar="NAME[,NAME...]", help="Without a file: only these rules.")
    ] = None,
    function: Annotated[
        str | None, typer.Option(metavar="NAME|FORMULA", help="With a file: where to compare.")
    ] = None,
    epochs: Annotated[str | None, typer.Option(metavar="N", help="With a file: steps to compare.")] = None,
    set_: Set = None,
    json_: Json = False,
) -> int:
    """Check every rule against torch.optim and optax, or your own implementation against a rule."""
    from optilab.errors import UsageError

    if candidate is None:
        if against or function or epochs or set_:
            raise UsageError("--against, --function, --epochs and --set need a FILE:NAME to check")
        return _table(algo, json_)
    if against is None:
        raise UsageError("verify FILE:NAME needs --against NAME, as in: --against adam")
    if algo is not None:
        raise UsageError("--algo chooses rows of the table; the rule for a file is --against NAME")
    return _grade(ctx, candidate, against, json_)


def _table(algo: str | None, json_: bool) -> int:
    from dataclasses import asdict

    from optilab import console
    from optilab.console import verify as views
    from optilab.errors import ExitCode, UsageError, did_you_mean
    from optilab.optimize import ALGORITHMS
    from optilab.verify.parity import TOLERANCE, rows

    names = [name.strip().lower() for name in algo.split(",")] if algo else []
    for name in names:
        if name not in ALGORITHMS:
            raise UsageError(f"--algo: unknown algorithm {name}{did_you_mean(name, list(ALGORITHMS))}")
    found = list(views.followed(rows(names)))
    if json_:
        entries = [{**asdict(row), "holds": row.holds} for row in found]
        console.document({"schema_version": 1, "tolerance": TOLERANCE, "rows": entries})
    else:
        views.table(found)
    return ExitCode.OK if all(row.holds for row in found) else ExitCode.EXPECTATION


def _grade(ctx: typer.Context, spec: str, against: str, json_: bool) -> int:
    from optilab import console
    from optilab.config.load import Override, load
    from optilab.config.load import function as read_function
    from optilab.config.schema.optimize import OptimizeConfig
    from optilab.console import verify as views
    from optilab.errors import ExitCode
    from optilab.verify import candidate
    from optilab.verify.grade import grade

    asked = [
        Override("--against", "algo", against.strip().lower()),
        *overrides(ctx, {"epochs": "epochs"}, {"function": read_function}),
    ]
    settings = load(OptimizeConfig, None, asked)
    given = [item.key.removeprefix("algo.") for item in asked if item.key.startswith("algo.")]
    found = candidate.load(spec)
    verdict = grade(
        found, settings.algo[0], settings.function, settings.start, settings.epochs, settings.regime, given
    )
    if json_:
        console.document(_document(found.label, settings, verdict))
    else:
        by_hand = _by_hand(settings.algo[0], verdict, retyped(ctx, ("function",)))
        views.verdict(found.label, settings.algo[0], settings.function, verdict, by_hand)
    return ExitCode.OK if verdict.equal else ExitCode.EXPECTATION


def _by_hand(rule: Any, verdict: "Verdict", options: str) -> str:
    """The `explain` that calculates with the numbers of the comparison; --algo alone would take the preset's."""
    from dataclasses import fields

    from optilab.config.load import Override, load
    from optilab.config.presets import algorithms
    from optilab.config.schema.optimize import OptimizeConfig

    usual = load(OptimizeConfig, None, [Override("--algo", "algo", algorithms(rule.name))]).algo[0]
    compared = {f.name: verdict.settings.get(f.name, getattr(rule, f.name)) for f in fields(rule)}
    changed = [f"--set algo.{key}={value}" for key, value in compared.items() if value != getattr(usual, key)]
    return " ".join(filter(None, [f"optilab explain --algo {rule.name}", options, *changed]))


def _document(label: str, settings: Any, verdict: "Verdict") -> dict[str, Any]:
    from dataclasses import asdict

    def number(value: float) -> float | None:
        return value if abs(value) < float("inf") else None

    facts = asdict(verdict)
    for key in ("point", "expected"):
        facts[key] = facts[key] and [number(value) for value in facts[key]]
    facts["difference"] = None if verdict.difference is None else number(verdict.difference)
    return {
        "schema_version": 1,
        "candidate": label,
        "against": settings.algo[0].name,
        "function": settings.function.name,
        "equal": verdict.equal,
        **facts,
    }
