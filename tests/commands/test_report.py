"""The report in Chromium: its numbers are those of the runs, and its controls work."""

import csv
import json
import re

import numpy as np
import pytest

from optilab import runs
from tests.kit.generated import layered, training

RISING, FLAT = (0.123456, 0.4, 0.65), (0.1, 0.1, 0.1)
LOSS, ACCURACY = (f".of2 .chart:nth-child({number})" for number in (1, 2))
UNFOLD = "for (const part of document.querySelectorAll('details')) part.open = true"
ROWS = "[...document.querySelector('table').tBodies[0].rows]"
HOME, END, ESCAPE = "\ue011", "\ue010", "\ue00c"


@pytest.fixture
def folder(tmp_path):
    """A grid of two settings with three seeds each, and layers."""
    for lr, ends in (("0.01", FLAT), ("0.1", RISING)):
        for seed in (1, 2, 3):
            accuracies = [value + 0.01 * seed for value in ends]
            changes = (f"optimizer.lr={lr}", f"seed={seed}")
            run = training(tmp_path / "runs", f"lr{lr}-{seed}", *changes, accuracies=accuracies)
            layered(run, *[(1e-6, 1e-3, 1.0)] * 3)
    return tmp_path


@pytest.fixture
def report(optilab, tmp_path, page):
    """Write the report of some runs and open it."""

    def write(*arguments, **window):
        optilab("report", *arguments, "--out", "report.html")
        page.open(tmp_path / "report.html", **window)
        return page

    return write


def hover(page, chart, fraction, height=0.5):
    """Move the mouse to a fraction of the width of a plot; the values that are shown."""
    x, y = page.script(
        "const frame = document.querySelector(arguments[0]).querySelector('.frame');"
        "frame.scrollIntoView({block: 'center'});"
        "const box = frame.getBoundingClientRect();"
        "return [box.left + arguments[1] * box.width, box.top + arguments[2] * box.height]",
        chart,
        fraction,
        height,
    )
    for place in (x - 2, x):
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": place, "y": y})
    return page.text(".tip")


# --- numbers -------------------------------------------------------------------------------------------------


def test_answer_and_table_are_those_of_compare(report, folder, optilab):
    page = report("*")
    assert page.text("h1") == "Which lr is the best by last val_acc?"
    assert page.text(".answer") == re.search("verdict: (.*)", optilab("runs", "compare", "*").stdout)[1]
    table = list(csv.DictReader(optilab("runs", "compare", "*", "--format", "csv").stdout.splitlines()))
    for text, row in zip(page.script(f"return {ROWS}.map((row) => row.innerText)"), table, strict=True):
        cells = text.split("\t")
        assert cells[0].strip() == row["group"]
        assert {f"{float(row['mean']):.1%}", row["verdict"]} <= {*cells}


def test_curves_are_metrics_csv(report, folder):
    """The drawn mark, and the text that hovering shows."""
    page = report("lr0.1-2")
    rows = runs.read(folder / "runs" / "lr0.1-2").rows()
    d = page.script(
        "return document.querySelector(arguments[0] + ' .line[data-name$=validation]').getAttribute('d')", ACCURACY
    )
    points = [[float(number) for number in point.split()] for point in re.split("[ML]", d)[1:]]
    assert points == [[row["epoch"], pytest.approx(-row["val_acc"], rel=1e-4)] for row in rows]
    for fraction, row in zip((0.01, 0.5, 0.99), rows, strict=True):
        text = hover(page, ACCURACY, fraction)
        assert f"epoch {row['epoch']}" in text
        assert text.count(f"{row['val_acc']:.1%}") == 2  # training and validation are equal here
        assert hover(page, LOSS, fraction).count(f"{row['val_loss']:.5g}") == 2
    assert page.text("h1") == "How well does sigmoid train?"
    assert page.text(".answer") == "sigmoid: last val_acc 67.0%; nothing to compare it with"


def test_group_shows_mean_interval_and_layers(report, folder):
    page = report("*")
    assert "lr 0.1\t67.0%" in hover(page, ACCURACY, 0.99)
    d = page.script("return document.querySelector(arguments[0] + ' .band.c1').getAttribute('d')", ACCURACY)
    half = 4.302652729911275 * 0.01 / np.sqrt(3)  # t of 2 degrees of freedom
    ends = [-float(part.split()[1]) for part in re.split("[MLZ]", d) if part.startswith("3 ")]
    assert sorted(ends) == pytest.approx([0.67 - half, 0.67 + half], rel=1e-3)
    page.script(UNFOLD)
    tables = page.script("return [...document.querySelectorAll('table')].map((table) => table.innerText)")
    assert any("lr 0.1\t1\t1e\u221206\t1e\u221207\t25.0%" in text.replace("1e-", "1e\u2212") for text in tables)


def test_verdict_ends_in_a_command(report, folder, optilab):
    step = json.loads(optilab("runs", "compare", "*", "--json").stdout)["next_step"]
    assert report("*").text("pre") == step["command"] == "optilab diagnose runs/lr0.1-1"


# --- controls ------------------------------------------------------------------------------------------------


def test_groups_and_charts_follow_the_keyboard(report, folder):
    page = report("*")
    for is_shown in (True, False):
        assert ("lr 0.01" in hover(page, ACCURACY, 0.5)) == is_shown
        page.press("input[value='0']", " ")
    for key, epoch in ((HOME, 1), (END, 3)):
        page.press(ACCURACY, key)
        assert f"epoch {epoch}" in page.text(".tip")
    page.press(ACCURACY, ESCAPE)
    assert page.script("return document.querySelector('.tip').hidden")


def test_line_under_the_pointer_dims_the_others_and_a_drag_enlarges(report, folder):
    page = report("*")
    hover(page, ACCURACY, 0.99, 0.06)
    opacity = (
        "return [...document.querySelectorAll('.line[data-name]')].map((line) => getComputedStyle(line).opacity)"
    )
    assert page.script(opacity) == ["0.2", "1"] * 2
    view = "return document.querySelector(arguments[0] + ' .plot').getAttribute('viewBox').split(' ').map(Number)"
    ticks = "return [...document.querySelectorAll(arguments[0] + ' .ticks .x')].map((text) => text.textContent)"
    whole, first = page.script(view, ACCURACY), page.script(ticks, ACCURACY)
    page.drag(f"{ACCURACY} .frame", (40, 40), (160, 120))
    x, y, wide, high = page.script(view, ACCURACY)
    assert (y, high) == (whole[1], whole[3])
    assert x > whole[0]
    assert wide < whole[2]
    page.press(ACCURACY, ESCAPE)
    assert (page.script(view, ACCURACY), page.script(ticks, ACCURACY)) == (whole, first)


def test_ticks_and_epochs_have_all_their_digits(report, folder):
    """A part of the axes of 200,000 epochs, and the place under the pointer."""
    page = report("lr0.1-2")
    page.script(
        "for (const line of document.querySelectorAll('.line')) line.setAttribute('d', 'M100003 -.9L199979 -.9');"
        "zoomTo(document.querySelector(arguments[0]), [100000, -0.905, 7, 0.01])",
        ACCURACY,
    )
    shown = "return [...document.querySelectorAll(arguments[0])].map((text) => text.textContent)"
    assert page.script(shown, f"{ACCURACY} .ticks .x") == [str(epoch) for epoch in range(100_000, 100_008)]
    assert page.script(shown, f"{ACCURACY} .ticks .y") == ["89.6%", "89.8%", "90%", "90.2%", "90.4%"]
    assert "epoch 100003\n" in hover(page, ACCURACY, 0.5)


def test_run_has_its_config(report, folder):
    """The first in full, the others as options that change it."""
    page = report("*")
    page.script("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.script(UNFOLD)
    page.script("document.querySelector('pre:not(.command)').previousElementSibling.click()")
    assert page.script("return window.copied") == (folder / "runs" / "lr0.1-1" / "config.yaml").read_text()
    rows = page.script("return [...document.querySelectorAll('tr')].map((row) => row.innerText)")
    row = next(row for row in rows if row.startswith("lr0.01-2"))
    assert row.endswith("--set optimizer.lr=0.01 --set seed=2")


@pytest.fixture
def drawn_study(tmp_path):
    """Three settings, drawn at random, with two seeds each."""
    rng = np.random.default_rng(0)
    for number in range(30):
        lr, norm, size = 10 ** rng.uniform(-3, 0), ("none", "batch", "layer")[number % 3], (32, 64)[number % 2]
        for seed in (1, 2):
            level = 0.3 + 0.2 * (norm == "batch") - 0.1 * abs(np.log10(lr) + 1) + 0.01 * seed * rng.normal()
            changes = (f"optimizer.lr={lr:.6g}", f"model.norm={norm}", f"data.batch_size={size}", f"seed={seed}")
            training(tmp_path / "runs", f"n{number:02}-{seed}", *changes, accuracies=[0.1, float(level)])


def test_table_sorts_and_filters(report, drawn_study):
    page = report("*")
    shown = f"return {ROWS}.filter((r) => !r.hidden).map((r) => [r.innerText, parseFloat(r.cells[1].textContent)])"
    assert len(page.script(shown)) == 30
    page.enter("input[type=search]", "zzz")
    assert page.script(shown) == []
    page.enter("input[type=search]", "batch,")
    filtered = page.script(shown)
    assert len(filtered) == 10
    page.press("th:nth-child(2) .sort", " ")
    assert [value for _, value in page.script(shown)] == sorted(value for _, value in filtered)
    page.script(f"{ROWS}.forEach((row, i) => (row.cells[1].textContent = ['9.5', '<0.001', '10', ''][i % 4]))")
    for order in (["10", "9.5", "<0.001", ""], ["<0.001", "9.5", "10", ""]):
        page.press("th:nth-child(2) .sort", " ")
        texts = page.script(f"return {ROWS}.map((row) => row.cells[1].textContent)")
        assert list(dict.fromkeys(texts)) == order


# --- the page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "dark"), [(360, False), pytest.param(1600, True, marks=pytest.mark.nightly)], ids=str
)
def test_report_fits_phone_and_wide_window(report, folder, width, dark):
    page = report("*", width=width, dark=dark)
    page.script(UNFOLD)
    assert page.overflow() == 0
    ground = page.script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    frames = "return [...document.querySelectorAll('.frame')].map((frame) => frame.getBoundingClientRect().width)"
    assert len(page.script(frames)) == 8
    assert min(page.script(frames)) > 150


def test_an_exercise_is_one_page(report, optilab, folder):
    """Runs of optimize come before the trainings, each below its heading."""
    optilab("optimize", "sgd,adam", "--lr", "0.1", "--name", "paths", "--quiet")
    page = report("lr*", "paths")
    headings = page.script("return [...document.querySelectorAll('h2')].map((e) => e.textContent)")
    assert headings[0] == "sgd, adam on ravine, 30 epochs"
    assert any(heading.startswith("Which lr is the best") for heading in headings[1:])
    first = page.script("return document.querySelector('section').textContent")
    assert all(text in first for text in ("sgd", "adam", "w1", "lr 0.1"))
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hints = "return [...document.querySelectorAll('.screen')].map((e) => getComputedStyle(e).display)"
    assert set(page.script(hints)) <= {"none"}  # such as how a mouse reads a curve
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_printed_report_is_light(report, folder):
    page = report("*", width=1000, dark=True)
    ink = "return getComputedStyle(document.body).color"
    assert page.script(ink) == "rgb(230, 233, 237)"
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert page.script(ink) == "rgb(27, 31, 36)"
    page.script("document.documentElement.className = 'dark'")  # as with --dark
    assert page.script(ink) == "rgb(27, 31, 36)"
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert page.driver.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith("JVBERi0")  # %PDF-


def test_color_of_a_group_ignores_its_rank(folder, optilab):
    """One more seed recolors nothing."""

    def looks():
        optilab("report", "*")
        text = (folder / "report.html").read_text()
        return dict(re.findall(r'class="swatch (c\d) d\d"></span>(lr [\d.]+)</th>', text))

    before = looks()
    for seed in (4, 5, 6):
        training(folder / "runs", f"lr0.01-{seed}", "optimizer.lr=0.01", f"seed={seed}", accuracies=(0.99,) * 3)
    assert looks() == before == {"c0": "lr 0.01", "c1": "lr 0.1"}


@pytest.mark.parametrize(
    ("groups", "epochs", "kilobytes"),
    [(9, 30, 100), (100, 300, 2000), pytest.param(1000, 30, 2000, marks=pytest.mark.nightly)],
    ids=str,
)
def test_page_of_many_trainings_stays_small(tmp_path, optilab, groups, epochs, kilobytes):
    rng = np.random.default_rng(0)
    for number in range(groups):
        accuracies = rng.uniform(0.1, 0.9, epochs).tolist()
        training(tmp_path / "runs", f"n{number}", f"optimizer.lr={0.01 * (number + 1):g}", accuracies=accuracies)
    optilab("report", "*")
    assert (tmp_path / "report.html").stat().st_size < 1000 * kilobytes
