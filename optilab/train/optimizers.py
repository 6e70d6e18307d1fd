"""The algorithms of `optilab.optimize`, mapped to torch.optim.

Where torch.optim has the rule in the asked form, its (fused) version runs; every other rule or form runs its own
NumPy lines on tensors, through `RuleOptimizer`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
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

    def __init__(self, parameters: Parameters, rule: Algorithm, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": getattr(rule, "lr", 1.0), "weight_decay": weight_decay})
        self.rule: Any = rule

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            scheduled = group["lr"] != self.defaults["lr"]
            rule = replace(self.rule, lr=group["lr"]) if scheduled else self.rule
            for parameter in group["params"]:
                if (gradient := parameter.grad) is None:
                    continue
                if group["weight_decay"]:
                    gradient = gradient + group["weight_decay"] * parameter
                state = rule.init(parameter)
                if self.state[parameter]:
                    state = type(state)(**self.state[parameter])
                step, state = rule.update(gradient, state)
                parameter.add_(step)
                self.state[parameter].update(state._asdict())


def _sgd(rule: SGD, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(lr=rule.lr, fused=True, **options)


def _momentum(rule: Momentum, **options: Any) -> torch.optim.Optimizer | None:
    if rule.form != "classic":
        return None
    return torch.optim.SGD(lr=rule.lr, momentum=rule.beta, fused=True, **options)


def _rmsprop(rule: RMSProp, **options: Any) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "outside":
        return None
    return torch.optim.RMSprop(
        lr=rule.lr,
        alpha=rule.decay,
        eps=rule.eps,
        centered=rule.centered,
        momentum=rule.momentum,
        **options,
    )


def _adam(rule: Adam, **options: Any) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "outside":
        return None
    return torch.optim.Adam(lr=rule.lr, betas=(rule.beta1, rule.beta2), eps=rule.eps, fused=True, **options)


_NATIVE: dict[type[Any], Callable[..., torch.optim.Optimizer | None]] = {
    SGD: _sgd,
    Momentum: _momentum,
    RMSProp: _rmsprop,
    Adam: _adam,
}


def build(rule: Algorithm, parameters: Parameters, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """The torch optimizer that follows `rule`: torch's own where it has this form, else the rule itself.

    `weight_decay` times the weights is added to their gradient, whatever the rule then makes of it.
    """
    assert rule.name in ALGORITHMS
    parameters = list(parameters)
    native = _NATIVE.get(type(rule))
    torchs = native and native(rule, params=parameters, weight_decay=weight_decay)
    return torchs or RuleOptimizer(parameters, rule, weight_decay)
