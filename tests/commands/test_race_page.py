"""The pages of races, and of benchmarks, in a browser: their numbers are those of --json."""

import json
import shutil
from math import log

import numpy as np
import pytest

from tests.commands.test_report import hover

ARGUMENTS = [
    "race",
    "--algo",
    "sgd,adam,newton",
    "--function",
    "ravine,booth,beale",
    "--budget",
    5,
    "--starts",
    4,
]
PROFILE, TUNING = (f".of2 .chart:nth-child({number})" for number in (1, 2))


@pytest.fixture
def race(optilab, tmp_path, page):
    """The page of a small race, opened, and the document of the race."""
    cache = {"XDG_CACHE_HOME": str(tmp_path)}

    def open_(*options, width=1200, dark=False):
        shown = optilab(*ARGUMENTS, "--out", "race.html", *options, **cache).stdout
        page.open(tmp_path / "race.html", width=width, dark=dark)
        return page, json.loads(optilab(*ARGUMENTS, "--json", **cache).stdout), shown

    return open_


def test_table_and_curves_have_the_numbers_of_the_command(race):
    page, document, shown = race("--settings")
    assert page.text("h1") == "Which of 3 optimizers is the best after the same tuning?"
    best = document["standings"][0]
    claim, possible, _ = page.text(".answer").split("; ")
    assert claim == f"{best['rule']} has the lowest cost: {best['cost']:.1f} gradients"
    assert possible in shown
    assert page.text("pre.command") == document["next_step"]["command"]
    texts = page.script("return [...document.querySelector('table').tBodies[0].rows].map((row) => row.innerText)")
    tuning, profile = hover(page, TUNING, 0.97), hover(page, PROFILE, 0.97)
    for text, row in zip(texts, document["standings"], strict=True):
        name, *cells = text.split("\t")
        assert name.strip() == row["rule"] + "*" * (row["rule"] == "newton")
        assert {f"{row['cost']:.1f}", f"{row['solved']:.0%}", row["verdict"]} <= {*cells}
        assert f"{row['rule']}\t{row['cost']:.4g}" in tuning
        assert f"{row['rule']}\t{row['solved']:.1%}" in profile
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    every = page.text("main")
    assert all(f"lr {tuning['settings']['lr']:.4g}" in every for tuning in document["tunings"])
    cells = "[...t.rows].map((r) => r.innerText.split('\\t'))"
    tables = page.script(f"return [...document.querySelectorAll('table')].map((t) => {cells})")
    head, *rows = next(table for table in tables if table[0][0] == "function" and "sgd" in table[0])
    for function, *cells in rows:
        for rule, text in zip(head[1:], cells, strict=True):
            pair = [t for t in document["tunings"] if (t["rule"], t["function"]) == (rule, function)]
            logs = [log(400 if cost < 0 else max(cost, 1)) for tuning in pair for cost in tuning["costs"]]
            assert f"{np.exp(np.mean(logs)):.1f}" in text
        assert sum("\u2605" in text for text in cells) == 1


def test_rules_are_switched_off(race):
    page, document, _ = race(width=400, dark=True)
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.overflow() == 0
    last = document["standings"][-1]
    assert last["rule"] in hover(page, TUNING, 0.9)
    page.press("label:last-child input", " ")
    assert last["rule"] not in hover(page, TUNING, 0.9)


# --- benchmarks -----------------------------------------------------------------------------------------------

TABLES = (
    "return [...document.querySelectorAll('table')].filter((t) => t.innerText.startsWith('optimizer'))"
    ".map((table) => [...table.tBodies[0].rows].map((row) => row.innerText))"
)
MINE = """
class Mine:
    def __init__(self, lr=0.01):
        self.lr = lr

    def update(self, w, g):
        return w - self.lr * g
"""


def raced(optilab, tmp_path, small, *options):
    """A small benchmark of two trainings, with a rule from a file that is gone afterwards; its document."""
    (tmp_path / "mine.py").write_text(MINE)
    second = tmp_path / "second.yaml"
    second.write_text(f"{small.read_text()}name: second\n")
    on = [f"{small},{second}", "--algo", "sgd,mine.py:Mine", "--set", "data.holdout=50"]
    sizes = ["--epochs", 2, "--budget", 2, "--seeds", 2, "--name", "cup"]
    document = json.loads(optilab("benchmark", *on, *sizes, *options, "--out", "first.html", "--json").stdout)
    (tmp_path / "mine.py").unlink()
    return document


def test_benchmark_has_one_row_per_rule(optilab, tmp_path, small, page):
    document = raced(optilab, tmp_path, small, "--repeats", 2)
    optilab("report", "cup")
    assert (tmp_path / "report.html").read_bytes() == (tmp_path / "first.html").read_bytes()
    assert json.loads(optilab("runs", "compare", "cup", "--json").stdout)["networks"] == document["networks"]
    compared = json.loads(optilab("runs", "compare", "cup", "--metric", "test_acc", "--json").stdout)
    assert compared["measure"]["metric"] == "test_acc"
    assert {seed for group in compared["groups"] for seed in group["runs"]} <= {"10042", "10043", "30042", "30043"}
    assert str(tmp_path) not in optilab("runs", "ls", "cup", "--format", "csv").stdout
    reported = json.loads(optilab("report", "cup", "--json").stdout)["benchmark"]
    assert reported == {key: value for key, value in document.items() if key in reported}
    page.open(tmp_path / "report.html", width=1600)
    tables = page.script(TABLES)
    assert [len(table) for table in tables] == [2, 2, 2]
    for number, network in enumerate(document["networks"]):
        for text, row in zip(tables[number], network["rules"], strict=True):
            assert text.strip().startswith(row["rule"])
            assert f"{row['mean']:.1%}" in text
            assert row["verdict"] in text
            assert len(row["settings"]) == 2
            for setting in row["settings"]:
                assert f"lr {setting['lr']:.3g} " in text
                assert f"schedule {setting['schedule']}" in text
    step = json.loads(optilab("report", "cup", "--json").stdout)["benchmark"]["next_step"]
    assert page.text("pre.command") == step["command"]
    for width in (1600, 400):
        page.resize(width)
        assert page.overflow() == 0


def test_grown_benchmark_reports_the_settings_chosen_now(optilab, tmp_path, small):
    raced(optilab, tmp_path, small)
    (tmp_path / "mine.py").write_text(MINE)
    document = json.loads(optilab("benchmark", "--resume", "cup", "--budget", 4, "--seeds", 3, "--json").stdout)
    reported = json.loads(optilab("report", "cup", "--json").stdout)["benchmark"]
    assert reported == {key: value for key, value in document.items() if key in reported}
    measured = json.loads(optilab("report", "cup", "--metric", "val_loss", "--json").stdout)
    assert measured["comparison"]["measure"]["metric"] == "val_loss"
    trials = tmp_path / "runs" / "cup" / "plan.jsonl"
    trials.write_text(trials.read_text().replace('"tuning"', '"cooking"', 1))
    assert "expected the number of a setting and its stage of " in optilab("report", "cup", code=3).stderr


@pytest.mark.nightly
@pytest.mark.parametrize("network", ["second", ""])
def test_stopped_benchmark_is_reported_as_far_as_it_went(optilab, tmp_path, small, page, network):
    raced(optilab, tmp_path, small)
    manifest = tmp_path / "runs" / "cup" / "manifest.json"  # a study that was stopped has not all of its runs
    manifest.write_text(manifest.read_text().replace('"status": "done"', '"status": "interrupted"'))
    for trial in manifest.parent.glob(f"{network}*-final-*"):
        shutil.rmtree(trial)
    assert "no result" in optilab("report", "cup").stdout
    page.open(tmp_path / "report.html")
    assert [len(table) for table in page.script(TABLES)] == ([] if not network else [2])
