"""YAML and overrides -> one frozen value of a section, or every problem at once with its file and line.

Precedence: the default of the field < YAML < overrides, in their order.
"""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from shlex import quote
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from optilab.config import SCHEMAS, presets, yaml
from optilab.config.fields import ENTRY, Section, choice_of, decimal, describe, keys_of, named, schema_for
from optilab.config.location import Location
from optilab.config.problems import problem_of, typed_problem
from optilab.config.unknown_keys import UnknownKey, Values
from optilab.errors import (
    ConfigError,
    OptilabError,
    Problem,
    Refusals,
    SystemFailure,
    UsageError,
    did_you_mean,
    shown,
)
from optilab.marks import Field, Read
from optilab.runs import run_name

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Override:
    """One flag or `--set`: `where` names it in messages, `key` is dotted, `value` is a tree."""

    where: str
    key: str
    value: Any
    adds: bool = False
    """The value is a list, to follow what the key has."""
    refused: Problem | None = None
    """Why its text means nothing."""


def override_from_text(where: str, text: str) -> Override:
    """`KEY=VALUE` of a `--set`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        pair = re.fullmatch(r"([A-Za-z][\w.]*)(?:\s*:?\s*(\S+))?", text.strip())
        known = pair and (pair[2] or "." in pair[1])
        written = f"write {pair[1]}={pair[2] or 'VALUE'}" if pair and known else "for example epochs=10"
        message = f"expected KEY=VALUE, got {shown(text)}; {written}"
        return Override(where, "", None, refused=Problem(where, "", message))
    return override(f"{where} {key.strip()}", key.strip(), value)


def override(where: str, key: str, value: str) -> Override:
    """A flag whose value is read as in YAML."""
    try:
        return Override(where, key, yaml.value(value))
    except ValueError as error:
        return Override(where, key, None, refused=typed_problem(where, key, str(error)))


def typed(where: str, key: str, text: Any, field: Field) -> Override:
    """A flag whose value is read as `field` says."""
    if (mark := field.mark(Read)) is None:
        return override(where, key, text) if isinstance(text, str) else Override(where, key, text)
    try:
        return Override(where, key, mark.read(text))
    except OptilabError as error:
        return Override(where, key, None, refused=Problem(where, "", str(error).removeprefix(f"{error.where}: ")))


def numbers(text: str) -> list[Any]:
    """`-5,-2`, `[-5, -2]`, `(-5, -2)`, `-5;-2` or `-5 -2` of a flag as the list [-5, -2]; what is no number stays text,
    which the schema refuses.
    """
    bare = re.sub(r"^\[(.*)\]$|^\((.*)\)$", r"\1\2", text.strip())
    parts = re.split(r"[,;\s]+", bare.strip(" ,;"))
    if (brackets := re.sub(r"[^\[\]()]", "", bare)) and decimal(parts[0].lstrip("[(")) != parts[0]:
        written = ",".join(part.strip("[]()") for part in parts)
        raise UsageError(f"{shown(text)} has a {brackets[0]} of no pair; write {written}")
    if (values := re.findall(r"(?:^|[,;\s])\w+=([-+.\de]+)", bare)) and len(values) == len(parts):
        raise UsageError(f"the numbers have no names, only an order; write {','.join(values)}")
    return [decimal(part) for part in parts if part] or [text]


def function(text: str) -> Any:
    """The value of `function` for `--function`: the name of a test function, or a formula of the user's."""
    named = re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", text) and not re.search(r"\bw[1-9]\b", text)
    return text if named else {"name": "expression", "formula": text}


def load(
    schema: type[S],
    config: str | Mapping[str, Any] | yaml.Document | OptilabError | None,
    overrides: Sequence[Override] = (),
    rules: Literal["exercise", "literature"] = "exercise",
) -> S:
    """Read `config` (a path, the name of a preset, a plain tree, or what `yaml.read` gave; None: the defaults; an
    error: why there is none) and apply the overrides.

    `rules` chooses what an optimize config leaves out of a rule: the settings of its preset where there is one, or
    the defaults of the literature. `train` always has the literature's. Raises `ConfigError` with every problem at
    once, in the order of the lines.
    """
    kind, refused = schema.kind, Refusals()
    document = config if isinstance(config, yaml.Document) else refused(_document, kind, config)
    if document is None:
        if kind in BASES:
            chosen = BASES[kind].keys() & {item.key for item in overrides}
            if isinstance(config, OptilabError):  # no config was asked for, with keys of its own
                chosen |= {item.key.partition(".")[0] for item in overrides} - BASES[kind].keys()
            left = [i for i in overrides if i.key.partition(".")[0] in chosen or _is_free(schema, i.key)]
            refused(load, schema, BASES[kind], left)
        refused.settle()
    source = document.source
    places = {path: f"{source}:{line}" for path, line in document.lines.items()}
    problems = list(document.problems)
    unread = {problem.key for problem in problems} | {item.key for item in overrides if item.refused} - {""}
    problems += [problem for item in overrides if (problem := item.refused or _apply(document.tree, item, places))]

    def unknown(path: yaml.Path) -> str:
        """What is said of a key that does not exist."""
        in_file = places.get(path, f"{source}:" if isinstance(config, Mapping) else "").startswith(f"{source}:")
        at, nested = Location(schema, path, document.tree), partial(_nested, schema, tree)
        return UnknownKey(at, nested if in_file else None, whole=path in places).message()

    def renamed(problem: Problem, beside: Sequence[Override]) -> Problem:
        """The problem of an unknown key, with that of its value where the key that is proposed refuses it."""
        near, there = re.fullmatch(r'unknown key; did you mean "([^"]+)"\?', problem.message), Refusals()
        for item in overrides if near else ():
            if near and near[1] != item.key and item.where == problem.where:
                there(load, schema, config, [*beside, replace(item, key=near[1])], rules)
        found = [one for error in there if isinstance(error, ConfigError) for one in error.problems]
        lacks = re.compile("missing; add")  # which is said without it
        said = [one.message for one in found if one.where == problem.where and not lacks.match(one.message)][:1]
        alone = any(" has no setting " in one for one in said)  # as the key is there for others
        return replace(problem, message=" Also, ".join([problem.message][alone:] + said))

    tree, foreign = dict(document.tree), set[Any]()
    if kind == "optimize" and rules == "exercise":
        document.tree.update({key: presets.filled(rule) for key, rule in document.tree.items() if key == "algo"})
    try:
        config_value = schema.model_validate(document.tree)
    except ValidationError as error:
        found = error.errors(include_url=False)
        if all(details["type"] == "extra_forbidden" and len(details["loc"]) == 1 for details in found):
            foreign = {details["loc"][0] for details in found}
        new = [
            problem_of(details, partial(Location, schema, tree=document.tree), unknown, places, source)
            for details in found
            if not _follows(details, found)
        ]
        if unread:  # what stands in the place of an unreadable key or value is no problem of its own
            known = [p for p in new if not any(f"{p.key}.".startswith(f"{key}.") for key in unread)]
            new = [p for p in known if not re.search(r"(^|\.)\?\d+$", p.key)]
        wrong = {problem.where for problem in (*problems, *new)}
        new = [renamed(problem, [item for item in overrides if item.where not in wrong]) for problem in new]
        said = " ".join(problem.message for problem in new)  # a key that is there by another name
        problems += [
            p for p in new if p.message[:7] != "missing" or not re.search(f'(mean "|write ){p.key}', said)
        ]
    if problems:
        problems = [*{str(problem): problem for problem in problems}.values()]
        problems.sort(key=lambda problem: problem.line)
        advice = f"Every key is described by: optilab config show {kind}" if kind else ""
        if all(problem.where.startswith("--") for problem in problems):
            source = "the command line"
        elif {problem.where for problem in problems} <= {item.where for item in overrides}:
            source = "the arguments"
        refusal, wrong = ConfigError(source, problems, advice), {problem.where for problem in problems}
        left = [item for item in overrides if item.where not in wrong]
        if len(left) < len(overrides) and all(item in left or _is_free(schema, item.key) for item in overrides):
            with suppress(OptilabError):  # what else is asked can be checked against the rest
                refusal.rest = load(schema, config, left, rules)
        elif len(problems) == len(foreign):
            with suppress(ValidationError):  # of a study its axes
                refusal.rest = schema.model_validate({k: v for k, v in document.tree.items() if k not in foreign})
        raise refusal
    return config_value


BASES: Mapping[str, Mapping[str, Any]] = {
    "optimize": {"algo": "adam"},
    "train": {"optimizer": "sgd"},
    "sweep": {"config": "relu"},
    "remedy": {"config": "relu"},
}
"""What stands in for a config that cannot be read."""


def _is_free(schema: type[Section], key: str) -> bool:
    """Whether a key neither chooses an entry nor belongs to one."""
    bound = (one for one in describe(schema) if one.of or one.type == ENTRY)
    return key.partition(".")[0] not in BASES.get(schema.kind, ()) and all(one.key != key for one in bound)


def _document(kind: str, config: str | Mapping[str, Any] | OptilabError | None) -> yaml.Document:
    if isinstance(config, OptilabError):
        raise config
    if config is None:
        return yaml.Document({}, {}, "the command line")
    if isinstance(config, Mapping):
        return yaml.Document(copy.deepcopy(dict(config)), {}, "the config")
    if not isinstance(config, str):
        raise UsageError(f"expected a YAML file, a preset or a mapping of keys, got {shown(config)}", "config")
    path = presets.find(kind, config)
    source = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    document = yaml.read(_bytes(path), source, partial=True)
    if kind in SCHEMAS and (other := _owner(kind, document.tree)) != kind:
        raise UsageError(f"{source} is a config of {other}, not of {kind}")
    if kind == "train":
        document.tree.setdefault("name", _name_of(path))
        for key in ("model", "optimizer"):
            if key in document.tree:
                document.tree[key] = _beside(path, document.tree[key])
    return document


def _owner(kind: str, tree: Mapping[str, Any]) -> str:
    """The command whose config this is: `kind`, unless another one has more of its keys and what `kind` needs is not
    there.
    """
    if (own := keys_of(schema_for(kind))).keys() >= tree.keys():
        return kind
    shares = {one: len(keys_of(schema_for(one)).keys() & tree.keys()) for one in SCHEMAS}
    best = max(shares, key=lambda one: shares[one])
    if best in ("sweep", "remedy", "race") and shares[best] == len(tree):
        return best
    needed = {"algo"} if kind == "optimize" else {key for key, field in own.items() if field.required}
    return best if shares[best] > shares[kind] and not needed & tree.keys() else kind


def _beside(path: Path, part: Any) -> Any:
    """A part of a config whose code, FILE.py:NAME, is not found from here but next to the config."""
    name = str(part.get("name") if isinstance(part, dict) else part)
    file = name.rpartition(":")[0]
    if not file.endswith(".py") or Path(file).is_file() or not (path.parent / file).is_file():
        return part
    found = f"{path.parent / name}"
    return {**part, "name": found} if isinstance(part, dict) else found


def _follows(details: Any, found: Sequence[Any]) -> bool:
    """Whether a list is too short only because an entry of it has a problem of its own."""
    place = details["loc"]
    return details["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and other is not details for other in found
    )


def _name_of(path: Path) -> str:
    """The name of a config that has none: that of its file."""
    try:
        return run_name(re.sub(r"[^A-Za-z0-9._-]", "-", path.stem))
    except ValueError:
        return "train"


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(yaml.MAX_BYTES + 1)
    except OSError as error:
        usual = isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError)
        advice = f"; allow it: chmod u+r {quote(str(path))}" if isinstance(error, PermissionError) else ""
        raise (UsageError if usual else SystemFailure)(f"cannot read {path}: {error.strerror}{advice}") from None


def _apply(tree: dict[str, Any], item: Override, places: dict[yaml.Path, str]) -> Problem | None:
    """Set a dotted key; where the way leads through a list of mappings, in each of them.

    Returns the problem where it leads through a list of something else.
    """
    *way, last = item.key.split(".")
    nodes: list[tuple[yaml.Path, dict[str, Any]]] = [((), tree)]
    for depth, part in enumerate(way, start=1):
        below, above = [], ".".join(way[:depth])
        for path, node in nodes:
            child = node.get(part)
            if isinstance(child, str):  # `algo: adam` is short for `algo: {name: adam}`
                child = {"name": child}
            elif isinstance(child, list):
                child[:] = [{"name": entry} if isinstance(entry, str) else entry for entry in child]
            elif not isinstance(child, dict):
                child = {}
                places[(*path, part)] = item.where
            node[part] = child
            inner = enumerate(child) if isinstance(child, list) else [(None, child)]
            for index, entry in inner:
                if isinstance(entry, dict):
                    below.append(((*path, part) if index is None else (*path, part, index), entry))
        if not below:
            advice = f"a list of values has no keys; set all of it, as in --set '{above}={yaml.flow(child)}'"
            return typed_problem(item.where, item.key, advice)
        nodes = below
    for path, node in nodes:
        here = (*path, last)
        if item.adds:
            before = node.get(last) or []
            before = before if isinstance(before, list) else [before]
            node[last] = [*before, *item.value]
            places |= {(*here, len(before) + index): item.where for index in range(len(item.value))}
            continue
        node[last] = item.value
        for inside in [place for place in places if place[: len(here)] == here]:
            del places[inside]  # overridden: errors must not point to the file any more
        places[here] = item.where
        if last == "name":  # it decides which keys the section accepts
            places[path] = item.where
    return None


def _nested(schema: type[Section], tree: Mapping[str, Any], values: Values) -> str:
    """What a file says instead of an unknown key: `write optimizer: {name: sgd, lr: 0.1}`."""
    top = next(iter(values)).partition(".")[0]
    written = copy.deepcopy({top: tree[top]} if top in tree else {})
    for name, item in {**{one: tree[one] for one in tree if one.startswith(f"{top}.")}, **values}.items():
        _apply(written, Override("", name, item), {})
    choice = choice_of(keys_of(schema)[top])
    needs_name = choice and choice.default is None and not choice.optional
    if choice and needs_name and isinstance(written[top], dict) and "name" not in written[top]:
        written[top] = {"name": next(iter(choice.registry)), **written[top]}
    return f"write {top}: {yaml.flow(Location(schema, (top,), written).accepted(written[top]))}"


def dump(config: Section) -> dict[str, Any]:
    """A config as a plain tree that `load` reads back to an equal value."""
    return config.model_dump(mode="json")


def to_yaml(config: Section) -> bytes:
    """A config as a file that `load` reads back to an equal value."""
    return yaml_bytes(dump(config))


def yaml_bytes(tree: Mapping[str, Any]) -> bytes:
    """A tree of plain values as YAML."""
    import yaml

    return yaml.safe_dump(dict(tree), sort_keys=False, default_flow_style=None, width=110).encode()


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree by dotted keys; lists are values."""
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            values.update(flat(value, f"{prefix}{key}."))
        else:
            values[f"{prefix}{key}"] = value
    return values


def lines_of(file: str) -> dict[yaml.Path, str]:
    """`FILE:LINE` of every key of a file, by its path; of the empty path, that of its first key."""
    path = presets.find("", file)
    source = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    lines = {key: f"{source}:{line}" for key, line in yaml.read(_bytes(path), source).lines.items()}
    return {(): next(iter(lines.values()), source), **lines}


def relocated(
    error: OptilabError, lines: Mapping[yaml.Path, str], at: yaml.Path = (), inner: yaml.Path = ()
) -> OptilabError:
    """An error of what stands in a file below `at`, with the file and line; `lines` is what `lines_of` has of it.

    `inner` is where the keys of the config stand, which may be below what changes them.
    """

    def place(where: str, key: str = "") -> str:
        section, _, rest = where.removeprefix("--").partition(" ")
        change = (section, rest.partition("=")[0] or key)
        keys = [int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", key)]
        paths = [(*at, *change), (*inner, *change), (*inner, *keys), at]
        written = [path[:n] for path in paths for n in range(len(path) + 1) if path[:n] in lines]
        return lines[max(written, key=len)]

    def in_file(message: str) -> str:
        """`optimizer.lr: 0.1:1` for `--over optimizer.lr=0.1:1`, at its end."""
        return re.sub(r"--over ([\w.]+)=(\S+)$", r"\1: \2", message)

    if not isinstance(error, ConfigError):
        message = str(error).removeprefix(f"{error.where}: ") if error.where.startswith("--over") else str(error)
        return type(error)(in_file(message), place(error.where))
    problems = [
        problem
        if problem.line < inf  # in another file
        else Problem(place(problem.where, problem.key), problem.key, in_file(problem.message))
        for problem in error.problems
    ]
    return ConfigError(lines[()].rpartition(":")[0], problems)


def command_of(config: str) -> str:
    """The command whose keys a config has, or whose preset it names."""
    if preset := presets.lookup("", config):
        return preset.kind
    tree = yaml.read(_bytes(presets.find("", config)), config, partial=True).tree
    known = {kind: schema_for(kind).model_fields.keys() for kind in SCHEMAS}
    keys = {key.partition(".")[0] for key in tree}
    if tree and not any(own & keys for own in known.values()):
        first = next(iter(tree))
        names = dict.fromkeys(key for own in known.values() for key in own)
        near = did_you_mean(first, [*names])
        inside = {kind: sum(bool(named(schema_for(kind), key)) for key in keys) for kind in BASES}
        if not near and any(inside.values()):
            return max(inside, key=lambda kind: inside[kind])
        usual = "; a file of claims begins with `checks:`, a config has keys such as `algo:` or `optimizer:`"
        raise UsageError(f"unknown key {shown(first)}{near or usual}", f"{config}:1")
    return max(SCHEMAS, key=lambda kind: len(known[kind] & keys))
