"""What every verb returns: values first; a data frame, a picture, a page and the view of a notebook on request."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from optilab.show.table import Column

HEAD, TAIL = 8, 8
"""Rows that a table shows of a result that has more than both."""


class Shown(NamedTuple):
    """A table as it is shown: its columns, its rows, and the sentences below it."""

    columns: "Sequence[Column]"
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()


class LabResult(ABC):
    """A result of a verb of `Lab`."""

    @property
    @abstractmethod
    def headline(self) -> str:
        """What it is and what came out, in one line."""

    @property
    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """The result as flat rows of plain values."""

    @abstractmethod
    def plot(self, dark: bool = False) -> "Figure":
        """The picture that the command's `--plot` writes; DataError where there is nothing to draw."""

    def frame(self) -> Any:
        """`rows` as a data frame of pandas, or of polars where pandas is not installed. UsageError without both."""
        from optilab.errors import UsageError

        for name, options in (("pandas", {}), ("polars", {"infer_schema_length": None})):
            try:
                library = import_module(name)
            except ModuleNotFoundError:
                continue
            return library.DataFrame(self.rows, **options)
        raise UsageError("a data frame needs pandas or polars: pip install 'optilab[pandas]'; .rows needs neither")

    def report(self, path: str, title: str | None = None) -> "Path":
        """Write one HTML file that needs no network. An older page of optilab is replaced, any other file is not."""
        from optilab import pages

        file = pages.target(path)
        pages.write(file, self._page(title))
        return file

    def show(self) -> Shown:
        """The table that stands for the result where it is printed."""
        from optilab.show.table import Column

        rows = self.rows
        keys = list(dict.fromkeys(key for row in rows for key in row))
        return Shown([Column(key, key, cell, left=_is_text(rows, key)) for key in keys], rows)

    def _page(self, title: str | None) -> bytes:
        """The page of `report`: the table and the picture."""
        from optilab import pages

        heading = title or self.headline
        return pages.render("result.html", None, title=heading, heading=heading, **self._content())

    def _repr_html_(self) -> str:
        """In a notebook: the table and the picture, with every name escaped."""
        from optilab import pages

        return pages.fragment("notebook.html", heading=self.headline, **self._content())

    def _content(self) -> dict[str, Any]:
        from optilab import figures
        from optilab.errors import OptilabError

        try:
            picture = figures.png(self.plot())
        except OptilabError:  # nothing to draw
            picture = None
        columns, cells, notes = self._text()
        return {"columns": columns, "rows": cells, "notes": notes, "picture": picture}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline}>"

    def __str__(self) -> str:
        """The table as text."""
        from optilab.show import terminal

        columns, cells, notes = self._text()
        left = [place for place, column in enumerate(columns) if column.left]
        grid = terminal.grid([column.title for column in columns], cells, left)
        parts = [self.headline, "\n".join(grid.lines()) if cells else "", "\n".join(notes)]
        return "\n\n".join(part for part in parts if part)

    def _text(self) -> "tuple[list[Column], list[list[str]], Sequence[str]]":
        """The table as texts, without empty columns: columns, cells, sentences."""
        from optilab.show import table as tables

        shown = self.show()
        columns = [column for column in shown.columns if column.only != "values"]
        columns = [column for column in columns if any(tables.cell(column, row) for row in shown.rows)]
        cells = [[tables.cell(column, row) for column in columns] for row in shown.rows]
        if len(cells) > HEAD + TAIL + 1:
            cells[HEAD:-TAIL] = [["..."] * len(columns)]
        return columns, cells, shown.notes


def cell(value: Any) -> str:
    """A value of a table: numbers with five digits."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _is_text(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(isinstance(row.get(key), str) for row in rows)
