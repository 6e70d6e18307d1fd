"""Progress of long work: a bar on a terminal, one line that is updated in place in a notebook."""

import time
from collections.abc import Callable, Sequence
from html import escape
from importlib import import_module
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from optilab.errors import printable
from optilab.show import terminal

EVERY = 0.2
"""Seconds between two updates: each is a message to the browser."""


class Bar(Progress):
    """Description, bar, and the field `left`, on stderr where that is a terminal; else nothing at all."""

    def __init__(self, quiet: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}")
        live = terminal.err.is_terminal and not quiet
        super().__init__(*columns, console=terminal.err, transient=True, disable=not live)

    def stop(self) -> None:
        if not self.disable:  # rich 14 prints a line all the same
            super().stop()


class LiveView(Live):
    """Lines on a terminal's stderr that are drawn again and again by a thread, with what is printed above them.

    `view()` gives the cells of the first line, where a number is a bar filled to that fraction, and the lines below.
    """

    def __init__(self, view: Callable[[], tuple[Sequence[str | float], Sequence[str]]]) -> None:
        self._view = view
        super().__init__(get_renderable=self._lines, console=terminal.err, transient=True)

    def above(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(Text(text))

    def _lines(self) -> Group:
        cells, lines = self._view()
        width = max(10, min(40, terminal.err.width - 60))
        first = Table.grid(padding=(0, 2))
        first.add_row(*(c if isinstance(c, str) else ProgressBar(1.0, c, width) for c in cells))
        return Group(first, *map(Text, lines))


class ProgressLine:
    """A bar and a text in a notebook, without a widget or an extension; elsewhere, and before `draw`, nothing."""

    def __init__(self, quiet: bool) -> None:
        self.live = terminal.err.is_jupyter and not quiet
        self._handle: Any = None
        self._drawn = 0.0

    def draw(self, share: float, text: str) -> None:
        """Show that this fraction is done, unless the line was drawn just now."""
        if self.live and time.monotonic() - self._drawn >= EVERY:
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


class Transfer:
    """A progress bar that appears with the first report, so only if something is fetched."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def report(self, label: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes of `label` have arrived."""
        if label not in self._tasks:
            if not terminal.err.is_terminal:
                terminal.note(label)
            if self._progress is None:
                columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
                self._progress = Progress(*columns, console=terminal.err, transient=True)
                if terminal.err.is_terminal:
                    self._progress.start()
            self._tasks[label] = self._progress.add_task(label, total=total)
        if self._progress is not None:
            self._progress.update(self._tasks[label], completed=done, total=total)
