"""Measurements of one training step in every layer of any network, by public hooks of PyTorch.

`train` probes a few batches of each epoch, `optilab.watch` a few steps of a loop: both open a `Probe` before the
forward pass, and call `before_step` and `after_step` around the optimizer's step. A probe draws no random number and
changes no bit of the training. It keeps moments of activations, norms of gradients, and a sample of the weights.

A layer is a module with a weight matrix: linear, convolution, embedding, recurrent, attention. Layers are in the order
of their first call.
"""

import functools
import math
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optilab.optimize.rules import Adamax
from optilab.optimize.theory import eps_exponent
from optilab.train.tensors import (
    BATCH_NORMS,
    BOUNDS,
    BY_CHANNEL,
    DROPOUTS,
    NEVER_FLAT,
    NORMS,
    OTHER_NORMS,
    activation_before,
    as_real,
    finite,
    first_tensor,
    joint_norm,
    layers_of,
    matrices,
    precise,
    remove_hooks,
    spaced,
    unit_similarity,
)

Diagnostics = dict[str, Any]
"""One line of diagnostics.jsonl."""
LayerRow = dict[str, Any]
"""Name, kind and `LAYER_COLUMNS` quantities of one layer in one step; tensors stay on the device."""
LAYER_COLUMNS = (
    "gradient_norm",
    "weight_norm",
    "update_norm",
    "activation_mean",
    "activation_std",
    "saturated",
    "dead",
    "common",
)
"""Quantities that a probe measures of a layer. `common` is the fraction of the weights' squares that all units have in
common: 1 where they are equal; `saturated` and `dead` are fractions, too. Recurrent layers have `through_time`: the
gradient by their inputs of the first quarter of the time steps, over the largest of any step."""
MIN_SAMPLES, ENTRIES = 32, 1 << 18
"""Activations are measured for the first samples of a batch: at least 32, and more while they have few entries."""
STATE_NAMES = {
    "step": "t",
    "exp_avg": "V",
    "exp_avg_sq": "S",
    "exp_inf": "S",
    "mu_product": "P",
    "max_exp_avg_sq": "L",
    "square_avg": "S",
    "grad_avg": "M",
    "acc_delta": "D",
    "sum": "S",
    "steps": "t",
    "mean": "V",
    "mean_square": "S",
}
"""The entries of a torch optimizer's state, and of AdoptOptimizer's, by the names of the formula; S is the
average, the sum or, of Adamax, the root of the largest of squared gradients."""


class Probe:
    """One probed training step, from its forward pass to the step of the optimizer.

    `guard(hook, *first)` wraps each hook. `weights`: entries of a weight from which the length of a step is measured.
    """

    def __init__(
        self,
        model: nn.Module,
        guard: Callable[..., Any] = functools.partial,
        hooked: bool = True,
        weights: float = math.inf,
    ) -> None:
        self.rows: dict[str, LayerRow] = {}  # in the order of first calls
        self.modules = dict(layers_of(model))
        self.called: set[str] = set()
        self.called_without_grad: set[str] = set()
        self.normed_over: list[int] = []
        self.axes: dict[str, list[int]] = {}  # of a layer over sequences: samples and time steps, as it takes them
        self.activations: list[str] = []
        self.input: Tensor | None = None
        self.embedded: Tensor | None = None  # the network's inputs behind its first embedding
        self._entries, self._guard = weights, guard
        self._before: dict[str, list[Tensor]] = {}
        self._weights: dict[str, list[nn.Parameter]] = {}
        self._in_step = False
        self._output: tuple[LayerRow, Tensor] | None = None  # of the last layer, until it is known what follows
        self._hooks: list[Any] = []
        for name, module in self.modules.items() if hooked else ():
            self._hooks.append(module.register_forward_hook(guard(self._called, name), with_kwargs=True))
            if isinstance(module, nn.RNNBase):
                hook = guard(self._through_time, name)
                self._hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def close(self) -> None:
        """Take the hooks away; the forward pass is done."""
        self._note_output()
        remove_hooks(self._hooks)

    def _called(self, name: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if not torch.is_grad_enabled():
            self.called_without_grad.add(name)
            return
        if name in self.called:
            return
        self.called.add(name)
        inputs, result = first_tensor([args, kwargs]), first_tensor(output)
        if self.input is None and inputs is not None:
            self.input = inputs.detach()
        if not matrices(module):
            if inputs is not None and isinstance(module, NORMS):
                self._activation(module, inputs, *activation_before(inputs))
            if inputs is not None and isinstance(module, BATCH_NORMS) and module.training:
                self.normed_over.append(inputs.numel() // inputs.shape[1])
            if result is not None and (kind := type(module).__name__.lower()) in BOUNDS and self.rows:
                self._activation(self.modules[next(reversed(self.rows))], result, kind, True)
            return
        row: LayerRow = {"name": name, "kind": type(module).__name__}
        if inputs is not None:
            self._activation(module, inputs, *activation_before(inputs))
            if inputs.dim() == 3 and (first := getattr(module, "batch_first", None)) is not None:
                self.axes[name] = [*(inputs.shape[:2] if first else (inputs.shape[1], inputs.shape[0]))]
            if isinstance(module, nn.Embedding) and self.embedded is None and _shares_memory(inputs, self.input):
                self.embedded = result
        self._note_output()
        if result is not None and result.is_floating_point():
            self._output = row, result.detach()
        self.rows[name] = row

    def _note_output(self) -> None:
        """Note the moments of the last layer's outputs, if no activation has followed."""
        if self._output and "dead" not in self._output[0]:
            self._output[0].update(_moments(_first_samples(self._output[1])))
        self._output = None

    def _activation(self, module: nn.Module, values: Tensor, name: str, whole: bool) -> None:
        """Note the moments of the last layer's activations, the fraction of saturated ones, and that of dead units.

        `module` has the axes of the values.
        """
        row = next(reversed(self.rows.values()), None)
        if row is None or not name or "dead" in row or values.dim() < 2:
            return
        low, high = BOUNDS[name]
        if not whole and low != 0.0:
            return
        sample = _first_samples(values)
        flat = (sample <= low) | (sample >= high)
        units = 1 if isinstance(module, BY_CHANNEL) else flat.dim() - 1
        dead = flat.all(dim=[axis for axis in range(flat.dim()) if axis != units])
        row |= {**_moments(sample), "saturated": flat.float().mean(), "dead": dead.float().mean()}
        if name not in NEVER_FLAT:
            self.activations.append(name)

    def _through_time(self, name: str, module: nn.RNNBase, args: Any, kwargs: Any) -> Any:
        """Note the gradient by the inputs of each time step; inputs get a gradient, which changes no bit."""
        inputs = first_tensor([args, kwargs])
        if name in self.called or not torch.is_grad_enabled() or inputs is None or not inputs.is_floating_point():
            return None
        watched = inputs if inputs.requires_grad else inputs.detach().requires_grad_()
        time = 1 if module.batch_first and inputs.dim() == 3 else 0

        def note_ratio(gradient: Tensor) -> None:
            norms = gradient.detach().float().movedim(time, 0).flatten(1).norm(dim=1)
            if (quarter := len(norms) // 4) > 1:
                early, late = norms[:quarter].mean(), norms[-quarter:].mean()
                if (row := self.rows.get(name)) is not None:
                    row["through_time"] = early / torch.maximum(early, late)

        watched.register_hook(self._guard(note_ratio))  # type: ignore[no-untyped-call]
        if watched is inputs:
            return None
        replaced = {key: watched if value is inputs else value for key, value in kwargs.items()}
        return tuple(watched if value is inputs else value for value in args), replaced

    @torch.no_grad()
    def before_step(self, optimized: Collection[int]) -> None:
        """Measure before the weights change; `optimized` are the parameters of an optimizer, by identity."""
        self._note_output()
        self._weights = {
            name: weights
            for name, module in self.modules.items()
            if (weights := [p for p in matrices(module) if id(p) in optimized])
        }
        self._before = {
            name: [spaced(p, self._entries).clone() for p in weights] for name, weights in self._weights.items()
        }
        # A closure, as Lightning and L-BFGS have it, computes the gradients in the step.
        self._in_step = not self.called
        if not self._in_step:
            self._measure()

    @torch.no_grad()
    def after_step(self) -> None:
        """Measure the steps, after the weights have changed."""
        if self._in_step:
            self._measure()
        for name, before in self._before.items():
            if row := self.rows.get(name):
                steps = [
                    precise(spaced(p, self._entries)) - precise(old)
                    for p, old in zip(self._weights[name], before, strict=True)
                ]
                row["update_norm"] = joint_norm(steps)
                if self._entries < math.inf:  # the weights are known, of the step a sample
                    row["update_norm"] *= row["weight_norm"] / joint_norm(before)
        self._before, self._weights = {}, {}

    def _measure(self) -> None:
        """Gradients and weights of the layers that were called; of all where calls are not seen."""
        for name, weights in self._weights.items():
            if self.called and name not in self.called:
                continue
            module = self.modules[name]
            row = self.rows.setdefault(name, {"name": name, "kind": type(module).__name__})
            gradients = [g.coalesce().values() if g.is_sparse else g for p in weights if (g := p.grad) is not None]
            row["gradient_norm"] = joint_norm(gradients) if gradients else None
            row["weight_norm"] = joint_norm(weights)
            row["common"] = unit_similarity(module, weights[0])


def _moments(values: Tensor) -> LayerRow:
    std, mean = torch.std_mean(precise(values), correction=0)
    return {"activation_std": std, "activation_mean": mean}


def _first_samples(values: Tensor) -> Tensor:
    return values.detach()[: max(MIN_SAMPLES, ENTRIES * len(values) // max(1, values.numel()))]


def _shares_memory(tensor: Tensor, other: Tensor | None) -> bool:
    """True if both tensors are the same entries in memory."""
    return other is not None and (tensor.data_ptr(), tensor.shape) == (other.data_ptr(), other.shape)


def epoch_diagnostics(
    epoch: int, probes: Sequence[Sequence[LayerRow]], lr: float | None, below_eps: float | None, named: bool = True
) -> Diagnostics:
    """The diagnostics of an epoch from the rows of its probes: the means of each layer, and the ratios of these means.

    `eps_share`: the fraction of the parameters whose sqrt(v) is below eps. What is not finite, or not there, is null.
    """
    layers, every = [], [row for probe in probes for row in probe]
    for last in probes[-1]:
        rows = [row for row in every if row["name"] == last["name"]]
        layer: LayerRow = {"name": last["name"], "kind": last["kind"]} if named else {}
        for key in (*LAYER_COLUMNS, "through_time") if named else LAYER_COLUMNS:
            values = [float(value) for row in rows if (value := row.get(key)) is not None]
            layer[key] = finite(sum(values) / len(values)) if values else None
        for key, part in (
            ("gradient_to_weight", layer["gradient_norm"]),
            ("update_to_weight", layer["update_norm"]),
        ):
            layer[key] = part / layer["weight_norm"] if part is not None and layer["weight_norm"] else None
        layers.append(layer)
    return {"epoch": epoch, "layers": layers, "eps_share": below_eps, "lr": lr}


def first_layers(rows: Sequence[LayerRow]) -> Diagnostics:
    """The part of the layers in the first diagnostics of a training."""
    keys = {"weights": "weight_norm", "dead": "dead", "common": "common", "std": "activation_std"}
    return {f"first_{key}": [finite(row.get(quantity)) for row in rows] for key, quantity in keys.items()}


def network_facts(model: nn.Module, activations: Sequence[str], normed_over: Sequence[int]) -> Diagnostics:
    """Norm, activation and dropout of a network, for the checks of `diagnose`.

    `activations` and `normed_over` are the attributes of its probes.
    """
    modules = list(model.modules())
    dropped = [m.p for m in modules if isinstance(m, DROPOUTS)]
    batch = any(isinstance(m, BATCH_NORMS) for m in modules)
    layer = any(isinstance(m, OTHER_NORMS) for m in modules)
    names = [name for name in activations if name in ("sigmoid", "tanh", "hardsigmoid", "softsign")]
    relu = len(activations) - len(names)
    return {
        "dropouts": {"model.dropout": max(dropped)} if dropped else {},
        "norm": "batch" if batch and normed_over else "layer" if layer else "none",
        "normed_over": min(normed_over, default=0),
        "activation": max(names, key=names.count) if len(names) > relu else "relu" if relu else "identity",
        "saturates": len(names) > relu,
    }


def without_gradient(probe: Probe, optimized: Collection[int], others: Collection[int] = ()) -> list[str]:
    """Layers that were called and are trained but have no gradient, without those of `others`.

    A layer that runs inside of `torch.no_grad()` is trained where an optimizer holds it (by identity), in train mode.
    """
    cut = []
    for name, module in probe.modules.items():
        trained = [p for p in matrices(module) if p.requires_grad and id(p) not in others]
        if name not in probe.called:
            without_grad = name in probe.called_without_grad and module.training
            trained = [p for p in trained if without_grad and id(p) in optimized]
        if trained and probe.called and all(p.grad is None for p in trained):
            cut.append(name)
    return cut


def batch_as_time(probe: Probe, output: Tensor | None) -> dict[str, list[int]]:
    """The layers over sequences that take samples for time steps: the lengths that each takes for samples and steps.

    The network has one output per sample of the batch, (samples,) or (samples, values), and as many time steps.
    """
    if output is None or output.dim() > 2:
        return {}
    axes = probe.axes.items()
    return {
        name: sizes for name, sizes in axes if [*output.shape[:1]] == sizes[1:] and sizes[0] not in (1, sizes[1])
    }


def fraction_below_eps(optimizer: torch.optim.Optimizer) -> float | None:
    """Fraction of the parameters whose root mean square gradient is below eps, or mean square gradient, where eps is
    added to that; None for an optimizer without these."""
    below, total = [], 0
    rule: Any = getattr(optimizer, "rule", None)
    power, divisor = 1, None
    if getattr(rule, "text", ""):  # in torch.optim, eps is outside of the root
        power = eps_exponent(rule) or 1
        divisor = re.search(r"\b[SL]/\(1-(\w+)\^t\)", rule.formula)
    corrected = divisor and getattr(rule, "eps_placement", "") != "uncorrected"
    for group in optimizer.param_groups:
        eps = group.get("eps", getattr(rule, "eps", None))
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            squares = next((value for name, value in state.items() if STATE_NAMES.get(name, name) == "S"), None)
            if eps is None or squares is None:
                continue
            squares = as_real(squares)
            if "exp_inf" in state:  # torch adds eps
                squares = (squares - eps).square()
            elif isinstance(rule, Adamax):
                squares = squares.square()
            # The first steps' averages are small for want of steps, not of gradient.
            steps = state.get("step", state.get("t"))
            beta2 = getattr(rule, divisor[1]) if divisor and corrected else group.get("betas", (0, 0))[1]
            averaged = steps is not None and beta2 and "exp_inf" not in state
            correction = 1 - beta2 ** float(steps) if averaged else 1.0
            below.append((squares < eps ** (2 / power) * correction).sum())
            total += squares.numel()
    return int(torch.stack(below).sum()) / total if total else None


@torch.no_grad()
def origin_of_overflow(model: Any, images: Tensor) -> str:
    """A sentence that names the layer with the first number that is not finite, for a batch whose loss is not."""
    culprits: list[str] = []

    def hook_for(name: str) -> Any:
        def note_culprit(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            if not culprits and isinstance(output, Tensor) and not bool(torch.isfinite(output).all()):
                weights = [float(p.abs().max()) for p in module.parameters()]
                largest = f" (largest weight {max(weights):.3g})" if weights else ""
                culprits.append(f"{name} is the first whose output is not finite{largest}")

        return note_culprit

    hooks = [module.register_forward_hook(hook_for(name)) for name, module in model.named_parts]
    try:
        logits = model(images)
    finally:
        remove_hooks(hooks)
    if culprits:
        return culprits[0]
    if not bool(torch.isfinite(logits).all()):
        return "every layer's output is finite, the network's is not: look at what forward does after the layers"
    return f"every layer's output is finite, the logits reach {float(logits.abs().max()):.3g}: the loss overflows"
