"""Python's arguments as the changes of a config that a command line makes, and as the command that makes the same."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from optilab.errors import UsageError, shown

if TYPE_CHECKING:
    from optilab.config.load import Override

Config = str | os.PathLike[str] | Mapping[str, Any]
"""A YAML file, the name of a preset, or the keys themselves."""
Names = str | Sequence[str]
"""One name or `a,b`, or several."""


def changes(keys: Mapping[str, Any], dotted: Mapping[str, Any] | None) -> "list[Override]":
    """The keys of a config that were given as keywords, unless they are None, and the dotted ones of `set`."""
    from optilab.config.load import Override

    given = {key: value for key, value in keys.items() if value is not None}
    return [
        *(Override(key, key, plain(value)) for key, value in given.items()),
        *(Override(f"set {key}", key, plain(value)) for key, value in (dotted or {}).items()),
    ]


def plain(value: Any) -> Any:
    """A value as YAML would give it: NumPy's numbers and arrays, tuples, paths, rules and functions as plain data."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if is_dataclass(value) and not isinstance(value, type) and hasattr(value, "name"):
        name = value.origin.spec if hasattr(value, "origin") else value.name
        return {"name": name, **{f.name: plain(getattr(value, f.name)) for f in fields(value)}}
    return value


def source(config: Config) -> str | Mapping[str, Any]:
    """What `load` takes; UsageError for anything that is not a config."""
    if isinstance(config, Mapping):
        tree: Mapping[str, Any] = plain(config)
        return tree
    if not isinstance(config, str | os.PathLike):
        raise UsageError(f"a preset, a YAML file or a mapping of keys expected, got {shown(config)}", "config")
    return os.fspath(config)


def listed(names: Names) -> list[str]:
    """`a,b` or ["a", "b"] as a list."""
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def command(
    verb: str, config: Config | None, options: Mapping[str, Any], dotted: Mapping[str, Any] | None = None
) -> list[str]:
    """The command that does the same, for the manifest; a config without a file is only in the run itself."""
    from optilab.config.yaml import flow

    words = ["optilab", verb, *([] if config is None or isinstance(config, Mapping) else [os.fspath(config)])]
    for name, value in options.items():
        flag = f"--{name.rstrip('_').replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, ",".join(value) if isinstance(value, list) else flow(plain(value))]
    for key, value in (dotted or {}).items():
        words += ["--set", f"{key}={flow(plain(value))}"]
    return words
