"""What every page has: nothing in it is live, nothing is loaded, and nothing that is not ours is replaced."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from optilab.errors import UsageError
from optilab.show import page as pages


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


@pytest.mark.parametrize("allowed", [False, True], ids=["page", "the same without a policy"])
def test_the_policy_forbids_the_network_and_every_script_but_the_pages_own(allowed, page, server, tmp_path):
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


def test_numbers_that_are_not_finite_are_null():
    assert json.loads(pages.safe_json({"a": [1.5, float("nan"), float("inf")]})) == {"a": [1.5, None, None]}


def test_a_script_that_would_end_its_element_is_refused():
    with pytest.raises(ValueError, match="cannot stand"):
        pages.render("base.html", {}, ["'</SCRIPT>'"], title="x")


def test_only_pages_of_optilab_are_replaced(tmp_path):
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
        ("a.txt", "ends in .html"),
        ("none/a.html", "there is no directory "),
    ):
        with pytest.raises(UsageError, match=message):
            pages.page_file(str(tmp_path / name))
    for name in (".", "/"):
        with pytest.raises(UsageError, match="for example name"):
            pages.page_file(name)


def test_the_licence_of_a_library_is_in_its_files():
    assert "Permission is hereby granted" in pages.asset("uplot.js")[:1500]
    assert "MIT licence" in pages.asset("uplot.css")[:200]
