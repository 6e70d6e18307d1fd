"""`--where 'optimizer.lr>0.1'` and `--sort -val_acc`: lists of runs filtered and ordered by what is known of them."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from optilab.config.fields import ALIASES
from optilab.config.yaml import flow
from optilab.errors import UsageError, did_you_mean, shown

GRAMMAR = "KEY=VALUE, KEY!=VALUE, KEY<VALUE, KEY<=VALUE, KEY>VALUE, KEY>=VALUE or KEY~PATTERN"
RESULTS = ("run", "command", "state", "created", "finished", "epoch", "val_acc", "best_val_acc", "best_epoch")
"""What a run can be filtered and sorted by beside its config."""

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*([A-Za-z_][\w.-]*?)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """A comparison of one fact with a value: as numbers where both are, else as text in YAML's notation.

    UsageError where a number is ordered against text.
    """

    keys: Sequence[str]
    """What the fact may be called; the first of them that is there counts."""
    operator: str
    value: str

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether it does of these facts; where they lack the key, only `!=` does."""
        key = next((key for key in self.keys if key in facts), None)
        if key is None:
            return self.operator == "!="
        fact, number = facts[key], _number(self.value)
        comparable = number is not None and type(fact) in (int, float)
        if self.operator in ("=", "!="):
            equal = fact == number if comparable else flow(fact) == self.value
            return equal == (self.operator == "=")
        if self.operator == "~":
            return fnmatchcase(flow(fact), self.value)
        if comparable:
            return _ORDERS[self.operator](fact, number)
        if type(fact) in (int, float):
            raise UsageError(f"{key} is a number; it cannot be compared with {shown(self.value)}", "--where")
        return isinstance(fact, str) and _ORDERS[self.operator](fact, self.value)


def read_conditions(texts: Sequence[str]) -> list[Condition]:
    """`KEY OPERATOR VALUE` of each `--where`. UsageError for anything else."""
    conditions = []
    for text in texts:
        match = _CONDITION.fullmatch(text)
        if match is None or (match[2] in _ORDERS and not match[3]) or match[3][:1] in ("<", ">", "="):
            raise UsageError(f"{GRAMMAR} expected, as in 'optimizer.lr>0.1'; got {shown(text)}", "--where")
        conditions.append(Condition([match[1]], match[2], match[3]))
    return conditions


def named(condition: Condition, known: Iterable[str]) -> Condition:
    """The condition with the full names of its key. UsageError if nothing listed has such a key."""
    return Condition(full_keys("--where", condition.keys[0], known), condition.operator, condition.value)


def full_keys(where: str, key: str, known: Iterable[str]) -> list[str]:
    """The keys that `optimizer.lr`, `lr` or `model.norm` (short for `model.norm.name`) means among the `known` ones."""
    keys = dict.fromkeys(known)
    usual = ALIASES.get(key.lower(), key)
    for name in (key, f"{key}.name", usual, f"{usual}.name"):
        if name in keys:
            return [name]
        if ending := [k for k in keys if k.endswith(f".{name}")]:
            return ending
    near = did_you_mean(key, list(keys)) or f"; keys of `optilab config show train`, or {', '.join(RESULTS)}"
    raise UsageError(f"no run has {shown(key)}{near}", where)


def ordered(items: Sequence[T], facts: Callable[[T], Mapping[str, Any]], sort: str) -> list[T]:
    """The items by a key of their facts, ascending, or descending with `-KEY`; those without it come last."""
    if not items:
        return []
    known = dict.fromkeys(name for item in items for name in facts(item))
    keys = full_keys("--sort", sort.removeprefix("-"), known)
    values = [next((own[key] for key in keys if own.get(key) is not None), None) for own in map(facts, items)]
    having = [i for i, value in enumerate(values) if value is not None]
    having.sort(key=lambda i: _rank(values[i]), reverse=sort.startswith("-"))
    return [items[i] for i in [*having, *(i for i, value in enumerate(values) if value is None)]]


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, before text by its letters."""
    number = type(value) in (int, float)
    return not number, float(value) if number else 0.0, "" if number else flow(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
