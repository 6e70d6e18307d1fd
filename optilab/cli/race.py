"""`optilab race`: which rule solves more problems sooner, after the same tuning."""

from typing import Annotated

import typer

from optilab.cli.options import Dark, Json, Plot, complete_algo, complete_function, only_one
from optilab.errors import chosen_names

EXAMPLES = """\b
Examples:
  optilab race --algos sgd,momentum,adam --functions rosenbrock,beale,himmelblau --budget 20 --starts 10
  optilab race --budget 50 --starts 20 --plot race.png
"""

ALGOS = "sgd,momentum,nesterov,rmsprop,adam,nadam,adagrad,lion,rprop,barzilai-borwein"
FUNCTIONS = "ravine,rosenbrock,beale,himmelblau,booth,matyas,three-hump-camel,goldstein-price,dixon-price,zakharov"


def _listed(names: str) -> str:
    """With spaces, so that a help text does not break inside a name."""
    return names.replace(",", ", ")


def race(
    algos: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Who takes part [{_listed(ALGOS)}].",
            show_default=False,
            autocompletion=complete_algo,
        ),
    ] = ALGOS,
    functions: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Where they race [{_listed(FUNCTIONS)}].",
            show_default=False,
            autocompletion=complete_function,
        ),
    ] = FUNCTIONS,
    budget: Annotated[
        int, typer.Option(min=1, max=10_000, help="Random settings each may try per function.")
    ] = 50,
    starts: Annotated[int, typer.Option(min=1, max=10_000, help="Starts to tune on, and as many to race.")] = 20,
    epochs: Annotated[int, typer.Option(min=1, max=1_000_000, help="Steps until a path is given up.")] = 200,
    accuracy: Annotated[
        float, typer.Option(min=1e-15, max=0.5, help="Solved when f - f_min is this share of what it was.")
    ] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of the settings and the starts.")] = 0,
    plot: Plot = None,
    dark: Dark = False,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep heats, and use those kept.")] = True,
    json_: Json = False,
) -> int:
    """Race optimizers that were tuned with the same budget, on starts that none of them was tuned on."""
    from dataclasses import asdict

    from platformdirs import user_cache_path

    from optilab import console
    from optilab.console import race as views
    from optilab.optimize import ALGORITHMS as RULES
    from optilab.optimize import FUNCTIONS as TESTS
    from optilab.signals import Interrupted
    from optilab.studies import race as study

    only_one(json=json_)
    rules = study.Rules(budget, starts, epochs, accuracy, seed)
    chosen = {name: RULES[name]() for name in chosen_names("--algos", algos, "algorithm", RULES)}
    where = {name: TESTS[name]() for name in chosen_names("--functions", functions, "function", TESTS)}
    folder = user_cache_path("optilab") / "races" if cache else None
    try:
        found = study.run(chosen, where, rules, folder, views.progress)
    except Interrupted:
        console.note("stopped; the same command goes on where it was" if cache else "stopped")
        raise
    if plot:
        from optilab import figures

        figures.save(figures.race(found, dark), plot)
    if json_:
        standings = [asdict(standing) for standing in study.standings(found)]
        heats = [asdict(heat) for heat in found.heats]
        console.document({"rules": asdict(rules), "standings": standings, "heats": heats})
    else:
        views.show(found, bool(plot))
    return 0
