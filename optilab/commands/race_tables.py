"""What a race says, in tables and sentences: for the terminal, the pages and `--json`.

On functions the verdicts are those of `study.function_race.standings`, on trainings those of `study.judge`.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from optilab.call import Call, Command
from optilab.commands.comparison_tables import Units, more_advice
from optilab.optimize import Objective, Rule
from optilab.show.table import Column, interval_columns, interval_values
from optilab.study.comparison import looked_before
from optilab.study.function_race import ENOUGH_FUNCTIONS, Race, improvable, may_be_best, standings
from optilab.study.judge import Comparison, confidence_of, level_after
from optilab.study.network_race import NetworkResult, RacedCandidate, RaceResult
from optilab.study.search_space import tuned, untuned
from optilab.study.tuning import UNSOLVED, extra_knowledge, gradients_per_step
from optilab.words import listed, percent, plural, some

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
        low, high = row.interval or (None, None)
        interval = " to ".join(map(_ratio, row.interval)) if row.interval else "-"
        table.append(
            {**asdict(row), "marked": row.rule + marks[row.rule], "interval": interval, "low": low, "high": high}
        )
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
    best = standings(race)[0].rule
    found = [f"{rule} on {', '.join(names)}" for rule, names in race.at_end.items() if names and rule != best]
    text = "a better rate may lie beyond those that were tried, so verdicts count these functions as ties"
    return [f"{text}: {some(found, 4)}"] if found else []


def race_verdict_sentences(race: Race, advised: bool = True) -> list[str]:
    """The answer of a race on functions, which `study.function_race.standings` has decided, and what limits it.

    Nothing for a single optimizer; `advised`: with what would tell more.
    """
    table = standings(race)
    if not any(row.solved for row in table):
        return ["no optimizer solved any problem: try more --gradients or a larger --accuracy"]
    if len(table) < 2:
        return []
    possible = may_be_best(table)
    if len(possible) == 1:
        lines = [f"{possible[0]} is the best on functions like these"]
    else:
        larger = f"try more rates with --budget {2 * race.conditions.budget}" if improvable(table) else ""
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


def whole(result: RaceResult) -> tuple[list[Column], list[dict[str, Any]]]:
    """One table of all heats: its columns and rows."""
    table = [{"network": heat.problem, **row} for heat in result.networks for row in rows(heat)]
    return [Column("network", "network", left=True), *columns(None, result)], table


def notes(result: RaceResult) -> list[str]:
    """What the numbers are, and what they do not say."""
    again = min(result.budget, result.finalists)
    lines = [
        f"tuned on {plural(result.budget, 'setting')} of one space, one seed each"
        f"{f', the best {again} from a second one' if again > 1 else ''}, by the accuracy on held-out images; "
        f"judged on the test set, from {plural(result.seeds, 'new seed')}",
        "verdicts hold for all rows of a table at once; "
        + (
            "the luck of tuning is part of the intervals"
            if result.sample == "repeats"
            else "they hold for the settings that were chosen; the luck of tuning is in no interval"
            + (": --repeats N makes it part of them" if result.kinds[0] == "optimizer" else "")
        ),
        "near: percentage of the tried settings whose accuracy is within 1 percentage point "
        "of the best optimizer's"
        + ("; seconds: with several trainings at once" if any(map(_is_timed, result.networks)) else ""),
    ]
    if never := [f"{percent(heat.target)} on {heat.problem}" for heat in result.networks if not _is_timed(heat)]:
        lines.append(f"no epochs to the target, which no row reached from every seed: {some(never, 4)}")
    charged = dict.fromkeys(own.rule for heat in result.networks for own in heat.candidates if own.passes > 1)
    if charged:
        verb = "takes" if len(charged) == 1 else "take"
        lines.append(f"{some([*charged], 6)} {verb} two gradients per step, so each epoch counts as two")
    own = {one.rule: one for heat in result.networks for one in heat.candidates}
    lines += [
        note for name, one in own.items() for note in untuned(name, one.optimizer, set().union(*one.settings))
    ]
    if result.looks:
        lines.append(looked_before(result.looks))
    if result.edges:
        listed = some(result.edges, 4)
        lines.append(f"a better rate may lie beyond those that were tried: {listed}")
    lines += [
        f"not equal: {plural(n, 'trial')} of {rule} failed; the command tries {'it' if n == 1 else 'them'} again"
        for rule, n in result.failed.items()
    ]
    if result.overall is None and len(result.networks) > 1:
        lines.append("no table over all networks: one has no result on some of them")
    return lines


def _is_timed(heat: NetworkResult) -> bool:
    """Whether a row has epochs and seconds to the target."""
    return any(own.mean_epochs is not None for own in heat.candidates)


_EPOCHS = "the mean number of epochs until the accuracy on held-out images reaches this target"
_VERDICT = "cannot tell: the interval of the difference contains 0, or a better rate may lie beyond those tried"
_NEAR = "the fraction of the tried settings within 1 percentage point of the best optimizer: high is easy to tune"


def columns(heat: NetworkResult | None, result: RaceResult) -> list[Column]:
    """Those of one heat, or of the table of all heats."""
    to = "the target" if heat is None else percent(heat.target)
    return [
        Column("rule", result.kinds[0], left=True),
        Column(
            "n", "n", detail=2, plain=result.sample, about=f"the number of {result.sample} that were evaluated"
        ),
        Column("mean", "test_acc", _UNITS.value, about=f"the mean over the {result.sample}; higher is better"),
        *interval_columns("", _UNITS.interval, detail=4, about="the 95% interval of that mean by Student's t"),
        Column("difference", "against the best", _UNITS.difference, about="in percentage points"),
        *interval_columns(
            "difference_",
            _UNITS.differences,
            heading=f"{confidence_of(level_after(result.looks))} of difference",
            about="these intervals hold together",
        ),
        Column("epochs", f"epochs to {to}", "{:.1f}".format, detail=3, about=_EPOCHS),
        Column(
            "seconds",
            "seconds",
            "{:.0f}".format,
            detail=6,
            about="the time of those epochs, with several trainings at once",
        ),
        Column("near", "near", "{:.0%}".format, detail=5, plain="near the best", about=_NEAR),
        Column("verdict", "verdict", left=True, about=_VERDICT),
        Column("settings", "settings", left=True, detail=1, about="those that tuning chose"),
    ]


def overall_columns(comparison: Comparison[str]) -> list[Column]:
    """Those of the table over all networks."""
    return [
        Column("rule", "optimizer", left=True),
        Column("mean", "test_acc", _UNITS.value),
        Column("difference", "against the best", _UNITS.difference),
        Column("difference_interval", f"{comparison.confidence} of difference", _UNITS.differences),
        Column("verdict", "verdict", left=True),
    ]


def rows(heat: NetworkResult) -> list[dict[str, Any]]:
    """The values of a heat's table, best first."""
    if heat.comparison is None:
        return []
    by_rule = {runner.rule: runner for runner in heat.candidates}
    return [{**row, **_speed(by_rule[row["rule"]])} for row in judged_rows(heat.comparison)]


def judged_rows(comparison: Comparison[str]) -> list[dict[str, Any]]:
    """The outcomes and verdicts of rules as rows, best first."""
    table = []
    for own in comparison.ranked:
        summary, contrast = own.summary, own.difference
        row: dict[str, Any] = {"rule": own.key, "n": summary.n, "mean": summary.mean}
        row |= interval_values("", summary.interval) | {"verdict": own.verdict}
        if contrast:
            row |= {"difference": contrast.difference} | interval_values("difference_", contrast.interval)
        table.append(row)
    return table


def _speed(runner: RacedCandidate) -> dict[str, Any]:
    """Mean epochs and seconds to the target where every seed reached it, and what was chosen."""
    epochs = runner.mean_epochs
    seconds = None if epochs is None else sum(runner.seconds.values.values()) / len(runner.seconds.values)
    chosen = ["  ".join(f"{key} {_short(value)}" for key, value in own.items()) for own in runner.settings]
    settings = " | ".join(chosen) or "every setting diverged"
    return {"epochs": epochs, "seconds": seconds, "near": runner.near, "settings": settings}


def _short(value: Any) -> str:
    """Three digits; more for a number that they would make 1."""
    if isinstance(value, str):
        return value
    text = f"{value:.3g}"
    return f"{value:.6g}" if float(text) == 1 != value else text


def verdict_sentence(
    comparison: Comparison[str] | None, sample: str, larger: str, ignorant: bool = False, advised: bool = True
) -> str:
    """The answer of a race on trainings, which `study.judge` has decided, in one sentence.

    `ignorant`: no row is better than chance, which more of the sample would not change;
    `advised`: with how much more of the sample would say more, and `larger`, the option that tries more rates.
    """
    if comparison is None:
        return "no result"
    possible = comparison.possible_best
    advice = more_advice(comparison, sample) if advised and len(possible) > 1 else ""
    advice = "; no row is better than chance" if ignorant else advice
    if len(possible) == 1:
        return f"{possible[0]} is the best{advice}"
    if comparison.improvable and not ignorant:
        beyond = f"; a better rate of {listed(comparison.improvable)} may lie beyond those that were tried"
        advice = f"{beyond}, and {larger} tries more{advice}" if advised else beyond
    return f"cannot tell which is best: {', '.join(possible)}{advice}"


def answer_of(result: RaceResult, advised: bool = True) -> str:
    """The verdict over all networks, or where there is none, those of each."""
    if result.overall is not None:
        return overall_verdict(result)
    verdicts = {heat.problem: verdict_of(heat, result, advised) for heat in result.networks}
    return "; ".join(f"{name}: {text}" if len(verdicts) > 1 else text for name, text in verdicts.items())


def verdict_of(heat: NetworkResult, result: RaceResult, advised: bool = True) -> str:
    """The answer on one network."""
    return verdict_sentence(heat.comparison, result.sample, result.larger, bool(_ignorant([heat])), advised)


def overall_verdict(result: RaceResult) -> str:
    """The answer over all networks."""
    return verdict_sentence(result.overall, "networks", result.larger, bool(_ignorant(result.networks)))


def next_steps(result: RaceResult) -> list[Command]:
    """The commands that say why no row of a network is better than chance."""
    return [
        Command("  next: ", Call("diagnose", [path])) for heat in result.networks if (path := _ignorant([heat]))
    ]


def _ignorant(heats: Sequence[NetworkResult]) -> Path | None:
    """The first run of the best row where no row of any network is better than chance; else None."""
    if any(heat.learned for heat in heats):
        return None
    ranked = (heat.candidates[i] for heat in heats if heat.comparison for i in heat.comparison.order)
    return next((record.path for own in ranked for record in own.runs.values()), None)


def document(result: RaceResult) -> dict[str, Any]:
    """Everything that was found, as the tree of `--json`."""
    overall = result.overall
    return {
        "sample": result.sample,
        "failed": dict(result.failed),
        "networks": [
            {
                "network": heat.problem,
                "target": heat.target,
                "verdict": verdict_of(heat, result),
                "rules": [
                    {
                        **row,
                        "settings": own.settings,
                        "test_acc": {str(seed): value for seed, value in own.accuracy.values.items()},
                        "worst": {str(seed): why for seed, why in own.accuracy.worst.items()},
                        "best_of": own.best_of,
                        "runs": {str(seed): str(record.path) for seed, record in own.runs.items()},
                    }
                    for row in _values(rows(heat))
                    for own in heat.candidates
                    if own.rule == row["rule"]
                ],
            }
            for heat in result.networks
        ],
        "overall": overall and {"verdict": overall_verdict(result), "rules": _values(judged_rows(overall))},
    }


def _values(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the intervals of their text, whose ends are values of their own."""
    return [{key: value for key, value in row.items() if not key.endswith("interval")} for row in table]
