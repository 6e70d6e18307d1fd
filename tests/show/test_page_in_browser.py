"""The browser fixture itself: it sees what a page shows, does, complains of and asks for."""

import pytest

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><meta charset="utf-8"><title>x</title><style>
body { background: white } @media (prefers-color-scheme: dark) { body { background: black } }
#wide { width: 700px }</style>
<p id="shown">0</p><input id="slider" type="range" min="0" max="10" value="0" aria-label="x"><div id="wide">w</div>
<script>
const shown = document.querySelector("#shown"), wide = document.querySelector("#wide");
document.querySelector("#slider").addEventListener("input", (e) => { shown.textContent = e.target.value });
let from = null;
wide.addEventListener("pointerdown", (e) => { from = e.clientX });
addEventListener("pointerup", (e) => { wide.textContent = String(e.clientX - from) });
</script>"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "page.html").write_text(PAGE)
    return tmp_path / "page.html"


def test_a_page_is_operated_and_measured(page, file, tmp_path):
    page.open(file, "state", width=400, dark=True)
    assert page.script("return [location.hash, innerWidth, getComputedStyle(document.body).backgroundColor]") == [
        "#state",
        400,
        "rgb(0, 0, 0)",
    ]
    assert page.overflow() > 250
    page.resize(1000)
    assert page.overflow() == 0
    page.enter("#slider", 4)
    assert page.text("#shown") == "4"
    page.press("#slider", "\ue014")  # the right arrow
    assert page.text("#shown") == "5"
    page.drag("#wide", (10, 5), (210, 5))
    assert page.text("#wide") == "200"
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    page.open(file)
    assert page.script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_errors_and_requests_are_noticed(page, file):
    page.open(file)
    assert (page.complaints(), page.requests()) == ([], [])
    page.script("console.error('wrong'); fetch('https://example.invalid/x').catch(() => 0)")
    page.script("return new Promise((done) => setTimeout(done, 200))")
    assert any("wrong" in complaint for complaint in page.complaints())
    assert page.requests() == ["https://example.invalid/x"]
    page.complaints()
