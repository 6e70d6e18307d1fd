"""`optilab play`: one HTML page on which the settings of optimizers are moved, and their trajectories follow at once.

The page gets data: the formulas of optimizers and functions, and the fields that its controls are made from. Its
scripts are formula.js, which runs the formulas, and play.js.
"""

import json
import keyword
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from math import inf, nextafter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints
from urllib.parse import quote

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.annotations import ConfigKey, Field, Flag
from optilab.answer.answer import Answer
from optilab.answer.trajectories import motion_sentences
from optilab.config.load import load
from optilab.config.section import dump
from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, Objective, Rule, Status
from optilab.optimize import formula as formulas
from optilab.optimize.expansion import MULTIPLIED_EXPONENTS
from optilab.optimize.formula import MAX_LENGTH, Node
from optilab.optimize.objective import label_of
from optilab.optimize.operations import OPERATIONS
from optilab.optimize.program import compiled
from optilab.optimize.rule import RESERVED_SETTINGS, settings_in_formula
from optilab.optimize.user_rule import UserRule
from optilab.proposals import flow
from optilab.request.on_functions import Function, LearningRate, Optimizers, Source, Start, chosen_config
from optilab.request.options import QUIET, OutputOptions, PageOptions, SetOptions
from optilab.request.request import Place
from optilab.show import terminal
from optilab.show.page import asset, document, page_file, write_page
from optilab.study.paths import follow, require_bare, tune_rules
from optilab.words import plural

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.optimize import Trajectory

EPOCHS = 60
"""Default number of steps."""
MAX_EPOCHS = 10_000
"""Epochs that a page computes."""
MAX_DRAWN = 1e30
"""The largest number that a browser can draw: its numbers have 32 bits."""


class Play(SetOptions, PageOptions, OutputOptions):
    """Write an interactive HTML page: drag a setting, and the trajectory and the stability limit follow at once."""

    READS = "optimize"
    EXAMPLES = (
        "optilab play sgd,momentum,adam",
        "optilab play --algo sgd,momentum,adam --function rosenbrock --tune 50 --epochs 200 --out play.html",
        'optilab play --algo adam,rmsprop --function "x^2 + 3*y^4" --start 2,1 --out mine.html',
        "optilab play --algo nesterov --function himmelblau --lr 0.01 --epochs 80 --out himmelblau.html",
    )

    algo: Optimizers = None
    function: Function = None
    config: Source = None
    start: Start = None
    epochs: Annotated[Any, ConfigKey("epochs"), Flag("N"), Doc(f"Number of steps [{EPOCHS}]")] = None
    lr: LearningRate = None
    tune: Annotated[
        int | None, Ge(1), Le(10_000), Doc("Try N random settings of each optimizer and open the page at the best")
    ] = None
    out: Annotated[str, Flag("FILE", path=True), Doc("The page to write, .html [play.html]")] = "play.html"
    quiet: Annotated[bool, QUIET, Doc("Print the file and nothing else")] = False

    def run(self, place: Place) -> "Playground":
        """Write the page. UsageError for what a page cannot run."""
        out, note = os.fspath(self.out), ""
        file = page_file(out, self.flag("out"))
        config = chosen_config(self, EPOCHS)
        require_runnable(config)
        if self.tune:
            config, note = tune_rules(config, self.tune, self.changes)
        changed = any(change.key.startswith("algo.") for change in self.changes)
        free = not (self.config or self.tune or changed or "{" in str(self.algo))
        content = page(config, note, free, self.dark, self.size == "slide")
        write_page(file, content)
        return Playground(config, out, len(content), note, free)


@dataclass(frozen=True, repr=False)
class Playground(Answer):
    """The page that was written, and which optimizers diverge at the settings of its config."""

    config: "OptimizeConfig"
    file: str
    size: int
    """Size of the page in bytes."""
    note: str = ""
    """A sentence on where the settings are from, if they are not those of the request."""
    free: bool = False
    """True where no setting of an optimizer was given: one that diverges opens with another learning rate."""

    @property
    def headline(self) -> str:
        subject = f"{', '.join(self.config.labels)} on {self.config.function.name}"
        return f"{subject}, {plural(self.config.epochs, 'epoch')}, {self.size // 1000} KB: {self.file}"

    @cached_property
    def diverged(self) -> list[str]:
        return [label for label, path in follow(self.config).items() if path.status is Status.DIVERGED]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"algo": label, "diverges": label in self.diverged} for label in self.config.labels]

    def blocks(self) -> Iterator[str]:
        """The file, where to open it, and on stderr a hint for optimizers that diverge."""
        yield self.headline
        if self.note:
            terminal.note(self.note)
        if self.diverged:
            verb = "diverges" if len(self.diverged) == 1 else "diverge"
            advice = "the page opens with another lr" if self.free else "the page shows the limits"
            terminal.note(f"at these settings {', '.join(self.diverged)} {verb}; {advice}")
        yield f"open it in a browser: {Path(self.file).absolute().as_uri()}"

    def document(self) -> dict[str, Any]:
        tree = dump(self.config)
        config = {key: tree[key] for key in ("algo", "function", "epochs")}
        return {"file": self.file, "bytes": self.size, **config, "diverged": self.diverged}

    def short(self) -> list[str]:
        return [self.file]


# --- the page -----------------------------------------------------------------------------------------------


def require_runnable(config: "OptimizeConfig") -> None:
    """Raise UsageError for a config that a page cannot run."""
    require_bare(config, "play")
    function = config.function
    if config.epochs > MAX_EPOCHS:
        raise UsageError(f"play computes at most {MAX_EPOCHS:,} epochs, got {config.epochs:,}")
    if (count := len(function.start)) > 2:
        raise UsageError(f"{label_of(function)} has {count} variables, and a page needs one or two")
    without: list[Any] = [] if function.nodes() else [function]
    without += [rule for rule in config.algo if not has_formula(rule)]
    if without:
        attribute = "; expected one in its attribute `formula`" if isinstance(without[0], UserRule) else ""
        raise UsageError(f"{label_of(without[0])} has no formula that a page could run{attribute}")


def has_formula(rule: Rule) -> bool:
    """True for a rule whose formula a page can run: statements that renew w, and read settings that are numbers.

    UsageError for a formula of a user's code that reads anything that is not its setting.
    """
    if isinstance(rule, UserRule) and rule.stated is None:
        return False
    try:
        program = compiled(rule.formula)
    except UsageError:  # a sentence
        return False
    renews = any(statement.target == "w" and statement.arrow == "<-" for statement in program.statements)
    return renews and numbers_in_formula(rule).keys() >= set(program.settings) and len(rule.formula) <= MAX_LENGTH


def page(
    config: "OptimizeConfig", note: str = "", free: bool = False, dark: bool = False, large: bool = False
) -> bytes:
    """The page of a config's rules on its function of one or two variables, with all others to be chosen in it.

    `free`: an optimizer that diverges opens with another learning rate. Raises what `require_runnable` raises.
    """
    from optilab.answer.charts.paths import paths_chart
    from optilab.optimize import theory
    from optilab.optimize.path import CLOSE, DIVERGENCE_FACTOR, MAX_ROUNDING_ERROR, worked_steps
    from optilab.show import chart_svg

    require_runnable(config)
    function, trees, paths = config.function, dump(config), follow(config)
    for rule, path in zip(config.algo, paths.values(), strict=True):
        if isinstance(rule, UserRule):  # each step compares its code with its formula
            for _ in islice(worked_steps(rule, function, config.start), len(path.points) - 1):
                pass
    keys = list(_numbered([str(tree["name"]).rpartition(":")[2] for tree in trees["algo"]], "-"))
    names = _numbered([rule.name for rule in config.algo], " #")
    rules = [rule_data(*parts) for parts in zip(keys, names, config.algo, trees["algo"], strict=True)]
    others = [OBJECTIVES[name]() for name in OBJECTIVES if name not in (function.name, "expression")]
    choices = [
        candidate for candidate in others if len(candidate.start) == len(function.start) and candidate.nodes()
    ]
    data = {
        "functions": [function_data(function, trees["function"]), *map(function_data, choices)],
        "rules": [*rules, *_other_rules(keys)],
        "fields": _page_fields(config.epochs, len(function.start)),
        "largest": MAX_DRAWN,
        "language": language(),
        "listed": len(rules),
        "free": free,
        "start": list(map(float, function.start if config.start is None else config.start)),
        "epochs": config.epochs,
        "tolerance": config.tolerance,
        "diverged": DIVERGENCE_FACTOR,
        "limit_rounding": theory.MAX_ROUNDING,
        "rounding": MAX_ROUNDING_ERROR,
        "close": CLOSE,
    }
    return document(
        "play.html",
        data,
        [asset("formula.js"), asset("play.js")],
        [asset("play.css")],
        dark,
        large,
        title=f"{', '.join(dict.fromkeys(rule.name for rule in config.algo))} on {function.name}",
        formula=", ".join(filter(None, (function.formula, _settings(function)))),
        note=note,
        plane=len(function.start) == 2,
        steps=list(_steps(config, keys, paths.values())),
        static_svg=chart_svg.figure(paths_chart(function, paths)),
    )


def _numbered(names: Iterable[str], sign: str) -> Iterator[str]:
    """The names; the second of equal ones ends in the sign and 2."""
    seen = Counter[str]()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}{sign}{seen[name]}"


def _other_rules(known: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The rules that a page can run and does not open with, with the settings of their presets."""
    from optilab.config.optimize import OptimizeConfig

    names = [name for name, kind in RULES.items() if name not in known and has_formula(kind())]
    config = load(OptimizeConfig, {"algo": names or ["sgd"]})
    for name, rule, tree in zip(names, config.algo, dump(config)["algo"], strict=False):
        yield rule_data(name, name, rule, tree)


# --- a function ---------------------------------------------------------------------------------------------


def function_data(function: Objective, tree: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The data of a function that has trees, for a page; its gradient only where calculus gives another one."""
    from optilab.optimize import theory
    from optilab.optimize.path import lowest

    nodes = function.nodes()
    assert nodes is not None
    value, gradient = nodes
    names = [f"w{i + 1}" for i in range(len(gradient))]
    derived = tuple(formulas.derivative(value, name) for name in names)
    return {
        "key": function.formula if function.name == "expression" else function.name,  # in the address
        "formula": function.formula,
        "names": ["x", "y"][: len(names)] if re.search(r"\b[xy]\b", function.formula) else names,
        "settings": _settings(function),
        "box": function.box,
        "start": function.start,
        "minima": [_minimum(function, point) for point in function.minima],
        "everywhere": theory.curvatures(function) is not None,
        "lowest": lowest(function),
        "options": _options(function, tree or {"name": function.name}),
        "value": as_tree(value),
        **({} if derived == gradient else {"gradient": list(map(as_tree, gradient))}),
    }


def as_tree(node: Node) -> Any:
    """An expression as formula.js has it: a number, a name, or [operation, ...]."""
    return [node.op, *map(as_tree, node.args)] if node.args else node.value


def language() -> dict[str, Any]:
    """The language of formulas for formula.js: the operations, of which a linear step may have some, names, limits."""
    keys = ("typed", "sign", "binds", "slope", "slope_of_base", "arity", "in_functions", "jumps")
    operations = {
        name: {key: value for key in keys if (value := getattr(row, key))}
        | {"may_be_linear": row.is_smooth and row.size is None}
        for name, row in OPERATIONS.items()
        if row.typed or row.sign
    }
    return {
        "operations": operations,
        "reserved": formulas.RESERVED_NAMES,
        "coordinates": formulas.COORDINATES,
        "no_names": keyword.kwlist,
        "no_settings": [*keyword.kwlist, *RESERVED_SETTINGS],
        "characters": MAX_LENGTH,
        "nodes": formulas.MAX_NODES,
        "depth": formulas.MAX_DEPTH,
        "product": MULTIPLIED_EXPONENTS.stop - 1,
    }


def _minimum(function: Objective, point: Sequence[float]) -> dict[str, Any]:
    """A minimum and the curvatures there, ascending; None unless all are positive, and at a kink."""
    import numpy as np

    place = np.array(point, dtype=float)
    around = 1e-6 * np.maximum(1, np.abs(place)) * np.eye(len(place))
    with np.errstate(all="ignore"):
        hessian = function.hessian(place)
        slopes = function.gradient(place + around) - function.gradient(place - around)
    eigenvalues = np.linalg.eigvalsh(hessian) if np.isfinite(hessian).all() else np.zeros(1)
    smooth = np.allclose(slopes, 2 * around @ hessian, rtol=0, atol=1e-2 * np.abs(2 * around @ hessian).max())
    bowl = smooth and eigenvalues[0] > 1e-9 * eigenvalues[-1] > 0
    return {"point": list(map(float, point)), "curvatures": eigenvalues.tolist() if bowl else None}


def _options(function: Objective, tree: Mapping[str, Any]) -> list[str]:
    """The words that choose a function in a command."""
    if tree["name"] == "expression":
        return ["--function", tree["formula"]]
    if function == OBJECTIVES[function.name]():
        return ["--function", function.name]
    return ["--set", f"function={flow(tree)}"]


def _settings(function: Objective) -> str:
    """The settings of a function that its formula names: `a = 1, b = 100`."""
    names = [field.name for field in fields(function) if field.name not in ("formula", "dimension")]  # type: ignore[arg-type]
    return ", ".join(f"{name} = {getattr(function, name):g}" for name in names)


# --- guided steps --------------------------------------------------------------------------------------------


def _steps(
    config: "OptimizeConfig", keys: Sequence[str], paths: "Iterable[Trajectory]"
) -> Iterator[tuple[str, str, str]]:
    """States worth seeing on a quadratic, where theory holds everywhere: name, address, sentence."""
    import numpy as np

    from optilab.optimize import theory

    function, places = config.function, [quote(key, safe="") for key in keys]
    if theory.curvatures(function) is None:
        return
    predictions: list[Any] = [theory.predict(rule, function) for rule in config.algo]
    known = zip(places, config.algo, predictions, strict=True)
    limited: list[Any] = [row for row in known if row[2] and 0 < row[2].largest_lr < inf]
    for place, rule, prediction in limited[:1]:
        for where, factor, change in (("below", 0.98, "shrinks"), ("above", 1.02, "grows")):
            lr = float(f"{factor * prediction.largest_lr:.3g}")
            moved: Any = theory.predict(replace(rule, lr=lr), function)
            about = f"{rule.name} at lr {lr:g}; its limit is {prediction.largest_lr:.4g}. The steepest coordinate jumps"
            about += (
                f" across the minimum, and the distance {change} by ×{moved.rate:.3f} per step in the long run."
            )
            yield f"just {where} the limit", f"{place}.lr={lr:g}", about
    for place, rule, prediction in [row for row in limited if "beta" in row[2].best][:1]:
        lr, beta = prediction.best["lr"], prediction.best["beta"]
        about = (
            f"{rule.name} at lr {lr:.3g} and beta {beta:.3g}: the distance shrinks fastest in the long run, by "
        )
        about += (
            f"×{prediction.best_rate:.3f} per step. With more beta the trajectory swings, with less it is slow."
        )
        yield f"the best lr and beta of {rule.name}", f"{place}.lr={lr:.6g}&{place}.beta={beta:.6g}", about
    for place, rule, path in zip(places, config.algo, paths, strict=True):
        away = path.points - np.array(function.minima[0])
        past = (-np.sign(away[0]) * away).max()
        motions = [f"{sentence}." for sentence in motion_sentences(theory.motions(rule, function))]
        if past <= 0.01 * np.abs(away[0]).max() or not (rule.original.name == "adam" or motions):
            continue
        hidden = "&".join(f"{other}.shown={json.dumps(other == place)}" for other in places)
        if rule.original.name == "adam":
            about = "Adam's steps are about lr long, however small the gradient is, and its average of gradients still "
            about += (
                f"points ahead at the minimum: a coordinate goes past it by {past:.2g}. Less beta1 turns sooner."
            )
            yield "why Adam overshoots", hidden, about
        else:
            about = " ".join(sentence[0].upper() + sentence[1:] for sentence in motions)
            yield (
                f"why {rule.name} overshoots",
                hidden,
                f"A coordinate goes past the minimum by {past:.2g}. {about}",
            )


# --- a rule and its fields ------------------------------------------------------------------------------------


def rule_data(key: str, name: str, rule: Rule, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a rule for a page: its text with its variants, and its settings, some with a slider.

    `key` stands in the address of the page; `settings` are the numbers of the formula by their names there; `fixed` are
    the keys of its config that stay as they are; `memory` is the state of a rule whose step is the gradient over it.
    """
    from optilab.optimize.path import has_memory_alone

    variants = dict(rule.variants) | ({"base": {...: rule.base.formula}} if hasattr(rule, "base") else {})
    chosen_by = {part.partition(".")[0] for part in variants}
    moved = [field for field in fields_of(rule) if "scale" in field or field["name"] in chosen_by]
    names = {"sha256", *(field["name"] for field in moved)}
    return {
        "key": key,
        "name": name,
        "text": rule.text or rule.formula,
        "variants": {
            part: {_option(value): text for value, text in texts.items()} for part, texts in variants.items()
        },
        "settings": numbers_in_formula(rule),
        "fields": moved,
        "fixed": {name: value for name, value in tree.items() if name not in names},
        "memory": rule.states[0] if has_memory_alone(rule) else None,
    }


def _option(value: Any) -> str:
    """The value of a setting as JavaScript writes it; `else` is the key of the others."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "else" if value is ... else value if isinstance(value, str) else json.dumps(value)


def numbers_in_formula(rule: Rule) -> dict[str, float]:
    """The numeric settings of a rule by their names in its formula, those of a rule that it wraps included."""
    settings = settings_in_formula(rule).items()
    return {k: float(v) for k, v in settings if isinstance(v, int | float) and not isinstance(v, bool)}


def fields_of(rule: Rule) -> list[dict[str, Any]]:
    """The fields of a rule that a page can move: numbers, also whole ones where a fraction may stand, and choices.

    A number has a slider from `low` to `high`. `scale` says how its positions become values. linear: evenly. log:
    evenly in the logarithm, from 0 where it is accepted. to-one: from 0 towards 1, evenly in the logarithm of the
    distance from 1. What is typed may lie beyond the slider, from the first to the second number of `accepted`, where
    None means no limit.
    """
    hints, rows = get_type_hints(type(rule), include_extras=True), []
    for item in fields(rule):  # type: ignore[arg-type]
        field, value = Field(item.name, hints[item.name], item.default), getattr(rule, item.name)
        options: tuple[Any, ...] = (False, True) if field.is_switch else field.choices
        known = {"name": field.name, "value": value, "doc": field.doc}
        if isinstance(value, float) or (type(value) is int and float in field.kinds):
            rows.append(known | _slider(field, float(value)))
        elif len(options) > 1:
            rows.append(known | {"options": options})
    return rows


BOUNDS = {Gt: "greater than", Ge: "at least", Lt: "less than", Le: "at most"}


def _slider(field: Field, value: float) -> dict[str, Any]:
    """A slider whose range contains the value well inside; the page widens that of a learning rate whose limit it
    knows.
    """
    marks = {kind: field.mark(kind) for kind in BOUNDS}
    bounds = {kind: float(getattr(mark, kind.__name__.lower())) for kind, mark in marks.items() if mark}
    least, most = bounds.get(Gt, bounds.get(Ge)), bounds.get(Lt, bounds.get(Le))
    if least == 0 and most == 1 and Ge in bounds and Lt in bounds:
        scale, low, high = "to-one", 0.0, max(0.99 if value <= 0.9 else 0.999 if value <= 0.99 else 0.9999, value)
    elif field.name == "lr" or (least == 0 and most is None):
        scale, low, high = "log", rounded((value or 0.01) / 1000), rounded((value or 0.01) * 100)
    else:
        room = 2 * abs(value) or 1.0
        scale, low, high = (
            "linear",
            value - room if least is None else least,
            value + room if most is None else most,
        )
        inset = (high - low) / 200
        low, high = low + inset * (Gt in bounds), high - inset * (Lt in bounds)
    limits = " and ".join(f"{BOUNDS[kind]} {bound:g}" for kind, bound in bounds.items())
    ends = (
        nextafter(bounds[Gt], inf) if Gt in bounds else least,
        nextafter(bounds[Lt], -inf) if Lt in bounds else most,
    )
    return {"scale": scale, "low": low, "high": high, "accepted": ends, "range": f"a number {limits}".strip()}


def rounded(value: float) -> float:
    """The nearest number with one digit: the end of a scale."""
    return float(f"{value:.0e}")


def _page_fields(epochs: int, dimension: int) -> list[dict[str, Any]]:
    """The fields of all optimizers; a field with a scale has a slider, and a field with a size is several numbers."""
    most = min(MAX_EPOCHS, max(1000, 5 * epochs))
    return [
        {"name": "epochs", "doc": "number of steps", "scale": "log", "low": 1, "high": most, "whole": True,
         "accepted": (1, MAX_EPOCHS), "range": f"1 to {MAX_EPOCHS:,}"},
        {"name": "noise", "doc": "standard deviation of the normal noise on every gradient", "scale": "log",
         "low": 0.01, "high": 10, "accepted": (0, None), "range": "a number at least 0"},
        {"name": "seed", "doc": "seed of the noise", "scale": "linear", "low": 0, "high": 500, "whole": True,
         "accepted": (0, 2**32 - 1), "range": "a whole number"},
        {"name": "start", "size": dimension, "accepted": (-MAX_DRAWN, MAX_DRAWN)},
        {"name": "at", "accepted": (0, None), "whole": True},
        {"name": "view", "size": 2 * dimension, "accepted": (-MAX_DRAWN, MAX_DRAWN)},
    ]  # fmt: skip


COMMAND = Play
