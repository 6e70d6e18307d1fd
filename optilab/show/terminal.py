"""Everything a person sees in a terminal, and the documents of `--json`.

Only this package imports rich. Results go to stdout; progress, warnings and errors go to stderr. Color is never
the only sign. Text from configs, names and files is printed as text, never as markup or a control sequence.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optilab.errors import printable

if TYPE_CHECKING:
    from optilab.show.chart import Chart

MIN_WIDTH = 40
UNFOLDED = 10_000  # columns, more than any table needs
GAP = 3  # spaces between the columns of a table
SIDE_BY_SIDE = 100  # columns that two pictures need
PIPE_WIDTH = 80  # columns of pictures in a pipe


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader has left: a command that SIGPIPE does not end (`train`) continues without output."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console(**options: Any) -> Console:
    console = _Console(markup=False, highlight=False, emoji=False, soft_wrap=False, **options)
    if console.width < MIN_WIDTH:
        console.width = MIN_WIDTH
    return console


out = _console()
err = _console(stderr=True)


def is_wide() -> bool:
    """Whether pictures are shown by default: on a terminal with room for two."""
    return out.is_terminal and out.width >= SIDE_BY_SIDE


def say(text: str = "", style: str | None = None) -> None:
    """A line of a result, wrapped at words on a terminal, except lines with a command, so they can be copied."""
    whole = not out.is_terminal or "optilab " in text
    out.print(Text(printable(text), style=style or ""), soft_wrap=whole)


def show(*renderables: Any) -> None:
    """Tables and texts of a result; in a pipe, each row of a table is one line, for grep and awk."""
    for item in renderables:
        if out.is_terminal:
            out.print(item)
        elif isinstance(item, Grid):
            out.out("\n".join(item.lines()), highlight=False)
        else:
            options = out.options.update_width(UNFOLDED) if isinstance(item, Table) else out.options
            for segments in out.render_lines(item, options, pad=False):
                say("".join(segment.text for segment in segments).rstrip())


def draw(chart: "Chart") -> None:
    """A chart as text: in color on a terminal, in ASCII in a pipe."""
    from optilab.show import chart_text  # NumPy is slow to import

    encoding = out.encoding.lower()
    braille = out.is_terminal and bool(re.fullmatch("utf-?8", encoding))
    color = bool(out.color_system) and not out.no_color
    width = out.width if out.is_terminal else PIPE_WIDTH
    screen = chart_text.Screen(width, braille, encoding.startswith("utf"), color, out.is_terminal)
    for line in chart_text.paint(chart, screen):
        if out.is_terminal:
            out.print(Text.assemble(*line))
        else:
            say("".join(text for text, _ in line).rstrip())


def note(text: str) -> None:
    """A warning or a hint on stderr; where that is full, the exit status still says what came out."""
    try:
        err.print(Text(f"optilab: {printable(text)}"), soft_wrap=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


SILENCE = 10.0
"""Seconds after which a pipe gets a line, where there is nothing to tell yet."""


@contextmanager
def after_silence(text: str) -> Iterator[None]:
    """Note a text if what is done inside takes longer than SILENCE."""
    timer = threading.Timer(SILENCE, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def busy(text: str) -> Iterator[None]:
    """A spinner on a terminal's stderr while something takes seconds; nothing in a pipe."""
    if err.is_terminal:
        with err.status(Text(text)):
            yield
    else:
        yield


def document(facts: Mapping[str, Any], version: int = 1) -> None:
    """Print the one JSON document of `--json`: full precision, null for a number that is not finite.

    `version`: of this document; see `Answer.schema_version`.
    """
    text = json.dumps(plain({"schema_version": version, **facts}), allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """A value as JSON can hold it; arrays become lists, numbers that are not finite null."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else value


@dataclass(frozen=True)
class Grid:
    """A plain table without lines: headings, then cells; the columns in `left` are text, the others numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[int]
    show_header: bool

    def __rich__(self) -> Table:
        """On a terminal: folded where it is too narrow."""
        table = Table(
            box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=self.show_header
        )
        for index, column in enumerate(self.columns):
            justify: Literal["left", "right"] = "left" if index in self.left else "right"
            # What stands first is a name, to be typed again: it is never folded.
            table.add_column(Text(column), justify=justify, overflow="fold", no_wrap=index == 0)
        for row in self.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        return table

    def lines(self) -> Iterator[str]:
        """In a pipe: a row is a line. Rich would take half a minute for 100,000 of them."""
        rows = [[printable(cell).replace("\n", " ") for cell in row] for row in self.rows]
        if self.show_header:
            rows.insert(0, list(self.columns))
        widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            padded = []
            for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
                room = " " * (width - cell_len(cell))
                padded.append(cell + room if index in self.left else room + cell)
            yield (" " * GAP).join(padded).rstrip()


def grid(
    columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), show_header: bool = True
) -> Grid:
    """A table for `show`; the columns in `left` are text."""
    return Grid([printable(column).replace("\n", " ") for column in columns], rows, left, show_header)
