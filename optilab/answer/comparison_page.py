"""The parts of a page after a comparison: charts, conditions, configs, and commands that repeat the trainings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optilab.answer.charts.settings import importance_table, outcomes, settings_chart, tried_axes
from optilab.answer.charts.training import curvature_chart, curves_chart, layers_chart
from optilab.answer.comparison_tables import ranked
from optilab.errors import quoted, shell
from optilab.judge.circumstances import circumstances, varying
from optilab.judge.comparison import RunComparison
from optilab.judge.curves import MEASURED, History, history, title
from optilab.judge.groups import DATA_DIGEST, Group, Grouping, value_text
from optilab.judge.importance import effects
from optilab.numbers import percent
from optilab.proposals import Call
from optilab.runs import STUDY_FILE, Record, Study
from optilab.runs.metrics import EPOCH_METRICS, TESTED, metric_of
from optilab.show.blocks import Block, Details, Sentence, Verbatim
from optilab.show.table import Column, Table, grid
from optilab.words import listed, plural, ranges

MAX_NAMED = 4
"""Settings that a question names, and stretches of seeds."""
MIN_GROUPS = 3
"""Groups for each setting from which their importance is shown."""
MAX_OPEN = 12
"""Rows of the table of runs that are not folded."""
MAX_DRAWN = 100
"""Groups whose curves are drawn."""
MAX_COLORS = 6
"""Groups that have the color of their place in the study, so that one more seed changes no color."""
READING = (
    "Validation bold, training thin. Shaded: the 95% interval of the mean over three or more seeds, where it is narrow "
    "enough to say something; else single runs are faint. A large point is the best validation accuracy."
)


def question(comparison: RunComparison) -> str:
    """The question that the comparison answers, in one sentence."""
    metric, judgment, count = comparison.measure.name, comparison.judgment, len(comparison.candidates)
    if count < 2:
        names = (str(run.manifest.get("config", {}).get("name", run.name)) for run in comparison.records)
        return f"How well does {', '.join(dict.fromkeys(names))} train?"
    if judgment is not None and not judgment.chosen:
        return f"Is anything better than {comparison.candidates[judgment.baseline.key].label} by {metric}?"
    words = [axis.word for axis in tried_axes(comparison)]
    if not 0 < len(words) <= MAX_NAMED:
        return f"Which of {count} settings is the best by {metric}?"
    return f"Which {listed(words)} {'are' if len(words) > 1 else 'is'} the best by {metric}?"


def details(comparison: RunComparison, entries: Sequence[Record | Study]) -> Iterator[Block]:
    """The settings, the curves, what the trainings differ in and share, each of them, and how to repeat them."""
    chosen = [group for row in ranked(comparison) for group in row.groups]
    yield Sentence(_facts(comparison.records, len(chosen)), "dim")
    # Means over the other settings say nothing where each remedy is tried alone.
    remedies = any(isinstance(entry, Study) and entry.manifest["command"] == "remedy" for entry in entries)
    if not remedies and (blocks := [*_settings(comparison)]):
        yield Details("Settings", blocks)
    judgment = comparison.judgment
    against = (
        comparison.candidates[judgment.baseline.key].groups[0] if judgment and not judgment.chosen else chosen[-1]
    )
    yield from of_groups(chosen, comparison.grouping, entries, against)


def failed(entries: Sequence[Record | Study]) -> list[str]:
    """A note about the trials of studies that failed: they left no run to compare."""
    notes = []
    for study in (entry for entry in entries if isinstance(entry, Study)):
        if rows := [trial.row for trial in study.ended if trial.status == "failed"]:
            count = f"{plural(len(rows), 'trial')} failed"
            notes.append(f"{study.name}: {count}, {rows[0]['trial']} first: {rows[0].get('reason', '')}")
    return notes


def of_groups(
    chosen: Sequence[Group], grouping: Grouping, entries: Sequence[Record | Study], against: Group | None = None
) -> Iterator[Block]:
    """The details of groups, best first; the layers of the first are drawn, and of the one that it is `against`."""
    records = [record for group in chosen for record in group.runs.values()]
    yield from _training(chosen, grouping, against)
    yield from _conditions(grouping, records)
    if records:
        yield Details("Every run", [*_runs(chosen, records[0])], folded=len(records) > MAX_OPEN)
    if made := [entry for entry in entries if not (isinstance(entry, Record) and entry.is_watched)]:
        yield Details("Repeat it", [*_sources(made)], folded=len(made) > MAX_OPEN)


# --- charts ------------------------------------------------------------------------------------------------


def _settings(comparison: RunComparison) -> Iterator[Block]:
    """The effects of the settings, and the outcomes over the settings."""
    axes, chart = tried_axes(comparison), settings_chart(comparison)
    if chart is None:
        return
    enough = len(axes) > 1 and len(comparison.candidates) >= MIN_GROUPS * len(axes)
    if enough and (importance := sorted(effects(outcomes(comparison, axes)), key=lambda effect: -effect.part)):
        yield importance_table(importance, comparison.measure)
    yield chart


def _training(chosen: Sequence[Group], grouping: Grouping, against: Group | None) -> Iterator[Block]:
    """The curves of the groups, their curvature and layers."""
    groups = list(chosen[:MAX_DRAWN])
    if len(groups) <= MAX_COLORS and all(group in grouping.groups for group in groups):
        groups.sort(key=list(grouping.groups).index)
    histories = {group.label: history(group.label, group.runs, group.repeats) for group in groups}
    drawn = [h for h in histories.values() if h is not None]
    if any(h.epochs > 1 for h in drawn):
        left = len(chosen) - len(groups)
        note = [Sentence(f"The first {MAX_DRAWN} groups of the table; {left} others are not drawn.", "dim")] * (
            left > 0
        )
        yield Details("Curves", [Sentence(READING, "dim"), *note, curves_chart(drawn)])
    if any(h.curvature for h in drawn):
        about = (
            "The sharpness is the largest curvature of the loss, for adaptive optimizers in the coordinates that they "
            "scale; above the dashed limit of stability, steps along that direction grow on a quadratic. Thin: the "
            "curvature along the gradient, where it is positive."
        )
        yield Details("Curvature", [Sentence(about, "dim"), curvature_chart(drawn)])
    if layered := [h for h in drawn if h.layers]:
        about = (
            "Layer 1 is next to the input. A gradient that falls by orders of magnitude from the output to layer 1 "
            "vanishes: the first layers hardly learn."
        )
        pair = dict.fromkeys((chosen[0].label, (against or chosen[0]).label))
        layered_histories = [h for name in pair if (h := histories.get(name)) is not None and h.layers] or layered[
            :1
        ]
        table = Details("Every layer after its last epoch", [_last_layers(layered)], folded=True)
        yield Details("Layers", [Sentence(about, "dim"), layers_chart(layered_histories), table])


def _last_layers(drawn: Sequence[History]) -> Table:
    rows = []
    for group in drawn:
        assert group.layers is not None
        last = [group.layers.values[quantity][:, -1].tolist() for quantity in MEASURED]
        for name, gradient, step, saturated in zip(group.layers.names, *last, strict=True):
            numbers = [f"{gradient:.3g}", f"{step:.3g}", "" if saturated != saturated else percent(saturated)]
            rows.append([group.name, name, *numbers])
    return grid(["group", "layer", "gradient |g|", "step |dw| / |w|", "saturated outputs"], rows, left=(0, 1))


# --- conditions --------------------------------------------------------------------------------------------


def _conditions(grouping: Grouping, records: Sequence[Record]) -> Iterator[Block]:
    """The conditions that were equal; the differences stand above the table."""
    around = [circumstances(record) for record in records]
    varied = varying(around)
    equal = [[key, value_text(value)] for key, value in grouping.shared.items() if key != DATA_DIGEST]
    machine = [[key, value] for key, value in (around[0] if around else {}).items() if key not in varied]
    folded = [
        Details(f"{len(rows)} equal {noun}", [grid(["", ""], rows, left=(0, 1), header=False)], folded=True)
        for noun, rows in (("settings", equal), ("facts of data, versions and machine", machine))
    ]
    yield Details("Common settings", [f"Equal in all: {title(grouping)}" if records else "", *folded])


def _facts(records: Sequence[Record], groups: int) -> str:
    """The number of trainings, their data, and their dates."""
    states = Counter(record.state for record in records)
    ended = "" if states.keys() <= {"done"} else f" ({', '.join(f'{n:,} {state}' for state, n in states.items())})"
    parts = [plural(len(records), "training") + ended, plural(groups, "group")]
    for name, key in (("seeds", "seed"), ("epochs", "epochs")):
        numbers = sorted({int(record.manifest.get("config", {}).get(key, 0)) for record in records})
        parts.append(f"{name} {ranges(numbers, MAX_NAMED)}")
    data = sorted({str(record.manifest.get("data", {}).get("dataset", "")) for record in records})
    days = sorted({str(record.manifest.get("created", ""))[:10] for record in records})
    return ", ".join([*parts, f"data {', '.join(data)}", f"trained {' to '.join(sorted({days[0], days[-1]}))}"])


# --- runs and commands -------------------------------------------------------------------------------------


def _runs(chosen: Sequence[Group], first: Record) -> Iterator[Block]:
    """A row for every run, group by group, with what repeats it, and the config of the first."""
    keys = ["epochs", *EPOCH_METRICS, "best_epoch", "best_val_acc"]
    keys += [key for key in TESTED if any(key in run.manifest for group in chosen for run in group.runs.values())]
    base: Any = first.manifest.get("config", {})
    rows = [
        {
            "run": record.name,
            "group": group.label,
            "seed": seed,
            "state": ": ".join(filter(None, (record.state, record.manifest.get("reason")))),
            **record.outcome(),
            "config": quoted(Call("", (), {"set": _changed(record.manifest.get("config", {}), base)}).words()[1:]),
        }
        for group in chosen
        for seed, record in group.runs.items()
    ]
    columns = [Column(key, key, left=key != "seed") for key in ("run", "group", "seed", "state")]
    columns += [Column(key, key.replace("_", " "), metric_of(key).text) for key in keys]
    yield Table([*columns, Column("config", "difference from the config below", left=True)], rows)
    yield (
        "This is the config of the first run. Saved as config.yaml, optilab train --config config.yaml trains it "
        "again, with the last column another run; bit for bit with the same versions, threads and processor type."
    )
    yield Verbatim(first.config.decode("utf-8", "replace"))


def _changed(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that `--set` makes to a config that is the base; a section with other keys as a whole."""
    changed: dict[str, Any] = {}
    for key, value in config.items():
        other = base.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping) and value.keys() == other.keys():
            changed |= {f"{key}.{name}": change for name, change in _changed(value, other).items()}
        elif value != other:
            changed[key] = value
    return changed


def _sources(entries: Sequence[Record | Study]) -> Iterator[Block]:
    """The commands as they were typed, and the file of each study."""
    rows = [[entry.name, shell(*entry.manifest.get("argv", [])[1:])] for entry in entries]
    yield grid(["name", "command"], rows, left=(0, 1))
    for study in (entry for entry in entries if isinstance(entry, Study)):
        command = study.manifest["command"]
        content = Verbatim(study.config.decode("utf-8", "replace"))
        why = f"{study.name}: or save this as {STUDY_FILE} and run optilab {command} --study {STUDY_FILE}"
        yield Details(why, [content], folded=True)
