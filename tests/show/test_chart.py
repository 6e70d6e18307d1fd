"""A chart of no subject: what each painter makes of the same value."""

from typing import get_args

import numpy as np
import pytest

from optilab.show import chart_file, chart_page, chart_text
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
    Scale,
    TextSize,
    Threshold,
)

PIPE = chart_text.Screen(40)
TERMINAL = chart_text.Screen(40, braille=True, blocks=True, color=True)
X = np.arange(5.0)


def lines(count, role="", **options):
    return tuple(Polyline(X, X + i, i, role, **options) for i in range(count))


ACROSS, UP = Scale("x", 0, 4), Scale("", 0, 5)


def chart(*marks, series=("up", "higher"), x=ACROSS, y=UP, **options):
    return Chart((PanelRow((Panel(marks, x, y, "numbers", **options),)),), series, text=TextSize(6))


def text(drawn, screen=PIPE):
    return ["".join(part for part, _ in line).rstrip() for line in chart_text.paint(drawn, screen)]


def test_places_on_a_scale():
    assert Scale("", 2, 6).place([2, 5, 8]) == pytest.approx([0, 0.75, 1.5])
    assert Scale("", 0.01, 100, log=True).place([0.01, 1, 0]) == pytest.approx([0, 0.5, -np.inf])
    assert Scale("", 3, 3).place(3) == 0
    with pytest.raises(ValueError, match="marks set the ends"):
        Scale("of its marks").place(1)


def test_ascii():
    assert text(chart(*lines(2))) == [
        "          numbers",
        "       5 |                         bbbbb",
        "         |                   bbbbbb aaaa",
        "         |           bbbbbbbbaaaaaaa",
        "         |     bbbbbb aaaaaa",
        "         |bbbbbaaaaaaa",
        "       0 |aaaa",
        "         +------------------------------",
        "          0             x              4",
        "         a up   b higher",
    ]


def test_color_belongs_to_a_series_in_every_medium():
    """Also where the series before it has no line."""
    both, alone = (chart(*marks) for marks in (lines(2), lines(2)[1:]))
    for drawn in (both, alone):
        painted = chart_text.paint(drawn, TERMINAL)
        styles = {style for line in painted for part, style in line if part.strip() == "b"}
        assert styles == {f"bold {chart_text.COLORS[1]}"}
        assert chart_file.draw(drawn).axes[0].lines[-1].get_color() == chart_file.LIGHT.color(1)
        assert chart_page.curves(drawn.panels[0], drawn.series)["values"][1] == (X + 1).tolist()


def test_roles_of_a_single_series_are_told_apart():
    training = Polyline(X, X, 0, "training")
    validation = Polyline(X, X + 1, 0, "validation", note="best 5")
    assert text(chart(training, validation, series=("one",)))[-2:] == [
        "          t training",
        "          v validation   best 5",
    ]
    faint = lines(2, detail=True)
    assert text(chart(*lines(2), *faint)) == text(chart(*lines(2)))


def test_every_mark_has_a_painter_of_files():
    plane = Heatmap(np.eye(3), X[:3], X[:3], Scale("z"), gone=np.zeros((3, 3), bool))
    edge = Contour(lambda x, y: x + y[:, None], level=2.0, label="edge")
    marks = [
        plane,
        edge,
        Points([1], [1], "optimum", label="here"),
        *lines(1),
        Threshold(1),
        Band(X, X, X, 0),
    ]
    assert {type(mark) for mark in marks} == set(get_args(Mark))
    figure = chart_file.draw(chart(*marks))
    assert [label.get_text() for label in figure.legends[0].get_texts()] == ["diverged", "edge", "here"]


def test_range_is_the_same_in_every_medium():
    y = Scale("", 0.5, 50, log=True)
    panel = chart(*lines(1), y=y, series=("up",))
    assert chart_file.draw(panel).axes[0].get_ylim() == (0.5, 50)
    page = chart_page.curves(panel.panels[0], panel.series)
    assert (page["low"], page["high"], page["log"]) == (0.5, 50, True)
    shown = text(panel)
    assert shown[0] == "          numbers, log scale"
    assert (shown[1].split()[0], shown[6].split()[0]) == ("50", "0.5")


def test_marks_end_an_axis_without_ends():
    """Also in text, where a chart of them was an error; what a logarithmic scale cannot show is no end."""
    marks = Polyline([1.0, 2.0, np.nan], [0.0, 30.0, 5.0], 0), Points([4.0], [-1.0], "dot", 0)
    panel = Panel(marks, Scale("epoch"), Scale("loss", log=True)).with_ends()
    assert (panel.x.ends, panel.y.ends) == ((1.0, 4.0), (5.0, 30.0))
    drawn = text(chart(*marks, x=Scale("epoch"), y=Scale("loss", log=True)))
    assert (drawn[1].split()[0], drawn[6].split()[0]) == ("30", "5")
    assert drawn[8].split() == ["1", "epoch", "4"]
    assert Panel((), Scale(), Scale(low=2.0, high=3.0)).with_ends().y.ends == (2.0, 3.0)
