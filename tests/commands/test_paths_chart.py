"""Picture files: of the right kind, not empty, the same bytes again, and a clear word where there can be none."""

import io

import numpy as np
import pytest
from PIL import Image

from optilab.commands.charts.paths import paths_chart, require_plane
from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, descend
from optilab.show import chart_file

SIGNS = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF"}


def draw(function, paths):
    return chart_file.draw(paths_chart(function, paths))


@pytest.fixture(scope="module")
def paths():
    ravine = OBJECTIVES["ravine"]()
    return {name: descend(RULES[name](lr=0.1), ravine, steps=25) for name in ("sgd", "momentum", "adam")}


@pytest.mark.parametrize("kind", SIGNS)
@pytest.mark.parametrize("dark", [False, True])
def test_paths_as_a_file(paths, kind, dark, tmp_path):
    file = tmp_path / f"paths.{kind}"
    chart_file.save(paths_chart(OBJECTIVES["ravine"](), paths), str(file), dark)
    data = file.read_bytes()
    assert data.startswith(SIGNS[kind])
    again = tmp_path / f"again.{kind}"
    chart_file.save(paths_chart(OBJECTIVES["ravine"](), paths), str(again), dark)
    assert again.read_bytes() == data
    if kind == "png":
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=float)
        assert (pixels[0, 0] < 60) is np.bool_(dark)  # the ground
        assert pixels.std() > 10
    if kind == "svg":
        assert all(name in data.decode() for name in ("sgd", "momentum", "adam", "start", "minimum", "epoch"))


def test_the_legend_covers_no_path(paths):
    """It stands below the axes."""
    figure = draw(OBJECTIVES["ravine"](), paths)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert all(legend.y1 <= axes.get_tightbbox().y0 for axes in figure.axes)


def losses(figure):
    """The axes of the curves, and their lines by name."""
    axes = figure.axes[-1]
    return axes, {line.get_label(): line.get_ydata() for line in axes.lines}


def test_a_path_that_diverges_leaves_the_picture_and_does_not_flatten_the_others():
    rosenbrock = OBJECTIVES["rosenbrock"]()
    both = {n: descend(RULES[n](lr=0.2), rosenbrock, steps=50) for n in ("momentum", "adam")}
    assert both["momentum"].status == "diverged"
    figure = draw(rosenbrock, both)
    axes, curves = losses(figure)
    assert curves["momentum (diverged)"].max() > 1e100
    assert axes.get_ylim()[1] < 2 * curves["adam"].max()
    figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().y1 <= axes.get_tightbbox().y0


def test_the_lowest_f_reached_is_no_plunge():
    """Where no minimum is known, the gap to the lowest value would be zero there, and a log scale has no zero."""
    formula = OBJECTIVES["expression"](formula="w1^3 + 3*w2^4")
    path = descend(RULES["adam"](lr=0.2), formula, steps=30)
    _, curves = losses(draw(formula, {"adam": path}))
    lift = 1e-3 * (path.values[0] - path.values.min())
    np.testing.assert_allclose(curves["adam"], path.values - path.values.min() + lift)


def test_lines_are_told_apart_without_colour(paths):
    figure = draw(OBJECTIVES["ravine"](), paths)
    assert len({line.get_marker() for line in figure.axes[-1].lines}) == len(paths)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_title_fits(name):
    function = OBJECTIVES[name]()
    path = descend(RULES["sgd"](lr=1e-4), function, steps=2)
    figure = draw(function, {"sgd": path})
    figure.draw_without_rendering()
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1


def test_a_function_of_many_variables_has_curves_only(tmp_path):
    function = OBJECTIVES["rosenbrock"](dimension=5)
    path = descend(RULES["sgd"](lr=1e-4), function, steps=30)
    assert len(draw(function, {"sgd": path}).axes) == 1
    with pytest.raises(UsageError, match="function of one or two variables"):
        require_plane(function)


def test_a_moving_picture(paths, tmp_path):
    short = {"sgd": descend(RULES["sgd"](lr=0.1), OBJECTIVES["ravine"](), steps=6)}
    chart_file.animate(paths_chart(OBJECTIVES["ravine"](), short), str(tmp_path / "paths.gif"))
    with Image.open(tmp_path / "paths.gif") as image:
        assert image.n_frames >= 7  # the last one is held, which a GIF may store as one long frame


def test_what_cannot_be_written_is_said_before_anything_is_drawn(paths, tmp_path, monkeypatch):
    for file, said in (("a.bmp", "unknown extension '.bmp'"), ("nowhere/a.png", "there is no directory ")):
        with pytest.raises(UsageError, match=said):
            chart_file.save(paths_chart(OBJECTIVES["ravine"](), paths), str(tmp_path / file))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="needs the program ffmpeg"):
        chart_file.animate(paths_chart(OBJECTIVES["ravine"](), paths), str(tmp_path / "a.mp4"))


def test_the_command_writes_pictures(optilab, tmp_path):
    optilab("optimize", "--algo", "sgd,adam", "--epochs", "5", "--out", "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(SIGNS["pdf"])
    assert "unknown extension" in optilab("optimize", "--algo", "sgd", "--out", "a.jpeg", code=2).stderr
    assert not list((tmp_path / "runs").glob("*-sgd-????"))  # nothing was run for a picture that cannot be
