"""The answer of a race, as tables and sentences for the terminal, the page and `--json`.

All verdicts are those of `judge.judge`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from optilab.answer.answer import Answer
from optilab.answer.charts.races import race_chart
from optilab.config.study import RaceConfig
from optilab.judge.claims import ClaimResult
from optilab.numbers import ratio
from optilab.optimize import OBJECTIVES, RULES, Objective, Rule
from optilab.optimize.objective import minima_inside
from optilab.proposals import Call
from optilab.show.blocks import Block, Details, Hint, NextStep, Sentence, Verbatim, Verdict
from optilab.show.chart import Chart
from optilab.show.table import Column, Table, grid, interval_columns, interval_values
from optilab.study import function_race
from optilab.study.function_race import CONDITIONS, ENOUGH_FUNCTIONS, Race
from optilab.study.tuning import UNSOLVED, extra_knowledge, gradients_per_step
from optilab.words import plural, some

COLUMNS = (
    Column("rule", "", only="values"),
    Column("marked", "optimizer", left=True, only="text"),
    Column(
        "cost",
        "cost",
        "{:.1f}".format,
        about="gradient evaluations to solve a problem, the geometric mean over all",
        early=True,
    ),
    Column(
        "ratio",
        "x lowest",
        "{:.2f}".format,
        plain="times the lowest",
        about="the cost over that of the cheapest optimizer",
    ),
    *interval_columns(
        "",
        lambda ends: " to ".join(map(ratio, ends)) or "-",
        about="of that ratio; all hold together, with the functions as a random sample",
    ),
    Column("p", "", only="values"),
    Column("solved", "solved", "{:.0%}".format, plain="problems solved", about="the fraction of the problems"),
    Column(
        "verdict",
        "verdict",
        left=True,
        about="worse: the interval of the ratio is above 1, also with ties",
        early=True,
    ),
)
"""The columns of the standings."""
BEST = " \u2605"


def standing_rows(race: Race, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The standings as rows of the table; `marked` has a star where a rule uses more than gradients."""
    marks = {rule.name: "*" * bool(extra_knowledge(rule)) for rule in rules}
    return [
        {**interval_values("", row["interval"]), **row, "interval": row["interval"] or ()}
        | {"marked": row["rule"] + marks[row["rule"]]}
        for row in race.standings
    ]


def race_notes(race: Race, rules: Sequence[Rule], functions: Sequence[Objective]) -> list[str]:
    """Sentences that explain the numbers of the standings."""
    conditions = race.conditions
    problems, unsolved = plural(race.costs.shape[1], "problem"), UNSOLVED * conditions.gradients
    return [
        f"cost: gradient evaluations until f - f_min falls to {conditions.accuracy:g} of its "
        "initial value near a known minimum inside the search box; "
        f"geometric mean over {problems}, an unsolved problem counts as {unsolved}",
        "x lowest: cost relative to the cheapest optimizer; the 95% intervals and verdicts "
        "hold for all optimizers at once, with the functions as a random sample",
        *(note for rule in rules if (note := _extra(rule, functions))),
        *function_race.space_notes(rules, race.search_space),
        *_ends(race),
    ]


def _ends(race: Race) -> list[str]:
    """A note on rules whose best learning rate may lie beyond those that were tried; empty without such a rule."""
    best = race.judgment.ranked[0].key
    beyond = [f"{rule} on {', '.join(names)}" for rule, names in race.at_end.items() if names and rule != best]
    text = "a better rate may lie beyond those that were tried, so verdicts count these functions as ties"
    return [f"{text}: {some(beyond, 4)}"] if beyond else []


def race_verdict(race: Race) -> list[str]:
    """The answer of a race on functions, which `judge.judge` has decided, and what limits it."""
    if not np.isfinite(race.costs).any():
        return ["no optimizer solved any problem: try more gradient evaluations or a larger accuracy"]
    lowest, possible = race.standings[0], race.judgment.possible_best
    claim = f"{lowest['rule']} has the lowest cost: {lowest['cost']:.1f} gradients"
    best = (
        f"may be the best: {', '.join(possible)}"
        if possible[1:]
        else f"{lowest['rule']} is the best on functions like these"
    )
    lines = [claim, best]
    if len(race.functions) < ENOUGH_FUNCTIONS:
        lines.append(f"fewer than {ENOUGH_FUNCTIONS} functions can hardly tell optimizers apart")
    return lines


def next_race(race: Race, entered: Sequence[Rule]) -> NextStep | None:
    """The race of those that may be the best: with more rates where a better one may lie beyond those that were tried,
    else on the other functions; None where there is no such race."""
    possible, beyond = race.judgment.possible_best, race.judgment.improvable
    known = (*race.functions, "expression")
    others = [name for name, objective in OBJECTIVES.items() if name not in known and minima_inside(objective())]
    if (
        len(possible) < 2
        or not np.isfinite(race.costs).any()
        or not (others or beyond)
        or not set(possible) <= {rule.name for rule in entered if RULES.get(rule.name) is rule.original}
    ):
        return None
    now, defaults = (
        {key: getattr(config, key) for key in CONDITIONS} for config in (race.conditions, RaceConfig())
    )
    now |= {"budget": 2 * now["budget"]} if beyond else {}
    changed = {name: value for name, value in now.items() if value != defaults[name]}
    options = {"algo": tuple(possible), "function": tuple(race.functions if beyond else others), **changed}
    rules = f"the {len(possible)} that may be the best"
    return NextStep(
        f"tries more rates of {rules}" if beyond else f"races {rules} on other functions",
        Call("race", (), options),
    )


def _extra(rule: Rule, functions: Sequence[Objective]) -> str:
    """The quantities that a rule uses besides gradients, and their cost; empty for a rule that uses nothing else."""
    names = {
        "grad": "a second gradient",
        "H": "the Hessian",
        "diagonal": "the Hessian's diagonal",
        "f": "f",
        "f_min": "f_min",
    }
    extra = [names[name] for name in extra_knowledge(rule)]
    prices = sorted({gradients_per_step(rule, function) for function in functions})
    charge = "at no charge" if prices == [1] else f"a step is charged {' or '.join(map(str, prices))} gradients"
    return f"* {rule.name} uses {' and '.join(extra)} besides the gradient; {charge}" if extra else ""


def settings_table(race: Race, order: Sequence[str], every: bool) -> Table:
    """Medians and ranges of the tuned settings per rule, or the setting of each function and repeat."""
    if every:
        rows = [
            [function, rule, str(tuning.repeat + 1), _text(tuning.settings)]
            for function in race.functions
            for rule in order
            for tuning in race.of(rule, function)
        ]
        return grid(["function", "optimizer", "repeat", "tuned settings"], rows, left=(0, 1, 3))
    rows = []
    for rule in order:
        tunings = [tuning for function in race.functions for tuning in race.of(rule, function)]
        for name in tunings[0].settings:
            values = [tuning.settings[name] for tuning in tunings]
            rows.append([rule, name, f"{median(values):.4g}", f"{min(values):.4g} to {max(values):.4g}"])
    return grid(["optimizer", "tuned", "median", "over functions and repeats"], rows, left=(0, 1))


def _text(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in settings.items()) or "-"


@dataclass(frozen=True, repr=False)
class LabRace(Answer):
    """The result of a race on test functions."""

    race: Race
    rules: Sequence[Rule]
    functions: Sequence[Objective]
    again: str
    """The command that finds the same."""
    settings: bool | None = False
    """True to show the tuned settings of every function; None where no option of the command does."""
    judged: Sequence[ClaimResult] = ()
    run: str | None = None
    """The run directory that keeps the race, if there is one."""

    @property
    def may_be_best(self) -> list[str]:
        """The rules that no verdict excludes, lowest cost first."""
        return self.race.judgment.possible_best

    @property
    def verdict(self) -> str:
        """The answer in one sentence."""
        return "; ".join(race_verdict(self.race))

    @property
    def headline(self) -> str:
        """The number of optimizers and functions, and the conditions of the race."""
        counts = plural(len(self.race.rules), "optimizer"), plural(len(self.race.functions), "function")
        return f"{' on '.join(counts)}   {self.race.conditions.sizes}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per rule, lowest cost first: rule, cost, ratio to the lowest, its interval, p, solved, verdict."""
        keys = [column.key for column in COLUMNS if column.only != "text"]
        return [{key: row[key] for key in keys} for row in standing_rows(self.race, self.rules)]

    def blocks(self) -> Iterable[Block]:
        """The standings, what they measure, and the tuned settings."""
        race, rules, functions = self.race, self.rules, self.functions
        table = standing_rows(race, rules)
        yield Sentence(self.headline, "bold")
        yield ""
        yield self.table()
        yield ""
        yield from race_notes(race, rules, functions)
        yield ""
        claim, *limits = race_verdict(race)
        yield Verdict(claim, "".join(f"; {limit}" for limit in limits))
        yield ""
        yield settings_table(race, [row["rule"] for row in table], bool(self.settings))
        if self.settings is False:
            yield Hint("add --settings to see them for each function")
        if step := next_race(race, rules):
            yield step
        if self.run:
            yield Hint(self.run)

    def details(self) -> Iterator[Block]:
        """The curves, the cost on each function, every setting, and the command."""
        race, names = self.race, [row["rule"] for row in self.race.standings]
        about = (
            "The profile is the fraction of the problems, each a function with a start, that an optimizer solves "
            "within a multiple of the lowest cost (Dolan & Moré 2002). The tuning curve is the cost to expect of the "
            "best of k settings (Dodge et al. 2019), evaluated on other starts; its right end is the cost of the table."
        )
        yield Details("Speed and tuning", [Sentence(about, "dim"), self.chart()])
        costs = np.exp(race.log_costs)[[race.rules.index(name) for name in names]]
        rows = [
            [function, *(f"{cost:.1f}{BEST * bool(cost == column.min())}" for cost in column)]
            for function, column in zip(race.functions, costs.T, strict=True)
        ]
        about = f"Geometric mean over starts and repeats;{BEST} the lowest on the function."
        yield Details("Cost on each function", [Sentence(about, "dim"), grid(["function", *names], rows)])
        yield Details("Every tuned setting", [settings_table(race, names, every=True)], folded=True)
        yield Details("Repeat it", [Verbatim(self.again)])

    @property
    def question(self) -> str:
        return f"Which of {plural(len(self.rules), 'optimizer')} is the best after the same tuning?"

    def table(self) -> Table:
        """The standings."""
        sentences = [
            *race_verdict(self.race),
            *race_notes(self.race, self.rules, self.functions),
        ]
        settings = settings_table(self.race, [row["rule"] for row in self.race.standings], every=False)
        rows = standing_rows(self.race, self.rules)
        return Table(COLUMNS, rows, sentences, middle="ratio", look="verdict", apart={"settings": settings})

    def document(self) -> Mapping[str, Any]:
        step = next_race(self.race, self.rules)
        result = function_race.document(self.race, self.rules, self.functions)
        return {"run": self.run, **result, "next_step": step and step.document()}

    def short(self) -> Iterable[str]:
        return self.may_be_best

    def chart(self) -> Chart:
        """The performance profile, and the cost after more and more tuning."""
        return race_chart(self.race)
