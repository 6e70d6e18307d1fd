"""A table of results in every format that `--format` names, from one list of columns and one list of rows.

`table` is for people, `markdown` and `latex` show the same cells in a document, `csv` and `json` hold the values
themselves. Each writer escapes what its format would act on: a name is text in all of them.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich import table as rich_table
from rich.cells import cell_len
from rich.text import Text

from optilab.call import Command
from optilab.errors import printable
from optilab.files import table as csv_table
from optilab.show import terminal


@dataclass(frozen=True)
class Column:
    """One column: where its values are in a row, its heading, and how a value is shown."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    left: bool = False
    """Text, not numbers."""
    detail: int = 0
    """On a terminal that is too narrow, the columns with the highest detail are left out first; 0: never."""
    only: Literal["", "text", "values"] = ""
    """Leave it out of formats that hold values, or of those that show text."""
    plain: str = ""
    """The heading on a page, where a longer one has room."""
    about: str = ""
    """What the column is, for a page: a sentence without a period."""


Interval = tuple[float, float]


def interval_columns(
    prefix: str, show: Callable[[Interval], str], detail: int = 0, heading: str = "95%", about: str = ""
) -> list[Column]:
    """The columns of an interval: as text both ends in one, as values each end alone."""
    ends = (Column(f"{prefix}{end}", "", only="values") for end in ("low", "high"))
    plain = heading.replace("% of ", "% interval of the ") if " of " in heading else f"{heading} interval"
    return [Column(f"{prefix}interval", heading, show, False, detail, "text", plain, about), *ends]


def interval_values(prefix: str, interval: Interval | None) -> dict[str, Any]:
    """What a row has in `interval_columns`; None where there is no interval."""
    low, high = interval or (None, None)
    return {f"{prefix}interval": interval, f"{prefix}low": low, f"{prefix}high": high}


GAP = 3
"""Spaces between the columns of a table in a terminal."""


@dataclass(frozen=True)
class Table:
    """Columns, the values of their rows, and the sentences below them."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str | Command] = ()
    header: bool = True

    def write(self, format: str) -> None:
        """Print it in any format but `json`; the notes belong to the medium."""
        if self.header:
            write(format, self.columns, self.rows)
        else:
            _terminal(self.columns, self.rows, header=False)

    def texts(self, most: int = 0, settings: bool = False) -> tuple[list[Column], list[list[str]]]:
        """The columns that have a value, and the cells as text, of a table of more than `most` rows without those in
        the middle; with the `settings` that are values only."""
        columns = [column for column in self.columns if column.only != "values" or (settings and column.title)]
        columns = [column for column in columns if any(cell(column, row) for row in self.rows)]
        cells = [[cell(column, row) for column in columns] for row in self.rows]
        if most and len(cells) > most + 1:
            cells[most // 2 : -most // 2] = [["..."] * len(columns)]
        return columns, cells

    def lines(self, most: int = 0) -> Iterator[str]:
        """Rows as lines of text."""
        columns, cells = self.texts(most)
        return _lines(columns, cells, self.header)


def grid(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), header: bool = True
) -> Table:
    """A table of texts; the columns in `left` are no numbers."""
    columns = [Column(str(i), heading, left=i in left) for i, heading in enumerate(headings)]
    return Table(columns, [{str(i): text for i, text in enumerate(row)} for row in rows], header=header)


def write(format: str, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table in any format but `json`, which is the business of `terminal.document`.

    A value that a row lacks, or that is None, is an empty cell.
    """
    WRITERS[format](columns, rows)


def _texts(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> tuple[list[Column], list[list[str]]]:
    """The columns of a format that shows text, and their cells."""
    columns = [column for column in columns if column.only != "values"]
    return columns, [[cell(column, row) for column in columns] for row in rows]


def cell(column: Column, row: Mapping[str, Any]) -> str:
    """A value as it is shown; an empty text where there is none."""
    value = row.get(column.key)
    return "" if value is None else column.show(value)


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _terminal(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], header: bool = True) -> None:
    """For people: aligned, with the columns that the terminal has room for; in a pipe a row is one line, for grep."""
    columns, cells = _texts(columns, rows)
    shown = _fitting(columns, cells)
    columns, cells = [columns[i] for i in shown], [[row[i] for i in shown] for row in cells]
    if not terminal.out.is_terminal:  # rich would take half a minute for 100,000 rows
        terminal.out.out("\n".join(_lines(columns, cells, header)), highlight=False)
        return
    table = rich_table.Table(
        box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=header
    )
    for index, column in enumerate(columns):
        justify: Literal["left", "right"] = "left" if column.left else "right"
        # What stands first is a name, to be typed again: it is never folded.
        table.add_column(Text(_heading(column)), justify=justify, overflow="fold", no_wrap=index == 0)
    for row in cells:
        table.add_row(*(Text(printable(text)) for text in row))
    terminal.out.print(table)


def _heading(column: Column) -> str:
    return printable(column.title).replace("\n", " ")


def _lines(columns: Sequence[Column], cells: Sequence[Sequence[str]], header: bool) -> Iterator[str]:
    rows = [[printable(text).replace("\n", " ") for text in row] for row in cells]
    rows = [[*map(_heading, columns)], *rows] if header else rows
    widths = [max(map(cell_len, texts)) for texts in zip(*rows, strict=True)]
    for row in rows:
        padded = []
        for column, text, width in zip(columns, row, widths, strict=True):
            room = " " * (width - cell_len(text))
            padded.append(text + room if column.left else room + text)
        yield (" " * GAP).join(padded).rstrip()


def _fitting(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    """The columns that a terminal has room for; all of them in a pipe."""
    shown = [i for i in range(len(columns)) if any(row[i] for row in cells) or not columns[i].detail]
    if not terminal.out.is_terminal:
        return shown
    widths = [max(len(columns[i].title), *(len(row[i]) for row in cells), 0) for i in range(len(columns))]
    for i in sorted(shown, key=lambda i: -columns[i].detail):
        if sum(widths[j] + GAP for j in shown) - GAP <= terminal.out.width or not columns[i].detail:
            break
        shown.remove(i)
    return shown


# --- documents ---------------------------------------------------------------------------------------------


def _csv(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """The values themselves, a line for each row."""
    keys = [column.key for column in columns if column.only != "text"]
    values = [{key: row.get(key) for key in keys} for row in rows]
    safe = [
        {printable(key): printable(v) if isinstance(v, str) else v for key, v in row.items()} for row in values
    ]
    _print(csv_table(safe).decode())


def _markdown(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of GitHub's Markdown."""
    columns, cells = _texts(columns, rows)
    rules = [":--" if column.left else "--:" for column in columns]
    lines = [[markdown(column.title) for column in columns], rules, *([markdown(c) for c in row] for row in cells)]
    _print("".join(f"| {' | '.join(line)} |\n" for line in lines))


def markdown(text: str) -> str:
    """Text that Markdown shows as it is: no emphasis, link, code, HTML or end of the cell."""
    # A colon acts in an address, in :emoji: and behind brackets.
    escaped = re.sub(r"[\\`*_\[\]<>|~!#$&@^]|:(?!\w+$)", r"\\\g<0>", printable(text).replace("\n", " "))
    # Not every renderer honors an escaped bracket of HTML.
    return escaped.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    **{character: f"\\{character}" for character in "{}$&#%_"},
}


def _latex(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """A tabular environment with the rules of the package booktabs."""
    columns, cells = _texts(columns, rows)
    places = "".join("l" if column.left else "r" for column in columns)
    heading = " & ".join(latex(column.title) for column in columns)
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{places}}}",
        "\\toprule",
        f"{heading} \\\\",
        "\\midrule",
        *(
            " & ".join(latex(c) if column.left else _number(c) for column, c in zip(columns, row, strict=True))
            + " \\\\"
            for row in cells
        ),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    _print("".join(f"{line}\n" for line in lines))


def latex(text: str) -> str:
    """Text that LaTeX shows as it is: no command, mode, comment or column."""
    return "".join(_LATEX.get(character, character) for character in printable(text).replace("\n", " "))


def _number(cell: str) -> str:
    """A cell of numbers: a minus sign instead of a hyphen, a thin space before the sign for per cent."""
    return re.sub(r"(?<![\w.])-(?=[\d.])", "$-$", latex(cell)).replace(" \\%", "\\,\\%")


WRITERS: Mapping[str, Callable[[Sequence[Column], Sequence[Mapping[str, Any]]], None]] = {
    "table": _terminal,
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
}
FORMATS = (*WRITERS, "json")
"""What `--format` accepts; `json` is a document of the command's own."""
