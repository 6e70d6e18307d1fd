"""Names, notes, values and files that mean harm, in every page, opened in a browser: nothing of them is live.

No script of theirs runs (a dialog or a blocked handler fails the test), no element or attribute of theirs exists, and
the fixture `page` fails on any request and on any complaint of the policy.
"""

import json
import shlex
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from xml.etree import ElementTree

import pytest

from optilab.commands import play
from optilab.config.load import load
from optilab.config.optimize import OptimizeConfig
from optilab.errors import UsageError, printable
from optilab.show import junit
from optilab.show import page as pages
from tests.commands import test_page_contract as contract
from tests.kit.hostile import HOSTILE

FOREIGN = (
    "img, iframe, object, embed, form, a:not(.skip, #steps a), meta[http-equiv=refresh], [onload], [onerror], "
    "[onmouseover], [onclick]"
)
KINDS = [
    contract.TestReport,
    contract.TestPlayground,
    pytest.param(contract.TestFunctionRace, marks=pytest.mark.nightly),
    pytest.param(contract.TestBenchmark, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("kind", KINDS)
def test_scripts_of_a_page_make_nothing_live(kind, tmp_path, page):
    """Whatever unfolds is opened and every button pressed; nothing is there that is not the page's own."""
    text = "".join(HOSTILE[:4])
    written = kind().page(tmp_path, text)
    (tmp_path / "page.html").write_bytes(written)
    page.open(tmp_path / "page.html", HOSTILE[0])
    page.script(
        "for (const part of document.querySelectorAll('details')) part.open = true;"
        "for (const control of document.querySelectorAll('.sort, .legend input')) control.click()"
    )
    live = "return [window.live ?? 0, document.scripts.length, document.querySelectorAll(arguments[0]).length]"
    assert page.script(live, FOREIGN) == [0, written.count(b"<script"), 0]
    assert HOSTILE[1] in page.text("body")


def test_playground_shows_the_command_of_a_hostile_file(tmp_path, page, optilab):
    file = tmp_path / "a'\"<img src=x onerror=window.live=1>&.py"
    file.write_text(
        "class Rule:\n    formula = 'w <- w - lr*g'\n    def __init__(self, lr=0.1): self.lr = lr\n"
        f"    def update(self, w, g): return w - self.lr * g\nclass Other(Rule):\n    formula = {HOSTILE[0]!r}\n"
    )
    config = load(OptimizeConfig, {"algo": [f"{file}:Rule"], "function": "ravine", "epochs": 5})
    pages.write_page(tmp_path / "play.html", play.page(config))
    page.open(tmp_path / "play.html")
    assert page.script("return [window.live ?? 0, document.querySelectorAll('img').length]") == [0, 0]
    command = shlex.split(page.script("return document.querySelector('#command').textContent"))
    results = json.loads(optilab(*command[1:], "--json", "--no-save").stdout)["results"]
    assert len(results[0]["points"]) == 6
    with pytest.raises(UsageError, match="Other has no formula that a page could run"):
        play.page(load(OptimizeConfig, {"algo": [f"{file}:Other"]}))


def test_hostile_name_is_text_in_junit():
    for text in HOSTILE:
        suite = junit.Suite(text, [junit.TestCase(text, text, "fails"), junit.TestCase(text, text)])
        (read,) = ElementTree.fromstring(junit.xml([suite]))
        failed, passed = read
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

        def log_message(self, *_): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


@pytest.mark.parametrize("allowed", [False, True], ids=["page", "negative control"])
def test_policy_forbids_network_and_foreign_scripts(allowed, page, server, tmp_path):
    text = pages.document("notebook.html", {}, ["window.own = 1"], title="x", blocks=[])
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
        pages.document("notebook.html", {}, ["'</SCRIPT>'"], title="x", blocks=[])


def test_only_own_pages_are_replaced(tmp_path):
    for _ in range(2):
        pages.write_page(pages.page_file(str(tmp_path / "a.html")), pages.render("x", []))
    (tmp_path / "mine.html").write_text("<p>optilab")
    (tmp_path / "link.html").symlink_to(tmp_path / "mine.html")
    (tmp_path / "folder.html").mkdir()
    for name in ("mine.html", "link.html", "folder.html", "a.txt", "none/a.html"):
        with pytest.raises(UsageError):
            pages.page_file(str(tmp_path / name))
