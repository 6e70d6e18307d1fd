"""A user's network in place of optilab's: `model: FILE.py:NAME`, or package.module:NAME.

    model: net.py:CNN
    model: {name: net.py:CNN, width: 32, init: kaiming}

NAME is a class of torch.nn.Module, or a function that returns one. The parameters of its signature are keys. One that
is named as in `OF_DATA` and has no default gets that of the dataset.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import Parameter
from typing import Annotated, Any

from annotated_doc import Doc
from pydantic import ConfigDict, create_model
from pydantic_core import core_schema

from optilab.config.model import BIAS_INIT, INIT, ModelConfig
from optilab.config.section import USER_CODE, USER_CODE_SCHEMA, Section, executable, refusal
from optilab.errors import UsageError, shown
from optilab.user_code import UserCode, is_data, is_user_code, scalar_type

OF_DATA = {
    "shape": "shape",
    "channels": "channels",
    "in_channels": "channels",
    "height": "height",
    "width": "width",
    "classes": "classes",
    "num_classes": "classes",
}
"""Parameter -> the property of the dataset that it gets: shape is (channels, height, width), the others are
numbers.
"""
RESERVED = ("name", "sha256", "init", "bias_init")
"""Keys that every network has besides its arguments."""


class Arguments(Section):
    """The keys of a user's network: the arguments of its constructor, and the initial weights."""

    model_config = ConfigDict(protected_namespaces=())

    init: Annotated[Any, INIT, Doc("initial weights; null: those of its code")] = None
    bias_init: Annotated[
        Any, BIAS_INIT, Doc("initial biases; null: zero where init is given, else those of its code")
    ] = None


@dataclass(frozen=True)
class UserNetwork:
    """A user's network: its code, the arguments that are set or have a default, and the initial weights."""

    code: UserCode
    arguments: tuple[tuple[str, Any], ...] = ()
    init: Any = None
    bias_init: Any = None
    of_data: tuple[str, ...] = ()
    """The parameters that get a property of the dataset."""

    @property
    def name(self) -> str:
        """The name in tables and messages: `net.py:CNN`."""
        return self.code.display_name

    def called_with(self, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """The arguments of its constructor for images of (channels, height, width)."""
        data = dict(zip(("channels", "height", "width"), shape, strict=True)) | {
            "shape": tuple(shape),
            "classes": classes,
        }
        return {name: data[OF_DATA[name]] for name in self.of_data} | dict(self.arguments)

    def dump(self) -> dict[str, Any]:
        """The network as a part of a config."""
        inits = {"init": INIT.dump(self.init), "bias_init": BIAS_INIT.dump(self.bias_init)}
        return {
            "name": self.code.reference,
            "sha256": self.code.sha256,
            **{key: list(value) if isinstance(value, tuple) else value for key, value in self.arguments},
            **{key: value for key, value in inits.items() if value is not None},
        }

    @classmethod
    def recorded(cls, tree: Mapping[str, Any]) -> "UserNetwork":
        """The network of a run's config.yaml, which does not need its file."""
        values = tuple((key, _frozen(value)) for key, value in tree.items() if key not in RESERVED)
        inits = INIT.build(tree.get("init")), BIAS_INIT.build(tree.get("bias_init"))
        return cls(UserCode.recorded(tree), values, *inits)


def is_user_network(tree: Any) -> bool:
    """True if the `model` of a config names a user's network."""
    return is_user_code(tree.get("name") if isinstance(tree, Mapping) else tree)


@cache
def _arguments(code: UserCode) -> type[Arguments]:
    """The keys that a network accepts; its file is executed. UsageError where its parameters cannot be keys."""
    if reserved := [p.name for p in code.parameters if p.name in RESERVED or p.name.startswith("_")]:
        raise UsageError(f"{code.display_name}: a parameter cannot be called {', '.join(reserved)}")
    definitions: dict[str, Any] = {p.name: _definition(p) for p in code.parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a parameter that is called as a method of pydantic's
        return create_model(code.name, __base__=Arguments, **definitions)


def _definition(parameter: Parameter) -> tuple[Any, Any]:
    """Type and default of a key; the default is None where it comes from the dataset, or is computed in the code."""
    default = parameter.default
    kind: Any = scalar_type(parameter) or (type(default) if isinstance(default, bool | int | float | str) else Any)
    if type(default) is int and not default and parameter.annotation is Parameter.empty:  # as `dropout=0`
        kind = int | float
    if is_data(default):
        return kind, _frozen(default)
    optional = default is not Parameter.empty or parameter.name in OF_DATA
    return (Any if kind is Any else kind | None, None) if optional else (kind, ...)


def _frozen(value: Any) -> Any:
    """A list of YAML as the tuple that it is in Python."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class OrUserNetwork:
    """The mark of the key that takes optilab's network or a user's."""

    def build(self, source: Any, builtin: Any) -> Any:
        if isinstance(source, UserNetwork):
            return source
        if not is_user_network(source):
            if isinstance(source, str):
                raise refusal(f"expected a mapping or FILE.py:NAME, got {shown(source)}")
            return builtin(source)
        tree = dict(source) if isinstance(source, Mapping) else {"name": source}
        if USER_CODE.get() == "recorded":
            return UserNetwork.recorded(tree)
        try:
            code = executable(tree.pop("name"), tree.pop("sha256", None))
            kind = _arguments(code)
        except UsageError as error:
            raise refusal(str(error)) from None
        value = kind.model_validate(tree)  # Pydantic adds the outer path to the problems that it raises
        arguments, of_data = [], []
        for p in code.parameters:
            if p.name in value.model_fields_set or is_data(p.default):
                arguments.append((p.name, _frozen(getattr(value, p.name))))
            elif p.default is Parameter.empty:
                of_data.append(p.name)
        return UserNetwork(code, tuple(arguments), value.init, value.bias_init, tuple(of_data))

    def dump(self, value: Any, builtin: Any) -> Any:
        return value.dump() if isinstance(value, UserNetwork) else builtin(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        builtin = handler.generate_schema(ModelConfig)
        return core_schema.no_info_wrap_validator_function(
            self.build,
            builtin,
            serialization=core_schema.wrap_serializer_function_ser_schema(self.dump, schema=builtin),
        )

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """The keys of optilab's network, or FILE.py:NAME, alone or with the arguments of its constructor."""
        with_arguments = {"type": "object", "properties": {"name": USER_CODE_SCHEMA}, "required": ["name"]}
        return {"anyOf": [{"entry": ModelConfig}, USER_CODE_SCHEMA, with_arguments]}
