"""`optilab runs plot`: the curves and layers of runs, the settings of a sweep, the trajectories of `optimize`."""

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_doc import Doc

from optilab.annotations import Flag
from optilab.answer import comparison
from optilab.answer.answer import SimpleAnswer
from optilab.request.comparison import Labels
from optilab.request.options import (
    QUIET,
    FileOptions,
    FolderOptions,
    OutputOptions,
    RunNames,
)
from optilab.request.request import Place
from optilab.runs import Study
from optilab.show import terminal
from optilab.words import FEW, some

if TYPE_CHECKING:
    from optilab.judge.curves import Curve, Histories
    from optilab.judge.groups import Selection
    from optilab.show.chart import Chart


class PlotRuns(FileOptions, FolderOptions, OutputOptions):
    """Draw runs: of networks loss, accuracy and layers; runs that differ in nothing but the seed as one curve.

    For a sweep of three settings or more, the outcome over them: a curve over one key, a heat map of two, the means
    over more. For a benchmark, the evaluated trainings. Runs of optimize come before the trainings: trajectories and
    losses.
    """

    EXAMPLES = (
        "optilab runs plot latest",
        "optilab runs plot lr-sweep --out lr.pdf",
        "optilab runs plot 20261124-143512-sigmoid-1c2d9e05 --out curves.png",
        "optilab runs plot '2026*-sigmoid-*' '2026*-batchnorm-*' --out curves.svg --dark",
    )

    names: RunNames
    curves: Annotated[bool, Doc("For a sweep, draw the curves of its runs, as --panel and --label do")] = False
    panel: Annotated[
        Literal["loss", "accuracy", "curvature", "layers"] | None,
        Flag("PART"),
        Doc("Draw only the loss, accuracy, curvature or layers of the runs"),
    ] = None
    label: Labels = None
    title: Annotated[str | None, Flag("TEXT"), Doc("Title, '' for none [the settings that all runs share]")] = None
    quiet: Annotated[bool, QUIET, Doc("Print the plot's file and nothing else")] = False

    def run(self, place: Place) -> "Plot":
        from optilab.answer.results import LabRun
        from optilab.judge.groups import select_runs
        from optilab.show.chart import joined

        selection, file = select_runs(place.folder, self.names), next(iter(self.out or ()), None)
        for note in selection.notes:
            terminal.note(note)
        if self.curves or self.panel or self.label:
            selection.require_trainings()
        of_functions = [LabRun(record) for record in selection.on_functions]
        selection = selection._replace(on_functions=())
        charts = [run.chart() for run in of_functions]
        facts: dict[str, Any] = {"picture": file, "shared": "", "groups": []}
        if selection.entries:
            chart, more = self._outcomes(selection) or self._curves(selection, place, file)
            facts |= {**more, "shared": chart.title}
            charts.append(chart)
        if of_functions:
            facts["on_functions"] = [{**run.answer.document(), "run": str(run.path)} for run in of_functions]
        chart = charts[0] if len(charts) == 1 else joined(charts)
        if self.title is not None:
            chart = replace(chart, title=self.title)
        answer = Plot([] if file else [chart], facts, self.out or (), drawn=chart)
        self.save(answer)
        return answer

    def _outcomes(self, selection: "Selection") -> "tuple[Chart, dict[str, Any]] | None":
        """The chart of one benchmark, or over the settings of one sweep, and its document; None where curves are asked
        for, or nothing else is known."""
        from optilab.judge.groups import Group, relabeled

        if view := comparison.benchmark_view(selection.entries):
            if self.curves or self.panel not in (None, "accuracy"):
                return None
            chart = view.chart()
            rules = relabeled([Group(name, {}, {}) for name in chart.series], self.label or ())
            chart = replace(chart, series=tuple(rule.label for rule in rules))
            return chart, {"benchmark": view.document()}
        return None if self.curves or self.panel or self.label else _of_settings(selection)

    def _curves(self, selection: "Selection", place: Place, file: str | None) -> "tuple[Chart, dict[str, Any]]":
        """The curves of trainings, and their document; of a benchmark, those of the evaluated trainings by optimizer.
        DataError where there is no epoch yet."""
        from optilab.answer.charts.training import training_chart
        from optilab.judge.curves import histories, histories_of
        from optilab.judge.groups import relabeled

        if view := comparison.benchmark_view(selection.entries):
            groups = histories_of(view.evaluated)
            groups = replace(groups, groups=relabeled(groups.groups, self.label or ()))
        else:
            groups = histories(selection.records, self.label or ())
        if not groups.groups:
            raise comparison.missing_epoch(groups.without_epochs)
        left_out = {
            "no epoch yet": groups.without_epochs,
            "another run has the same settings and seed": groups.repeated,
        }
        for reason, records in left_out.items():
            if records and not place.silent:
                terminal.note(f"not drawn: {some([record.name for record in records], FEW)}: {reason}")
        return training_chart(groups, self.panel), _plot_document(groups, file)


@dataclass(frozen=True, repr=False)
class Plot(SimpleAnswer):
    """The plot that a terminal shows where no file is written."""

    drawn: "Chart" = field(kw_only=True)

    @property
    def headline(self) -> str:
        return self.drawn.title or "runs"

    def chart(self) -> "Chart":
        return self.drawn


def _of_settings(chosen: "Selection") -> "tuple[Chart, dict[str, Any]] | None":
    """The chart over the settings of one sweep that has tried three or more, and its document; else None."""
    from optilab.answer.charts.settings import settings_chart
    from optilab.judge.groups import request_of
    from optilab.judge.measure import Measure

    entries = chosen.entries
    if len(entries) != 1 or not isinstance(entries[0], Study) or entries[0].manifest["command"] != "sweep":
        return None
    metric = str(request_of(entries[0]).get("metric", "val_acc"))
    if not chosen.records:
        return None
    compared = comparison.compare_selection(chosen, Measure(metric))
    chart = settings_chart(compared.comparison)
    return None if chart is None else (chart, {"comparison": compared.document()})


def _plot_document(curves: "Histories", picture: str | None) -> dict[str, Any]:
    """The curves as numbers for `--json`; index 0 is epoch 1."""
    return {
        "picture": picture,
        "shared": curves.title,
        "groups": [
            {
                "group": history.label,
                "seeds": history.seeds,
                "best_epoch": history.best,
                "diverged": history.diverged,
                "metrics": {name: _numbers(curve) for name, curve in history.curves.items()},
                "curvature": history.curvature and asdict(history.curvature),
                "layers": history.layers and {"names": history.layers.names, **history.layers.values},
            }
            for history in curves.groups
        ],
        "without_epochs": [record.name for record in curves.without_epochs],
        "repeated": [record.name for record in curves.repeated],
    }


def _numbers(curve: "Curve") -> dict[str, Any]:
    low, high = curve.interval or (None, None)
    return {"mean": curve.mean, "low": low, "high": high, "runs": curve.runs}
