"""A network of the user's own in the place of optilab's: `model: FILE.py:NAME`, or package.module:NAME.

    model: net.py:CNN
    model: {name: net.py:CNN, width: 32, init: kaiming}

NAME is a class of torch.nn.Module, or a function that returns one. Its parameters are keys, read off the source without
executing it wherever that is possible. One that is named as in `OF_DATA` and has no default gets that of the dataset.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from pydantic import ConfigDict, create_model
from pydantic_core import core_schema

from optilab.config.model import BIAS_INITS, INITS, ModelConfig
from optilab.config.section import OWN, OneOf, Section, refusal, require_unchanged
from optilab.errors import UsageError, did_you_mean, shown
from optilab.optimize.own import Parameter, declared, is_user_code
from optilab.optimize.own_source import UserCode, locate

OF_DATA = {
    "shape": "shape",
    "channels": "channels",
    "in_channels": "channels",
    "height": "height",
    "width": "width",
    "classes": "classes",
    "num_classes": "classes",
}
"""Parameter -> what it gets of the dataset: shape is (channels, height, width), the others are numbers."""
RESERVED = ("name", "sha256", "init", "bias_init")
"""Keys that every network has next to its own."""
_TYPES: Mapping[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
}


class Arguments(Section):
    """What is asked of a network of the user's own: the arguments of its constructor, and what fills its weights."""

    model_config = ConfigDict(protected_namespaces=())
    takes: ClassVar[str]
    """Its name and its parameters, for messages."""
    place: ClassVar[str]
    """Its file and the line that declares it."""

    init: Annotated[
        Any, OneOf(INITS, "initialization", optional=True), Doc("initial weights; null: those of its code")
    ] = None
    bias_init: Annotated[
        Any,
        OneOf(BIAS_INITS, "initialization", optional=True),
        Doc("initial biases; null: zero where init is given, else those of its code"),
    ] = None


@dataclass(frozen=True)
class OwnNetwork:
    """A network of the user's own: its code, the arguments that are set or have a default, and the initial weights."""

    origin: UserCode
    arguments: tuple[tuple[str, Any], ...] = ()
    init: Any = None
    bias_init: Any = None
    of_data: tuple[str, ...] = ()
    """The parameters that get what the dataset has."""

    @property
    def name(self) -> str:
        """For tables and messages: `net.py:CNN`."""
        return self.origin.label

    def called_with(self, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """The arguments of its constructor for images of (channels, height, width)."""
        data = dict(zip(("channels", "height", "width"), shape, strict=True)) | {
            "shape": tuple(shape),
            "classes": classes,
        }
        return {name: data[OF_DATA[name]] for name in self.of_data} | dict(self.arguments)

    def dump(self) -> dict[str, Any]:
        """As a config has it."""
        inits = {"init": INIT.dump(self.init), "bias_init": BIAS_INIT.dump(self.bias_init)}
        return {
            "name": self.origin.spec,
            "sha256": self.origin.sha256,
            **{key: list(value) if isinstance(value, tuple) else value for key, value in self.arguments},
            **{key: value for key, value in inits.items() if value is not None},
        }

    @classmethod
    def recorded(cls, tree: Mapping[str, Any]) -> "OwnNetwork":
        """As a run's config.yaml has it, whatever has become of its file."""
        spec, digest = str(tree["name"]), str(tree.get("sha256", ""))
        place, _, attribute = spec.rpartition(":")
        values = tuple((key, _frozen(value)) for key, value in tree.items() if key not in RESERVED)
        inits = INIT.build(tree.get("init")), BIAS_INIT.build(tree.get("bias_init"))
        return cls(UserCode(spec, Path(place), attribute, b"", digest), values, *inits)


INIT, BIAS_INIT = (OneOf(registry, "initialization", optional=True) for registry in (INITS, BIAS_INITS))


def is_own_network(tree: Any) -> bool:
    """Whether the `model` of a config means a network of the user's own."""
    return is_user_code(tree.get("name") if isinstance(tree, Mapping) else tree)


def arguments_of(tree: Any) -> type[Arguments]:
    """The keys that a network accepts. UsageError where there is no such file, or its parameters cannot be keys."""
    return _arguments(locate(str(tree["name"] if isinstance(tree, Mapping) else tree)))


@cache
def _arguments(origin: UserCode) -> type[Arguments]:
    _, parameters = declared(origin)
    taken = [p.name for p in parameters if p.name in RESERVED or p.name.startswith("_")]
    if taken:
        raise UsageError(f"{origin.label}: a parameter cannot be called {', '.join(taken)}")
    definitions: dict[str, Any] = {p.name: _definition(p) for p in parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a parameter that is called as a method of pydantic's
        kind = create_model(origin.attribute, __base__=Arguments, **definitions)
    line = next((node.lineno for node in origin.tree.body if getattr(node, "name", "") == origin.attribute), None)
    kind.takes = f"{origin.attribute}({', '.join(p.name for p in parameters)})"
    kind.place = f"{origin.path}{f':{line}' if line else ''}"
    return kind


def _definition(parameter: Parameter) -> tuple[Any, Any]:
    """Type and default of a key; None stands for what the dataset has, or what is computed in the code."""
    default = parameter.default
    kind = _TYPES.get(parameter.annotation, _TYPES.get(type(default).__name__, Any))
    if type(default) is int and not default and not parameter.annotation:  # as `dropout=0`, which may become 0.1
        kind = int | float
    if _is_plain(default):
        return kind, _frozen(default)
    optional = default is not MISSING or parameter.name in OF_DATA
    return (Any if kind is Any else kind | None, None) if optional else (kind, ...)


def _is_plain(value: Any) -> bool:
    """Whether a config can hold it: neither what is computed in the code, nor what is missing."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _frozen(value: Any) -> Any:
    """A list of YAML as the tuple that it is in Python."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class OrOwn:
    """The mark of the key that takes optilab's network, or one of the user's own."""

    def build(self, given: Any, builtin: Any) -> Any:
        if isinstance(given, OwnNetwork):
            return given
        if not is_own_network(given):
            if isinstance(given, str):
                raise refusal(f"expected a mapping or FILE.py:NAME, got {shown(given)}")
            return builtin(given)
        tree = {"name": given} if isinstance(given, str) else dict(given)
        try:
            origin = locate(str(tree["name"]))
            require_unchanged(origin, tree.get("sha256"))
            kind = arguments_of(tree)
        except UsageError as error:
            raise refusal(str(error)) from None
        own = [key for key in kind.model_fields if key not in RESERVED]
        for key in [key for key in tree if key not in (*kind.model_fields, "name", "sha256")][:1]:
            accepted = did_you_mean(str(key), own) or f"; {kind.takes} in {kind.place}"
            raise refusal(f"unknown parameter{accepted}", str(key))
        # Pydantic adds the outer path to the problems of a ValidationError that is raised in here.
        value = kind.model_validate({key: item for key, item in tree.items() if key not in ("name", "sha256")})
        values = {key: getattr(value, key) for key in own}
        unset = {key for key in own if key not in value.model_fields_set and values[key] is None}
        of_data = tuple(p.name for p in declared(origin)[1] if p.name in unset and p.default is MISSING)
        left = {p.name for p in declared(origin)[1] if p.name in unset and not _is_plain(p.default)}
        arguments = tuple((key, _frozen(item)) for key, item in values.items() if key not in left)
        return OwnNetwork(origin, arguments, value.init, value.bias_init, of_data)

    def dump(self, value: Any, builtin: Any) -> Any:
        return value.dump() if isinstance(value, OwnNetwork) else builtin(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        builtin = handler.generate_schema(ModelConfig)
        return core_schema.no_info_wrap_validator_function(
            self.build,
            builtin,
            serialization=core_schema.wrap_serializer_function_ser_schema(self.dump, schema=builtin),
        )

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """The keys of optilab's network, or FILE.py:NAME, alone or with the arguments of its constructor."""
        own = {"type": "object", "properties": {"name": OWN}, "required": ["name"]}
        return {"anyOf": [{"entry": ModelConfig}, OWN, own]}
