"""HTML pages in headless Chromium: what a reader sees and does, and what the page tried to load.

`page` opens a file. After each test, errors on the console and requests for anything but the file itself fail the
test. Chromium and its driver come from the system's packages (`chromium`, `chromium-driver`).
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kit.command import need
from tests.kit.processes import SECONDS, wait_until

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has no sandbox; the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--force-color-profile=srgb",
)


@dataclass
class BrowserPage:
    """One page in the browser."""

    driver: Any
    """selenium's WebDriver, for what is not here."""
    opened: str = ""
    _shown: tuple[int, int, int] | None = None  # width, height, scale

    def open(
        self,
        file: Path,
        fragment: str = "",
        width: int = 1200,
        height: int = 900,
        dark: bool = False,
        scale: int = 1,
    ) -> None:
        """Load a file, with `#fragment`, in a window of so many CSS pixels and the reader's colour scheme."""
        self.resize(width, height, scale)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.opened = file.absolute().as_uri()
        self.driver.get("about:blank")  # a change of the fragment alone would load nothing
        self.driver.get(self.opened + (f"#{fragment}" if fragment else ""))
        # On a busy machine the driver takes the end of the blank page for that of the file.
        loaded = "return document.readyState === 'complete' && location.href.startsWith(arguments[0])"
        wait_until(lambda: bool(self.script(loaded, self.opened)))

    def resize(self, width: int, height: int = 900, scale: int = 1) -> None:
        if self._shown == (width, height, scale):
            return
        self._shown = (width, height, scale)
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        # Charts are drawn again for the width in a frame, and laid out in the next.
        self.script("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def script(self, body: str, *arguments: Any) -> Any:
        """The result of a function's body in the page; `arguments[0]`, ... in it. A promise is waited for."""
        return self.driver.execute_script(body, *arguments)

    def text(self, selector: str) -> str:
        """The visible text of the first element."""
        return str(self.script("return document.querySelector(arguments[0]).innerText", selector))

    def enter(self, selector: str, value: Any) -> None:
        """Change a form control as a reader does: its value, then the events `input` and `change`."""
        self.script(
            "const control = document.querySelector(arguments[0]);"
            "if (control.type === 'checkbox') control.checked = arguments[1]; else control.value = arguments[1];"
            "for (const name of ['input', 'change']) control.dispatchEvent(new Event(name, {bubbles: true}));",
            selector,
            value,
        )

    def press(self, selector: str, *keys: str) -> None:
        """Give an element the focus and type keys into it."""
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(*keys)

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at a place in the element (CSS pixels from its upper left corner), move, release."""
        box = self.script(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center'});"
            "const box = e.getBoundingClientRect(); return [box.left, box.top]",
            selector,
        )
        places = [(box[0] + x, box[1] + y) for x, y in (start, end)]
        for kind, (x, y) in zip(
            ("mousePressed", "mouseMoved", "mouseReleased"), [places[0], *places[1:] * 2], strict=True
        ):
            event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    def overflow(self) -> int:
        """CSS pixels by which the page is wider than the window; 0 where nothing has to be scrolled sideways."""
        root = "document.scrollingElement"
        return int(self.script(f"return Math.max(0, {root}.scrollWidth - {root}.clientWidth)"))

    def complaints(self) -> list[str]:
        """Warnings and errors on the console since the last call, those of a content security policy included."""
        return [
            entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")
        ]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, without the files that were opened and `data:`."""
        urls = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                urls.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                urls.append(message["params"]["url"])
        return [url for url in urls if url != self.opened and not url.startswith(("data:", "blob:", "about:"))]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, started once."""
    need("chromium", "chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(SECONDS)  # its own 30 seconds are too few next to ten other processes
    driver.set_page_load_timeout(SECONDS)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any) -> Iterator[BrowserPage]:
    """A page; the test fails if it complained on the console or asked for anything from anywhere."""
    opened = BrowserPage(browser)
    opened.complaints(), opened.requests()
    yield opened
    complaints, requests = opened.complaints(), opened.requests()
    assert not complaints, complaints
    assert not requests, requests
