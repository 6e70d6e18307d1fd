"""The path of an update rule in another program: torch.optim, optax, SciPy, or its equations written again."""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from optilab.optimize import Objective
from optilab.optimize.objective import Expression, Floats
from optilab.optimize.path import worked_steps

STEPS = 100

Path = Callable[[Any], Floats]  # from a test function, or from a problem of matrices


@dataclass(frozen=True)
class Reference:
    """A rule in another program: what to write there, and its path, (T+1, d)."""

    text: str
    path: Path


def in_torch(
    text: str, each_step: Callable[[dict[str, Any], int], None] | None = None, note: str = "", **options: Any
) -> Any:
    """Reference to torch.optim.`text`; `each_step` may change the options before step t."""

    def build() -> Reference:
        import torch

        path = _torch_path(getattr(torch.optim, text), options, each_step)
        return Reference(f"torch.optim.{text}({_shown(options, note)})", path)

    return build


def in_pytorch_optimizer(text: str, constants: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """Reference to pytorch_optimizer.`text`, with other values of its class's `constants`.

    The point is a matrix of one row, because the package leaves vectors out of some rules.
    """

    def build() -> Reference:
        import pytorch_optimizer

        kind = type(text, (getattr(pytorch_optimizer, text),), dict(constants or {}))
        path = _torch_path(kind, options, rows=1)
        return Reference(f"pytorch_optimizer.{text}({_shown({**options, **(constants or {})})})", path)

    return build


def _shown(options: dict[str, Any], note: str = "") -> str:
    shown = [f"{key}={value}" for key, value in options.items() if key not in ("lr", "eps")]
    return ", ".join([note] * bool(note) + shown)


def _torch_path(
    kind: Any,
    options: dict[str, Any],
    each_step: Callable[[dict[str, Any], int], None] | None = None,
    rows: int = 0,
) -> Path:
    """The path of a torch optimizer in float64; with `rows`, the point is a matrix of so many."""
    import torch

    def path(function: Objective) -> Floats:
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default type
        try:
            start = torch.tensor(function.start)
            w = (start.view(rows, -1) if rows else start).requires_grad_()
            optimizer = kind([w], **options)
            points = [w.detach().numpy().ravel().copy()]
            for t in range(1, STEPS + 1):
                w.grad = torch.from_numpy(function.gradient(points[-1])).view_as(w)
                if each_step:
                    each_step(optimizer.param_groups[0], t)
                optimizer.step()
                points.append(w.detach().numpy().ravel().copy())
        finally:
            torch.set_default_dtype(usual)
        return np.stack(points)

    return path


def _diagonal(function: Objective, point: Floats) -> Floats:
    return function.hessian(point).diagonal().copy()


_QUANTITIES: Mapping[str, Callable[[Any, Floats], Any]] = {
    "value": lambda function, point: function.value(point),
    "diagonal": _diagonal,
}


def in_optax(text: str, make: Callable[[Any, Any], Any], needs: str = "") -> Any:
    """Reference to the optax transformation that `make(optax, optax.contrib)` builds.

    `needs`: the keyword of its update, besides gradient and point.
    """

    def build() -> Reference:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # jax warns about its own parts
            import jax
            import optax
            from optax import contrib

        with jax.enable_x64(True):
            transformation = make(optax, contrib)
            update = jax.jit(transformation.update)

        def path(function: Objective) -> Floats:
            with jax.enable_x64(True):
                w = jax.numpy.asarray(function.start, dtype=np.float64)
                state = transformation.init(w)
                points = [np.array(w)]
                for _ in range(STEPS):
                    gradient = jax.numpy.asarray(function.gradient(points[-1]))
                    more = {needs: _QUANTITIES[needs](function, points[-1])} if needs else {}
                    step, state = update(gradient, state, w, **more)
                    w = w + step
                    points.append(np.array(w))
                return np.stack(points)

        return Reference(f"optax.{text}", path)

    return build


def sophia_in_optax(lr: float, **options: Any) -> Any:
    """optax.contrib.sophia with the exact diagonal in the place of its estimate."""

    def make(optax: Any, contrib: Any) -> Any:
        def exact(updates: Any, state: Any, params: Any = None, *, diagonal: Any) -> Any:
            return diagonal, state

        diagonal = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), exact)
        return contrib.sophia(lr, hessian_diagonal_fn=diagonal, **options)

    return in_optax("contrib.sophia", make, needs="diagonal")


def sophia_in_pytorch_optimizer(interval: int, **options: Any) -> Any:
    """pytorch_optimizer.SophiaH, given the exact diagonal in every step that asks for one."""

    def build() -> Reference:
        import pytorch_optimizer
        import torch

        def path(function: Objective) -> Floats:
            w = torch.tensor(function.start, dtype=torch.float64, requires_grad=True)
            optimizer = pytorch_optimizer.SophiaH([w], update_period=interval, **options)
            points = [w.detach().numpy().copy()]
            for t in range(STEPS):
                w.grad = torch.from_numpy(function.gradient(points[-1]))
                renewed = t % interval == 0
                optimizer.step(hessian=[torch.from_numpy(_diagonal(function, points[-1]))] if renewed else None)
                points.append(w.detach().numpy().copy())
            return np.stack(points)

        return Reference(f"pytorch_optimizer.SophiaH({_shown(options)}, step(hessian=exact))", path)

    return build


def lookahead_path() -> Any:
    """optax.lookahead, which holds a pair of points and so cannot be built by `in_optax`."""

    def build() -> Reference:
        import jax
        import optax

        def path(function: Objective) -> Floats:
            with jax.enable_x64(True):
                transformation = optax.lookahead(optax.adam(0.02), sync_period=5, slow_step_size=0.5)
                pair = optax.LookaheadParams.init_synced(jax.numpy.asarray(function.start, dtype=np.float64))
                state = transformation.init(pair)
                update = jax.jit(transformation.update)
                points = [np.array(pair.fast)]
                for _ in range(STEPS):
                    step, state = update(jax.numpy.asarray(function.gradient(points[-1])), state, pair)
                    pair = optax.apply_updates(pair, step)
                    points.append(np.array(pair.fast))
                return np.stack(points)

        return Reference("optax.lookahead", path)

    return build


def sam_in_optax(lr: float, radius: float) -> Any:
    """optax.contrib.sam around adam, whose every second update is a step of the wrapped rule."""

    def build() -> Reference:
        import jax
        import optax
        from optax import contrib

        def path(function: Objective) -> Floats:
            with jax.enable_x64(True):
                ascent = optax.chain(contrib.normalize(), optax.sgd(radius))
                transformation = contrib.sam(optax.adam(lr, eps=1e-3), ascent)
                w = jax.numpy.asarray(function.start, dtype=np.float64)
                state = transformation.init(w)
                update = jax.jit(transformation.update)
                points = [np.array(w)]
                for _ in range(STEPS):
                    for _ in range(2):
                        step, state = update(jax.numpy.asarray(function.gradient(np.array(w))), state, w)
                        w = w + step
                    points.append(np.array(w))
                return np.stack(points)

        return Reference("optax.contrib.sam(adam)", path)

    return build


def mixture(optax: Any, nu: float, beta: float) -> Any:
    """(1 - nu) of the gradient and nu of its moving average."""
    average = optax.ema(beta, debias=False)

    def update(gradient: Any, state: Any, params: Any = None) -> Any:
        mean, state = average.update(gradient, state)
        return (1 - nu) * gradient + nu * mean, state

    return optax.GradientTransformation(average.init, update)


class OneLate:
    """A rule whose every step is taken one gradient later, unless the sign changes then: optax's Rprop."""

    needs = ()
    weights = "joined"

    def __init__(self, rule: Any) -> None:
        self.rule, self.name = rule, f"{rule.name} one late"

    def init(self, x: Floats) -> Any:
        return self.rule.init(x), np.zeros_like(x)

    def update(self, grad: Floats, state: Any) -> Any:
        state, waiting = state
        step, state = self.rule.update(grad, state)
        return np.where(step == 0, 0.0, waiting), (state, step)


def printed_formula(rule: Any) -> Any:
    """The text of the rule's formula, executed statement by statement."""

    def path(function: Objective) -> Floats:
        steps = islice(worked_steps(rule, function), STEPS)
        return np.stack([np.array(function.start), *(step.lines[-1].value for step in steps)])

    return lambda: Reference("its printed formula, executed", path)


def barzilai_borwein(size: str) -> Any:
    """The paper's two equations, summed in NumPy's order, because the method amplifies every rounding error."""

    def path(function: Objective) -> Floats:
        w = np.array(function.start)
        before = function.gradient(w)
        step: Floats = -0.01 * before
        points, length = [w, w + step], 0.01
        while len(points) <= STEPS:
            gradient = function.gradient(points[-1])
            change = gradient - before
            if (step * change).sum() > 0:
                above, below = (step, step * change) if size == "long" else (change, change * change)
                length = float((step * above).sum() / below.sum())
            step, before = -length * gradient, gradient
            points.append(points[-1] + step)
        return np.stack(points)

    return lambda: Reference("the paper's equations", path)


def newton(damping: float | None) -> Any:
    """numpy.linalg.solve with the Hessian of the printed formula, differentiated symbol by symbol."""

    def path(function: Objective) -> Floats:
        fixed = re.sub(r"\b[ab]\b", lambda name: f"{getattr(function, name[0]):g}", function.formula)
        hessian, w = Expression(fixed).hessian, np.array(function.start)
        points = [w]
        for _ in range(STEPS):
            matrix = hessian(w)
            if damping is not None:
                matrix = matrix + (damping + max(0.0, -np.linalg.eigvalsh(matrix)[0])) * np.eye(len(w))
            w = w - np.linalg.solve(matrix, function.gradient(w))
            points.append(w)
        return np.stack(points)

    return lambda: Reference("numpy.linalg.solve, Hessian of the formula", path)


def scipy_minimize(method: str, options: dict[str, Any]) -> Any:
    """The path of SciPy's minimizer: its result after 0, 1, 2, ... iterations."""

    def path(function: Objective) -> Floats:
        from scipy.optimize import minimize

        points = [np.array(function.start)]
        for t in range(1, STEPS + 1):
            options_now = {"gtol": 1e-12, "maxiter": t, **options}
            end = minimize(function.value, points[0], jac=function.gradient, method=method, options=options_now)
            points.append(end.x)
            if end.nit < t:
                break
        return np.stack([*points, *[points[-1]] * (STEPS + 1 - len(points))])

    return lambda: Reference(f'scipy.optimize.minimize(method="{method}", maxiter=t)', path)
