"""`optilab explain`: single steps of optimizers, worked out as text, Markdown or LaTeX."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_doc import Doc

from optilab.annotations import Flag
from optilab.answer.answer import Answer
from optilab.answer.trajectories import motion_sentences
from optilab.errors import UsageError, shown
from optilab.numbers import digits
from optilab.optimize import RULES
from optilab.optimize import formula as formulas
from optilab.optimize.formula import Node
from optilab.optimize.operations import OPERATIONS
from optilab.optimize.program import evaluate
from optilab.optimize.rule import FormulaRule
from optilab.request.on_functions import Function, LearningRate, Optimizers, Source, Start, chosen_config
from optilab.request.options import QUIET, OutputOptions, SetOptions
from optilab.request.request import Conflicts, Place
from optilab.runs.record import MANIFEST
from optilab.study.paths import require_bare
from optilab.words import listed, settings_text

if TYPE_CHECKING:
    from optilab.optimize.path import EvaluatedStatement, WorkedStep

MAX_STEP = 100_000
MAX_STEPS = 100
"""Steps of one optimizer that are worked out at once."""


class Explain(SetOptions, OutputOptions):
    """Work out steps of an optimizer: every intermediate result with its numbers."""

    READS = "optimize"
    EXAMPLES = (
        "optilab explain adam --step 2",
        "optilab explain sgd,momentum --step 1-3",
        "optilab explain momentum --step 3 --format markdown",
        "optilab explain adam.yaml --step 3",
        'optilab explain rmsprop --function "w1^2 + w1*w2 + w2^2" --start 1,-2 --format latex',
    )

    CONFLICTS: ClassVar[Conflicts] = (("json_", "style"), ("quiet", "style"))

    algo: Optimizers = None
    step: Annotated[
        str, Flag("N,N-M"), Doc("Step numbers (starting at 1) and ranges, such as 2, 1-3 or 1,4-6")
    ] = "1"
    config: Source = None
    function: Function = None
    start: Start = None
    lr: LearningRate = None
    style: Annotated[
        Literal["text", "markdown", "latex"],
        Flag("FORMAT", names=("--format",)),
        Doc("text, markdown or latex"),
    ] = "text"
    quiet: Annotated[bool, QUIET, Doc("Print w after each step and nothing else")] = False

    def run(self, place: Place) -> "WorkedSteps":
        """The worked steps. UsageError for a step that does not exist, and where the config puts something around
        the optimizer.
        """
        steps, algo = _steps(self.step, self.flag("step")), self.arguments.get("algo")
        name = algo if isinstance(algo, str) else ""
        if name and name not in RULES and os.path.isfile((run := place.folder / name) / MANIFEST):
            raise UsageError(
                f"expected an optimizer or a config, got {shown(name)}; the run of that name is {run}"
            )
        config = chosen_config(self)
        require_bare(config, "explain")
        from optilab.optimize.path import worked_steps

        paths = (worked_steps(rule, config.function, config.start) for rule in config.algo)
        return WorkedSteps(
            [worked for path in paths for worked in islice(path, steps[-1]) if worked.t in steps], self.style
        )


def _steps(text: Any, flag: str) -> list[int]:
    """The steps of `2`, `1-3` or `1,4-6`, in ascending order."""
    steps = set[int]()
    for part in str(text).split(","):
        match = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if first > last:
            raise UsageError(f"expected FIRST <= LAST, got {part.strip()}", flag)
        if not 1 <= first <= last <= MAX_STEP:
            accepted = f"steps from 1 to {MAX_STEP:,}, such as 2, 1-3 or 1,4-6"
            raise UsageError(f"expected {accepted}, got {shown(text)}", flag)
        steps |= set(range(first, last + 1))
    if len(steps) > MAX_STEPS:
        raise UsageError(f"expected at most {MAX_STEPS} steps, got {len(steps):,}", flag)
    return sorted(steps)


@dataclass(frozen=True, repr=False)
class WorkedSteps(Answer):
    """The steps of an optimizer, or of several one after the other, each with its formula and its numbers."""

    steps: "Sequence[WorkedStep]"
    style: str

    @property
    def headline(self) -> str:
        return "; ".join(map(_title, self.steps))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each statement of each step."""
        return [
            {"algo": worked.rule.name, "step": worked.t, **line, "value": line["value"].tolist()}
            for worked in self.steps
            for line in _lines(worked)
        ]

    def __str__(self) -> str:
        return "\n".join(self.blocks())

    def blocks(self) -> Iterator[str]:
        """The calculation of each step, and on a quadratic, after the last step of each rule, why it overshoots."""
        style = STYLES[self.style]
        for number, worked in enumerate(self.steps):
            if number:
                yield ""
            yield from _written(worked, style)
            following = self.steps[number + 1 :]
            if not following or following[0].rule is not worked.rule:
                yield from map(style.sentence.format, _motion(worked))

    def document(self) -> dict[str, Any]:
        """The document of one step; of several, those of all as `results`."""
        facts = [_facts(worked) for worked in self.steps]
        return facts[0] if len(facts) == 1 else {"results": facts}

    def short(self) -> list[str]:
        """The points after the steps."""
        return [" ".join(map(repr, worked.result.tolist())) for worked in self.steps]


def _title(worked: "WorkedStep") -> str:
    return f"{worked.rule.name} on {worked.function.name}, step {worked.t}"


def _facts(worked: "WorkedStep") -> dict[str, Any]:
    return {
        "algo": worked.rule.name,
        "function": worked.function.name,
        "step": worked.t,
        "point": worked.point,
        "gradient": worked.gradient,
        "lines": _lines(worked),
        "result": worked.result,
        "difference": worked.difference,
    }


def _lines(worked: "WorkedStep") -> list[dict[str, Any]]:
    import numpy as np

    return [
        {"target": line.target, "formula": formulas.text(line.node), "value": np.ravel(line.value)}
        for line in worked.statements
    ]


# --- how it is written --------------------------------------------------------------------------------------


class Style(NamedTuple):
    """The notation of a calculation: templates, and `is_latex` for formulas in LaTeX."""

    title: str
    sentence: str
    statement: str
    value: str
    """Template of the name of a coordinate and an equation."""
    coordinate: str
    is_latex: bool = True
    begin: str = ""
    end: str = ""
    after: tuple[str, ...] = ()
    """Lines that follow a statement and its values."""

    def assignment(self, line: "EvaluatedStatement") -> str:
        """`V <- beta1*V + (1 - beta1)*g`; a value without a formula is its name alone."""
        target = self.symbol(line.target)
        if line.node == formulas.symbol(line.target):
            return target
        arrow = r"\leftarrow" if self.is_latex else "<-"
        return f"{target} {arrow if line.is_state else '='} {self.formula(line.node, self.symbol)}"

    def equation(self, name: str, equation: str) -> str:
        """The value for a coordinate."""
        return self.value.format(self.coordinate.format(self.symbol(name)) if name else "", equation)

    def formula(self, node: Node, leaf_text: Callable[[str], str]) -> str:
        return (formulas.latex if self.is_latex else formulas.text)(node, leaf_text)

    def symbol(self, name: str) -> str:
        """A name; in LaTeX as a mathematician writes it: beta1 is a beta with an index."""
        if not self.is_latex or name in _LETTERS:
            return _LETTERS[name] if self.is_latex else name
        letters = name.rstrip("0123456789")
        index = name[len(letters) :]
        words = letters.replace("_", r"\ ")
        base = f"\\{letters}" if letters in _GREEK else letters if len(letters) == 1 else rf"\mathrm{{{words}}}"
        return f"{base}_{{{index}}}" if index else base

    def number(self, value: float) -> str:
        mantissa, e, exponent = digits(float(value), 9).partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e and self.is_latex else mantissa + e + exponent


_LETTERS = {"lr": r"\eta", "eps": r"\varepsilon", "decay": r"\rho", "rho": r"\rho", "weight_decay": r"\lambda"}
_GREEK = {"alpha", "beta", "gamma", "nu", "mu"}
STYLES: Mapping[str, Style] = {
    "text": Style("{}", "{}", "{}", "    {:3} {}", "{}", is_latex=False),
    "latex": Style(
        "% {}", "% {}", r"& {} \\", r"& {}{} \\", r"{}:\quad ", begin=r"\begin{align*}", end=r"\end{align*}"
    ),
    "markdown": Style("### {}", "\n{}", "$${}$$\n", "- {}${}$", "${}$: ", after=("",)),
}

# --- the calculation ----------------------------------------------------------------------------------------


def _written(worked: "WorkedStep", style: Style) -> Iterator[str]:
    yield style.title.format(_title(worked))
    sentences = [settings_text(worked.rule)]
    if not isinstance(worked.rule, FormulaRule):  # whose name it is
        formula = worked.rule.formula
        sentences.append(f"`{formula}`" if style is STYLES["markdown"] and "<-" in formula else formula)
    if worked.function.name == "expression" and (typed := formulas.spelled_coordinates(worked.function.formula)):
        sentences.append(typed)
    yield from map(style.sentence.format, sentences)
    yield style.begin
    for line in (_value("w", worked.point), *_gradient(worked), *worked.statements):
        yield from _line(line, style)
    if style.end:
        yield style.end
    end = ", ".join(f"{value:.9g}" for value in worked.result)
    yield style.sentence.format(f"w after step {worked.t}: ({end})")


def _motion(worked: "WorkedStep") -> Iterator[str]:
    """The motion along the directions of a quadratic; of an adaptive rule while its states stay as they are."""
    from optilab.optimize import theory

    rule, frozen, begin = worked.rule, None, ""
    if theory.is_adaptive(rule):
        states = {line.target: line.value for line in worked.statements if line.is_state and line.target != "w"}
        frozen = theory.frozen_step(rule, states, worked.t)
        held = theory.memory_of(rule)
        begin = f"while {listed(held)} {'stays as it is' if len(held) == 1 else 'stay as they are'}, "
    for sentence in motion_sentences(theory.motions(rule, worked.function, frozen)):
        yield f"{begin}{sentence}"


def _value(name: str, value: Any) -> "EvaluatedStatement":
    from optilab.optimize.path import EvaluatedStatement

    return EvaluatedStatement(name, formulas.symbol(name), {name: value}, value, is_state=False)


def _gradient(worked: "WorkedStep") -> "Iterator[EvaluatedStatement]":
    """The gradient: each partial derivative with the numbers put in, where the function's formula can be read."""
    from optilab.optimize.path import EvaluatedStatement

    names = [f"w{i + 1}" for i in range(len(worked.point))]
    known: dict[str, Any] = {name: float(w) for name, w in zip(names, worked.point, strict=True)}
    known |= {key: value for key, value in vars(worked.function).items() if isinstance(value, float | int)}
    try:
        tree = formulas.parse(worked.function.formula)
    except UsageError:
        yield _value("g", worked.gradient)
        return
    for i, name in enumerate(names):
        slope = formulas.derivative(tree, name)
        if formulas.symbols(slope) <= set(known):
            yield EvaluatedStatement(f"g{i + 1}", slope, known, float(worked.gradient[i]), is_state=False)


def _line(line: "EvaluatedStatement", style: Style) -> Iterator[str]:
    """A statement, and its value for each coordinate."""
    import numpy as np

    yield style.statement.format(style.assignment(line))
    value = np.atleast_1d(line.value)
    becomes = r" \to " if style.is_latex else " -> "
    renewed = line.is_state and line.node == formulas.symbol(line.target)  # by code without a formula
    known = dict(line.known)
    with np.errstate(all="ignore"):
        node = _joint_parts_evaluated(line.node, known)
    value_alone = value.ndim > 1 or node.op in ("symbol", "number")
    for i, result in enumerate(value.ravel()):

        def number(symbol: str, i: int = i) -> str:
            numbers = np.ravel(known[symbol])
            text = style.number(float(numbers[i if numbers.size > 1 else 0]))
            return f"({text})" if text.startswith("-") else text

        numbers = f"{number(line.target).strip('()')}{becomes}" if renewed else ""
        numbers = numbers if value_alone else f"{style.formula(node, number)} = "
        yield style.equation(f"w{i + 1}" if value.size > 1 else "", numbers + style.number(float(result)))
    yield from style.after


def _joint_parts_evaluated(node: Node, known: dict[str, Any]) -> Node:
    """The expression with a symbol for each function of all coordinates, such as `norm(g)`; its value joins `known`."""
    if not node.args or OPERATIONS[node.op].size is None:
        return Node(node.op, tuple(_joint_parts_evaluated(child, known) for child in node.args), node.value)
    part = formulas.symbol(formulas.text(node))
    known[part.value] = evaluate(node, known)
    return part


COMMAND = Explain
