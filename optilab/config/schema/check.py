"""The keys of a file of claims: commands, and what their results are expected to be."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import MinLen
from pydantic import Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from optilab.config.schema.claim import Claims
from optilab.config.schema.fields import Section

COMMANDS = ("optimize", "train", "sweep", "remedy", "race", "lr")
"""The commands whose results can be claimed."""


class Check(Section):
    """One command and its claims; exactly one of COMMANDS."""

    name: Annotated[str, MinLen(1), Doc("where the numbers are stated, or what they show")]
    optimize: Annotated[Any, Doc("paths: a preset, a YAML file, or the keys of an optimize config")] = None
    train: Annotated[Any, Doc("a training: a preset, a YAML file, or the keys of a train config")] = None
    sweep: Annotated[Any, Doc("a study: a YAML file, or the keys of a sweep config")] = None
    remedy: Annotated[Any, Doc("remedies of a training: a YAML file, or config, only, pairs, tune and seeds")] = (
        None
    )
    race: Annotated[Any, Doc("a race: a YAML file, or its options as keys; with `on` it is one on trainings")] = (
        None
    )
    lr: Annotated[Any, Doc("the range test of a training: a preset, a YAML file, or its keys")] = None
    set: Annotated[dict[str, Any], Doc("dotted key -> value, of the training or the paths")] = Field(
        default_factory=dict
    )
    slow: Annotated[bool, Doc("only checked with --slow")] = False
    expect: Claims = ()

    @model_validator(mode="after")
    def _one_command(self) -> "Check":
        if sum(getattr(self, command) is not None for command in COMMANDS) != 1:
            raise PydanticCustomError("check", f"exactly one of {', '.join(COMMANDS)} expected")
        return self

    @property
    def command(self) -> str:
        """One of COMMANDS."""
        return next(command for command in COMMANDS if getattr(self, command) is not None)

    @property
    def target(self) -> Any:
        """What the command is given: the name of a preset or file, or keys."""
        return getattr(self, self.command)


class CheckFile(Section):
    """`optilab check FILE`: several commands, each with its claims."""

    kind: ClassVar[str] = "check"

    checks: Annotated[tuple[Check, ...], Strict(False), MinLen(1), Doc("commands and their claims")]

    def chosen(self, slow: bool, pattern: str) -> Sequence[Check]:
        """Those whose names match the pattern; the slow ones only if `slow`."""
        return [check for check in self.checks if (slow or not check.slow) and fnmatchcase(check.name, pattern)]
