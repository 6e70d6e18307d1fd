"""What a sampled step did in every layer of any network, by public hooks of PyTorch.

A layer is a module with a weight matrix: linear, convolution, embedding, recurrent, attention. Layers are in the order
of their first call. A window is one step that is looked into: hooks are there only while it is open. Nothing is kept
of activations but their moments, and of weights and gradients but norms and a sample, so that neither memory nor time
grows with the network's activations.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from optilab.config.flat import FLAT

EpochRecord = dict[str, Any]
"""One line of diagnostics.jsonl."""

MEASURED = (
    "gradient_norm",
    "weight_norm",
    "update_norm",
    "identical_units",
    "activation_mean",
    "activation_std",
    "saturated",
    "dead",
    "common",
)
"""Columns of a probe, in order; shares are between 0 and 1."""
_SECOND_MOMENTS = ("exp_avg_sq", "square_avg", "mean_square", "S", "sum")
"""Where the optimizers keep the moving average, or sum, of squared gradients."""
SAMPLE = 16_384
"""Entries of a weight, evenly spaced, from which the length of a step is estimated."""
ROWS = 32
"""Samples of a batch from which activations are measured."""
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
OTHER_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
NORMS = (*BATCH_NORMS, *OTHER_NORMS)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
BY_CHANNEL = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED, *BATCH_NORMS, nn.GroupNorm)
"""What takes inputs with channels in the second place; others have their features in the last."""
_BOUNDS = {name.replace("-", ""): bounds for name, bounds in FLAT.items()}
"""Name of an activation, as the graph has it, -> the bounds at which it is flat."""
_VIEWS = frozenset(
    ["View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "Permute", "Select",
     "Slice", "T", "Clone", "ToCopy"]
)  # fmt: skip
"""Operations that leave every entry what it is."""
_KEEPS_ZERO = ("Mean", "MaxPool", "AvgPool", "Adaptive", "Mul", "NativeDropout", "Max")
"""The beginnings of those that make zero of zeros: pooling, dropout."""


def operations(tensor: Tensor, most: int = 12) -> list[str]:
    """The operations that made a tensor, the last one first, along their first inputs: NllLoss, LogSoftmax, Addmm."""
    found: list[str] = []
    node: Any = tensor.grad_fn
    while node is not None and len(found) < most:
        found.append(node.name().rpartition("::")[2].partition("Backward")[0])
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
    return found


def activation_before(tensor: Tensor) -> tuple[str, bool]:
    """(the activation that made a tensor, whether every entry is one of its outputs); ("", False) without one."""
    whole = True
    for name in operations(tensor, 6):
        if (low := name.lower()) in _BOUNDS:
            return low, whole
        if name.startswith(_KEEPS_ZERO):
            whole = False
        elif name.rstrip("0123456789") not in _VIEWS:
            break
    return "", False


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


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The weights of a layer that are at least matrices, the first one its own."""
    return [p for p in module.parameters() if not nn.parameter.is_lazy(p) and p.dim() >= 2]


def first_tensor(values: Any) -> Tensor | None:
    """The first tensor of arguments, keywords, or an output: `logits` where it has them."""
    if isinstance(values, Tensor):
        return values
    if isinstance(logits := getattr(values, "logits", None), Tensor):
        return logits
    inner = values.values() if isinstance(values, Mapping) else values if isinstance(values, list | tuple) else ()
    return next((found for value in inner if (found := first_tensor(value)) is not None), None)


def as_real(tensor: Tensor) -> Tensor:
    """A tensor without its graph; complex numbers are pairs along a further axis."""
    tensor = tensor.detach()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def spaced(tensor: Tensor, most: int = SAMPLE) -> Tensor:
    """At most `most` entries, evenly spaced, as a vector."""
    flat = as_real(tensor).reshape(-1)
    return flat[:: max(1, math.ceil(flat.numel() / most))]


class Window:
    """One step that is looked into, from its forward pass to the step of the optimizer."""

    def __init__(self, model: nn.Module, guard: Callable[..., Any], hooked: bool) -> None:
        self.values: dict[str, dict[str, Any]] = {}  # layer -> quantity -> number, in the order of first calls
        self.modules: dict[str, nn.Module] = {}
        self.called: set[str] = set()
        self.apart: set[str] = set()  # called without gradients
        self.normed_over: list[int] = []
        self.axes: dict[str, list[int]] = {}  # of a layer over sequences: samples and time steps, as it takes them
        self.activations: list[str] = []
        self.input: Tensor | None = None
        self.embedded: Tensor | None = None  # the network's inputs behind its first embedding
        self._before: dict[str, Tensor] = {}
        self._weights: dict[str, list[nn.Parameter]] = {}
        self._in_step = False
        self._latest = ""
        self._hooks: list[Any] = []
        for name, module in layers_of(model):
            self.modules[name] = module
            if hooked:
                self._hooks += [
                    module.register_forward_pre_hook(guard(self._enter, name), with_kwargs=True),
                    module.register_forward_hook(guard(self._leave, name)),
                ]

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    # --- forward ---

    def _enter(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            self.apart.add(name)
            return None
        if name in self.called:
            return None
        self.called.add(name)
        given = first_tensor([args, kwargs])
        if given is None:
            return None
        if self.input is None:
            self.input = given.detach()
        if isinstance(module, BATCH_NORMS) and module.training:
            self.normed_over.append(given.numel() // given.shape[1])
        weighs = bool(matrices(module))
        if self._latest and given.is_floating_point() and (weighs or isinstance(module, NORMS)):
            self.values[self._latest] |= self._flat(module, given)
        if not weighs:
            return None
        if given.dim() == 3 and (first := getattr(module, "batch_first", None)) is not None:
            self.axes[name] = [*(given.shape[:2] if first else (given.shape[1], given.shape[0]))]
        self.values[name] = {}
        self._latest = name
        if isinstance(module, nn.RNNBase) and given.is_floating_point():
            return self._through_time(name, module, given, args, kwargs)
        return None

    def _leave(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        values = self.values.get(name)
        if values is None or "activation_std" in values or not torch.is_grad_enabled():
            return
        found = first_tensor(output)
        if isinstance(module, nn.Embedding) and self.embedded is None and _same(first_tensor(args), self.input):
            self.embedded = found
        if found is not None and found.is_floating_point():
            some = found.detach()[:ROWS].float()
            values["activation_std"], values["activation_mean"] = torch.std_mean(some, correction=0)

    def _flat(self, module: nn.Module, given: Tensor) -> dict[str, Any]:
        """For the layer before: the fraction of its outputs on a flat part, and of its units that are always there."""
        name, whole = activation_before(given)
        if not name or given.dim() < 2:
            return {}
        low, high = _BOUNDS[name]
        if not whole and low != 0.0:
            return {}
        some = given.detach()[: 4 * ROWS]
        axis = 1 if isinstance(module, BY_CHANNEL) else some.dim() - 1
        flat = (some <= low) | (some >= high)
        self.activations.append(name)
        units = flat.transpose(0, axis).reshape(flat.shape[axis], -1).all(dim=1)
        return {"saturated": flat.float().mean(), "dead": units.float().mean()}

    def _through_time(self, name: str, module: nn.RNNBase, given: Tensor, args: Any, kwargs: Any) -> Any:
        """Note the gradient by the inputs of each time step; inputs without one are given one, which changes no bit."""
        watched = given if given.requires_grad else given.detach().requires_grad_()
        time = 1 if module.batch_first and given.dim() == 3 else 0

        def seen(gradient: Tensor) -> None:
            others = [axis for axis in range(gradient.dim()) if axis != time]
            norms = torch.linalg.vector_norm(gradient.detach().float(), dim=others)
            if len(norms) >= 8:
                early, late = norms[: len(norms) // 4].mean(), norms[-(len(norms) // 4) :].mean()
                self.values[name]["through_time"] = early / torch.maximum(early, late)

        watched.register_hook(seen)  # type: ignore[no-untyped-call]
        if watched is given:
            return None
        if args and args[0] is given:
            return (watched, *args[1:]), kwargs
        return args, {key: watched if value is given else value for key, value in kwargs.items()}

    # --- backward and step ---

    @torch.no_grad()
    def before_step(self, held: set[int]) -> None:
        """Weights are still those that the gradients are of; of the layers that an optimizer holds."""
        self._weights = {name: mine for name, module in self.modules.items() if (mine := _held(module, held))}
        self._before = {name: torch.cat([spaced(p).float() for p in mine]) for name, mine in self._weights.items()}
        # A closure, as Lightning and L-BFGS have it, computes the gradients in the step.
        self._in_step = not self.called
        if not self._in_step:
            self._measure()

    @torch.no_grad()
    def after_step(self) -> None:
        """The weights have changed."""
        if self._in_step:
            self._measure()
        for name, before in self._before.items():
            if name in self.values:
                now = torch.cat([spaced(p).float() for p in self._weights[name]])
                # As a fraction of the same sample: an estimate of |dw|/|w|.
                self.values[name]["update_to_weight"] = (now - before).norm() / before.norm()
        self._before, self._weights = {}, {}

    def _measure(self) -> None:
        """Gradients and weights of the layers that were called; of all where calls are not seen."""
        for name, mine in self._weights.items():
            if self.called and name not in self.called:
                continue
            values = self.values.setdefault(name, {})
            gradients = [p.grad for p in mine if p.grad is not None]
            sizes = [torch.linalg.vector_norm(g.coalesce().values() if g.is_sparse else g) for g in gradients]
            values["gradient_norm"] = torch.stack(sizes).norm() if sizes else math.nan
            values["weight_norm"] = torch.stack([torch.linalg.vector_norm(p) for p in mine]).norm()
            rows = _rows(self.modules[name], mine[0])
            if rows is not None:
                values["common"] = common_share(rows)
                values["identical_units"] = (rows == rows[:1]).all(dim=1).float().mean()

    def layers(self) -> list[dict[str, Any]]:
        """A record of every layer that was called, in the order of first calls; what was not measured is null."""
        found = []
        for name, values in self.values.items():
            row: dict[str, Any] = dict.fromkeys(QUANTITIES)
            row |= {key: finite(float(value)) for key, value in values.items()}
            gradient, weight, step = row["gradient_norm"], row["weight_norm"], row["update_to_weight"]
            if weight:
                row["gradient_to_weight"] = None if gradient is None else gradient / weight
                row["update_norm"] = None if step is None else step * weight
            found.append({"name": name, "kind": type(self.modules[name]).__name__, **row})
        return found


QUANTITIES = (*MEASURED, "gradient_to_weight", "update_to_weight", "through_time")
"""What is recorded of a layer, as of optilab's own trainings; `through_time` of recurrent layers."""


def common_share(weight: Tensor) -> Tensor:
    """Fraction of a weight matrix's squares that is the same in every unit: 1 where all units are equal."""
    return weight.mean(dim=0).square().sum() * len(weight) / weight.square().sum()


def _held(module: nn.Module, held: set[int]) -> list[nn.Parameter]:
    return [p for p in matrices(module) if id(p) in held]


def by_unit(module: nn.Module, weight: Tensor) -> Tensor:
    """A view of a weight in which units come first; in transposed convolutions, inputs do."""
    return weight.transpose(0, 1) if isinstance(module, TRANSPOSED) else weight


def _rows(module: nn.Module, weight: Tensor) -> Tensor | None:
    """A weight as a matrix with a row per unit; None where it has no units to compare."""
    if isinstance(module, EMBEDDINGS):
        return None
    units = getattr(module, "hidden_size", getattr(module, "embed_dim", 0))
    if units and len(weight) % units == 0:  # gates, or queries, keys and values, of the same units
        weight = weight.reshape(-1, units, *weight.shape[1:]).transpose(0, 1)
    rows = as_real(by_unit(module, weight)).flatten(1)
    return rows if min(rows.shape) > 1 else None


def record_of(epoch: int, probes: Sequence[Sequence[dict[str, Any]]], rate: float | None) -> EpochRecord:
    """One line of diagnostics.jsonl: means over the epoch's probes, each the records of the layers that it has seen."""
    found: dict[str, list[dict[str, Any]]] = {layer["name"]: [] for layer in probes[-1]}
    for layer in (layer for probe in probes for layer in probe):
        if layer["name"] in found:
            found[layer["name"]].append(layer)
    return {
        "epoch": epoch,
        "layers": [_mean(rows) for rows in found.values()],
        "first_batch_gradients": [layer["gradient_norm"] for layer in probes[0]],
        "gradient_noise": None,
        "eps_share": None,
        "lr": rate,
    }


def _mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    mean = dict(rows[-1])
    for key, value in mean.items():
        if not isinstance(value, str):
            values = [row[key] for row in rows if row[key] is not None]
            mean[key] = sum(values) / len(values) if values else None
    return mean


def setup_of(model: nn.Module, activations: Sequence[str], normed_over: Sequence[int]) -> dict[str, Any]:
    """What a network is made of, as the causes of `diagnose` ask: norm, activation and dropout.

    `activations` and `normed_over` are those that windows have seen.
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
        "activation": max(names, key=names.count) if names else "relu" if relu else "identity",
        "saturates": len(names) > relu,
    }


def first_layers(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the first record of a training has of its layers."""
    keys = {"first_weights": "weight_norm", "first_dead": "dead", "first_common": "common"}
    return {first: [layer[key] for layer in layers] for first, key in keys.items()}


def without_gradient(model: nn.Module, window: Window, held: Collection[int]) -> tuple[list[str], list[str]]:
    """(layers that were called and are trained but have no gradient, modules with parameters that were not called).

    What runs inside of `torch.no_grad()` is trained where an optimizer holds it (`held`, by identity) and it is not in
    eval mode.
    """
    cut, unused = [], []
    for name, module in layers_of(model):
        trained = [p for p in matrices(module) if p.requires_grad]
        if not list(module.parameters()) or not window.called:
            continue
        if name not in window.called | window.apart:
            unused.append(name)
            continue
        if name not in window.called:
            trained = [p for p in trained if id(p) in held and module.training]
        if trained and all(p.grad is None for p in trained):
            cut.append(name)
    return cut, unused


def crossed(window: Window, output: Tensor | None) -> dict[str, list[int]]:
    """Layer over sequences that takes samples for time steps -> what it takes for samples, and for time steps.

    There is one output per sample of the batch, (samples,) or (samples, values), and the same number of time steps. Or
    there is one per time step, and the inputs have an order along what the layer takes for samples alone.
    """
    found, given = {}, window.input
    for name, (samples, times) in window.axes.items():
        if output is None or samples == times or samples == 1:
            continue
        if output.dim() < 3:
            swapped = [*output.shape[:1]] == [times]
        else:
            sizes = [] if given is None else [*given.shape[:2]]
            swapped = sorted(sizes) == sorted((samples, times)) == sorted(output.shape[:2])
            swapped = swapped and given is not None and _ordered(given, sizes.index(samples), sizes.index(times))
        if swapped:
            found[name] = [samples, times]
    return found


MANY = 64
"""Entries along an axis of a batch that are compared."""
ORDERED, UNORDERED, ALIKE = 5.0, 2.0, 0.8
"""Standard deviations of permutations by which neighbors along an axis differ where it has an order, and where it has
none; there they are also as alike as any others, within this factor."""


@torch.no_grad()
def _ordered(batch: Tensor, axis: int, other: int) -> bool:
    """Whether the inputs have an order along one axis, and none along the other.

    The samples of a batch are in any order: their neighbors are as alike as after any permutation.
    """
    z, _ = _neighbors(batch, axis)
    none, ratio = _neighbors(batch, other)
    return abs(z) > ORDERED and abs(none) < UNORDERED and ALIKE < ratio < 1 / ALIKE


def _neighbors(batch: Tensor, axis: int) -> tuple[float, float]:
    """How alike neighbors along an axis are, over the mean after permutations: in standard deviations, and as a ratio.

    That is the mean square of their difference; of tokens, how often their pairs are the same.
    """
    rows = batch.detach().movedim(axis, 0)[:MANY, :MANY].flatten(1)[:, : MANY * MANY].cpu()
    apart = torch.cdist(rows.float(), rows.float()).square()

    def alike(order: Tensor) -> float:
        if batch.is_floating_point():
            return float(apart[order[:-1], order[1:]].mean())
        pairs = rows[order[:-1]].long() * (int(rows.max()) + 1) + rows[order[1:]]
        counts: Tensor = pairs.unique(return_counts=True)[1]  # type: ignore[no-untyped-call]
        return float(counts.double().square().sum())

    draws, count = torch.Generator().manual_seed(0), len(rows)
    own, *others = map(alike, [torch.arange(count), *(torch.randperm(count, generator=draws) for _ in range(40))])
    mean = sum(others) / len(others)
    spread = math.sqrt(sum((value - mean) ** 2 for value in others) / len(others))
    return ((own - mean) / spread, own / mean) if spread > 0 else (0.0, 1.0)


def future(embedded: Tensor, output: Tensor, axis: int) -> dict[str, float]:
    """How much one output depends on later inputs of its sequence (`later`), and on other sequences (`others`).

    `axis` is that of time. Each is the gradient by the embedded inputs as a fraction of all; 0 where a network is
    causal, and where no norm mixes samples. Empty where that cannot be seen.
    """
    size = embedded.shape[:2]
    if output.shape[-1] * size.numel() != output.numel() or not output.requires_grad or output.is_complex():
        return {}
    at, outputs = size[axis] // 2, output.reshape(*size, -1).movedim(axis, 1)
    try:
        (gradient,) = torch.autograd.grad(outputs[0, at].float().square().sum(), embedded, retain_graph=True)
    except RuntimeError:  # a graph that is made anew in its backward pass
        return {}
    sizes = torch.linalg.vector_norm(gradient.float(), dim=2).movedim(axis, 1)
    whole = max(float(sizes.norm()), 1e-30)
    others = sizes[1:].norm(dim=1).max() if len(sizes) > 1 else 0.0
    return {"later": float(sizes[0, at + 1 :].norm()) / whole, "others": float(others) / whole}


BLOCK, FROZEN = 256, 32
"""Rows and columns of a frozen weight that are looked at, and frozen layers."""


@torch.no_grad()
def frozen(window: Window, held: Collection[int]) -> dict[str, float]:
    """Frozen layer -> largest singular value of its weights over that of a random matrix of their spread.

    Independent entries of standard deviation s have s (sqrt(rows) + sqrt(columns)) (Marchenko and Pastur 1967); what a
    training adds to them has few directions, and is larger. Of at most FROZEN layers, evenly spaced.
    """
    found = {}
    for name, module in window.modules.items():
        weights = matrices(module)
        seen = name in window.called | window.apart
        if seen and weights and not any(p.requires_grad and id(p) in held for p in weights):
            block = as_real(by_unit(module, weights[0])).flatten(1)[:BLOCK, :BLOCK].float()
            edge = float(block.square().mean().sqrt()) * sum(math.sqrt(size) for size in block.shape)
            if min(block.shape) >= 8 and edge > 0:
                found[name] = (block, edge)
    spread = list(found.items())[:: max(1, math.ceil(len(found) / FROZEN))]
    return {name: float(torch.linalg.matrix_norm(block, 2)) / edge for name, (block, edge) in spread}


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether both are the same entries in memory."""
    return one is not None and other is not None and (one.data_ptr(), one.shape) == (other.data_ptr(), other.shape)


def finite(value: float | None) -> float | None:
    """The number, or None where it is infinite or not a number."""
    return value if value is not None and math.isfinite(value) else None


def eps_share(optimizer: torch.optim.Optimizer) -> float | None:
    """Fraction of the parameters whose root mean square gradient is below eps; None where there is no such thing."""
    below, total = [], 0
    for group in optimizer.param_groups:
        eps = group.get("eps", getattr(getattr(optimizer, "rule", None), "eps", None))
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            squares = next((state[name] for name in _SECOND_MOMENTS if name in state), None)
            if (
                squares is None and "exp_inf" in state
            ):  # Adamax: the largest gradient, to which torch has added eps
                squares = (state["exp_inf"] - eps).square()
            if eps is None or squares is None:
                continue
            squares = as_real(squares)
            # The first steps' averages are small for want of steps, not of gradient.
            steps, beta2 = state.get("step", state.get("t")), group.get("betas", (0, 0))[1]
            averaged = steps is not None and beta2 and "exp_inf" not in state
            correction = 1 - beta2 ** float(steps) if averaged else 1.0
            below.append((squares < (eps**2) * correction).sum())
            total += squares.numel()
    return int(torch.stack(below).sum()) / total if total else None
