"""A user's rule as a torch optimizer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optilab.errors import CheckpointError
from optilab.optimize.user_rule import UserRule
from optilab.train.eager import EagerOptimizer, without_compiler
from optilab.train.tensors import joined, split_like
from optilab.train.trees import require_data

PLAIN = (type(None), bool, int, float, str)


class UserOptimizer(EagerOptimizer):
    """A user's function or class, which gets NumPy arrays in the training's dtype on the CPU.

    All weights are joined to one vector, as for every rule, unless the code has `shaped = True`: then each weight
    matrix and bias is a separate call, in its shape. The memory is checked after the first step, so that a run
    whose checkpoints could not hold it ends at once.
    """

    is_user_optimizer = True
    """Marks an optimizer whose state may have any shape, and numbers that are not finite."""

    def __init__(self, parameters: Sequence[Tensor], rule: UserRule, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": getattr(rule, "lr", 1.0), "weight_decay": weight_decay})
        self.rule, self.shaped = rule, rule.shaped
        self.steps, self.memories = 0, self._initial_memories(parameters)

    def _blocks(self, tensors: Sequence[Tensor]) -> list[Any]:
        """Copies of the tensors that the code sees: each by itself, or all as one vector."""
        blocks = tensors if self.shaped else [joined(tensors)]
        return [np.array(block.detach().cpu().numpy()) for block in blocks]

    def _initial_memories(self, parameters: Sequence[Tensor]) -> list[Any]:
        return [self.rule.begin(w, self.rule.arguments()) for w in self._blocks(parameters)]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters]
        if group["weight_decay"]:
            gradients = [g.add(p, alpha=group["weight_decay"]) for p, g in zip(parameters, gradients, strict=True)]
        scheduled = group["lr"] != self.defaults["lr"]
        arguments = (replace(self.rule, lr=group["lr"]) if scheduled else self.rule).arguments()  # type: ignore[call-arg]
        points = self._blocks(parameters)
        self.steps += 1
        for n, (w, g) in enumerate(zip(points, self._blocks(gradients), strict=True)):
            points[n], self.memories[n] = self.rule.follow(w, g, self.steps, self.memories[n], arguments)
            if self.steps == 1:
                with self.rule.code.running(1):
                    require_data(self.memories[n], "its state")
        tensors = [torch.from_numpy(point) for point in points]
        if not self.shaped:
            tensors = split_like(tensors[0], parameters)
        for parameter, point in zip(parameters, tensors, strict=True):
            parameter.copy_(point.view_as(parameter))

    def state_dict(self) -> dict[str, Any]:
        user = {"steps": self.steps, "memories": self.memories}
        return {"state": {}, "user": user, "param_groups": super().state_dict()["param_groups"]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({"state": {}, "param_groups": state_dict["param_groups"]})
        self.steps = state_dict["user"]["steps"]
        fresh = self._initial_memories(self.param_groups[0]["params"])
        self.memories = [_with_names(*pair) for pair in zip(state_dict["user"]["memories"], fresh, strict=True)]


def torch_optimizer(parameters: Sequence[Tensor], rule: UserRule, weight_decay: float) -> torch.optim.Optimizer:
    """The user's torch.optim.Optimizer itself, on the weights as they are; an error in it names its line and the step.

    Its `state` and `param_groups` are saved, and its attributes that are numbers or texts.
    """
    kind = without_compiler(rule.code.load())

    def step(self: Any, closure: Any = None) -> None:
        if weight_decay:
            with torch.no_grad():
                for parameter in parameters:
                    if (gradient := parameter.grad) is not None:
                        parameter.grad = gradient.add(parameter, alpha=weight_decay)
        self.own_steps += 1
        with rule.code.running(self.own_steps):
            super(watched, self).step()
            if self.own_steps == 1:
                require_data(super(watched, self).state_dict()["state"], "state")

    def state_dict(self: Any) -> dict[str, Any]:
        numbers = {name: value for name, value in vars(self).items() if type(value) in PLAIN and name[0] != "_"}
        return {**super(watched, self).state_dict(), "user": numbers}

    def load_state_dict(self: Any, state_dict: dict[str, Any]) -> None:
        rest = {key: value for key, value in state_dict.items() if key != "user"}
        super(watched, self).load_state_dict(rest)
        vars(self).update(state_dict["user"])

    methods = {
        "step": step,
        "state_dict": state_dict,
        "load_state_dict": load_state_dict,
        "own_steps": 0,
        "is_user_optimizer": True,
    }
    watched: Any = type(kind.__name__, (kind,), methods)
    with rule.code.running(0):
        optimizer: torch.optim.Optimizer = watched(parameters, **rule.arguments())
    optimizer.own_steps = 0  # type: ignore[attr-defined]
    for settings in (optimizer.defaults, *optimizer.param_groups):
        settings.setdefault("lr", 1.0)  # what a schedule would change
    return optimizer


def build(parameters: Sequence[Tensor], rule: UserRule, weight_decay: float) -> torch.optim.Optimizer:
    """The torch optimizer of a user's rule."""
    code = rule.code.load()
    if isinstance(code, type) and issubclass(code, torch.optim.Optimizer):
        return torch_optimizer(parameters, rule, weight_decay)
    return UserOptimizer(parameters, rule, weight_decay)


def _with_names(memory: Any, like: Any) -> Any:
    """A memory that was read from a checkpoint; a tuple with names takes its type from a fresh memory of the code."""
    if not hasattr(like, "_fields"):
        return memory
    if len(like._fields) != len(memory):
        raise CheckpointError("the state in the checkpoint does not have the parts of your code's state")
    return type(like)(*map(_with_names, memory, like))
