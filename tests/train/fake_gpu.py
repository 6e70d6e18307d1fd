"""A simulated GPU: tensors that report `cuda:0`, compute on the CPU, and count what a real GPU would have to wait for.

It refuses what CUDA refuses: an operation on tensors of two devices, unless the one on the CPU is a single number. Its
random numbers come from a separate generator, as on a GPU. What it cannot show is CUDA's arithmetic: kernels round
differently there, which is what `pytest -m gpu` is for.
"""

from collections import Counter
from contextlib import contextmanager

import torch
from torch.optim import optimizer
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda:0")
ATEN = torch.ops.aten
READS = {
    ATEN._local_scalar_dense.default,
    ATEN.equal.default,
    ATEN.nonzero.default,
    ATEN.masked_select.default,
    ATEN.bincount.default,
}
"""Operations whose result the CPU needs, so that it waits for the GPU."""
MOVES = {ATEN._to_copy.default, ATEN.copy_.default, ATEN.index.Tensor}
"""Operations that may have tensors of both devices."""


class OnDevice(torch.Tensor):
    """A tensor on the simulated device; `memory` holds its numbers."""

    __module__ = "torch"  # rules ask an array's class whether it is NumPy's or torch's

    @staticmethod
    def __new__(cls, memory):
        options = {"strides": memory.stride(), "storage_offset": memory.storage_offset(), "dtype": memory.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, memory.size(), **options)

    def __init__(self, memory):
        self.memory = memory

    def __repr__(self):
        return f"OnDevice({self.memory})"

    @property
    def device(self):
        return DEVICE

    # These would find a CPU tensor and return it.

    def cpu(self):
        return self.to("cpu")

    def to(self, *args, **options):
        device, dtype, *_ = torch._C._nn._parse_to(*args, **options)
        memory, moves = self.memory, device is not None and device.type == "cpu"
        if moves:
            Simulation.running.counts["synchronisations"] += 1
            memory = memory.detach().clone()
        elif dtype in (None, self.dtype):
            return self
        memory = memory if dtype is None else memory.to(dtype)
        return memory if moves else _wrapped(memory)

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), options=None):
        raise AssertionError(f"{operation} outside of the simulation")


class Simulation(TorchDispatchMode):
    """While it is entered there is a device `cuda:0`; `counts` has its synchronisations and random draws."""

    running = None

    def __init__(self, float64=True):
        super().__init__()
        self.float64 = float64
        self.counts = Counter()
        self.generator = torch.Generator().manual_seed(0).get_state()

    def __torch_dispatch__(self, operation, types, args=(), options=None):
        options = dict(options or {})
        tensors = list(_tensors((*args, *options.values())))
        ours = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
        target = options.get("device")
        on_device = bool(ours) if target is None else torch.device(target).type == "cuda"
        if target is not None:
            options["device"] = torch.device("cpu")
        if ours and operation not in MOVES:
            strange = [t for t in tensors if not isinstance(t, OnDevice) and t.dim()]
            assert not strange, f"{operation}: expected all tensors to be on one device"
        if ours and (operation in READS or (operation is ATEN.index.Tensor and _masks(args[1]))):
            self.counts["synchronisations"] += 1
        if operation is ATEN.copy_.default and isinstance(args[1], OnDevice) and not isinstance(args[0], OnDevice):
            self.counts["synchronisations"] += 1
            on_device = False
        wrappers = {id(tensor.memory): tensor for tensor in ours}
        memory = lambda leaf: leaf.memory if isinstance(leaf, OnDevice) else leaf  # noqa: E731
        plain = _mapped(memory, args), {name: _mapped(memory, option) for name, option in options.items()}
        drawing = on_device and torch.Tag.nondeterministic_seeded in operation.tags
        with self._device_generator() if drawing else _nothing():
            result = operation(*plain[0], **plain[1])
        if not on_device:
            return result
        return _mapped(lambda leaf: wrappers[id(leaf)] if id(leaf) in wrappers else _wrapped(leaf), result)

    @contextmanager
    def _device_generator(self):
        self.counts["draws"] += 1
        outside = torch.get_rng_state()
        torch.set_rng_state(self.generator)
        yield
        self.generator = torch.get_rng_state()
        torch.set_rng_state(outside)


@contextmanager
def _nothing():
    yield


def _tensors(tree):
    """The tensors in tuples and lists; what operations take and give is in nothing else."""
    for leaf in tree:
        if isinstance(leaf, torch.Tensor):
            yield leaf
        elif isinstance(leaf, tuple | list):
            yield from _tensors(leaf)


def _mapped(function, tree):
    if isinstance(tree, tuple | list):
        return type(tree)(_mapped(function, leaf) for leaf in tree)
    return function(tree)


def _wrapped(leaf):
    if not isinstance(leaf, torch.Tensor):
        return leaf
    if leaf.dtype is torch.float64 and not Simulation.running.float64:
        raise TypeError("the device has no float64")
    return OnDevice(leaf)


def _masks(indices):
    return any(isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)


_compatible = torch._has_compatible_shallow_copy_type
_grouped = optimizer._group_tensors_by_device_and_dtype


def _same_device(input: torch.Tensor, from_: torch.Tensor) -> bool:
    return isinstance(input, OnDevice) == isinstance(from_, OnDevice) and _compatible(input, from_)


def _grouped_by_device(tensors, with_indices=False):
    groups = _grouped(tensors, with_indices)
    return {(group[0][0][0].device, dtype): group for (_, dtype), group in groups.items()}


@contextmanager
def simulated(monkeypatch, float64=True):
    """A simulated device and what PyTorch asks about a real one; without `float64` it lacks that type, as mps does."""
    with monkeypatch.context() as patch, Simulation(float64) as simulation:
        patch.setattr(Simulation, "running", simulation)
        patch.setattr(torch.cuda, "_lazy_init", lambda: None)
        patch.setattr(torch.cuda, "get_rng_state", lambda device: simulation.generator.clone())
        patch.setattr(torch.cuda, "set_rng_state", lambda state, device: setattr(simulation, "generator", state))
        # As between devices: `Module.to` makes new parameters.
        patch.setattr(torch, "_has_compatible_shallow_copy_type", _same_device)
        # It makes the tensor of a number without asking a mode.
        patch.setattr(torch, "asarray", lambda value, **options: torch.full((), value, **options))
        # Wrapped tensors have no inference mode.
        patch.setattr(torch._C, "_InferenceMode", lambda mode: torch.no_grad())
        # As on a GPU, where optimizers work on lists of tensors.
        for module in (optimizer, torch.nn.utils.clip_grad):
            patch.setattr(module, "_group_tensors_by_device_and_dtype", _grouped_by_device)
        types = optimizer._foreach_supported_types
        patch.setattr(optimizer, "_foreach_supported_types", [*types, OnDevice])
        yield simulation
