"""Algorithms on a test function: their paths, and what is claimed of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optilab.show.table import Table
from optilab.verbs.answer import Answer

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.optimize import Trajectory
    from optilab.show.chart import Chart
    from optilab.study.claims import Judged


@dataclass(frozen=True, repr=False)
class LabPaths(Answer):
    """What `Lab.optimize` followed: the path of each rule, by its label."""

    config: "OptimizeConfig"
    paths: "Mapping[str, Trajectory]"
    note: str = ""
    """How the rules were tuned, if they were."""

    @property
    def function(self) -> Any:
        return self.config.function

    @property
    def headline(self) -> str:
        return f"{', '.join(self.paths)} on {self.function.name}, {self.config.epochs} epochs"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per rule and epoch: algo, epoch, w1 to wd, f, gradient_norm."""
        return rows(self.paths)

    def chart(self) -> "Chart":
        """The paths on the contours of the function, as `optimize --plot` draws them."""
        from optilab.charts.paths import paths_chart

        named = dict(zip(self.config.legend, self.paths.values(), strict=True))
        return paths_chart(self.function, named, self.note)

    @property
    def verdicts(self) -> dict[str, str]:
        """How each path ended, in one sentence."""
        from optilab.console.optimize import verdict

        return {label: verdict(self.config, path) for label, path in self.paths.items()}

    def table(self) -> Table:
        """The end of each path, and its verdict."""
        from optilab.show.table import Column
        from optilab.verbs.answer import cell

        last = {row["algo"]: row for row in self.rows}
        ends = [{**last[label], "verdict": sentence} for label, sentence in self.verdicts.items()]
        keys = [key for key in ends[0] if key not in ("algo", "verdict")]
        middle = [Column(key, key, cell) for key in keys]
        columns = [Column("algo", "algo", left=True), *middle, Column("verdict", "verdict", left=True)]
        return Table(columns, ends, [self.note] if self.note else [])

    def page(self, title: str | None) -> bytes:
        """The page of `play`, on which the settings of the rules can be moved."""
        from optilab.pages import play

        return play.page(play.recorded(self.config, list(self.paths.values()), title or self.note))


def follow(settings: "OptimizeConfig") -> "list[Trajectory]":
    """The path of each rule."""
    from optilab.optimize import descend

    return [
        descend(rule, settings.function, settings.start, settings.epochs, settings.tolerance, settings.regime)
        for rule in settings.algo
    ]


def rows(paths: "Mapping[str, Trajectory]") -> list[dict[str, Any]]:
    """One row per algorithm and epoch, as in metrics.csv."""
    return [
        {
            "algo": label,
            "epoch": epoch,
            **{f"w{i + 1}": float(value) for i, value in enumerate(path.points[epoch])},
            "f": float(path.values[epoch]),
            "gradient_norm": float(norm),
        }
        for label, path in paths.items()
        for epoch, norm in enumerate(path.gradient_norms)
    ]


def judge(settings: "OptimizeConfig", paths: "Sequence[Trajectory]") -> "list[Judged]":
    """The claims of the config about its paths."""
    if not settings.expect:
        return []
    from optilab.study.claims import of_paths

    statuses = {label: path.status.value for label, path in zip(settings.labels, paths, strict=True)}
    return of_paths(settings, rows(dict(zip(settings.labels, paths, strict=True))), statuses)


def tuned(settings: "OptimizeConfig", budget: int) -> "tuple[OptimizeConfig, str]":
    """The config with every rule at the best of `budget` settings from the path's own start, and the sentence on it."""
    import numpy as np

    from optilab.errors import UsageError
    from optilab.optimize import Regime
    from optilab.study.tuning import Conditions, tune

    if settings.regime != Regime():
        raise UsageError("--tune runs the bare rules; remove schedule, weight_decay, clipping and noise")
    conditions = Conditions(budget=budget, gradients=settings.epochs)
    start = np.array([settings.function.start if settings.start is None else settings.start], dtype=float)
    rules = tuple(tune(rule, settings.function, conditions, start) for rule in settings.algo)
    paths = "path" if budget == 1 else "paths"
    cost = f"{budget} random settings per rule from this start ({budget} {paths} of {settings.epochs} epochs each)"
    return settings.model_copy(update={"algo": rules}), f"tuned: the best of {cost}"
