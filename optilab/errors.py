"""Errors that a user can fix: one exception per exit status, and text from elsewhere made safe to print.

Every message says what is wrong, where it was written, what is accepted, and the nearest name. The command line
prints it as text and exits with `code`; a traceback is printed only for a bug in optilab.
"""

import errno
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from optilab.system import WINDOWS
from optilab.words import listed, some


class ExitCode(IntEnum):
    """The exit status of every command. A command that signal n ends dies of that signal (128 + n)."""

    OK = 0
    BUG = 1
    """An error in optilab itself."""
    USAGE = 2
    """Invalid option, invalid config, or a request that cannot be carried out."""
    DATA = 3
    """The dataset or a run's metrics are missing or damaged."""
    RUN = 4
    """A run with this name exists, is locked, is unknown, or its config or dataset changed."""
    CHECKPOINT = 5
    """No usable checkpoint, or a run of an unknown format."""
    DIVERGED = 6
    """Diverged: a number is not finite, or the run ends more than 10 times as high as it started. For `optimize`, the
    height is f above its minimum. For a training, both losses of the last epoch are more than 10 times as high as the
    loss of the first batch and the chance-level loss."""
    SYSTEM = 7
    """No space, no permission, an I/O error, not enough memory."""
    PARTIAL = 8
    """Several runs were started and some of them failed."""
    EXPECTATION = 9
    """A check that the user asked for did not hold, or `lr` found no rate."""


class Interrupted(BaseException):
    """Ctrl-C. Not KeyboardInterrupt: typer turns that into an exit status, which does not stop a shell loop."""


class OptilabError(Exception):
    """Base of everything that is reported to the user without a traceback.

    `where` is the flag, file or file and line at fault; the message begins with it. `facts` is what a command has to
    report next to the error; `--json` prints it in the same document.
    """

    code: ExitCode = ExitCode.USAGE
    facts: Mapping[str, Any] = {}

    def __init__(self, message: str = "", where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message, self.where = message, where

    def document(self) -> dict[str, Any]:
        """The error as `--json` prints it."""
        return {"code": int(self.code), "message": str(self), "where": self.where or None}


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


class WriteFailure(SystemFailure):
    """A file cannot be written: no space, no permission, an I/O error."""


class FileInUse(WriteFailure):
    """A file cannot be written while another program has it open."""


@dataclass(frozen=True)
class Problem:
    """One problem of a request or a config: its place (`my.yaml:4`, `--set`), the key, and what is accepted."""

    where: str
    key: str
    """The key; empty where the place names it."""
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.where, self.key, self.message)))


class ConfigError(UsageError):
    """All problems of one request or config at once."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source, self.problems = source, tuple(problems)
        written = f" in {source}" if source and any(entry.where.startswith(source) for entry in problems) else ""
        lines = [f"{len(problems)} problems{written}", *(f"  {problem}" for problem in problems)]
        super().__init__("\n".join(lines) if len(problems) > 1 else str(problems[0]))
        self.where = problems[0].where

    def document(self) -> dict[str, Any]:
        problems = [
            {"where": problem.where, "key": problem.key, "message": problem.message} for problem in self.problems
        ]
        return {**super().document(), "problems": problems}


SYNONYMS = {
    "learning_rate": "lr", "eta": "lr", "betas": "beta1", "batch": "batch_size", "bs": "batch_size",
    "wd": "weight_decay", "optim": "optimizer", "scheduler": "schedule", "steps": "epochs", "iters": "epochs",
    "gd": "sgd", "gradient_descent": "sgd", "sgd_momentum": "momentum",
    "n_trials": "budget", "output": "out", "layers": "hidden", "acc": "val_acc", "accuracy": "val_acc",
}  # fmt: skip
"""Names of keys, options and optimizers that other libraries and books use, and those of optilab."""
MAX_LISTED = 12
"""Accepted names that a message lists."""
MAX_LONGER = 3
"""Accepted names with an unknown one inside them that a message proposes."""


def did_you_mean(name: str, accepted: Iterable[str], before: str = "") -> str:
    """`; did you mean "activation"?`, or an empty text where no accepted name is near.

    `before` stands before each name that is proposed. In a section that exists only the last part is compared.
    """
    names = {word.lower(): word for word in accepted if not name.startswith(f"{word}.")}
    if name in names.values():
        return ""
    section, dot, last = name.lower().rpartition(".")
    last = SYNONYMS.get(last.replace("-", "_"), last)
    whole, above = f"{section}{dot}{last}", section + (dot or ".")
    inside = {word.removeprefix(above): word for word in names if word.startswith(above)}
    near = [word for word in (whole, last) if word in names]
    near = near or [word for word in names if sorted(word) == sorted(whole)]  # adma is adam, not adamax
    from difflib import get_close_matches

    close = get_close_matches(last if inside else whole, inside or names, n=1, cutoff=0.7)
    near = near or [inside.get(word, word) for word in close]
    near = near or [word for word in names if word.endswith(f".{last}")]
    return f'; did you mean "{before}{names[near[0]]}"?' if near else ""


def unknown(noun: str, name: Any, accepted: Iterable[str]) -> str:
    """`unknown optimizer 'adm'; did you mean "adam"?`, or the names that contain it, or with all."""
    names = list(accepted)
    near = did_you_mean(name, names) if isinstance(name, str) else ""
    longer = [f'"{word}"' for word in names if isinstance(name, str) and name.lower() in word.lower()]
    if not near and 0 < len(longer) <= MAX_LONGER:
        near = f"; did you mean {listed(longer, 'or')}?"
    expected = f"; expected {'one of ' * (len(names) > 1)}{some(names, MAX_LISTED)}"
    if noun == "optimizer" and "=" in str(name):
        expected = "; a formula has the arrow <-, as in w <- w - lr*g"
    return f"unknown {noun} {shown(name)}{near or expected}"


def expected_one_of(value: Any, accepted: Sequence[str]) -> str:
    """`expected one of text, latex, got 'tex'; did you mean "text"?`."""
    near = did_you_mean(value, accepted) if isinstance(value, str) else ""
    return f"expected {'one of ' * (len(accepted) > 1)}{', '.join(accepted)}, got {shown(value)}{near}"


def chosen_names(where: str, texts: Iterable[str], noun: str, accepted: Iterable[str]) -> list[str]:
    """The `accepted` names that comma-separated lists have, in any case. UsageError for an unknown one."""
    known = {name.lower(): name for name in accepted}
    names = [name.strip() for text in texts for name in text.split(",")]
    if unknown_names := [name for name in names if name.lower() not in known]:
        raise UsageError(unknown(noun, unknown_names[0], known.values()), where)
    return list(dict.fromkeys(known[name.lower()] for name in names))


CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that control a terminal or are invisible: C0 and C1, direction, zero width, surrogates, tags."""


_BARE = re.compile(r"[A-Za-z0-9_./\\:=+-]+")
"""Words that neither cmd nor PowerShell reads as anything else."""


def shell(*words: object) -> str:
    """The command `optilab WORDS` as it is typed, each word quoted for the shell."""
    return quoted(["optilab", *map(str, words)])


def quoted(words: Sequence[str], windows: bool = WINDOWS) -> str:
    """Words as they are typed in a shell of this system: on Windows in the double quotes that cmd and PowerShell share.

    No quotes there keep both a `$` and a `%NAME%` as they are; neither is in what optilab proposes by itself.
    """
    if not windows:
        return shlex.join(words)
    # A quote is doubled, and so are backslashes before a quote, which would escape it.
    inside = [re.sub(r'(\\*)("|$)', lambda end: 2 * end[1] + 2 * end[2], word) for word in words]
    return " ".join(
        word if _BARE.fullmatch(word) else f'"{text}"' for word, text in zip(words, inside, strict=True)
    )


_SUBJECTS = {errno.ENOENT: "the working directory", errno.EMFILE: "this process", errno.ENFILE: "the system"}


def system_text(error: OSError) -> str:
    """The text of an error of the system: the file that it names or the resource that is used up, and the reason."""
    return f"{error.filename or _SUBJECTS.get(error.errno or 0, 'the output')}: {error.strerror or error}"


@contextmanager
def system_failures() -> Iterator[None]:
    """Raise SystemFailure for errors of the operating system."""
    try:
        yield
    except OSError as error:
        raise SystemFailure(system_text(error)) from error


_OPTION = re.compile(r"(?<![\w'\"-])--([a-z]+(?:-[a-z]+)*)")


@contextmanager
def library_errors() -> Iterator[None]:
    """Raise the errors of a command with keywords in place of options, and SystemFailure for those of the system.

    Lines with a command and quoted texts stay as they are.
    """
    try:
        with system_failures():
            yield
    except OptilabError as error:
        error.args = (in_keywords(str(error)),)
        error.message, error.where = in_keywords(error.message), in_keywords(error.where)
        raise


def in_keywords(text: str) -> str:
    """A text of a command with keywords in place of options; a line with a command stays as it is."""
    lines = text.split("\n")
    return "\n".join(
        line if "optilab " in line else _OPTION.sub(lambda option: option[1].replace("-", "_"), line)
        for line in lines
    )


def shown(value: Any, limit: int = 60) -> str:
    """A value for an error message: as YAML, control characters escaped, cut to `limit` characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        simple = all(isinstance(item, str | int | float | None) for item in value)
        text = f"[{', '.join(map(shown, value))}]" if simple else ""
        return text if 0 < len(text) <= limit else f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {printable(value.__name__)}"
    try:
        text = printable(repr(value) if isinstance(value, str) else str(value))
    except Exception:  # of a script's own class
        text = ""
    if not text or (not isinstance(value, str) and re.search(r" at 0x|\n", text)):
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable(text: str) -> str:
    """Text that is safe for a terminal: its control characters become visible escapes."""
    return CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}" if c[0] < "\U00010000" else f"\\U{ord(c[0]):08x}", text)
