"""What a watched loop gives its loss: the tensor that enters it, its last operation, and the targets.

PyTorch frees in the backward pass what a loss was computed from, so a mode of PyTorch's functions sees the loss in the
forward pass of a sampled step. Nothing is known of compiled code, of a loss inside a custom function, and of a loss
that is given as a bare number.
"""

import math
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from optilab.diagnose.loop_evidence import Columns, Entered
from optilab.train.tensors import operation, precise

LOSSES = {
    "mse_loss": "squared", "l1_loss": "absolute", "smooth_l1_loss": "absolute", "huber_loss": "absolute",
    "cross_entropy": "classes", "nll_loss": "likelihood", "binary_cross_entropy_with_logits": "binary logits",
    "binary_cross_entropy": "binary", "poisson_nll_loss": "counts",
}  # fmt: skip
"""Functions of PyTorch that take outputs and targets -> the kind of the loss."""
DIFFERENCES = {"sub", "subtract", "__sub__", "rsub", "__rsub__", "sub_", "__isub__"}
LOGARITHMS = {"log", "log2", "log10", "log1p"}
VIEWS = ("View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Transpose", "T", "Permute", "Clone", "Alias",
         "ToCopy", "Expand", "Select", "Slice", "Contiguous", "Flatten", "Unflatten")  # fmt: skip
"""Operations that change no value."""
RANGES = {
    "Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Relu": (0.0, math.inf),
    "LogSoftmax": (-math.inf, 0.0), "LogSigmoid": (-math.inf, 0.0), "Softplus": (0.0, math.inf),
    "Exp": (0.0, math.inf), "Hardtanh": (-1.0, 1.0), "Hardsigmoid": (0.0, 1.0),
}  # fmt: skip
"""The values that the last operation can have."""
MAX_NODES, MAX_CALLS = 200, 8
MAX_COLUMNS = 256
"""Outputs per sample, at most, whose spread is measured."""


class Call(NamedTuple):
    """A loss, or a difference, that was computed in the forward pass."""

    kind: str
    node: Any
    """The node of the result in the graph."""
    last: str
    """The operation that made the tensor that enters the loss."""
    axis: int | None
    """The axis of its softmax."""
    shape: tuple[int, ...]
    values: Tensor
    """Of the tensor and the targets (`NUMBERS`), on the device."""
    paired: bool = False
    """Outputs (n, 1) and targets (n,) made n x n differences."""


NUMBERS = (
    "count", "low", "high", "mean", "square", "spread", "dead",
    "target_low", "target_high", "target_mean", "target_square", "error", "excess", "whole", "outside", "sum_error",
)  # fmt: skip
"""Numbers of a call: of the tensor its least, largest and mean value, its mean square, the largest deviation of an
output over the batch, and the fraction of outputs that are 0 for all samples; of the targets the same but for the last
two; the mean squared distance of both, and the mean square of what the last operation cannot reach; the fractions of
targets that are whole numbers, and outside of 0 to 1; and the mean distance of the sum of a sample's targets from 1."""


class LossMode(TorchFunctionMode):
    """Notes the losses that are computed while it is active; it changes no result.

    It is entered after a forward pass and left before the step of the optimizer, so it is no context manager of a
    block: a mode that the loop has entered meanwhile stays where it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.error: Exception | None = None
        """What went wrong while a loss was noted; nothing is noted after it."""
        self._active = False
        self._thread = 0

    def start(self) -> None:
        """Begin to note, where that cannot disturb: not among other modes, transforms or compiled functions."""
        free = not torch._C._len_torch_function_stack() and torch._C._functorch.peek_interpreter_stack() is None
        if not self._active and free and not has_compiled():
            self.__enter__()  # type: ignore[no-untyped-call]
            self._active, self._thread = True, threading.get_ident()

    def stop(self) -> None:
        """Note no more; within a backward pass, after which PyTorch restores the modes, it waits for the next call."""
        if not self._active or torch._C._current_graph_task_id() != -1:
            return
        self._active = False
        if self._thread != threading.get_ident():
            return
        above = []
        while torch._C._len_torch_function_stack() and (mode := _pop_mode()) is not self:
            above.append(mode)
        for mode in reversed(above):
            _push_mode(mode)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        try:
            self._look(func, args, kwargs, result)
        except Exception as error:
            self.error = error
        return result

    def _look(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        """Note a loss, a difference or a logarithm."""
        known = isinstance(result, Tensor) and result.requires_grad
        if known and len(self.calls) < MAX_CALLS and self.error is None:
            name = getattr(func, "__name__", "")
            kind = LOSSES.get(name) or ("difference" if name in DIFFERENCES else "")
            tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            if kind and len(tensors) > 1:
                self._note(kind, tensors[:2], result)
            elif name in LOGARITHMS and tensors:
                self._note("logarithm", tensors[:1], result)

    @torch.no_grad()
    def _note(self, kind: str, tensors: list[Tensor], result: Tensor) -> None:
        output, *targets = sorted(tensors, key=lambda tensor: not tensor.requires_grad)
        known = output.requires_grad and output.is_floating_point() and not any(t.requires_grad for t in targets)
        if not known or any(tensor.layout is not torch.strided or not tensor.numel() for tensor in tensors):
            return
        last, axis = last_operation(output, kind in ("logarithm", "binary"))
        target = targets[0].detach() if targets else None
        values = _numbers(output.detach(), target, *RANGES.get(last, (-math.inf, math.inf)))
        n, shapes = len(output) if output.dim() else 1, {tuple(tensor.shape) for tensor in tensors}
        paired = n > 1 and shapes == {(n,), (n, 1)} and result.shape == (n, n)
        self.calls.append(Call(kind, result.grad_fn, last, axis, tuple(output.shape), values, paired))

    def entry(self, loss: Tensor) -> Call | None:
        """The call that the loss was computed from; None where there is none, or several that differ."""
        by_node, found = {call.node: call for call in self.calls}, list[tuple[Call, tuple[str, ...]]]()
        nodes, seen = list[tuple[Any, tuple[str, ...]]]([(loss.grad_fn, ())]), set[Any]()
        while nodes and len(seen) < MAX_NODES:
            node, way = nodes.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if call := by_node.get(node):
                found.append((call, way))
            else:
                nodes += [(parent, (*way, operation(node))) for parent, _ in node.next_functions]
        if len({(call.kind, call.last) for call, _ in found}) > 1:
            found = [(call, way) for call, way in found if call.last not in ("Rsub", "Sub")]
        if len({(call.kind, call.last) for call, _ in found}) != 1:
            return None
        call, way = found[0]
        if len(found) > 1:  # a loss of several parts, as that of real and of generated samples: the range of all
            parts, values = torch.stack([part.values for part, _ in found]), call.values.clone()
            for name, extreme in (("low", torch.amin), ("high", torch.amax)):
                for i in (NUMBERS.index(name), NUMBERS.index(f"target_{name}")):
                    values[i] = extreme(parts[:, i])
            call = call._replace(values=values)
        if call.kind == "likelihood" and call.last == "Log":  # of probabilities, which are what enters the loss
            logarithms = [other for other in self.calls if other.kind == "logarithm"]
            return logarithms[0] if len(logarithms) == 1 else None
        if call.kind != "difference":
            return call
        squared, absolute = (any(name.startswith(start) for name in way) for start in (("Pow", "Mul"), ("Abs",)))
        return call._replace(kind="squared" if squared else "absolute") if squared or absolute else None


def has_compiled() -> bool:
    """Something was compiled: a compiled function would be compiled again for a mode."""
    backends = getattr(sys.modules.get("torch._dynamo.eval_frame"), "cached_backends", {})
    return any(backend is not None for backend in backends.values())


def _pop_mode() -> Any:
    return torch._C._pop_torch_function_stack()


def _push_mode(mode: Any) -> None:
    torch._C._push_on_torch_function_stack(mode)


def last_operation(tensor: Tensor, clamped: bool = False) -> tuple[str, int | None]:
    """The operation that made a tensor, and the axis of its softmax; operations that change no value do not count.

    `clamped`: probabilities whose logarithm is taken may be clamped before, or divided by their sum.
    """
    node, moved = tensor.grad_fn, False
    while node is not None:
        name = operation(node)
        if not (name in VIEWS or (clamped and (name in ("Add", "Div") or name.startswith("Clamp")))):
            break
        moved = moved or name in VIEWS
        node = next((parent for parent, _ in node.next_functions if parent is not None), None)
    if node is None:
        return "", None
    axis = getattr(node, "_saved_dim", None) if name in ("Softmax", "LogSoftmax") and not moved else None
    if axis is None:
        return name, None
    return name, (axis - 2**64 if axis >= 2**63 else axis) % max(1, tensor.dim())


def _numbers(output: Tensor, target: Tensor | None, low: float, high: float) -> Tensor:
    """`NUMBERS` of a call."""
    output = precise(output)
    rows = output.reshape(len(output) if output.dim() else 1, -1)[:, :MAX_COLUMNS]
    numbers = [output.new_tensor(float(output.numel())), output.min(), output.max(), output.mean()]
    numbers += [output.square().mean(), (rows.amax(dim=0) - rows.amin(dim=0)).max()]
    numbers += [(rows == 0).all(dim=0).to(output.dtype).mean()]
    if target is None:
        return torch.stack([*numbers, *[output.new_tensor(math.nan)] * (len(NUMBERS) - len(numbers))])
    target = precise(target) if target.is_floating_point() else target.to(output.dtype)
    same = target.numel() == output.numel()
    error = (output - target.reshape(output.shape)).square().mean() if same else output.new_tensor(math.nan)
    numbers += [target.min(), target.max(), target.mean(), target.square().mean(), error]
    numbers += [
        (target - target.clamp(low, high)).square().mean(),
        (target == target.round()).to(output.dtype).mean(),
    ]
    sums = target.reshape(len(output), -1).sum(dim=1) if same and output.dim() == 2 else target.new_ones(1)
    return torch.stack([*numbers, ((target < 0) | (target > 1)).to(output.dtype).mean(), (sums - 1).abs().mean()])


def entered(calls: Sequence[Call]) -> Entered | None:
    """What all sampled batches show; None where there was no loss, or losses of several kinds."""
    if len({(call.kind, call.last) for call in calls}) != 1:
        return None
    numbers = torch.stack([call.values.cpu() for call in calls]).double().T.tolist()
    of = {
        name: [value for value in values if math.isfinite(value)]
        for name, values in zip(NUMBERS, numbers, strict=True)
    }

    def root(name: str, at: int) -> float | None:
        return rounded(of[name][at] ** 0.5) if of[name] else None

    def over(name: str, function: Callable[[list[float]], float]) -> float | None:
        return rounded(function(of[name])) if of[name] else None

    mean, square = over("target_mean", fmean), over("target_square", fmean)
    return Entered(
        kind=calls[0].kind,
        last=calls[0].last,
        axis=calls[0].axis,
        shape=[*calls[0].shape],
        batches=len(calls),
        low=over("low", min),
        high=over("high", max),
        spread=over("spread", max),
        dead=over("dead", min),
        first_rms=root("square", 0),
        rms=root("square", -1),
        target_low=over("target_low", min),
        target_high=over("target_high", max),
        target_mean=mean,
        target_rms=None if square is None else rounded(square**0.5),
        target_std=None if mean is None or square is None else rounded(max(0.0, square - mean**2) ** 0.5),
        first_error=root("error", 0),
        error=root("error", -1),
        excess=over("excess", fmean),
        whole=over("whole", fmean),
        outside=over("outside", fmean),
        sum_error=over("sum_error", fmean),
    )


def rounded(value: float) -> float:
    """Three digits: no more of a user's data is saved."""
    return float(f"{value:.3g}")


LINEAR = {*VIEWS, "Addmm", "Mm", "Bmm", "Add", "Convolution", "AccumulateGrad", "Mv", "Addmv", "Sum", "Mean"}
"""Operations that are linear in the inputs."""


def is_linear(output: Tensor) -> bool:
    """No operation that made the outputs is nonlinear; False where the graph is too large to tell."""
    nodes, seen = [output.grad_fn], set[Any]()
    while nodes:
        if (node := nodes.pop()) is None or node in seen:
            continue
        if operation(node).rstrip("0123456789") not in LINEAR:
            return False
        seen.add(node)
        if len(seen) > MAX_NODES:
            return False
        nodes += [parent for parent, _ in node.next_functions]
    return bool(seen)


class Table:
    """Sums over the columns of inputs, of at most MAX_COLUMNS columns."""

    def __init__(self) -> None:
        self._rows = 0
        self._sums: Tensor | None = None  # of values and squares, and least and largest values

    @torch.no_grad()
    def with_rows(self, rows: Tensor) -> "Table":
        """The sums with those of a batch; nothing of another width."""
        values = precise(rows.detach()).double() if rows.device.type != "mps" else precise(rows.detach())
        new = torch.stack([values.sum(0), values.square().sum(0), values.amin(0), values.amax(0)])
        if self._sums is None:
            self._rows, self._sums = len(rows), new
        elif self._sums.shape == new.shape:
            least, largest = torch.minimum(self._sums[2], new[2]), torch.maximum(self._sums[3], new[3])
            self._rows, self._sums = self._rows + len(rows), torch.stack([*(self._sums + new)[:2], least, largest])
        return self

    def columns(self) -> Columns:
        """What the columns have in common, and the largest of them."""
        assert self._sums is not None
        sums, squares, low, high = self._sums.cpu().double()
        std = (squares / self._rows - (sums / self._rows).square()).clamp(min=0).sqrt()
        rms, varied = (squares / self._rows).sqrt().nan_to_num(), high > low
        largest = int(rms.argmax())
        spread = std[varied & (std > 0)]
        return Columns(
            count=len(rms),
            constant=int((~varied).sum()),
            largest=rounded(float(rms[largest])),
            at=largest,
            smallest=rounded(float(spread.min())) if len(spread) else 0.0,
            widest=rounded(float(spread.max())) if len(spread) else 0.0,
        )
