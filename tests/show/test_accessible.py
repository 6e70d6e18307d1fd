"""Accessibility of every kind of page: axe-core, contrast, 200% zoom, the keyboard."""

import os
import re
from pathlib import Path

import pytest

from optilab.show.chart import DARK_COLORS, LIGHT_COLORS
from optilab.show.page import asset
from tests.kit.command import ROOT, run
from tests.kit.generated import layered, training

AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core")) / "axe.min.js"
INSTALL = "npm install --no-save --ignore-scripts axe-core"
KINDS = ("report", "settings", "race", "play", "curve")


@pytest.fixture(scope="module")
def axe():
    """The source of axe-core; it is fetched by npm and not part of the repository."""
    if not AXE.is_file():
        pytest.skip(f"no axe-core; install it with: {INSTALL}")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of every kind, by name."""
    folder = tmp_path_factory.mktemp("pages")
    for lr in ("0.01", "0.1", "1"):
        for seed in (1, 2, 3):
            trained = training(folder / "runs", f"few{lr}-{seed}", f"optimizer.lr={lr}", f"seed={seed}")
            layered(trained, *[(1e-3, 1.0)] * 2)
    for number in range(12):
        point = (f"optimizer.lr={0.01 * (number + 1):g}", f"model.norm={('none', 'batch')[number % 2]}")
        training(folder / "runs", f"many{number}", *point, f"data.batch_size={16 * (number % 3 + 1)}")
    commands = {
        "report": ("report", "few*"),
        "settings": ("report", "many*"),
        "race": ("race", "--algo", "sgd,adam", "--function", "ravine,booth", "--budget", "2", "--repeats", "1",
                 "--gradients", "30", "--quiet", "--out"),
        "play": ("play", "--algo", "sgd,adam"),
        "curve": ("play", "--algo", "sgd,adam", "--function", "x^4 - x^2", "--start", "2"),
    }  # fmt: skip
    for name, (*words,) in commands.items():
        file = f"{name}.html"
        out = [] if words[-1] == "--out" else ["--out"]
        done = run([*words, *out, file], folder)
        assert done.returncode == 0, done.stderr
    return {name: folder / f"{name}.html" for name in commands}


@pytest.mark.nightly
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing(axe, pages, kind, width, page):
    for dark in (False, True):
        page.open(pages[kind], width=width, dark=dark)
        page.script("for (const part of document.querySelectorAll('details')) part.open = true")
        page.script(axe)
        violations = page.script(
            "return axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)"
        )
        assert [(violation["id"], [node["html"] for node in violation["nodes"]]) for violation in violations] == []


@pytest.mark.parametrize(
    "kind",
    ["report", "play", *(pytest.param(kind, marks=pytest.mark.nightly) for kind in ("settings", "race", "curve"))],
)
def test_page_fits_zoom_keyboard_and_fingers(pages, kind, page):
    """200% zoom of a window of 1280 x 800; a first stop that skips to the content; WCAG 2.5.8."""
    page.open(pages[kind], width=640, height=400, scale=2)
    assert page.overflow() == 0
    heights = page.script(
        "return [...document.querySelectorAll('.bench .chart, .panels .frame')]"
        ".map((area) => area.getBoundingClientRect().height)"
    )
    assert min(heights) >= 100
    page.script("document.body.focus()")
    page.press("body", "\ue004")
    stop = "return [document.activeElement.className, document.activeElement.hash]"
    assert page.script(stop) == ["skip", "#main"]
    assert page.script("return document.querySelector('#main').tagName") == "MAIN"
    for width in (360, 1280):
        page.resize(width)
        small = page.script(  # but for links and controls in a line of text
            "return [...document.querySelectorAll('button, select, input')].filter((e) => e.checkVisibility() && "
            "!e.matches('.sort, .skip, [type=checkbox]')).map((e) => [e.getBoundingClientRect(), "
            "e.outerHTML.slice(0, 80)]).filter(([box]) => box.width < 24 || box.height < 24).map(([, text]) => text)"
        )
        assert small == []


# --- contrast ----------------------------------------------------------------------------------------------


def luminance(color):
    """Relative, of `#rrggbb` or a triple (WCAG 2.2)."""
    parts = [int(color[i : i + 2], 16) for i in (1, 3, 5)] if isinstance(color, str) else color
    linear = [c / 3294.6 if c <= 10.31 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(color, other):
    high, low = sorted((luminance(color), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def properties(sheet):
    """The colors of a style sheet, light and dark."""
    pairs = re.findall(r"--(\w+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", asset(sheet))
    return {name: colors for name, *colors in pairs}


@pytest.mark.parametrize(("scheme", "colors"), [(0, LIGHT_COLORS), (1, DARK_COLORS)])
def test_lines_texts_and_borders_have_contrast(scheme, colors):
    base = {name: values[scheme] for name, values in properties("page.css").items()}
    for color in colors:
        assert contrast(color, base["ground"]) >= 3, color
    for text in ("ink", "muted", "good", "bad", "accent"):
        assert min(contrast(base[text], base[below]) for below in ("ground", "raised")) >= 4.5, text
    assert min(contrast(base["edge"], base[below]) for below in ("ground", "raised")) >= 3
    ink = (52, 66, 84) if scheme == 0 else (203, 189, 171)
    ground = [int(base["ground"][i : i + 2], 16) for i in (1, 3, 5)]
    band = [0.82 * below + 0.18 * part for below, part in zip(ground, ink, strict=True)]  # the highest
    for color in colors:  # paths on contours have a halo of the page's ground besides
        assert contrast(color, band) >= (2.4, 2.7)[scheme], color


@pytest.mark.parametrize("kind", ["report", "play"])
def test_page_without_scripts_has_a_picture(pages, kind, page):
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.opened = pages[kind].absolute().as_uri()  # `open` waits for a frame, by a script
        page.driver.get(page.opened)
        text = page.driver.execute_cdp_cmd("DOMSnapshot.captureSnapshot", {"computedStyles": []})["strings"]
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert len([part for part in text if re.fullmatch(r"M[\d.e+-]+ [\d.e+-]+(L[\d.e+-]+ [\d.e+-]+)+", part)]) >= 2
