"""The report of a race on trainings: a table per training, curves of the judged trainings, speed and tuning."""

from collections.abc import Sequence
from typing import Any

from optilab.commands import race_tables as views
from optilab.commands.charts.races import network_race_chart
from optilab.commands.comparison_page import (
    PageTable,
    answer_first,
    failed,
    grown,
    page,
    places,
    typeset,
    without_headings,
)
from optilab.commands.comparison_tables import Units
from optilab.errors import shell
from optilab.runs import Study
from optilab.show.table import Column, cell
from optilab.study.groups import Group, groups
from optilab.study.judge import Comparison
from optilab.study.network_race import NetworkResult, RaceResult


def network_race_page(result: RaceResult, study: Study, heading: str | None = None) -> bytes:
    """The page of a race on trainings, as UTF-8. DataError for a run whose tables are damaged."""
    several = len(result.networks) > 1
    chosen, looks, tables = list[Group](), list[int](), list[PageTable]()
    if result.overall is not None:
        verdict = views.overall_verdict(result)
        title = f"over all {len(result.networks)} networks, mean test accuracy"
        tables.append(_table(title, verdict, views.overall_columns(result.overall), result, result.overall))
    for heat in result.networks:
        verdict = views.verdict_of(heat, result)
        columns = [c for c in views.columns(heat, result) if c.only != "values"]
        tables.append(_table(heat.problem if several else "", verdict, columns, result, heat.comparison, heat))
        for i in heat.comparison.order if heat.comparison else ():
            runner = heat.candidates[i]
            if not runner.runs:  # every setting diverged
                continue
            chosen.append(Group(f"{heat.problem}: {runner.rule}" if several else runner.rule, {}, runner.runs))
            looks.append(result.rules.index(runner.rule))
    raced = [heat.problem if several else "" for heat in result.networks if heat.candidates]
    rows = network_race_chart(result).rows if raced else ()
    charts = [[panel for panel in row.panels[1:] if panel.marks] for row in rows]  # the judged curves follow below
    return page(
        chosen,
        groups([record for group in chosen for record in group.runs.values()]),
        [study],
        heading or f"Which {result.kinds[0]} is the best after the same tuning?",
        _answer(result),
        tables,
        [*without_headings(views.notes(result), views.columns(None, result)), *failed([study])],
        looks=looks,
        rules=result.rules,
        races=list(zip(raced, charts, strict=True)),
        decide=_more(study, result) if _is_open(result) else _best_run(study, chosen),
    )


def _more(study: Study, result: RaceResult) -> tuple[str, str]:
    """How to train with more of what the verdicts generalize over, or with more rates."""
    comparison = result.networks[0].comparison if len(result.networks) == 1 else None
    if any(own.improvable for own in _judged(result)):
        command = f"{shell(study.manifest['command'], '--resume', study.name)} {result.larger}"
        return "To try more rates:", command
    if result.sample == "seeds":
        return grown(study, result.seeds, comparison)
    repeats = max(len(own.settings) for heat in result.networks for own in heat.candidates)
    return grown(study, repeats, comparison, "repeats")


def _best_run(study: Study, chosen: Sequence[Group]) -> tuple[str, str] | None:
    """How to look into the first run of the best row."""
    if not chosen:
        return None
    run = next(iter(chosen[0].runs))
    return (
        "To see what limits the best:",
        shell("diagnose", f"{study.name}/{chosen[0].runs[run].name}"),
    )


def _is_open(result: RaceResult) -> bool:
    """Whether a verdict leaves several that may be the best."""
    return any(len(comparison.possible_best) > 1 for comparison in _judged(result))


def _judged(result: RaceResult) -> list[Comparison[str]]:
    """The comparison over all networks, or where there is none, those of each."""
    found = [heat.comparison for heat in result.networks] if result.overall is None else [result.overall]
    return [comparison for comparison in found if comparison]


def _answer(result: RaceResult) -> tuple[str, str]:
    """The highest accuracy on a single network, with its interval, before the verdict."""
    comparison = result.networks[0].comparison if len(result.networks) == 1 else None
    if comparison is None or not comparison.ranked:
        return views.answer_of(result), ""
    row, show = comparison.ranked[0], Units(share=True)
    interval = f" (95% interval {show.interval(row.summary.interval)})" if row.summary.interval else ""
    said = views.answer_of(result, advised=False)
    return f"{row.key} has the highest test accuracy: {show.value(row.summary.mean)}{interval}", f"; {said}"


def _table(
    title: str,
    verdict: str,
    columns: Sequence[Column],
    result: RaceResult,
    comparison: Comparison[str] | None,
    heat: NetworkResult | None = None,
) -> PageTable:
    """A table of a terminal, each row with its mark, its interval as places of a picture, and its rule's color."""
    if comparison is None:
        return PageTable(title, verdict, columns, [])
    rows = views.rows(heat) if heat else views.judged_rows(comparison)
    columns = answer_first([own for own in columns if any(row.get(own.key) is not None for row in rows)])
    drawn, scale = places(comparison, share=True)
    found: list[dict[str, Any]] = [
        {
            "cells": [typeset(cell(column, row)) for column in columns],
            "mark": "best" if number == 0 else "near" if row["verdict"] == "cannot tell" else row["verdict"],
            "place": drawn.get(i),
            "look": result.rules.index(row["rule"]),
        }
        for number, (i, row) in enumerate(zip(comparison.order, rows, strict=True))
    ]
    return PageTable(title, verdict, columns, found, scale)
