"""A claim: what the result of a command is expected to be, as text (`val_acc > 0.8`)."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from annotated_doc import Doc
from annotated_types import MinLen
from pydantic import AfterValidator, Field, Strict, ValidationError
from pydantic_core import InitErrorDetails, core_schema

from optilab.annotations import Flag, claim_doc
from optilab.config.load import load
from optilab.config.section import ScalarOrList, Section, refusal
from optilab.config.tree import Override, decimal
from optilab.errors import did_you_mean, shown, unknown
from optilab.optimize.status import Status
from optilab.runs.metrics import EPOCH_METRICS, TESTED, metric_of
from optilab.words import listed

BEST = "best"
"""The group with the best mean of the metric, as a claim names it."""
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
HEALTHY = "healthy"
"""The claim `diagnosis == healthy`, and the only word of that metric."""


@dataclass(frozen=True)
class Subject:
    """The claims that can be made about the results of a command."""

    metrics: tuple[str, ...]
    words: Mapping[str, Sequence[str]]
    """The metrics whose values are words, each with its words."""
    once: Sequence[str] = ()
    """Metrics with a single value instead of a value for each epoch."""
    confident: Sequence[str] = ()
    """Metrics of which several trainings are a sample."""
    first: int = 0
    """The first epoch."""

    def incompatibility(self, claim: "Claim") -> str:
        """The reason why a claim does not fit the command's results; empty where it does."""
        metric, at = claim.metric, claim.at
        if metric not in self.metrics:
            return unknown("metric", metric, self.metrics)
        if metric in self.words and claim.bound not in self.words[metric]:
            return unknown(metric, str(claim.bound), self.words[metric])
        if at != "last" and metric in self.once:
            return f"at {at}: {metric} has one value, not one per epoch"
        if at in range(self.first):
            return f"at: expected an epoch from {self.first}, got {at}"
        if claim.confidence is not None and metric not in self.confident:
            return f"confidence: applies only to {listed(self.confident or ['trainings'])}, got {claim.text}"
        if at in ("best", "area") and metric not in self.confident:
            return f"at {at}: applies only to trainings, got {claim.text}"
        return ""


_STATUSES = ("done", "diverged", "failed", "stopped", "interrupted", "running")
_VERDICTS = {"verdict": ("best", "worse", "cannot tell")}
_ONCE = (*TESTED, "epochs", "grad_ratio", "status", "diagnosis")
_NUMBERS = (*EPOCH_METRICS, *TESTED, "seconds", "epochs", "grad_ratio")
TRAINING = Subject(
    (*_NUMBERS, "status", "diagnosis"), {"status": _STATUSES, "diagnosis": [HEALTHY]}, _ONCE, _NUMBERS, first=1
)
PATH = Subject(("f", "distance", "gradient_norm", "w1", "w2", "epochs", "status"), {"status": [*Status]}, _ONCE)
"""A path of `optimize`; `epochs` is the first epoch with |grad f| below the tolerance."""
RACE = Subject(_RACED := ("cost", "ratio", "solved", "verdict"), _VERDICTS, _RACED)
"""A rule in a race, as its `--json` names them."""
BENCHMARK = Subject(_ON_NETWORKS := ("test_acc", "verdict"), _VERDICTS, _ON_NETWORKS, ["test_acc"])
"""A rule in a benchmark."""
RATE = Subject(_OF_RATE := ("rate", "status"), {"status": ("found", "unmoved")}, _OF_RATE)
"""`optilab lr`: the recommended rate, and whether there is one (found or unmoved)."""
SUBJECTS = {"train": TRAINING, "optimize": PATH, "race": RACE, "benchmark": BENCHMARK, "lr": RATE}
"""The subject of each command."""

WORDS = ("status", "verdict", "diagnosis")
"""The metrics whose values are words."""
Moment: TypeAlias = Literal["last", "best", "area"]
At: TypeAlias = Moment | int
"""The time at which a metric is measured: the last epoch, the best one, the mean over all (the area under the curve),
or an epoch from 1."""
MOMENTS: tuple[str, ...] = get_args(Moment)

EXAMPLE = (
    "healthy, val_acc > 0.8, val_acc at best == 0.85 +- 0.01, adam: f < 0.1, or val_acc > 0.8 confidence 0.95"
)
_TEXT = re.compile(
    rf"\s*(?:(?P<of>.+?)\s*:\s+)?(?:(?P<healthy>{HEALTHY})|(?P<metric>\w+)(?:\s+at\s+(?P<at>\w+))?"
    r"\s*(?P<operator>>=|<=|==|=|>|<)\s*(?P<value>cannot tell|[^\s<>=]+?)(?:\s*\+-\s*(?P<within>[^\s<>=]+))?"
    r"(?:\s+confidence\s+(?P<confidence>\S+))?)\s*"
)

_NAMELESS = re.sub(r"\?P<\w+>", "", _TEXT.pattern)


def fraction_problem(metric: str, value: float) -> str:
    """A message for a number that no accuracy can be; empty for any other."""
    if not metric_of(metric).is_fraction or 0 <= value <= 1:
        return ""
    return f"expected a fraction from 0 to 1, got {value:g}"


@dataclass(frozen=True)
class Claim:
    """One expectation about a result."""

    metric: str
    operator: str
    """>, >=, <, <= or ==."""
    bound: float | str
    of: str | None = None
    """An optimizer of several, a group of a study by its label, or BEST; None: each of them."""
    at: At = "last"
    within: float | None = None
    """How far the mean over the seeds may be from the bound."""
    confidence: float | None = None
    """The mean over the seeds meets the bound with this confidence; None: every seed meets it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        text = core_schema.to_string_ser_schema()
        return core_schema.no_info_plain_validator_function(cls.read, ref=cls.__name__, serialization=text)

    @classmethod
    def __get_pydantic_json_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_NAMELESS}$", "description": f"such as {EXAMPLE}"}

    @classmethod
    def read(cls, text: Any) -> "Claim":
        """The claim of a text."""
        if isinstance(text, cls):
            return text
        if not isinstance(text, str) or (match := _TEXT.fullmatch(text)) is None:
            raise refusal(f"expected a claim such as val_acc > 0.8 or adam: f at 10 < 0.1, got {shown(text)}")
        if match["healthy"]:
            return cls("diagnosis", "==", HEALTHY, match["of"])
        at = match["at"] or "last"
        if at not in MOMENTS and not at.isdecimal():
            near = did_you_mean(at, MOMENTS)
            raise refusal(f"at: expected {', '.join(MOMENTS)} or an epoch, got {shown(at)}{near}")
        bound, within, confidence = map(decimal, match.group("value", "within", "confidence"))
        if within is not None and not (isinstance(within, float) and 0 < within < inf):
            raise refusal(f"+-: expected a number > 0, got {match['within']}")
        if confidence is not None and not (isinstance(confidence, float) and 0.5 < confidence < 1):
            raise refusal(f"confidence: expected a number > 0.5 and < 1, got {match['confidence']}")
        if isinstance(bound, float) and abs(bound) == inf:
            raise refusal(f"expected a finite number, got {match['metric']} {match['operator']} {match['value']}")
        sign = "==" if match["operator"] == "=" else match["operator"]
        moment: Any = int(at) if at.isdecimal() else at
        claim = cls(match["metric"], sign, bound, match["of"], moment, within, confidence)
        if problems := [InitErrorDetails(type=refusal(why), input=text) for why in claim._inconsistencies()]:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return claim

    def _inconsistencies(self) -> Iterator[str]:
        """A message for each part of the text that does not fit the others."""
        word, exact = self.metric in WORDS, self.operator == "=="
        known = any(self.metric in subject.metrics for subject in SUBJECTS.values())
        if isinstance(self.bound, float):
            misfit, why = known and word, fraction_problem(self.metric, self.bound)
        else:
            misfit, why = not exact or (known and not word), ""
        if misfit:
            expected = f"{self.metric} == WORD" if word else f"{self.metric} {self.operator} NUMBER"
            yield f"expected {expected}, got {self.text}"
        if why:
            yield f"{self.metric}: {why}"
        if self.within is not None and (word or not exact):
            yield f"+-: expected == and a number, got {self.text}"
        if self.within is not None and self.within >= 1 and metric_of(self.metric).is_fraction:
            yield f"+-: expected less than 1 for an accuracy, got {self.within:g}"
        if self.confidence is not None and (word or exact):
            yield f"confidence: expected >, >=, < or <=, got {self.text}"

    @property
    def rises(self) -> bool:
        """True if the claim is that the value is high."""
        return self.operator in (">", ">=")

    @property
    def text(self) -> str:
        """The claim as it can be typed, without the label that it is about."""
        if self.metric == "diagnosis" and self.bound == HEALTHY:
            return HEALTHY
        at = "" if self.at == "last" else f" at {self.at}"
        bound = repr(self.bound).removesuffix(".0") if isinstance(self.bound, float) else self.bound
        sure = "" if self.confidence is None else f" confidence {self.confidence!r}"
        about = "" if self.within is None else f" +- {self.within!r}"
        return f"{self.metric}{at} {self.operator} {bound}{about}{sure}"

    def __str__(self) -> str:
        return f"{self.of}: {self.text}" if self.of else self.text

    def distance(self, value: float | str) -> float:
        """The distance of a value from the bound, positive on the wrong side; 0 or 1 for a word."""
        if isinstance(value, str) or isinstance(self.bound, str):
            return float(value != self.bound)
        above = value - self.bound
        return abs(above) if self.operator == "==" else -above if self.rises else above

    def admits(self, value: float | str) -> bool:
        """True if a value meets the bound."""
        if isinstance(value, str) or isinstance(self.bound, str) or self.operator == "==":
            return self.distance(value) <= (self.within or 0.0)
        return _COMPARED[self.operator](value, self.bound)


Claims = Annotated[
    tuple[Claim, ...],
    Strict(False),
    ScalarOrList((str, dict)),
    Flag("CLAIM", repeated=True),
    claim_doc("val_acc > 0.8"),
]


class Expectations(Section):
    """Claims that belong to no config."""

    kind: ClassVar[str] = ""

    command: str
    expect: Claims = ()

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        return unmeasured(self.expect, SUBJECTS[self.command])


def expectations(command: str, texts: Sequence[str]) -> Sequence[Claim]:
    """The claims of `--expect` about a result without a config; `command` is one of SUBJECTS."""
    changes = [Override("--expect", "expect", list(texts), adds=True)]
    return load(Expectations, {"command": command}, changes).expect if texts else ()


def unmeasured(claims: Sequence[Claim], subject: Subject) -> Iterator[tuple[str, str]]:
    """Messages for claims about a metric, or a word, that the results of the command do not have."""
    return ((why, "expect") for claim in claims if (why := subject.incompatibility(claim)))


def measured(subject: Subject) -> AfterValidator:
    """The mark of a config's claims: they are about what its command measures."""

    def require(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        for why, key in unmeasured(claims, subject):
            raise refusal(why, key)
        return claims

    return AfterValidator(require)


COMMANDS = ("optimize", "train", "sweep", "remedy", "benchmark", "race", "lr", "run")
"""The commands whose results can be claimed, and a run or a study that is there."""


class ClaimsEntry(Section):
    """One command, or one run, and its claims; exactly one of COMMANDS."""

    name: Annotated[str, MinLen(1), Doc("where the numbers are stated, or what they show")]
    optimize: Annotated[Any, Doc("paths: a preset, a YAML file, or the keys of an optimize config")] = None
    train: Annotated[Any, Doc("a training: a preset, a YAML file, or the keys of a train config")] = None
    sweep: Annotated[Any, Doc("a study: a YAML file, or the keys of a sweep config")] = None
    remedy: Annotated[Any, Doc("remedies of a training: a YAML file, or config, only, pairs, over and seeds")] = (
        None
    )
    benchmark: Annotated[Any, Doc("optimizers on trainings: a YAML file, or the keys of a benchmark config")] = (
        None
    )
    race: Annotated[Any, Doc("optimizers on test functions: a YAML file, or the options of a race as keys")] = None
    lr: Annotated[Any, Doc("the range test of a training: a preset, a YAML file, or its keys")] = None
    run: Annotated[
        str | None, Doc("a run or a study that is there, also one of `watch.save`: its name or path")
    ] = None
    set: Annotated[dict[str, Any], Doc("dotted key -> value, of the training or the paths")] = Field(
        default_factory=dict
    )
    slow: Annotated[bool, Doc("only checked with --slow")] = False
    expect: Claims = ()

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        if len(commands := [command for command in COMMANDS if getattr(self, command) is not None]) != 1:
            yield f"expected exactly one of {', '.join(COMMANDS)}; got {' and '.join(commands) or 'none'}", ""
        if self.run is not None and self.set:
            yield "a run keeps its settings", "set"

    @property
    def command(self) -> str:
        """One of COMMANDS."""
        return next(command for command in COMMANDS if getattr(self, command) is not None)

    @property
    def target(self) -> Any:
        """The command's config: the name of a preset or file, or keys."""
        return getattr(self, self.command)


class CheckFile(Section):
    """`optilab check FILE`: several commands, each with its claims."""

    kind: ClassVar[str] = "check"

    checks: Annotated[tuple[ClaimsEntry, ...], Strict(False), MinLen(1), Doc("commands and their claims")]

    def select(self, slow: bool, pattern: str) -> Sequence[tuple[int, ClaimsEntry]]:
        """The entries whose names match the pattern, each with its number; slow entries only if `slow`."""
        return [
            (number, check)
            for number, check in enumerate(self.checks)
            if (slow or not check.slow) and fnmatchcase(check.name, pattern)
        ]
