"""The remedies of the vanishing-gradient study, each as the change that its preset makes to `sigmoid.yaml`.

`optilab remedy` makes the same change to any config, and `optilab diagnose` names it. The presets are in
configs/train/remedies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from optilab.config.keys import is_within
from optilab.config.tree import Override
from optilab.errors import chosen_names
from optilab.proposals import flow

BASE = "sigmoid"
REMEDY, AS_IT_IS = "remedy", "as it is"
"""The setting of a trial that names its remedy, and its value for a network without one."""


@dataclass(frozen=True)
class Remedy:
    """A change of a config: dotted key -> new value."""

    name: str
    changes: Mapping[str, Any]

    @property
    def sets(self) -> tuple[str, ...]:
        """`KEY=VALUE` of each change, as `--set` takes it."""
        return tuple(f"{key}={flow(value)}" for key, value in self.changes.items())

    @property
    def size(self) -> int:
        """The number of settings that change: a mapping counts each of its entries."""
        return sum(_leaves(value) for value in self.changes.values())

    @property
    def overrides(self) -> list[Override]:
        return [Override(f"remedy {self.name}", key, value) for key, value in self.changes.items()]


def _leaves(value: Any) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return 1 if inner is None else sum(map(_leaves, inner))


REMEDIES: Mapping[str, Remedy] = {
    remedy.name: remedy
    for remedy in (
        Remedy("lr", {"optimizer.lr": 3.0}),
        Remedy("batchnorm", {"model.norm": "batch"}),
        Remedy("layernorm", {"model.norm": "layer"}),
        Remedy("relu", {"model.activation": "relu"}),
        Remedy("standardize", {"model.norm": "standardize"}),
        Remedy("tanh", {"model.activation": "tanh"}),
        Remedy("unit-gain", {"model.init": "unit-gain"}),
        Remedy("xavier", {"model.init": "xavier"}),
        Remedy("adopt", {"optimizer": {"name": "adopt", "lr": 0.01}}),
        Remedy("momentum", {"optimizer": {"name": "momentum", "beta": 0.8}}),
        Remedy("weight-std1", {"model.init": {"name": "normal", "std": 1.0}}),
        Remedy("weight-std10", {"model.init": {"name": "normal", "std": 10.0}}),
        Remedy("adam", {"optimizer": {"name": "adam", "lr": 0.01, "eps": "1e-6"}}),
        Remedy(
            "rmsprop", {"optimizer": {"name": "rmsprop", "lr": 0.01, "decay": 0.99, "eps_placement": "outside"}}
        ),
        Remedy("skip", {"model.skip": [[1, 3], [3, 5]]}),
        Remedy("gradient-norm", {"model.gradient_norm": [1, 2, 3, 4, 5]}),
        Remedy("staged", {"stages": [{"layers": 1, "epochs": 100}, {"layers": 3, "epochs": 100}, {"layers": 5}]}),
        Remedy(
            "kitchen-sink",
            {
                "model.activation": "gelu",
                "model.init": "kaiming",
                "model.norm": "batch",
                "model.skip": [[1, 3], [3, 5]],
                "model.dropout": 0.2,
                "optimizer": {"name": "adamw", "lr": 0.003, "weight_decay": 0.05},
                "clip_norm": 1.0,
                "schedule": "one-cycle",
                "schedule_by": "batch",
            },
        ),
    )
}
"""Every remedy by name, the smallest change first."""


def pairs(singles: Sequence[Remedy]) -> list[Remedy]:
    """Two remedies at once, each two of these that change different keys, as another remedy."""
    return [
        Remedy(f"{a.name}-and-{b.name}", {**a.changes, **b.changes})
        for a, b in combinations(singles, 2)
        if not any(is_within(k, j) or is_within(j, k) for k in a.changes for j in b.changes)
    ]


def chosen_remedies(only: Sequence[str] | None) -> list[Remedy]:
    """The remedies of these names, or all; UsageError names the nearest to an unknown one."""
    names = list(REMEDIES) if only is None else chosen_names("--only", only, "remedy", REMEDIES)
    return [REMEDIES[name] for name in names]
