"""The report in Chromium: its numbers are those of the runs, and its controls work."""

import csv
import json
import re

import numpy as np
import pytest

from optilab import runs
from optilab.commands.curves_page import curves
from optilab.show.page import safe_json
from optilab.study.curves import MEASURED, History, LayerHistory, curve
from tests.study.generated import layered, training

pytestmark = pytest.mark.browser

RISING, FLAT = (0.123456, 0.4, 0.65), (0.1, 0.1, 0.1)
LOSS, ACCURACY = "#curves-charts .chart:nth-child(1)", "#curves-charts .chart:nth-child(2)"
FRAMES = "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
UNFOLD = "for (const part of document.querySelectorAll('details')) part.open = true"
RIGHT, END, ESCAPE = "\ue014", "\ue010", "\ue00c"


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

    def write(*arguments, fragment="", **window):
        optilab("report", *arguments, "--out", "report.html")
        page.open(tmp_path / "report.html", fragment, **window)
        return page

    return write


def hover(page, chart, fraction):
    """Move the mouse to a fraction of the width of a plot; the text of the tooltip."""
    x, y = page.script(
        "const over = document.querySelector(arguments[0]).querySelector('.u-over');"
        "over.scrollIntoView({block: 'center'});"
        "const box = over.getBoundingClientRect();"
        "return [box.left + arguments[1] * box.width, box.top + box.height / 2]",
        chart,
        fraction,
    )
    for place in (x - 2, x):
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": place, "y": y})
    page.script(FRAMES)
    return page.text(f"{chart} .tip")


# --- numbers -------------------------------------------------------------------------------------------------


def test_answer_and_table_are_those_of_compare(report, folder, optilab):
    page = report("*")
    assert page.text("h1") == "Which lr is the best by last val_acc?"
    verdict = re.search("verdict: (.*)", optilab("runs", "compare", "*").stdout)[1]
    assert page.text("#answer") == verdict.partition("; if the difference is real")[0]
    table = list(csv.DictReader(optilab("runs", "compare", "*", "--format", "csv").stdout.splitlines()))
    shown = page.script("return [...document.querySelectorAll('.results tbody tr')].map((row) => row.innerText)")
    for text, row in zip(shown, table, strict=True):
        assert text.split("\t")[0].strip() == row["optimizer.lr"]
        assert f"{float(row['mean']):.1%}" in text
        assert row["verdict"] in text


def test_hovering_shows_numbers_of_metrics_csv(report, folder):
    page = report("lr0.1-2")
    for fraction, row in zip((0.01, 0.5, 0.99), runs.read(folder / "runs" / "lr0.1-2").rows(), strict=True):
        text = hover(page, ACCURACY, fraction)
        assert f"epoch {row['epoch']}" in text
        assert text.count(f"{row['val_acc']:.1%}") == 2  # training and validation are equal here
        loss = float(f"{row['val_loss']:.3g}")
        assert hover(page, LOSS, fraction).count(f"{loss:g}") == 2
    assert page.text("h1") == "How well does sigmoid train?"
    assert page.text("#answer") == "Last val_acc: 67.0%"


def test_group_shows_mean_and_interval(report, folder):
    """In the tooltip, and in the tables below the charts."""
    page = report("*")
    text = hover(page, ACCURACY, 0.99)
    half = 4.302652729911275 * 0.01 / np.sqrt(3)  # t of 2 degrees of freedom
    low, high = (f"{0.67 + sign * half:.1%}" for sign in (-1, 1))
    assert "lr 0.1, validation, mean of 3" in text
    assert f"67.0% ({low} to {high})" in text
    page.script(UNFOLD)
    page.script(FRAMES)
    numbers = ["3", "0.33", "0.33", "67.0%", "67.0%", *["0.88"] * 2, *["12.0%"] * 2]
    assert page.text("#numbers tbody tr:last-child").split() == numbers
    assert "lr 0.1\t1\t1e-06\t1e-07\t25.0%" in page.text("#layers-charts + details tbody")


def test_verdict_ends_in_a_command(report, tmp_path):
    """A decided one with what limits the best; an open one with further seeds of both."""
    levels = {
        "best": (0.2, (0.9, 0.91, 0.92)),
        "near": (0.3, (0.91, 0.9, 0.92)),
        "worse": (0.4, (0.11, 0.1, 0.13)),
    }
    for name, (lr, reached) in levels.items():
        for seed, level in enumerate(reached, start=1):
            changes = (f"optimizer.lr={lr}", f"seed={seed}")
            training(tmp_path / "runs", f"{name}-{seed}", *changes, accuracies=(0.1, level))
    assert report("best-*", "worse-*").text(".decide pre") == "optilab diagnose best-1"
    command = "optilab train --config runs/{}-1/config.yaml --seed {} --seeds {}"
    open_one = report("best-1", "best-3", "near-*", "worse-*")
    assert sorted(open_one.text(".decide pre").splitlines()) == [
        command.format("best", 2, 1),
        command.format("best", 4, 20),
        command.format("near", 4, 20),
    ]


# --- controls ------------------------------------------------------------------------------------------------


def test_groups_and_charts_follow_the_keyboard(report, folder):
    page = report("*")
    for is_shown in (True, False):
        assert ("lr 0.01" in hover(page, ACCURACY, 0.5)) == is_shown
        page.press("#groups button:last-child", " ")
    page.press(ACCURACY, RIGHT)
    assert "epoch 1" in page.text(f"{ACCURACY} .tip")
    page.press(ACCURACY, END)
    assert "epoch 3" in page.text(f"{ACCURACY} .tip")
    page.press(ACCURACY, ESCAPE)
    assert page.script("return document.querySelector(arguments[0] + ' .tip').hidden", ACCURACY)


def test_run_unfolds_its_config_and_copies_it(report, folder):
    page = report("*")
    page.script("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.press(".unfold", "\ue007")
    config = (folder / "runs" / page.text(".unfold") / "config.yaml").read_text()
    assert page.text(".config pre").strip() == config.strip()
    page.press(".config .copy", " ")
    assert page.script("return window.copied") == config
    page.press(".copy-table", " ")
    table = list(csv.DictReader(page.script("return window.copied").splitlines()))
    assert [(row["run"], float(row["val acc"])) for row in table][:1] == [("lr0.1-1", 0.66)]


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


def test_table_sorts_and_filters_as_its_address_says(report, drawn_study, page, tmp_path):
    page = report("*")
    shown = (
        "return [...document.querySelectorAll('.results tbody tr')].filter((r) => !r.hidden)"
        ".map((r) => [r.innerText, parseFloat(r.querySelector('td').textContent)])"
    )
    assert len(page.script(shown)) == 25
    page.enter("input[type=search]", "zzz")
    assert page.script(shown) == []
    page.enter("input[type=search]", "batch")
    filtered = page.script(shown)
    assert len(filtered) == 10
    assert all("batch" in text for text, _ in filtered)
    page.press(".results th:nth-child(4) .sort", " ")  # after three settings
    in_order = sorted(value for _, value in filtered)
    assert [value for _, value in page.script(shown)] == in_order
    page.open(tmp_path / "report.html", page.script("return location.hash.slice(1)"))
    assert [value for _, value in page.script(shown)] == in_order


@pytest.mark.nightly
def test_sorting_knows_numbers_and_missing_values(report, folder):
    for lr in ("0.001", "0.00785"):
        training(folder / "runs", f"lr{lr}-1", f"optimizer.lr={lr}", "seed=1", accuracies=FLAT)
    page = report("*")
    rows = "[...document.querySelectorAll('.results tbody tr')]"
    page.script(f"{rows}.forEach((row, i) => (row.cells[0].textContent = ['9.5', '<0.001', '10', ''][i]))")
    for order in (["<0.001", "9.5", "10", ""], ["10", "9.5", "<0.001", ""]):
        page.press(".results th:nth-child(1) .sort", " ")
        assert page.script(f"return {rows}.map((row) => row.cells[0].textContent.trim())") == order


@pytest.mark.nightly
def test_zoomed_chart_is_saved_as_svg_and_csv(report, folder):
    page = report("*")
    page.script(
        "window.saved = []; URL.createObjectURL = (blob) => { saved.push(blob); return 'blob:x' };"
        "HTMLAnchorElement.prototype.click = function () { saved.push(this.download) }"
    )
    page.enter(f"{ACCURACY} .tools select", "CSV")
    page.drag(f"{ACCURACY} .u-over", (60, 40), (160, 120))
    hover(page, ACCURACY, 0.5)
    epoch = re.search(r"epoch (\d)", page.text(f"{ACCURACY} .tip .muted"))[1]
    page.enter(f"{ACCURACY} .tools select", "SVG")
    values, values_name, svg, svg_name = page.script(
        "return Promise.all(saved.map((one) => (typeof one === 'string' ? one : one.text())))"
    )
    assert (svg_name, values_name) == ("accuracy.svg", "accuracy.csv")
    head, *table = csv.reader(values.splitlines())
    assert float(table[-1][head.index("lr 0.1, validation, mean of 3")]) == pytest.approx(0.67)
    ticks = re.findall(r'text-anchor="middle"[^>]*>(\d)</text>', svg)
    assert len(ticks) >= 2
    assert epoch in ticks


# --- the page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "dark"), [(360, False), pytest.param(1600, True, marks=pytest.mark.nightly)], ids=str
)
def test_report_fits_phone_and_wide_window(report, folder, width, dark):
    page = report("*", width=width, dark=dark)
    page.script(UNFOLD)
    page.script(FRAMES)
    assert page.overflow() == 0
    ground = page.script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    charts = page.script(
        "return [...document.querySelectorAll('.chart')]"
        ".map((chart) => [chart.clientWidth, chart.querySelector('canvas').clientWidth])"
    )
    assert len(charts) == 8
    assert all(abs(box - canvas) <= 1 for box, canvas in charts)


def test_printed_report_is_light_and_names_runs(report, folder):
    page = report("*", width=1000, dark=True)
    ink = "return getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    assert page.script(ink) == "#e6e9ed"
    page.script("dispatchEvent(new Event('beforeprint'))")
    assert page.script(ink) == "#1b1f24"
    page.script("dispatchEvent(new Event('afterprint'))")
    assert page.script(ink) == "#e6e9ed"
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    listed = "return [...document.querySelectorAll('.runs tbody tr:not(.config)')].map((r) => r.innerText)"
    names = sorted(row.split()[0] for row in page.script(listed))
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert names == [f"lr{lr}-{seed}" for lr in ("0.01", "0.1") for seed in (1, 2, 3)]
    assert page.driver.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith("JVBERi0")  # %PDF-


def test_color_of_a_group_ignores_its_rank(folder, optilab):
    """One more seed recolors nothing."""

    def looks():
        optilab("report", "*")
        data = re.search(r'id="data"[^>]*>(.*?)</script>', (folder / "report.html").read_text(), re.DOTALL)[1]
        return {group["name"]: group["look"] for group in json.loads(data)["groups"]}

    before = looks()
    for seed in (4, 5, 6):
        training(folder / "runs", f"lr0.01-{seed}", "optimizer.lr=0.01", f"seed={seed}", accuracies=(0.99,) * 3)
    assert looks() == before == {"lr 0.01": 0, "lr 0.1": 1}


# --- data of curves ------------------------------------------------------------------------------------------


def drawn_history(number, epochs, seeds, layers=6, diverged=0):
    rng = np.random.default_rng(number)
    shown = {
        metric: curve({seed: rng.uniform(0.1, 1, epochs) for seed in range(seeds)})
        for metric in ("train_loss", "val_loss", "train_acc", "val_acc")
    }
    values = {quantity: rng.uniform(1e-6, 1, (layers, epochs)) for quantity in MEASURED}
    names = (*map(str, range(1, layers)), "out")
    best = int(np.argmax(shown["val_acc"].mean)) + 1
    return History(f"group {number}", shown, best, LayerHistory(names, values), None, seeds, diverged, 10)


@pytest.mark.parametrize(("groups", "seeds", "megabytes"), [(34, 3, 5), (1000, 1, 6)], ids=str)
def test_data_of_many_trainings_stay_small(groups, seeds, megabytes):
    data = curves([drawn_history(number, 300, seeds) for number in range(groups)])
    assert len(safe_json(data)) < 1e6 * megabytes
    assert (data["epochs"][0], data["epochs"][-1]) == (1, 300)


def test_thinned_curves_show_recorded_values():
    """With the last epoch of each group; few trainings are whole, and what is not finite is a gap."""
    histories = [drawn_history(number, 300 if number else 17, 3, diverged=not number) for number in range(334)]
    data = curves(histories)
    assert data["every"] > 1
    assert {17, 300} <= set(data["epochs"])
    for history, shown in zip(histories, data["groups"], strict=True):
        epochs = [epoch for epoch in data["epochs"] if epoch <= history.epochs]
        for key, metric in (("val", "val_acc"), ("train", "train_acc")):
            recorded = [history.curves[metric].mean[epoch - 1] for epoch in epochs]
            assert shown["acc"][key] == pytest.approx(recorded, rel=1e-5)
    history = drawn_history(0, 300, 3)
    history.curves["val_loss"].mean[1] = np.inf
    data = curves([history, None])
    assert data["epochs"] == list(range(1, 301))
    assert data["groups"][0]["loss"]["val"][1] is None
    assert data["groups"][1] is None
