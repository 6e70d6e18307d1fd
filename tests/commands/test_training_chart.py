"""Pictures of trainings: what is drawn where, for every kind of run, light and dark."""

import json
import re
from itertools import product

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from optilab import Lab, runs
from optilab.answer.charts.settings import settings_chart
from optilab.answer.charts.training import training_chart
from optilab.judge.comparison import compare_runs
from optilab.judge.curves import histories
from optilab.judge.groups import select_runs
from optilab.judge.measure import Measure
from optilab.show import chart_file
from tests.kit.generated import layered, planned, training

VANISHING = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]
EVEN = [0.3, 0.2, 0.2, 0.3, 0.4, 0.5]


def chart(folder, *names):
    return training_chart(histories(select_runs(folder, names or ["*"]).records))


def figure(folder, *names, dark=False):
    return chart_file.draw(chart(folder, *names), dark)


@pytest.fixture
def two(tmp_path):
    """Three seeds of a network whose gradient vanishes, three of one whose gradient does not."""
    for seed in (1, 2, 3):
        stuck = training(tmp_path, f"stuck{seed}", f"seed={seed}", accuracies=(0.1, 0.11, 0.1))
        layered(stuck, *[VANISHING] * 3)
        learns = (0.5 + 0.02 * seed, 0.7, 0.8 - 0.01 * seed)
        good = training(tmp_path, f"good{seed}", f"seed={seed}", "model.norm=batch", accuracies=learns)
        layered(good, *[EVEN] * 3)
    return tmp_path


def test_a_comparison_has_the_order_and_colors_of_the_runs(two):
    compared = Lab(two).compare("*")
    assert compared.document()["order"] == ["norm batch", "norm none"]
    assert compared.chart().series == chart(two).series == ("norm none", "norm batch")


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_file_has_the_same_bytes_again(two, kind):
    for name in ("a", "b"):
        chart_file.save(chart(two), str(two / f"{name}.{kind}"))
    data = (two / f"a.{kind}").read_bytes()
    assert data == (two / f"b.{kind}").read_bytes()
    if kind == "svg":
        labels = (
            "norm none",
            "norm batch",
            "chance level",
            "sigmoid, ",
            "seeds 1 to 3",
            "validation",
            "95% interval",
        )
        assert all(label in data.decode() for label in labels)


def test_curves_bands_and_stars_are_those_of_the_runs(two):
    accuracies = figure(two).axes[1]
    stuck, good = (line for line in accuracies.lines if line.get_linewidth() == 2.2)
    assert good.get_ydata() == pytest.approx([0.54, 0.7, 0.78])
    assert good.get_xdata().tolist() == [1, 2, 3]
    assert good.get_marker() != stuck.get_marker()
    stars = [line.get_xydata() for line in accuracies.lines if line.get_marker() == "*"]
    assert [3, pytest.approx(0.78)] in [list(star[0]) for star in stars if len(star)]
    assert len(accuracies.collections) == 2  # a band per group
    half = 4.302652729911275 * 0.02 / np.sqrt(3)  # t of 2 degrees of freedom
    corners = np.concatenate([band.get_paths()[0].vertices for band in accuracies.collections])
    first = corners[np.isclose(corners[:, 0], 1) & (corners[:, 1] > 0.3), 1]
    assert [first.min(), first.max()] == pytest.approx([0.54 - half, 0.54 + half])


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_have_no_band(tmp_path, seeds):
    """The interval of two, 13 standard errors wide, says nothing and hides the rest: they are single lines."""
    for seed in range(seeds):
        training(tmp_path, f"run{seed}", f"seed={seed}", accuracies=(0.1, 0.4 + seed / 10))
    drawn = figure(tmp_path)
    _, accuracies = drawn.axes
    assert not accuracies.collections
    assert ("each seed" in [text.get_text() for text in drawn.legends[0].get_texts()]) == (seeds > 1)
    assert len([line for line in accuracies.lines if line.get_linewidth() == 0.6]) == (seeds if seeds > 1 else 0)


def layers(drawn):
    """The heat maps in the order of their columns: per quantity, from the first group to the last."""
    maps = [axes for axes in drawn.axes if axes.texts]
    images = [mesh for axes in maps for mesh in axes.collections if isinstance(mesh, QuadMesh)]
    return [image for column in range(3) for image in images[column::3]]


def test_layers_stand_from_the_input_up_on_one_scale(two):
    drawn = figure(two)
    images = layers(drawn)
    assert len(images) == 6
    stuck, good = images[:2]
    assert stuck.get_array().data[:, 0] == pytest.approx(VANISHING)
    assert [label.get_text() for label in stuck.axes.get_yticklabels()] == ["1", "2", "3", "4", "5", "out"]
    assert stuck.axes.get_ylim() == (0.5, 6.5)
    assert stuck.norm.vmin == good.norm.vmin == pytest.approx(1e-5)
    colours = [tuple(stuck.cmap(stuck.norm(value))) for value in VANISHING]
    assert len(set(colours)) == 6
    values = [text.get_text() for text in stuck.axes.texts]
    assert values == ["1e-5", "1e-4", "1e-3", "1e-2", "1e-1", "1e+0"]
    assert (images[4].norm.vmin, images[4].norm.vmax) == (0, 1)  # saturated


def test_scale_of_layers_has_sense(tmp_path):
    """It spans four decades at least, and twelve where norms are zero."""
    layered(training(tmp_path / "even", "run", accuracies=(0.1,)), EVEN)
    image = layers(figure(tmp_path / "even"))[0]
    assert image.norm.vmax / image.norm.vmin == pytest.approx(1e4)
    layered(training(tmp_path / "zero", "run", accuracies=(0.1,)), [0.0, 1e-38, 1.0])
    image = layers(figure(tmp_path / "zero"))[0]
    assert image.norm.vmin == pytest.approx(1e-12)
    assert image.axes.texts[0].get_text() == "0"


def test_a_diverged_run_does_not_flatten_the_others(two):
    bad = training(two, "bad", "optimizer.lr=99", accuracies=(0.1, -1e30), status="diverged")
    layered(bad, VANISHING, [1e30] * 6)
    drawn = figure(two)
    assert drawn.axes[0].get_ylim()[1] < 2
    assert "norm none, lr 99 (diverged)" in [text.get_text() for text in drawn.legends[0].get_texts()]
    assert layers(drawn)[0].norm.vmax == pytest.approx(1.0)


def test_layers_of_the_first_groups_are_drawn(tmp_path):
    for number in range(1, 8):
        layered(training(tmp_path, f"run{number}", f"optimizer.lr={number}"), VANISHING, EVEN)
    assert len(layers(figure(tmp_path))) == 6


@pytest.mark.parametrize(("size", "inches"), [("column", 3.3), ("page", 6.9)])
def test_picture_for_a_paper_has_its_width_and_fonts(two, size, inches):
    """Submission systems refuse fonts of type 3, and a text of 8 points is one in the column, too."""
    chart_file.save(chart(two), str(two / "a.pdf"), size=size)
    data = (two / "a.pdf").read_bytes()
    assert float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", data)[1]) == pytest.approx(72 * inches, abs=0.5)
    assert b"/Type3" not in data
    chart_file.save(chart(two), str(two / "a.svg"), size=size)
    assert set(re.findall(r"font: ([\d.]+)px", (two / "a.svg").read_text())) <= {
        "8",
        "6.664",
        "5.552",
        "5.6",
        "4.6648",
        "3.8864",
    }  # small, and exponents


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_sweep_is_drawn_over_its_settings(optilab, tmp_path, axes):
    """A curve over one setting, a heat map of two with its color bar, the means over each of three."""
    study, trials = tmp_path / "runs" / "lrs", []
    values = [("optimizer.lr", (0.01, 0.1, 1.0)), ("model.norm", ("none", "batch")), ("data.batch_size", (32, 64))]
    for number, point in enumerate(product(*(choices for _, choices in values[:axes]))):
        settings = [f"{key}={value}" for (key, _), value in zip(values, point, strict=False)]
        training(study, f"t{number}", *settings, accuracies=(0.1, 0.02 * number + 0.1))
        trials.append({"trial": f"t{number}"})
    planned(study, trials)
    (study / "study.yaml").write_text("config: sigmoid.yaml\nover: {optimizer.lr: [0.01, 0.1, 1]}\n")
    manifest = {**runs.read(study / "t0").manifest, "command": "sweep", "argv": ["optilab", "sweep"]}
    (study / "manifest.json").write_text(json.dumps(manifest))
    comparison = compare_runs(select_runs(tmp_path / "runs", ["lrs"]).records, Measure())
    assert len(chart_file.draw(settings_chart(comparison)).axes) == axes
    for line, label in ((["--out", "lrs.svg"], "val_acc"), (["--curves", "--out", "curves.svg"], "validation")):
        optilab("runs", "plot", "lrs", *line)
        assert label in (tmp_path / line[-1]).read_text()
