"""The keys of a file of claims: commands, and what their results are expected to be."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import MinLen
from pydantic import Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from optilab.config.schema.claim import Claims
from optilab.config.schema.fields import Section


class Check(Section):
    """One command and its claims; exactly one of `optimize`, `train` and `sweep`."""

    name: Annotated[str, MinLen(1), Doc("where the numbers are stated, or what they show")]
    optimize: Annotated[Any, Doc("paths: a preset, a YAML file, or the keys of an optimize config")] = None
    train: Annotated[Any, Doc("a training: a preset, a YAML file, or the keys of a train config")] = None
    sweep: Annotated[Any, Doc("a study: a YAML file, or the keys of a sweep config")] = None
    set: Annotated[dict[str, Any], Doc("dotted key -> value")] = Field(default_factory=dict)
    slow: Annotated[bool, Doc("only checked with --slow")] = False
    expect: Claims = ()

    @model_validator(mode="after")
    def _one_command(self) -> "Check":
        if sum(getattr(self, kind) is not None for kind in ("optimize", "train", "sweep")) != 1:
            raise PydanticCustomError("check", "exactly one of optimize, train and sweep expected")
        return self

    @property
    def command(self) -> str:
        """optimize, train or sweep."""
        return next(kind for kind in ("optimize", "train", "sweep") if getattr(self, kind) is not None)


class CheckFile(Section):
    """`optilab check FILE`: several commands, each with its claims."""

    kind: ClassVar[str] = "check"

    checks: Annotated[tuple[Check, ...], Strict(False), MinLen(1), Doc("commands and their claims")]

    def quick(self) -> Sequence[Check]:
        """Those that are not slow."""
        return [check for check in self.checks if not check.slow]
