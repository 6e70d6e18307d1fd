"""The answers of races, as tables and sentences for the terminal, the pages and `--json`.

All verdicts are those of `study.judge`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, ClassVar

import numpy as np

from optilab.call import Call
from optilab.commands.answer import Answer
from optilab.commands.charts.races import network_race_chart, race_chart
from optilab.commands.comparison_tables import best_clauses, judged_values, more_advice, purpose_of_more
from optilab.config.study import FunctionRaceConfig
from optilab.numbers import Units, brief, digits, ratio
from optilab.optimize import OBJECTIVES, RULES, Objective, Rule
from optilab.optimize.objective import minima_inside
from optilab.runs import Study, resume_command
from optilab.show.blocks import Block, Details, Hint, NextStep, Sentence, Verbatim, Verdict
from optilab.show.chart import Chart
from optilab.show.table import Column, Table, grid, interval_columns, interval_values
from optilab.study import function_race
from optilab.study.claims import ClaimResult
from optilab.study.comparison import looked_before
from optilab.study.function_race import CONDITIONS, ENOUGH_FUNCTIONS, Race
from optilab.study.judge import alpha, confidence_of
from optilab.study.network_race import JUDGED, Raced, RaceResult, RaceTable
from optilab.study.tuning import UNSOLVED, extra_knowledge, gradients_per_step
from optilab.study.tuning_space import search_notes, untuned
from optilab.words import listed, plural, some

# --- on test functions --------------------------------------------------------------------------------------


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
        *function_race.plan_notes(rules, functions, conditions.over),
        *_ends(race),
    ]


def _ends(race: Race) -> list[str]:
    """A note on rules whose best learning rate may lie beyond those that were tried; empty without such a rule."""
    best = race.judgment.ranked[0].key
    beyond = [f"{rule} on {', '.join(names)}" for rule, names in race.at_end.items() if names and rule != best]
    text = "a better rate may lie beyond those that were tried, so verdicts count these functions as ties"
    return [f"{text}: {some(beyond, 4)}"] if beyond else []


def race_verdict(race: Race) -> list[str]:
    """The answer of a race on functions, which `study.judge` has decided, and what limits it."""
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
        or not set(possible) <= {rule.name for rule in entered if RULES.get(rule.name) is type(rule)}
    ):
        return None
    now, defaults = (
        {key: getattr(config, key) for key in CONDITIONS} for config in (race.conditions, FunctionRaceConfig())
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


# --- on trainings -------------------------------------------------------------------------------------------

_UNITS = Units(is_fraction=True)
_VERDICT = "cannot tell: the interval of the difference contains 0, or a better rate may lie beyond those tried"


def notes(result: RaceResult) -> list[str]:
    """Sentences that explain the numbers of a race on networks, and their limits."""
    again = min(result.budget, result.finalists)
    lines = [
        f"tuned on {plural(result.budget, 'setting')} of one space, one seed each"
        f"{f', the best {again} from a second one' if again > 1 else ''}, by the accuracy on held-out images; "
        f"evaluated on the test set, from {plural(result.seeds, 'new seed')}"
    ]
    if result.repeats > 1:
        lines.append(
            "verdicts hold for all rows of a table at once; the intervals include the randomness of tuning"
        )
    raced = {rule: on_network for table in result.networks for rule, on_network in table.raced.items()}
    for rule, last in raced.items():
        lines += untuned(rule, last.optimizer, {key for settings in last.settings for key in settings})
    if result.looks:
        lines.append(looked_before(result.looks))
    boundary_notes = [
        f"{f'{table.network}, ' * (len(result.networks) > 1)}{rule}: {note}"
        for table in result.networks
        for rule, raced_rule in table.raced.items()
        for note in raced_rule.boundary_notes.values()
    ]
    if boundary_notes:
        lines.append(f"a better rate may lie beyond those that were tried: {some(boundary_notes, 4)}")
    lines += [
        f"not equal: {plural(n, 'trial')} of {rule} failed; the command tries {'it' if n == 1 else 'them'} again"
        for rule, n in failed(result).items()
    ]
    if result.overall is None and len(result.networks) > 1:
        lines.append("no table over all networks: one has no result on some of them")
    return lines


def failed(result: RaceResult) -> Counter[str]:
    """The trials that failed, by rule."""
    count = Counter[str]()
    for table in result.networks:
        count.update({rule: raced.failed for rule, raced in table.raced.items()})
    return +count


NETWORK = Column("network", "network", left=True)
"""The first column of a table of several networks."""


def columns(result: RaceResult, sample: str = "repeats") -> list[Column]:
    """The columns of a table whose sample is `sample`; without verdicts where there is one repeat."""
    judged = sample == "networks" or result.repeats > 1
    all_columns = [
        Column("rule", result.kinds[0], left=True),
        Column("n", "n", detail=2, plain=sample, about=f"the number of {sample} that were evaluated"),
        Column(
            "mean", "test_acc", _UNITS.value, about=f"the mean over the {sample}; higher is better", early=True
        ),
        *interval_columns("", _UNITS.interval, detail=4, about="the 95% interval of that mean by Student's t"),
        Column("difference", "against the best", _UNITS.difference, about="in percentage points"),
        *interval_columns(
            "difference_",
            _UNITS.differences,
            heading=f"{confidence_of(alpha(result.looks))} of difference",
            about="these intervals hold together",
        ),
        Column("verdict", "verdict", left=True, only="" if judged else "values", about=_VERDICT, early=judged),
        Column("settings", "settings", left=True, detail=1, about="those that tuning chose"),
    ]
    return [column for column in all_columns if judged or column.only != "text"]


def rows(table: RaceTable) -> list[dict[str, Any]]:
    """The values of a table, best first; verdicts are None where there are none."""
    values = []
    for judged in table.judgment.ranked if table.judgment else ():
        row = {"rule": judged.key, **judged_values(judged)}
        if not table.has_verdicts:
            row["verdict"] = None
        if table.network:
            row["settings"] = _chosen(table.raced[judged.key])
        values.append(row)
    return values


def _chosen(raced: Raced) -> str:
    """The settings of each repeat."""
    texts = [
        "  ".join(f"{key} {brief(digits(value))}" for key, value in chosen.items()) for chosen in raced.settings
    ]
    return " | ".join(texts) or "every setting diverged"


def verdict_of(table: RaceTable, result: RaceResult) -> Verdict:
    """The best mean of a table, and what limits it: how many more repeats or networks would say more, and the option
    that tries more rates. What is the best has been decided by `study.judge`.
    """
    judgment = table.judgment
    if judgment is None:
        return Verdict("no result")
    learned = any(each.better_than_chance for each in ([table] if table.network else result.networks))
    claim, rest = best_clauses(judgment, JUDGED, JUDGED.metric)
    if not table.has_verdicts:
        rest += "; one repeat gives no verdict, because the repeats are the sample: use at least three"
    elif learned and judgment.improvable:
        rest += f"; a better rate of {listed(judgment.improvable)} may lie beyond those that were tried"
        rest += f", and a budget of {2 * result.budget} settings tries more"
    rest += more_advice(judgment, table.sample) if learned else "; no row is better than chance"
    return Verdict(claim, rest)


def _heading(table: RaceTable, result: RaceResult) -> str:
    """The network and the epochs of its trainings."""
    if not table.network:
        return f"over all {len(result.networks)} networks, mean test accuracy"
    trained = (record for raced in table.raced.values() for record in raced.runs.values())
    epochs = next((record.manifest.get("config", {}).get("epochs") for record in trained), None)
    return f"{table.network}   {plural(epochs, 'epoch')}" if epochs else table.network


def _verdicts(table: RaceTable, result: RaceResult) -> dict[str, Any]:
    """A table without the intervals of its text, whose ends are values themselves."""
    rules = []
    for row in rows(table):
        values = {key: value for key, value in row.items() if not key.endswith("interval")}
        rules.append(values | (_outcomes(table.raced[row["rule"]]) if table.network else {}))
    silent = table.judgment is not None and not table.has_verdicts
    return {"verdict": None if silent else verdict_of(table, result).text, "rules": rules}


def _outcomes(raced: Raced) -> dict[str, Any]:
    """The settings per repeat, and by seed the accuracies and the runs."""
    return {
        "settings": raced.settings,
        "test_acc": {str(seed): value for seed, value in raced.accuracy.values.items()},
        "worst": {str(seed): why for seed, why in raced.accuracy.imputed.items()},
        "runs": {str(seed): str(record.path) for seed, record in raced.runs.items()},
    }


@dataclass(frozen=True, repr=False)
class RaceView(Answer):
    """The result of a race on trainings, or of remedies with tuned rates, as its study has it."""

    schema_version: ClassVar[int] = 3
    result: RaceResult
    study: Study

    @property
    def may_be_best(self) -> list[str]:
        """The entrants that no verdict excludes from being the best."""
        judged = rows(self.result.overall) if self.result.overall else self.rows
        return list(dict.fromkeys(row["rule"] for row in judged if row["verdict"] != "worse"))

    def short(self) -> Iterable[str]:
        return map(Verbatim, self.may_be_best)

    @property
    def headline(self) -> str:
        return self.verdict

    @property
    def question(self) -> str:
        return f"Which {self.result.kinds[0]} is the best after the same tuning?"

    @property
    def verdict(self) -> str:
        """The verdict over all networks, or where there is none, those of each."""
        result = self.result
        if result.overall is not None:
            return verdict_of(result.overall, result).text
        verdicts = {table.network: verdict_of(table, result).text for table in result.networks}
        return "; ".join(f"{name}: {text}" if len(verdicts) > 1 else text for name, text in verdicts.items())

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"network": table.network, **row} for table in self.result.networks for row in rows(table)]

    def table(self) -> Table:
        """One table of all networks."""
        return Table([NETWORK, *columns(self.result)], self.rows, middle="mean", look="verdict")

    def blocks(self) -> Iterator[Block]:
        """A table of each network, one over all of them, what holds, and what follows."""
        result = self.result
        counts = [f"{len(result.rules)} {result.kinds[1]}", plural(len(result.networks), "network")]
        yield Sentence(f"{self.study.name}: {', '.join([*counts, plural(result.repeats, 'repeat')])}", "bold")
        alone = result.overall or (result.networks[0] if len(result.networks) == 1 else None)
        for table in [*result.networks, *([result.overall] if result.overall else [])]:
            yield ""
            yield Sentence(_heading(table, result), "bold")
            if table.judgment is None:
                yield "no optimizer has an evaluated training"
                continue
            yield Table(columns(result, table.sample), rows(table), middle="mean", look="verdict")
            verdict = verdict_of(table, result)
            yield verdict if table is alone else Sentence(f"verdict: {verdict.text}", "bold")
        yield ""
        yield from notes(result)
        yield from search_notes(self.study.manifest.get("search_space", {}))
        if step := self.next_step:
            yield step
        yield Hint(self.study.path)

    def details(self) -> Iterator[Block]:
        """The trainings that were judged, best first."""
        from optilab.commands.comparison_details import failed, of_groups
        from optilab.study.groups import Group, groups

        result = self.result
        chosen = [
            Group(
                f"{table.network}: {row.key}" if len(result.networks) > 1 else row.key,
                {},
                dict(trained),
                table.raced[row.key].repeat_of,
            )
            for table in result.networks
            for row in (table.judgment.ranked if table.judgment else ())
            if (trained := table.raced[row.key].runs)  # none where every setting diverged
        ]
        trainings = [run for group in chosen for run in group.runs.values()]
        yield from failed([self.study])
        yield from of_groups(chosen, groups(trainings), [self.study])

    def document(self) -> dict[str, Any]:
        result, step = self.result, self.next_step
        return {
            "next_step": step and step.document(),
            "sample": "repeats",
            "failed": dict(failed(result)),
            "networks": [{"network": table.network, **_verdicts(table, result)} for table in result.networks],
            "overall": result.overall and _verdicts(result.overall, result),
            "search_space": self.study.manifest.get("search_space", {}),
        }

    def chart(self) -> Chart:
        """The curves of evaluation and tuning."""
        return network_race_chart(self.result)

    @property
    def next_step(self) -> NextStep | None:
        """The command that follows: more rates, repeats for a verdict, more repeats, or the limits of the best."""
        result = self.result
        judged = [table for table in ([result.overall] if result.overall else result.networks) if table.judgment]
        judgments = [table.judgment for table in judged if table.judgment]
        ranked = (
            table.raced[row.key] for table in result.networks if table.judgment for row in table.judgment.ranked
        )
        best = next((record for raced in ranked for record in raced.runs.values()), None)
        if best is None:
            return None
        diagnose, race = Call("diagnose", [best.path]), str(self.study.manifest["command"])
        again = partial(resume_command, self.study.path, race)
        if not any(table.better_than_chance for table in result.networks):
            return NextStep("says why nothing is learned", diagnose)
        if all(len(judgment.possible_best) < 2 for judgment in judgments):
            return NextStep("says what limits the best", diagnose)
        if any(judgment.improvable for judgment in judgments):
            larger: Any = {"budget" if race == "race" else "tune": 2 * result.budget}
            return NextStep("tries more rates", again(**larger))
        if not any(table.has_verdicts for table in judged):
            return NextStep("tunes and trains all in 3 repeats, which give a verdict", again(repeats=3))
        if closest := judgments[0].closest:
            effect = f"tunes and trains all in {plural(closest.more, 'more repeat')}"
            purpose = purpose_of_more(judgments[0])
            return NextStep(f"{effect}, to {purpose}", again(repeats=result.repeats + closest.more))
        return NextStep("says what limits the best", diagnose)


@dataclass(frozen=True, repr=False)
class LabRace(Answer):
    """The result of a race on test functions."""

    race: Race
    rules: Sequence[Rule]
    functions: Sequence[Objective]
    again: str
    """The command that finds the same."""
    settings: bool = False
    """True to show the tuned settings of every function."""
    judged: Sequence[ClaimResult] = ()

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
        yield settings_table(race, [row["rule"] for row in table], self.settings)
        if not self.settings:
            yield Hint("add --settings to see them for each function")
        if step := next_race(race, rules):
            yield step

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
        return Table(COLUMNS, standing_rows(self.race, self.rules), sentences, middle="ratio", look="verdict")

    def document(self) -> Mapping[str, Any]:
        step = next_race(self.race, self.rules)
        result = function_race.document(self.race, self.rules, self.functions)
        return {**result, "next_step": step and step.document()}

    def short(self) -> Iterable[str]:
        return self.may_be_best

    def chart(self) -> Chart:
        """The performance profile, and the cost after more and more tuning."""
        return race_chart(self.race)
