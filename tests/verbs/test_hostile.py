"""Names, notes, values and files that mean harm, in every page, opened in a browser: nothing of them is live.

No script of theirs runs (a dialog or a blocked handler fails the test), no element or attribute of theirs exists, and
the fixture `page` fails on any request and on any complaint of the policy.
"""

import csv
import json
import os
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import yaml

from optilab import runs
from optilab.config.load import load
from optilab.config.optimize import OptimizeConfig
from optilab.errors import printable
from optilab.optimize.objectives import Booth
from optilab.optimize.rules.momentum import SGD
from optilab.show import junit
from optilab.show import page as pages
from optilab.study import network_race as races
from optilab.study.comparison import compare_runs
from optilab.study.function_race import Race
from optilab.study.groups import Measure, select
from optilab.study.tuning import RaceSettings, Tuning
from optilab.verbs import play
from optilab.verbs.comparison_page import comparison_page
from optilab.verbs.network_race_page import network_race_page
from optilab.verbs.race_page import race_page
from tests.faults.test_text import PAYLOADS
from tests.study.generated import layered, training

pytestmark = pytest.mark.browser

HOSTILE = (
    "</script><script>window.live=1</script>",
    "<!--<script>",
    '"><img src=x onerror="window.live=1">',
    "' onmouseover='window.live=1",
    "javascript:window.live=1",
    "{{ 7 * 7 }}{% raw %}",
    "]]>&lt;b&gt;&amp;",
    "</style><svg onload=window.live=1>",
    "\u2028\u2029\x00\x1b[31m\u202eabc\ud800",
    *PAYLOADS,
)
FOREIGN = (
    "img, iframe, object, embed, form, a:not(.skip), meta[http-equiv=refresh], [onload], [onerror], [onmouseover], "
    "[onclick]"
)


def inert(page, scripts):
    """Open whatever unfolds, press every button, and look for what is not the page's own."""
    page.script(
        "for (const part of document.querySelectorAll('details')) part.open = true;"
        "for (const button of document.querySelectorAll('.groups button, .unfold')) button.click()"
    )
    found = page.script(
        "return [window.live ?? 0, document.scripts.length, document.querySelectorAll(arguments[0]).length]",
        FOREIGN,
    )
    assert found == [0, scripts, 0]
    assert not {"\x1b", "\x00", "\u202e"} & set(page.script("return document.documentElement.innerText"))


def test_there_are_enough():
    assert len(set(HOSTILE)) >= 66


def test_texts_of_every_kind_are_shown_and_do_nothing(page, tmp_path):
    script = "document.body.dataset.read = JSON.parse(document.getElementById('data').textContent).texts.join('|')"
    for text in HOSTILE:
        content = pages.render("base.html", {"texts": [text], text: text}, [script], title=text)
        pages.write_page(tmp_path / "page.html", content)
        page.open(tmp_path / "page.html")
        assert page.script("return document.body.dataset.read") == printable(text)
        assert page.script("return [window.live ?? 0, document.body.children.length]") == [
            0,
            3,
        ]  # a link, two scripts
        assert "\x1b" not in page.script("return document.title")


def folder_name(text):
    """The payload as a name that a folder can have."""
    return text.replace("/", "\N{FRACTION SLASH}").replace("\0", "").replace("\ud800", "")


def test_trainings_with_hostile_names_settings_and_machines(tmp_path, page):
    for number, text in enumerate(HOSTILE):
        run = training(
            tmp_path / "runs", f"run{number}", f"optimizer.lr=0.{number + 1:03}", f"seed={number}",
            status="diverged", reason=text, argv=["optilab", "train", text],
            host={"system": text, text: 1}, environment={text: text}, versions={"optilab": text, "python": text},
            data={"dataset": text, "train": 10, "validation": 10, "classes": 10, "sha256": {text: text}},
        )  # fmt: skip
        layered(run, *[(1e-6, 1.0)] * 2)
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["data"]["dir"] = printable(text)
        comment = printable(text).replace("\n", " ")
        (run / "config.yaml").write_text(f"{yaml.safe_dump(config)}# {comment}\n")
    records = []
    for number, record in enumerate(select(tmp_path / "runs", ["*"]).records):
        place = tmp_path / f"{number}" / folder_name(HOSTILE[number])
        place.parent.mkdir()
        os.rename(record.path, place)
        records.append(replace(record, path=place))
    side = compare_runs(records, Measure())
    grouping = replace(
        side.grouping,
        groups=tuple(replace(g, label=text) for g, text in zip(side.grouping.groups, HOSTILE, strict=True)),
    )
    candidates = tuple(
        replace(c, label=g.label, groups=(g,)) for c, g in zip(side.candidates, grouping.groups, strict=True)
    )
    side = replace(side, grouping=grouping, candidates=candidates, notes=HOSTILE)
    for heading in (None, "".join(HOSTILE)):
        (tmp_path / "report.html").write_bytes(comparison_page(side, records, heading))
        page.open(tmp_path / "report.html")
        inert(page, scripts=6)
        assert page.script("return document.querySelectorAll('.results tbody tr').length") == len(HOSTILE)
    assert HOSTILE[0] in page.text(".results")
    assert HOSTILE[0] in page.text("#groups")

    page.script("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.script("document.querySelector('.copy-table').click()")
    table = list(csv.reader(page.script("return window.copied").splitlines()))
    assert len(table) == len(HOSTILE) + 1
    assert {len(row) for row in table} == {len(table[0])}
    for cell in (cell for row in table for cell in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell


def test_a_race_of_hostile_rules_on_hostile_functions(tmp_path, page):
    rules = [type("Rule", (SGD,), {"name": text})() for text in HOSTILE]
    functions = [type("Function", (Booth,), {"name": text})() for text in HOSTILE[:8]]
    tunings = [
        Tuning(rule.name, function.name, 0, {text: 0.1}, [float(n + 1)] * 2, [n + 1, 5])
        for n, (rule, text) in enumerate(zip(rules, HOSTILE, strict=True))
        for function in functions
    ]
    race = Race(RaceSettings(2, 2, 1), [r.name for r in rules], [f.name for f in functions], tunings)
    origin = {"argv": ["optilab", *HOSTILE], "versions": dict(zip(HOSTILE, HOSTILE, strict=True))}
    for heading in (None, "".join(HOSTILE)):
        (tmp_path / "race.html").write_bytes(race_page(race, rules, functions, origin, heading))
        page.open(tmp_path / "race.html")
        inert(page, scripts=6)
    assert HOSTILE[0] in page.text(".results")
    assert HOSTILE[0] in page.text("#rules")


def test_a_race_on_trainings_of_hostile_rules(tmp_path, page):
    race, rows = tmp_path / "runs" / "cup", []
    for number, text in enumerate(HOSTILE):
        name = f"final-{number}"
        training(race, name, "seed=11", accuracies=(0.5,), test_acc=0.001 * number, test_loss=1.0)
        safe = printable(text)  # as the tables of a study have it
        facts = {"network": HOSTILE[number % 2], "rule": safe, "setting": 1, safe: 0.5, "lr": 0.1}
        for stage in ("tuning", "final"):
            columns = {**facts, "stage": stage, "seed": 11, "status": "done", "reason": safe, "val_acc": 0.5}
            rows.append({"trial": name, **columns})
    keys = dict.fromkeys(key for row in rows for key in row)
    (race / "trials.csv").write_bytes(runs.table([{key: row.get(key) for key in keys} for row in rows]))
    (race / "study.yaml").write_text(f"budget: 1\nseeds: 1\n# {printable(HOSTILE[0])}\n")
    manifest = {**runs.read(race / "final-0").manifest, "command": "race", "argv": ["optilab", *HOSTILE]}
    (race / "manifest.json").write_text(json.dumps(manifest))
    study = runs.read_study(race)
    found = races.read(study)
    (tmp_path / "cup.html").write_bytes(network_race_page(found, study))
    page.open(tmp_path / "cup.html")
    inert(page, scripts=7)
    assert HOSTILE[0] in page.text("#rules")
    assert page.script("return document.querySelectorAll('table.results tbody tr').length") == len(HOSTILE)


def test_a_playground_with_hostile_notes_and_files(tmp_path, page, optilab):
    config = load(OptimizeConfig, {"algo": ["sgd"], "function": "ravine", "epochs": 5})
    for note in ("".join(HOSTILE), *HOSTILE[:9]):
        pages.write_page(tmp_path / "play.html", play.page(config, note))
        page.open(tmp_path / "play.html")
        assert page.script(
            "return [window.live ?? 0, document.querySelectorAll(arguments[0]).length]", FOREIGN
        ) == [0, 0]
    mine = "def mine(w, g, lr=0.1):\n    return w - lr * g\n"
    for text in (
        '"><img src=x onerror=window.live=1>',
        "<script>window.live=1<script>",
        "' onload='window.live=1",
    ):
        (tmp_path / f"{text}.py").write_text(mine)
        optilab("play", "--algo", f"{text}.py:mine", "--epochs", 3, "--out", "play.html")
        page.open(tmp_path / "play.html")
        assert page.script(
            "return [window.live ?? 0, document.querySelectorAll(arguments[0]).length]", FOREIGN
        ) == [0, 0]
        assert f"{text}.py:mine" in page.script("return document.body.innerText")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_is_text_in_junit(text):
    suite = junit.Suite(text, [junit.TestCase(text, text, "fails"), junit.TestCase(text, text)])
    (read,) = ElementTree.fromstring(junit.xml([suite]))
    failed, passed = read
    assert [len(failed), len(passed)] == [1, 1]
    for name in (read.get("name"), failed.get("name"), failed[0].get("message"), passed[0].text):
        assert name == printable(text.replace("\n", "; ")).replace("\t", " ")
