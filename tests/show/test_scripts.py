"""The scripts of the pages under TypeScript's checker, which reads their JSDoc: no unknown name, no call with too many
arguments; those of all pages in strict mode.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.kit.command import ROOT

pytestmark = pytest.mark.nightly
ASSETS = ROOT / "optilab" / "show" / "assets"
PAGES = {
    "answer": ("page.js", "charts.js"),
    "playground": ("page.js", "charts.js", "formula.js", "play.js"),
}
TYPESCRIPT = Path(os.environ.get("TYPESCRIPT", ROOT / "node_modules" / "typescript")) / "bin" / "tsc"
INSTALL = "npm install --no-save --ignore-scripts typescript"
WRONG = {"TS1005", "TS2304", "TS2451", "TS2551", "TS2552", "TS2554", "TS2588", "TS7027"}
"""Syntax, unknown names, names defined twice, misspelled ones, numbers of arguments, constants assigned, dead code."""


def complaints(folder, *scripts, strict):
    """Messages of the checker: (code, sentence)."""
    if not TYPESCRIPT.is_file():
        pytest.skip(f"no TypeScript; install it with: {INSTALL}")
    options = ["--noEmit", "--allowJs", "--checkJs", "--target", "es2023", "--lib", "es2023,dom,dom.iterable"]
    command = ["node", str(TYPESCRIPT), *options, "--strict", str(strict).lower()]
    paths = [str(ASSETS / script) for script in scripts]
    done = subprocess.run([*command, *paths], capture_output=True, text=True, check=False, cwd=folder)
    return re.findall(r"error (TS\d+): (.*)", done.stdout)


def test_what_pages_share_has_types(tmp_path):
    assert complaints(tmp_path, "page.js", "charts.js", strict=True) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_name_is_defined_and_every_call_fits(page, tmp_path):
    assert [
        complaint for complaint in complaints(tmp_path, *PAGES[page], strict=False) if complaint[0] in WRONG
    ] == []


def test_a_wrong_name_would_be_noticed(tmp_path):
    (tmp_path / "wrong.js").write_text('"use strict";\nengineOf({}).surface(1, 2, 3, 4); missing();\n')
    reported = complaints(tmp_path, "formula.js", tmp_path / "wrong.js", strict=False)
    assert {code for code, _ in reported} & WRONG == {"TS2304", "TS2554"}
