"""`optilab map`: one rule over one setting, or over a grid of settings or of starts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import prod
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_doc import Doc

from optilab.annotations import RANGE, ConfigKey, Flag, Read
from optilab.answer.answer import Answer
from optilab.config.axes import Axis, read_map_axis
from optilab.config.presets import optimizer_names
from optilab.config.tree import Override
from optilab.errors import UsageError, unknown
from optilab.optimize.objective import label_of
from optilab.optimize.rule import is_formula, setting_of_axis, settings_of
from optilab.request.on_functions import Function, LearningRate, Source, Start, chosen_config, note_if_code_is_slow
from optilab.request.options import FileOptions, SetOptions, SilentOptions
from optilab.request.request import Place
from optilab.show.blocks import Sentence
from optilab.show.chart import (
    Chart,
    Contour,
    Heatmap,
    Mark,
    Panel,
    PanelRow,
    Points,
    Polyline,
    ReferenceLine,
    Scale,
)
from optilab.study.paths import require_bare
from optilab.words import plural, setting, short_setting

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.optimize.maps import MapResult

EPOCHS = 100
"""Default number of steps of every cell."""
MAX_CELLS = 25_000_000
MIN_HEIGHT = 1e-9
"""The least range of f that a curve shows, as a fraction of f."""
STARTS = 300
"""Starts along each side of the box of a map of basins."""


class Map(SetOptions, FileOptions, SilentOptions):
    """Show where an optimizer converges: value or steps over one setting or two, or the basins of minima."""

    READS = "optimize"
    EXAMPLES = (
        "optilab map sgd --x lr=0.01:0.6 --epochs 30",
        "optilab map momentum --x lr=0.01:2:400 --y beta=0:0.99:200 --epochs 100",
        "optilab map --algo adam --x lr=1e-3:1:200:log --y beta1=0:0.99:200 --function beale --out adam.png",
        "optilab map --algo momentum --function himmelblau --lr 0.01 --basins --epochs 200 --out basins.png",
    )
    CONFLICTS = (("basins", "x"), ("basins", "y"), ("basins", "show"))
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {"x": ("y",)}

    algo: Annotated[
        Any,
        ConfigKey("algo"),
        Read(optimizer_names),
        Flag("NAME", complete="rule", positional=True),
        Doc("Optimizer, with the settings of its preset"),
    ] = None
    x: Annotated[str | None, Flag("AXIS", complete="axis"), Doc(f"Horizontal axis, a setting or w1: {RANGE}")] = (
        None
    )
    y: Annotated[str | None, Flag("AXIS", complete="axis"), Doc(f"Vertical axis, a setting or w2: {RANGE}")] = None
    basins: Annotated[bool, Doc("Map every starting point to the minimum that it reaches")] = False
    config: Source = None
    function: Function = None
    start: Start = None
    epochs: Annotated[Any, ConfigKey("epochs"), Flag("N"), Doc(f"Steps of every cell [{EPOCHS}]")] = None
    lr: LearningRate = None
    show: Annotated[
        Literal["value", "steps"],
        Flag("WHAT"),
        Doc("value (f above its minimum) or steps (until it converged)"),
    ] = "value"

    def run(self, place: Place) -> "LabMap":
        """The map, and its picture file. UsageError for axes that the rule or the function does not have."""
        typed = [(self.flag(name), str(text)) for name in ("x", "y") if (text := getattr(self, name))]
        config = chosen_config(self, EPOCHS, *_first_values(self.algo, typed))
        if len(config.algo) != 1:
            raise UsageError(f"a map shows one optimizer, got {','.join(config.labels)}", self.flag("algo"))
        read = {flag: _axis(self, config, flag, text) for flag, text in typed}
        for end in ("low", "high"):  # the ends are validated as settings
            ends = [(flag, text, read[flag].key, getattr(read[flag], end)) for flag, text in typed]
            values = [
                Override(f"{flag} {text}", key, value) for flag, text, key, value in ends if setting_of_axis(key)
            ]
            chosen_config(self, EPOCHS, *values)
        if not self.basins and not read:
            raise UsageError("expected an axis (--x), two (--x and --y), or --basins")
        axes = _box(config) if self.basins else [*read.values()]
        coordinates = {f"w{i + 1}" for i in range(len(config.function.start))}
        if self.start is not None and coordinates <= {axis.key for axis in axes}:
            raise UsageError("each cell has another starting point", self.flag("start"))
        require_bare(config, "map")
        points = {axis.key: axis.points for axis in axes}
        if len(points) < len(axes):
            raise UsageError(f"--x and --y are both {axes[0].key.removeprefix('algo.')}")
        counts = [axis.count for axis in axes]
        if prod(counts) > MAX_CELLS:
            got = " x ".join(f"{count:,}" for count in counts)
            raise UsageError(f"expected at most {MAX_CELLS:,} cells, got {got} (--x, --y)")
        from optilab.optimize.maps import fill_map

        with note_if_code_is_slow(config.algo, place.silent):
            result = fill_map(
                config.algo[0], config.function, points, config.start, config.epochs, config.tolerance
            )
        answer = LabMap(result, axes, self.show)
        self.save(answer)
        return answer


def _first_values(algo: Any, axes: Sequence[tuple[str, str]]) -> Iterator[Override]:
    """The low ends of the axes as settings of a formula, which has no others."""
    if any(map(is_formula, algo if isinstance(algo, list | tuple) else [algo])):
        for flag, text in axes:
            axis = read_map_axis(flag, text)
            if setting_of_axis(axis.key):
                yield Override(f"{flag} {text}", axis.key, axis.low)


def _box(config: "OptimizeConfig") -> list[Axis]:
    """The starts of the function's box. UsageError where it has no plane of starts, or no minimum."""
    function = config.function
    if len(function.start) != 2:
        count = f"{label_of(function)} has {len(function.start)}"
        raise UsageError(f"--basins needs a function of two variables; {count}")
    if not function.minima:
        message = f"no minimum of {label_of(function)} is known, so --basins has nothing to map"
        raise UsageError(message)
    return [Axis(f"w{i + 1}", low, high, STARTS) for i, (low, high) in enumerate(function.box)]


def _axis(request: Map, config: "OptimizeConfig", flag: str, text: str) -> Axis:
    """An axis. UsageError for a key that is neither a number of the rule nor a coordinate, or has a value already."""
    key = text.partition("=")[0].removeprefix("algo.")
    if re.fullmatch(r"(?!w\d)[a-z][\w.]*", key):
        numeric = [name for name, value in settings_of(config.algo[0]).items() if isinstance(value, float)]
        if key not in numeric:
            raise UsageError(unknown("numeric setting", key, numeric), flag)
    axis = read_map_axis(flag, text)
    variables = [f"w{i + 1}" for i in range(len(config.function.start))]
    if not setting_of_axis(axis.key) and axis.key not in variables:
        raise UsageError(unknown("variable", axis.key, variables), flag)
    for change in request.changes:
        if change.key == axis.key:
            raise UsageError(f"{key} is an axis ({flag}), whose values take its place", change.where)
    return axis


@dataclass(frozen=True, repr=False)
class LabMap(Answer):
    """A map: the end of the path of every cell."""

    map: "MapResult"
    axes: Sequence[Axis]
    quantity: str = "value"
    """The quantity of the plot: value or steps."""

    @property
    def headline(self) -> str:
        result = self.map
        over = "   ".join(f"{axis.key} {_span(axis)}" for axis in self.axes)
        return f"{result.rule.name} on {result.function.name}   {over}   {plural(result.steps, 'epoch')}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per cell: its settings, the final f, the epoch at which |grad| first was below the tolerance (-1: at
        none), whether it diverged, and the number of the minimum that it reached (-1: none)."""
        import numpy as np

        result = self.map
        return [
            {
                **{key: float(v[i]) for (key, v), i in zip(result.axes.items(), reversed(cell), strict=False)},
                "f": float(result.ends.values[cell]),
                "first_below": int(result.first_below[cell]),
                "diverged": bool(result.diverged[cell]),
                "basin": int(result.basin[cell]),
            }
            for cell in np.ndindex(result.diverged.shape)  # (row, column)
        ]

    def chart(self) -> Chart:
        """Final value or epochs over the axes, with the limits of theory where they are known; basins where both axes
        are coordinates of the start."""
        result = self.map
        x, *others = (Scale(axis.key.removeprefix("algo."), axis.low, axis.high, axis.log) for axis in self.axes)
        if others:
            marks = _basins(result) if result.of_starts else _values(result, self.quantity)
            panel = Panel(tuple(marks), x, others[0])
        else:
            panel = _curve(result, x, self.quantity)
        settings = ", ".join(f"{name} {short_setting(value)}" for name, value in result.settings.items())
        title = [
            f"{result.rule.name} on {result.function.name}",
            plural(result.steps, "epoch"),
            *filter(None, [settings]),
        ]
        return Chart((PanelRow((panel,), 4.6),), title=", ".join(title))

    def blocks(self) -> Iterator[Any]:
        """The picture, then the numbers."""
        result = self.map
        yield Sentence(self.headline, "bold")
        if result.settings:
            yield "   ".join(f"{name} {setting(value)}" for name, value in result.settings.items())
        yield ""
        yield self.chart()
        yield ""
        yield from self._reached() if result.of_starts else self._counted()

    def _counted(self) -> Iterator[str]:
        """The numbers of cells that diverged and converged, the best cell, and the optimum by theory."""
        numbers, cells = self.map.summary, self.map.summary["cells"]
        percentages = f"{numbers['diverged'] / cells:.1%} diverged, {numbers['converged'] / cells:.1%}"
        yield f"{cells:,} cells: {percentages} converged (|grad| < {self.map.tolerance:g} at some epoch)"
        if numbers["best"]:
            yield f"lowest after {plural(self.map.steps, 'epoch')}: " + "   ".join(
                f"{key} {value:.4g}" for key, value in numbers["best"].items()
            )
        if numbers["theory"]:
            best = "   ".join(f"{key} {value:.4g}" for key, value in numbers["theory"].items())
            yield f"theory, in the long run: {best}"

    def _reached(self) -> Iterator[str]:
        """The fraction of the starts per minimum, and how many of their paths have settled there."""
        result, numbers, cells = self.map, self.map.summary, self.map.summary["cells"]
        yield f"{cells:,} starts by the minimum that is near the end of the path:"
        names = [
            f"{letter} ({', '.join(f'{value:.6g}' for value in minimum)})"
            for letter, minimum in zip(ascii_lowercase, result.function.minima, strict=False)
        ]
        rest = f". none ({numbers['diverged'] / cells:.1%} diverged)"
        for name, count in zip([*names, rest], numbers["basins"].values(), strict=True):
            yield f"  {name}: {count / cells:.1%}"
        if numbers["converged"] + numbers["diverged"] < cells:
            settled = f"{numbers['converged'] / cells:.1%} had |grad| < {result.tolerance:g}"
            yield f"{settled} by epoch {result.steps}; more epochs would settle others"

    def document(self) -> dict[str, Any]:
        """Axes, y null where there is one, summary, and per cell the final f, null where it diverged."""
        import numpy as np

        result = self.map
        values = np.where(np.isfinite(result.ends.values) & ~result.diverged, result.ends.values, np.nan)
        axes = zip_longest("xy", result.axes.items())
        return {
            "algo": result.rule.name,
            "function": result.function.name,
            "epochs": result.steps,
            **{
                name: None if axis is None else {"key": axis[0], "values": axis[1].tolist()} for name, axis in axes
            },
            **result.summary,
            "limit": None if result.limit is None else result.limit.tolist(),
            "f": values.tolist(),
            "first_below": result.first_below.tolist(),
            "basin": result.basin.tolist(),
        }


def _span(axis: Axis) -> str:
    return f"{axis.low:g} to {axis.high:g} ({axis.count}{', log' if axis.log else ''})"


# --- the marks of the chart --------------------------------------------------------------------------------


def _values(result: "MapResult", quantity: str) -> list[Mark]:
    import numpy as np

    if quantity == "value":
        values, scale = result.height, Scale(f"log10 of {result.above} after the last epoch")
    else:
        values, scale = result.steps_to_tolerance, Scale(f"epochs to |grad| < {result.tolerance:g}")
    x_values, y_values = result.axes.values()
    gaps = {"diverged": result.diverged, "not converged": ~np.isfinite(values) & ~result.diverged}
    exact = None
    if result.limit is not None:
        exact = (result.limit, y_values) if result.fields[0] == "lr" else (x_values, result.limit)
    marks: list[Mark] = [
        Heatmap(values, x_values, y_values, scale, gaps=gaps),
        Contour(result.radius, level=1.0, exact=exact, label="limit of stability by theory"),
    ]
    if result.optimum is not None:
        x, y = result.optimum
        marks.append(Points([x], [y], "optimum", label="best in the long run by theory", detail=True))
    return marks


def _curve(result: "MapResult", x: Scale, quantity: str) -> Panel:
    """The end of the path over the values of the only axis, with the limit and the best setting by theory."""
    import numpy as np

    (places,) = result.axes.values()
    if quantity == "steps":
        ends, y = result.steps_to_tolerance[0], Scale(f"epochs to |grad| < {result.tolerance:g}")
    elif result.function.minima:
        ends, y = 10 ** result.height[0], Scale(f"{result.above} after the last epoch", log=True)
    else:
        ends, y = np.where(result.diverged, np.nan, result.ends.values)[0], Scale("f after the last epoch")
    marks: list[Mark] = [Polyline(places, ends, 0, width=2.0)]
    if result.limit is not None and places[0] <= result.limit[0] <= places[-1]:
        marks.append(ReferenceLine(x=float(result.limit[0]), name="limit of stability by theory"))
    if result.optimum is not None and places[0] <= result.optimum[0] <= places[-1]:
        height = float(np.interp(result.optimum[0], places, ends))
        star = Points(
            [result.optimum[0]], [height], "optimum", label="best in the long run by theory", detail=True
        )
        marks += [star] if np.isfinite(height) else []
    finite = ends[np.isfinite(ends)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.1, 1.0)
    return Panel(tuple(marks), x, replace(y, low=low, high=max(high, low * (1 + MIN_HEIGHT)), margin=0.05))


def _basins(result: "MapResult") -> list[Mark]:
    x_values, y_values = result.axes.values()
    marks: list[Mark] = [
        Heatmap(result.basin, x_values, y_values, categorical=True, gaps={"no minimum reached": result.basin < 0})
    ]
    for number, (x, y) in enumerate(result.function.minima):
        marks.append(Points([x], [y], "minimum", number, label=f"({x:.3g}, {y:.3g})", detail=True))
    return marks


COMMAND = Map
