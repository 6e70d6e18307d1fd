"""Progress in a notebook: one line that is updated in place, without a widget or an extension."""

import time
from html import escape
from importlib import import_module
from typing import Any

from optilab.errors import printable

EVERY = 0.2
"""Seconds between two updates: each is a message to the browser."""


class ProgressLine:
    """A bar and a text; nothing is shown before the first `draw`."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._drawn = 0.0

    def draw(self, share: float, text: str) -> None:
        """Show that this share is done, unless the line was drawn just now."""
        if time.monotonic() - self._drawn >= EVERY:
            self._drawn = time.monotonic()
            bar = f'<progress max="1" value="{share:.3f}"></progress>'
            self._write(f"{bar} {escape(printable(text))}", f"{share:.0%} {text}")

    def close(self) -> None:
        """Remove the line."""
        if self._handle is not None:
            self._write("", "")

    def _write(self, html: str, text: str) -> None:
        # Where this runs IPython is there, and it is not a dependency.
        content = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = import_module("IPython.display").display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
