"""The report of a race on trainings: a table per training, and the curves of the judged trainings."""

from collections.abc import Sequence
from typing import Any

from optilab.commands import race_tables as views
from optilab.commands.comparison_page import PageTable, answer_first, failed, grown, page, places, typeset
from optilab.commands.comparison_tables import Units
from optilab.errors import shell
from optilab.runs import Study
from optilab.show.table import cell
from optilab.study.groups import Group, groups
from optilab.study.network_race import RaceResult, RaceTable


def network_race_page(result: RaceResult, study: Study, heading: str | None = None) -> bytes:
    """The page of a race on trainings, as UTF-8. DataError for a run whose tables are damaged."""
    several = len(result.networks) > 1
    chosen, looks = list[Group](), list[int]()
    for table in result.networks:
        for row in table.comparison.ranked if table.comparison else ():
            if trained := table.raced[row.key].runs:  # none where every setting diverged
                label = f"{table.network}: {row.key}" if several else row.key
                chosen.append(Group(label, {}, dict(trained)))
                looks.append(result.rules.index(row.key))
    return page(
        chosen,
        groups([record for group in chosen for record in group.runs.values()]),
        [study],
        heading or f"Which {result.kinds[0]} is the best after the same tuning?",
        _answer(result),
        [_table(table, result) for table in [*([result.overall] if result.overall else []), *result.networks]],
        [*views.notes(result), *failed([study])],
        looks=looks,
        tested=True,
        decide=_more(study, result) or _best_run(study, chosen),
    )


def _more(study: Study, result: RaceResult) -> tuple[str, str] | None:
    """How to train with more repeats or more rates, where several may be the best."""
    tables = [result.overall] if result.overall else result.networks
    judged = [table.comparison for table in tables if table.comparison]
    if not any(len(comparison.possible_best) > 1 for comparison in judged):
        return None
    command = shell(study.manifest["command"], "--resume", study.name)
    if any(comparison.improvable for comparison in judged):
        return "To try more rates:", f"{command} {result.larger}"
    if not any(table.has_verdicts for table in tables):
        return "To judge, tune and train all in 3 repeats:", f"{command} --repeats 3"
    return grown(study, result.repeats, judged[0] if len(result.networks) == 1 else None, "repeats")


def _best_run(study: Study, chosen: Sequence[Group]) -> tuple[str, str] | None:
    """How to look into the first run of the best row."""
    if not chosen:
        return None
    run = next(iter(chosen[0].runs.values()))
    return "To see what limits the best:", shell("diagnose", f"{study.name}/{run.name}")


def _answer(result: RaceResult) -> tuple[str, str]:
    """The highest accuracy on a single network, with its interval, before the verdict."""
    comparison = result.networks[0].comparison if len(result.networks) == 1 else None
    if comparison is None:
        return views.answer_of(result), ""
    row, show = comparison.ranked[0], Units(share=True)
    interval = f" (95% interval {show.interval(row.summary.interval)})" if row.summary.interval else ""
    answer = views.answer_of(result, advised=False)
    return f"{row.key} has the highest test accuracy: {show.value(row.summary.mean)}{interval}", f"; {answer}"


def _table(table: RaceTable, result: RaceResult) -> PageTable:
    """A table of a terminal, each row with its mark, its interval as places of a picture, and its rule's color."""
    title = table.network if len(result.networks) > 1 else ""
    title = title if table.network else f"over all {len(result.networks)} networks, mean test accuracy"
    verdict, rows = views.verdict_of(table, result), views.rows(table)
    columns = [column for column in views.columns(result, table.sample) if column.only != "values"]
    if table.comparison is None:
        return PageTable(title, verdict, columns, [])
    columns = answer_first([column for column in columns if any(row.get(column.key) is not None for row in rows)])
    drawn, scale = places(table.comparison, share=True)
    cells: list[dict[str, Any]] = [
        {
            "cells": [typeset(cell(column, row)) for column in columns],
            "mark": "best" if number == 0 else "worse" if row["verdict"] == "worse" else "near",
            "place": drawn.get(i),
            "look": result.rules.index(row["rule"]),
        }
        for number, (i, row) in enumerate(zip(table.comparison.order, rows, strict=True))
    ]
    return PageTable(title, verdict, columns, cells, scale)
