"""What a race says, in tables and sentences: for the terminal, the pages and `--json`.

All verdicts are those of `study.judge`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from optilab.call import Call, Command
from optilab.commands.comparison_tables import Units, more_advice
from optilab.optimize import Objective, Rule
from optilab.show.table import Column, interval_columns, interval_values
from optilab.study.comparison import looked_before
from optilab.study.function_race import ENOUGH_FUNCTIONS, Race, standings
from optilab.study.judge import confidence_of, level_after
from optilab.study.network_race import Raced, RaceResult, RaceTable
from optilab.study.search_space import tuned, untuned
from optilab.study.tuning import UNSOLVED, extra_knowledge, gradients_per_step
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
    ),
    Column(
        "ratio",
        "x lowest",
        "{:.2f}".format,
        plain="times the lowest",
        about="the cost over that of the cheapest optimizer",
    ),
    Column(
        "interval",
        "95%",
        only="text",
        plain="95% interval",
        about="of that ratio; all hold together, with the functions as a random sample",
    ),
    Column("low", "", only="values"),
    Column("high", "", only="values"),
    Column("p", "", only="values"),
    Column("solved", "solved", "{:.0%}".format, plain="problems solved", about="the fraction of the problems"),
    Column("verdict", "verdict", left=True, about="worse: the interval of the ratio is above 1, also with ties"),
)
"""For the standings."""


def heading(race: Race) -> str:
    """What raced, and under which conditions."""
    counts = plural(len(race.rules), "optimizer"), plural(len(race.functions), "function")
    return f"{' on '.join(counts)}   {race.conditions}"


def standing_rows(race: Race, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The standings as rows of the table; `marked` has a star where a rule uses more than gradients."""
    marks = {rule.name: "*" * bool(extra_knowledge(rule)) for rule in rules}
    table = []
    for row in standings(race):
        low, high = row["interval"] or (None, None)
        interval = " to ".join(map(_ratio, row["interval"])) if row["interval"] else "-"
        marked = row["rule"] + marks[row["rule"]]
        table.append({**row, "marked": marked, "interval": interval, "low": low, "high": high})
    return table


def _ratio(value: float) -> str:
    """An end of a ratio: with more digits where two would say 1.00, which is no difference."""
    return f"{value:.3g}" if value >= 1e4 else f"{value:.{4 if abs(value - 1) < 0.005 else 2}f}"


def race_notes(race: Race, rules: Sequence[Rule], functions: Sequence[Objective]) -> list[str]:
    """What the numbers are."""
    conditions = race.conditions
    problems, unsolved = plural(race.costs.shape[1], "problem"), UNSOLVED * conditions.gradients
    return [
        f"cost: gradient evaluations until f - f_min falls to {conditions.accuracy:g} of its "
        "initial value near a known minimum inside the search box; "
        f"geometric mean over {problems}, an unsolved problem counts as {unsolved}",
        "x lowest: cost relative to the cheapest optimizer; the 95% intervals and verdicts "
        "hold for all optimizers at once, with the functions as a random sample",
        *(note for rule in rules if (note := _extra(rule, functions))),
        *(note for rule in rules for note in untuned(rule.name, vars(rule), tuned(rule))),
        *_ends(race),
    ]


def _ends(race: Race) -> list[str]:
    """Where a better rate of a rule that may be worse lies beyond those that were tried; nothing without one."""
    best = race.comparison.ranked[0].key
    beyond = [f"{rule} on {', '.join(names)}" for rule, names in race.at_end.items() if names and rule != best]
    text = "a better rate may lie beyond those that were tried, so verdicts count these functions as ties"
    return [f"{text}: {some(beyond, 4)}"] if beyond else []


def race_verdict_sentences(race: Race, advised: bool = True) -> list[str]:
    """The answer of a race on functions, which `study.judge` has decided, and what limits it.

    Nothing for a single optimizer; `advised`: with what would tell more.
    """
    possible, beyond = race.comparison.possible_best, race.comparison.improvable
    if not np.isfinite(race.costs).any():
        return ["no optimizer solved any problem: try more --gradients or a larger --accuracy"]
    if len(race.rules) < 2:
        return []
    if len(possible) == 1:
        lines = [f"{possible[0]} is the best on functions like these"]
    else:
        larger = f"try more rates with --budget {2 * race.conditions.budget}" if beyond else ""
        advice = f"; {larger or 'race on more functions to separate them'}" if advised else ""
        lines = [f"may be the best: {', '.join(possible)}{advice}"]
    if len(race.functions) < ENOUGH_FUNCTIONS:
        lines.append(f"fewer than {ENOUGH_FUNCTIONS} functions can hardly tell optimizers apart")
    return lines


def _extra(rule: Rule, functions: Sequence[Objective]) -> str:
    """What a rule uses besides gradients, and what that is charged; empty for one that uses nothing else."""
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


def settings_of(race: Race, order: Sequence[str], every: bool) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: medians and ranges per rule, or the setting of each function and repeat."""
    if every:
        return ["function", "optimizer", "repeat", "tuned settings"], [
            [function, rule, str(tuning.repeat + 1), _text(tuning.settings)]
            for function in race.functions
            for rule in order
            for tuning in race.of(rule, function)
        ]
    table = []
    for rule in order:
        tunings = [tuning for function in race.functions for tuning in race.of(rule, function)]
        for name in tunings[0].settings:
            values = [tuning.settings[name] for tuning in tunings]
            table.append([rule, name, f"{median(values):.4g}", f"{min(values):.4g} to {max(values):.4g}"])
    return ["optimizer", "tuned", "median", "over functions and repeats"], table


def _text(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in settings.items()) or "-"


# --- on trainings -------------------------------------------------------------------------------------------

_UNITS = Units(share=True)
_VERDICT = "cannot tell: the interval of the difference contains 0, or a better rate may lie beyond those tried"


def whole(result: RaceResult) -> tuple[list[Column], list[dict[str, Any]]]:
    """One table of all networks: its columns and rows."""
    values = [{"network": table.network, **row} for table in result.networks for row in rows(table)]
    return [Column("network", "network", left=True), *columns(result)], values


def notes(result: RaceResult) -> list[str]:
    """What the numbers are, and what they do not say."""
    again = min(result.budget, result.finalists)
    lines = [
        f"tuned on {plural(result.budget, 'setting')} of one space, one seed each"
        f"{f', the best {again} from a second one' if again > 1 else ''}, by the accuracy on held-out images; "
        f"judged on the test set, from {plural(result.seeds, 'new seed')}"
    ]
    if result.repeats > 1:
        lines.append("verdicts hold for all rows of a table at once; the luck of tuning is part of the intervals")
    raced = {rule: on_network for table in result.networks for rule, on_network in table.raced.items()}
    for rule, last in raced.items():
        lines += untuned(rule, last.optimizer, {key for settings in last.settings for key in settings})
    if result.looks:
        lines.append(looked_before(result.looks))
    edges = [
        f"{f'{table.network}, ' * (len(result.networks) > 1)}{rule}: {edge}"
        for table in result.networks
        for rule, raced_rule in table.raced.items()
        for edge in raced_rule.edges.values()
    ]
    if edges:
        lines.append(f"a better rate may lie beyond those that were tried: {some(edges, 4)}")
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


def columns(result: RaceResult, sample: str = "repeats") -> list[Column]:
    """Those of a table of that sample; without verdicts where there is one repeat."""
    judged = sample == "networks" or result.repeats > 1
    level = confidence_of(level_after(result.looks))
    shown = [
        Column("rule", result.kinds[0], left=True),
        Column("n", "n", detail=2, plain=sample, about=f"the number of {sample} that were evaluated"),
        Column("mean", "test_acc", _UNITS.value, about=f"the mean over the {sample}; higher is better"),
        *interval_columns("", _UNITS.interval, detail=4, about="the 95% interval of that mean by Student's t"),
        Column("difference", "against the best", _UNITS.difference, about="in percentage points"),
        *interval_columns(
            "difference_",
            _UNITS.differences,
            heading=f"{level} of difference",
            about="these intervals hold together",
        ),
        Column("verdict", "verdict", left=True, only="" if judged else "values", about=_VERDICT),
        Column("settings", "settings", left=True, detail=1, about="those that tuning chose"),
    ]
    return [column for column in shown if judged or column.only != "text"]


def rows(table: RaceTable) -> list[dict[str, Any]]:
    """The values of a table, best first; verdicts are None where there are none."""
    values = []
    for judged in table.comparison.ranked if table.comparison else ():
        summary, contrast = judged.summary, judged.difference
        row: dict[str, Any] = {"rule": judged.key, "n": summary.n, "mean": summary.mean}
        row |= interval_values("", summary.interval) | {"verdict": judged.verdict if table.has_verdicts else None}
        if contrast:
            row |= {"difference": contrast.difference} | interval_values("difference_", contrast.interval)
        if table.network:
            row["settings"] = _chosen(table.raced[judged.key])
        values.append(row)
    return values


def _chosen(raced: Raced) -> str:
    """The settings of each repeat."""
    texts = ["  ".join(f"{key} {_short(value)}" for key, value in chosen.items()) for chosen in raced.settings]
    return " | ".join(texts) or "every setting diverged"


def _short(value: Any) -> str:
    """Three digits; more for a number that they would make 1."""
    if isinstance(value, str):
        return value
    text = f"{value:.3g}"
    return f"{value:.6g}" if float(text) == 1 != value else text


def answer_of(result: RaceResult, advised: bool = True) -> str:
    """The verdict over all networks, or where there is none, those of each."""
    if result.overall is not None:
        return verdict_of(result.overall, result)
    verdicts = {table.network: verdict_of(table, result, advised) for table in result.networks}
    return "; ".join(f"{name}: {text}" if len(verdicts) > 1 else text for name, text in verdicts.items())


def verdict_of(table: RaceTable, result: RaceResult, advised: bool = True) -> str:
    """The answer of a table, which `study.judge` has decided, in one sentence.

    `advised`: with how many more repeats or networks would say more, and the option that tries more rates.
    """
    comparison, ignorant = table.comparison, _ignorant(table, result) is not None
    if comparison is None:
        return "no result"
    chance = "; no row is better than chance" * ignorant
    if not table.has_verdicts:
        return f"no verdict from one repeat: the repeats are the sample, and --repeats 3 would judge{chance}"
    possible = comparison.possible_best
    if len(possible) == 1:
        return f"{possible[0]} is the best{chance}"
    advice = chance or (more_advice(comparison, table.sample) if advised else "")
    if comparison.improvable and not ignorant:
        beyond = f"; a better rate of {listed(comparison.improvable)} may lie beyond those that were tried"
        advice = f"{beyond}, and {result.larger} tries more{advice}" if advised else beyond
    return f"cannot tell which is best: {', '.join(possible)}{advice}"


def next_steps(result: RaceResult) -> list[Command]:
    """The commands that say why no row of a network is better than chance."""
    paths = [_ignorant(table, result) for table in result.networks]
    return [Command("  next: ", Call("diagnose", [path])) for path in paths if path]


def _ignorant(table: RaceTable, result: RaceResult) -> Path | None:
    """The first run of the best row where no row is better than chance; else None."""
    tables = [table] if table.network else result.networks
    if any(shown.learned for shown in tables):
        return None
    ranked = (t.raced[row.key] for t in tables if t.comparison for row in t.comparison.ranked)
    return next((record.path for raced in ranked for record in raced.runs.values()), None)


def document(result: RaceResult) -> dict[str, Any]:
    """The result as the tree of `--json`."""
    return {
        "sample": "repeats",
        "failed": dict(failed(result)),
        "networks": [{"network": table.network, **_verdicts(table, result)} for table in result.networks],
        "overall": result.overall and _verdicts(result.overall, result),
    }


def _verdicts(table: RaceTable, result: RaceResult) -> dict[str, Any]:
    """A table without the intervals of its text, whose ends are values themselves."""
    rules = []
    for row in rows(table):
        values = {key: value for key, value in row.items() if not key.endswith("interval")}
        rules.append(values | (_outcomes(table.raced[row["rule"]]) if table.network else {}))
    silent = table.comparison is not None and not table.has_verdicts
    return {"verdict": None if silent else verdict_of(table, result), "rules": rules}


def _outcomes(raced: Raced) -> dict[str, Any]:
    """The settings per repeat, and by seed the accuracies and the runs."""
    return {
        "settings": raced.settings,
        "test_acc": {str(seed): value for seed, value in raced.accuracy.values.items()},
        "worst": {str(seed): why for seed, why in raced.accuracy.worst.items()},
        "runs": {str(seed): str(record.path) for seed, record in raced.runs.items()},
    }
