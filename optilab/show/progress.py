"""Progress of long work: a bar on a terminal, one line that is updated in place in a notebook."""

import time
from html import escape
from importlib import import_module
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn

from optilab.errors import printable
from optilab.show import terminal

INTERVAL_SECONDS = 0.2
"""Seconds between two updates: each is a message to the browser."""


class Bar(Progress):
    """Description, bar and time left, on stderr where that is a terminal, or in a notebook; else nothing at all."""

    def __init__(self, total: float, quiet: bool, on_terminal: bool = True) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}")
        live = terminal.err.is_terminal and on_terminal and not quiet
        super().__init__(*columns, console=terminal.err, transient=True, disable=not live)
        self._line, self._total = ProgressLine(quiet), total
        self.in_log = not (live or self.in_notebook or quiet)
        """True where there is no bar, and lines are wanted in its place."""
        self._task = self.add_task("", total=total, left="")
        self._above_stdout = False

    @property
    def in_notebook(self) -> bool:
        return self._line.live

    def show(self, done: float, text: str, left: str) -> None:
        """Show how much of the total is done."""
        self.update(self._task, completed=done, description=text, left=left)
        self._line.draw(done / self._total, f"{text}   {left}")

    def start(self) -> None:
        super().start()
        self._above_stdout = not self.disable and terminal.out.is_terminal
        if (
            self._above_stdout
        ):  # on the same screen: what is printed there erases the bar first, and stands above it
            terminal.out.push_render_hook(self.live)

    def stop(self) -> None:
        if not self.disable:  # rich 14 prints a line all the same
            if self._above_stdout:
                terminal.out.pop_render_hook()
            self._above_stdout = False
            super().stop()
        self._line.close()


class ProgressLine:
    """A bar and a text in a notebook, without a widget or an extension; elsewhere, and before `draw`, nothing."""

    def __init__(self, quiet: bool) -> None:
        self.live = terminal.err.is_jupyter and not quiet
        self._handle: Any = None
        self._drawn = 0.0

    def draw(self, fraction: float, text: str) -> None:
        """Show that this fraction is done, unless the line was drawn just now."""
        if self.live and time.monotonic() - self._drawn >= INTERVAL_SECONDS:
            self._drawn = time.monotonic()
            bar = f'<progress max="1" value="{fraction:.3f}"></progress>'
            self._write(f"{bar} {escape(printable(text))}", f"{fraction:.0%} {text}")

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
