"""`optilab race --on`: a table per training, one over all of them, the settings, and what holds."""

from typing import Any

from optilab.console.compare import Units
from optilab.show import terminal
from optilab.show.table import Column, write
from optilab.study.comparison import Comparison
from optilab.study.network_race import NetworkRace
from optilab.study.race_results import NetworkResult, RacedCandidate, RaceResult

_UNITS = Units(share=True)


def show(planned: NetworkRace, result: RaceResult, format: str) -> None:
    """All tables; in other formats than `table` only that of all heats."""
    if format != "table":
        write(format, *whole(result))
        return
    terminal.say(planned.shape, style="bold")
    for heat in result.networks:
        config = planned.problems[heat.problem]
        terminal.say()
        terminal.say(f"{heat.problem}   {config.epochs} epochs", style="bold")
        if not heat.candidates:
            terminal.say("no rule has a judged training")
            continue
        write("table", columns(heat, result.kinds[0]), rows(heat))
        terminal.say(f"verdict: {_verdict(heat, result)}", style="bold")
    if result.overall is not None:
        terminal.say()
        terminal.say(f"over all {len(result.networks)} networks, mean test accuracy", style="bold")
        write("table", OVERALL, judged(result.overall))
        terminal.say(f"verdict: {verdict(result.overall, 'networks')}", style="bold")
    terminal.say()
    for line in notes(result):
        terminal.say(line)


def whole(result: RaceResult) -> tuple[list[Column], list[dict[str, Any]]]:
    """One table of all heats: its columns and rows."""
    table = [{"network": heat.problem, **row} for heat in result.networks for row in rows(heat)]
    return [Column("network", "network", left=True), *columns(None, result.kinds[0])], table


def notes(result: RaceResult) -> list[str]:
    """What the numbers are, and what they do not say."""
    lines = [
        f"tuned on {result.budget} settings of one space, one seed each, by the accuracy on held-out training images; "
        f"judged on the test set, from {result.seeds} new seed{'s' * (result.seeds > 1)}",
        "verdicts hold for all rows of a table at once; "
        + (
            "the luck of tuning is part of the intervals"
            if result.sample == "repeats"
            else "they hold for the settings that were chosen; the luck of tuning is in no interval"
            + (": --repeats N makes it part of them" if result.kinds[0] == "rule" else "")
        ),
        f"near: share of the settings within a point of the best of all {result.kinds[1]}; seconds: with several "
        "trainings at once",
    ]
    lines += [
        f"not equal: {n} trials of {rule} failed; the command tries them again"
        for rule, n in result.failed.items()
    ]
    if result.overall is None and len(result.networks) > 1:
        lines.append("no table over all networks: one has no result on some of them")
    return lines


def columns(heat: NetworkResult | None, kind: str) -> list[Column]:
    to = "the target" if heat is None else f"{100 * heat.target:.1f} %"
    return [
        Column("rule", kind, left=True),
        Column("n", "n", detail=2),
        Column("mean", "test_acc", _UNITS.value),
        Column("interval", "95 %", _UNITS.interval, only="text", detail=4),
        Column("low", "", only="values"),
        Column("high", "", only="values"),
        Column("difference", "against the best", _UNITS.difference),
        Column("difference_interval", "95 %", _UNITS.differences, only="text"),
        Column("difference_low", "", only="values"),
        Column("difference_high", "", only="values"),
        Column("epochs", f"epochs to {to}", "{:.1f}".format, detail=3),
        Column("seconds", "seconds", "{:.0f}".format, detail=6),
        Column("near", "near", "{:.0%}".format, detail=5),
        Column("verdict", "verdict", left=True),
        Column("settings", "settings", left=True, detail=1),
    ]


OVERALL = (
    Column("rule", "rule", left=True),
    Column("mean", "test_acc", _UNITS.value),
    Column("difference", "against the best", _UNITS.difference),
    Column("difference_interval", "95 %", _UNITS.differences),
    Column("verdict", "verdict", left=True),
)
"""Of the table over all networks."""


def rows(heat: NetworkResult) -> list[dict[str, Any]]:
    """The values of a heat's table, best first."""
    if heat.comparison is None:
        return []
    by_rule = {runner.rule: runner for runner in heat.candidates}
    return [{**row, **_speed(by_rule[row["rule"]])} for row in judged(heat.comparison)]


def judged(comparison: Comparison[str]) -> list[dict[str, Any]]:
    """The outcomes and verdicts of rules as rows, best first."""
    table = []
    for own in comparison.ranked:
        summary, contrast = own.summary, own.difference
        low, high = summary.interval or (None, None)
        row: dict[str, Any] = {"rule": own.key, "n": summary.n, "mean": summary.mean, "low": low, "high": high}
        row["interval"] = summary.interval
        row["verdict"] = own.verdict
        if contrast:
            low, high = contrast.interval or (None, None)
            row |= {"difference": contrast.difference, "difference_interval": contrast.interval}
            row |= {"difference_low": low, "difference_high": high}
        table.append(row)
    return table


def _speed(runner: RacedCandidate) -> dict[str, Any]:
    """Mean epochs and seconds to the target where every seed reached it, and what was chosen."""
    epochs = runner.mean_epochs
    seconds = None if epochs is None else sum(runner.seconds.values.values()) / len(runner.seconds.values)
    chosen = ["  ".join(f"{key} {_short(value)}" for key, value in own.items()) for own in runner.settings]
    settings = " | ".join(chosen) or "every setting diverged"
    return {"epochs": epochs, "seconds": seconds, "near": runner.near, "settings": settings}


def _short(value: float) -> str:
    """Three digits; more for a number that they would make 1."""
    text = f"{value:.3g}"
    return f"{value:.6g}" if float(text) == 1 != value else text


def verdict(comparison: Comparison[str] | None, sample: str) -> str:
    """The answer in one sentence."""
    if comparison is None:
        return "no result"
    possible = comparison.possible_best
    if len(possible) == 1:
        return f"{possible[0]} is the best"
    more = [c.more for row in comparison.ranked if row.key in possible and (c := row.difference) and c.more]
    unit = sample[:-1] if more and min(more) == 1 else sample
    advice = f"; about {min(more):,} more {unit} would tell the closest that can be told" if more else ""
    return f"cannot tell which is best: {', '.join(possible)}{advice}"


def answer(result: RaceResult) -> str:
    """The verdict over all networks, or where there is none, those of each."""
    if result.overall is not None:
        return verdict(result.overall, "networks")
    verdicts = {heat.problem: _verdict(heat, result) for heat in result.networks}
    return "; ".join(f"{name}: {text}" if len(verdicts) > 1 else text for name, text in verdicts.items())


def _verdict(heat: NetworkResult, result: RaceResult) -> str:
    return verdict(heat.comparison, result.sample)


def document(result: RaceResult) -> dict[str, Any]:
    """Everything that was found, as the tree of `--json`."""
    heats = []
    for heat in result.networks:
        own = {row["rule"]: row for row in rows(heat)}
        runners = [
            {
                **{key: value for key, value in own[runner.rule].items() if not key.endswith("interval")},
                "settings": runner.settings,
                "test_acc": {str(seed): value for seed, value in runner.accuracy.values.items()},
                "worst": {str(seed): why for seed, why in runner.accuracy.worst.items()},
                "best_of": runner.best_of,
                "runs": {str(seed): str(record.path) for seed, record in runner.runs.items()},
            }
            for runner in sorted(heat.candidates, key=lambda runner: list(own).index(runner.rule))
        ]
        heats.append(
            {
                "network": heat.problem,
                "target": heat.target,
                "verdict": _verdict(heat, result),
                "rules": runners,
            }
        )
    overall = None
    if result.overall is not None:
        overall = {
            "verdict": verdict(result.overall, "networks"),
            "rules": [
                {key: value for key, value in row.items() if not key.endswith("interval")}
                for row in judged(result.overall)
            ],
        }
    return {
        "sample": result.sample,
        "failed": dict(result.failed),
        "networks": heats,
        "overall": overall,
    }
