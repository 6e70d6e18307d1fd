"""Picture files: of the right kind, not empty, the same bytes again, and a clear word where there can be none."""

import io

import numpy as np
import pytest
from PIL import Image

from optilab.answer.charts.paths import paths_chart
from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.show import chart_file

SIGNS = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml"}


def draw(function, paths):
    return chart_file.draw(paths_chart(function, paths))


@pytest.fixture(scope="module")
def paths():
    ravine = OBJECTIVES["ravine"]()
    return {name: descend(RULES[name](lr=0.1), ravine, steps=25) for name in ("sgd", "momentum", "adam")}


@pytest.mark.parametrize(("kind", "dark"), [("png", True), ("svg", False)])
def test_file_has_the_same_bytes_again(paths, kind, dark, tmp_path):
    chart = paths_chart(OBJECTIVES["ravine"](), paths)
    for name in ("a", "b"):
        chart_file.save(chart, str(tmp_path / f"{name}.{kind}"), dark)
    data = (tmp_path / f"a.{kind}").read_bytes()
    assert data.startswith(SIGNS[kind])
    assert data == (tmp_path / f"b.{kind}").read_bytes()
    if kind == "png":
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float)
        assert pixels[0, 0] < 60  # the ground
        assert pixels.std() > 10
    if kind == "svg":
        assert all(name in data.decode() for name in ("sgd", "momentum", "adam", "start", "minimum", "epoch"))


def test_minima_are_marked_where_they_are(paths):
    booth = OBJECTIVES["booth"]()
    marks = [mark for panel in paths_chart(booth, paths).panels for mark in panel.marks]
    assert [(mark.x, mark.y) for mark in marks if getattr(mark, "symbol", "") == "minimum"] == [([1.0], [3.0])]


def test_legend_covers_no_path(paths):
    """It stands below the axes; and lines are told apart without color."""
    figure = draw(OBJECTIVES["ravine"](), paths)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert all(legend.y1 <= axes.get_tightbbox().y0 for axes in figure.axes)
    assert len({line.get_marker() for line in figure.axes[-1].lines}) == len(paths)


def losses(figure):
    """The axes of the curves, and their lines by name."""
    axes = figure.axes[-1]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    return axes, dict(zip(names, (line.get_ydata() for line in axes.lines), strict=True))


def test_diverging_path_leaves_the_picture():
    rosenbrock = OBJECTIVES["rosenbrock"]()
    both = {n: descend(RULES[n](lr=0.2), rosenbrock, steps=50) for n in ("momentum", "adam")}
    assert both["momentum"].status == "diverged"
    figure = draw(rosenbrock, both)
    axes, curves = losses(figure)
    assert curves["momentum (diverged)"].max() > 1e100
    assert axes.get_ylim()[1] < 2 * curves["adam"].max()


def test_animation_has_every_step(paths, tmp_path):
    short = {"sgd": descend(RULES["sgd"](lr=0.1), OBJECTIVES["ravine"](), steps=6)}
    chart_file.animate(paths_chart(OBJECTIVES["ravine"](), short), str(tmp_path / "paths.gif"))
    with Image.open(tmp_path / "paths.gif") as image:
        assert image.n_frames >= 7  # the last one is held, which a GIF may store as one long frame


def test_longest_titles_fit():
    for kind in sorted(OBJECTIVES.values(), key=lambda kind: len(kind().formula))[-4:]:
        function = kind()
        figure = draw(function, {"sgd": descend(RULES["sgd"](lr=1e-4), function, steps=2)})
        figure.draw_without_rendering()
        assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1
