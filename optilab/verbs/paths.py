"""What the commands share that follow paths: the options that choose rule, function and start; following; tuning."""

from typing import Annotated, Any

from annotated_doc import Doc

from optilab.config.load import function, numbers
from optilab.config.marks import ConfigKey, Flag, Read
from optilab.config.presets import algorithms

Algo = Annotated[
    Any,
    ConfigKey("algo"),
    Read(algorithms),
    Flag("NAME[,NAME...]", complete="rule"),
    Doc("Algorithm(s), as in their presets"),
]
Source = Annotated[Any, Flag("FILE", complete="preset:optimize"), Doc("YAML file or preset")]
Function = Annotated[
    Any,
    ConfigKey("function"),
    Read(function),
    Flag("NAME|FORMULA", complete="objective"),
    Doc("Test function, or a formula of x, y"),
]
Start = Annotated[Any, ConfigKey("start"), Read(numbers), Flag("W1,W2"), Doc("Start point, as -5,-2")]
LearningRate = Annotated[Any, ConfigKey("algo.lr"), Flag("LR"), Doc("Learning rate (algo.lr)")]
