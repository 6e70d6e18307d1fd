"""The rules of `optilab.optimize` as torch optimizers.

Where torch.optim implements a rule in the requested form, torch's own optimizer is used with its default kernels. Only
plain SGD uses the fused kernel, which gives the same bits; Adam's fused kernel rounds differently, and after two epochs
that changes the accuracy by a percent. Every other rule or form runs its formula on tensors (`RuleOptimizer`); what a
user's file defines is in `user_optimizer`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from optilab.config.training import TrainConfig
from optilab.optimize import Rule
from optilab.optimize.program import compiled
from optilab.optimize.rules import (
    ASCENT,
    SAM,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Adopt,
    AMSGrad,
    Momentum,
    NAdam,
    Nesterov,
    RAdam,
    RMSProp,
)
from optilab.optimize.schedules import scheduled
from optilab.optimize.theory import LinearStep, frozen_step, is_adaptive
from optilab.optimize.user_rule import UserRule
from optilab.train import user_optimizer
from optilab.train.curvature import Hessian
from optilab.train.device import generators, set_generators
from optilab.train.eager import EagerOptimizer, without_compiler
from optilab.train.network import Network
from optilab.train.probe import STATE_NAMES
from optilab.train.tensors import joined, restoring, split_like

Parameters = Iterable[nn.Parameter]


class RuleOptimizer(EagerOptimizer):
    """An update rule of `optilab.optimize` on the parameters of a network, as its `weights` asks for them.

    Joined to one vector, rules that combine all coordinates get the whole vector, and for the others a step is a few
    tensor operations instead of a few per parameter; its state is stored under the first parameter. Otherwise each
    parameter has its state. A state has an entry for each state of the formula and `t`, the number of steps
    done, so a checkpoint contains only tensors and numbers.
    """

    def __init__(
        self, parameters: Parameters, rule: Rule, weight_decay: float = 0.0, network: Parameters = ()
    ) -> None:
        """`network`: all weights in their order, those that are frozen included; without them, the parameters."""
        parameters = list(parameters)
        super().__init__(parameters, {"lr": getattr(rule, "lr", 1.0), "weight_decay": weight_decay})
        self.rule: Any = rule
        weights = list(network) or parameters
        trained = {id(parameter) for parameter in parameters}
        self._shapes = [_as_matrix(weight).shape for weight in weights]
        self._places = [n for n, weight in enumerate(weights) if id(weight) in trained]
        self.quantities: Mapping[str, Any] = {}  # what the rule needs besides gradients, for the next step

    def parts(self, rule: Any) -> list[Any]:
        """The rule of each block of weights."""
        parameters = self.param_groups[0]["params"]
        if rule.weights == "joined":
            return [rule]
        if rule.weights == "each":
            return [rule] * len(parameters)
        parts = rule.for_weights(self._shapes)
        return [parts[place] for place in self._places]

    def _at_rate(self, lr: float) -> Any:
        """The rule with another learning rate; the rates of rules inside it change in proportion."""
        rule: Any = scheduled(self.rule, lr / self.defaults["lr"])
        return replace(rule, lr=lr) if rule is not self.rule and hasattr(rule, "lr") else rule

    @torch.no_grad()
    def averages(self) -> list[tuple[nn.Parameter, Tensor]]:
        """The parameters whose rule averages its points, each with that average; none before the first step."""
        averages: list[tuple[nn.Parameter, Tensor]] = []
        parameters = self.param_groups[0]["params"]
        points = self._blocks(parameters) if hasattr(self.rule, "averaged") else []
        for part, point, owner in zip(self.parts(self.rule), points, parameters, strict=False):
            if hasattr(part, "averaged") and (state := self.state[owner]):
                average = part.averaged(point, tuple(state[name] for name in part.states))
                owners = parameters if self.rule.weights == "joined" else [owner]
                averages += zip(owners, split_like(average.flatten(), owners), strict=True)
        return averages

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        parameters, decay = group["params"], group["weight_decay"]
        parts = self.parts(self._at_rate(group["lr"]))
        gradients = self._blocks([parameter.grad for parameter in parameters])
        quantities = {name: self.quantities[name] for name in self.rule.needs}
        reached = []
        for n, (rule, w, gradient) in enumerate(zip(parts, self._blocks(parameters), gradients, strict=True)):
            if decay:
                gradient += decay * w
            entries = self.state[parameters[n]]
            if not entries:
                entries["t"] = 0
                entries.update(zip(rule.states, rule.init(w), strict=True))
            entries["t"] += 1
            before = tuple(entries[name] for name in rule.states)
            w, after = rule.step(w, gradient, entries["t"], before, **quantities)
            entries.update(zip(rule.states, after, strict=True))
            reached.append(w)
        if self.rule.weights == "joined":
            reached = split_like(reached[0], parameters)
        for parameter, w in zip(parameters, reached, strict=True):
            parameter.copy_(w.view_as(parameter))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Torch's method gives tensors the type of the weights; these have the type in which they were saved."""
        super().load_state_dict(state_dict)
        for number, entries in state_dict["state"].items():
            owner = self.param_groups[0]["params"][number]
            tensors = {
                name: value.to(owner.device) for name, value in entries.items() if isinstance(value, Tensor)
            }
            self.state[owner].update(tensors)

    def _blocks(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Copies of the tensors in the shape in which the rule gets them."""
        if self.rule.weights == "joined":
            return [joined(tensors)]
        shaped = [part.weights == "matrices" for part in self.parts(self.rule)]
        return [
            _as_matrix(tensor.detach().clone()) if as_matrix else tensor.detach().clone().flatten()
            for tensor, as_matrix in zip(tensors, shaped, strict=True)
        ]


def _as_matrix(weight: Tensor) -> Tensor:
    """A weight with a row per output: that of a convolution is a matrix, too. Biases are vectors."""
    return weight.flatten(1) if weight.dim() > 2 else weight


class AdoptOptimizer(EagerOptimizer):
    """ADOPT with the tensor operations of its authors' implementation (github.com/iShohei220/adopt).

    The rule's own code rounds differently, and ADOPT divides tiny gradients by even smaller ones: in a network of
    sigmoid layers a difference in the last bit becomes percents of accuracy within one epoch.
    """

    def __init__(self, parameters: Parameters, rule: Adopt, weight_decay: float) -> None:
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


class _TorchOptimizer(NamedTuple):
    """A class of torch.optim that implements a rule."""

    name: str
    arguments: Mapping[str, Any]  # of torch's -> the rule's settings
    form: Mapping[str, Any] = MappingProxyType({})  # settings of the rule that torch's form has
    options: Mapping[str, Any] = MappingProxyType({})  # more arguments of torch's

    def optimizer(self, parameters: Parameters, rule: Any, weight_decay: float) -> torch.optim.Optimizer | None:
        """None for a rule in another form."""
        # The decay of AdamW is not an L2 penalty, and torch's AdamW has no other.
        decays = "weight_decay" in self.arguments
        if any(getattr(rule, name) != value for name, value in self.form.items()) or (decays and weight_decay):
            return None
        settings: dict[str, Any] = {"weight_decay": weight_decay, **self.options}
        for key, names in self.arguments.items():
            single = isinstance(names, str)
            settings[key] = getattr(rule, names) if single else tuple(getattr(rule, name) for name in names)
        optimizer: torch.optim.Optimizer = without_compiler(getattr(torch.optim, self.name))(
            parameters, **settings
        )
        return optimizer


_RATE, _BETAS = {"lr": "lr"}, {"lr": "lr", "betas": ("beta1", "beta2"), "eps": "eps"}
_RMSPROP = {"lr": "lr", "alpha": "decay", "eps": "eps", "centered": "centered", "momentum": "momentum"}
_ADAGRAD = {"lr": "lr", "lr_decay": "lr_decay", "initial_accumulator_value": "initial_accumulator", "eps": "eps"}
_TORCH_OPTIMIZERS: dict[type[Rule], _TorchOptimizer] = {
    SGD: _TorchOptimizer("SGD", _RATE, options={"fused": True}),
    Momentum: _TorchOptimizer("SGD", {**_RATE, "momentum": "beta"}, {"form": "classic"}),
    Nesterov: _TorchOptimizer("SGD", {**_RATE, "momentum": "beta"}, {"form": "classic"}, {"nesterov": True}),
    RMSProp: _TorchOptimizer("RMSprop", _RMSPROP, {"eps_placement": "outside", "initial_accumulator": 0}),
    Adagrad: _TorchOptimizer("Adagrad", _ADAGRAD, {"eps_placement": "outside"}),
    Adadelta: _TorchOptimizer("Adadelta", {**_RATE, "rho": "rho", "eps": "eps"}),
    Adam: _TorchOptimizer("Adam", _BETAS, {"eps_placement": "outside"}),
    AMSGrad: _TorchOptimizer("Adam", _BETAS, {"largest": "raw", "eps_placement": "outside"}, {"amsgrad": True}),
    AdamW: _TorchOptimizer("AdamW", {**_BETAS, "weight_decay": "weight_decay"}, {"eps_placement": "outside"}),
    Adamax: _TorchOptimizer("Adamax", _BETAS, {"eps_placement": "inside"}),
    NAdam: _TorchOptimizer("NAdam", {**_BETAS, "momentum_decay": "momentum_decay"}, {"form": "schedule"}),
    RAdam: _TorchOptimizer("RAdam", _BETAS, {"eps_placement": "uncorrected"}),
}


def _momentum_products_to_cpu(optimizer: torch.optim.Optimizer) -> None:
    """Undo what `load_state_dict` does on a GPU: NAdam reads these numbers in every step, each with a synchronisation,
    and so creates them on the CPU."""
    for state in optimizer.state.values():
        state["mu_product"] = state["mu_product"].cpu()


def build(
    parameters: Parameters, rule: Rule, weight_decay: float = 0.0, network: Parameters = ()
) -> torch.optim.Optimizer:
    """The torch optimizer for `rule`: torch's own where it implements this form, else the rule's own code.

    `weight_decay`: an L2 penalty; weight_decay * w is added to the gradient before the rule sees it. `network`: all
    weights in their order, where some are frozen and a rule gives the first and the last to another rule.
    """
    parameters = list(parameters)
    if isinstance(rule, SAM):  # `BatchStep.step` takes its gradients; it has no state
        return build(parameters, rule.base, weight_decay, network)
    if isinstance(rule, UserRule):
        return user_optimizer.build(parameters, rule, weight_decay)
    if isinstance(rule, Adopt):
        return AdoptOptimizer(parameters, rule, weight_decay)
    native = _TORCH_OPTIMIZERS.get(rule.original)
    optimizer = native and native.optimizer(parameters, rule, weight_decay)
    if isinstance(optimizer, torch.optim.NAdam):
        optimizer.register_load_state_dict_post_hook(_momentum_products_to_cpu)
    return optimizer or RuleOptimizer(parameters, rule, weight_decay, network)


def joined_frozen_step(optimizer: torch.optim.Optimizer, rule: Rule) -> LinearStep | None:
    """The `frozen_step` of the joined parameters; None before the first step, and for a rule that has none."""
    states = [optimizer.state.get(p, {}) for group in optimizer.param_groups for p in group["params"]]
    if not is_adaptive(rule) or not states or not states[0] or states[0].get("step") == 0:
        return None
    state = dict(states[0])
    if not isinstance(optimizer, RuleOptimizer):
        names = [name for name in states[0] if name in STATE_NAMES]
        state = {STATE_NAMES[name]: _join([entries[name] for entries in states]) for name in names}
    return frozen_step(rule, state, state["t"])


def _join(values: Sequence[Any]) -> Any:
    """Tensors as one vector; a number that is the same for all parameters."""
    if isinstance(first := values[0], Tensor) and first.dim():
        return joined(values)
    return float(first)


@contextmanager
def at_average(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Set the weights to the average of the points inside the block, where that is the rule's result."""
    averages = optimizer.averages() if isinstance(optimizer, RuleOptimizer) else []
    with restoring([parameter for parameter, _ in averages]):
        move_to_average(optimizer)
        yield


@torch.no_grad()
def move_to_average(optimizer: torch.optim.Optimizer) -> None:
    """Move the weights to the average of the points, where that is the rule's result: what follows begins there."""
    for parameter, average in optimizer.averages() if isinstance(optimizer, RuleOptimizer) else ():
        parameter.copy_(average)


def transfer_state(old: torch.optim.Optimizer, before: Rule, new: torch.optim.Optimizer, after: Rule) -> bool:
    """Give `new` the state of `old`, whose rules are `after` and `before`; False where its state has other parts."""
    if type(before) is not type(after):
        return False
    if not isinstance(after, UserRule) and _state_parts(before) != _state_parts(after):
        return False
    new.load_state_dict({**old.state_dict(), "param_groups": new.state_dict()["param_groups"]})
    return True


def _state_parts(rule: Rule) -> Any:
    """The optimizer of a rule and the names in its state after one step of a single weight."""
    weight = nn.Parameter(torch.ones(1))
    optimizer = build([weight], rule)
    if isinstance(optimizer, RuleOptimizer):
        return type(optimizer), [part.states for part in optimizer.parts(optimizer.rule)]
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    return type(optimizer), [*optimizer.state[weight]]


# --- rules that look at the batch of a step more than once ---


@dataclass(frozen=True)
class BatchStep:
    """The batch of a step, which a rule may evaluate again: network, images as inputs (n, inputs), labels (n,), and the
    config's L2 penalty and limits of the gradient.

    `draw` identifies the batch (seed, epoch, number of the batch): the same random signs for the same batch, and none
    from the generators of the training, so that runs of several rules see the same batches. `generators`: the states of
    those generators before the first pass, which a second pass repeats: it has the same dropout, as in the code of
    SAM's authors (github.com/google-research/sam).
    """

    model: Network
    images: Tensor
    labels: Tensor
    draw: tuple[int, ...]
    config: TrainConfig
    generators: tuple[Tensor, Tensor | None] | None = None  # None: no second pass

    def clip(self) -> None:
        """Limit the gradients that the trained parameters have."""
        if self.config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.trained, self.config.clip_norm)
        if self.config.clip_value is not None:
            nn.utils.clip_grad_value_(self.model.trained, self.config.clip_value)

    def step(self, optimizer: torch.optim.Optimizer, rule: Rule) -> None:
        """One step of the optimizer that was built for `rule`, with the gradients that the parameters have."""
        if isinstance(rule, SAM):
            self._take_gradient_nearby(rule)
            self.step(optimizer, rule.base)
        else:
            if isinstance(optimizer, RuleOptimizer):
                optimizer.quantities = {"diagonal": self.hessian_diagonal}
            optimized = optimizer.param_groups[0]["params"] if isinstance(optimizer, EagerOptimizer) else []
            without_gradient = [
                parameter for parameter in optimized if parameter.grad is None
            ]  # by the network, since it was built
            for parameter in without_gradient:
                parameter.grad = torch.zeros_like(parameter)
            with restoring(without_gradient):
                optimizer.step()

    @torch.enable_grad()
    def hessian_diagonal(self, w: Tensor) -> Tensor:
        """An estimate of the diagonal of the Hessian of the batch's loss by all trained parameters, joined, at w, where
        they are.

        s*(H*s) with random signs s, whose mean is the diagonal (Hutchinson 1990). Modules of dropout are off.
        """
        hessian = Hessian(self.model, (self.images, self.labels), self.config.weight_decay)
        like = hessian.gradient
        signs = 1.0 - 2.0 * np.random.default_rng(self.draw).integers(0, 2, len(like))
        vector = torch.from_numpy(signs).to(like.dtype).to(like.device)
        return vector * hessian.times(vector)

    def _take_gradient_nearby(self, rule: SAM) -> None:
        """Set the gradients to the batch's gradients at the worst point nearby; all else is restored."""
        parameters = self.model.trained
        gradients = joined(parameter.grad for parameter in parameters if parameter.grad is not None)
        current = joined(parameter.detach() for parameter in parameters)
        nearby, _ = compiled(f"{ASCENT};  w <- w + e").step(current, gradients, 1.0, (), rule)
        with restoring([*parameters, *self.model.buffers()]), self._repeated():
            with torch.no_grad():
                for parameter, place in zip(parameters, split_like(nearby, parameters), strict=True):
                    parameter.copy_(place)
            self.model.zero_grad()
            loss = nn.functional.cross_entropy(self.model(self.images), self.labels)
            loss.backward()  # type: ignore[no-untyped-call]
        self.clip()

    @contextmanager
    def _repeated(self) -> Iterator[None]:
        """Repeat the draws of the first pass in the block; afterwards the generators are as they were."""
        device = self.images.device
        now = generators(device)
        set_generators(device, self.generators or now)
        yield
        set_generators(device, now)
