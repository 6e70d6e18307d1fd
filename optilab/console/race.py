"""`optilab race`: the plan, the standings with what they measure, and the tuned settings."""

from collections.abc import Sequence
from statistics import median
from time import monotonic

from optilab import console
from optilab.optimize.algorithms import Algorithm
from optilab.optimize.functions import TestFunction
from optilab.studies.race import ENOUGH_FUNCTIONS, Race, may_be_best, standings
from optilab.studies.tuning import UNSOLVED, Conditions, counted, extra_knowledge, gradients_per_step


def announce(rules: int, functions: int, conditions: Conditions) -> None:
    """What the race will cost, before it starts."""
    tunings = rules * functions * conditions.repeats
    gradients = tunings * conditions.budget * 2 * conditions.starts * conditions.gradients
    parts = [counted(rules, "rule"), counted(functions, "function"), counted(conditions.repeats, "repeat")]
    console.note(
        f"{counted(tunings, 'tuning')} ({' x '.join(parts)}) of {counted(conditions.budget, 'setting')} from "
        f"{counted(2 * conditions.starts, 'start')}: at most {counted(gradients, 'gradient')}"
    )


class RaceProgress:
    """A line that is overwritten on a terminal, with the time left; nothing in a pipe."""

    def __init__(self, silent: bool) -> None:
        self._shown = console.err.is_terminal and not silent
        self._start = monotonic()

    def __call__(self, done: int, total: int) -> None:
        if self._shown:
            left = (monotonic() - self._start) / done * (total - done)
            text = f"tuning {done} of {total}, {console.duration(left)} left "
            console.err.print(text, end="\r" if done < total else "\n")


def show(
    race: Race, rules: Sequence[Algorithm], functions: Sequence[TestFunction], settings: bool, drawn: bool
) -> None:
    """The standings; `settings` adds those of every rule on every function, `drawn` if a picture was written."""
    conditions, rows = race.conditions, standings(race)
    marks = {rule.name: "*" * bool(extra_knowledge(rule)) for rule in rules}
    console.say(
        f"{counted(len(race.rules), 'rule')} on {counted(len(race.functions), 'function')}   {conditions}",
        style="bold",
    )
    console.say()
    table = [
        [
            row.rule + marks[row.rule],
            f"{row.cost:.1f}",
            f"{row.ratio:.2f}",
            f"{row.interval[0]:.2f} to {row.interval[1]:.2f}" if row.interval else "-",
            f"{row.solved:.0%}",
            row.verdict,
        ]
        for row in rows
    ]
    console.show(console.grid(["rule", "cost", "x lowest", "95 %", "solved", "verdict"], table, left=(0, 5)))
    console.say()
    problems, unsolved = counted(race.costs.shape[1], "problem"), UNSOLVED * conditions.gradients
    console.say(
        f"cost: gradients until f - f_min is {conditions.accuracy:g} of what it was, near a known minimum in the box; "
        f"geometric mean over {problems}, unsolved ones count as {unsolved}"
    )
    console.say("x lowest: intervals and verdicts hold for all rules at once, with the functions as the sample")
    for rule in rules:
        _say_extra(rule, functions)
    console.say()
    if not any(row.solved for row in rows):
        console.say("no rule solved any problem: try more --epochs or a larger --accuracy")
    elif len(rows) > 1:
        possible = may_be_best(rows)
        if len(possible) == 1:
            console.say(f"{possible[0]} is the best on functions like these")
        else:
            console.say(f"may be the best: {', '.join(possible)}; more functions would tell")
        if len(race.functions) < ENOUGH_FUNCTIONS:
            console.say(f"fewer than {ENOUGH_FUNCTIONS} functions can hardly tell rules apart")
    console.say()
    _show_settings(race, [row.rule for row in rows], settings)
    hints = [] if settings else ["per function: --settings"]
    hints += ["everything: --json", *([] if drawn else ["profile and tuning curves: --plot race.png"])]
    console.say("; ".join(hints))


def _say_extra(rule: Algorithm, functions: Sequence[TestFunction]) -> None:
    """What a rule uses besides gradients, and what that is charged."""
    names = {"hessian": "the Hessian", "value": "f", "f_min": "f_min"}
    extra = [names[name] for name in extra_knowledge(rule)]
    prices = sorted({gradients_per_step(rule, function) for function in functions})
    charge = "at no charge" if prices == [1] else f"a step is charged {' or '.join(map(str, prices))} gradients"
    if extra:
        console.say(f"* {rule.name} uses {' and '.join(extra)} besides the gradient; {charge}")


def _show_settings(race: Race, order: Sequence[str], every: bool) -> None:
    """Medians and ranges per rule, or the setting of each function and repeat."""
    if every:
        rows = [
            [function, rule, str(tuning.repeat + 1), _text(tuning.settings)]
            for function in race.functions
            for rule in order
            for tuning in race.of(rule, function)
        ]
        console.show(console.grid(["function", "rule", "repeat", "tuned settings"], rows, left=(0, 1, 3)))
        return
    rows = []
    for rule in order:
        tunings = [tuning for function in race.functions for tuning in race.of(rule, function)]
        for name in tunings[0].settings:
            values = [tuning.settings[name] for tuning in tunings]
            rows.append([rule, name, f"{median(values):.4g}", f"{min(values):.4g} to {max(values):.4g}"])
    console.show(console.grid(["rule", "tuned", "median", "over functions and repeats"], rows, left=(0, 1)))


def _text(settings: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in settings.items()) or "-"
