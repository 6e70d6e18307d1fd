"""The rules of `optilab.optimize` as torch optimizers.

Where torch.optim implements a rule in the requested form, torch's own optimizer is used with its default kernels. Only
plain SGD uses the fused kernel, which gives the same bits; Adam's fused kernel rounds differently, and after two epochs
that changes the accuracy by a percent. Every other rule or form runs its own NumPy code on tensors (`RuleOptimizer`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch

from optilab.optimize import Rule
from optilab.optimize.own import OwnRule
from optilab.optimize.rules.adam import Adam, AdamW, NAdam, RAdam
from optilab.optimize.rules.adaptive import Adadelta, Adagrad, Adamax, Adopt, AMSGrad, RMSProp
from optilab.optimize.rules.momentum import SGD, Momentum, Nesterov
from optilab.optimize.rules.wrappers import SAM
from optilab.optimize.schedules import scheduled
from optilab.train import own
from optilab.train.without_compiler import EagerOptimizer, eager

Parameters = Iterable[torch.nn.Parameter]


class RuleOptimizer(EagerOptimizer):
    """An update rule of `optilab.optimize` on the parameters of a network, as its `weights` asks for them.

    Joined to one vector, rules that combine all coordinates get the whole vector, and for the others a step is a few
    tensor operations instead of a few per parameter; its state is stored under the first parameter. Otherwise each
    parameter has a state of its own. A state has one entry per field of the rule's state, so a checkpoint contains
    only tensors and numbers.
    """

    def __init__(self, parameters: Parameters, rule: Rule, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": getattr(rule, "lr", 1.0), "weight_decay": weight_decay})
        self.rule: Any = rule
        self.quantities: Mapping[str, Any] = {}  # what the rule needs besides gradients, for the next step
        self._states_of = [type(part.init(torch.zeros(1, 1))) for part in self._parts(rule)]

    def _parts(self, rule: Any) -> list[Any]:
        """The rule of each block of weights."""
        parameters = self.param_groups[0]["params"]
        if rule.weights == "joined":
            return [rule]
        if rule.weights == "each":
            return [rule] * len(parameters)
        parts: list[Any] = rule.for_weights([parameter.shape for parameter in parameters])
        return parts

    def _at_rate(self, lr: float) -> Any:
        """The rule with another learning rate; that of a rule for other weights changes with it."""
        if lr == self.defaults["lr"]:
            return self.rule
        factor = lr / self.defaults["lr"]
        if not hasattr(self.rule, "lr"):  # that of the rule it wraps
            return scheduled(self.rule, factor)
        rule = replace(self.rule, lr=lr)
        return replace(rule, others=scheduled(rule.others, factor)) if hasattr(rule, "others") else rule

    def state_at_start(self) -> list[dict[str, Any]]:
        """The state before the first step: one for each parameter that owns one."""
        (group,) = self.param_groups
        blocks = self._blocks(group["params"])
        return [part.init(block)._asdict() for part, block in zip(self._parts(self.rule), blocks, strict=True)]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        parameters, decay = group["params"], group["weight_decay"]
        parts = self._parts(self._at_rate(group["lr"]))
        gradients = self._blocks([parameter.grad for parameter in parameters])
        points = self._blocks(parameters) if decay or not self.state else []
        needed = {name: self.quantities[name] for name in self.rule.needs}
        steps = []
        for n, (rule, gradient) in enumerate(zip(parts, gradients, strict=True)):
            if decay:
                gradient += decay * points[n]
            entries, kind = self.state[parameters[n]], self._states_of[n]
            state = kind(**entries) if entries or not kind._fields else rule.init(points[n])
            step, state = rule.update(gradient, state, **needed)
            entries.update(state._asdict())
            steps.append(step)
        if self.rule.weights == "joined":
            steps = steps[0].split([parameter.numel() for parameter in parameters])
        for parameter, step in zip(parameters, steps, strict=True):
            parameter.add_(step.view_as(parameter))

    def _blocks(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Copies of the tensors in the shape in which the rule gets them."""
        if self.rule.weights == "joined":
            return [torch.cat([tensor.flatten() for tensor in tensors])]
        shaped = [part.weights == "matrices" for part in self._parts(self.rule)]
        return [
            tensor.detach().clone() if whole else tensor.detach().clone().flatten()
            for tensor, whole in zip(tensors, shaped, strict=True)
        ]


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


def build(parameters: Parameters, rule: Rule, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """The torch optimizer for `rule`: torch's own where it implements this form, else the rule's own code.

    `weight_decay`: an L2 penalty; weight_decay * w is added to the gradient before the rule sees it.
    """
    parameters = list(parameters)
    if isinstance(rule, SAM):  # `sharpness.step` takes its gradients; it has no state
        return build(parameters, rule.base, weight_decay)
    if isinstance(rule, OwnRule):
        return own.build(parameters, rule, weight_decay)
    native = _NATIVE.get(type(rule))
    optimizer = native and native(rule, params=parameters, weight_decay=weight_decay)
    return optimizer or RuleOptimizer(parameters, rule, weight_decay)


_STATE_NAMES = {
    "step": "steps",
    "exp_avg": "mean",
    "exp_avg_sq": "mean_square",
    "exp_inf": "mean_square",
    "mu_product": "product",
    "max_exp_avg_sq": "largest",
    "square_avg": "mean_square",
    "grad_avg": "mean",
    "sum": "sum_of_squares",
}
"""The entries of a torch optimizer's state by the names of the rules' own."""


def state_of(optimizer: torch.optim.Optimizer) -> Any:
    """The state of a rule over the joined parameters, by the names of the rule's own; None before the first step."""
    states = [optimizer.state.get(p, {}) for group in optimizer.param_groups for p in group["params"]]
    if not states or not states[0] or states[0].get("step") == 0:
        return None
    if isinstance(optimizer, RuleOptimizer):
        return SimpleNamespace(**states[0])
    names = [name for name in states[0] if name in _STATE_NAMES]
    return SimpleNamespace(**{_STATE_NAMES[name]: _joined([state[name] for state in states]) for name in names})


def preconditioner(optimizer: torch.optim.Optimizer, rule: Rule) -> torch.Tensor | None:
    """What the rule divides the step by in each coordinate of the joined parameters; None before the first step, and
    for a rule that has no such thing."""
    divide = getattr(rule, "preconditioner", None)
    if divide is None or (state := state_of(optimizer)) is None:
        return None
    divisor: torch.Tensor = divide(state)
    return divisor


def _joined(values: Sequence[Any]) -> Any:
    """Tensors as one vector; a number that is the same for all parameters."""
    if isinstance(first := values[0], torch.Tensor) and first.dim():
        return torch.cat([value.flatten() for value in values])
    return float(first)


def carry(old: torch.optim.Optimizer, before: Rule, new: torch.optim.Optimizer, after: Rule) -> bool:
    """Give `new` the state of `old`, whose rules are `after` and `before`; False where its state has other parts."""
    if type(before) is not type(after):
        return False
    if not isinstance(after, OwnRule) and _parts(before) != _parts(after):
        return False
    new.load_state_dict({**old.state_dict(), "param_groups": new.state_dict()["param_groups"]})
    return True


def _parts(rule: Rule) -> Any:
    """The optimizer of a rule and the names and types in its state, of torch's own as they are after one step."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = build([weight], rule)
    if isinstance(optimizer, RuleOptimizer):
        return type(optimizer), _outline(optimizer.state_at_start())
    weight.grad = torch.ones(1)
    optimizer.step()
    return type(optimizer), _outline(optimizer.state_dict()["state"])


def _outline(tree: Any) -> Any:
    """A tree of dicts and lists with types in the place of its values."""
    if isinstance(tree, dict):
        return {key: _outline(value) for key, value in tree.items()}
    return [type(tree), *map(_outline, tree)] if isinstance(tree, list | tuple) else type(tree)
