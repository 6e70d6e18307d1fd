"""Paths that grow step by step, as GIF or MP4."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from optilab.errors import SystemFailure, UsageError
from optilab.figures.paths import draw_ends, draw_ground, draw_losses, draw_paths, headline
from optilab.figures.style import check, look, new
from optilab.optimize import Trajectory
from optilab.optimize.objective import Objective

FRAMES = 120
SECONDS = 8


def animate(
    function: Objective, named: Mapping[str, Trajectory], file: str, dark: bool = False, note: str = ""
) -> None:
    """Write the moving picture; at most FRAMES frames, evenly spaced in epochs, the last one held for a second.

    `note` is a second line of the title. UsageError for another ending, a function of more than two
    variables, or .mp4 without ffmpeg.
    """
    from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter

    path = check(file, ("gif", "mp4"))
    if len(function.start) > 2:
        raise UsageError(
            f"--animate needs a function of one or two variables; {function.name} has {len(function.start)}"
        )
    if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
        raise UsageError(
            f"{file}: .mp4 needs the program ffmpeg, which is not installed; .gif and .html need nothing"
        )
    longest = max(len(one.points) for one in named.values())
    epochs = np.unique(np.linspace(1, longest, min(longest, FRAMES)).astype(int))
    rate = max(4, round(len(epochs) / SECONDS))
    with look(dark) as (ink, ground):
        figure, (left, right) = new(10, 4.4, 2)
        draw_ground(left, function, list(named.values()), ink, dark)
        lines, curves = draw_paths(left, named, dark), draw_losses(right, function, named, dark)
        draw_ends(left, function, next(iter(named.values())), ink, ground)
        right.set(xlim=right.get_xlim(), ylim=right.get_ylim())
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6))
        figure.suptitle(headline(function, True, note), x=0.01, ha="left")
        whole = [(line.get_xdata(), line.get_ydata()) for line in (*lines, *curves)]
        count = right.text(0.98, 0.96, "", transform=right.transAxes, ha="right", va="top")

        def frame(epoch: int) -> list[Any]:
            for line, (x, y) in zip((*lines, *curves), whole, strict=True):
                line.set_data(x[:epoch], y[:epoch])
            count.set_text(f"epoch {epoch - 1}")
            return [*lines, *curves, count]

        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout of one frame is the layout of all
        moving = FuncAnimation(figure, frame, [*epochs, *[longest] * rate], blit=False)
        writer = {".gif": PillowWriter, ".mp4": FFMpegWriter}[path.suffix.lower()]
        try:
            moving.save(path, writer=writer(fps=rate), dpi=90)
        except OSError as error:
            raise SystemFailure(f"cannot write {path}: {error.strerror or error}") from None
