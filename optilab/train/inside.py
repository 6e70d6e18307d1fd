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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from optilab.config.saturation import SATURATION
from optilab.optimize.rules import Adamax
from optilab.optimize.theory import eps_exponent
from optilab.train.device import generators, set_generators

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
WEIGHTS = 16_384
"""Entries of a weight, evenly spaced, from which `optilab.watch` estimates the length of a step."""
SINGLE = 32
"""Images whose single gradients are measured before training, one backward pass each."""
MAX_IMAGES = 512
"""Images of the first batch that are measured."""

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
OTHER_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
NORMS = (*BATCH_NORMS, *OTHER_NORMS)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
BY_CHANNEL = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED, *BATCH_NORMS, nn.GroupNorm)
"""Layers with the channels on the second axis; others have their features on the last one."""
_NEVER_FLAT = ("leakyrelu", "prelu", "gelu", "silu", "mish")
BOUNDS = dict.fromkeys(_NEVER_FLAT, (-math.inf, math.inf)) | {k.replace("-", ""): b for k, b in SATURATION.items()}
"""Activation, by its module or its operation in the graph -> the bounds at which it is flat."""
_VIEWS = frozenset(
    ["View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "Permute", "Select",
     "Slice", "T", "Clone", "ToCopy"]
)  # fmt: skip
"""Operations that leave every entry what it is."""
_KEEPS_ZERO = ("Mean", "MaxPool", "AvgPool", "Adaptive", "Mul", "NativeDropout", "Max")
"""The beginnings of those that make zero of zeros: pooling, dropout."""
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


# --- networks, their layers and tensors ---


def layers_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that are called as one: those without submodules that have parameters, attention, parametrized."""
    inner: set[int] = set()
    for name, module in model.named_modules():
        if id(module) in inner:
            continue
        below = [child for child in module.modules() if child is not module]
        whole = isinstance(module, nn.MultiheadAttention) or parametrize.is_parametrized(module)
        if whole:
            inner |= {id(child) for child in below}
        if whole or not any(True for child in below for _ in child.parameters()):
            yield name.removeprefix("_orig_mod.").removeprefix("module.") or type(module).__name__, module


def unregistered(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of modules in lists and dicts of Python, which `model.parameters()` does not have."""
    registered = {*model.modules()}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            named = dict(enumerate(value)) if isinstance(value, list) else value if isinstance(value, dict) else {}
            for at, child in named.items():
                if isinstance(child, nn.Module) and child not in registered:
                    yield from child.named_parameters(f"{name}{'.' * bool(name)}{key}[{at!r}]")


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The weights of a layer that are at least matrices, its main one first."""
    return [p for p in module.parameters() if not nn.parameter.is_lazy(p) and p.dim() >= 2]


def by_unit(module: nn.Module, weight: Tensor) -> Tensor:
    """A view of a weight in which units come first; in transposed convolutions, inputs do."""
    return weight.transpose(0, 1) if isinstance(module, TRANSPOSED) else weight


def unit_similarity(module: nn.Module, weight: Tensor) -> Tensor | None:
    """`common` of `LAYER_COLUMNS`; None where there are no units to compare."""
    if isinstance(module, EMBEDDINGS):
        return None
    units = getattr(module, "hidden_size", getattr(module, "embed_dim", 0))
    if units and len(weight) % units == 0:  # gates, or queries, keys and values, of the same units
        weight = weight.reshape(-1, units, *weight.shape[1:]).transpose(0, 1)
    rows = as_real(by_unit(module, weight)).flatten(1)
    if min(rows.shape) == 1:
        return None
    squares = rows.square().sum()
    return torch.where(squares > 0, rows.mean(dim=0).square().sum() * len(rows) / squares, 1.0)


def first_tensor(values: Any) -> Tensor | None:
    """The first tensor of arguments, keywords, or an output: `logits` where it has them."""
    if isinstance(values, Tensor):
        return values
    if isinstance(logits := getattr(values, "logits", None), Tensor):
        return logits
    inner = values.values() if isinstance(values, Mapping) else values if isinstance(values, list | tuple) else ()
    return next((tensor for value in inner if (tensor := first_tensor(value)) is not None), None)


def as_real(tensor: Tensor) -> Tensor:
    """A tensor without its graph; complex numbers are pairs along a further axis."""
    tensor = tensor.detach()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def spaced(tensor: Tensor, limit: float = WEIGHTS) -> Tensor:
    """At most `limit` entries, evenly spaced, as a vector; a tensor that has no more is itself."""
    real = as_real(tensor)
    return real if real.numel() <= limit else real.reshape(-1)[:: math.ceil(real.numel() / limit)]


def precise(tensor: Tensor) -> Tensor:
    """The tensor in float32 at least."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


def joined(tensors: Iterable[Tensor]) -> Tensor:
    """The entries of all tensors as a vector."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def split_like(vector: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The parts of a vector that belong to the tensors, in their shapes."""
    parts = torch.split(vector, [tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def joint_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all entries."""
    norms = [torch.linalg.vector_norm(precise(tensor)) for tensor in tensors]
    norm: Tensor = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    return norm


def operations(tensor: Tensor, limit: int = 12) -> list[str]:
    """The operations that made a tensor, the last one first, along their first inputs: NllLoss, LogSoftmax, Addmm."""
    names: list[str] = []
    node: Any = tensor.grad_fn
    while node is not None and len(names) < limit:
        names.append(node.name().rpartition("::")[2].partition("Backward")[0])
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
    return names


def depends_on(tensor: Tensor, parameters: Collection[int]) -> bool:
    """True if a tensor was computed from any of the parameters (by identity)."""
    nodes, seen = list[Any]([tensor.grad_fn]), {None}
    while nodes:
        if (node := nodes.pop()) in seen:
            continue
        if id(getattr(node, "variable", None)) in parameters:
            return True
        seen.add(node)
        nodes += [parent for parent, _ in node.next_functions]
    return False


def activation_before(tensor: Tensor) -> tuple[str, bool]:
    """(the activation that made a tensor, whether every entry is one of its outputs); ("", False) without one."""
    whole = True
    for name in operations(tensor, 6):
        if (low := name.lower().removesuffix("kernel")) in BOUNDS:
            return low, whole
        if name.startswith(_KEEPS_ZERO):
            whole = False
        elif name.rstrip("0123456789") not in _VIEWS:
            break
    return "", False


def finite(value: Any) -> float | None:
    """The number, or None where there is none, or it is infinite or not a number."""
    return None if value is None or not math.isfinite(number := float(value)) else number


# --- one step ---


def remove_hooks(hooks: list[Any]) -> None:
    """Remove hooks from what they are on, and from the list."""
    while hooks:
        hooks.pop().remove()


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
        self._entries = weights
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
        if name not in _NEVER_FLAT:
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
                self.rows[name]["through_time"] = early / torch.maximum(early, late)

        watched.register_hook(note_ratio)  # type: ignore[no-untyped-call]
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


# --- diagnostics ---


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


def next_inputs(inputs: Tensor, target: Tensor) -> int | None:
    """The axis of time of a batch of tokens whose targets are the next inputs; None where they are not."""
    if inputs.is_floating_point() or inputs.dim() != 2 or target.numel() != inputs.numel():
        return None
    target = target.reshape(inputs.shape)
    for axis in (1, 0):
        steps = inputs.shape[axis] - 1
        if steps > 2 and torch.equal(target.narrow(axis, 0, steps), inputs.narrow(axis, 1, steps)):
            return None if torch.equal(target, inputs) else axis
    return None


def future_gradient(embedded: Tensor, output: Tensor, axis: int) -> dict[str, float]:
    """The dependence of one output on later inputs of its sequence (`later`), and on other sequences (`others`).

    `axis` is that of time. Each is the gradient by the embedded inputs as a fraction of all; 0 where a network is
    causal, and where no norm mixes samples. Empty where that cannot be seen.
    """
    size = embedded.shape[:2]
    if output.shape[-1] * size.numel() != output.numel() or not output.requires_grad or output.is_complex():
        return {}
    at, outputs = size[axis] // 2, output.reshape(*size, -1).movedim(axis, 1)
    try:
        (gradient,) = torch.autograd.grad(outputs[0, at].float().square().sum(), embedded, retain_graph=True)
    except RuntimeError:  # a graph that is made again in its backward pass
        return {}
    sizes = torch.linalg.vector_norm(gradient.float(), dim=2).movedim(axis, 1)
    total = max(float(sizes.norm()), 1e-30)
    others = sizes[1:].norm(dim=1).max() if len(sizes) > 1 else 0.0
    return {"later": float(sizes[0, at + 1 :].norm()) / total, "others": float(others) / total}


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


# --- before training ---


def train_without_dropout(model: nn.Module) -> None:
    """Set the train mode of all modules, but of dropout."""
    for module in model.train().modules():
        if isinstance(module, DROPOUTS):
            module.eval()


@contextmanager
def restoring(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Restore the tensors, weights or running statistics, bit for bit after the block."""
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)


@contextmanager
def preserving_state(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore buffers, mode, gradients and random numbers of a training after the block."""
    states, training = generators(device), model.training
    try:
        with restoring([*model.buffers()]):
            yield
    finally:
        model.train(training)
        model.zero_grad()
        set_generators(device, states)


def first_batch(model: Any, network: nn.Module, images: Tensor, labels: Tensor) -> Diagnostics:
    """The first batch before any step: its loss, the layers, and what the network is made of.

    `model` takes the images, `network` is the part of it whose layers are probed. `sample_gradients`: of each layer,
    the root mean square over SINGLE images of the gradient of their losses. Under batch norm that loss depends on the
    other images. Dropout is off.
    """
    images, labels = images[:MAX_IMAGES], labels[:MAX_IMAGES]
    with preserving_state(model, images.device):
        train_without_dropout(model)
        probe = Probe(network)
        try:
            logits = model(images)
            loss = nn.functional.cross_entropy(logits, labels)
            with model.running("in its backward pass", images.device):
                loss.backward()  # type: ignore[no-untyped-call]
        finally:
            probe.close()
        weights = {id(parameter) for parameter in network.parameters()}
        cut = without_gradient(probe, weights)
        probe.before_step(weights)
        modules = [probe.modules[name] for name in probe.rows]
        gradients = _of_single_images(model, images[:SINGLE], labels[:SINGLE], modules)
    return {
        "first_loss": finite(loss.detach()),
        "sample_gradients": gradients,
        **first_layers([*probe.rows.values()]),
        "network": network_facts(network, probe.activations, probe.normed_over),
        "loop": {"loss_path": operations(loss), "no_gradient": cut, "crossed": batch_as_time(probe, logits)},
    }


def _of_single_images(
    model: nn.Module, images: Tensor, labels: Tensor, modules: Sequence[nn.Module]
) -> list[float | None]:
    weights = [[weight for weight in matrices(module) if weight.requires_grad] for module in modules]
    flat = [weight for layer in weights for weight in layer]
    if not flat:
        return [None] * len(modules)
    squares = [0.0] * len(modules)
    losses = nn.functional.cross_entropy(model(images), labels, reduction="none")
    for loss in losses:
        gradients = iter(torch.autograd.grad(loss, flat, retain_graph=True, allow_unused=True))
        for number, layer in enumerate(weights):
            norms = [gradient.square().sum() for _ in layer if (gradient := next(gradients)) is not None]
            squares[number] += float(torch.stack(norms).sum()) if norms else 0.0
    return [
        finite((total / len(losses)) ** 0.5) if layer else None
        for total, layer in zip(squares, weights, strict=True)
    ]


def label_facts(train: Tensor, validation: Tensor) -> Diagnostics:
    """The chance level, which needs no look at an image, from the labels of both halves of the data.

    `prior_entropy` and `validation_entropy`: the chance-level loss, in nats. `chance`: the accuracy of always naming
    the training images' most frequent class.
    """
    counts = torch.bincount(train)
    return {
        "train_images": len(train),
        "validation_images": len(validation),
        "classes": int((counts > 0).sum()),
        "prior_entropy": prior_entropy(train),
        "validation_entropy": prior_entropy(validation),
        "chance": float((validation == counts.argmax()).float().mean()),
    }


def prior_entropy(labels: Tensor) -> float:
    """The loss of a network that predicts each class with its fraction of the labels, in nats (ln 10 for ten equal
    classes)."""
    frequencies = torch.bincount(labels.cpu()).double() / len(labels)  # on the CPU: mps has no float64
    return float(-(frequencies * torch.log(frequencies.clamp_min(1e-300))).sum())


# --- divergence ---


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
