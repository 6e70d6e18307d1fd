"""The report of a race on trainings: a table per training, curves of the judged trainings, speed and tuning."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from optilab.runs import Study
from optilab.show.table import Column, cell
from optilab.study.comparison import Comparison
from optilab.study.groups import Group, groups
from optilab.study.network_race import NetworkResult, RaceResult
from optilab.verbs import race as views
from optilab.verbs.race_page import RaceChart, profile_chart, tuning_chart
from optilab.verbs.report_page import PageTable, failed, page, places

SLOWEST = 20.0
"""Multiple of the fastest rule's epochs at which a profile ends."""


def network_race_page(result: RaceResult, study: Study, heading: str | None = None) -> bytes:
    """The page of a race on trainings, as UTF-8. DataError for a run whose tables are damaged."""
    several = len(result.networks) > 1
    chosen, looks, tables = list[Group](), list[int](), list[PageTable]()
    if result.overall is not None:
        verdict = views.verdict(result.overall, "networks")
        title = f"over all {len(result.networks)} networks, mean test accuracy"
        tables.append(_table(title, verdict, views.OVERALL, result, result.overall))
    for heat in result.networks:
        verdict = views.verdict(heat.comparison, result.sample)
        columns = [c for c in views.columns(heat, result.kinds[0]) if c.only != "values"]
        tables.append(_table(heat.problem if several else "", verdict, columns, result, heat.comparison, heat))
        for i in heat.comparison.order if heat.comparison else ():
            runner = heat.candidates[i]
            if not runner.runs:  # every setting diverged
                continue
            chosen.append(Group(f"{heat.problem}: {runner.rule}" if several else runner.rule, {}, runner.runs))
            looks.append(result.rules.index(runner.rule))
    races = [
        (heat.problem if several else "", _charts(heat, result.rules))
        for heat in result.networks
        if heat.candidates
    ]
    return page(
        chosen,
        groups([record for group in chosen for record in group.runs.values()]),
        [study],
        heading or f"Which {result.kinds[0]} is the best after the same tuning?",
        views.answer_of(result),
        tables,
        [*views.notes(result), *failed([study])],
        looks=looks,
        rules=result.rules,
        races=races,
    )


def _table(
    title: str,
    verdict: str,
    columns: Sequence[Column],
    result: RaceResult,
    comparison: Comparison[str] | None,
    heat: NetworkResult | None = None,
) -> PageTable:
    """A table of a terminal, each row with its mark, its interval as places of a picture, and its rule's colour."""
    if comparison is None:
        return PageTable(title, verdict, columns, [])
    rows = views.rows(heat) if heat else views.judged(comparison)
    drawn = places(comparison, share=True)
    marks = {"cannot tell": "near", "worse": "worse"}
    found: list[dict[str, Any]] = [
        {
            "cells": [cell(column, row) for column in columns],
            "mark": marks.get(row["verdict"], "best"),
            "place": drawn.get(i),
            "look": result.rules.index(row["rule"]),
        }
        for i, row in zip(comparison.order, rows, strict=True)
    ]
    return PageTable(title, verdict, columns, found)


def _charts(heat: NetworkResult, rules: Sequence[str]) -> list[RaceChart]:
    """Tuning curves, and the profile of the epochs to the target where any seed has reached it."""
    by_rule = {runner.rule: number for number, runner in enumerate(heat.candidates)}
    numbers = [by_rule.get(rule) for rule in rules]
    best_of = [[] if i is None else heat.candidates[i].best_of for i in numbers]
    charts = [tuning_chart("validation accuracy to expect of the best setting tried", best_of, share=True)]
    if np.isfinite(times := heat.times).any():
        title = f"share of the seeds that reach {100 * heat.target:.1f} %"
        chart = profile_chart(title, "epochs, as a multiple of the fastest rule's", times, SLOWEST)
        charts.append(chart.of([None if i is None else i for i in numbers]))
    return charts
