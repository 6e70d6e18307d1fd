"""A config as written: plain values, and for each of them the file and line, the option or the keyword that set it.

Of YAML only what a config needs is read: mappings with text keys, lists, text, decimal numbers, true and false.
Anchors, aliases, tags and second documents are refused, so a hostile file costs nothing. A number in a form that YAML
1.1 would misread (`010`, `1:30`, a date) stays the text that it is, and so does `1e-3`, which `section.build` reads as
a number where a key takes one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import inf
from typing import Any

import yaml

from optilab.errors import CONTROL, ConfigError, Problem, shown
from optilab.proposals import flow

KeyPath = tuple[str | int, ...]

MAX_BYTES, MAX_DEPTH, MAX_NODES, MAX_DIGITS = 1 << 20, 20, 10_000, 30

_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z", re.ASCII)
_HIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
"""Characters that YAML does not allow, and line breaks that an editor does not show, so that a key after one would
be invisible.
"""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Override:
    """A key that an option, a keyword or `--set` sets: `where` names it in messages, `key` is dotted."""

    where: str
    key: str
    value: Any
    adds: bool = False
    """The value is a list, which follows what the key has."""
    for_each: bool = False
    """The value is a list, and each of its values makes an entry of the key's section: `lr` 0.1 and 0.3 of the section
    `algo`, which is sgd, is a list of two sgd."""


@dataclass
class Tree:
    """Plain values by their keys, and where each was written."""

    values: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    """The name of the source in messages; empty for typed values, and for the keywords of a script."""
    places: dict[KeyPath, str] = field(default_factory=dict)

    @classmethod
    def read(cls, data: bytes, source: str) -> "Tree":
        """A file of YAML; ConfigError with the line for anything else."""
        tree = cls(source=source)
        try:
            values = tree._value(_parsed(_text(data)), ())
            if not isinstance(values, dict):
                raise _Refused(1, f"expected a mapping, got {shown(values)}")
        except _Refused as refused:
            raise ConfigError(source, [Problem(f"{source}:{refused.line}", "", str(refused))]) from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
            text = f"{error.problem}{f' ({error.context})' if error.context else ''}"
            raise ConfigError(source, [Problem(where, "", f"invalid YAML: {text}")]) from None
        # PyYAML lets these escape from malformed scalars and characters.
        except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
            text = shown(" ".join(str(error).split()), 200)
            raise ConfigError(source, [Problem(source, "", f"invalid YAML: {text}")]) from None
        tree.values = values
        return tree

    @classmethod
    def of(cls, values: Mapping[str, Any], source: str = "the config") -> "Tree":
        """The keys of a mapping of Python."""
        return cls(_copied(values), source)

    def _value(self, node: Any, path: KeyPath) -> Any:
        """The value of a node of YAML; its place, and those of its parts, are noted."""
        line = node.start_mark.line + 1
        if path:
            self.places.setdefault(path, f"{self.source}:{line}")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node.value, not node.style, line)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, n)) for n, item in enumerate(node.value)]
        items: dict[str, Any] = {}
        for key_node, item in node.value:
            line = key_node.start_mark.line + 1
            key = self._value(key_node, ()) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str) or not key:
                got = shown(key) if isinstance(key_node, yaml.ScalarNode) else "a list or a mapping"
                raise _Refused(line, f"expected text as a key, got {got}")
            if key in items:
                raise _Refused(line, f"{dotted((*path, key))}: given twice, first in {self.places[*path, key]}")
            self.places[*path, key] = f"{self.source}:{line}"
            items[key] = self._value(item, (*path, key))
        return items

    def put(self, change: Override) -> None:
        """Set a dotted key; through a list of mappings, in each of them; `adam` is short for `{name: adam}`."""
        if change.for_each:
            self._put_entries(change)
            return
        *way, last = change.key.split(".")
        nodes: list[tuple[KeyPath, Any]] = [((), self.values)]
        for part in way:
            below: list[tuple[KeyPath, Any]] = []
            for path, node in nodes:
                inner, location = node.get(part), (*path, part)
                if not isinstance(inner, dict | list | str) and not callable(inner):
                    inner, self.places[location] = {}, change.where
                node[part] = inner = [*map(_named, inner)] if isinstance(inner, list) else _named(inner)
                entries = enumerate(inner) if isinstance(inner, list) else [(None, inner)]
                below += [
                    ((*location, n) if n is not None else location, item)
                    for n, item in entries
                    if isinstance(item, dict)
                ]
            if not below:
                problem = Problem(change.where, change.key, f"{'.'.join(way)} is a list of values, without keys")
                raise ConfigError(self.source, [problem])
            nodes = below
        for path, node in nodes:
            location, value = (*path, last), change.value
            if change.adds:
                before = node.get(last) or []
                before = before if isinstance(before, list) else [before]
                node[last] = [*before, *value]
                self.places |= {(*location, len(before) + index): change.where for index in range(len(value))}
                continue
            self.forget(location)
            node[last], self.places[location] = _copied(value), change.where
            if last == "name":  # it decides which keys stand next to it
                self.places[path] = change.where

    def _put_entries(self, change: Override) -> None:
        """Put an entry for each value of the change in the place of each entry of its section."""
        section, _, key = change.key.partition(".")
        before = self.values.get(section)
        is_list = isinstance(before, list)
        entries, places = list[Any](), dict[KeyPath, str]()
        for number, entry in enumerate(before if isinstance(before, list) else [before]):
            earlier: KeyPath = (section, number) if is_list else (section,)
            named = _named(entry)
            for value in change.value:
                place = (section, len(entries))
                below = [path for path in self.places if path[: len(earlier)] == earlier]
                places |= {(*place, *path[len(earlier) :]): self.places[path] for path in below}
                places[*place, key] = change.where
                entries.append({**(named if isinstance(named, dict) else {}), key: value})
        self.forget((section,))
        self.values[section] = entries
        self.places |= places

    def forget(self, path: KeyPath) -> None:
        """Forget the places below a path whose value is replaced."""
        self.places = {key: place for key, place in self.places.items() if key[: len(path)] != path}

    def at(self, path: KeyPath) -> Any:
        """The value at a path; None where there is none."""
        node: Any = self.values
        for part in path:
            if isinstance(node, list):
                node = node[part] if isinstance(part, int) and part < len(node) else None
            else:
                node = node.get(part) if isinstance(node, Mapping) else None
        return node

    def locate(self, loc: KeyPath) -> tuple[KeyPath, str]:
        """The path of a problem without the names of union branches, and where its nearest part was written."""
        node: Any = self.values
        path = list[str | int]()
        for n, part in enumerate(loc):
            listed = isinstance(node, list) and isinstance(part, int) and part < len(node)
            missing = isinstance(node, Mapping) and n == len(loc) - 1 and part not in node
            if listed or missing or (isinstance(node, Mapping) and part in node):
                path.append(part)
                node = self.at(tuple(path))
        return tuple(path), self.place(tuple(path))

    def place(self, path: KeyPath) -> str:
        """The place where a path was written, or the nearest part of it above, or else below."""
        above = (path[:n] for n in range(len(path), 0, -1) if path[:n] in self.places)
        below = (key for key in self.places if path and key[: len(path)] == path)
        written = next(above, None) or next(below, None)
        return self.places[written] if written else self.source

    def order(self, problem: Problem) -> float:
        """The line of a problem; what was typed comes after all lines."""
        match = re.match(rf"{re.escape(self.source)}:(\d+)", problem.where)
        return int(match[1]) if match else inf


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [*map(_copied, value)] if isinstance(value, list | tuple) else value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) or callable(value) else value


class _Refused(Exception):
    """A file that cannot be read as a config, and the line where that shows."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _parsed(text: str) -> Any:
    """The node of a YAML text, whose number of values and depth are limited before any is made."""
    events: Iterator[Any] = yaml.parse(text, _LOADER)
    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        refused = ""
        if getattr(event, "anchor", None):  # an alias has the name of its anchor
            refused = "anchors and aliases (& and *) are not supported"
        elif getattr(event, "tag", None):
            refused = "tags (!) are not supported"
        elif count >= MAX_NODES:
            refused = f"more than {MAX_NODES:,} values"
        elif depth > MAX_DEPTH:
            refused = f"nested deeper than {MAX_DEPTH} levels"
        if refused:
            raise _Refused(event.start_mark.line + 1, refused)
    node = yaml.compose(text, _LOADER)
    if node is None:
        raise _Refused(1, "the config is empty")
    return node


def _scalar(text: str, plain: bool, line: int) -> Any:
    if bad := CONTROL.search(text):
        raise _Refused(line, f"control character {shown(bad[0])} in text")
    if not plain:  # in quotes
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.match(text):
        if len(text) > MAX_DIGITS:
            raise _Refused(line, f"number too large ({len(text)} digits)")
        return int(text)
    if _FLOAT.match(text) or _NOT_FINITE.match(text):
        return float(text.replace(".", "") if text.lower().endswith(("nan", "inf")) else text)
    return text


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Refused(1, f"larger than 1 MiB ({len(data):,} bytes)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Refused(data[: error.start].count(b"\n") + 1, f"not UTF-8 (byte {error.start})") from None
    if hidden := _HIDDEN.search(text):
        raise _Refused(text[: hidden.start()].count("\n") + 1, f"control character {shown(hidden[0])}")
    return text


def value(text: str) -> Any:
    """A value on a command line, as in a file; ValueError where it is not exactly one."""
    if re.search(r"[\r\n]", text):
        raise ValueError(f"expected one value, got {shown(text)}")
    try:
        return Tree.read(b"value: " + text.encode("utf-8", "surrogatepass"), "value").values["value"]
    except ConfigError as error:
        raise ValueError(f"{shown(text)}: {error.problems[0].message}") from None


def override(where: str, key: str, text: str) -> Override:
    """The override of a text that is read as in YAML."""
    try:
        return Override(where, key, value(text))
    except ValueError as error:
        raise ConfigError("", [Problem(where, "", str(error))]) from None


def override_from_text(text: str) -> Override:
    """The override of a `--set KEY=VALUE`."""
    key, equals, written = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError("", [Problem("--set", "", f"expected KEY=VALUE, got {shown(text)}")])
    return override(f"--set {key.strip()}", key.strip(), written)


def decimal(value: Any) -> Any:
    """The number that a text looks like, such as 1e-3, which YAML 1.1 leaves text; anything else as it is."""
    return float(value) if isinstance(value, str) and _DECIMAL.match(value) else value


def dotted(path: KeyPath) -> str:
    """A path as text: `("model", "hidden", 1)` is `model.hidden[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A tree by dotted keys; lists are values."""
    return dict(_flat(tree, ""))


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, item in tree.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def changed_values(started: Mapping[str, Any], now: Mapping[str, Any], ignored: Set[str]) -> list[str]:
    """`key: old -> new` of each key, but those `ignored`, that two configs do not have alike."""
    old, new = flat(started), flat(now)
    pairs = (
        (k, flow(old.get(k, "missing")), flow(new.get(k, "missing"))) for k in {**old, **new} if k not in ignored
    )
    return [f"{key}: {before} -> {after}" for key, before, after in pairs if before != after]


def edited(file: object, changed: Sequence[str]) -> str:
    """The sentence about a config file that is not the one that its run was started with."""
    more = [f"{len(changed) - 3} more"] if changed[3:] else []
    return f"{file} was edited since the run started: {'; '.join([*changed[:3], *more])}"


def yaml_bytes(tree: Mapping[str, Any]) -> bytes:
    """A tree of plain values as YAML."""
    return yaml.safe_dump(dict(tree), sort_keys=False, default_flow_style=None, width=110).encode()
