"""Errors that a user can fix: one exception per exit status, and text from elsewhere made safe to print.

Every message names where the problem is, what was given, what is accepted and what to do. The command line
prints it as text and exits with `code`; a traceback is printed only for a bug in optilab.
"""

import errno
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum
from functools import wraps
from math import inf
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


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
    SWEEP = 8
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
    rest: Any = None
    """The value without what is refused of it, where there is one."""
    lines: Sequence[str] = ()
    """What it says next to other errors, where that is not its own text."""

    def __init__(self, message: str = "", where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where

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


@dataclass(frozen=True)
class Problem:
    """One problem of a config: where it is (`my.yaml:4`, `--set`), the key, and what is accepted."""

    where: str
    key: str
    message: str
    named: bool = False
    """Whether `where` is the option that sets the key, so that the key need not be said."""

    @property
    def line(self) -> float:
        """Its line in a file; what was typed comes after all lines."""
        found = re.fullmatch(r"(?!--).*?:(\d+)", self.where)
        return int(found[1]) if found else inf

    def __str__(self) -> str:
        key = self.key
        if self.line < inf:  # which says which claim
            key = re.sub(r"\b(checks|expect)\[\d+\]", r"\1", key)
        said = [self.where, "" if self.named and self.where else key, self.message]
        return ": ".join(filter(None, said))


class ConfigError(OptilabError):
    """All problems of one config at once."""

    def __init__(self, source: str, problems: Sequence[Problem], advice: str = "") -> None:
        self.source, self.problems, self.advice = source, tuple(problems), advice
        self.lines = [*map(str, problems)] if source in TYPED else ()
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [
            f"{count} in {source}",
            *(f"  {problem}" for problem in self.problems),
            *([advice] if advice else []),
        ]
        if len(self.problems) == 1 and source in TYPED:
            problem = self.problems[0]
            lines = [str(problem).removeprefix(f"{source}: ")]
        super().__init__("\n".join(lines))
        self.where = self.problems[0].where if self.problems else source

    def document(self) -> dict[str, Any]:
        problems = [{"where": one.where, "key": one.key, "message": one.message} for one in self.problems]
        return {**super().document(), "problems": problems}


def together(errors: Sequence[OptilabError]) -> OptilabError:
    """One error that says all `errors`, with the exit status of the first; of one, that itself."""
    errors = _by_file(errors)
    kind = UsageError if isinstance(errors[0], ConfigError) else type(errors[0])
    lines = [line for one in errors for line in one.lines or str(one).split("\n")]
    return errors[0] if len(errors) == 1 else kind("\n".join(dict.fromkeys(lines)))


def _by_file(errors: Iterable[OptilabError]) -> list[OptilabError]:
    """The errors; those of the config of one file as one, with its problems in the order of their lines."""
    found: dict[str | OptilabError, OptilabError] = {}
    for one in errors:
        key = one.source if isinstance(one, ConfigError) and one.source not in TYPED else one
        before = found.get(key)
        if isinstance(one, ConfigError) and isinstance(before, ConfigError):
            problems = sorted((*before.problems, *one.problems), key=lambda problem: problem.line)
            found[key] = ConfigError(one.source, problems, before.advice or one.advice)
        else:
            found[key] = one
    return list(found.values())


class Refusals(list[OptilabError]):
    """What is refused on the way to the work: each part is asked for in turn, and `settle` says all at once."""

    def __call__(self, call: Callable[..., Any], *arguments: Any, rest: bool = False) -> Any:
        """What `call` gives; None where it is refused, or the `rest` where there is one."""
        try:
            return call(*arguments)
        except OptilabError as error:
            self.append(error)
            return error.rest if rest else None

    def settle(self, rest: Any = None) -> None:
        """Raise what was refused, if anything; `rest` is left without it."""
        if self:
            error = together(self)
            self.clear()
            error.rest = rest
            raise error


def for_each(call: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """What `call` gives for each item; raises all that it refuses."""
    refused = Refusals()
    results = [refused(call, item) for item in items]
    refused.settle()
    return results


TYPED = ("the command line", "the arguments")
"""Sources of a config whose one problem is one line: whoever typed it sees where it is."""


ELSEWHERE = {
    "learning_rate": "lr", "learningrate": "lr", "eta": "lr", "optim": "optimizer", "opt": "optimizer",
    "optimizer": "algo", "algo": "optimizer", "algorithm": "algo", "rule": "algo", "fn": "function",
    "objective": "function", "batchsize": "batch_size", "batch": "batch_size", "bs": "batch_size", "steps": "epochs",
    "iterations": "epochs", "iters": "epochs", "max_iter": "epochs", "n": "epochs", "save": "out",
    "trials": "budget samples", "n_trials": "budget samples", "networks": "on", "param_grid": "over", "grid": "over",
    "tol": "tolerance", "output": "out", "betas": "beta1", "scheduler": "schedule", "clip": "clip_norm",
    "grad_clip": "clip_norm", "layers": "hidden", "widths": "hidden", "nonlinearity": "activation",
    "initialization": "init", "wd": "weight_decay", "l2": "weight_decay", "x0": "start", "config": "train",
    "swish": "silu", "sgdm": "momentum", "heavy_ball": "momentum", "nag": "nesterov", "cg": "conjugate-gradient",
    "ln": "log", "sen": "sin", "tg": "tan", "history": "evidence rows", "losses": "evidence rows", "fit": "train",
    "verbose": "progress", "path": "dir", "root": "dir", "folder": "dir", "directory": "dir", "t_max": "steps",
    "eta_min": "final",
    "acc": "val_acc", "loss": "val_loss", "accuracy": "val_acc", "metrics": "rows", "tex": "latex", "md": "markdown",
    "gpu": "cuda", "to_csv": "out", "force": "yes", "final": "last", "end": "last", "log_freq": "every",
    "overwrite": "force yes", "count": "samples budget", "num_iter": "steps", "init": "start", "status": "state",
    "net": "model", "network": "model", "order": "sort", "order_by": "sort", "sort_by": "sort", "depth": "hidden",
    "width": "hidden", "units": "hidden", "hidden_size": "hidden", "hidden_sizes": "hidden", "workers": "jobs",
    "save_every": "checkpoint_every", "save_freq": "checkpoint_every", "checkpoint": "checkpoint_every",
    "early_stop": "early_stopping", "param": "over", "params": "over", "axis": "over", "space": "over",
    "prune": "halving", "pruner": "halving", "hyperband": "halving", "asha": "halving", "dim": "dimension",
    "precision": "dtype", "n_layers": "hidden", "num_layers": "hidden", "he": "kaiming", "glorot": "xavier",
    "savefig": "plot", "show": "plot",
    "df": "frame", "dataframe": "frame", "to_pandas": "frame", "to_dict": "document", "summary": "headline",
    "metric": "monitor", "momentum": "beta", "parameters": "over", "method": "search",
}  # fmt: skip
"""Names of keys, options and entries as they are called elsewhere, and what they are called here."""


def did_you_mean(name: str, accepted: Sequence[str], before: str = "") -> str:
    """`; did you mean "activation"?`, or an empty text where nothing is close.

    `before` stands before each name that is proposed. A character that looks like a letter of the accepted name and
    is not is named.
    """
    lower = {word.lower().lstrip("-"): word for word in accepted}
    own = name.lower().lstrip("-")
    last = own.rpartition(".")[2]  # torch.optim.SGD, optimizer.learning_rate
    usual = ELSEWHERE.get(last.replace("-", "_"), "").split()
    close = [word for word in lower if word.replace("-", "_") in usual]
    close = close or [word for word in lower if sorted(word) == sorted(own)]  # adma is adam, not adamax
    if len(own) > 2 and own not in lower:
        begins = [word for word in lower if word.startswith(own)]  # beta is beta1 or beta2
        close = close or [word for word in begins if word == f"{own}s"] or begins
    close = close or [word for word in lower if word == last] or get_close_matches(own, lower, n=1, cutoff=0.7)
    begins = [word for word in lower if own.startswith((f"{word}-", f"{word}_"))]  # dark-mode is dark
    close = (
        close or begins or [word for word in lower if len(word) > 4 and own.startswith(word)]
    )  # CosineAnnealingLR
    if not 0 < len(close) < 4:
        return ""
    foreign = [f"{unicodedata.name(c, 'a character')} (U+{ord(c):04X})" for c in name if not c.isascii()]
    meant = " or ".join(f'"{before}{lower[word]}"' for word in close)
    return f"; did you mean {meant}?" + (f" This one has {', '.join(foreign)}" if foreign else "")


def none_of(value: Any, accepted: Sequence[str]) -> str:
    """`expected one of text, latex, got 'tex'; did you mean "text"?`."""
    close = did_you_mean(value, accepted) if isinstance(value, str) else ""
    close = close or ("" if accepted[1:] else f"; write {accepted[0]}, or leave it out")
    return f"expected {'one of ' * bool(accepted[1:])}{', '.join(accepted)}, got {shown(value)}{close}"


def unknown(what: str, name: Any, accepted: Iterable[str]) -> str:
    """`unknown optimizer 'adm'; did you mean "adam"?`, or with every accepted name where none is close."""
    names = list(accepted)
    close = did_you_mean(re.sub(r"(?<=\w)\(.*", "", name), names) if isinstance(name, str) else ""  # SGD(lr=0.1)
    if isinstance(name, str) and {one.strip() for one in name.split(",")} <= {*names}:
        return f"expected one {what}, got {shown(name)}; write {name.partition(',')[0].strip()}"
    if name == "all" and what != "dataset":
        close = f"; write names with commas between them, as in {','.join(names[:3])}, or leave it out"
    if isinstance(name, str) and len(words := name.split()) > 1 and {*words} <= {*names}:
        close = f"; names are separated by commas: {','.join(words)}"
    return f"unknown {what} {shown(name)}{close or f'; {one_of(names, what)}'}"


def no_attribute(value: Any, name: str) -> AttributeError:
    """The error of an attribute that a value does not have, with a near one, or with all that it has."""
    public = [one for one in dir(value) if one[0] != "_"]
    near = "" if name[0] == "_" else did_you_mean(name, public) or f"; it has {', '.join(public)}"
    return AttributeError(f"{type(value).__name__} has no method {name!r}{near}")


def called_as(
    example: str, problems_of: Callable[..., Iterable[str]] = lambda *_, **__: ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuse a call that Python would end by a TypeError in sentences with `example`, such as watch.step(loss), and
    with `problems_of` the arguments that do fit."""

    def decorate(call: Callable[P, R]) -> Callable[P, R]:
        @wraps(call)
        def checked(*args: P.args, **keywords: P.kwargs) -> R:
            require_object(example, args)
            try:
                return call(*args, **keywords)
            except TypeError:
                if problems := _unfit(call, args, keywords, example):
                    with suppress(TypeError):
                        problems += problems_of(*args[1:], **keywords)
                    raise UsageError("\n".join(problems), example.partition("(")[0]) from None
                raise

        return checked

    return decorate


MADE = {"lab": "optilab.Lab()", "watch": "optilab.watch(model, optimizer)"}
"""How the object is made whose methods are called."""


def require_object(example: str, args: Sequence[Any]) -> None:
    """UsageError where the method of `example`, such as watch.step(loss), is called on its class."""
    name = example.partition(".")[0]
    if name in MADE and name.capitalize() not in (kind.__name__ for one in args[:1] for kind in type(one).__mro__):
        kind = MADE[name].partition("(")[0]
        raise UsageError(f"{kind} is a class; write {name} = {MADE[name]}, and then {example}")


def _unfit(call: Callable[..., Any], args: Sequence[Any], keywords: Iterable[str], example: str) -> list[str]:
    """What of a call does not fit the signature."""
    import inspect

    accepted = list(inspect.signature(call).parameters.values())
    if accepted and accepted[0].name == "self":
        accepted, args = accepted[1:], args[1:]
    places = [one.name for one in accepted if one.kind is one.POSITIONAL_OR_KEYWORD]
    names = [one.name for one in accepted if one.kind is not one.VAR_KEYWORD]
    wrong = [name for name in keywords if name not in names] if len(names) == len(accepted) else []
    takes = f"; it takes {', '.join(names)}: {example}" if names else f"; write {example}"
    problems = [f"unknown keyword {shown(name)}{did_you_mean(name, names) or takes}" for name in wrong]
    if len(args) > len(places):
        first = args[len(places)]
        named = any(one.kind is one.VAR_KEYWORD or type(one.default) is type(first) for one in accepted)
        what = f"needs a name{' or **' * isinstance(first, Mapping)}" if named else "is a value too many"
        place = r'(?<=savefig\()".*?"' if isinstance(first, str) else r"(?<==)[\d.]+"
        own = (shown(one).replace("'", '"') for one in args[len(places) :] if isinstance(one, int | float | str))
        bare = re.sub(r"\(\w+=\w+\)(?=\.savefig)", "()", example) if isinstance(first, str) else example
        typed = re.sub(place, lambda usual: next(own, usual[0]), bare)
        problems.append(f"{shown(first)} {what}; write {typed}")
    given = [*places[: len(args)], *keywords]
    problems += [f"{name} is given twice" for name in names if given.count(name) > 1]
    needed = [one.name for one in accepted if one.name in names and one.default is one.empty]
    return problems + [f"needs {name}; write {example}" for name in needed if name not in given]


def one_of(names: Sequence[str], what: str = "") -> str:
    """`one of sgd, adam`, or `expected tpe` where there is only one; of a long list one name, and what lists it."""
    if names[MANY:] and what in LISTED_BY:
        return f"for example {names[0]}; all {len(names)} are listed by: optilab {LISTED_BY[what]}"
    return f"one of {', '.join(names)}" if names[1:] else f"expected {''.join(names)}"


MANY = 12
"""Names that a message lists at most, where a command lists them."""
LISTED_BY = {
    "optimizer": "config show optimize algo",
    "function": "config show optimize function",
}


def wrong_extension(file: object, accepted: Sequence[str]) -> str:
    """`expected a name that ends in .csv or .sqlite, got 'rows.txt'; for example rows.csv`."""
    *before, last = accepted
    ends = f"{', '.join(before)} or {last}" if before else last
    stem = re.sub(r"\.\w*$", "", str(file).rpartition("/")[2]) or "name"
    stem = "out" if f".{stem}" in accepted else stem
    return f"expected a name that ends in {ends}, got {shown(str(file))}; for example {stem}{accepted[0]}"


def chosen_names(where: str, text: str, what: str, accepted: Iterable[str]) -> list[str]:
    """The names of a comma-separated list of `accepted` names, in any case; UsageError names the unknown ones."""
    known = {name.lower(): name for name in accepted}
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        given = ",".join(filter(None, names))
        instead = f"write {given}" if given else one_of(list(accepted), what)
        raise UsageError(f"{shown(text)} has an empty name; {instead}", where)
    if wrong := [name for name in names if name.lower() not in known]:
        others = [name for key, name in known.items() if key not in (typed.lower() for typed in names)]
        raise together([UsageError(unknown(what, name, others), where) for name in wrong])
    return list(dict.fromkeys(known[name.lower()] for name in names))


CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that control a terminal or are invisible: C0 and C1, direction, zero width, surrogates, tags."""


def shell(*words: object) -> str:
    """The command `optilab WORDS` as it is typed, each word quoted for the shell."""
    return shlex.join(["optilab", *map(str, words)])


_SUBJECTS = {errno.ENOENT: "the working directory", errno.EMFILE: "this process", errno.ENFILE: "the system"}


def system_text(error: OSError) -> str:
    """What the system refuses: the file that the error names, or what else there is none of."""
    return f"{error.filename or _SUBJECTS.get(error.errno or 0, 'the output')}: {error.strerror or error}"


@contextmanager
def system_failures() -> Iterator[None]:
    """SystemFailure for what the system refuses."""
    try:
        yield
    except OSError as error:
        raise SystemFailure(system_text(error)) from error


def shown(value: Any, limit: int = 60) -> str:
    """A value for an error message: in YAML's words, control characters escaped, cut to `limit` characters."""
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
    try:
        text = printable(repr(value) if isinstance(value, str) else str(value))
    except Exception:  # of a script's own class
        text = ""
    if not text or (not isinstance(value, str) and re.search(r" at 0x|\n", text)):
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable(text: str) -> str:
    """Text that is safe for a terminal: its control characters become visible escapes."""
    return CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}" if c[0] < "\U00010000" else f"\\U{ord(c[0]):08x}", text)
