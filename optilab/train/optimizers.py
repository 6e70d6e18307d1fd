"""The algorithms of `optilab.optimize`, mapped to torch.optim.

Where torch.optim has the rule in the asked form, it runs as torch itself would run it: a fused kernel rounds
otherwise, and two epochs of Adam make a percent of accuracy of that (plain SGD's alone is equal to the bit). Every
other rule or form runs its own NumPy lines on tensors, through `RuleOptimizer`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch

from optilab.optimize import ALGORITHMS, Algorithm
from optilab.optimize.algorithms.adam import Adam, AdamW, NAdam, RAdam
from optilab.optimize.algorithms.adaptive import Adadelta, Adagrad, RMSProp
from optilab.optimize.algorithms.momentum import SGD, Momentum, Nesterov
from optilab.optimize.algorithms.second_moment import Adamax, Adopt, AMSGrad

Parameters = Iterable[torch.nn.Parameter]


class RuleOptimizer(torch.optim.Optimizer):
    """Runs an update rule of `optilab.optimize` on the parameters of a network, all of them as one vector.

    So a rule that looks at all coordinates at once sees them all, and any other is a few operations instead of a
    few per parameter. The state is a plain dict under the first parameter: a checkpoint holds tensors and numbers.
    """

    def __init__(self, parameters: Parameters, rule: Algorithm, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": getattr(rule, "lr", 1.0), "weight_decay": weight_decay})
        self.rule: Any = rule
        self._state_of = type(rule.init(torch.zeros(1)))

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        parameters = group["params"]
        gradient = torch.cat([parameter.grad.flatten() for parameter in parameters])
        if group["weight_decay"]:
            gradient += group["weight_decay"] * self._point(parameters)
        scheduled = group["lr"] != self.defaults["lr"]
        rule = replace(self.rule, lr=group["lr"]) if scheduled else self.rule
        kept = self.state[parameters[0]]
        state = self._state_of(**kept) if kept else rule.init(self._point(parameters))
        step, state = rule.update(gradient, state)
        kept.update(state._asdict())
        parts = step.split([parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.add_(part.view_as(parameter))

    def _point(self, parameters: list[torch.nn.Parameter]) -> torch.Tensor:
        return torch.cat([parameter.flatten() for parameter in parameters])


class AdoptOptimizer(torch.optim.Optimizer):
    """ADOPT in the operations of its authors' optimizer (github.com/iShohei220/adopt), which users of torch run.

    The rule's own lines round otherwise, and ADOPT divides tiny gradients by tinier ones: where all layers are
    sigmoids, percents of accuracy after one epoch come from the last bit.
    """

    def __init__(self, parameters: Parameters, rule: Adopt, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": rule.lr, "weight_decay": weight_decay})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        for parameter in group["params"]:
            gradient, kept = parameter.grad, self.state[parameter]
            if group["weight_decay"]:
                gradient = gradient.add(parameter, alpha=group["weight_decay"])
            if not kept:
                kept.update(steps=1, mean=torch.zeros_like(parameter), mean_square=gradient * gradient)
                continue
            ratio = gradient / kept["mean_square"].sqrt().clamp(self.rule.eps)
            if self.rule.clip:
                limit = kept["steps"] ** 0.25
                ratio.clamp_(-limit, limit)
            kept["mean"].lerp_(ratio, 1 - self.rule.beta1)
            parameter.add_(kept["mean"], alpha=-group["lr"])
            kept["mean_square"].mul_(self.rule.beta2).addcmul_(gradient, gradient, value=1 - self.rule.beta2)
            kept["steps"] += 1


def _adopt(rule: Adopt, params: Parameters, weight_decay: float) -> torch.optim.Optimizer:
    return AdoptOptimizer(params, rule, weight_decay)


def _sgd(rule: SGD, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(lr=rule.lr, fused=True, **options)


def _momentum(rule: Momentum, **options: Any) -> torch.optim.Optimizer | None:
    if rule.form != "classic":
        return None
    return torch.optim.SGD(lr=rule.lr, momentum=rule.beta, **options)


def _nesterov(rule: Nesterov, **options: Any) -> torch.optim.Optimizer | None:
    if rule.form != "classic":
        return None
    return torch.optim.SGD(lr=rule.lr, momentum=rule.beta, nesterov=True, **options)


def _rmsprop(rule: RMSProp, **options: Any) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "outside" or rule.initial_accumulator:
        return None
    return torch.optim.RMSprop(
        lr=rule.lr,
        alpha=rule.decay,
        eps=rule.eps,
        centered=rule.centered,
        momentum=rule.momentum,
        **options,
    )


def _adagrad(rule: Adagrad, **options: Any) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "outside":
        return None
    return torch.optim.Adagrad(
        lr=rule.lr,
        lr_decay=rule.lr_decay,
        initial_accumulator_value=rule.initial_accumulator,
        eps=rule.eps,
        **options,
    )


def _adadelta(rule: Adadelta, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.Adadelta(lr=rule.lr, rho=rule.rho, eps=rule.eps, **options)


def _adam(rule: Adam, **options: Any) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "outside":
        return None
    return torch.optim.Adam(**_adams(rule), **options)


def _amsgrad(rule: AMSGrad, **options: Any) -> torch.optim.Optimizer | None:
    if rule.largest != "raw" or rule.eps_placement != "outside":
        return None
    return torch.optim.Adam(**_adams(rule), amsgrad=True, **options)


def _adamw(rule: AdamW, params: Parameters, weight_decay: float) -> torch.optim.Optimizer | None:
    # torch's has one decay, the rule's own; the other one goes through the gradient.
    if rule.eps_placement != "outside" or weight_decay:
        return None
    return torch.optim.AdamW(params, **_adams(rule), weight_decay=rule.weight_decay)


def _adamax(rule: Adamax, **options: Any) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "inside":
        return None
    return torch.optim.Adamax(**_adams(rule), **options)


def _nadam(rule: NAdam, **options: Any) -> torch.optim.Optimizer | None:
    if rule.form != "schedule":
        return None
    return torch.optim.NAdam(**_adams(rule), momentum_decay=rule.momentum_decay, **options)


def _radam(rule: RAdam, **options: Any) -> torch.optim.Optimizer | None:
    if rule.eps_placement != "uncorrected":
        return None
    return torch.optim.RAdam(**_adams(rule), **options)


def _adams(rule: Adam | AMSGrad | Adamax | NAdam | RAdam) -> dict[str, Any]:
    return {"lr": rule.lr, "betas": (rule.beta1, rule.beta2), "eps": rule.eps}


_NATIVE: dict[type[Any], Callable[..., torch.optim.Optimizer | None]] = {
    SGD: _sgd,
    Momentum: _momentum,
    Nesterov: _nesterov,
    RMSProp: _rmsprop,
    Adagrad: _adagrad,
    Adadelta: _adadelta,
    Adam: _adam,
    AdamW: _adamw,
    AMSGrad: _amsgrad,
    Adamax: _adamax,
    NAdam: _nadam,
    RAdam: _radam,
    Adopt: _adopt,
}


def build(parameters: Parameters, rule: Algorithm, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """The torch optimizer that follows `rule`: torch's own where it has this form, else the rule itself.

    `weight_decay` times the weights is added to their gradient, whatever the rule then makes of it.
    """
    assert rule.name in ALGORITHMS
    parameters = list(parameters)
    native = _NATIVE.get(type(rule))
    torchs = native and native(rule, params=parameters, weight_decay=weight_decay)
    return torchs or RuleOptimizer(parameters, rule, weight_decay)
