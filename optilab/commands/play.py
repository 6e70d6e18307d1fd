"""`optilab play`: one HTML page on which the settings of rules are moved, and their paths follow at once.

The code of rules, functions and theory is emitted from their traces (`optilab.optimize.emit`); the page has no
arithmetic of its own but that of its pictures and of formulas that are typed in it (formula.js). Its other scripts are
model.js (state, paths), pictures.js, panel.js (sliders, tables) and player.js, which starts the page.
"""

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import chain, combinations, product
from math import floor, log10, prod
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.commands.answer import Answer
from optilab.commands.charts.paths import paths_chart
from optilab.commands.options import OutputOptions, SetOptions
from optilab.commands.paths import Algo, Function, LearningRate, Source, Start, chosen, follow, require_bare, tuned
from optilab.commands.request import Place
from optilab.config.load import load
from optilab.config.optimize import OptimizeConfig
from optilab.config.section import dump
from optilab.errors import UsageError
from optilab.marks import ConfigKey, Field, Flag
from optilab.optimize import OBJECTIVES, RULES, Objective, Regime, Rule, Status, Trajectory, theory
from optilab.optimize.emit import ground_source, path_source, stability_source, switches, value_source
from optilab.optimize.objective import called
from optilab.optimize.path import CLOSE, DIVERGENCE_FACTOR, ROUNDING, lowest
from optilab.optimize.trace import Untraceable
from optilab.show import chart_page, terminal
from optilab.show.chart import MARKERS
from optilab.show.page import asset, page_file, render, write_page
from optilab.words import listed, plural

EPOCHS = 60
"""Steps where neither the command line nor a config says how many."""
MOST_EPOCHS = 10_000
"""Epochs that a page computes."""
UNTOUCHED = {"algo", "function", "start", "epochs", "out", "quiet"}
"""What may be given without a setting of a rule; then the page opens on settings that work."""
TUNED = 50
"""Random settings of a rule that diverges by default."""
MOST_FORMS = 24
"""Programs of one rule; choices beyond them stay as they are."""
RECORDED = 2_000
"""Points of all recordings of a page together; longer ones are thinned evenly."""


class Play(SetOptions, OutputOptions):
    """Write an interactive HTML page: drag a setting, and the trajectory and the stability limit follow at once."""

    CONFIG = "optimize"
    EXAMPLES = (
        "optilab play sgd,momentum,adam",
        "optilab play --algo sgd,momentum,adam --function rosenbrock --tune 50 --epochs 200 --out play.html",
        'optilab play --algo adam,rmsprop --function "x^2 + 3*y^4" --start 2,1 --out mine.html',
        "optilab play --algo nesterov --function himmelblau --lr 0.01 --epochs 80 --out himmelblau.html",
    )

    algo: Algo = None
    function: Function = None
    config: Source = None
    start: Start = None
    epochs: Annotated[Any, ConfigKey("epochs"), Flag("N"), Doc(f"Number of steps [{EPOCHS}]")] = None
    lr: LearningRate = None
    tune: Annotated[
        int | None, Ge(1), Le(10_000), Doc("Try N random settings of each optimizer and open the page at the best")
    ] = None
    out: Annotated[str, Flag("FILE", path=True), Doc("The page to write, .html [play.html]")] = "play.html"
    quiet: Annotated[bool, Flag(names=("--quiet", "-q")), Doc("Print the file and nothing else")] = False

    def run(self, place: Place) -> "Playground":
        """Write the page. UsageError for what cannot become JavaScript."""
        out, note = os.fspath(self.out), ""
        file = page_file(out, self.flag("out"))
        config = chosen(self, EPOCHS)
        require_bare(config, "play")
        if config.epochs > MOST_EPOCHS:
            raise UsageError(f"play computes at most {MOST_EPOCHS:,} epochs, got {config.epochs:,}")
        for rule in config.algo:
            require(rule, config.function)
        if self.tune:
            config, note = tuned(config, self.tune, self.changes)
            config = config.model_copy(update={"algo": tuple(map(_short, config.algo))})
        elif set(self.given) <= UNTOUCHED and "{" not in str(self.algo):
            config, note = _working(config)
        content = page(config, note)
        write_page(file, content)
        return Playground(config, out, len(content), note)


def _working(config: OptimizeConfig) -> tuple[OptimizeConfig, str]:
    """The config with other settings for every rule that diverges by default, and the sentence on them.

    Half the largest stable lr by theory, at the minimum nearest to the start; else the best of TUNED random settings.
    """
    found, halved, searched, hopeless = list(config.algo), list[str](), list[str](), list[str]()
    for index, (rule, path) in enumerate(zip(config.algo, follow(config), strict=True)):
        if path.status is not Status.DIVERGED:
            continue
        one = config.model_copy(update={"algo": (rule,)})
        changed = _halved(rule, config)
        if changed is not None:
            halved.append(rule.name)
        else:
            changed = _short(tuned(one, TUNED)[0].algo[0])
            best = follow(config.model_copy(update={"algo": (changed,)}))[0]
            (hopeless if best.status is Status.DIVERGED else searched).append(rule.name)
        found[index] = changed
    said = [f"{listed(halved)} at half the largest stable lr"] if halved else []
    said += [f"{listed(searched)} at the best of {TUNED} random settings"] if searched else []
    said += [f"{listed(hopeless)} at one of {TUNED} random settings, which all diverge"] if hopeless else []
    if not said:
        return config, ""
    names = listed([*halved, *searched, *hopeless])
    note = f"By default {names} would diverge here; the page opens with {' and '.join(said)}"
    return config.model_copy(update={"algo": tuple(found)}), note


def _halved(rule: Rule, config: OptimizeConfig) -> Rule | None:
    """A rule at half its largest stable lr near the nearest minimum; None where there is none, or it diverges, too."""
    function = config.function
    start = np.array(function.start if config.start is None else config.start, dtype=float)
    near = sorted(function.minima, key=lambda point: float(np.linalg.norm(start - np.array(point))))
    curvatures = next((found for point in near if (found := _minimum(function, point)["curvatures"])), None)
    if curvatures is None or getattr(rule, "recurrence", None) is None:
        return None
    changed: Rule = replace(rule, lr=float(theory.largest_lr(rule, np.array(curvatures))) / 2)  # type: ignore[type-var]
    changed = _short(changed)
    path = follow(config.model_copy(update={"algo": (changed,)}))[0]
    return None if path.status is Status.DIVERGED else changed


def _short(rule: Rule) -> Rule:
    """A rule whose numbers have three digits, as sliders give them; those near 1 by their distance from it."""
    values = {name: float(getattr(rule, name)) for name in numbers(rule)}
    short = {
        name: float(f"{value:.3g}") if not 0.9 < value < 1 else round(1 - float(f"{1 - value:.3g}"), 12)
        for name, value in values.items()
    }
    return replace(rule, **short)  # type: ignore[type-var]


@dataclass(frozen=True, repr=False)
class Playground(Answer):
    """The page that was written, and which rules diverge at the settings that it opens with."""

    config: OptimizeConfig
    file: str
    size: int
    """Bytes."""
    note: str = ""
    """Where the settings come from, if they are not those of the request."""

    @property
    def headline(self) -> str:
        what = f"{', '.join(self.config.labels)} on {self.config.function.name}"
        return f"{what}, {plural(self.config.epochs, 'epoch')}, {self.size // 1000} KB: {self.file}"

    @cached_property
    def diverged(self) -> list[str]:
        paths = zip(self.config.labels, follow(self.config), strict=True)
        return [label for label, path in paths if path.status is Status.DIVERGED]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"algo": label, "diverges": label in self.diverged} for label in self.config.labels]

    def blocks(self) -> Iterator[str]:
        """The file, where to open it, and on stderr a hint for rules that diverge."""
        yield self.headline
        if self.note:
            terminal.note(self.note)
        if self.diverged:
            terminal.note(
                f"at these settings {', '.join(self.diverged)} diverge{'s' * (len(self.diverged) == 1)}; "
                f"the page shows the limits{'' if self.note else ', and --tune 50 starts at better settings'}"
            )
        yield f"open it in a browser: {Path(self.file).absolute().as_uri()}"

    def document(self) -> dict[str, Any]:
        tree = dump(self.config)
        return {
            "file": self.file,
            "bytes": self.size,
            **{key: tree[key] for key in ("algo", "function", "epochs")},
            "diverged": self.diverged,
        }

    def short(self) -> list[str]:
        return [self.file]


# --- the page -----------------------------------------------------------------------------------------------


def page(config: OptimizeConfig, note: str = "", paths: Sequence[Trajectory] = ()) -> bytes:
    """The page of a config's rules on its function of one or two variables.

    The page computes the paths. Where it cannot, it shows a recording of that one of `paths`, if they are given, and
    says why. UsageError for too many variables, and for a rule or a function without a program.
    """
    function = config.function
    _require_plane(function)
    reasons = [_obstacle_here(config, rule) if paths else None for rule in config.algo]
    try:
        tree, sources = _data(config, reasons, paths)
    except Untraceable as error:
        raise UsageError(f"{called(function)} cannot become a page ({error})") from None
    scripts = map(asset, ("base.js", "formula.js", "model.js", "pictures.js", "panel.js", "player.js"))
    return render(
        "play.html",
        tree,
        ["const PROGRAMS = [" + ",\n".join(sources) + "];\n", *scripts],
        [asset("play.css")],
        title=f"{', '.join(dict.fromkeys(rule.name for rule in config.algo))} on {function.name}",
        formula=", ".join(filter(None, (function.formula, _settings(function)))),
        note=note,
        plane=len(function.start) == 2,
        movable=None in reasons,
        choosing=not any(reasons),
        still=chart_page.still(
            paths_chart(config.function, dict(zip(config.labels, paths or follow(config), strict=True)))
        ),
    )


def _obstacle_here(config: OptimizeConfig, rule: Rule) -> str | None:
    """Why a page does not compute the path of a rule; None where it does."""
    if config.regime != Regime():
        return "schedule, weight decay, clipping and noise are not computed here"
    if config.epochs > MOST_EPOCHS:
        return f"more than {MOST_EPOCHS:,} epochs"
    return obstacle(rule, config.function)


def _data(
    config: OptimizeConfig, reasons: Sequence[str | None], paths: Sequence[Trajectory]
) -> tuple[dict[str, Any], list[str]]:
    """The data of the page, and the sources of its programs.

    A page that computes all its paths has the other rules and functions, too, to be chosen in the page.
    """
    function, trees, programs = config.function, dump(config), Programs()
    most = RECORDED // max(1, sum(reason is not None for reason in reasons))
    rules, seen, keys = [], Counter[str](), Counter[str]()
    for index, (rule, tree, reason) in enumerate(zip(config.algo, trees["algo"], reasons, strict=True)):
        short = str(tree["name"]).rpartition(":")[2]
        seen[rule.name] += 1
        keys[short] += 1
        entry = {
            "key": short if keys[short] == 1 else f"{short}-{keys[short]}",  # in the address
            "name": rule.name if seen[rule.name] == 1 else f"{rule.name} #{seen[rule.name]}",
            "spec": tree["name"],
            "formula": rule.formula,
        }
        if reason is not None:
            entry |= {"recording": _thinned(paths[index], most), "reason": reason}
        else:
            entry |= _movable(rule, tree, len(function.start), programs)
        rules.append(entry)
    functions = [_plotted(function, trees["function"], programs)]
    listed = len(rules)
    if not any(reasons):
        rules += _other_rules(keys, len(function.start), programs)
        functions += _other_functions(function, programs)
    tree = {
        "functions": functions,
        "rules": rules,
        "listed": listed,
        "markers": MARKERS,
        "start": list(map(float, function.start if config.start is None else config.start)),
        "epochs": config.epochs,
        "tolerance": config.tolerance,
        "most_epochs": MOST_EPOCHS,
        "diverged": DIVERGENCE_FACTOR,
        "rounding": ROUNDING,
        "close": CLOSE,
    }
    return tree, programs.sources


def _other_rules(known: Iterable[str], dimension: int, programs: "Programs") -> Iterator[dict[str, Any]]:
    """The rules that a page can compute and does not open with, with the settings of their presets."""
    names = [name for name, kind in RULES.items() if name not in known and kind.weights != "matrices"]
    names = [name for name in names if obstacle(RULES[name]()) is None]
    if not names:
        return
    config = load(OptimizeConfig, {"algo": names}, rules="exercise")
    for name, rule, tree in zip(names, config.algo, dump(config)["algo"], strict=True):
        entry = {"key": name, "name": name, "spec": name, "formula": rule.formula}
        yield entry | _movable(rule, tree, dimension, programs)


def _other_functions(own: Objective, programs: "Programs") -> Iterator[dict[str, Any]]:
    """The functions of the same number of variables that a page does not open with."""
    for name in OBJECTIVES:
        function = OBJECTIVES[name]()
        if name not in (own.name, "expression") and len(function.start) == len(own.start):
            yield _plotted(function, {"name": name}, programs)


def _plotted(function: Objective, tree: Mapping[str, Any], programs: "Programs") -> dict[str, Any]:
    """What a page knows of a function. Raises Untraceable."""
    return {
        "key": function.formula if function.name == "expression" else function.name,  # in the address
        "formula": function.formula,
        "settings": _settings(function),
        "box": function.box,
        "start": function.start,
        "minima": [_minimum(function, point) for point in function.minima],
        "everywhere": theory.curvatures(function) is not None,
        "lowest": lowest(function),
        "command": _command(function, tree),
        "value": programs.place(value_source(function)),
        "ground": programs.place(ground_source(function)),
    }


def _minimum(function: Objective, point: Sequence[float]) -> dict[str, Any]:
    """A minimum and the curvatures there, ascending; None unless all are positive, and at a kink."""
    place = np.array(point, dtype=float)
    around = 1e-6 * np.maximum(1, np.abs(place)) * np.eye(len(place))
    with np.errstate(all="ignore"):
        hessian = function.hessian(place)
        slopes = function.gradient(place + around) - function.gradient(place - around)
    found = np.linalg.eigvalsh(hessian) if np.isfinite(hessian).all() else np.zeros(1)
    smooth = np.allclose(slopes, 2 * around @ hessian, rtol=0, atol=1e-2 * np.abs(2 * around @ hessian).max())
    bowl = smooth and found[0] > 1e-9 * found[-1] > 0
    return {"point": list(map(float, point)), "curvatures": found.tolist() if bowl else None}


def _thinned(path: Trajectory, most: int) -> dict[str, Any]:
    """The points of a path, at most `most` and evenly spaced: their epochs, coordinates, values and gradients."""
    last = len(path.points) - 1
    epochs = np.unique(np.linspace(0, last, min(last + 1, most)).round().astype(int))
    rows = np.column_stack([path.points, path.values, path.gradients])[epochs]
    numbers = [[float(f"{number:.9g}") for number in row] for row in rows.tolist()]
    return {"epochs": epochs.tolist(), "rows": numbers, "status": path.status.value}


def _command(function: Objective, tree: Mapping[str, Any]) -> str:
    """The options that choose a function, to be typed."""
    if tree["name"] == "expression":
        return f"--function {shlex.quote(tree['formula'])}"
    if function == OBJECTIVES[function.name]():
        return f"--function {function.name}"
    return f"--set {shlex.quote(f'function={json.dumps(tree)}')}"


def _settings(function: Objective) -> str:
    """The settings of a function that its formula names: `a = 1, b = 100`."""
    names = [f.name for f in fields(function) if f.name not in ("formula", "dimension")]  # type: ignore[arg-type]
    values = [(name, getattr(function, name)) for name in names]
    return ", ".join(
        f"{name} = {value:g}" if isinstance(value, float) else f"{name} = {value}" for name, value in values
    )


# --- the JavaScript of a rule, one program for each of its forms ---------------------------------------------


class Programs:
    """The programs of a page, each once."""

    def __init__(self) -> None:
        self.sources: list[str] = []

    def place(self, source: str | None) -> int | None:
        """The index of a source, which is added if it is new."""
        if source is None:
            return None
        if source not in self.sources:
            self.sources.append(source)
        return self.sources.index(source)


@dataclass(frozen=True)
class Form:
    """The programs for one combination of a rule's choices, with the settings `off` at 0."""

    choices: dict[str, Any]
    off: tuple[str, ...]
    settings: tuple[str, ...]
    """The arguments of the programs, in order."""
    path: int | None
    stability: int | None


def _movable(rule: Rule, tree: Mapping[str, Any], dimension: int, programs: Programs) -> dict[str, Any]:
    """The programs, choices and sliders of a rule, and the settings that stay as they are. Raises Untraceable."""
    found, several = _forms(rule, dimension, programs)
    own = [f.name for f in fields(rule)]  # type: ignore[arg-type]
    names = sorted({name for form in found for name in (*form.off, *form.settings)}, key=own.index)
    shown = {"name", "sha256", *names, *(choice.name for choice in several)}
    return {
        "forms": [asdict(form) for form in found],
        "choices": [asdict(choice) for choice in several],
        "controls": [asdict(slider(rule, name)) for name in names],
        "exact": "gradient_at" in getattr(rule, "needs", ()),  # no noise applies
        "fixed": {key: value for key, value in tree.items() if key not in shown},
    }


def _forms(rule: Rule, dimension: int, programs: Programs) -> tuple[list[Form], list["Choice"]]:
    """The forms of a rule, those with more settings at 0 first, and the choices that lead to them.

    Raises Untraceable where the rule as it is has no program; other options that have none are left out.
    """
    several = choices(rule)
    while prod(len(choice.options) for choice in several) > MOST_FORMS:
        several.pop()
    own = {choice.name: choice.value for choice in several}
    found: list[Form] = []
    for values in product(*(choice.options for choice in several)):
        chosen = dict(zip(own, values, strict=True))
        try:
            found += _forms_of(replace(rule, **chosen), dimension, chosen, programs)  # type: ignore[type-var]
        except Untraceable:
            if chosen == own:
                raise
    possible = {name: {form.choices[name] for form in found} for name in own}
    kept = [
        replace(choice, options=tuple(option for option in choice.options if option in possible[choice.name]))
        for choice in several
    ]
    return found, [choice for choice in kept if len(choice.options) > 1]


def _forms_of(rule: Rule, dimension: int, chosen: dict[str, Any], programs: Programs) -> Iterator[Form]:
    settings = numbers(rule)
    zero = switches(rule, settings)
    subsets = chain.from_iterable(combinations(zero, count) for count in range(len(zero), -1, -1))
    for off in subsets:
        at_zero = replace(rule, **dict.fromkeys(off, 0.0))  # type: ignore[type-var]
        moved = tuple(name for name in settings if name not in off)
        stability = stability_source(at_zero, dimension, moved)
        path = path_source(at_zero, dimension, moved)
        yield Form(chosen, off, moved, programs.place(path), programs.place(stability))


def obstacle(rule: Rule, function: Objective | None = None) -> str | None:
    """Why a rule, or a function under it, has no program in JavaScript; None where it has one."""
    if "function" in getattr(rule, "needs", ()):
        return "its line search is SciPy's"
    try:
        path_source(rule, 1)
        if function is not None:
            ground_source(function)
    except Untraceable as error:
        reason = str(error).removeprefix("Untraceable: ")  # which the code of a user's own rule passes on
        return reason if " " in reason else f"its code calls {reason}"  # the name of an attribute or a function
    return None


def _require_plane(function: Objective) -> None:
    """UsageError for a function of more than two variables."""
    if len(function.start) > 2:
        count = f"{called(function)} has {len(function.start)}"
        raise UsageError(f"a page needs a function of one or two variables; {count}")


def require(rule: Rule, function: Objective) -> None:
    """UsageError where a rule on a function has no program in JavaScript: the reason, and what has one."""
    _require_plane(function)
    gradient_descent = RULES["sgd"]()
    if reason := obstacle(gradient_descent, function):
        raise UsageError(f"{function.name} cannot be shown interactively: {reason}")
    if reason := obstacle(rule):
        raise UsageError(f"{rule.name} cannot be shown interactively: {reason}")


# --- sliders and choices ------------------------------------------------------------------------------------

Scale = Literal["linear", "log", "zero-log", "to-one"]
"""How the positions 0 to 1 of a slider become values.

linear: evenly. log: evenly in the logarithm. zero-log: 0 at the left end, then as log. to-one: from 0 towards 1, evenly
in the logarithm of the distance from 1.
"""


@dataclass(frozen=True)
class Slider:
    """A slider from `low` to `high` at `value`. A number that is typed may lie beyond the ends, inside `accepted`."""

    name: str
    value: float
    scale: Scale
    low: float
    high: float
    accepted: tuple[float | None, bool, float | None, bool]
    """Smallest value, whether it is excluded, largest value, whether it is excluded; None: no limit."""
    doc: str


@dataclass(frozen=True)
class Choice:
    """A hyperparameter that is one of several words, or on or off."""

    name: str
    value: Any
    options: tuple[Any, ...]
    usual: Any
    """The default, which trainings have; the exercise may ask for another one."""
    doc: str


def _fields(rule: Rule) -> list[Field]:
    hints = get_type_hints(type(rule), include_extras=True)
    return [Field(f.name, hints[f.name], f.default) for f in fields(rule)]  # type: ignore[arg-type]


def numbers(rule: Rule) -> list[str]:
    """The fields of a rule that a slider can move: a number, also a whole one where a fraction may stand."""
    values = [(field, getattr(rule, field.name)) for field in _fields(rule)]
    return [
        field.name
        for field, value in values
        if isinstance(value, float) or (type(value) is int and float in field.kinds)
    ]


def choices(rule: Rule) -> list[Choice]:
    """The fields of a rule that are words or switches."""
    found = []
    for field in _fields(rule):
        options: tuple[Any, ...] = (False, True) if field.is_switch else field.choices
        if len(options) > 1:
            found.append(Choice(field.name, getattr(rule, field.name), options, field.default, field.doc))
    return found


def slider(rule: Rule, name: str) -> Slider:
    """The slider of one field; the page widens that of a learning rate whose limit it knows."""
    value = float(getattr(rule, name))
    field = next(field for field in _fields(rule) if field.name == name)
    bounds: dict[type, float] = {
        kind: float(getattr(mark, kind.__name__.lower()))
        for kind in (Gt, Ge, Lt, Le)
        if (mark := field.mark(kind))
    }
    least, most = bounds.get(Gt, bounds.get(Ge)), bounds.get(Lt, bounds.get(Le))
    scale, low, high = _range(value, least, Gt in bounds or name == "lr", most, Lt in bounds)
    return Slider(name, value, scale, low, high, (least, Gt in bounds, most, Lt in bounds), field.doc)


def _range(
    value: float, least: float | None, positive: bool, most: float | None, below: bool
) -> tuple[Scale, float, float]:
    """Scale, low and high of a slider with room on both sides of `value`."""
    if least == 0 and most == 1 and below and not positive:
        return "to-one", 0.0, max(0.99 if value <= 0.9 else 0.999 if value <= 0.99 else 0.9999, value)
    if least is not None and most is not None:
        inset = (most - least) / 200
        return "linear", least + inset * positive, most - inset * below
    if least and value > least:
        return "linear", least + (value - least) / 50, least + 5 * (value - least)
    if positive and value > 0:
        return "log", rounded(value / 100), rounded(value * 30)
    if least == 0 or value == 0:
        return "zero-log", rounded(value / 1e4) if value else 1e-4, rounded(value * 100) if value else 1.0
    return "linear", value - 2 * abs(value), value + 2 * abs(value)


def rounded(value: float) -> float:
    """The nearest number with one digit: the end of a scale."""
    exponent = floor(log10(value))
    return float(f"{round(value / 10.0**exponent)}e{exponent}")


COMMAND = Play
