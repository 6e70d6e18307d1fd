"""A table of results in every format that `--format` names, from one list of columns and one list of rows.

`table` is for people, `markdown` and `latex` show the same cells in a document, `csv` and `json` hold the values
themselves. Each writer escapes what its format would act on: a name is text in all of them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rich import table as rich_table
from rich.cells import cell_len
from rich.text import Text

from optilab.errors import UsageError, did_you_mean, expected_one_of, printable
from optilab.files import table as csv_table
from optilab.proposals import Proposal
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
    """On a terminal that is too narrow, the columns with the highest detail are left out first; 0: never, and below 0
    not even where no row has a value."""
    only: Literal["", "text", "values"] = ""
    """Leave it out of formats that hold values, or of those that show text."""
    plain: str = ""
    """The heading on a page, where a longer one has room."""
    about: str = ""
    """The explanation of the column on a page: a sentence without a period."""
    early: bool = False
    """True if a page shows it next to the name of a row, where a phone has room for it."""
    folded: bool = False
    """True if a terminal shows it with `--details` only; pages and other formats have it."""


Interval = tuple[float, float]


def interval_columns(
    prefix: str, show: Callable[[Interval], str], detail: int = 0, heading: str = "95%", about: str = ""
) -> list[Column]:
    """The columns of an interval: as text both ends in one, as values each end alone."""
    ends = (Column(f"{prefix}{end}", "", only="values") for end in ("low", "high"))
    plain = heading.replace("% of ", "% interval of the ") if " of " in heading else f"{heading} interval"
    return [Column(f"{prefix}interval", heading, show, False, detail, "text", plain, about), *ends]


def interval_values(prefix: str, interval: Interval | None) -> dict[str, Any]:
    """The values of a row in `interval_columns`; None where there is no interval."""
    low, high = interval or (None, None)
    return {f"{prefix}interval": interval, f"{prefix}low": low, f"{prefix}high": high}


GAP = 3
"""Spaces between the columns of a table in a terminal."""


@dataclass(frozen=True)
class Table:
    """Columns, the values of their rows, and the sentences below them."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str | Proposal] = ()
    header: bool = True
    middle: str = ""
    """The key of the value that a page draws in the interval of its row, from `low` to `high`."""
    look: str = ""
    """The key of the value that is the look of its row on a page."""
    apart: Mapping[str, "Table"] = field(default_factory=dict)
    """By key, the tables that LaTeX sets below this one, in place of columns for which paper is too narrow."""

    @property
    def names(self) -> dict[str, Column]:
        """The columns by the names that choose them: the keys of their values, and their headings."""
        headed = {column.title: column for column in self.columns if column.title}
        return {**headed, **{column.key: column for column in self.columns}}

    def choose(self, names: Sequence[str], where: str = "columns") -> "Table":
        """The table with these columns alone, in this order, in every format. UsageError for an unknown one."""
        known = self.names
        if unknown := [name for name in names if name not in known]:
            headings = list(dict.fromkeys(column.title or column.key for column in self.columns))
            near = did_you_mean(unknown[0], list(known))
            raise UsageError(f"expected names of columns ({', '.join(headings)}), got {unknown[0]!r}{near}", where)
        chosen = [
            replace(c, title=c.title or c.key, detail=-1, only="", folded=False)
            for c in map(known.__getitem__, names)
        ]
        kept = {key: table for key, table in self.apart.items() if any(column.key == key for column in chosen)}
        return replace(self, columns=chosen, apart=kept)

    def on_screen(self) -> "Table":
        """The table without its folded columns."""
        return replace(self, columns=[column for column in self.columns if not column.folded])

    def text(self, format: str) -> str:
        """It in any format but `json`; the notes belong to the medium. UsageError for an unknown format."""
        if format not in WRITERS:
            raise UsageError(expected_one_of(format, tuple(WRITERS)), "format")
        return WRITERS[format](self)

    def texts(self, most: int = 0, settings: bool = False) -> tuple[list[Column], list[list[str]]]:
        """The columns of formats that show text, and the cells, of a table of more than `most` rows without those in
        the middle; with the `settings` that are values only. A column without a value is left out."""
        columns = [c for c in self.columns if c.only != "values" or (settings and c.title)]
        columns = [c for c in columns if c.detail < 0 or not self.rows or any(cell(c, row) for row in self.rows)]
        cells = [[cell(column, row) for column in columns] for row in self.rows]
        if most and len(cells) > most + 1:
            cells[most // 2 : -most // 2] = [["..."] * len(columns)]
        return columns, cells

    def lines(self, most: int = 0) -> Iterator[str]:
        """Rows as lines of text."""
        columns, cells = self.texts(most)
        rows = [[printable(text).replace("\n", " ") for text in row] for row in cells]
        rows = [[*map(_heading, columns)], *rows] if self.header else rows
        widths = [max(map(cell_len, texts)) for texts in zip(*rows, strict=True)]
        for row in rows:
            padded = []
            for column, text, width in zip(columns, row, widths, strict=True):
                room = " " * (width - cell_len(text))
                padded.append(text + room if column.left else room + text)
            yield (" " * GAP).join(padded).rstrip()


def grid(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), header: bool = True
) -> Table:
    """A table of texts, with the columns in `left` aligned to the left and all others to the right."""
    columns = [Column(str(i), heading, left=i in left) for i, heading in enumerate(headings)]
    return Table(columns, [{str(i): text for i, text in enumerate(row)} for row in rows], header=header)


def cell(column: Column, row: Mapping[str, Any]) -> str:
    """A value as it is shown; an empty text where there is none."""
    value = row.get(column.key)
    return "" if value is None else column.show(value)


def _lines(table: Table) -> str:
    """Aligned for people: a row is one line."""
    return "".join(f"{line}\n" for line in table.lines())


def show(table: Table) -> None:
    """Print for people: aligned, with the columns that fit into the terminal; in a pipe a row is one line, for grep."""
    if not terminal.out.is_terminal:  # rich would take half a minute for 100,000 rows
        terminal.out.out("\n".join(table.lines()), highlight=False)
        return
    columns, cells = table.texts()
    visible = list(range(len(columns)))
    widths = [
        max(map(cell_len, [_heading(column), *(row[i] for row in cells)])) for i, column in enumerate(columns)
    ]
    for i in sorted(visible, key=lambda i: -columns[i].detail):
        if sum(widths[j] + GAP for j in visible) - GAP <= terminal.out.width or columns[i].detail <= 0:
            break
        visible.remove(i)
    drawn = rich_table.Table(
        box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=table.header
    )
    for i in visible:
        justify: Literal["left", "right"] = "left" if columns[i].left else "right"
        # What stands first is a name, to be typed again: it is never folded.
        drawn.add_column(Text(_heading(columns[i])), justify=justify, overflow="fold", no_wrap=i == visible[0])
    for row in cells:
        drawn.add_row(*(Text(printable(row[i])) for i in visible))
    terminal.out.print(drawn)


def _heading(column: Column) -> str:
    return printable(column.title).replace("\n", " ")


# --- documents ---------------------------------------------------------------------------------------------


def _csv(table: Table) -> str:
    """The values themselves, a line for each row; an interval that was chosen is one text."""
    columns = [column for column in table.columns if column.only != "text"]
    heading = {printable(column.key): column.key for column in columns}
    rows = [{printable(column.key): _value(column, row) for column in columns} for row in table.rows]
    return csv_table(rows or [heading], header=bool(rows)).decode()


def _value(column: Column, row: Mapping[str, Any]) -> Any:
    value = row.get(column.key)
    value = cell(column, row) if isinstance(value, tuple) else value
    return printable(value) if isinstance(value, str) else value


def _markdown(table: Table) -> str:
    """A table of GitHub's Markdown."""
    columns, cells = table.texts()
    rules = [":--" if column.left else "--:" for column in columns]
    lines = [[markdown(column.title) for column in columns], rules, *([markdown(c) for c in row] for row in cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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


def _latex(table: Table) -> str:
    """Tabular environments with the rules of the package booktabs: of the table, and of each that stands apart."""
    whole = replace(table, columns=[column for column in table.columns if column.key not in table.apart])
    return "% needs \\usepackage{booktabs}\n" + "\n".join(map(_tabular, [whole, *table.apart.values()]))


def _tabular(table: Table) -> str:
    columns, cells = table.texts()
    places = "".join("l" if column.left else "r" for column in columns)
    heading = " & ".join(_times(latex(column.title)) for column in columns)
    lines = [
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
    return "".join(f"{line}\n" for line in lines)


def latex(text: str) -> str:
    """Text that LaTeX shows as it is: no command, mode, comment or column."""
    return "".join(_LATEX.get(character, character) for character in printable(text).replace("\n", " "))


def _times(heading: str) -> str:
    """A heading such as `x lowest` with the sign for times."""
    return re.sub(r"^x(?= )", r"$\\times$", heading)


def _number(cell: str) -> str:
    """A cell of numbers: a minus sign instead of a hyphen, a thin space before the percent sign."""
    return re.sub(r"(?<![\w.])-(?=[\d.])", "$-$", latex(cell)).replace(" \\%", "\\,\\%")


WRITERS: Mapping[str, Callable[[Table], str]] = {
    "table": _lines,
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
}
FORMATS = (*WRITERS, "json")
"""Values of `--format`; `json` is the command's document."""
