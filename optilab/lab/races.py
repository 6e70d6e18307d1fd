"""Rules against each other: on test functions, or on trainings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from optilab.lab.arguments import command, listed
from optilab.show.table import Table
from optilab.verbs.answer import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from optilab.config.study import FunctionRaceConfig
    from optilab.optimize import Objective, Rule
    from optilab.study.race import Race

ALGOS = "sgd,momentum,nesterov,rmsprop,adam,nadam,adagrad,lion,rprop,barzilai-borwein"
NETWORK_ALGOS = "sgd,momentum,nesterov,adagrad,rmsprop,adam,nadam,amsgrad,lion,prodigy"
OBJECTIVES = (
    "ravine,quadratic,booth,matyas,rosenbrock,beale,dixon-price,zakharov,himmelblau,three-hump-camel,six-hump-camel,"
    "goldstein-price,branin,mccormick,styblinski-tang,bohachevsky"
)


@dataclass(frozen=True, repr=False)
class LabRace(Answer):
    """What `Lab.race` found on test functions."""

    race: "Race"
    rules: "Sequence[Rule]"
    functions: "Sequence[Objective]"
    argv: Sequence[str]
    """The command that finds the same."""

    @property
    def may_be_best(self) -> list[str]:
        """The rules that no verdict excludes, lowest cost first."""
        from optilab.study.race import may_be_best, standings

        return may_be_best(standings(self.race))

    @property
    def headline(self) -> str:
        from optilab.console.race import heading

        return heading(self.race)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per rule, lowest cost first: rule, cost, ratio to the lowest, its interval, p, solved, verdict."""
        from optilab.console.race import COLUMNS, rows

        keys = [column.key for column in COLUMNS if column.only != "text"]
        return [{key: row[key] for key in keys} for row in rows(self.race, self.rules)]

    def plot(self, dark: bool = False) -> "Figure":
        """The performance profile, and the cost after more and more tuning."""
        from optilab import figures

        drawn: Figure = figures.race(self.race, dark)
        return drawn

    def table(self) -> Table:
        from optilab.console.race import COLUMNS, notes, rows, verdict

        said = [*verdict(self.race), *notes(self.race, self.rules, self.functions)]
        return Table(COLUMNS, rows(self.race, self.rules), said)

    def page(self, title: str | None) -> bytes:
        from optilab.pages.race import race_page
        from optilab.runs.record import provenance

        return race_page(self.race, self.rules, self.functions, provenance(self.argv, ["numpy"]), title)


def function_race(algos: str, functions: str) -> "tuple[list[Rule], list[Objective]]":
    """The rules and functions of a race. UsageError for names that do not exist, and what cannot race."""
    from optilab.config.presets import rules_named
    from optilab.errors import chosen_names
    from optilab.optimize import OBJECTIVES as TESTS
    from optilab.study import race

    rules = rules_named("--algos", algos)
    tests = [TESTS[name]() for name in chosen_names("--functions", functions, "function", TESTS)]
    race.check(rules, tests)
    return rules, tests


def on_functions(asked: "FunctionRaceConfig", silent: bool, cache: bool = True) -> LabRace:
    """The race of `Lab.race` without `on`. UsageError for names that do not exist, and what cannot race."""
    from optilab.console.race import RaceProgress
    from optilab.study import race
    from optilab.study.tuning import Conditions

    conditions = Conditions(asked.budget, asked.starts, asked.repeats, asked.epochs, asked.accuracy, asked.seed)
    names = asked.algos or listed(ALGOS), asked.functions or listed(OBJECTIVES)
    rules, tests = function_race(*map(",".join, names))
    found = race.run(rules, tests, conditions, cache_folder() if cache else None, RaceProgress(silent))
    given = {"algos": found.rules, "functions": found.functions, **asdict(conditions)}
    given["epochs"] = given.pop("gradients")
    return LabRace(found, rules, tests, command("race", None, given))


def cache_folder() -> "Path":
    """Where the tunings of races on functions are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("optilab") / "races"
