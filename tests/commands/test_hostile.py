"""Names, notes, values and files that mean harm, in every page, opened in a browser: nothing of them is live.

No script of theirs runs (a dialog or a blocked handler fails the test), no element or attribute of theirs exists, and
the fixture `page` fails on any request and on any complaint of the policy.
"""

import csv
import json
import os
import shlex
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from xml.etree import ElementTree

import pytest
import yaml

from optilab import runs
from optilab.commands import play
from optilab.commands.comparison_page import comparison_page
from optilab.commands.network_race_page import network_race_page
from optilab.commands.race_page import race_page
from optilab.config.load import load
from optilab.config.optimize import OptimizeConfig
from optilab.errors import UsageError, printable
from optilab.optimize.objectives import Booth
from optilab.optimize.rules.momentum import SGD
from optilab.show import junit
from optilab.show import page as pages
from optilab.study import network_race as races
from optilab.study.comparison import compare_runs
from optilab.study.function_race import Race
from optilab.study.groups import Measure, select
from optilab.study.tuning import RaceSettings, Tuning
from tests.hostile import HOSTILE
from tests.run import run
from tests.study.generated import layered, training

pytestmark = pytest.mark.browser

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


def test_texts_are_shown_and_do_nothing(page, tmp_path):
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
    return text.replace("/", "\N{FRACTION SLASH}").replace("\0", "")


def test_report_of_hostile_runs_is_inert(tmp_path, page):
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


@pytest.mark.nightly
def test_race_of_hostile_rules_is_inert(tmp_path, page):
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


@pytest.mark.nightly
def test_race_on_hostile_trainings_is_inert(tmp_path, page):
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


def test_playground_with_hostile_texts_is_inert(tmp_path, page):
    """The note, the address, the formula of a rule and the name of its file; its command runs as shown."""
    text = HOSTILE[0] + HOSTILE[2] + HOSTILE[5]
    file = tmp_path / "a'\"<img src=x onerror=window.live=1>&.py"
    file.write_text(
        f"class Rule:\n    formula = {text!r}\n    def __init__(self, lr=0.1): self.lr = lr\n"
        "    def update(self, w, g): return w - self.lr * g\n"
    )
    config = load(OptimizeConfig, {"algo": [f"{file}:Rule"], "function": "ravine", "epochs": 5})
    for note in ("".join(HOSTILE), text):
        pages.write_page(tmp_path / "play.html", play.page(config, note))
        page.open(tmp_path / "play.html", HOSTILE[0])
        inert(page, scripts=page.script("return document.scripts.length"))
    assert page.text("body").count(text) >= 2
    command = shlex.split(page.script("return document.querySelector('#command').textContent"))
    done = run([*command[1:], "--json", "--no-save"], tmp_path, {})
    assert len(json.loads(done.stdout)["results"][0]["points"]) == 6


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_name_is_text_in_junit(text):
    suite = junit.Suite(text, [junit.TestCase(text, text, "fails"), junit.TestCase(text, text)])
    (read,) = ElementTree.fromstring(junit.xml([suite]))
    failed, passed = read
    assert [len(failed), len(passed)] == [1, 1]
    for name in (read.get("name"), failed.get("name"), failed[0].get("message"), passed[0].text):
        assert name == printable(text.replace("\n", "; ")).replace("\t", " ")


# --- what every page has ---------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A server of this machine: its address, and the paths that it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("allowed", [False, True], ids=["page", "negative control"])
def test_policy_forbids_network_and_foreign_scripts(allowed, page, server, tmp_path):
    text = pages.render("base.html", {}, ["window.own = 1"], title="x")
    (tmp_path / "page.html").write_bytes(text.replace(b"Content-Security-Policy", b"x") if allowed else text)
    address, asked = server
    page.open(tmp_path / "page.html")
    assert page.complaints() == []
    page.script(
        "const element = document.createElement('script'); element.textContent = 'window.live = 1';"
        "document.body.append(element);"
        "document.body.setAttribute('onclick', 'window.live = 1'); document.body.click();"
        "const image = new Image(); image.src = arguments[0] + '/image';"
        "const loaded = new Promise((done) => { image.onload = image.onerror = done });"
        "const read = fetch(arguments[0] + '/data', {mode: 'no-cors'}).catch(() => 0);"
        "return Promise.all([loaded, read]).then(() => 0)",
        address,
    )
    assert page.script("return [window.own, window.live ?? 0]") == [1, int(allowed)]
    assert sorted(asked) == (["/data", "/image"] if allowed else [])
    page.complaints(), page.requests()  # DevTools lists refused requests as well


def test_data_of_a_page_is_safe():
    assert json.loads(pages.safe_json({"a": [1.5, float("nan"), float("inf")]})) == {"a": [1.5, None, None]}
    with pytest.raises(ValueError, match="cannot stand"):
        pages.render("base.html", {}, ["'</SCRIPT>'"], title="x")


def test_only_own_pages_are_replaced(tmp_path):
    page = pages.render("base.html", {}, title="x")
    for _ in range(2):
        pages.write_page(pages.page_file(str(tmp_path / "a.html")), page)
    (tmp_path / "mine.html").write_text("<p>optilab")
    (tmp_path / "link.html").symlink_to(tmp_path / "mine.html")
    (tmp_path / "folder.html").mkdir()
    for name in ("mine.html", "link.html"):
        with pytest.raises(UsageError, match="is not replaced"):
            pages.page_file(str(tmp_path / name))
    for name, message in (
        ("folder.html", "is a directory"),
        ("a.txt", "unknown extension"),
        ("none/a.html", "there is no directory "),
    ):
        with pytest.raises(UsageError, match=message):
            pages.page_file(str(tmp_path / name))
    for name in (".", "/"):
        with pytest.raises(UsageError, match="unknown extension"):
            pages.page_file(name)
