"""The documentation as a site: it builds without a warning, fits a phone, and asks no other host for anything.

mkdocs is the extra `docs`; without it these tests are skipped, and `.ci/run` installs it for them.
"""

import functools
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("material", reason="pip install -e '.[docs]'")

ROOT = Path(__file__).parents[1]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-f",
        ROOT / ".ci" / "mkdocs.yml",
        "-d",
        folder,
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", folder
    server.shutdown()
    server.server_close()


def test_every_page_and_every_command_is_on_the_site(site):
    from optilab.cli import COMMANDS

    _, folder = site
    for page in ROOT.glob("docs/*.md"):
        place = folder if page.stem == "README" else folder / page.stem
        assert (place / "index.html").is_file(), page.name
    commands = (folder / "reference" / "commands" / "index.html").read_text()
    assert all(f"Usage: optilab {name}" in commands for name in COMMANDS)
    for topic, text in {
        "exit-codes": "128 + n",
        "claims": "confidence",
        "diagnosis": "dead-units",
        "own": "state",
    }.items():
        assert text in (folder / "reference" / topic / "index.html").read_text()
    assert "<code>optimizer.lr</code>" in (folder / "reference" / "keys" / "index.html").read_text()


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize(
    "address",
    [
        "",
        "optimizers/",
        "does-not-learn/",
        "diagnose/",
        "reference/claims/",
        "reference/commands/",
        "reference/keys/",
    ],
)
def test_a_page_fits_and_asks_no_other_host(browser, site, address, width):
    from tests.browser import BrowserPage

    here, _ = site
    page = BrowserPage(browser)
    page.requests(), page.complaints()
    page.resize(width)
    browser.get(here + address)
    assert page.overflow() == 0
    assert not [url for url in page.requests() if not url.startswith(here)]
    assert not page.complaints()
