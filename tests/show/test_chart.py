"""A chart of no subject: what each painter makes of the same value."""

import ast
import re
from io import StringIO
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from rich.console import Console

from optilab.show import chart as chart_module
from optilab.show import chart_file, chart_svg, chart_text, page, table
from optilab.show.chart import (
    Band,
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
from optilab.show.page import asset

X = np.arange(5.0)


def lines(count, role="", **options):
    return tuple(Polyline(X, X + i, i, role, **options) for i in range(count))


ACROSS, UP = Scale("x", 0, 4), Scale("", 0, 5)


def chart(*marks, series=("up", "higher"), x=ACROSS, y=UP, **options):
    return Chart((PanelRow((Panel(marks, x, y, "numbers", **options),)),), series)


def text(drawn, braille=False, width=42):
    console = Console(width=width + 1, file=StringIO(), color_system=None)
    console.print(chart_text.paint(drawn, width, braille))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_places_on_a_scale():
    assert Scale("", 2, 6).normalize([2, 5, 8]) == pytest.approx([0, 0.75, 1.5])
    assert Scale("", 0.01, 100, log=True).normalize([0.01, 1, 0]) == pytest.approx([0, 0.5, -np.inf])
    assert Scale("", 3, 3).normalize(3) == 0
    with pytest.raises(ValueError, match="marks set the ends"):
        Scale("of its marks").normalize(1)


def test_ascii():
    assert text(chart(*lines(2))) == [
        "          numbers",
        "       5 |                            bb",
        "         |                        bbbb",
        "         |                     bbbb   aa",
        "         |                  bbb    aaa",
        "         |              bbbb    aaa",
        "         |            bbb    aaa",
        "         |        bbbb   aaaa",
        "         |     bbb    aaa",
        "         |  bbb    aaa",
        "         |bb   aaaa",
        "         |  aaaa",
        "       0 |aa",
        "         +------------------------------",
        "          0             x              4",
        "          a up   b higher",
    ]


def test_map_and_braille():
    plane = Heatmap(
        np.array([[0.0, 1.0], [np.nan, 9.0]]), X[:2], X[:2], Scale("z"), gaps={"gone": np.zeros((2, 2), bool)}
    )
    drawn = text(chart(plane, series=(), x=Scale("x", 0, 1), y=Scale("", 0, 1)))
    assert drawn[0] == "          numbers, z"
    assert (drawn[1][10:].count("?"), drawn[1][10:].count("@")) == (15, 15)
    assert drawn[-1] == "          ' ' 0   '@' 9"
    assert any(0x2800 < ord(sign) < 0x2900 for line in text(chart(*lines(2)), braille=True) for sign in line)


def test_cells_without_a_value_are_called_what_the_chart_says():
    values = np.array([[0.0, 1.0], [np.nan, 9.0]])
    gaps = {"dry": values == 1, "unseen": np.isnan(values)}
    rows = np.arange(198.0)
    many = {name: np.tile(gap, (99, 1)) for name, gap in gaps.items()}
    heat = Heatmap(np.tile(values, (99, 1)), X[:2], rows, Scale("z"), gaps=many)
    drawn = chart(heat, series=(), x=Scale("x", 0, 1), y=Scale("", 0, 197))
    assert text(drawn)[-1] == "          ' ' 0   '@' 9   x dry"
    assert [*chart_svg.signs(drawn)] == [("gone", "dry")]
    assert [label.get_text() for label in chart_file.draw(drawn).legends[0].get_texts()] == ["dry", "unseen"]


def test_show_knows_no_subject():
    """What a value is, is said by the command: no module of charts, tables and pages asks for a name of it."""
    subjects = {"mean", "cost", "ratio", "part", "verdict", "diverged", "not converged", "no minimum reached"}
    subjects |= {"epoch", "epochs", "layer", "layers", "training", "validation", "seed", "optimizer"}
    for module in (chart_module, chart_file, chart_svg, chart_text, page, table):
        tree = ast.parse(Path(module.__file__).read_text())
        texts = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not {part for text in texts for part in (text, text.strip())} & subjects, module.__name__


def test_panels_stand_next_to_each_other_where_there_is_room():
    panel = chart(*lines(2)).panels[0]
    both = Chart((PanelRow((panel, panel)),), ("up", "higher"))
    assert len(text(both, width=60)) == 2 * len(text(both, width=120)) - 1
    assert text(both, width=120)[0].count("numbers") == 2


def test_color_belongs_to_a_series_in_every_medium():
    """Also where the series before it has no line."""
    both, alone = (chart(*marks) for marks in (lines(2), lines(2)[1:]))
    for drawn in (both, alone):
        (painted, _) = chart_text.paint(drawn, 40, True).renderables
        assert f"bold {chart_text.COLORS[1]}" in {str(span.style) for span in painted.spans}
        assert chart_file.draw(drawn).axes[0].lines[-1].get_color() == chart_file.LIGHT.color(1)
        assert 'class="line c1 d0" data-series="1" data-name="higher"' in chart_svg.figure(drawn)


def test_roles_of_a_single_series_are_told_apart():
    training = Polyline(X, X, 0, "training")
    validation = Polyline(X, X + 1, 0, "validation", main=True)
    assert text(chart(training, validation, series=("one",)))[-1] == "          a training   b validation"
    faint = lines(2, detail=True)
    assert text(chart(*lines(2), *faint)) == text(chart(*lines(2)))


def test_no_point_has_the_style_of_a_text():
    """A point of the color of the ground would not be seen."""
    symbols = get_args(get_type_hints(Points)["symbol"])
    drawn = chart(*(Points([1], [1], symbol, 0, "name", before=True) for symbol in symbols))
    classes = {
        name for found in re.findall('<path class="([^"]+)"', chart_svg.figure(drawn)) for name in found.split()
    }
    assert {"point", *symbols} <= classes
    for selectors in re.findall(r"([^{}]+)\{[^{}]*(?:stroke: var\(--ground\)|text-anchor)", asset("page.css")):
        for selector in selectors.split(","):
            last = selector.split()[-1]
            assert last.startswith("text") or not {*last.split(".")[1:]} & classes, selector


def test_painters_have_the_same_marks():
    tables = [painter.PAINTERS.keys() for painter in (chart_text, chart_svg, chart_file)]
    assert all(marks == set(get_args(Mark)) for marks in tables)


def test_every_mark_has_a_painter_of_files():
    plane = Heatmap(np.eye(3), X[:3], X[:3], Scale("z"), gaps={"gone": np.zeros((3, 3), bool)})
    edge = Contour(lambda x, y: x + y[:, None], level=2.0, label="edge")
    marks = [
        plane,
        edge,
        Points([1], [1], "optimum", label="here"),
        *lines(1),
        ReferenceLine(1),
        Band(X, X, X, 0),
    ]
    assert {type(mark) for mark in marks} == set(get_args(Mark))
    figure = chart_file.draw(chart(*marks))
    assert [label.get_text() for label in figure.legends[0].get_texts()] == ["up", "edge", "here"]


def test_the_cells_of_a_map_lie_around_its_points():
    drawn = chart_svg.figure(chart(Heatmap(np.eye(3), [1.0, 2.0, 3.0], [10.0, 20.0, 30.0], Scale("z"))))
    place = re.search(r'class="map" x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"', drawn)
    assert [*map(float, place.groups())] == [0.5, -35, 3, 30]


def test_range_is_the_same_in_every_medium():
    y = Scale("", 0.5, 50, log=True)
    panel = chart(*lines(1), y=y, series=("up",))
    assert chart_file.draw(panel).axes[0].get_ylim() == (0.5, 50)
    view = re.search(r'viewBox="([^"]*)"', chart_svg.figure(panel))[1].split()
    assert -float(view[1]) == pytest.approx(np.log10(50), abs=0.05)
    assert float(view[3]) == pytest.approx(2, rel=0.05)
    shown = text(panel)
    assert shown[0] == "          numbers, log scale"
    assert (shown[1].split()[0], shown[12].split()[0]) == ("50", "0.5")


def test_curve_of_thousands_of_points_keeps_its_peaks():
    y = np.tile([0.5, 0.6], 10_000)
    y[7_777] = 0.99
    drawn = chart(
        Polyline(np.arange(1, 20_001), y, 0), x=Scale("epoch", 1, 20_000), y=Scale("", 0, 1), series=("one",)
    )
    d = re.search(r'class="line[^>]* d="([^"]*)"', chart_svg.figure(drawn))[1]
    assert len(d) < 1_000_000
    assert "L7778 -.99L" in d


def test_every_epoch_of_many_is_written():
    epochs = np.arange(199_970.0, 200_001.0)
    marks = (Polyline(epochs, epochs / 2e5, 0), Points(epochs, epochs / 2e5, "dot", 0))
    drawn = chart(*marks, x=Scale("epoch", 0, 200_000), y=Scale("", 0, 1), series=("one",))
    for d in re.findall(r' d="([^"]*)"', chart_svg.figure(drawn)):
        assert [float(place) for place in re.findall(r"[ML](\S+) ", d)] == epochs.tolist()


def test_names_at_the_ends_of_lines_do_not_overlap():
    many = tuple(f"group {i}" for i in range(10))
    drawn = chart(*(Polyline(X, X / (1 + i / 100), i, dash="series") for i in range(10)), series=many)
    places = [float(y) for y in re.findall(r'class="end[^>]*y="([\d.-]+)%">group', chart_svg.figure(drawn))]
    assert len(places) == 10
    assert min(np.diff(sorted(places))) >= chart_svg.LINE_HEIGHT - 0.11


def test_marks_end_an_axis_without_ends():
    """Also in text, where a chart of them was an error; what a logarithmic scale cannot show is no end."""
    marks = Polyline([1.0, 2.0, np.nan], [0.0, 30.0, 5.0], 0), Points([4.0], [-1.0], "dot", 0)
    panel = Panel(marks, Scale("epoch"), Scale("loss", log=True)).autoscaled()
    assert (panel.x.limits, panel.y.limits) == ((1.0, 4.0), (5.0, 30.0))
    drawn = text(chart(*marks, x=Scale("epoch"), y=Scale("loss", log=True)))
    assert (drawn[1].split()[0], drawn[12].split()[0]) == ("30", "5")
    assert drawn[14].split() == ["1", "epoch", "4"]
    assert Panel((), Scale(), Scale(low=2.0, high=3.0)).autoscaled().y.limits == (2.0, 3.0)
