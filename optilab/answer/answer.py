"""Answers: what a command returns, and how every medium shows it."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from optilab import runs
from optilab.errors import DataError, ExitCode, OptilabError, UsageError, expected_one_of, printable
from optilab.numbers import digits
from optilab.proposals import in_python
from optilab.show import terminal
from optilab.show.blocks import Block, lines
from optilab.show.chart import Chart
from optilab.show.table import Column, Table

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from optilab.judge.claims import ClaimResult

MAX_ROWS = 16
"""Rows of a table that a notebook shows."""
PICTURES, FILMS, PAGES = (".png", ".svg", ".pdf"), (".gif",), (".html", ".htm")
"""The extensions of files that show an answer."""


class Answer(ABC):
    """The result of a command: values first, every view of them on request."""

    schema_version: ClassVar[int] = 1
    """Version of the document: it rises when a key goes or changes its type or meaning (recorded/documents.txt)."""
    judged: "Sequence[ClaimResult]" = ()
    """The results of the claims of `expect`."""
    ENDINGS: ClassVar[Sequence[str]] = (*PICTURES, *PAGES)
    """The extensions of the files that `save` writes."""

    @property
    @abstractmethod
    def headline(self) -> str:
        """The subject and the result, in one line."""

    @property
    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """The result as flat rows of plain values."""

    @property
    def code(self) -> ExitCode:
        """The exit status, without regard to claims."""
        return ExitCode.OK

    @property
    def question(self) -> str:
        """The heading of the answer's page."""
        return self.headline

    def blocks(self) -> "Iterable[Block]":
        """The blocks of the terminal, in this order; a page begins with them."""
        yield self.headline
        yield (table := self.table())
        yield from table.notes

    def details(self) -> "Iterable[Block]":
        """The blocks that follow on a page and in a notebook: by default the chart."""
        with suppress(OptilabError):  # nothing to draw
            yield self.chart()

    def painted(self) -> "list[Block]":
        """The blocks of a page, with charts where the details have them."""
        return [*(block for block in self.blocks() if not isinstance(block, Chart)), *self.details()]

    def table(self) -> Table:
        """The table that stands for the result in every format; by default its rows."""
        rows = self.rows
        keys = list(dict.fromkeys(key for row in rows for key in row))
        texts = {key for row in rows for key, value in row.items() if isinstance(value, str)}
        return Table([Column(key, key, partial(digits, count=5), left=key in texts) for key in keys], rows)

    def document(self) -> Mapping[str, Any]:
        """The document of `--json`."""
        return {"rows": self.rows}

    def full_document(self) -> dict[str, Any]:
        """The document with its version, and with the results of the claims where there are any."""
        claims = {"expect": [claim.document() for claim in self.judged]} if self.judged else {}
        return {"schema_version": self.schema_version, **self.document(), **claims}

    def short(self) -> Iterable[str]:
        """The lines of `--quiet`."""
        return ()

    def chart(self) -> "Chart":
        """The chart that the command's `--out` writes. DataError where there is nothing to draw."""
        raise DataError("there is no plot of this result; .rows has its numbers")

    def film(self) -> "Chart":
        """The chart whose lines a film draws step by step."""
        raise DataError("there is no film of this result")

    def plot(self, *, dark: bool = False) -> "Figure":
        """The chart as a figure of matplotlib. DataError where there is nothing to draw."""
        from optilab.show import chart_file

        return chart_file.draw(self.chart(), dark)

    def frame(self) -> Any:
        """`rows` as a data frame of pandas. UsageError where it is not installed."""
        try:
            return import_module("pandas").DataFrame(self.rows)
        except ModuleNotFoundError:
            message = "a data frame needs pandas: pip install pandas (the extra pandas); .rows does not"
            raise UsageError(message) from None

    def save(
        self, file: "str | os.PathLike[str]", *, dark: bool = False, size: str | None = None, command: str = ""
    ) -> None:
        """Write the plot, the page or the film that the extension of `file` names.

        A plot has the width of its `size` (column, page, slide), and names `command` in its metadata; a page with slide
        is in large type. UsageError for another extension, and for a file that exists and is no page, where a page is
        asked for.
        """
        from optilab.show import chart_file

        path = runs.output_file(os.fspath(file), self.ENDINGS)
        if size is not None and size not in chart_file.SIZES:
            raise UsageError(expected_one_of(size, [*chart_file.SIZES]), "size")
        if path.suffix.lower() in PAGES:
            self.report(path, dark=dark, large=size == "slide")
        elif path.suffix.lower() in FILMS:
            chart_file.animate(self.film(), str(path), dark)
        else:
            chart_file.save(self.chart(), str(path), dark, size, command)
        self.saved.append(os.fspath(file))

    @cached_property
    def saved(self) -> list[str]:
        """The files that `save` wrote."""
        return []

    def report(
        self, path: "str | os.PathLike[str]", title: str | None = None, *, dark: bool = False, large: bool = False
    ) -> "Path":
        """Write one self-contained HTML file, `dark` whatever the reader's system asks, and in `large` type. An older
        page of optilab is replaced, any other file is not."""
        from optilab.show.page import page_file, write_page

        file = page_file(os.fspath(path))
        write_page(file, self.page(title, dark, large))
        return file

    def page(self, title: str | None, dark: bool = False, large: bool = False) -> bytes:
        """The page of `report`, as UTF-8."""
        from optilab.show.page import render

        return render(title or self.question, self.painted(), dark, large)

    def _repr_html_(self) -> str:
        """The HTML in a notebook: every name is escaped, and the blocks that a page folds are left out."""
        from optilab.show.page import fragment

        return fragment(self.painted(), MAX_ROWS)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline}>"

    def __str__(self) -> str:
        """The blocks as text, with calls of `Lab` as commands."""
        return "\n".join(lines(self.blocks(), in_python, MAX_ROWS)).strip("\n")


@dataclass(frozen=True, repr=False)
class SimpleAnswer(Answer):
    """An answer of a few values: the lines for a reader, the document of `--json`, the lines of `--quiet`."""

    content: Sequence[Block]
    facts: Mapping[str, Any]
    brief: Sequence[str] = ()
    code: ExitCode = ExitCode.OK

    @property
    def headline(self) -> str:
        return next((block for block in self.content if isinstance(block, str)), "")

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for block in self.content if isinstance(block, Table) for row in block.rows]

    def blocks(self) -> Iterable[Block]:
        return self.content

    def table(self) -> Table:
        """The first table among the blocks, and below it their other sentences."""
        first_table = next((block for block in self.content if isinstance(block, Table)), Table([], []))
        return replace(first_table, notes=[block for block in self.content if isinstance(block, str)][1:])

    def document(self) -> Mapping[str, Any]:
        return self.facts

    def short(self) -> Iterable[str]:
        return self.brief


# --- claims ------------------------------------------------------------------------------------------------

STYLES = {"holds": "", "fails": "bold red", "cannot tell": "bold yellow", "error": "bold red"}
"""Style of a claim's line, by its result."""


def show_claims(judged: "Sequence[ClaimResult]", silent: bool = False) -> ExitCode:
    """Show the claims of a command that was run with `--expect`, and the exit status: 9 unless all hold.

    `silent`: only what does not hold, on stderr.
    """
    for result, line in zip(judged, claim_lines(judged), strict=True):
        if not silent:
            terminal.say(line, STYLES[result.result])
        elif not result.holds:
            terminal.note(claim_sentence(result))
    annotate(f"{result.of}: {claim_sentence(result)}" for result in judged if not result.holds)
    return ExitCode.OK if all(result.holds for result in judged) else ExitCode.EXPECTATION


def claim_lines(judged: "Sequence[ClaimResult]") -> list[str]:
    """`fails        val_acc > 0.8   0.0998   sigmoid   met by 2 of 3 seeds`, in columns."""
    rows = [[f"{result.result:11}", result.claim, _measured(result), result.of] for result in judged]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True) if width] for row in rows]
    return ["   ".join([*row, result.why]).rstrip() for row, result in zip(padded, judged, strict=True)]


def _measured(result: "ClaimResult") -> str:
    return "-" if result.measured is None else digits(result.measured, 8)


def claim_sentence(result: "ClaimResult") -> str:
    """`fails: val_acc > 0.8; measured 0.0998 (sigmoid); met by 2 of 3 seeds`."""
    measured = (
        "" if result.measured is None else f"measured {_measured(result)}{f' ({result.of})' * bool(result.of)}"
    )
    return "; ".join(filter(None, (f"{result.result}: {result.claim}", measured, result.why)))


def annotate(lines: Iterable[str]) -> None:
    """Errors where GitHub's runner reads them; on stderr, so that stdout keeps its format."""
    if os.environ.get("GITHUB_ACTIONS", "").lower() not in ("true", "1"):
        return
    for line in lines:
        text = printable(" ".join(line.replace("\n", "; ").split())).replace("%", "%25")
        print(f"::error title=optilab::{text}", file=sys.stderr)
