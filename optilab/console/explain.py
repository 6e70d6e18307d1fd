"""`optilab explain`: a worked step as text, Markdown or LaTeX."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optilab.errors import UsageError
from optilab.optimize import formula as formulas
from optilab.optimize.formula import Node
from optilab.optimize.own import OwnRule
from optilab.optimize.path import Line, WorkedStep
from optilab.show import terminal
from optilab.words import settings

_LETTERS = {"lr": r"\eta", "eps": r"\varepsilon", "decay": r"\rho", "rho": r"\rho", "weight_decay": r"\lambda"}
_GREEK = {"alpha", "beta", "gamma", "nu", "mu"}
_ACROSS = {"grad", "sum", "norm", "solve", "smallest"}
"""Functions of all coordinates at once: their numbers cannot be shown coordinate by coordinate."""


@dataclass(frozen=True)
class _Style:
    """How the parts of a calculation are written."""

    title: Callable[[str], str]
    begin: str
    step: Callable[[Line], str]
    put_in: Callable[[str, Line, str, str], str]
    """Of a coordinate's name, its line, the numbers and the result."""
    end: str = ""


def show(steps: Sequence[WorkedStep], style: str) -> None:
    """Each step: the calculation, then its difference from the run."""
    write = {"text": _TEXT, "markdown": _MARKDOWN, "latex": _LATEX}[style]
    for number, worked in enumerate(steps):
        if number:
            terminal.say()
        for line in _written(worked, write, style):
            terminal.say(line)


def document(steps: Sequence[WorkedStep]) -> dict[str, Any]:
    """The steps as `--json` prints them: the facts of one, or of several a list."""
    facts = [_facts(worked) for worked in steps]
    return facts[0] if len(facts) == 1 else {"results": facts}


def _facts(worked: WorkedStep) -> dict[str, Any]:
    return {
        "algo": worked.rule.name,
        "function": worked.function.name,
        "step": worked.step,
        "point": worked.point,
        "gradient": worked.gradient,
        "lines": [
            {"target": line.target, "formula": formulas.text(line.node), "value": np.ravel(line.value)}
            for line in worked.lines
        ],
        "result": worked.result,
        "difference": worked.difference,
    }


def _written(worked: WorkedStep, write: _Style, style: str) -> Iterator[str]:
    yield write.title(f"{worked.rule.name} on {worked.function.name}, step {worked.step}")
    yield from _quiet(settings(worked.rule), style)
    yield from _quiet(worked.rule.formula, style)
    yield write.begin
    for line in (_given(worked, "w", worked.point), *_gradient(worked)):
        yield from _line(line, write, style)
    for line in worked.lines:
        yield from _line(line, write, style)
    if not worked.lines:
        yield from _states(worked)
    if write.end:
        yield write.end
    end = ", ".join(map(_number, worked.result))
    yield from _quiet(f"w after step {worked.step}: ({end})", style)
    if worked.lines:
        gap = f"differs by {worked.difference:.0e} at most" if worked.difference else "no difference"
        yield from _quiet(f"checked against the run, step by step: {gap}", style)


def _quiet(sentence: str, style: str) -> Iterator[str]:
    """A sentence beside the calculation; in LaTeX a comment."""
    if style == "markdown":
        yield ""
    if style == "latex":
        yield f"% {sentence}"
    else:
        yield f"`{sentence}`" if style == "markdown" and "<-" in sentence else sentence


def _given(worked: WorkedStep, name: str, value: Any) -> Line:
    return Line(name, formulas.symbol(name), {name: value}, value, renews=False)


def _gradient(worked: WorkedStep) -> Iterator[Line]:
    """The gradient: each partial derivative with the numbers put in, where the function's formula can be read."""
    names = [f"w{i + 1}" for i in range(len(worked.point))]
    known: dict[str, Any] = {name: float(w) for name, w in zip(names, worked.point, strict=True)}
    known |= {key: value for key, value in vars(worked.function).items() if isinstance(value, float | int)}
    try:
        tree = formulas.parse(worked.function.formula)
    except UsageError:
        yield _given(worked, "g", worked.gradient)
        return
    for i, name in enumerate(names):
        slope = formulas.derivative(tree, name)
        if formulas.symbols(slope) <= set(known):
            yield Line(f"g{i + 1}", slope, known, float(worked.gradient[i]), renews=False)


def _line(line: Line, write: _Style, style: str) -> Iterator[str]:
    yield write.step(line)
    value = np.atleast_1d(line.value)
    across = bool(_operations(line.node) & _ACROSS) or value.ndim > 1
    for i, result in enumerate(value.ravel()):
        name = f"w{i + 1}" if value.size > 1 else ""

        def shown(symbol: str, i: int = i) -> str:
            known = np.asarray(line.known[symbol])
            if known.ndim > 1:
                return symbol
            number = _number(float(known.ravel()[i if known.size > 1 else 0]), style)
            return f"({number})" if number.startswith("-") else number

        numbers = "" if across else _numbers(line.node, shown, style)
        yield write.put_in(name, line, numbers, _number(float(result), style))
    if style == "markdown":
        yield ""


def _numbers(node: Node, shown: Callable[[str], str], style: str) -> str:
    if node.op in ("symbol", "number"):
        return ""
    return formulas.text(node, shown) if style == "text" else formulas.latex(node, shown)


def _operations(node: Node) -> set[str]:
    return {node.op}.union(*(_operations(child) for child in node.args))


def _number(value: float, style: str = "text") -> str:
    digits, e, exponent = f"{value:.9g}".partition("e")
    if not e or style == "text":
        return digits + e + exponent
    return rf"{digits} \cdot 10^{{{int(exponent)}}}"


def _symbol(name: str) -> str:
    """A name as a mathematician writes it: beta1 is a beta with an index."""
    if name in _LETTERS:
        return _LETTERS[name]
    letters = name.rstrip("0123456789")
    index = name[len(letters) :]
    base = f"\\{letters}" if letters in _GREEK else letters if len(letters) == 1 else _words(letters)
    return f"{base}_{{{index}}}" if index else base


def _words(name: str) -> str:
    return r"\mathrm{%s}" % name.replace("_", r"\ ")  # noqa: UP031  braces


def _states(worked: WorkedStep) -> Iterator[str]:
    own = worked.rule if isinstance(worked.rule, OwnRule) else None
    for when, state in (("before", worked.state), ("after", worked.next_state)):
        for name, value in (own.remembered(state) if own else state._asdict()).items():
            if isinstance(value, tuple):  # of all points that SciPy went through
                continue
            yield f"{name} {when}: {value}"


def _arrow(line: Line) -> str:
    return "<-" if line.renews else "="


def _text_step(line: Line) -> str:
    itself = line.node == formulas.symbol(line.target)
    return line.target if itself else f"{line.target} {_arrow(line)} {formulas.text(line.node)}"


def _text_numbers(name: str, line: Line, numbers: str, result: str) -> str:
    return f"    {name:3} {numbers + ' = ' if numbers else ''}{result}"


def _math_step(line: Line) -> str:
    itself = line.node == formulas.symbol(line.target)
    arrow = r"\leftarrow" if line.renews else "="
    return (
        _symbol(line.target) if itself else f"{_symbol(line.target)} {arrow} {formulas.latex(line.node, _symbol)}"
    )


def _latex_numbers(name: str, line: Line, numbers: str, result: str) -> str:
    where = rf"{_symbol(name)}:\quad " if name else ""
    return rf"& {where}{numbers + ' = ' if numbers else ''}{result} \\"


_TEXT = _Style(lambda title: title, "", _text_step, _text_numbers)
_MARKDOWN = _Style(
    lambda title: f"### {title}",
    "",
    lambda line: f"$${_math_step(line)}$$\n",
    lambda name, line, numbers, result: (
        f"- {f'${_symbol(name)}$: ' if name else ''}${numbers + ' = ' if numbers else ''}{result}$"
    ),
)
_LATEX = _Style(
    lambda title: f"% {title}",
    r"\begin{align*}",
    lambda line: rf"& {_math_step(line)} \\",
    _latex_numbers,
    r"\end{align*}",
)
