"""Algorithms on a test function: their paths, and what is claimed of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optilab.show.table import Table
from optilab.verbs.answer import Answer
from optilab.verbs.paths import rows

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.optimize import Trajectory
    from optilab.show.chart import Chart


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
        from optilab.verbs.play import page

        return page(self.config, title or self.note, list(self.paths.values()))
