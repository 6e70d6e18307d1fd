"""What every command accepts, as types: one definition gives a key's type, range, default and meaning.

The YAML key, the `--set` key, the check and the reference (`optilab config show train`) come from that definition.
A command's schema is imported when it is first asked for: `optimize` does not pay for the keys of `train`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optilab.schema.fields import Section
    from optilab.schema.model import ModelConfig
    from optilab.schema.optimize import OptimizeConfig
    from optilab.schema.train import DataConfig, EarlyStopping, Plateau, StageConfig, TrainConfig

KINDS = {"optimize": "OptimizeConfig", "train": "TrainConfig"}
"""Command -> the schema of its configs."""

_HOME = {
    "ModelConfig": "model",
    "OptimizeConfig": "optimize",
    "DataConfig": "train",
    "EarlyStopping": "train",
    "Plateau": "train",
    "StageConfig": "train",
    "TrainConfig": "train",
}

__all__ = [
    "KINDS",
    "DataConfig",
    "EarlyStopping",
    "ModelConfig",
    "OptimizeConfig",
    "Plateau",
    "StageConfig",
    "TrainConfig",
    "schema_for",
]


def schema_for(kind: str) -> "type[Section]":
    """The schema of a command's configs; KeyError for a command that has none."""
    schema: type[Section] = __getattr__(KINDS[kind])
    return schema


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
