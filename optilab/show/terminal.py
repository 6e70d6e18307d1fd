"""Everything a person sees in a terminal, and the documents of `--json`.

Only this package imports rich. Results go to stdout; progress, warnings and errors go to stderr. Color is never
the only sign. Text from configs, names and files is printed as text, never as markup or a control sequence.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from optilab.errors import printable

if TYPE_CHECKING:
    from optilab.show.chart import Chart

MIN_WIDTH = 40
WIDTH_FOR_CHARTS = 100  # columns that two plots need
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
    """True if stdout is a terminal with room for two plots: charts are then shown by default."""
    return out.is_terminal and out.width >= WIDTH_FOR_CHARTS


def say(text: str = "", style: str | None = None) -> None:
    """A line of a result, wrapped at words on a terminal, except lines with a command, so they can be copied."""
    whole = not out.is_terminal or "optilab " in text
    out.print(Text(printable(text), style=style or ""), soft_wrap=whole)


def draw(chart: "Chart") -> None:
    """A chart as text: in color on a terminal, in ASCII in a pipe."""
    from optilab.show import chart_text  # NumPy is slow to import

    braille = out.is_terminal and out.encoding.lower() in ("utf-8", "utf8")
    painted = chart_text.paint(chart, out.width if out.is_terminal else PIPE_WIDTH, braille)
    if out.is_terminal:
        out.print(painted)
        return
    for segments in out.render_lines(painted, out.options.update_width(PIPE_WIDTH + 1), pad=False):
        say("".join(segment.text for segment in segments).rstrip())


def note(text: str) -> None:
    """A warning or a hint on stderr; where that is full, the exit status still says what came out."""
    try:
        err.print(Text(f"optilab: {printable(text)}"), soft_wrap=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


MAX_SILENCE_SECONDS = 10.0
"""Seconds after which a pipe gets a line, where there is nothing to tell yet."""


@contextmanager
def note_if_slow(text: str) -> Iterator[None]:
    """Note a text if what is done inside takes longer than MAX_SILENCE_SECONDS."""
    timer = threading.Timer(MAX_SILENCE_SECONDS, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """A spinner on a terminal's stderr while something takes seconds; nothing in a pipe."""
    if err.is_terminal:
        with err.status(Text(text)):
            yield
    else:
        yield


def print_json(facts: Mapping[str, Any]) -> None:
    """Print the one JSON document of `--json`: full precision, null for a number that is not finite. Its
    `schema_version` is 1 unless `facts` have another one."""
    sys.stdout.write(json.dumps(json_value({"schema_version": 1, **facts}), allow_nan=False) + "\n")
    sys.stdout.flush()


def json_value(value: Any) -> Any:
    """A value as JSON can hold it; arrays become lists, numbers that are not finite null."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return json_value(value.tolist()) if hasattr(value, "tolist") else value
