"""What a user can fix, and how optilab says it: one exception per exit code.

Every message names where the problem is, what was given, what is accepted and what to do. The command line
prints it as text and exits with `code`; a traceback is shown only for a bug of optilab's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum


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
