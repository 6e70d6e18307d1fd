"""What a user can fix, and how optilab says it: one exception per exit code.

Every message names where the problem is, what was given, what is accepted and what to do. The command line
prints it as text and exits with `code`; a traceback is shown only for a bug of optilab's own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The exit status of every command. A run that is ended by signal n dies of that signal (128 + n)."""

    OK = 0
    BUG = 1
    """An error in optilab itself."""
    USAGE = 2
    """A bad flag, a bad config or an impossible request."""
    DATA = 3
    """The dataset or a run's metrics are missing or damaged."""
    RUN = 4
    """A run with this name exists, is locked, is unknown, or its config changed."""
    CHECKPOINT = 5
    """No usable checkpoint, or a run of an unknown format."""
    DIVERGED = 6
    """The loss or the weights are no longer finite."""
    SYSTEM = 7
    """No space, no permission, an I/O error, not enough memory."""
    SWEEP = 8
    """Several runs were started and some of them failed."""
    EXPECTATION = 9
    """A check that the user asked for did not hold."""


class OptilabError(Exception):
    """Base of everything that is reported to the user without a traceback."""

    code: ExitCode = ExitCode.USAGE


class UsageError(OptilabError):
    code = ExitCode.USAGE


class DataError(OptilabError):
    code = ExitCode.DATA


class RunError(OptilabError):
    code = ExitCode.RUN


class CheckpointError(OptilabError):
    code = ExitCode.CHECKPOINT


class DivergedError(OptilabError):
    code = ExitCode.DIVERGED


class SystemFailure(OptilabError):
    code = ExitCode.SYSTEM


class ExpectationError(OptilabError):
    code = ExitCode.EXPECTATION


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a config: where (`my.yaml:4`, `--set`), which key, and what is accepted."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"


class ConfigError(OptilabError):
    """All problems of one config at once."""

    def __init__(self, source: str, problems: Sequence[Problem], advice: str = "") -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"{count} in {source}", *(f"  {problem}" for problem in self.problems)]
        super().__init__("\n".join([*lines, advice] if advice else lines))


def did_you_mean(given: str, accepted: Sequence[str]) -> str:
    """`; did you mean "activation"?`, or an empty text where nothing is close."""
    lower = {name.lower(): name for name in accepted}
    close = get_close_matches(given.lower(), lower, n=1)
    return f'; did you mean "{lower[close[0]]}"?' if close else ""


CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that control a terminal, or that are not seen: C0 and C1, direction, zero width, surrogates, tags."""


def shown(value: Any, limit: int = 60) -> str:
    """A value as an error message shows it: YAML's words, control characters escaped, cut to `limit`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a mapping"
    text = printable(repr(value) if isinstance(value, str) else str(value))
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable(text: str) -> str:
    """Text that is safe for a terminal: characters that control it become visible escapes."""
    return CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}" if c[0] < "\U00010000" else f"\\U{ord(c[0]):08x}", text)
