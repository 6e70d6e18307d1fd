"""Update rules in other programs: torch.optim, optax, pytorch_optimizer, SciPy, or their equations written again.

A text such as "Adam({w, lr=lr, eps=eps, }amsgrad=True)" is both printed and evaluated; what stands in braces is left
out where it is printed. Its names are those of the library and the settings of the rule; `w` are the weights (of a
test function one vector), and `t` is the number of the step, from 1.
"""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from itertools import islice
from math import sqrt
from typing import Any

import numpy as np

from optilab.optimize import Objective, descend
from optilab.optimize.functions import Expression
from optilab.optimize.objective import Floats
from optilab.optimize.path import worked_steps
from optilab.verify.compare import MatrixProblem

STEPS = 100
SHAPES = ((5, 3), (3, 4), (4,))


class FunctionProblem:
    """A test function: its point is the only weight."""

    def __init__(self, function: Objective) -> None:
        self.function = function
        self.start = [np.array(function.start)]

    def gradient(self, weights: Sequence[Floats]) -> list[Floats]:
        return [self.function.gradient(weights[0])]

    def follow(self, rule: Any) -> Floats:
        """The points that the rule visits, (T+1, d)."""
        return descend(rule, self.function, steps=STEPS).points


class Matrices(MatrixProblem):
    """Two matrices and a bias."""

    def __init__(self) -> None:
        super().__init__(0, SHAPES)

    def follow(self, rule: Any) -> Floats:
        """The weights that the rule visits, (T+1, numbers of all weights), on tensors, as in training."""
        import torch

        weights = [torch.from_numpy(w.copy()) for w in self.start]
        parts = rule.for_weights(SHAPES)
        states = [part.init(w) for part, w in zip(parts, weights, strict=True)]
        points = [_joined(weights)]
        for t in range(1, STEPS + 1):
            for n, gradient in enumerate(self.gradient([w.numpy() for w in weights])):
                weights[n], states[n] = parts[n].step(weights[n], torch.from_numpy(gradient), t, states[n])
            points.append(_joined(weights))
        return np.stack(points)


Problem = FunctionProblem | Matrices


@dataclass(frozen=True)
class Reference:
    """A rule in another program: what to write there, and the path of a rule's counterpart there, (T+1, numbers)."""

    text: str
    path: Callable[[Any, Any], Floats]


def in_torch(text: str, printed: str = "", module: str = "torch.optim") -> Reference:
    """Reference to the torch optimizer `text`, or to several, each for some of the weights.

    `printed`: instead of the text. Options with `t` are set again before every step.
    """

    def path(rule: Any, problem: Problem) -> Floats:
        import torch

        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default type
        try:
            weights = [torch.tensor(w) for w in problem.start]
            if module == "pytorch_optimizer" and isinstance(problem, FunctionProblem):
                weights = [w.view(1, -1) for w in weights]  # it leaves vectors out of some rules
            for w in weights:
                w.requires_grad_()
            shapes = [w.shape for w in problem.start]
            names = {**vars(import_module(module)), "with_constants": _with_constants, **_settings(rule)}
            made = eval(code, names | {"w": weights, "t": 1})
            optimizers = made if isinstance(made, tuple) else (made,)
            points = [_joined(weights)]
            for t in range(1, STEPS + 1):
                here = [w.detach().numpy().reshape(shape) for w, shape in zip(weights, shapes, strict=True)]
                for w, gradient in zip(weights, problem.gradient(here), strict=True):
                    w.grad = torch.from_numpy(gradient).view_as(w)
                if "t" in code.co_names:
                    options = eval(code, names | {kind: lambda weights, **options: options, "w": weights, "t": t})
                    optimizers[0].param_groups[0].update(options)
                more = {}
                if "diagonal" in rule.needs:
                    diagonal = torch.from_numpy(problem.function.hessian(here[0]).diagonal().copy())  # type: ignore[union-attr]
                    more["hessian"] = [diagonal.view_as(weights[0])] if (t - 1) % rule.interval == 0 else None
                for optimizer in optimizers:
                    optimizer.step(**more)
                points.append(_joined(weights))
        finally:
            torch.set_default_dtype(usual)
        return np.stack(points)

    code, kind = _code(text), text.partition("(")[0]
    return Reference(f"{module}.{printed or _printed(text)}", path)


def in_pytorch_optimizer(text: str, printed: str = "") -> Reference:
    """Reference to the optimizer `text` of that package; as `in_torch`."""
    return in_torch(text, printed, "pytorch_optimizer")


def in_optax(text: str, printed: str = "", updates: int = 1, transposed: bool = False) -> Reference:
    """Reference to the optax transformation `text`.

    `updates`: of the transformation in one step. `transposed`: matrices are passed as (inputs, outputs), as that
    library's layers have them.
    """

    def path(rule: Any, problem: Problem) -> Floats:
        transformation, update = _transformation(text, rule)
        import jax
        import optax

        def turned(weights: Sequence[Any]) -> list[Any]:
            return [jax.numpy.asarray(w.T if transposed else w, dtype=np.float64) for w in weights]

        with jax.enable_x64(True):
            weights: Any = turned(problem.start)
            if text.startswith("lookahead"):  # of a fast and a slow point
                weights = optax.LookaheadParams.init_synced(weights)
            state = transformation.init(weights)
            points = [_joined(problem.start)]
            for _ in range(STEPS):
                for _ in range(updates):
                    here = [np.array(w) for w in turned(getattr(weights, "fast", weights))]
                    more = {
                        name: find(problem, here)
                        for need, (name, find) in _QUANTITIES.items()
                        if need in rule.needs
                    }
                    steps, state = update(turned(problem.gradient(here)), state, weights, **more)
                    weights = optax.apply_updates(weights, steps)
                points.append(_joined(turned(getattr(weights, "fast", weights))))
            return np.stack(points)

    return Reference(f"optax.{printed or _printed(text)}", path)


@cache
def _transformation(text: str, rule: Any) -> tuple[Any, Any]:
    """The optax transformation and its compiled update."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jax warns about its own parts
        import jax
        import optax
        from optax import contrib

    own = {"contrib": contrib, "mixture": _mixture, "exact_diagonal": _exact_diagonal, "added": _added}
    with jax.enable_x64(True):
        transformation = eval(_code(text), {**vars(optax), **own, **_settings(rule)})
        return transformation, jax.jit(transformation.update)


def _code(text: str) -> Any:
    return compile(re.sub("[{}]", "", text).replace("^", "**"), text, "eval")


def _printed(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "", text)


def _settings(rule: Any) -> dict[str, Any]:
    return {"sqrt": sqrt} | {field.name: getattr(rule, field.name) for field in fields(rule)}


def _joined(weights: Sequence[Any]) -> Floats:
    """All weights as one vector."""
    return np.concatenate([np.array(w.detach().numpy() if hasattr(w, "detach") else w).ravel() for w in weights])


def _with_constants(kind: Any, **constants: Any) -> Any:
    """The class with other values of its constants."""
    return type(kind.__name__, (kind,), constants)


_QUANTITIES: Mapping[str, tuple[str, Callable[[Any, Sequence[Floats]], Any]]] = {
    "f": ("value", lambda problem, weights: problem.function.value(weights[0])),
    "diagonal": (
        "hessian_diagonal",
        lambda problem, weights: problem.function.hessian(weights[0]).diagonal().copy(),
    ),
}
"""The arguments of optax for what a rule may need besides gradients."""


def _exact_diagonal() -> Any:
    """The diagonal of the Hessian that is passed to every update, in the place of an estimate."""
    import optax

    def exact(updates: Any, state: Any, params: Any = None, *, hessian_diagonal: Any) -> Any:
        return [hessian_diagonal], state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), exact)


def _added(amount: float) -> Any:
    """What adds the amount to every entry of an update."""
    import jax

    return lambda updates, params: jax.tree.map(lambda update: update + amount, updates)


def _mixture(nu: float, beta: float) -> Any:
    """(1 - nu) of the gradient and nu of its moving average."""
    import jax
    import optax

    average = optax.ema(beta, debias=False)

    def update(gradient: Any, state: Any, params: Any = None) -> Any:
        mean, state = average.update(gradient, state)
        return jax.tree.map(lambda g, m: (1 - nu) * g + nu * m, gradient, mean), state

    return optax.GradientTransformation(average.init, update)


class DelayedByOneStep:
    """A rule whose every step is taken one gradient later, unless the sign changes then: optax's Rprop."""

    needs = ()
    text = ""
    weights = "joined"

    def __init__(self, rule: Any) -> None:
        self.rule, self.name = rule, f"{rule.name} one late"

    def init(self, w: Floats) -> Any:
        return self.rule.init(w), np.zeros_like(w)

    def step(self, w: Floats, g: Floats, t: int, state: Any) -> Any:
        state, waiting = state
        after, state = self.rule.step(w, g, t, state)
        step = after - w
        return w + np.where(step == 0, 0.0, waiting), (state, step)


def _executed(rule: Any, problem: FunctionProblem) -> Floats:
    steps = islice(worked_steps(rule, problem.function), STEPS)
    return np.stack([*problem.start, *(step.result for step in steps)])


def _barzilai_borwein(rule: Any, problem: FunctionProblem) -> Floats:
    """Summed in NumPy's order, because the method amplifies every rounding error."""
    (w,) = problem.start
    before = problem.function.gradient(w)
    step: Floats = -0.01 * before
    points, length = [w, w + step], 0.01
    while len(points) <= STEPS:
        gradient = problem.function.gradient(points[-1])
        change = gradient - before
        if (step * change).sum() > 0:
            above, below = (step, step * change) if rule.form == "long" else (change, change * change)
            length = float((step * above).sum() / below.sum())
        step, before = -length * gradient, gradient
        points.append(points[-1] + step)
    return np.stack(points)


def _newton(rule: Any, problem: FunctionProblem) -> Floats:
    """With the Hessian of the printed formula, differentiated symbol by symbol."""
    function, (w,) = problem.function, problem.start
    fixed = re.sub(r"\b[ab]\b", lambda name: f"{getattr(function, name[0]):g}", function.formula)
    hessian, points = Expression(fixed).hessian, [w]
    for _ in range(STEPS):
        matrix = hessian(w)
        if rule.name == "damped-newton":
            matrix = matrix + (rule.damping + max(0.0, -np.linalg.eigvalsh(matrix)[0])) * np.eye(len(w))
        w = w - np.linalg.solve(matrix, function.gradient(w))
        points.append(w)
    return np.stack(points)


def _shampoo(rule: Any, problem: Matrices) -> Floats:
    from scipy.linalg import fractional_matrix_power

    weights = [w.copy() for w in problem.start]
    sums = [[rule.eps * np.eye(length) for length in w.shape] for w in weights]
    powers: list[list[Floats]] = [[] for _ in weights]
    points = [_joined(weights)]
    for t in range(STEPS):
        for n, g in enumerate(problem.gradient(weights)):
            for axis, side in enumerate((g, g.T) if g.ndim == 2 else (g[:, None],)):
                sums[n][axis] += side @ side.T
            if t % rule.interval == 0:
                kept = [np.diag(np.diag(s)) if len(s) > rule.largest_side else s for s in sums[n]]
                powers[n] = [np.real(fractional_matrix_power(s, -0.5 / g.ndim)) for s in kept]
            weights[n] -= rule.lr * (powers[n][0] @ g @ powers[n][1] if g.ndim == 2 else powers[n][0] @ g)
        points.append(_joined(weights))
    return np.stack(points)


FORMULA = Reference("its printed formula, executed", _executed)
BARZILAI_BORWEIN = Reference("the paper's equations", _barzilai_borwein)
NEWTON = Reference("numpy.linalg.solve, Hessian of the formula", _newton)
SHAMPOO = Reference("the paper's equations, scipy.linalg.fractional_matrix_power", _shampoo)


def scipy_minimize(method: str, **options: Any) -> Reference:
    """The path of SciPy's minimizer: its result after 0, 1, 2, ... iterations."""

    def path(rule: Any, problem: FunctionProblem) -> Floats:
        from scipy.optimize import minimize

        function, points = problem.function, list(problem.start)
        for t in range(1, STEPS + 1):
            options_now = {"gtol": 1e-12, "maxiter": t, **options}
            end = minimize(function.value, points[0], jac=function.gradient, method=method, options=options_now)
            points.append(end.x)
            if end.nit < t:
                break
        return np.stack([*points, *[points[-1]] * (STEPS + 1 - len(points))])

    return Reference(f'scipy.optimize.minimize(method="{method}", maxiter=t)', path)
