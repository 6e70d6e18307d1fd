"""What every command accepts, as types: one definition gives a key's type, range, default and meaning.

The YAML key, the `--set` key, the check and the reference (`optilab config show train`) come from that definition.
"""

from optilab.schema.fields import OneOf, Section, decimal, run_name, schema_of
from optilab.schema.model import ModelConfig
from optilab.schema.optimize import OptimizeConfig
from optilab.schema.train import DataConfig, EarlyStopping, StageConfig, TrainConfig

SCHEMAS: dict[str, type[Section]] = {"optimize": OptimizeConfig, "train": TrainConfig}

__all__ = [
    "SCHEMAS",
    "DataConfig",
    "EarlyStopping",
    "ModelConfig",
    "OneOf",
    "OptimizeConfig",
    "Section",
    "StageConfig",
    "TrainConfig",
    "decimal",
    "run_name",
    "schema_of",
]
