"""Trainings as text: loss and accuracy over the epochs, and the gradient of every layer as a bar."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from optilab.console.diagnose import bar
from optilab.console.pictures import GUTTER, Canvas, colours, framed, letters, symbol
from optilab.show import terminal
from optilab.study.curves import Curve, Histories, History, LayerHistory, curvature_limits, limits

WIDTH = 80
"""Columns that the picture needs; in a pipe it has as many."""
BESIDE, LAYERS = 120, 44
"""Columns that curves and layers side by side need, and those of the layers there."""
ROWS = 10
SHOWN = 12
"""Layers that are shown; of more, the middle ones are left out."""


NAMED = 3
"""Runs that the line about those left out names."""


class _Line(NamedTuple):
    """A curve of the picture, with the letter and the colour that stand for it."""

    name: str
    history: History
    half: str
    letter: str
    colour: str

    def of(self, metric: str) -> Curve:
        return self.history.curves[f"{self.half}_{metric}"]


def left_out(found: Histories) -> None:
    """A line about the runs that are not drawn."""
    for records, reason in (
        (found.without_epochs, "no epoch yet"),
        (found.repeated, "another run has the same settings and seed"),
    ):
        if records:
            names = ", ".join(record.name for record in records[:NAMED])
            more = f" and {len(records) - NAMED} more" if len(records) > NAMED else ""
            terminal.note(f"not drawn: {names}{more}: {reason}")


def document(found: Histories, picture: str | None) -> dict[str, Any]:
    """The document of `--json`: what is drawn, as numbers; index 0 is epoch 1."""
    return {
        "picture": picture,
        "shared": found.title,
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
            for history in found.groups
        ],
        "without_epochs": [record.name for record in found.without_epochs],
        "repeated": [record.name for record in found.repeated],
    }


def _numbers(curve: Curve) -> dict[str, Any]:
    low, high = curve.interval or (None, None)
    return {"mean": curve.mean, "low": low, "high": high, "runs": curve.runs}


def show(found: Histories) -> None:
    """Loss and accuracy of the groups, and the gradient of their layers after the last epoch."""
    width = terminal.out.width if terminal.out.is_terminal else WIDTH
    lines = _lines(found.groups)
    layered = [line for line in lines if line.half == "val" and line.history.layers is not None]
    beside = width >= BESIDE and len(found.groups) == 1 and bool(layered)
    columns = (min(width, 2 * WIDTH) - (LAYERS + 2 if beside else 0) - 2) // 2 - GUTTER - 1
    pictures = [_picture(lines, metric, columns) for metric in ("loss", "acc")]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(*pictures, *([_layers(layered, LAYERS)] if beside else []))
    terminal.show(table, _legend(lines))
    measured = [line for line in lines if line.half == "val" and line.history.curvature is not None]
    if measured:
        terminal.say()
        terminal.show(_curvature(measured, min(width, 2 * WIDTH) - GUTTER - 1))
    if layered and not beside:
        terminal.say()
        terminal.show(_layers(layered, width))


def _lines(histories: Sequence[History]) -> list[_Line]:
    """Training and validation of one group; of several groups the validation of each."""
    if len(histories) == 1:
        train, validation = colours(2)
        return [
            _Line("training", histories[0], "train", "t", train),
            _Line("validation", histories[0], "val", "v", validation),
        ]
    signs = zip(histories, letters(len(histories)), colours(len(histories)), strict=True)
    return [_Line(history.name, history, "val", letter, colour) for history, letter, colour in signs]


def _picture(lines: Sequence[_Line], metric: str, columns: int) -> Text:
    """One metric of all lines, the mean over the seeds; the best validation accuracy is marked."""
    canvas, view = Canvas(columns, ROWS), limits([line.history for line in lines], metric)
    epochs = max(line.history.epochs for line in lines)
    low, high = np.log10([view.low, view.high]) if view.log else (view.low, view.high)
    for number, line in enumerate(lines):
        mean = line.of(metric).mean
        shown = np.unique(np.linspace(0, len(mean) - 1, 8 * columns).astype(int))  # more than there are dots
        with np.errstate(divide="ignore"):
            heights = ((np.log10(mean) if view.log else mean) - low) / (high - low)
        x, y = shown / max(epochs - 1, 1), heights[shown]
        canvas.dots(x, y, number)  # a single epoch is a dot
        canvas.curve(x, y, number)
        at = int((len(shown) - 1) * (number + 1) / (len(lines) + 1))
        canvas.mark(x[at], y[at], line.letter, f"bold {line.colour}")
        if line.half == "val":
            best = line.history.best - 1
            canvas.mark(best / max(epochs - 1, 1), heights[best], symbol("best"), f"bold {line.colour}")
    title = "accuracy, %" if metric == "acc" else "loss, log scale" if view.log else "loss"
    scale = 100.0 if metric == "acc" else 1.0
    ends = ("epoch", 1.0, float(epochs)), ("", view.low * scale, view.high * scale)
    return framed(canvas, [line.letter for line in lines], [line.colour for line in lines], title, *ends)


def _curvature(lines: Sequence[_Line], columns: int) -> Group:
    """The sharpness of every group, and its limit of stability as a line of dots, on one logarithmic scale."""
    canvas, view = Canvas(columns, ROWS), curvature_limits([line.history for line in lines])
    low, high = np.log10([view.low, view.high])
    epochs = max(float(line.history.curvature.epochs[-1]) for line in lines if line.history.curvature)
    table = Table.grid(padding=(0, 3, 0, 0))
    for number, line in enumerate(lines):
        measured = line.history.curvature
        if measured is None:
            continue
        x = measured.epochs / max(epochs, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            sharpness, limit = ((np.log10(v) - low) / (high - low) for v in (measured.sharpness, measured.limit))
        places = np.linspace(0, 1, columns // 2)
        canvas.dots(places, np.interp(places, x, limit, left=np.nan, right=np.nan), number)
        canvas.dots(x, sharpness, number)  # a single measurement is a dot
        canvas.curve(x, sharpness, number)
        if np.isfinite(sharpness).any():
            at = np.flatnonzero(np.isfinite(sharpness))[-1]
            canvas.mark(x[at], sharpness[at], line.letter, f"bold {line.colour}")
        what = "preconditioned sharpness" if measured.preconditioned else "sharpness"
        now, bound = float(measured.sharpness[-1]), float(measured.limit[-1])
        against = f"limit of stability {bound:.4g}" if np.isfinite(bound) else "no limit known"
        table.add_row(Text(f"{' ' * GUTTER} {line.letter}", line.colour), f"{what} {now:.4g}, {against}")
    title = "curvature of the loss, log scale; dots: the limit of stability"
    ends = ("epoch", 0.0, epochs), ("", view.low, view.high)
    letters, shades = [line.letter for line in lines], [line.colour for line in lines]
    return Group(framed(canvas, letters, shades, title, *ends), table)


def _legend(lines: Sequence[_Line]) -> Table:
    """What the letters stand for, and the best epochs."""
    table = Table.grid(padding=(0, 3, 0, 0))
    for line in lines:
        name = Text(f"{' ' * GUTTER} {line.letter} {line.name}", line.colour)
        if line.half == "val":
            best = line.of("acc").mean[line.history.best - 1]
            seeds = f", mean of {len(line.history.seeds)} seeds" if len(line.history.seeds) > 1 else ""
            table.add_row(name, f"{symbol('best')} best {best:.1%} at epoch {line.history.best}{seeds}")
        else:
            table.add_row(name)
    return table


def _layers(lines: Sequence[_Line], width: int) -> Group:
    """A bar per layer, the input below, the output above, beside it the norm; a column for each group that has room."""
    histories = [line.history.layers for line in lines if line.history.layers is not None]
    room = max(1, (width - 5) // 22) if len(histories) > 1 else 1
    norms = [_last(layers) for layers in histories]
    largest = max((norm for column in norms for norm in column.values() if norm is not None), default=None)
    table = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", *("left", "right") * min(room, len(lines))):
        table.add_column(justify=cast(Literal["left", "right"], justify))
    if len(lines) > 1:
        table.add_row("", *(cell for line in lines[:room] for cell in (Text(line.letter, line.colour), "")))
    for name in _shown(max((layers.names for layers in histories), key=len))[::-1]:
        cells = [(bar(norm, largest, 12), _short(norm)) for norm in (column.get(name) for column in norms[:room])]
        table.add_row(name, *(cell for pair in cells for cell in pair))
    more = [Text(f"     and {len(lines) - room} more: --plot FILE")] if len(lines) > room else []
    return Group(Text("gradient |g| of each layer, last epoch, log scale"), table, *more)


def _short(norm: float | None) -> str:
    return "" if norm is None else f"{norm:.0e}"


def _last(layers: LayerHistory) -> dict[str, float | None]:
    """The gradient norms of the last epoch."""
    norms = layers.values["gradient_norm"][:, -1].tolist()
    return {name: None if np.isnan(norm) else norm for name, norm in zip(layers.names, norms, strict=True)}


def _shown(names: Sequence[str]) -> list[str]:
    return list(names) if len(names) <= SHOWN else [*names[: SHOWN // 2], "...", *names[1 - SHOWN // 2 :]]
