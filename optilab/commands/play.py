"""`optilab play`: one HTML page on which the settings of optimizers are moved, and their trajectories follow at once.

The page gets data: the formulas of optimizers and functions, and what their sliders need. Its scripts are formula.js
(which runs the formulas), model.js (state, trajectories), pictures.js, panel.js (sliders, tables) and player.js, which
starts the page.
"""

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from annotated_doc import Doc
from annotated_types import Ge, Gt, Le, Lt

from optilab.commands.answer import Answer
from optilab.commands.options import OutputOptions, SetOptions
from optilab.commands.paths import Algo, Function, LearningRate, Source, Start, chosen, follow, require_bare, tuned
from optilab.commands.request import Place
from optilab.config.load import load
from optilab.config.section import dump
from optilab.errors import UsageError
from optilab.marks import ConfigKey, Field, Flag
from optilab.optimize import OBJECTIVES, RULES, Objective, Rule, Status
from optilab.optimize import formula as formulas
from optilab.optimize.formula import MAX_LENGTH, Node
from optilab.optimize.objective import called
from optilab.optimize.program import compiled
from optilab.optimize.rule import settings_in_formula
from optilab.show import terminal
from optilab.show.chart import MARKERS
from optilab.show.page import asset, document, page_file, write_page
from optilab.words import plural

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig

EPOCHS = 60
"""Steps where neither the command line nor a config says how many."""
MAX_EPOCHS = 10_000
"""Epochs that a page computes."""


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
        """Write the page. UsageError for what a page cannot run."""
        out, note = os.fspath(self.out), ""
        file = page_file(out, self.flag("out"))
        config = chosen(self, EPOCHS)
        require(config, "play")
        if self.tune:
            config, note = tuned(config, self.tune, self.changes)
        content = page(config, note, self._is_free)
        write_page(file, content)
        return Playground(config, out, len(content), note, self._is_free)

    @property
    def _is_free(self) -> bool:
        """True where no setting of an optimizer was given, so that the page may choose the learning rates."""
        changed = any(change.key.startswith("algo.") for change in self.changes)
        return not (self.config or self.tune or changed or "{" in str(self.algo))


@dataclass(frozen=True, repr=False)
class Playground(Answer):
    """The page that was written, and which optimizers diverge at the settings of its config."""

    config: "OptimizeConfig"
    file: str
    size: int
    """Bytes."""
    note: str = ""
    """Where the settings come from, if they are not those of the request."""
    free: bool = False
    """Whether the page opens an optimizer that diverges with another learning rate."""

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
        """The file, where to open it, and on stderr a hint for optimizers that diverge."""
        yield self.headline
        if self.note:
            terminal.note(self.note)
        if self.diverged:
            advice = "the page opens with another lr" if self.free else "the page shows the limits"
            terminal.note(
                f"at these settings {', '.join(self.diverged)} diverge{'s' * (len(self.diverged) == 1)}; {advice}"
                f"{'' if self.note or self.free else ', and --tune 50 starts at better settings'}"
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


def require(config: "OptimizeConfig", what: str) -> None:
    """UsageError for a config that a page cannot run; `what` is what would run it, in the message."""
    require_bare(config, what)
    function = config.function
    if config.epochs > MAX_EPOCHS:
        raise UsageError(f"{what} computes at most {MAX_EPOCHS:,} epochs, got {config.epochs:,}")
    if (count := len(function.start)) > 2:
        raise UsageError(f"{called(function)} has {count} variables, and a page needs one or two")
    without = [] if function.nodes() else [called(function)]
    without += [rule.name for rule in config.algo if not has_formula(rule)]
    if without:
        raise UsageError(f"{without[0]} has no formula that a page could run")


def has_formula(rule: Rule) -> bool:
    """True of a rule whose formula a page can run: statements that renew w, and read settings that are numbers."""
    try:
        program = compiled(rule.formula)
    except UsageError:  # a sentence
        return False
    renews = any(statement.target == "w" and statement.arrow == "<-" for statement in program.statements)
    return renews and numbers_in_formula(rule).keys() >= set(program.settings) and len(rule.formula) <= MAX_LENGTH


def page(config: "OptimizeConfig", note: str = "", free: bool = False) -> bytes:
    """The page of a config's rules on its function of one or two variables, with all others to be chosen in it.

    `free`: an optimizer that diverges opens with another learning rate. Raises what `require` raises.
    """
    from optilab.commands.charts.paths import paths_chart
    from optilab.show import chart_svg

    require(config, "a page")
    function = config.function
    scripts = ("base.js", "formula.js", "model.js", "pictures.js", "panel.js", "player.js")
    paths = dict(zip(config.labels, follow(config), strict=True))
    return document(
        "play.html",
        _data(config, free),
        list(map(asset, scripts)),
        [asset("play.css")],
        title=f"{', '.join(dict.fromkeys(rule.name for rule in config.algo))} on {function.name}",
        formula=", ".join(filter(None, (function.formula, _settings(function)))),
        note=note,
        plane=len(function.start) == 2,
        still=chart_svg.figure(paths_chart(function, paths)),
    )


def _data(config: "OptimizeConfig", free: bool) -> dict[str, Any]:
    """What the page knows: the rules and the function that it opens with, then the others."""
    from optilab.optimize.path import CLOSE, DIVERGENCE_FACTOR, ROUNDING

    function, trees = config.function, dump(config)
    rules, names, keys = [], Counter[str](), Counter[str]()
    for rule, tree in zip(config.algo, trees["algo"], strict=True):
        short = str(tree["name"]).rpartition(":")[2]
        names[rule.name] += 1
        keys[short] += 1
        key = short if keys[short] == 1 else f"{short}-{keys[short]}"
        name = rule.name if names[rule.name] == 1 else f"{rule.name} #{names[rule.name]}"
        rules.append(rule_data(key, name, rule, tree))
    return {
        "functions": [function_data(function, trees["function"]), *_other_functions(function)],
        "rules": [*rules, *_other_rules(keys)],
        "listed": len(rules),
        "free": free,
        "markers": MARKERS,
        "start": list(map(float, function.start if config.start is None else config.start)),
        "epochs": config.epochs,
        "tolerance": config.tolerance,
        "most_epochs": MAX_EPOCHS,
        "diverged": DIVERGENCE_FACTOR,
        "rounding": ROUNDING,
        "close": CLOSE,
    }


def _other_rules(known: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The rules that a page can run and does not open with, with the settings of their presets."""
    from optilab.config.optimize import OptimizeConfig

    names = [name for name, kind in RULES.items() if name not in known and has_formula(kind())]
    if not names:
        return
    config = load(OptimizeConfig, {"algo": names}, rules="exercise")
    for name, rule, tree in zip(names, config.algo, dump(config)["algo"], strict=True):
        yield rule_data(name, name, rule, tree)


def _other_functions(own: Objective) -> Iterator[dict[str, Any]]:
    """The functions of the same number of variables that a page does not open with."""
    for name in OBJECTIVES:
        function = OBJECTIVES[name]()
        is_alike = len(function.start) == len(own.start) and function.nodes()
        if is_alike and name not in (own.name, "expression"):
            yield function_data(function, {"name": name})


# --- a function ---------------------------------------------------------------------------------------------


def function_data(function: Objective, tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a page knows of a function that has trees; its gradient only where it is not that of calculus."""
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
        "settings": _settings(function),
        "box": function.box,
        "start": function.start,
        "minima": [_minimum(function, point) for point in function.minima],
        "everywhere": theory.curvatures(function) is not None,
        "lowest": lowest(function),
        "command": _command(function, tree),
        "value": as_tree(value),
        **({} if derived == gradient else {"gradient": list(map(as_tree, gradient))}),
    }


def as_tree(node: Node) -> Any:
    """An expression as formula.js has it: a number, a name, or [operation, ...]."""
    short = {"absolute": "abs", "minimum": "min", "maximum": "max"}
    return [short.get(node.op, node.op), *map(as_tree, node.args)] if node.args else node.value


def _minimum(function: Objective, point: Sequence[float]) -> dict[str, Any]:
    """A minimum and the curvatures there, ascending; None unless all are positive, and at a kink."""
    import numpy as np

    place = np.array(point, dtype=float)
    around = 1e-6 * np.maximum(1, np.abs(place)) * np.eye(len(place))
    with np.errstate(all="ignore"):
        hessian = function.hessian(place)
        slopes = function.gradient(place + around) - function.gradient(place - around)
    found = np.linalg.eigvalsh(hessian) if np.isfinite(hessian).all() else np.zeros(1)
    smooth = np.allclose(slopes, 2 * around @ hessian, rtol=0, atol=1e-2 * np.abs(2 * around @ hessian).max())
    bowl = smooth and found[0] > 1e-9 * found[-1] > 0
    return {"point": list(map(float, point)), "curvatures": found.tolist() if bowl else None}


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


# --- a rule -------------------------------------------------------------------------------------------------


def rule_data(key: str, name: str, rule: Rule, tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a page knows of a rule: its text with its variants, and its settings, some of which can be moved.

    `key` stands in the address of the page; `settings` are the numbers of the formula by their names there; `fixed` are
    the keys of its config that stay as they are.
    """
    variants = dict(rule.variants) | ({"base": {...: rule.base.formula}} if hasattr(rule, "base") else {})
    selects = [choice for choice in choices(rule) if choice.name in {part.partition(".")[0] for part in variants}]
    moved = [*numbers(rule), *(choice.name for choice in selects)]
    return {
        "key": key,
        "name": name,
        "spec": tree["name"],
        "text": rule.text or rule.formula,
        "variants": {
            part: {_option(value): text for value, text in texts.items()} for part, texts in variants.items()
        },
        "settings": numbers_in_formula(rule),
        "controls": [asdict(slider(rule, name)) for name in numbers(rule)],
        "choices": [asdict(choice) for choice in selects],
        "fixed": {key: value for key, value in tree.items() if key not in {"name", "sha256", *moved}},
    }


def _option(value: Any) -> str:
    """The value of a setting as JavaScript writes it; `else` stands for all others."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "else" if value is ... else value if isinstance(value, str) else json.dumps(value)


def numbers_in_formula(rule: Rule) -> dict[str, float]:
    """The numeric settings of a rule by their names in its formula, those of a rule that it wraps included."""
    settings = settings_in_formula(rule)
    numeric = {name: value for name, value in settings.items() if isinstance(value, int | float)}
    return {name: float(value) for name, value in numeric.items() if not isinstance(value, bool)}


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
