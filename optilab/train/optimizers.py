"""The rules of `optilab.optimize` as torch optimizers.

Where torch.optim implements a rule in the requested form, torch's own optimizer is used with its default kernels. Only
plain SGD uses the fused kernel, which gives the same bits; Adam's fused kernel rounds differently, and after two epochs
that changes the accuracy by a percent. Every other rule or form runs its own NumPy code on tensors (`RuleOptimizer`).
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from optilab.optimize import ALGORITHMS, Algorithm
from optilab.optimize.algorithms.adam import Adam, AdamW, NAdam, RAdam
from optilab.optimize.algorithms.adaptive import Adadelta, Adagrad, RMSProp
from optilab.optimize.algorithms.momentum import SGD, Momentum, Nesterov
from optilab.optimize.algorithms.second_moment import Adamax, Adopt, AMSGrad

Parameters = Iterable[torch.nn.Parameter]


class EagerOptimizer(torch.optim.Optimizer):
    """An optimizer that does not load PyTorch's compiler.

    torch.optim wraps its methods for torch.compile, and the wrappers import the compiler when they are first called,
    which takes as long as `import torch`. Nothing here is ever compiled: the wrapped functions run by themselves.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


@cache
def eager(name: str) -> Any:
    """torch.optim.`name` as an `EagerOptimizer`: the same kernels, the same bits."""
    kind = getattr(torch.optim, name)
    # The wrapper around `step` also turns gradients off.
    return type(name, (EagerOptimizer, kind), {"step": torch.no_grad()(inspect.unwrap(kind.step))})


class RuleOptimizer(EagerOptimizer):
    """An update rule of `optilab.optimize` on all parameters of a network, joined to one vector.

    Rules that combine all coordinates need the whole vector, and for the others a step is a few tensor operations
    instead of a few per parameter. The state is stored under the first parameter, one entry per field of the rule's
    state, so a checkpoint contains only tensors and numbers.
    """

    def __init__(self, parameters: Parameters, rule: Algorithm, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": getattr(rule, "lr", 1.0), "weight_decay": weight_decay})
        self.rule: Any = rule
        self._state_of = type(rule.init(torch.zeros(1)))

    @property
    def state_names(self) -> tuple[str, ...]:
        """The entries of the state after a step."""
        names: tuple[str, ...] = self._state_of._fields
        return names

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        parameters = group["params"]
        gradient = torch.cat([parameter.grad.flatten() for parameter in parameters])
        if group["weight_decay"]:
            gradient += group["weight_decay"] * self._point(parameters)
        scheduled = group["lr"] != self.defaults["lr"]
        rule = replace(self.rule, lr=group["lr"]) if scheduled else self.rule
        entries = self.state[parameters[0]]
        state = self._state_of(**entries) if entries else rule.init(self._point(parameters))
        step, state = rule.update(gradient, state)
        entries.update(state._asdict())
        parts = step.split([parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.add_(part.view_as(parameter))

    def _point(self, parameters: list[torch.nn.Parameter]) -> torch.Tensor:
        return torch.cat([parameter.flatten() for parameter in parameters])


class AdoptOptimizer(EagerOptimizer):
    """ADOPT with the tensor operations of its authors' implementation (github.com/iShohei220/adopt).

    The rule's own code rounds differently, and ADOPT divides tiny gradients by even smaller ones: in a network of
    sigmoid layers a difference in the last bit becomes percents of accuracy within one epoch.
    """

    def __init__(self, parameters: Parameters, rule: Adopt, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": rule.lr, "weight_decay": weight_decay})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        for parameter in group["params"]:
            gradient, state = parameter.grad, self.state[parameter]
            if group["weight_decay"]:
                gradient = gradient.add(parameter, alpha=group["weight_decay"])
            if not state:
                state.update(steps=1, mean=torch.zeros_like(parameter), mean_square=gradient * gradient)
                continue
            ratio = gradient / state["mean_square"].sqrt().clamp(self.rule.eps)
            if self.rule.clip:
                limit = state["steps"] ** 0.25
                ratio.clamp_(-limit, limit)
            state["mean"].lerp_(ratio, 1 - self.rule.beta1)
            parameter.add_(state["mean"], alpha=-group["lr"])
            state["mean_square"].mul_(self.rule.beta2).addcmul_(gradient, gradient, value=1 - self.rule.beta2)
            state["steps"] += 1


def _adopt(rule: Adopt, params: Parameters, weight_decay: float) -> torch.optim.Optimizer:
    return AdoptOptimizer(params, rule, weight_decay)


def _sgd(rule: SGD, **options: Any) -> Any:
    return eager("SGD")(lr=rule.lr, fused=True, **options)


def _momentum(rule: Momentum, **options: Any) -> Any:
    if rule.form != "classic":
        return None
    return eager("SGD")(lr=rule.lr, momentum=rule.beta, **options)


def _nesterov(rule: Nesterov, **options: Any) -> Any:
    if rule.form != "classic":
        return None
    return eager("SGD")(lr=rule.lr, momentum=rule.beta, nesterov=True, **options)


def _rmsprop(rule: RMSProp, **options: Any) -> Any:
    if rule.eps_placement != "outside" or rule.initial_accumulator:
        return None
    return eager("RMSprop")(
        lr=rule.lr,
        alpha=rule.decay,
        eps=rule.eps,
        centered=rule.centered,
        momentum=rule.momentum,
        **options,
    )


def _adagrad(rule: Adagrad, **options: Any) -> Any:
    if rule.eps_placement != "outside":
        return None
    return eager("Adagrad")(
        lr=rule.lr,
        lr_decay=rule.lr_decay,
        initial_accumulator_value=rule.initial_accumulator,
        eps=rule.eps,
        **options,
    )


def _adadelta(rule: Adadelta, **options: Any) -> Any:
    return eager("Adadelta")(lr=rule.lr, rho=rule.rho, eps=rule.eps, **options)


def _adam(rule: Adam, **options: Any) -> Any:
    if rule.eps_placement != "outside":
        return None
    return eager("Adam")(**_adams(rule), **options)


def _amsgrad(rule: AMSGrad, **options: Any) -> Any:
    if rule.largest != "raw" or rule.eps_placement != "outside":
        return None
    return eager("Adam")(**_adams(rule), amsgrad=True, **options)


def _adamw(rule: AdamW, params: Parameters, weight_decay: float) -> Any:
    # torch.optim.AdamW has the rule's own decay only; `weight_decay` is added to the gradient.
    if rule.eps_placement != "outside" or weight_decay:
        return None
    return eager("AdamW")(params, **_adams(rule), weight_decay=rule.weight_decay)


def _adamax(rule: Adamax, **options: Any) -> Any:
    if rule.eps_placement != "inside":
        return None
    return eager("Adamax")(**_adams(rule), **options)


def _nadam(rule: NAdam, **options: Any) -> Any:
    if rule.form != "schedule":
        return None
    optimizer = eager("NAdam")(**_adams(rule), momentum_decay=rule.momentum_decay, **options)
    optimizer.register_load_state_dict_post_hook(_momentum_products_to_cpu)
    return optimizer


def _momentum_products_to_cpu(optimizer: torch.optim.Optimizer) -> None:
    """Undo what `load_state_dict` does on a GPU: NAdam reads these numbers in every step, each with a synchronisation,
    and so creates them on the CPU."""
    for state in optimizer.state.values():
        state["mu_product"] = state["mu_product"].cpu()


def _radam(rule: RAdam, **options: Any) -> Any:
    if rule.eps_placement != "uncorrected":
        return None
    return eager("RAdam")(**_adams(rule), **options)


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
    """The torch optimizer for `rule`: torch's own where it implements this form, else the rule's own code.

    `weight_decay`: an L2 penalty; weight_decay * w is added to the gradient before the rule sees it.
    """
    assert rule.name in ALGORITHMS
    parameters = list(parameters)
    native = _NATIVE.get(type(rule))
    optimizer = native and native(rule, params=parameters, weight_decay=weight_decay)
    return optimizer or RuleOptimizer(parameters, rule, weight_decay)
