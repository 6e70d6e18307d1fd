"""The parts of an answer, before a terminal, a page or a notebook renders it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optilab.proposals import Proposal
from optilab.show import terminal
from optilab.show.chart import Chart
from optilab.show.table import Table, show

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Sentence:
    """A sentence with a style of the terminal."""

    text: str
    style: str = ""


class Verbatim(str):
    """A text that a program may read, such as a path: printed as it is, whatever characters it has."""


class Hint(str):
    """A line about the command or its files, which a terminal alone shows."""


@dataclass(frozen=True)
class Verdict:
    """The answer in one sentence, with which a page begins: the claim, and what limits it."""

    claim: str
    rest: str = ""

    @property
    def text(self) -> str:
        return self.claim + self.rest


@dataclass(frozen=True)
class NextStep(Proposal):
    """The command that an answer proposes; `why` reads on from `The next step`."""

    def around(self, call: str) -> str:
        return f"  next: {call} ({self.why})"

    def document(self) -> "Mapping[str, str]":
        """The block in `--json`."""
        return {"command": str(self.call), "why": self.why}


@dataclass(frozen=True)
class Details:
    """A part of a page with a heading; `folded` until a reader opens it. A terminal shows it with `--details` only."""

    title: str
    blocks: "Iterable[Block]"
    folded: bool = False


Block = str | Proposal | Sentence | Verdict | Table | Chart | Details


def with_columns(blocks: Iterable[Block], table: Table, names: Sequence[str], where: str) -> list[Block]:
    """The blocks with the named columns alone in every table that has them all, or is like `table`, the answer's; in
    none, the columns of `table` come first. UsageError, at `where`, for a column that `table` lacks."""
    first, blocks, known = table.choose(names, where), [*blocks], table.names.keys()
    chosen = [
        block.choose(names, where)
        if isinstance(block, Table) and (set(names) <= block.names.keys() or block.names.keys() == known)
        else block
        for block in blocks
    ]
    return chosen if chosen != blocks or not table.columns else [first, *blocks]


def paint(blocks: Iterable[Block], details: bool = False) -> None:
    """Print blocks on stdout, those of `Details` where `details` are asked for."""
    for block in blocks:
        match block:
            case Verbatim():
                print(block, flush=True)
            case Sentence():
                terminal.say(block.text, block.style or None)
            case Verdict():
                terminal.say(f"verdict: {block.text}", "bold")
            case Table():
                show(block if details else block.on_screen())
            case Chart():
                terminal.draw(block)
            case Details():
                if details:
                    terminal.say()
                    terminal.say(block.title, "bold")
                    paint(block.blocks, details)
            case _:
                terminal.say(str(block))


def lines(blocks: Iterable[Block], medium: Callable[[str | Proposal], str] = str, rows: int = 0) -> Iterator[str]:
    """Blocks as lines of text, without charts; `medium` writes their commands, and tables have at most `rows` rows."""
    for block in blocks:
        match block:
            case Table():
                yield from block.on_screen().lines(rows)
            case Sentence():
                yield block.text
            case Verdict():
                yield f"verdict: {block.text}"
            case Hint():
                continue
            case str() | Proposal():
                yield medium(block)
