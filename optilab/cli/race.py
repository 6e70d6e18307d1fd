"""`optilab race`: which rule solves test functions at the lowest cost, after the same tuning."""

from typing import Annotated

import typer

from optilab.cli.options import Dark, Json, Plot, complete_algo, complete_function, only_one
from optilab.errors import chosen_names

EXAMPLES = """\b
Examples:
  optilab race --algos sgd,momentum,adam --functions rosenbrock,beale,himmelblau --budget 20 --starts 10
  optilab race --budget 50 --starts 20 --plot race.png
  optilab race --settings
"""

ALGOS = "sgd,momentum,nesterov,rmsprop,adam,nadam,adagrad,lion,rprop,barzilai-borwein"
FUNCTIONS = (
    "ravine,quadratic,booth,matyas,rosenbrock,beale,dixon-price,zakharov,himmelblau,three-hump-camel,six-hump-camel,"
    "goldstein-price,branin,mccormick,styblinski-tang,bohachevsky"
)


def _listed(names: str) -> str:
    """With spaces, so that a help text does not break inside a name."""
    return names.replace(",", ", ")


def race(
    algos: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Rules to compare [{_listed(ALGOS)}].",
            show_default=False,
            autocompletion=complete_algo,
        ),
    ] = ALGOS,
    functions: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Test functions with a known minimum [{_listed(FUNCTIONS)}].",
            show_default=False,
            autocompletion=complete_function,
        ),
    ] = FUNCTIONS,
    budget: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Random settings tried per rule and function.")
    ] = 50,
    starts: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Starts to tune on, and as many to judge on.")
    ] = 20,
    repeats: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Repeats with other settings and starts.")
    ] = 3,
    epochs: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="Gradients until a path is given up.")
    ] = 200,
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
    plot: Plot = None,
    dark: Dark = False,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep results in the user's cache, and reuse them.")
    ] = True,
    json_: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the rules that may be the best, one per line.")
    ] = False,
) -> int:
    """Compare rules that were tuned with the same budget, on starts that none of them was tuned on."""
    from platformdirs import user_cache_path

    from optilab import console
    from optilab.console import race as views
    from optilab.optimize import ALGORITHMS
    from optilab.optimize import FUNCTIONS as TESTS
    from optilab.signals import Interrupted
    from optilab.studies import race as study
    from optilab.studies.tuning import Conditions

    only_one(json=json_, quiet=quiet, settings=settings)
    conditions = Conditions(budget, starts, repeats, epochs, accuracy, seed)
    rules = [ALGORITHMS[name]() for name in chosen_names("--algos", algos, "rule", ALGORITHMS)]
    tests = [TESTS[name]() for name in chosen_names("--functions", functions, "function", TESTS)]
    study.check(rules, tests)
    if plot:
        from optilab import figures

        figures.check(plot)
    silent = json_ or quiet
    if not silent:
        views.announce(len(rules), len(tests), conditions)
    folder = user_cache_path("optilab") / "races" if cache else None
    try:
        result = study.run(rules, tests, conditions, folder, views.RaceProgress(silent))
    except Interrupted:
        console.note("stopped; the same command continues where it was" if cache else "stopped")
        raise
    if plot:
        figures.save(figures.race(result, dark), plot)
    if json_:
        console.document(study.document(result, rules, tests))
    elif quiet:
        for name in study.may_be_best(study.standings(result)):
            console.say(name)
    else:
        views.show(result, rules, tests, settings, drawn=bool(plot))
    return 0
