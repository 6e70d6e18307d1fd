"""The trajectories of optimizers here and in other libraries, in float64.

A problem is a list of functions, one of each weight: a test function, or functions of two matrices and a bias. A
trajectory is (STEPS + 1, numbers of all weights).
"""

from functools import cache, partial
from importlib import import_module
from math import sqrt

import numpy as np

from optilab.optimize import OBJECTIVES, descend
from optilab.verify.compare import matrix_functions
from tests.kit.contracts import follow
from tests.oracles.equations import STEPS

SHAPES = ((5, 3), (3, 4), (4,))
ON_VECTORS = [[OBJECTIVES[name]()] for name in ("ravine", "rosenbrock", "himmelblau")]
ON_MATRICES = [matrix_functions(0, SHAPES)]


def trajectory(rule, problem):
    """The points of a rule; on matrices of tensors, as in training."""
    if rule.weights != "matrices":
        return descend(rule, problem[0], steps=STEPS).points
    import torch

    def gradient(function):
        return lambda w: torch.from_numpy(function.gradient(w.numpy()))

    starts = [torch.from_numpy(function.start) for function in problem]
    rules = zip(rule.for_weights(SHAPES), problem, starts, strict=True)
    return joined(
        problem, zip(*(follow(part, gradient(f), start, STEPS) for part, f, start in rules), strict=True)
    )


def joined(problem, points):
    """The starts of a problem and the points after them, all weights in one row."""
    points = [[function.start for function in problem], *points]
    return np.stack([np.concatenate([np.ravel(w) for w in weights]) for weights in points])


def in_torch(module, call, rule, problem):
    """The points of an optimizer of torch, from torch.optim or another module."""
    import torch

    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in the default type
    weights = [torch.tensor(function.start) for function in problem]
    if module == "pytorch_optimizer" and rule.weights != "matrices":
        weights = [w.view(1, -1) for w in weights]  # it leaves vectors out of some rules

    library = import_module(module)
    names = {module: library, **vars(library), "sqrt": sqrt, **vars(rule), "w": weights}
    names |= {"matrices": [w for w in weights if w.ndim == 2], "biases": [w for w in weights if w.ndim == 1]}

    def optimizers(t):
        made = eval(call, {**names, "t": t})
        return made if isinstance(made, tuple) else (made,)

    def steps():
        running = optimizers(1)
        for t in range(1, STEPS + 1):
            for w, function in zip(weights, problem, strict=True):
                point = w.numpy().reshape(np.shape(function.start))
                w.grad = torch.from_numpy(function.gradient(point)).view_as(w)
            quantities = {}
            if "diagonal" in rule.needs:
                diagonal = torch.from_numpy(problem[0].hessian(point).diagonal().copy()).view_as(w)
                quantities["hessian"] = [diagonal] if (t - 1) % rule.interval == 0 else None
            for optimizer, now in zip(running, optimizers(t), strict=True):
                optimizer.param_groups[0].update(now.defaults)  # the options that depend on t
                optimizer.step(**quantities)
            yield [w.numpy().copy() for w in weights]

    return joined(problem, steps())


def in_optax(call, rule, problem):
    """The points of an optax transformation; its matrices are (inputs, outputs), as in that library's layers."""
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    optimizer, update = transformation(call, rule)

    def steps():
        weights = [jax.numpy.asarray(function.start).T for function in problem]
        if rule.name == "lookahead":
            weights = optax.LookaheadParams.init_synced(weights)  # a fast and a slow point
        state = optimizer.init(weights)
        updates = 2 if rule.name == "sam" else 1
        for number in range(1, STEPS * updates + 1):
            points = [np.array(w.T) for w in getattr(weights, "fast", weights)]
            gradients = [f.gradient(w).T for f, w in zip(problem, points, strict=True)]
            quantities = {}
            if "f" in rule.needs:
                quantities["value"] = problem[0].value(points[0])
            if "diagonal" in rule.needs:
                quantities["diagonal"] = problem[0].hessian(points[0]).diagonal().copy()
            changes, state = update(gradients, state, weights, **quantities)
            weights = optax.apply_updates(weights, changes)
            if number % updates == 0:
                yield [w.T for w in getattr(weights, "fast", weights)]

    return joined(problem, steps())


@cache
def transformation(call, rule):
    """The transformation that a call makes, and its compiled update."""
    import jax
    import optax
    from optax import contrib

    def exact_diagonal():
        """The diagonal of the Hessian that is passed to every update, in the place of an estimate."""
        return optax.GradientTransformationExtraArgs(
            lambda params: optax.EmptyState(), lambda d, state, params, *, diagonal: ([diagonal], state)
        )

    def mixture(nu, beta):
        """(1 - nu) of the gradient and nu of its moving average."""
        average = optax.ema(beta, debias=False)

        def update(gradient, state, w=None):
            mean, state = average.update(gradient, state)
            return jax.tree.map(lambda g, m: (1 - nu) * g + nu * m, gradient, mean), state

        return optax.GradientTransformation(average.init, update)

    names = {"contrib": contrib, "jax": jax, "mixture": mixture, "exact_diagonal": exact_diagonal}
    optimizer = eval(call, {**vars(optax), **names, **vars(rule)})
    return optimizer, jax.jit(optimizer.update)


def in_equations(equations, rule, problem):
    return joined(problem, zip(*(equations(rule, function) for function in problem), strict=True))


RUN = {
    "torch.optim": partial(in_torch, "torch.optim"),
    "optax": in_optax,
    "pytorch_optimizer": partial(in_torch, "pytorch_optimizer"),
    "equations": in_equations,
}
"""By the library: the trajectory of (call, rule, problem)."""
