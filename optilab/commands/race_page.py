"""The report of a race on test functions as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import exp, log
from typing import Any

import numpy as np

from optilab.commands import race_tables as views
from optilab.commands.charts.races import race_chart
from optilab.commands.comparison_page import PageTable, answer_first, capitalized, typeset, without_headings
from optilab.commands.settings_page import SHADES, Cell, HeatMap
from optilab.errors import shell
from optilab.optimize.functions import OBJECTIVES
from optilab.optimize.objective import Objective, minima_inside
from optilab.optimize.rule import RULES, Rule
from optilab.show import chart_page
from optilab.show.page import asset, render
from optilab.show.table import cell
from optilab.study import search_space
from optilab.study.function_race import Race, standings
from optilab.study.tuning import RaceSettings
from optilab.words import plural

WORST = 20.0
"""A rule that costs this many times the lowest cost on a function has the palest cell there."""


def race_page(
    result: Race,
    rules: Sequence[Rule],
    functions: Sequence[Objective],
    origin: Mapping[str, Any],
    heading: str | None = None,
) -> bytes:
    """The page of a race on test functions, as UTF-8; `origin` is the provenance, with the command that was typed."""
    rows = standings(result)
    names = [row["rule"] for row in rows]
    conditions = result.conditions
    charts = [chart_page.curves(panel, names) for panel in race_chart(result).panels]
    question = heading or f"Which of {plural(len(names), 'optimizer')} is the best after the same tuning?"
    decide = _decide(result)
    said = views.race_verdict_sentences(result, advised=decide is None)
    if rows[0]["solved"]:
        said = [
            f"{names[0]} has the lowest cost: {rows[0]['cost']:.1f} gradients",
            *(f"{row['rule']} {row['ratio']:.2f} times that" for row in rows[1:3]),
            *said,
        ]
    facts = [
        ("optimizers", str(len(names))),
        ("functions", str(len(result.functions))),
        ("settings tried", f"{conditions.budget:,} per optimizer, function and repeat"),
        ("starts", f"{conditions.starts:,} to tune on, {conditions.starts:,} others to judge on"),
        ("repeats", f"{conditions.repeats:,}"),
        ("at most", plural(conditions.gradients, "gradient")),
    ]
    return render(
        "race.html",
        {"rules": names, "charts": charts},
        [asset(name) for name in ("base.js", "uplot.js", "chart.js", "parts.js", "race.js")],
        [asset("uplot.css"), asset("report.css")],
        title=question,
        question=question,
        answer=capitalized(said[0], "".join(f"; {one}" for one in said[1:])),
        facts=facts,
        decide=decide,
        results=_results(views.standing_rows(result, rules), rows),
        notes=without_headings(views.race_notes(result, rules, functions), views.COLUMNS),
        tables=[chart_page.table(chart, names) for chart in charts],
        map=_costs(result, names),
        chosen=[views.settings_of(result, names, every) for every in (False, True)],
        space=[(function.name, _space(function, rules)) for function in functions],
        conditions=[*asdict(conditions).items(), *((f"versions.{k}", v) for k, v in origin["versions"].items())],
        command=shell(*origin["argv"][1:]),
    )


def _decide(result: Race) -> tuple[str, str] | None:
    """How to race those that may be the best on functions that say something new; nothing where there are none."""
    possible, beyond = result.comparison.possible_best, result.comparison.improvable
    others = [
        name
        for name, own in OBJECTIVES.items()
        if name not in (*result.functions, "expression") and minima_inside(own())
    ]
    if len(possible) < 2 or not (others or beyond) or not set(possible) <= RULES.keys():
        return None
    usual, now = asdict(RaceSettings()), asdict(result.conditions)
    now, others = (now | {"budget": 2 * now["budget"]}, result.functions) if beyond else (now, others)
    changed = [f" --{name} {value}" for name, value in now.items() if value != usual[name]]
    command = f"optilab race --algo {','.join(possible)} --function {','.join(others)}{''.join(changed)}"
    if beyond:
        return f"To try more rates of the {len(possible)} that may be the best:", command
    return (
        f"To decide, race the {len(possible)} that may be the best on the {len(others)} other functions:",
        command,
    )


def _results(table: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> PageTable:
    """The table of standings: as in a terminal, each row with its mark and its interval as places of a picture."""
    shown = answer_first([column for column in views.COLUMNS if column.only != "values"])
    ends = [tuple(map(log, (row["ratio"], *(row["interval"] or (row["ratio"],) * 2)))) for row in rows]
    low, high = min(end for own in ends for end in own), max(end for own in ends for end in own)
    span = high - low or 1.0
    marks = {"worse": "worse", "best": "best", "cannot tell": "near"}
    found = [
        {
            "cells": [typeset(cell(column, row)) for column in shown],
            "mark": "best" if number == 0 else marks[row["verdict"]],
            "place": [round(100 * (end - low) / span, 2) for end in (ends[number][1], *ends[number][::2])]
            if len(rows) > 1
            else None,
            "look": number,
        }
        for number, row in enumerate(table)
    ]
    return PageTable("", "", shown, found, (f"{exp(low):.2f}", f"{exp(high):.2f}"))


def _costs(result: Race, names: Sequence[str]) -> HeatMap:
    """The cost of every rule on every function: a row per function, the lowest cost marked."""
    costs = np.exp(result.log_costs)
    rows = []
    for column, function in enumerate(result.functions):
        best = float(costs[:, column].min())
        cells = []
        for name in names:
            cost = float(costs[result.rules.index(name), column])
            shade = round(SHADES * max(0.0, 1 - log(cost / best) / log(WORST)))
            label = f"{name} on {function}: {cost:.1f} gradients, {cost / best:.2f} times the lowest"
            cells.append(Cell(f"{cost:.1f}", shade, "best" if cost == best else "", label))
        rows.append((function, tuple(cells)))
    key = (f"{WORST:g} times the lowest cost of the row", "the lowest")
    return HeatMap("", "function", "optimizer", tuple(rows), tuple(names), key)


def _space(function: Objective, rules: Sequence[Rule]) -> str:
    """The distributions of what these rules are tuned in."""
    draws = search_space.space(function)
    words = {"LogUniform": "log-uniform", "OneMinus": "1 minus log-uniform", "Uniform": "uniform"}
    fields = dict.fromkeys(name for rule in rules for name in search_space.tuned(rule))
    return "; ".join(
        f"{name} {words[type(draw).__name__]} {draw.low:.4g} to {draw.high:.4g}"
        for name in fields
        for draw in [search_space.drawn(name, draws)]
    )
