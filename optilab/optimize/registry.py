"""Classes by name, whose modules are imported when a name is looked up."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from optilab.errors import UsageError, unknown


class UnknownName(UsageError, KeyError):
    """A name that a registry does not have: the sentence of the command line, as a KeyError."""

    __str__ = UsageError.__str__


class Registry(Mapping[str, Any]):
    """The classes of a package by their `name`; each module ends with a tuple `ENTRIES` of its own.

    `what` is what an entry is called in the sentence of UnknownName. Modules are searched in the given order, the most
    used first; listing the names imports all of them. (A class costs 0.4 ms of start-up: sixty would be a tenth of it.)
    """

    def __init__(self, what: str, package: str, *modules: str) -> None:
        self._what = what
        self._waiting = [f"{package}.{module}" for module in modules]
        self._found: dict[str, Any] = {}

    def _import_one(self) -> None:
        self._found |= {entry.name: entry for entry in import_module(self._waiting[0]).ENTRIES}
        del self._waiting[0]

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise UnknownName(unknown(self._what, name, self))
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        while name not in self._found and self._waiting:
            self._import_one()
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        while self._waiting:
            self._import_one()
        return iter(self._found)

    def __len__(self) -> int:
        return sum(1 for _ in self)
