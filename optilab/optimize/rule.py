"""The interface of an update rule.

    rule = RULES["adam"](lr=0.1)
    state = rule.init(w)
    w, state = rule.step(w, gradient, 1, state)

A rule is its settings and its formula, and the formula is what runs. Rules are pure. Arrays have shape (..., d); a
setting may be an array of shape (..., 1), so a map over a million settings is one call. The same formula runs on torch
tensors, so rules without a counterpart in torch.optim train networks, too.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field, fields, make_dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_doc import Doc
from annotated_types import Ge, Gt, Lt

from optilab.errors import UsageError, shown, unknown
from optilab.optimize.arrays import Array, in_float64

if TYPE_CHECKING:
    from optilab.optimize.program import Program

State = tuple[Any, ...]

LearningRate = Annotated[float, Gt(0), Doc("learning rate: the factor of every step")]
Decay = Annotated[float, Ge(0), Lt(1), Doc("fraction of a moving average that is kept at each step")]
Eps = Annotated[float, Ge(0), Doc("small number that keeps a division finite")]
WeightDecay = Annotated[float, Ge(0), Doc("fraction of the weights, times lr, that each step takes away")]


class Rule:
    """An update rule: a frozen dataclass whose fields are its settings, and a formula.

    Statements of the formula are separated by `;`. `w` is the point, `g` the gradient there, `t` counts steps from 1;
    `<-` renews a state, `=` names an intermediate result, `S0 = ...` is the start of a state that is not zero. All
    products are element by element; `sum` and `norm` run over the coordinates.

    What only some rules have: `lr`, which schedules change; `base`, the rule that a wrapper passes its steps to;
    `others`, the rule of the weights that it does not train (with `matrices`, the weights that it does);
    `for_weights(shapes)`, the rule of each weight (`MatrixRule`); `averaged(w, state)`, the result where it is not w.
    """

    name: ClassVar[str]
    """The name of its row in every table, chart and file: the optimizer's, or the one that a user gave it."""
    label: ClassVar[str] = ""
    """The name that a user gave it; empty without one."""
    text: ClassVar[str] = ""
    """The formula; `{setting}` stands for a part that `variants` has. Empty for a rule in code, whose `formula` is a
    sentence."""
    variants: ClassVar[Mapping[str, Mapping[Any, str]]] = {}
    """The part of the text for each value of a setting, `...` for all others; a second part is `setting.part`."""
    weights: ClassVar[Literal["joined", "each", "matrices"]] = "joined"
    """The shape in which the rule gets the weights of a network: all in one vector ("joined"); a vector per weight
    ("each"); or each weight in its shape ("matrices"), and then no function of a vector can be its function.
    """

    @property
    def original(self) -> "type[Rule]":
        """The class without the name that a user gave it."""
        return type(self)

    @property
    def typed(self) -> str:
        """The words by which a command or a config names it: `Mine=sgd` with a name of the user's."""
        return f"{self.label}={self.original.name}" if self.label else self.name

    @cached_property
    def formula(self) -> str:
        """The text with the parts of these settings put in: printed, executed, differentiated."""
        text, before = self.text, ""
        while text != before:
            before, text = text, re.sub(r"\{([\w.]+)\}", self._part, text)
        return text

    def _part(self, mark: re.Match[str]) -> str:
        texts, value = self.variants[mark[1]], getattr(self, mark[1].partition(".")[0])
        return texts[value] if isinstance(value, str | int | float) and value in texts else texts[...]

    @cached_property
    def program(self) -> "Program":
        """The formula as functions. UsageError for a rule in code."""
        from optilab.optimize.program import compiled

        reject_matrix_rule(self)
        return compiled(self.formula)

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the parts of the state, in the formula's letters."""
        return self.program.states

    @property
    def needs(self) -> tuple[str, ...]:
        """The arguments that `step` gets by name besides the gradient: `f`, the value (..., 1), and `H`, the Hessian
        (..., d, d), at w; `grad(point)`, the gradient elsewhere; `diagonal(w)`, the Hessian's diagonal, in training an
        estimate of it; `function`, the test function itself."""
        return self.program.needs

    def init(self, w: Array) -> State:
        """The state before the first step from w."""
        return self.program.init(w, self._values)

    def step(self, w: Array, g: Array, t: int, state: State, **quantities: Any) -> tuple[Array, State]:
        """The next point and state, given the gradient at w; t is the number of the step, from 1."""
        try:
            reached: tuple[Array, State] = self._step(w, g, float(t), state, self._values, **quantities)
            return reached
        except ArithmeticError:  # of plain numbers: a division by zero, an overflow
            import numpy as np

            values = {name: in_float64(value) for name, value in vars(self._values).items()}
            with np.errstate(all="ignore"):
                after: tuple[Array, State] = self._step(
                    w, g, np.float64(t), tuple(map(in_float64, state)), SimpleNamespace(**values), **quantities
                )
                return after

    @cached_property
    def _step(self) -> Any:
        return self.program.step

    @cached_property
    def _values(self) -> Any:
        return SimpleNamespace(**settings_in_formula(self))

    def __getstate__(self) -> dict[str, Any]:
        """The settings: a program is compiled where the rule arrives."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]


def settings_in_formula(rule: Any) -> dict[str, Any]:
    """Every setting of a rule, and of a rule that it wraps, by the name that it has in the formula."""
    values = {f.name: getattr(rule, f.name) for f in fields(rule)}
    return {**settings_in_formula(values["base"]), **values} if "base" in values else values


def reject_matrix_rule(rule: Any) -> None:
    """UsageError for a rule that needs the matrices of a network, and cannot run on a test function."""
    if rule.weights == "matrices":
        raise UsageError(f"{rule.name} needs weight matrices, so it cannot run on a test function")


def quantities_for(rule: Any, function: Any, w: Array) -> dict[str, Any]:
    """The quantities that `rule.needs` at w, as arguments of `step`. Raises what `reject_matrix_rule` raises."""
    reject_matrix_rule(rule)
    quantities: dict[str, Any] = {}
    for name in rule.needs:
        if name == "f":
            quantities["f"] = function.value(w)[..., None]
        elif name == "H":
            quantities["H"] = function.hessian(w)
        elif name == "grad":
            quantities["grad"] = function.gradient
        elif name == "diagonal":
            quantities["diagonal"] = lambda point: function.hessian(point).diagonal(axis1=-2, axis2=-1)
        else:
            quantities["function"] = function
    return quantities


def settings_of(rule: Any) -> dict[str, Any]:
    """Every field of the rule, and those of a rule that it wraps as `base.lr`; `base` itself is that one's name."""
    settings = {}
    for name in (f.name for f in fields(rule)):
        settings[name] = value = getattr(rule, name)
        if name == "base":
            settings |= {name: value.name} | {f"base.{key}": inner for key, inner in settings_of(value).items()}
    return settings


def as_function(rule: Any, name: str) -> tuple[str, str]:
    """The first and the last line of a user's function for the rule: its state, the step, the hyperparameters."""
    names = dict.fromkeys(key.rpartition(".")[2] for key in ("t", *settings_of(rule)))  # base.lr is lr
    used = [key for key in names if re.search(rf"\b{key}\b", rule.formula)]
    header = f"def {name}({', '.join(['w', 'g', *rule.states, *used])}):"
    return header, f"return {', '.join(['w', *rule.states])}"


def with_settings(rule: Any, settings: Mapping[str, Any]) -> Any:
    """The rule with other settings; those of a rule that it wraps are named after its field, as `base.lr`."""
    changes = {name: value for name, value in settings.items() if "." not in name}
    for key in {name.partition(".")[0] for name in settings} - changes.keys():
        inner = {name.removeprefix(f"{key}."): v for name, v in settings.items() if name.startswith(f"{key}.")}
        changes[key] = with_settings(getattr(rule, key), inner)
    return replace(rule, **changes)


def setting_of_axis(key: str) -> str:
    """The setting of the rule that an axis of a map is, as `base.lr`; empty for a coordinate."""
    return key.removeprefix("algo.") if key.startswith("algo.") else ""


def rules_with_lr(rule: Any) -> dict[str, Any]:
    """The rules with a learning rate, by its key: the rule itself as `lr`, its base as `base.lr`, and the rule of
    its other weights as `others.lr`. The first rule makes most steps."""
    rules = {"lr": rule} if hasattr(rule, "lr") else {}
    for part in ("base", "others"):
        if hasattr(rule, part):
            rules |= {f"{part}.{key}": inner for key, inner in rules_with_lr(getattr(rule, part)).items()}
    return rules


def innermost(rule: Any) -> Any:
    """The rule that makes the steps: the one inside of all wrappers."""
    while hasattr(rule, "base"):
        rule = rule.base
    return rule


def follows_schedule(rule: Any) -> bool:
    """True if a schedule changes the steps: they read the learning rate, not only the start of a state does."""
    rule = innermost(rule)
    return hasattr(rule, "lr") and (not rule.text or "lr" in rule.program.read_at_steps)


def learning_rates(rule: Any) -> dict[str, float]:
    """Every learning rate of a rule by its key."""
    return {key: inner.lr for key, inner in rules_with_lr(rule).items()}


class UnknownName(UsageError, KeyError):
    """A name that a registry does not have: the sentence of the command line, as a KeyError."""

    __str__ = UsageError.__str__


class Registry(Mapping[str, Any]):
    """The classes of `modules` that have a `name`, by name; the modules are imported when it is first
    used. `kind` is the noun for an entry in the message of UnknownName."""

    def __init__(self, kind: str, *modules: str) -> None:
        self._kind, self._modules = kind, modules

    @cached_property
    def _entries(self) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for module in map(import_module, self._modules):
            members = (
                entry for entry in vars(module).values() if getattr(entry, "__module__", "") == module.__name__
            )
            entries |= {
                entry.name: entry for entry in members if isinstance(entry, type) and hasattr(entry, "name")
            }
        return entries

    def __getitem__(self, name: str) -> Any:
        if name not in self._entries:
            raise UnknownName(unknown(self._kind, name, self))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


RULES = Registry(
    "optimizer", "optilab.optimize.rules", "optilab.optimize.matrix_rules", "optilab.optimize.line_search"
)
"""The update rules. Where the literature has several forms of a rule, the form is a field; defaults are the
literature's."""


# --- a rule under a name of the user's ---------------------------------------------------------------------------

MAX_LABEL = 40
"""Characters of a name that a user gives an optimizer."""
_LABEL = re.compile(r"[^\W\d_](?:[\w.+ -]*[\w.+-])?")
_STATEMENT = re.compile(r"\s*[^\W\d]\w*\s*(?:<-|=(?!=))")
"""The start of a statement of a formula."""
_EXPRESSION = re.compile(r"[^:]*[^:\w.-][^:]*")
"""What neither the name of an optimizer nor a class of a file is: the right side of a formula without its arrow."""


def split_label(text: str, where: str = "") -> tuple[str, str]:
    """`Mine=my.py:Own` as the name that a user gives and the optimizer that it is for; the name is empty without one.

    The `=` of a formula, also of one without its arrow, is none that ends a name: what follows that one is a formula
    itself. UsageError for a name with other characters, and for that of another optimizer.
    """
    label, sign, rule = (part.strip() for part in text.partition("="))
    is_file = rule.endswith(".py")
    is_part = not _STATEMENT.match(rule) if is_formula(rule) else not is_file and _EXPRESSION.fullmatch(rule)
    if not sign or "<" in label or is_part or label == rule:
        return "", rule if label == rule else text
    if len(label) > MAX_LABEL or not _LABEL.fullmatch(label):
        accepted = f"at most {MAX_LABEL} letters, digits, spaces and . _ + -, of which a letter is the first"
        raise UsageError(f"expected {accepted}, as the name of {rule}, got {shown(label)}", where)
    if label in RULES:
        raise UsageError(f"{label} is another optimizer; expected a name of your own for {rule}", where)
    return label, rule


def without_label(value: Any) -> Any:
    """An optimizer as a config has it, `Mine=sgd` or a mapping with its name, without the name that a user gives it;
    another value, and one that is refused elsewhere, as it is."""
    if isinstance(value, Mapping):
        return {key: without_label(item) if key in ("name", "formula") else item for key, item in value.items()}
    with suppress(UsageError):
        return split_label(value)[1] if isinstance(value, str) else value
    return value


def labeled(rule: Rule, label: str) -> Rule:
    """The rule under the name that a user gives it; itself where the name is empty."""
    settings = {f.name: getattr(rule, f.name) for f in fields(rule)}  # type: ignore[arg-type]
    kind: Any = rule.original
    named: Rule = _labeled_class(kind, label)(**settings) if label else rule
    return named


@cache
def _labeled_class(kind: Any, label: str) -> Any:
    """A class for each name, which a copy with other settings (`dataclasses.replace`) keeps."""
    return type(kind.__name__, (kind,), {"name": label, "label": label, "original": kind})


# --- a rule that a user types -----------------------------------------------------------------------------------

COMMON_SETTINGS: Mapping[str, Any] = {
    "lr": LearningRate,
    **dict.fromkeys(("beta", "beta1", "beta2", "beta3", "decay", "rho", "momentum"), Decay),
    "eps": Eps,
    "weight_decay": WeightDecay,
}
"""Settings of a typed formula that are named like those of known rules, with their ranges."""
COMMON_VALUES: Mapping[str, float] = {
    **dict.fromkeys(("lr", "learning_rate", "eta", "step_size"), 0.01),
    **dict.fromkeys(("beta", "momentum", "gamma", "mu", "beta1", "b1", "beta_1", "decay", "rho"), 0.9),
    **dict.fromkeys(("beta2", "b2", "beta_2"), 0.999),
    **dict.fromkeys(("eps", "epsilon"), 1e-8),
    **dict.fromkeys(("weight_decay", "wd"), 0.0),
}
"""Values of settings that a user's code or formula does not give, by what the settings are usually called."""
ALIASES: Mapping[str, tuple[str, ...]] = {
    "lr": ("learning_rate", "alpha", "eta", "step_size"),
    "beta": ("momentum", "gamma", "mu", "beta1"),
    "beta1": ("b1", "beta_1"),
    "beta2": ("b2", "beta_2"),
    "decay": ("rho", "alpha", "gamma", "beta", "beta2"),
    "eps": ("epsilon",),
    "weight_decay": ("wd",),
}
"""Other names of a hyperparameter, in other libraries."""


class FormulaRule(Rule):
    """Base of the rules that are a user's formulas: `name` is the formula as it is printed."""


RESERVED_SETTINGS = ("name", "base", "others", *(name for name in dir(FormulaRule) if name[0] != "_"))


def short_name(rule: Any) -> str:
    """The name of a rule in names of files, with or without a name of the user's: `formula-` and eight digits for one
    that a user typed."""
    name = str(rule.original.name)
    return f"formula-{sha256(name.encode()).hexdigest()[:8]}" if isinstance(rule, FormulaRule) else name


def is_formula(name: Any) -> bool:
    """True if the name of a rule is a formula."""
    return isinstance(name, str) and "<-" in name


@cache
def formula_rule(formula: str) -> type[FormulaRule]:
    """The rule of a formula: its settings are the names that nothing defines, in the order of the alphabet.

    None of them has a default. On a network a formula with `sum`, `norm` or `solve` runs on each weight by itself, as
    a class in `rules.py` does only with `weights = "each"`. UsageError for a formula that cannot be read.
    """
    from optilab.optimize.operations import VECTOR
    from optilab.optimize.program import compiled, is_finite, printed

    program = compiled(formula)
    text = printed(program)
    if not all(is_finite(statement.node) for statement in program.statements):
        raise UsageError("a constant of the formula is not finite")
    if any(
        statement.target == "w" and program.size(statement.node, program.sizes) != VECTOR
        for statement in program.body
    ):
        raise UsageError("expected w <- ... with a number for each coordinate")
    if reserved := sorted({*program.settings} & {*RESERVED_SETTINGS}):
        raise UsageError(f"a setting cannot be called {', '.join(reserved)}")
    definitions = [(name, COMMON_SETTINGS.get(name, float), field(kw_only=True)) for name in program.settings]
    namespace = {"name": text, "text": text, "weights": "each" if program.is_joint else "joined"}
    return make_dataclass("FormulaRule", definitions, bases=(FormulaRule,), frozen=True, namespace=namespace)
