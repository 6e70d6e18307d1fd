"""The settings that tuning may choose: one distribution per hyperparameter, the same for every rule.

A rule is tuned in those of its fields that are named here and keeps its defaults in the others. Ranges are wide on
purpose: the tuning that a rule needs is part of its price (Choi et al. 2019; Sivaprasad et al. 2020). The ranges of
`lr` and `damping` follow the scale of the function, since no fixed range fits a curvature of 1 and one of a million.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from annotated_types import Le, Lt

from optilab.config.axes import read_range
from optilab.config.load import load
from optilab.config.section import OneRule
from optilab.config.tree import Override, Tree
from optilab.errors import UsageError, shown, unknown
from optilab.optimize.objective import Floats, Objective
from optilab.optimize.rule import ALIASES, follows_schedule, learning_rates
from optilab.optimize.user_rule import UserRule
from optilab.user_code import is_user_code
from optilab.words import listed

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Range:
    low: float
    high: float
    why: str = ""

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{self.why and f' ({self.why})'}"


class LogUniform(Range):
    """10^u, u uniform between the logarithms of low and high."""

    def __call__(self, u: Floats) -> Floats:
        return self.low * (self.high / self.low) ** u


class OneMinus(Range):
    """1 minus a log-uniform number: momenta differ by their distance from 1."""

    def __call__(self, u: Floats) -> Floats:
        return 1 - self.high * (self.low / self.high) ** u

    def __str__(self) -> str:
        return f"{1 - self.high:g} to {1 - self.low:g}"


class Uniform(Range):
    """Uniform between low and high."""

    def __call__(self, u: Floats) -> Floats:
        return self.low + (self.high - self.low) * u


class ZeroInflated(LogUniform):
    """Another distribution in three quarters of the cases; in the other quarter 0, which may be the best."""

    def __call__(self, u: Floats) -> Floats:
        import numpy as np

        return np.where(u < 0.25, 0.0, super().__call__((u - 0.25) / 0.75))


@dataclass(frozen=True)
class Categorical:
    """One of the names, each in the same number of cases."""

    names: tuple[str, ...]

    def __call__(self, u: Floats) -> Any:
        import numpy as np

        return np.array(self.names)[(u * len(self.names)).astype(int)]

    def __str__(self) -> str:
        return listed(self.names, "or")


Distribution = LogUniform | OneMinus | Uniform
"""A distribution of numbers; called, it maps uniform numbers in [0, 1) to values."""

_MOMENTUM = OneMinus(1e-3, 1)
_LONG_MEMORY = OneMinus(1e-4, 0.5)

FIXED: Mapping[str, Distribution] = {
    "beta": _MOMENTUM,
    "beta1": _MOMENTUM,
    "beta2": _LONG_MEMORY,
    "beta3": _LONG_MEMORY,
    "decay": _LONG_MEMORY,
    "rho": _LONG_MEMORY,
    "nu": Uniform(0, 1),
    "eta_minus": Uniform(0.2, 0.9),
    "eta_plus": Uniform(1.05, 2),
}
"""Hyper-parameters without a unit."""
SYNONYMS: Mapping[str, str] = {
    **dict.fromkeys(("momentum", "mu"), "beta"),
    **{alias: name for name in ("beta1", "beta2", "weight_decay") for alias in ALIASES[name]},
}
"""Names of hyperparameters in user's code, and their names here."""
_DECAYS = ("weight_decay", *ALIASES["weight_decay"])
NETWORK_KEYS = ("eps", "weight_decay", "schedule")
"""Hyperparameters that are tuned only on networks; also the keys of a race that turn this on."""
SCHEDULES = Categorical(("constant", "cosine", "one-cycle"))
"""Schedules to choose from: constant, cosine decay (Loshchilov & Hutter 2017), one-cycle (Smith & Topin 2018)."""


def space(function: Objective) -> dict[str, Distribution]:
    """The distribution of every hyperparameter on one function, w the width of its box and L its largest curvature.

    lr: log-uniform from the smaller of 0.1/L and w/1000 up to w. Where a step is lr times the gradient, 0.1/L is slow
    but stable everywhere in the box; where its length is about lr, steps are from a thousandth of the box to all of it.
    damping, which is added to curvatures: log-uniform from L/10^6 to L.
    """
    width = max(high - low for low, high in function.box)
    curvature = largest_curvature(function)
    lowest = max(min(0.1 / curvature, 1e-3 * width), 1e-9 * width)
    return {"lr": LogUniform(lowest, width), "damping": LogUniform(1e-6 * curvature, curvature), **FIXED}


@cache
def largest_curvature(function: Objective) -> float:
    """The largest absolute eigenvalue of the Hessian at points all over the box; 1 where none is above zero."""
    import numpy as np

    low, high = np.array(function.box, dtype=float).T
    count = max(16, 16_384 // len(low) ** 2)
    points = np.random.default_rng(0).uniform(low, high, (count, len(low)))
    with np.errstate(all="ignore"):
        hessians = function.hessian(points)
    hessians = hessians[np.isfinite(hessians).all(axis=(1, 2))]
    largest = float(np.abs(np.linalg.eigvalsh(hessians)).max(initial=0.0))
    return largest if largest > 0 else 1.0


def network_space(rule: Any) -> dict[str, Any]:
    """The distribution of every hyperparameter of a rule on a network.

    lr: log-uniform over four decades, in which each rule's known best rate (of the presets and of its authors) has a
    decade to spare. From 0.003 to 30 where the step is proportional to the gradient. Where the length of a step is
    about lr, whatever the gradient, they follow the rule's default: from 0.00001 to 0.1; from 0.001 to 10 where it is
    0.01 or more; from 0.01 to 100 where it is 1 or more, as the rule estimates the scale itself.

    eps: log-uniform from 1e-10, or a hundredth of the default where that is less, to 1e-2, in which 1e-8 (Kingma & Ba
    2015) and 1e-3 (Zaheer et al. 2018) have a decade to spare; the squares of both ends where it is under the root.
    Choi et al. (2019) tune it too, and find that it changes who is ahead.

    weight_decay: 0, or log-uniform from 1e-6 to 1e-2 where it is added to the gradient, in which 1e-4 (He et al. 2016)
    and 5e-4 (Zagoruyko & Komodakis 2016) have a decade to spare; where the length of a step does not depend on the
    gradient and the decay stands next to it, from 1e-3 to 10, for 0.01 (Loshchilov & Hutter 2019) and 1 (Lion, Chen et
    al. 2023).
    """
    from optilab.optimize.theory import eps_exponent, has_decoupled_decay, is_scale_invariant

    default = getattr(rule, "lr", 0.0)
    if not is_scale_invariant(rule):
        lr = LogUniform(3e-3, 30)
    else:
        low = 1e-2 if default >= 1 else 1e-3 if default >= 0.01 else 1e-5
        lr = LogUniform(low, 1e4 * low, f"chosen by its default {default:g}")
    decoupled = any(has_decoupled_decay(rule, key) for key in _DECAYS)
    decay = ZeroInflated(1e-3, 10, "or 0") if decoupled else ZeroInflated(1e-6, 1e-2, "or 0")
    distributions: dict[str, Any] = {"lr": lr, "damping": LogUniform(1e-6, 1), **FIXED, "weight_decay": decay}
    distributions["schedule"] = SCHEDULES
    if power := eps_exponent(rule):
        low, lower = 1e-10**power, rule.eps * 0.01**power
        why = f"chosen by its default {rule.eps:g}" if lower < low else ""
        distributions["eps"] = LogUniform(min(low, lower), 1e-2**power, why)
    return distributions


def searched(
    owners: Mapping[str, Any], over: Mapping[str, Any], functions: Sequence[Objective] = ()
) -> dict[str, Any]:
    """The distribution of every field that is searched, by its owner, on networks or over all functions, as a tree."""
    tree = dict[str, Any]()
    for field, rule in owners.items():
        spaces = [space(function) for function in functions] or [network_space(rule)]
        draw, *others = draws = {distribution_of(field, known | ranges(over)) for known in spaces}
        if others:
            low, high = min(each.low for each in draws), max(each.high for each in draws)
            draw = replace(draw, low=low, high=high, why="by the scale of the function")
        tree[field] = {"distribution": type(draw).__name__, **asdict(draw), "range": str(draw)}
    return tree


def search_notes(spaces: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """The search spaces by network and rule as sentences, one for the rules that have the same."""
    labels = dict[str, dict[str, None]]()
    for network, rules in spaces.items():
        for name, tree in rules.items():
            text = ", ".join(f"{field} {draw['range']}" for field, draw in tree.items())
            alike = all(other.get(name) == tree for other in spaces.values())
            labels.setdefault(text, {})[name if alike else f"{network}/{name}"] = None
    return [f"{listed(names)}: the search space is {text}" for text, names in labels.items() if text]


def ranges(over: Mapping[str, Any]) -> dict[str, Distribution]:
    """The ranges that `--over` gives to hyperparameters. UsageError for what is not one."""
    distributions = dict[str, Distribution]()
    for key, span in over.items():
        axis = read_range(f"--over {key}", key, span if isinstance(span, str) else shown(span), 0)
        if axis.count:
            raise UsageError(f"expected {key}=LOW:HIGH[:log], got a COUNT", "--over")
        distributions[key] = (LogUniform if axis.log else Uniform)(axis.low, axis.high)
    return distributions


def require_tunable(over: Mapping[str, Any], rules: Collection[Any]) -> None:
    """UsageError for a range of a hyperparameter that no rule has, or with an end that a rule does not accept."""
    from optilab.config.optimize import OptimizeConfig

    known, distributions = dict.fromkeys(key for rule in rules for key in _numbers(rule)), ranges(over)
    for key in over:
        if key not in known:
            raise UsageError(unknown("hyperparameter", key, known), "--over")
    for rule in rules:
        if isinstance(rule, UserRule):  # its code alone knows what it accepts
            continue
        for field in of_rule(rule, over):
            if draw := distributions.get(key := field.rpartition(".")[2]):
                for end in (draw.low, draw.high):
                    where = f"--over {key}"
                    tree = Tree({"algo": OneRule().dump(rule)})
                    load(OptimizeConfig, tree, [Override(where, f"algo.{field}", end)], rules="literature")


def _numbers(rule: Any) -> list[str]:
    """The hyperparameters of a rule and of a rule that it wraps that can have any value of a range."""
    kinds = (int, float) if isinstance(rule, UserRule) else (float,)
    names = [field.name for field in fields(rule) if type(getattr(rule, field.name)) in kinds]
    return names + (_numbers(rule.base) if hasattr(rule, "base") else [])


def sobol(budget: int, field: str, generator: "np.random.Generator", others: Iterable[str] = ()) -> Floats:
    """`budget` numbers in [0, 1) that cover it evenly, whatever the budget: one dimension of a Sobol sequence (1967),
    another one for every field, `others` among them, shifted by a random number (Cranley & Patterson 1976).

    Independent numbers leave gaps of 1.6 of four decades between five rates, in the median; these leave 1.0.
    """
    import numpy as np
    from scipy.stats import qmc

    names = list(dict.fromkeys(("lr", "others.lr", "damping", *FIXED, *NETWORK_KEYS, *others)))
    points = qmc.Sobol(len(names), scramble=False).random_base2(int(budget - 1).bit_length())
    return np.asarray((points[:budget, names.index(field)] + generator.random()) % 1.0)


def searched_fields(rule: Any, more: Collection[str] = ()) -> dict[str, Any]:
    """The fields that are searched, each with the rule that has it: `base.lr` is in the rule that this one wraps. For a
    rule that trains other weights, `others`, its learning rate is searched.

    `more` are names of fields that are searched, too; of NETWORK_KEYS, where they matter: `weight_decay` is that of the
    training, an L2 penalty, where no rule has its own; a `schedule` is for rules that follow one and do not
    average their own points in its place (Defazio et al. 2024).
    """
    searched = of_rule(rule, more)
    if "weight_decay" in more and "weight_decay" not in map(name_in_space, searched):
        searched["weight_decay"] = rule
    free = hasattr(rule, "averaged") and not hasattr(rule, "base")
    if "schedule" in more and follows_schedule(rule) and not free:
        searched["schedule"] = rule
    return searched


def is_of_training(rule: Any, field: str) -> bool:
    """True if a searched field is a key of the training, not of the rule."""
    return field in NETWORK_KEYS and not hasattr(rule, field)


def of_rule(rule: Any, more: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a rule that are searched on a function; see `searched_fields`."""
    from optilab.optimize.theory import eps_exponent

    names = _ranged(rule) if isinstance(rule, UserRule) else {"lr", "damping", *FIXED} - _not_fractions(type(rule))
    names |= {"eps"} if "eps" in more and eps_exponent(rule) else set()
    names |= {*more} - {*NETWORK_KEYS}
    names |= {key for key in _DECAYS if "weight_decay" in more and type(getattr(rule, key, None)) in (int, float)}
    searched = {field.name: rule for field in fields(rule) if field.name in names}
    if hasattr(rule, "base"):
        searched |= {f"base.{name}": inner for name, inner in of_rule(rule.base, more).items()}
    if hasattr(rule, "others"):
        searched |= {f"others.{key}": rule.others for key in learning_rates(rule.others)}
    return searched


def _ranged(rule: UserRule) -> set[str]:
    """The fields of a user's rule whose range is known by name; a number outside of it means something else."""
    names = {field.name for field in fields(rule)}
    return {
        name
        for name in names
        if name in ("lr", "damping")
        or (SYNONYMS.get(name) not in names and _within(getattr(rule, name), FIXED.get(name_in_space(name))))
    }


def _within(value: Any, draw: Distribution | None) -> bool:
    import numpy as np

    ends = [] if draw is None else draw(np.array([0.0, 1.0])).tolist()
    return type(value) in (int, float) and bool(ends) and min(ends) <= value <= max(ends)


def name_in_space(field: str) -> str:
    """The name of a field in the search space; the field may be that of a wrapped rule."""
    name = field.rpartition(".")[2]
    return SYNONYMS.get(name, name)


def end_of(value: Any, tried: Collection[Any]) -> str:
    """`lowest` or `highest`, if a value is an end of at least three; empty for one between others."""
    ends = {min(tried): "lowest", max(tried): "highest"} if len(set(tried)) > 2 else {}
    return ends.get(value, "")


def untuned(name: str, original: Any, settings: Mapping[str, Any], tuned: Collection[str]) -> list[str]:
    """The settings of a user's rule, FILE.py:NAME in the `original`, that are not searched, as one sentence; none
    where all are."""
    numbers = {key: v for key, v in settings.items() if type(v) in (int, float) and is_user_code(original)}
    known = {key for key in numbers if key in tuned or name_in_space(key) in NETWORK_KEYS}
    left = [f"{key} stays {value:g}" for key, value in numbers.items() if key not in known]
    names = "these names" if len(left) > 1 else "this name"
    return [f"{name}: {', '.join(left)} (no range is known for {names})"] if left else []


def _not_fractions(kind: type[Any]) -> set[str]:
    """Fields that are called like a momentum, but may be 1 and more, as FTRL's beta, which is added to a root."""
    bounds = {
        name: getattr(hint, "__metadata__", ()) for name, hint in get_type_hints(kind, include_extras=True).items()
    }
    fractions = [name for name, draw in FIXED.items() if isinstance(draw, OneMinus)]
    return {n for n in fractions if bounds.get(n) and not any(isinstance(mark, Lt | Le) for mark in bounds[n])}


def distribution_of(field: str, distributions: Mapping[str, Any]) -> Any:
    """The distribution of a field, which may be that of a wrapped rule."""
    return distributions.get(field.rpartition(".")[2]) or distributions[name_in_space(field)]


def draw(
    rule: Any, function: Objective, budget: int, generator: "np.random.Generator", over: Mapping[str, Any]
) -> dict[str, Floats]:
    """`budget` random settings of the rule for the function, one array (budget,) per tuned field. Those of a user's
    rule are drawn in the order of their names, whatever the order of its parameters.
    """
    distributions, tuned = space(function) | ranges(over), of_rule(rule, over)
    order = sorted(tuned, key=lambda name: name if isinstance(tuned[name], UserRule) else "")
    return {name: distribution_of(name, distributions)(generator.random(budget)) for name in order}
