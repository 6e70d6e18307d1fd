"""Configs of small trainings on the CPU, and the optimizers that can train a network."""

from collections.abc import Mapping
from typing import Any

import torch

from optilab.config.load import load
from optilab.config.training import FUNCTION_ONLY_RULES, TrainConfig
from optilab.config.tree import Override
from optilab.optimize import RULES

CPU = torch.device("cpu")
TRAINABLE = [name for name in RULES if name not in FUNCTION_ONLY_RULES]


def configured(base: Mapping[str, Any], /, **keys: Any) -> TrainConfig:
    """The config with the keys of `base` and, before them, `keys`, in whose names `__` stands for a dot."""
    tree = {**base, **{name.replace("__", "."): value for name, value in keys.items()}}
    return load(TrainConfig, None, [Override("", key, value) for key, value in tree.items()])


class Silent:
    """Watches a run and does nothing."""

    def batch(self, done: int, total: int) -> None: ...

    def epoch(self, row: object, seconds: float, diagnostics: object) -> None: ...
