"""The pages of races, on test functions and on trainings, in a browser: their numbers are those of --json."""

import json
from math import log

import numpy as np
import pytest

from tests.commands.test_report import hover

pytestmark = pytest.mark.browser

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
PROFILE, TUNING = "[data-race] .chart:nth-child(1)", "[data-race] .chart:nth-child(2)"


@pytest.fixture
def race(optilab, tmp_path, page):
    """The page of a small race, opened, and the document of the race."""
    cache = {"XDG_CACHE_HOME": str(tmp_path)}

    def open_(*options, width=1200, dark=False):
        shown = optilab(*ARGUMENTS, "--out", "race.html", *options, **cache).stdout
        page.open(tmp_path / "race.html", width=width, dark=dark)
        return page, json.loads(optilab(*ARGUMENTS, "--json", **cache).stdout), shown

    return open_


def test_verdict_table_and_settings_are_those_of_the_command(race):
    page, document, shown = race("--settings")
    assert shown.splitlines()[-1] == "race.html"
    assert "--out race.html" not in shown
    assert page.text("h1") == "Which of 3 optimizers is the best after the same tuning?"
    best = document["standings"][0]
    claim, _, _, said = page.text("#answer").split("; ")[:4]
    assert claim == f"{best['rule']} has the lowest cost: {best['cost']:.1f} gradients"
    assert said in shown.lower()
    assert said.startswith("may be the best: ")
    assert (
        "race on more functions to separate them" in shown
    )  # next to the command that does it, it would be said twice
    assert "race on more functions" not in page.text("#answer")
    assert "Fewer than 6 functions can hardly tell optimizers apart".lower() in page.text("#answer").lower()
    texts = page.script("return [...document.querySelectorAll('.results tbody tr')].map((row) => row.innerText)")
    for text, row in zip(texts, document["standings"], strict=True):
        cells = text.split("\t")
        assert cells[0].strip() == row["rule"] + "*" * (row["rule"] == "newton")
        assert f"{row['cost']:.1f}" in cells
        assert f"{row['solved']:.0%}" in cells
        assert row["verdict"] in cells
    others = page.text(".decide pre")
    assert others.startswith("optilab race --algo ")
    assert others.endswith(" --budget 5 --starts 4")
    assert "ravine,booth" not in others
    assert "expression" not in others
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    every = page.text("#settings ~ details")
    for tuning in document["tunings"]:
        assert f"lr {tuning['settings']['lr']:.4g}" in every
    assert "lr log-uniform" in page.text("main")
    assert page.text("#repeat ~ .copied pre").startswith(
        "optilab race --algo sgd,adam,newton --function ravine,booth,beale"
    )


def test_curves_end_at_the_numbers_of_the_table_and_costs_are_the_means_of_the_tunings(race):
    page, document, _ = race()
    tuning, profile = hover(page, TUNING, 0.9), hover(page, PROFILE, 0.97)
    for row in document["standings"]:
        assert f"{row['rule']}\t{row['cost']:.3g}" in tuning
        assert f"{row['rule']}\t{row['solved']:.1%}" in profile
    rows = page.script(
        "return [...document.querySelectorAll('.heat tbody tr')].map((row) => [...row.cells].map((c) => c.innerText))"
    )
    for function, *cells in rows:
        for standing, text in zip(document["standings"], cells, strict=True):
            own = [t for t in document["tunings"] if (t["rule"], t["function"]) == (standing["rule"], function)]
            logs = [log(400 if cost < 0 else max(cost, 1)) for tuning in own for cost in tuning["costs"]]
            assert f"{np.exp(np.mean(logs)):.1f}" in text
        assert sum("★" in text for text in cells) == 1


def test_rules_are_switched_off_and_values_are_in_tables(race):
    page, document, _ = race()
    last = document["standings"][-1]
    page.press("#rules button:last-child", " ")
    assert last["rule"] not in hover(page, TUNING, 0.9)
    page.script("document.querySelector('[data-race] + details').open = true")
    rows = page.script("return [...document.querySelectorAll('[data-race] + details tr')].map((r) => r.innerText)")
    assert any(row.startswith(last["rule"]) and row.endswith(f"{last['cost']:.4g}") for row in rows)
    assert any(row.startswith(last["rule"]) and row.endswith(f"{last['solved']:.1%}") for row in rows)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_its_window(race, width, dark):
    page, _, _ = race(width=width, dark=dark)
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.overflow() == 0


def test_rules_that_solve_nothing_have_a_page(optilab, tmp_path, page):
    ones = ["--budget", 1, "--starts", 1, "--repeats", 1, "--epochs", 1, "--no-cache"]
    optilab("race", "--algo", "sgd,momentum", "--function", "easom", *ones, "--out", "race.html", "--quiet")
    page.open(tmp_path / "race.html")
    assert "No optimizer solved any problem" in page.text("#answer")


def test_what_is_not_ours_is_not_replaced(optilab, tmp_path):
    (tmp_path / "mine.html").write_text("mine")
    refused = optilab(*ARGUMENTS, "--out", "mine.html", "--no-cache", code=2)
    assert "is not a page of optilab" in refused.stderr
    assert (tmp_path / "mine.html").read_text() == "mine"


# --- races on trainings --------------------------------------------------------------------------------------

MINE = """
class Mine:
    def __init__(self, lr=0.01):
        self.lr = lr

    def update(self, w, g):
        return w - self.lr * g
"""


def raced(optilab, tmp_path, small, *options):
    """A small race on two trainings, with a rule from a file that is gone afterwards; its document."""
    (tmp_path / "mine.py").write_text(MINE)
    second = tmp_path / "second.yaml"
    second.write_text(f"{small.read_text()}name: second\n")
    on = ["--on", f"{small},{second}", "--algo", "sgd,mine.py:Mine", "--set", "data.holdout=50"]
    sizes = ["--epochs", 2, "--budget", 2, "--seeds", 2, "--name", "cup"]
    document = json.loads(optilab("race", *on, *sizes, *options, "--out", "first.html", "--json").stdout)
    (tmp_path / "mine.py").unlink()
    return document


def test_of_a_race_on_trainings_each_rule_has_one_row_with_its_settings(optilab, tmp_path, small, page):
    document = raced(optilab, tmp_path, small, "--repeats", 2)
    shown = optilab("report", "cup")
    assert (tmp_path / "report.html").read_bytes() == (tmp_path / "first.html").read_bytes()
    assert f"verdict: {document['overall']['verdict']}" in shown.stdout
    compared = json.loads(optilab("runs", "compare", "cup", "--json").stdout)
    assert compared["measure"]["metric"] == "test_acc"
    assert {seed for group in compared["groups"] for seed in group["runs"]} <= {"10042", "10043", "30042", "30043"}
    assert any("were chosen by 32 trainings" in note for note in compared["notes"])
    assert "2 optimizers x 2 networks x 2 repeats x 2 settings" in optilab("runs", "ls").stdout
    assert str(tmp_path) not in optilab("runs", "ls", "cup", "--format", "csv").stdout
    reported = json.loads(optilab("report", "cup", "--json").stdout)["race"]
    assert reported == {key: value for key, value in document.items() if key in reported}
    page.open(tmp_path / "report.html", width=1600)
    tables = page.script(
        "return [...document.querySelectorAll('table.results')]"
        ".map((table) => [...table.tBodies[0].rows].map((row) => row.innerText))"
    )
    assert [len(table) for table in tables] == [2, 2, 2]
    for table, network in zip(tables[1:], document["networks"], strict=True):
        for text, row in zip(table, network["rules"], strict=True):
            assert text.strip().startswith(row["rule"])
            assert f"{row['mean']:.1%}" in text
            assert row["verdict"] in text
            assert all(f"lr {own['lr']:.3g} " in text for own in row["settings"])
            assert all(f"schedule {own['schedule']}" in text for own in row["settings"])
            assert len(row["settings"]) == 2
    for number, network in enumerate(document["networks"]):
        text = hover(page, f"[data-race='{number}'] .chart:nth-child(1)", 0.9)
        for row in network["rules"]:
            assert f"{row['rule']}\t{row['best_of'][-1]:.1%}" in text
    assert "the luck of tuning is part of the intervals" in page.text(".notes")
    empty = (
        "return [...document.querySelectorAll('table.results')].flatMap((table) => [...table.tHead.rows[0].cells]"
        ".filter((head, i) => [...table.tBodies[0].rows].every((row) => !row.cells[i].innerHTML)))"
        ".map((head) => head.textContent)"
    )
    assert page.script(empty) == []
    if len(document["networks"]) == 1:
        assert " has the highest test accuracy: " in page.text("#answer strong")
    assert page.text(".decide pre") == "optilab race --resume cup --repeats 5"
    assert "on the validation set; the table has those on the test set" in page.text("#curves ~ p")
    assert "trainings\n16\n" in page.text(".facts")
    assert page.overflow() == 0
    page.resize(400)
    assert page.overflow() == 0


def test_a_race_that_was_grown_reports_the_settings_that_are_chosen_now(optilab, tmp_path, small):
    raced(optilab, tmp_path, small)
    (tmp_path / "mine.py").write_text(MINE)
    document = json.loads(optilab("race", "--resume", "cup", "--budget", 4, "--seeds", 3, "--json").stdout)
    reported = json.loads(optilab("report", "cup", "--json").stdout)["race"]
    assert reported == {key: value for key, value in document.items() if key in reported}


def test_options_of_compare_compare_the_judged_trainings_and_damage_is_named(optilab, tmp_path, small):
    raced(optilab, tmp_path, small)
    document = json.loads(optilab("report", "cup", "--metric", "val_loss", "--json").stdout)
    assert document["comparison"]["measure"]["metric"] == "val_loss"
    trials = tmp_path / "runs" / "cup" / "trials.csv"
    trials.write_text(trials.read_text().replace(",tuning,", ",cooking,", 1))
    assert (
        "trials.csv:2: expected the number of a setting and its stage" in optilab("report", "cup", code=3).stderr
    )


@pytest.mark.parametrize("network", ["small", "second", ""])
def test_a_race_that_was_stopped_is_reported_as_far_as_it_went(optilab, tmp_path, small, page, network):
    raced(optilab, tmp_path, small)
    trials = tmp_path / "runs" / "cup" / "trials.csv"
    manifest = trials.with_name("manifest.json")  # a study that was stopped has not all of its rows
    manifest.write_text(manifest.read_text().replace('"status": "done"', '"status": "interrupted"'))
    lines = trials.read_text().splitlines(keepends=True)
    trials.write_text("".join(line for line in lines if not (f"{network}-" in line and "-final-" in line)))
    assert "no result" in optilab("report", "cup").stdout
    page.open(tmp_path / "report.html")
    titles = page.script("return [...document.querySelectorAll('#races ~ h3')].map((h) => h.innerText)")
    assert titles == ([] if not network else [name for name in ("small", "second") if name != network])


def test_remedies_with_rates_of_their_own_are_reported_as_a_race(optilab, tmp_path, small, page):
    held = ["--set", "data.holdout=50", "--epochs", 1, "--only", "relu", "--tune", 2, "--seeds", 2]
    document = json.loads(optilab("remedy", small, *held, "--name", "tuned", "--json").stdout)
    reported = json.loads(optilab("report", "tuned", "--json").stdout)["race"]
    assert [own["network"] for own in reported["networks"]] == ["small"]
    assert reported["networks"] == document["networks"]
    page.open(tmp_path / "report.html")
    assert page.text("h1") == "Which remedy is the best after the same tuning?"
