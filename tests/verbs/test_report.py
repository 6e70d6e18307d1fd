"""The report in a browser: its numbers are those of the runs, its controls work, names in it do nothing."""

import csv
import json
import re
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from optilab import runs
from optilab.errors import DataError
from optilab.verbs import comparison_tables
from tests.study.generated import layered, training

pytestmark = pytest.mark.browser

RISING, FLAT = (0.123456, 0.4, 0.65), (0.1, 0.1, 0.1)


@pytest.fixture
def folder(tmp_path):
    """A grid of two settings with three seeds each, and layers."""
    for lr, ends in (("0.01", FLAT), ("0.1", RISING)):
        for seed in (1, 2, 3):
            rows = [value + 0.01 * seed for value in ends]
            run = training(
                tmp_path / "runs", f"lr{lr}-{seed}", f"optimizer.lr={lr}", f"seed={seed}", accuracies=rows
            )
            layered(run, *[(1e-6, 1e-3, 1.0)] * 3)
    return tmp_path


@pytest.fixture
def written(optilab, folder, page):
    """Write the report of some runs and open it."""

    def write(*arguments, width=1200, dark=False):
        optilab("report", *arguments, "--out", "report.html")
        page.open(folder / "report.html", width=width, dark=dark)
        return page

    return write


def hover(page, chart, share):
    """Move the mouse to a share of the width of a chart's plot; the text of the tooltip."""
    x, y = page.script(
        "const over = document.querySelector(arguments[0]).querySelector('.u-over');"
        "over.scrollIntoView({block: 'center'});"
        "const box = over.getBoundingClientRect();"
        "return [box.left + arguments[1] * box.width, box.top + box.height / 2]",
        chart,
        share,
    )
    for place in (x - 2, x):
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": place, "y": y})
    page.script("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.text(f"{chart} .tip")


@pytest.mark.parametrize("width", [360, 1150])
def test_names_at_the_ends_of_lines_are_whole_and_apart(written, width):
    """Those of the groups and of the chance level, on which a group lies that learned nothing."""
    page = written("*")
    page.script(
        "window.words = []; const fill = CanvasRenderingContext2D.prototype.fillText, arguments_ = arguments;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {"
        " if (this.canvas.closest(arguments_[0])) words.push([text, y]); return fill.call(this, text, x, y) }",
        ACCURACY,
    )
    page.resize(width)  # every chart is drawn again
    page.script(
        "const drawn = () => words.some(([word]) => word === 'chance level');"
        "return new Promise((done) => { const look = () => (drawn() ? done() : setTimeout(look, 20)); look(); })"
    )
    places = {word: y for word, y in page.script("return words") if word.startswith(("lr ", "chance"))}
    assert set(places) == {"lr 0.01", "lr 0.1", "chance level"}
    heights = sorted(places.values())
    assert all(above + 13 < below for above, below in pairwise(heights))


LOSS, ACCURACY = "#curves-charts .chart:nth-child(1)", "#curves-charts .chart:nth-child(2)"


def test_question_answer_and_table_are_those_of_compare(written, optilab):
    page = written("*")
    assert page.text("h1") == "Which lr is the best by last val_acc?"
    verdict = re.search("verdict: (.*)", optilab("runs", "compare", "*").stdout)[1]
    assert page.text("#answer") == verdict.partition("; if the difference is real")[0]
    assert page.text("#answer strong") == verdict.partition(", ")[0]
    table = list(csv.DictReader(optilab("runs", "compare", "*", "--format", "csv").stdout.splitlines()))
    shown = page.script("return [...document.querySelectorAll('.results tbody tr')].map((row) => row.innerText)")
    assert len(shown) == len(table) == 2
    for text, row in zip(shown, table, strict=True):
        assert text.split("\t")[0].strip() == row["optimizer.lr"]  # the setting has a column
        assert f"{float(row['mean']):.1%}" in text
        assert row["verdict"] in text


def test_hovering_shows_the_number_of_metrics_csv(written, folder):
    page = written("lr0.1-2")
    rows = runs.read(folder / "runs" / "lr0.1-2").rows()
    for share, row in ((0.01, rows[0]), (0.5, rows[1]), (0.99, rows[2])):
        accuracy, loss = f"{row['val_acc']:.1%}", float(f"{row['val_loss']:.3g}")
        text = hover(page, ACCURACY, share)
        assert f"epoch {row['epoch']}" in text
        assert text.count(accuracy) == 2  # training and validation are equal here
        assert hover(page, LOSS, share).count(f"{loss:g}") == 2


def test_the_tip_names_the_thin_line_under_the_pointer(optilab, folder, page):
    """Of many groups the tip lists validation, and of the training that is under the pointer a row of its own."""
    for number, level in enumerate((0.125, 0.25, 0.5, 0.75)):
        run = training(folder / "runs", f"m{number}", f"optimizer.lr={number + 2}", accuracies=(level, level))
        path = run / "metrics.csv"
        path.write_text(
            path.read_text().replace(f",{1 - level:g},{level:g},", f",{1 - level:g},{level + 0.1234:g},", 2)
        )
    optilab("report", "m*")
    page.open(folder / "report.html")
    hover(page, ACCURACY, 0.99)
    height, bottom = page.script(
        "const over = document.querySelector(arguments[0] + ' .u-over'), box = over.getBoundingClientRect();"
        "return [box.height, box.bottom]",
        ACCURACY,
    )
    x = page.script(
        "return document.querySelector(arguments[0] + ' .u-over').getBoundingClientRect().right - 30", ACCURACY
    )
    low, high = page.script(
        "return Object.values(JSON.parse(document.getElementById('data').textContent).limits.acc)"
    )[:2]
    y = bottom - height * (0.8734 - low) / (high - low)
    page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
    page.script("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    cells = "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.textContent)"
    assert page.script(cells, f"{ACCURACY} .tip .lifted td") == ["lr 5, training", "87.3%"]
    names = page.script(cells, f"{ACCURACY} .tip td:first-child")
    assert names == ["lr 5, training", "lr 5", "lr 4", "lr 3", "lr 2"]


def test_no_two_lines_that_are_shown_look_the_same(optilab, tmp_path, page):
    """Of 40 groups, more than looks tell apart, whichever are chosen; their buttons are one stop of the keyboard."""
    for number in range(40):
        training(tmp_path / "runs", f"r{number:02}", f"optimizer.lr={number + 1}", accuracies=(0.1, 0.02 * number))
    optilab("report", "*")
    page.open(tmp_path / "report.html", "groups=0.25.30.39.24")
    looks = (
        "return [...document.querySelectorAll('#groups [aria-pressed=true] .swatch')]"
        ".map((swatch) => swatch.style.background)"
    )
    assert len(set(page.script(looks))) == 5
    page.press("#groups button[tabindex='0']:not(.all)", "\ue014", "\ue014", " ")
    assert len(set(page.script(looks))) == 6
    assert (
        page.script("return document.querySelectorAll('#groups button:not(.all, [tabindex=\"-1\"])').length") == 1
    )
    table = page.script("return [...document.querySelectorAll('.results .swatch')].map((s) => s.style.background)")
    assert len(set(table[:24])) == 24
    assert set(table[24:]) == {""}


def test_headings_say_what_they_mean(written):
    page = written("*")
    page.script(
        "document.querySelector('.results').closest('.scroll ~ details, section').querySelector('details').open = true"
    )
    heads = page.script(
        "return [...document.querySelectorAll('.results thead th')].map((h) => [h.innerText, h.title])"
    )
    told = dict(row.split("\t") for row in page.text("#results ~ details .pairs").splitlines())
    assert [name for name, title in heads if title] == list(told)
    assert {"95% interval", "seeds won", "p value", "seeds"} <= told.keys()
    ends = page.text(".results .ends").split()
    assert [ends[0], ends[-1]] == ["9.5%", "69.5%"]


def test_a_verdict_ends_in_a_command(written, folder):
    levels = {
        "best": (0.2, (0.9, 0.91, 0.92)),
        "near": (0.3, (0.91, 0.9, 0.92)),
        "worse": (0.4, (0.11, 0.1, 0.13)),
    }
    for name, (lr, reached) in levels.items():
        for seed, level in enumerate(reached, start=1):
            changes = (f"optimizer.lr={lr}", f"seed={seed}")
            training(folder / "runs", f"{name}-{seed}", *changes, accuracies=(0.1, level))
    decided = written("best-*", "worse-*")
    assert decided.text(".decide p") == "To see what limits the best:"
    assert decided.text(".decide pre") == "optilab diagnose best-1"
    opened = written("best-*", "near-*", "worse-*")
    told = "As a first step, train both from further seeds%s, and report all runs together:"
    assert opened.text(".decide p") == told % ""  # nothing tells them apart, so no number is known
    command = "optilab train --config runs/{}-1/config.yaml --seed {} --seeds {}"
    assert sorted(opened.text(".decide pre").splitlines()) == [
        command.format(name, 4, 3) for name in ("best", "near")
    ]
    opened = written("best-1", "best-3", "near-*", "worse-*")
    assert opened.text(".decide p") == told % " (lr 0.2 lacks seed 2)"
    assert sorted(opened.text(".decide pre").splitlines()) == [
        command.format("best", 2, 1),
        command.format("best", 4, 20),
        command.format("near", 4, 20),
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [(None, (3, False)), ((4, (2, 6)), (6, True)), ((30, (13, 87)), (20, False)), ((9, (4, None)), (20, False))],
)
def test_the_next_step_trains_what_the_answer_says(more, expected):
    """The most of the range where that is few; else a first step."""
    own = SimpleNamespace(verdict="cannot tell", key=0, difference=None)
    if more:
        own.difference = SimpleNamespace(more=more[0], more_range=more[1])
    assert comparison_tables.next_seeds(SimpleNamespace(ranked=[own]), 3) == expected
    if expected[1]:  # but not where another row needs more
        other = SimpleNamespace(
            verdict="cannot tell", key=1, difference=SimpleNamespace(more=400, more_range=(163, None))
        )
        assert comparison_tables.next_seeds(SimpleNamespace(ranked=[own, other]), 3) == (6, False)
    if more is None:  # of one seed, another one cannot decide
        assert comparison_tables.next_seeds(SimpleNamespace(ranked=[own]), 1) == (4, False)


def test_a_group_shows_its_mean_and_interval(written, optilab):
    text = hover(written("*"), ACCURACY, 0.99)
    assert "lr 0.1, validation, mean of 3" in text
    half = 4.302652729911275 * 0.01 / np.sqrt(3)
    low, high = (f"{0.67 + sign * half:.1%}" for sign in (-1, 1))
    assert f"67.0% ({low} to {high})" in text


def test_groups_are_switched_off_and_on(written):
    page = written("*")
    for pressed in ("true", "false", "true"):
        state = page.script(
            "return document.querySelector('#groups button:last-child').getAttribute('aria-pressed')"
        )
        assert state == pressed
        assert ("lr 0.01" in hover(page, ACCURACY, 0.5)) == (pressed == "true")
        page.press("#groups button:last-child", " ")
    assert "lr 0.01" not in hover(page, ACCURACY, 0.5)


def test_the_keyboard_reads_a_chart(written):
    page = written("*")
    page.press(ACCURACY, "\ue014")
    assert "epoch 1" in page.text(f"{ACCURACY} .tip")
    page.press(ACCURACY, "\ue010")
    assert "epoch 3" in page.text(f"{ACCURACY} .tip")
    page.press(ACCURACY, "\ue00c")
    assert page.script("return document.querySelector(arguments[0] + ' .tip').hidden", ACCURACY)


def test_numbers_are_in_tables(written):
    page = written("*")
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    page.script("return new Promise((done) => setTimeout(done, 100))")
    last = ["3", "0.33", "0.33", "67.0%", "67.0%", *["0.88"] * 2, *["12.0%"] * 2]
    assert page.text("#numbers tbody tr:last-child").split() == last
    layers = page.text("#layers-charts + details tbody")
    assert "lr 0.1\t1\t1e-06\t1e-07\t25.0%" in layers
    assert "lr 0.1\tout\t1\t0.1\t" in layers
    assert "train-images-idx3-ubyte" in page.text("main")


def test_a_run_unfolds_its_config_and_copies_it(written, folder):
    page = written("*")
    page.script("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    assert not page.script("return document.querySelector('.config').checkVisibility()")
    page.press(".unfold", "\ue007")
    name = page.text(".unfold")
    config = (folder / "runs" / name / "config.yaml").read_text()
    assert page.text(".config pre").strip() == config.strip()
    page.press(".config .copy", " ")
    assert page.script("return window.copied") == config
    page.press(".copy-table", " ")
    table = list(csv.DictReader(page.script("return window.copied").splitlines()))
    assert [row["run"] for row in table][:3] == ["lr0.1-1", "lr0.1-2", "lr0.1-3"]
    assert float(table[0]["val acc"]) == 0.66
    assert "66.0%" in page.text(".runs tbody tr")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 700, 1000, 1600])
def test_the_page_fits_its_window(written, width, dark):
    page = written("*", width=width, dark=dark)
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    page.script("return new Promise((done) => setTimeout(done, 100))")
    assert page.overflow() == 0
    ground = page.script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)")
    charts = page.script(
        "return [...document.querySelectorAll('.chart')]"
        ".map((chart) => [chart.clientWidth, chart.querySelector('canvas').clientWidth])"
    )
    assert len(charts) == 8
    assert all(abs(box - canvas) <= 1 for box, canvas in charts)


def test_paper_is_light_and_the_screen_comes_back(written):
    page = written("*", width=1000, dark=True)
    state = (
        "const style = getComputedStyle(document.documentElement);"
        "return [style.getPropertyValue('--ink').trim(),"
        " ...[...document.querySelectorAll('.chart .uplot')].map((plot) => plot.clientWidth)]"
    )
    before = page.script(state)
    page.script("dispatchEvent(new Event('beforeprint'))")
    page.resize(900)  # as a window may be while it is printed
    assert page.script(state) == ["#1b1f24", 340, 340, *[222] * 6]
    page.resize(1000)
    page.script("dispatchEvent(new Event('afterprint'))")
    assert page.script(state) == before
    assert before[0] == "#e6e9ed"
    assert page.driver.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith("JVBERi0")  # %PDF-


def test_what_differs_is_counted_in_runs_and_in_order(written, folder):
    training(folder / "runs", "lr0.05-1", "optimizer.lr=0.05", "seed=1", accuracies=FLAT)
    page = written("*")
    text = page.script("return document.querySelector('#differences').parentElement.textContent")
    counted = re.findall(r"([\d.]+) in (\d runs?)", text)
    assert counted == [("0.01", "3 runs"), ("0.05", "1 run"), ("0.1", "3 runs")]


def test_the_printed_page_names_the_runs(written):
    page = written("*")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        shown = page.script(
            "return [...document.querySelectorAll('.runs tbody tr:not(.config)')].map((r) => r.innerText)"
        )
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert sorted(row.split()[0] for row in shown) == [
        f"lr{lr}-{seed}" for lr in ("0.01", "0.1") for seed in (1, 2, 3)
    ]


@pytest.fixture
def many(tmp_path):
    """Three settings, drawn at random, with two seeds each."""
    draw = np.random.default_rng(0)
    for number in range(30):
        lr, norm, hidden = 10 ** draw.uniform(-3, 0), ("none", "batch", "layer")[number % 3], (32, 64)[number % 2]
        for seed in (1, 2):
            level = 0.3 + 0.2 * (norm == "batch") - 0.1 * abs(np.log10(lr) + 1) + 0.01 * seed * draw.normal()
            changes = (f"optimizer.lr={lr:.6g}", f"model.norm={norm}", f"data.batch_size={hidden}", f"seed={seed}")
            training(tmp_path / "runs", f"n{number:02}-{seed}", *changes, accuracies=[0.1, float(level)])
    return tmp_path


def test_a_study_of_three_settings_shows_each_of_them(optilab, many, page):
    """Means over each, a scatter in the colors of another, and all of them, to be chosen by dragging."""
    optilab("report", "*", "--out", "report.html")
    page.open(many / "report.html")
    titles = page.script("return [...document.querySelectorAll('#settings-charts h3')].map((h) => h.textContent)")
    means = {f"last val_acc by {key}" for key in ("norm", "lr", "batch_size")}
    assert (set(titles[:3]), titles[3:]) == (means, ["last val_acc"])
    assert page.script("return document.querySelectorAll('.parallel path:not(.axis)').length") == 30
    page.drag(".parallel .grip:last-of-type", (16, 0), (16, 20))
    effects = page.script("return [...document.querySelectorAll('.effects tr')].map((row) => row.innerText)")
    assert effects[0].split("\t") == ["axis", "of the variance", "95% interval", "mean over the other axes"]
    assert len(effects) == 4
    count = page.text("#parallel [role=status]")
    assert re.fullmatch(r"\d+ of 30 groups; the best of them: .*", count)
    assert int(count.split()[0]) < 10


def test_the_report_of_remedies_compares_with_the_network_as_it_is(optilab, tmp_path, page):
    """Whatever is the best: the untouched network is the baseline, and its layers stand next to those of the best."""
    study, rows = tmp_path / "runs" / "cures", []
    for name, change, level in (
        ("as it is", "seed=1", 0.1),
        ("relu", "model.activation=relu", 0.8),
        ("wide", "model.hidden=[64]", 0.4),
    ):
        for seed in (1, 2, 3):
            run = training(
                study,
                f"{name.split()[-1]}-{seed}",
                change,
                f"seed={seed}",
                accuracies=(0.1, level + 0.01 * (7 * seed % 3 if name == "relu" else seed)),
            )
            layered(run, *[(1e-3, 1.0)] * 2)
            rows.append({"trial": run.name, "remedy": name, "seed": seed, "status": "done"})
    (study / "trials.csv").write_bytes(runs.table(rows))
    (study / "study.yaml").write_text("name: cures\n")
    manifest = {**runs.read(study / "relu-1").manifest, "command": "remedy", "argv": ["optilab", "remedy"]}
    (study / "manifest.json").write_text(json.dumps(manifest))
    optilab("report", "cures", "--out", "report.html")
    page.open(tmp_path / "report.html")
    assert page.text("h1").startswith("Is anything better than hidden 5 x 128, sigmoid")
    marked = page.script("return document.querySelector('.results tr.baseline').innerText")
    assert "(baseline)" in marked
    answer = page.text("#answer")
    better = (
        "hidden .*relu and 1 other row are better than .*sigmoid by last val_acc: .*relu 81.0%, .*sigmoid 12.0%"
    )
    assert re.fullmatch(better, answer)
    assert page.text(".decide pre") == "optilab diagnose cures/relu-1"
    optilab("report", "cures/relu-1", "--out", "one.html")
    assert "optilab</span> <span>diagnose</span> <span>cures/relu-1<" in (tmp_path / "one.html").read_text()
    changed = page.script(
        "return [...document.querySelectorAll('#differences ~ div .pairs tr')].map((row) => row.innerText)"
    )
    assert any("relu" in row.split("\t")[1] for row in changed[:2])
    assert "none" not in "".join(changed[:2])
    assert "11.0%" in marked or "12.0%" in marked
    shown = page.script(
        "return [...document.querySelectorAll('#layers-charts label select')].map((s) => s.selectedOptions[0].text)"
    )
    assert "sigmoid" in shown[0]
    assert "relu" in shown[1]


def test_a_table_sorts_filters_and_keeps_both_in_the_address(optilab, many, page):
    optilab("report", "*", "--out", "report.html")
    page.open(many / "report.html")
    shown = (
        "return [...document.querySelectorAll('.results tbody tr')].filter((r) => !r.hidden)"
        ".map((r) => [r.innerText, parseFloat(r.querySelector('td').textContent)])"
    )
    assert len(page.script(shown)) == 25
    assert page.script("return document.querySelectorAll('.results tbody tr').length") == 30
    widths = "return [...document.querySelectorAll('.results thead th')].map((head) => head.offsetWidth)"
    before = page.script(widths)
    page.enter("input[type=search]", "zzz")
    assert page.script(shown) == []
    assert page.text(".results-none") == "no rows with zzz"
    assert page.script(widths) == before
    page.enter("input[type=search]", "batch")
    assert page.text(".results-none") == ""
    rows = page.script(shown)
    assert len(rows) == 10
    assert all("batch" in text for text, _ in rows)
    page.press(".results th:nth-child(4) .sort", " ")  # after three settings
    assert [value for _, value in page.script(shown)] == sorted(value for _, value in rows)
    address = page.script("return location.hash.slice(1)")
    page.open(many / "report.html", address)
    assert [value for _, value in page.script(shown)] == sorted(value for _, value in rows)


def test_names_sort_by_their_numbers_and_rows_without_a_value_stay_last(written, folder):
    for lr in ("0.001", "0.00785"):
        training(folder / "runs", f"lr{lr}-1", f"optimizer.lr={lr}", "seed=1", accuracies=FLAT)
    page = written("*")
    rows = "[...document.querySelectorAll('.results tbody tr')]"
    shown = f"return {rows}.map((r) => r.cells[arguments[0]].textContent.trim())"
    page.press(".results th:nth-child(1) .sort", " ")
    assert page.script(shown, 0) == ["0.001", "0.00785", "0.01", "0.1"]
    heads = page.script("return [...document.querySelectorAll('.results th .sort')].map((b) => b.textContent)")
    at = heads.index("p value")
    for way in (1, -1):  # up first
        page.press(f".results th:nth-child({at + 1}) .sort", " ")
        values = page.script(shown, at)
        tested = [value for value in values if value]
        assert 0 < len(tested) < 4  # a single seed tests nothing
        assert values == sorted(tested, reverse=way == -1) + [""] * (4 - len(tested))
    page.script(
        f"{rows}.forEach((row, i) => (row.cells[arguments[0]].textContent = ['0.030', '<0.001', '1.000', ''][i]))",
        at,
    )
    page.press(f".results th:nth-child({at + 1}) .sort", " ", " ")
    assert page.script(shown, at) == ["<0.001", "0.030", "1.000", ""]


@pytest.mark.parametrize("width", [360, 1280])
def test_a_long_name_in_the_choice_of_layers_widens_no_page(written, folder, width):
    for number, lr in enumerate(("0.00112884", "0.0127427")):
        run = training(
            folder / "runs", f"long{number}", f"optimizer.lr={lr}", f"model.hidden=[{'16,' * 9}16]",
            "model.activation=sigmoid", "optimizer=adam", "model.init=unit-gain", accuracies=RISING,
        )  # fmt: skip
        layered(run, *[(1e-6, 1e-3, 1.0)] * 3)
    page = written("*", width=width)
    assert page.overflow() == 0


def test_a_color_belongs_to_a_group_whatever_its_rank(written, folder):
    """The order is that of the study, as in pictures: one more seed recolors nothing."""
    page = written("*")
    looks = "return Object.fromEntries(page().groups.map((g) => [g.name, g.look]))".replace(
        "page()", "JSON.parse(document.getElementById('data').textContent)"
    )
    before = page.script(looks)
    training(folder / "runs", "lr0.01-4", "optimizer.lr=0.01", "seed=4", accuracies=(0.99, 0.99, 0.99))
    for seed in (5, 6):
        training(folder / "runs", f"lr0.01-{seed}", "optimizer.lr=0.01", f"seed={seed}", accuracies=(0.99,) * 3)
    assert written("*").script(looks) == before == {"lr 0.01": 0, "lr 0.1": 1}


def test_a_chart_is_saved_as_a_picture_and_as_values(written):
    page = written("*")
    page.script(
        "window.saved = []; Base.save = 0; URL.createObjectURL = (blob) => { saved.push(blob); return 'blob:x' }"
    )
    page.script("HTMLAnchorElement.prototype.click = function () { saved.push(this.download) }")
    for kind in ("SVG", "CSV"):
        page.enter(f"{ACCURACY} .tools select", kind)
    svg, svg_name, values, values_name = page.script(
        "return Promise.all(saved.map((one) => (typeof one === 'string' ? one : one.text())))"
    )
    assert (svg_name, values_name) == ("accuracy.svg", "accuracy.csv")
    assert svg.startswith("<svg")
    assert "lr 0.1" in svg
    head, *rows = csv.reader(values.splitlines())
    assert head[0] == "epoch"
    assert float(rows[-1][head.index("lr 0.1, validation, mean of 3")]) == pytest.approx(0.67)


def test_what_is_not_ours_is_not_replaced(optilab, folder):
    (folder / "mine.html").write_text("mine")
    done = optilab("report", "*", "--out", "mine.html", code=2)
    assert "is not a page of optilab" in done.stderr
    assert (folder / "mine.html").read_text() == "mine"
    optilab("report", "*", "--out", "none/report.html", code=2)
    optilab("report", "*", "--out", "report.pdf", code=2)


def test_the_same_runs_give_the_same_bytes(optilab, folder):
    for name in ("a.html", "b.html"):
        optilab("report", "*", "--out", name)
    assert (folder / "a.html").read_bytes() == (folder / "b.html").read_bytes()


def test_a_damaged_table_is_named(optilab, folder):
    (folder / "runs" / "lr0.1-1" / "metrics.csv").write_text("epoch,val_acc\n1,x\n")
    assert "metrics.csv:1" in optilab("report", "*", code=DataError.code).stderr
    assert not (folder / "report.html").exists()


def test_one_run_is_reported_by_itself(written):
    page = written("lr0.1-1")
    assert page.text("h1") == "How well does sigmoid train?"
    assert page.text("#answer") == "Last val_acc: 66.0%"
    assert page.text(".decide pre") == "optilab diagnose lr0.1-1"
    assert page.script("return document.querySelectorAll('.results thead th').length") == 3
    assert "val_acc" in page.text(".results thead")


def test_layers_that_hardly_move_are_drawn(written, folder):
    # Ends of an axis for which uPlot's own ticks never came to an end.
    layered(folder / "runs" / "lr0.1-1", *[(1.4288947938840404e-07, 2e-4, 3.3179147928053215)] * 3)
    page = written("lr0.1-1")
    heights = page.script("return [...document.querySelectorAll('.uplot')].map((plot) => plot.offsetHeight)")
    assert len(heights) == 5
    assert min(heights) > 100


def test_the_gradient_of_a_group_is_told_and_fills_its_chart(written, folder):
    layered(folder / "runs" / "lr0.1-1", *[(1e-5, 1e-3, 0.5)] * 3)
    page = written("lr0.1-1", "lr0.01-1")
    assert "layer 1 is 2e\u22125 times that of the output: it vanishes." in page.text("#layers-charts")
    layered(folder / "runs" / "lr0.1-1", (1e-5, 1e-3, 0.5), (0.0, 1e-3, 0.5), (0.0, 0.0, 0.5))
    page = written("lr0.1-1", "lr0.01-1")
    told = (
        "gradient of layer 1 from epoch 2, of layer 2 from epoch 3 is 0 or below the axis: circles at the bottom"
    )
    assert told in page.text("#layers-charts")


@pytest.mark.parametrize("width", [360, 1280])
def test_name_mean_and_verdict_come_first(written, width):
    """And are in sight on a phone."""
    page = written("*", width=width)
    heads = page.script(
        "return [...document.querySelectorAll('.results thead th')].slice(0, 3)"
        ".map((head) => [head.innerText.trim(), head.getBoundingClientRect().right])"
    )
    assert [name.replace("\n", " ") for name, _ in heads] == ["lr", "last val_acc", "verdict"]
    assert heads[-1][1] < width - 32  # left of what fades


def test_of_a_study_of_three_settings_the_first_screen_of_a_phone_has_the_verdict(optilab, many, page):
    """The answer in a few lines, then the first row whole: its settings, its mean and its verdict."""
    optilab("report", "*", "--out", "report.html")
    page.open(many / "report.html", width=360, height=740)
    boxes = page.script(
        "const box = (part) => {"
        " const {right, bottom, height} = part.getBoundingClientRect(); return [right, bottom, height] };"
        "const row = document.querySelector('.results tbody tr');"
        "return [box(document.querySelector('#answer')), ...[...row.cells].slice(0, 5).map(box)]"
    )
    answer, *cells = boxes
    assert answer[2] < 175
    assert max(right for right, _, _ in cells) < 360 - 32  # left of what fades
    assert max(bottom for _, bottom, _ in cells) < 740
    texts = page.script(
        "return [...document.querySelector('.results tbody tr').cells].map((cell) => cell.innerText)"
    )
    assert texts[4] in ("best", "cannot tell")


def test_labels_leave_out_the_words_that_say_nothing(optilab, tmp_path, page):
    for name, lr, seeds in (("adam", 0.1, (1, 2)), ("adam", 0.2, (2, 3)), ("sgd", 0.1, (2, 3))):
        for seed in seeds:
            training(
                tmp_path / "runs", f"{name}-{lr}-{seed}", f"optimizer={name}", f"optimizer.lr={lr}", f"seed={seed}",
                accuracies=(0.1, lr + 0.01 * seed),
            )  # fmt: skip
    optilab("report", "*")
    page.open(tmp_path / "report.html")
    shown = page.script(
        "return [...document.querySelectorAll('#groups [aria-pressed=true]')].map((b) => b.innerText)"
    )
    assert sorted(shown) == ["adam, lr 0.1", "adam, lr 0.2", "sgd, lr 0.1"]
    assert "adam, lr 0.1 and adam, lr 0.2 share only 1 seed" in page.text(".notes")
    assert "optimizer adam" not in page.text(".notes")


def test_a_zoom_between_two_epochs_shows_both(written):
    """With their ticks, so that what the tip reads is in the picture."""
    page = written("*")
    page.drag(f"{ACCURACY} .u-over", (60, 40), (160, 120))
    hover(page, ACCURACY, 0.5)
    heading = page.text(f"{ACCURACY} .tip .muted")
    page.script("URL.createObjectURL = (blob) => { window.saved = blob; return 'blob:x' }")
    page.script("HTMLAnchorElement.prototype.click = function () {}")
    page.enter(f"{ACCURACY} .tools select", "SVG")
    ticks = re.findall(r'text-anchor="middle"[^>]*>(\d)</text>', page.script("return saved.text()"))
    assert len(ticks) >= 2
    assert re.search(r"epoch (\d)", heading)[1] in ticks


def test_a_curve_on_another_lets_it_be_seen(optilab, tmp_path, page):
    """Two groups with the same values: the upper line is dashed, and the lower one shows between the dashes."""
    for lr in ("1", "2"):
        training(tmp_path / "runs", f"r{lr}", f"optimizer.lr={lr}", accuracies=(0.1, 0.5, 0.6))
    optilab("report", "*")
    page.open(tmp_path / "report.html")
    dashes = page.script(
        "const seen = []; const set = CanvasRenderingContext2D.prototype.setLineDash;"
        "CanvasRenderingContext2D.prototype.setLineDash = function (dash) {"
        " seen.push(String(dash)); return set.call(this, dash) };"
        "document.querySelectorAll('#groups button')[0].click();"
        "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(seen))))"
    )
    assert "6,6" in dashes


def test_trainings_of_one_epoch_have_no_curves(optilab, tmp_path, page):
    for number, lr in enumerate(("0.00112884", "0.0127427", "0.1")):
        run = training(
            tmp_path / "runs", f"r{number}", f"optimizer.lr={lr}", "epochs=1", accuracies=(0.1 * number,)
        )
        layered(run, (1e-3, 1.0))
    optilab("report", "*")
    page.open(tmp_path / "report.html")
    assert page.script("return [...document.querySelectorAll('#curves, .chart')].length") == 1  # over the setting
    assert "lr 0.00113\t1\t0.001" in page.script(
        "const part = document.querySelector('#layers ~ details'); part.open = true; return part.innerText"
    )
    assert page.script("return document.querySelector('.results').textContent.includes('0.0127427')") is False


def test_the_baseline_is_among_the_curves_and_hidden_groups_set_no_scale(optilab, tmp_path, page):
    for number in range(8):
        training(
            tmp_path / "runs", f"r{number}", f"optimizer.lr={number + 1}", accuracies=(0.2, 0.1 + 0.1 * number)
        )
    optilab("report", "*", "--baseline", "lr 1")
    page.open(tmp_path / "report.html")
    shown = page.script(
        "return [...document.querySelectorAll('#groups [aria-pressed=true]')].map((button) => button.innerText)"
    )
    assert shown == [*(f"lr {number}" for number in (8, 7, 6, 5, 4)), "lr 1"]
    colors = (
        "const data = JSON.parse(document.getElementById('data').textContent);"
        "return [...document.querySelectorAll('#groups [aria-pressed=true]')].map((button) =>"
        " data.groups.find((group) => group.name === button.innerText).look % 6)"
    )
    assert sorted(page.script(colors)) == [0, 1, 2, 3, 4, 5]
    swatches = "return [...document.querySelectorAll('.results .swatch')].map((one) => Number(one.dataset.group))"
    assert page.script(swatches)[:5] == page.script(colors)[:5]


@pytest.mark.parametrize(
    ("ends", "log"),
    [
        pytest.param((0.2, 0.3, 0.1), "false", id="alike"),
        pytest.param((0.2, 0.3, -14), "true", id="one far above the others"),
        pytest.param((0.2, 0.99, 0.1), "true", id="more than a decade"),
    ],
)
def test_a_loss_axis_says_that_it_is_logarithmic_and_can_be_linear(ends, log, optilab, tmp_path, page):
    for number, end in enumerate(ends):
        training(tmp_path / "runs", f"r{number}", f"optimizer.lr={number + 1}", accuracies=(min(0.1, end), end))
    optilab("report", "*")
    page.open(tmp_path / "report.html")
    state = (
        "const button = [...document.querySelectorAll('#curves-charts button')].find((b) => b.textContent === 'log');"
        "return button.getAttribute('aria-pressed')"
    )
    assert page.script(state) == log
    page.script(state.replace("return", "button.click(); return"))
    assert page.script(state) == {"true": "false", "false": "true"}[log]
    assert page.script("return location.hash") == {"true": "#loss=linear", "false": "#loss=log"}[log]


def test_all_maps_show_the_columns_of_the_best(optilab, tmp_path, page):
    for number in range(9):
        for name in ("sgd", "adam"):
            for activation in ("relu", "tanh"):
                training(
                    tmp_path / "runs", f"{name}-{activation}{number}", f"optimizer={name}",
                    f"model.activation={activation}", f"optimizer.lr={1.2345678 + number:g}",
                    accuracies=(0.1, 0.1 + 0.08 * number + 0.01 * (name == "adam") + 0.02 * (activation == "relu")),
                )  # fmt: skip
    optilab("report", "*")
    page.open(tmp_path / "report.html", width=360)
    places = page.script(
        "return [...document.querySelectorAll('.heat')].map((map) => map.closest('.scroll').scrollLeft)"
    )
    assert len(places) == 2
    assert places[0] == pytest.approx(places[1], abs=20)  # the names of their rows are not of one width
    assert places[0] > 100


def test_the_best_cell_of_a_wide_map_is_in_view(optilab, tmp_path, page):
    for number in range(9):
        for name in ("sgd", "adam"):
            training(
                tmp_path / "runs", f"{name}{number}", f"optimizer={name}", f"optimizer.lr={1.2345678 + number:g}",
                accuracies=(0.1, 0.1 + 0.08 * number + 0.01 * (name == "adam")),
            )  # fmt: skip
    optilab("report", "*")
    page.open(tmp_path / "report.html", width=360)
    heads = page.script("return [...document.querySelectorAll('.heat thead th')].map((head) => head.textContent)")
    assert heads[1:] == [f"{1.2345678 + number:.3g}" for number in range(9)]
    left, right = page.script(
        "const box = document.querySelector('.heat .best').getBoundingClientRect(); return [box.left, box.right]"
    )
    assert 0 < left < right < 360 - 32  # what is cut at the right fades
    under = (
        "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done("
        "parseFloat(getComputedStyle(document.querySelector('.heat tbody th'), '::after').width)))))"
    )
    assert page.script(under) > 10  # what is cut by the names of rows fades
    page.script("document.querySelector('.heat').closest('.scroll').scrollLeft = 0")
    assert page.script(under) == 0
    page.script("document.querySelector('.heat').closest('.scroll').scrollLeft = 99")
    name = page.script("return document.querySelector('.heat tbody th').getBoundingClientRect().left")
    assert name >= 0


def test_the_curvature_is_drawn_beside_its_limit(written, folder):
    measured = [(2.5, 20.0, 0.5), (12.5, 20.0, -1.0), (21.25, 20.0, 3.5)]
    records = [
        {"epoch": epoch, "curvature": {"sharpness": a, "preconditioned": None, "limit": b, "along_gradient": c}}
        for epoch, (a, b, c) in enumerate(measured)
    ]
    path = folder / "runs" / "lr0.1-1" / "diagnostics.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    page = written("lr0.1-1", width=400)
    chart = "#curvature-charts .chart"
    assert page.text(".key").split("\n") == ["sharpness", "limit of stability", "along the gradient"]
    assert "seeds" not in page.text("#curves + p")
    assert "sharpness\t2.5\nlimit of stability\t20\nalong the gradient\t0.5" in hover(page, chart, 0.01)
    text = hover(page, chart, 0.5)
    assert "epoch 1" in text
    assert "sharpness\t12.5" in text
    assert "along" not in text  # not positive: no place on a logarithmic axis
    page.script("document.querySelector('#curvature-charts + details').open = true")
    assert page.text("#curvature-charts + details tbody").split()[-4:] == ["2", "21.2", "20", "3.5"]
    assert page.overflow() == 0


def test_a_curve_over_one_setting_marks_the_best(written, folder):
    training(folder / "runs", "lr1-1", "optimizer.lr=1", "seed=1", accuracies=(0.1, 0.2, 0.3))
    text = hover(written("*"), "#settings-charts .chart", 0.5)
    assert "lr 0.1" in text
    assert "the best\t67.0% (" in text or "the best 67.0% (" in text


def test_a_grid_is_a_heat_map(written, folder):
    for number, (lr, init) in enumerate(((0.01, "unit-gain"), (0.1, "unit-gain"))):
        for seed in (1, 2, 3):
            training(
                folder / "runs", f"gain{lr}-{seed}", f"optimizer.lr={lr}", f"seed={seed}", f"model.init={init}",
                accuracies=[0.2 + 0.1 * number + 0.005 * seed] * 3,
            )  # fmt: skip
    page = written("*")
    rows = page.script("return [...document.querySelectorAll('.heat tbody tr')].map((row) => row.innerText)")
    assert [row.split() for row in rows] == [
        ["default", "12.0%", "67.0%", "★", "best"],
        ["unit-gain", "21.0%", "31.0%"],
    ]


def test_runs_without_an_epoch_have_a_page(optilab, folder, page):
    training(folder / "runs", "empty", accuracies=(), status="failed")
    done = optilab("report", "empty")
    assert "no run has an outcome yet" in done.stdout
    page.open(folder / "report.html")
    assert page.text("#answer") == "No run has an outcome yet"


def test_of_a_race_the_judged_trainings_are_reported(optilab, tmp_path, page):
    race, rows = tmp_path / "runs" / "cup", []
    for rule, accuracy in (("sgd", 0.4), ("adam", 0.6)):
        for stage, seeds in (("tuning", (1, 2)), ("final", (11, 12, 13))):
            for seed in seeds:
                name = f"{rule}-{stage}-{seed}"
                training(
                    race, name, f"optimizer={rule}", f"seed={seed}", test_acc=accuracy + 0.01 * (seed % 10) ** 2,
                    test_loss=1.0,
                )  # fmt: skip
                rows.append({"trial": name, "rule": rule, "stage": stage, "seed": seed, "status": "done"})
    (race / "trials.csv").write_bytes(runs.table(rows))
    (race / "study.yaml").write_text("name: cup\n")
    manifest = runs.read(race / "sgd-final-11").manifest
    (race / "manifest.json").write_text(json.dumps({**manifest, "command": "race", "argv": ["optilab", "race"]}))
    optilab("report", "cup")
    page.open(tmp_path / "report.html")
    assert page.text("h1") == "Which optimizer is the best by last test_acc?"
    assert "trainings\n6\n" in page.text(".facts")
    assert "cup: the settings were chosen by 4 trainings on held-out images" in page.text(".notes")
    assert page.text(".results tbody tr:first-child").split()[:3] == ["adam", "64.7%", "cannot"]
