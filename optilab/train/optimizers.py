"""The algorithms of `optilab.optimize`, mapped to torch.optim.

Where torch.optim has the rule in the asked form, its (fused) version runs; every other rule or form runs its own
NumPy lines on tensors, through `RuleOptimizer`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from optilab.optimize import ALGORITHMS, Algorithm
from optilab.optimize.algorithms.adam import Adam
from optilab.optimize.algorithms.adaptive import RMSProp
from optilab.optimize.algorithms.momentum import SGD, Momentum

Parameters = Iterable[torch.nn.Parameter]


class RuleOptimizer(torch.optim.Optimizer):
    """Runs an update rule of `optilab.optimize` on the parameters of a network.

    The state is kept as a plain dict per parameter, so that a checkpoint holds nothing but tensors and numbers.
    """

    def __init__(self, parameters: Parameters, rule: Algorithm) -> None:
        super().__init__(parameters, {"lr": getattr(rule, "lr", 1.0)})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.rule.init(parameter)
                if self.state[parameter]:
                    state = type(state)(**self.state[parameter])
                step, state = self.rule.update(parameter.grad, state)
                parameter.add_(step)
                self.state[parameter].update(state._asdict())


def _sgd(rule: SGD, parameters: Parameters) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=rule.lr, fused=True)


def _momentum(rule: Momentum, parameters: Parameters) -> torch.optim.Optimizer | None:
    if rule.form != "classic":
        return None
    return torch.optim.SGD(parameters, lr=rule.lr, momentum=rule.beta, fused=True)


def _rmsprop(rule: RMSProp, parameters: Parameters) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "outside":
        return None
    return torch.optim.RMSprop(
        parameters,
        lr=rule.lr,
        alpha=rule.decay,
        eps=rule.eps,
        centered=rule.centered,
        momentum=rule.momentum,
    )


def _adam(rule: Adam, parameters: Parameters) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "outside":
        return None
    return torch.optim.Adam(parameters, lr=rule.lr, betas=(rule.beta1, rule.beta2), eps=rule.eps, fused=True)


_NATIVE: dict[type[Any], Callable[[Any, Parameters], torch.optim.Optimizer | None]] = {
    SGD: _sgd,
    Momentum: _momentum,
    RMSProp: _rmsprop,
    Adam: _adam,
}


def build(rule: Algorithm, parameters: Parameters) -> torch.optim.Optimizer:
    """The torch optimizer that follows `rule`: torch's own where it has this form, else the rule itself."""
    assert rule.name in ALGORITHMS
    parameters = list(parameters)
    native = _NATIVE.get(type(rule))
    return (native and native(rule, parameters)) or RuleOptimizer(parameters, rule)
