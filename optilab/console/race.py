"""`optilab race`: the plan, the standings with what they measure, and the tuned settings."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from time import monotonic
from typing import Any

from optilab.optimize.objective import Objective
from optilab.optimize.rule import Rule
from optilab.show import terminal
from optilab.show.progress import ProgressLine
from optilab.show.table import Column, write
from optilab.study.race import ENOUGH_FUNCTIONS, Race, may_be_best, standings
from optilab.study.tuning import UNSOLVED, Conditions, counted, extra_knowledge, gradients_per_step


def announce(rules: int, functions: int, conditions: Conditions) -> None:
    """What the race will cost, before it starts."""
    tunings = rules * functions * conditions.repeats
    gradients = tunings * conditions.budget * 2 * conditions.starts * conditions.gradients
    parts = [counted(rules, "rule"), counted(functions, "function"), counted(conditions.repeats, "repeat")]
    terminal.note(
        f"{counted(tunings, 'tuning')} ({' x '.join(parts)}) of {counted(conditions.budget, 'setting')} from "
        f"{counted(2 * conditions.starts, 'start')}: at most {counted(gradients, 'gradient')}"
    )


class RaceProgress:
    """A line that is overwritten on a terminal and in a notebook, with the time left; nothing in a pipe."""

    def __init__(self, silent: bool) -> None:
        self._shown = terminal.err.is_terminal and not silent
        self._line = ProgressLine() if terminal.err.is_jupyter and not silent else None
        self._start = monotonic()

    def __call__(self, done: int, total: int) -> None:
        left = (monotonic() - self._start) / done * (total - done)
        text = f"tuning {done} of {total}, {terminal.duration(left)} left "
        if self._shown:
            terminal.err.print(text, end="\r" if done < total else "\n")
        elif self._line is not None and done < total:
            self._line.draw(done / total, text)
        elif self._line is not None:
            self._line.close()


def show(race: Race, rules: Sequence[Rule], functions: Sequence[Objective], settings: bool, drawn: bool) -> None:
    """The standings; `settings` adds those of every rule on every function, `drawn` if a picture was written."""
    table = rows(race, rules)
    terminal.say(heading(race), style="bold")
    terminal.say()
    write("table", COLUMNS, table)
    terminal.say()
    for line in notes(race, rules, functions):
        terminal.say(line)
    terminal.say()
    for line in verdict(race):
        terminal.say(line)
    terminal.say()
    headings, values = settings_of(race, [row["rule"] for row in table], settings)
    left = (0, 1, 3) if settings else (0, 1)
    terminal.show(terminal.grid(headings, values, left=left))
    hints = [] if settings else ["per function: --settings"]
    hints += ["everything: --json", *([] if drawn else ["profile and tuning curves: --plot race.png"])]
    hints += ["as a page: --report race.html"]
    terminal.say("; ".join(hints))


COLUMNS = (
    Column("rule", "", only="values"),
    Column("marked", "rule", left=True, only="text"),
    Column("cost", "cost", "{:.1f}".format),
    Column("ratio", "x lowest", "{:.2f}".format),
    Column("interval", "95 %", only="text"),
    Column("low", "", only="values"),
    Column("high", "", only="values"),
    Column("p", "", only="values"),
    Column("solved", "solved", "{:.0%}".format),
    Column("verdict", "verdict", left=True),
)
"""Of the standings."""


def heading(race: Race) -> str:
    """What raced, and under which conditions."""
    counts = counted(len(race.rules), "rule"), counted(len(race.functions), "function")
    return f"{' on '.join(counts)}   {race.conditions}"


def rows(race: Race, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The standings as rows of the table; `marked` has a star where a rule uses more than gradients."""
    marks = {rule.name: "*" * bool(extra_knowledge(rule)) for rule in rules}
    table = []
    for row in standings(race):
        low, high = row.interval or (None, None)
        interval = f"{low:.2f} to {high:.2f}" if row.interval else "-"
        table.append(
            {**asdict(row), "marked": row.rule + marks[row.rule], "interval": interval, "low": low, "high": high}
        )
    return table


def notes(race: Race, rules: Sequence[Rule], functions: Sequence[Objective]) -> list[str]:
    """What the numbers are."""
    conditions = race.conditions
    problems, unsolved = counted(race.costs.shape[1], "problem"), UNSOLVED * conditions.gradients
    return [
        f"cost: gradients until f - f_min is {conditions.accuracy:g} of what it was, near a known minimum in the box; "
        f"geometric mean over {problems}, unsolved ones count as {unsolved}",
        "x lowest: intervals and verdicts hold for all rules at once, with the functions as the sample",
        *(note for rule in rules if (note := _extra(rule, functions))),
    ]


def verdict(race: Race) -> list[str]:
    """The answer, and what limits it; nothing of a single rule."""
    table = standings(race)
    if not any(row.solved for row in table):
        return ["no rule solved any problem: try more --epochs or a larger --accuracy"]
    if len(table) < 2:
        return []
    possible = may_be_best(table)
    if len(possible) == 1:
        lines = [f"{possible[0]} is the best on functions like these"]
    else:
        lines = [f"may be the best: {', '.join(possible)}; more functions would tell"]
    if len(race.functions) < ENOUGH_FUNCTIONS:
        lines.append(f"fewer than {ENOUGH_FUNCTIONS} functions can hardly tell rules apart")
    return lines


def _extra(rule: Rule, functions: Sequence[Objective]) -> str:
    """What a rule uses besides gradients, and what that is charged; empty for one that uses nothing else."""
    names = {
        "gradient_at": "a second gradient",
        "hessian": "the Hessian",
        "hessian_diagonal": "the Hessian's diagonal",
        "value": "f",
        "f_min": "f_min",
    }
    extra = [names[name] for name in extra_knowledge(rule)]
    prices = sorted({gradients_per_step(rule, function) for function in functions})
    charge = "at no charge" if prices == [1] else f"a step is charged {' or '.join(map(str, prices))} gradients"
    return f"* {rule.name} uses {' and '.join(extra)} besides the gradient; {charge}" if extra else ""


def settings_of(race: Race, order: Sequence[str], every: bool) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: medians and ranges per rule, or the setting of each function and repeat."""
    if every:
        return ["function", "rule", "repeat", "tuned settings"], [
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
    return ["rule", "tuned", "median", "over functions and repeats"], table


def _text(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in settings.items()) or "-"
