"""A part of a config as a class: its annotated fields give each key its type, range, default and help text.

`build` validates a `Tree` with it, and says every problem at once, each with the place where the value was written.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

# Without this, pydantic searches every installed package for plugins at each start. It reads the
# variable when it builds its first model, so this comes before its import; child processes may inherit it.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from annotated_doc import Doc
from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, ValidationError, create_model, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from optilab.config import SCHEMAS
from optilab.config.keys import Key, keys_of
from optilab.config.tree import KeyPath, Override, Tree, decimal, dotted, yaml_bytes
from optilab.errors import MAX_LISTED, ConfigError, Problem, UsageError, did_you_mean, shown, unknown
from optilab.optimize import RULES, Rule
from optilab.optimize.rule import formula_rule, is_formula, labeled, split_label, without_label
from optilab.optimize.user_rule import UserRule, recorded_rule, rule_class
from optilab.runs import run_name
from optilab.user_code import UserCode, is_user_code, user_code
from optilab.words import some

S = TypeVar("S", bound="Section")

USER_CODE_SCHEMA = {"type": "string", "pattern": r":|\.py$"}
"""The JSON Schema of a user's code: FILE.py:NAME or package.module:NAME."""
LABELED_SCHEMA = {"type": "string", "pattern": "^[^=<]+="}
"""The JSON Schema of an optimizer under a name of the user's: NAME=OPTIMIZER."""


class Section(BaseModel):
    """Base of every part of a config: strict types, no unknown keys, finite numbers, frozen."""

    kind: ClassVar[str] = ""
    """The command that reads it, of a whole config."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        """The schema of pydantic, with the texts of the fields."""
        schema: dict[str, Any] = handler(source)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, info in cls.model_fields.items():
            texts = [mark.documentation for mark in info.metadata if isinstance(mark, Doc)]
            if texts and name in properties:
                properties[name]["description"] = texts[-1]  # a field's own text follows that of its type
            for choice in info.metadata:
                if isinstance(choice, OneOf) and "default" in properties.get(name, {}):
                    properties[name]["default"] = choice.dump(info.default)
        return schema

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        """A message for each value that does not fit the others, with its dotted key, or "" for the whole section."""
        yield from ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if problems := [InitErrorDetails(type=refusal(*misfit), input=self) for misfit in self.inconsistencies()]:
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self

    @classmethod
    def known_keys(cls) -> Sequence[Key]:
        """The keys that may stand in it, for messages."""
        return keys_of(cls.kind) if cls.kind else ()


@dataclass(frozen=True)
class Pattern:
    """The regular expression by which JSON Schema knows a text that a validator checks."""

    regex: str

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {**handler(source), "pattern": self.regex}


Name = Annotated[str, AfterValidator(run_name), Pattern("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def refusal(message: str, key: str = "") -> PydanticCustomError:
    """The error to raise for a value that a validator refuses; `key` is the dotted key below the value, if the
    problem is there.
    """
    return PydanticCustomError("refused", "{message}", {"message": message} | ({"key": key} if key else {}))


def refuse_object(value: Any) -> None:
    """Refuse an object of the class of an optimizer: each run makes one from the class."""
    if not isinstance(value, Mapping | set) and (hasattr(value, "update") or hasattr(value, "step")):
        raise refusal(f"expected the class {type(value).__name__}, got an object of it")


@dataclass(frozen=True)
class OneOf:
    """A field whose value is one entry of a registry: its name, or a mapping of `name` and the entry's fields.

    `optional`: null is accepted too. The schema of an entry is made from its class when it is first asked for, so
    a large registry costs nothing. A mapping without a name changes the `default` entry. The `excluded` entries are
    not `listed`; the section refuses them, with the reason.
    """

    registry: Mapping[str, Any]
    noun: str
    optional: bool = False
    default: Any = None
    excluded: frozenset[str] = frozenset()

    @property
    def listed(self) -> dict[str, Any]:
        return {name: entry for name, entry in self.registry.items() if name not in self.excluded}

    def build(self, value: Any) -> Any:
        if value is None and self.optional:
            return None
        if isinstance(value, str) or callable(value):
            value = {"name": value}
        if not isinstance(value, Mapping):
            refuse_object(value)
            raise refusal(f"expected the name of one {self.noun}, or a mapping with `name`, got {shown(value)}")
        if "name" not in value and self.default is not None:
            value = {**(self.dump(self.default) or {}), **value}
        if value.get("name") is None:
            raise refusal(f"missing; expected the name of one {self.noun}", "name")
        try:
            return self.entry(value["name"], {key: item for key, item in value.items() if key != "name"})
        except UsageError as error:  # of a formula that cannot be read, or of a file of the user's
            raise refusal(str(error)) from None

    def entry(self, name: Any, settings: dict[str, Any]) -> Any:
        """The entry of this name with these settings; UsageError or a refusal where there is none."""
        if not isinstance(name, str) or name not in self.registry:
            raise refusal(unknown(self.noun, name, self.listed))
        return _with_settings(self.registry[name], settings)

    def dump(self, value: Any) -> dict[str, Any] | None:
        return (
            None
            if value is None
            else {"name": value.name, **{f.name: getattr(value, f.name) for f in fields(value)}}
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.build, serialization=core_schema.plain_serializer_function_ser_schema(self.dump)
        )

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """A name, or a mapping for each entry (`.ci/schema.py` has them)."""
        choices = [{"enum": list(self.listed)}, *({"entry": entry} for entry in self.listed.values())]
        return {"anyOf": [*choices, {"type": "null"}] if self.optional else choices}


def _with_settings(entry: Any, settings: Mapping[str, Any]) -> Any:
    # Pydantic adds the outer path to the problems of a ValidationError that is raised in here.
    built = schema_of(entry).model_validate(settings)
    return entry(**{key: getattr(built, key) for key in type(built).model_fields})


@dataclass(frozen=True)
class OneRule(OneOf):
    """An optimizer: one of optilab, a formula, as its name or as `formula`, or unless it is `inside` another one a
    user's, FILE.py:NAME, with the checksum of its file where a run has written the config. That outside can have a
    name of the user's: `name: Mine=my.py:Own`, which a run writes as `label: Mine`.
    """

    registry: Mapping[str, Any] = field(default_factory=lambda: RULES)
    noun: str = "optimizer"
    inside: bool = False

    def build(self, value: Any) -> Any:
        if isinstance(value, Mapping) and "formula" in value and "name" not in value:
            value = {"name": value["formula"], **{key: item for key, item in value.items() if key != "formula"}}
        return super().build(value)

    def entry(self, name: Any, settings: dict[str, Any]) -> Any:
        if self.inside or not isinstance(name, str):
            return self._rule(name, settings)
        label = settings.pop("label", None)
        if not (label and USER_CODE.get() == "recorded"):  # code of a notebook may be called like an optimizer
            label, name = split_label(f"{label}={name}" if label else name)
        return labeled(self._rule(name, settings), label)

    def _rule(self, name: Any, settings: dict[str, Any]) -> Any:
        if is_formula(name):
            return _with_settings(formula_rule(name), settings)
        if not is_user_code(name):
            return super().entry(name, settings)
        if self.inside:
            raise UsageError(f"expected one of optilab's optimizers inside another, got {name}")
        if USER_CODE.get() == "recorded":
            return recorded_rule({"name": name, **settings})
        return _with_settings(rule_class(executable(name, settings.pop("sha256", None))), settings)

    def dump(self, value: Any) -> dict[str, Any] | None:
        settings = {f.name: getattr(value, f.name) for f in fields(value)}
        code, label = dict[str, Any](), value.label
        if isinstance(value, UserRule):
            code = {"name": value.code.reference, "sha256": value.code.sha256}
            label = label or (value.name if value.code.definition is not None else "")
        wrapped = {key: self.dump(item) for key, item in settings.items() if is_dataclass(item)}
        return {"name": value.original.name, **code, **({"label": label} if label else {}), **settings, **wrapped}

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        schema = super().__get_pydantic_json_schema__(source, handler)
        if self.inside:  # its keys are those of the rule outside
            names = schema["anyOf"][0]
            needs = {} if self.default is not None else {"required": ["name"]}
            return {"anyOf": [names, {"type": "object", "properties": {"name": names}, **needs}]}
        code = {"type": "object", "properties": {"name": USER_CODE_SCHEMA}, "required": ["name"]}
        return {"anyOf": [*schema["anyOf"], USER_CODE_SCHEMA, LABELED_SCHEMA, code]}


@dataclass(frozen=True)
class ScalarOrList:
    """A list, for which its one entry may stand alone."""

    alone: tuple[type, ...] = (object,)
    """Types of an entry; anything else is left to the field's type."""

    def build(self, value: Any) -> Any:
        return value if isinstance(value, list | tuple) or not isinstance(value, self.alone) else [value]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        inner = handler(source)
        return core_schema.no_info_before_validator_function(self.build, inner)

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        inner = handler(source)
        return {"anyOf": [inner["items"], inner]}


@cache
def schema_of(entry: Any) -> type[Section]:
    """The schema of a registry entry: its dataclass fields."""
    hints = get_type_hints(entry, include_extras=True)
    definitions: dict[str, Any] = {
        f.name: (_inside(hints[f.name], f.default), ... if f.default is MISSING else f.default)
        for f in fields(entry)
    }
    return create_model(entry.__name__, __base__=Section, __doc__=entry.__doc__, **definitions)


def _inside(hint: Any, default: Any) -> Any:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if kind is Rule:  # a rule around another one
        wrapped = None if default is MISSING else default
        return Annotated[hint, OneRule(inside=True, default=wrapped)]
    return Annotated[hint, Strict(False)] if get_origin(kind) is tuple else hint  # which YAML writes as a list


Handling = Literal["executed", "last", "recorded"]
USER_CODE: ContextVar[Handling] = ContextVar("USER_CODE", default="executed")
"""The handling of a user's file: execute it at once; wait until the rest is valid; or ignore it, because a run has
recorded its settings.
"""


@contextmanager
def handling_user_code(how: Handling) -> Iterator[None]:
    """Handle the files of a user in this way in all configs that are built inside the block."""
    token = USER_CODE.set(how)
    try:
        yield
    finally:
        USER_CODE.reset(token)


def executable(reference: Any, digest: Any) -> UserCode:
    """The user's code that a config names, where it may be executed now.

    UsageError where there is no such file, or a config that a run has written holds another checksum than it has.
    """
    code = user_code(reference)
    if digest not in (None, code.sha256):
        raise UsageError(
            f"{code.file} has changed since the run: its SHA-256 is {code.sha256[:16]}..., not {str(digest)[:16]}..."
        )
    if USER_CODE.get() == "last":
        raise PydanticCustomError("waits", "")
    return code


def schema_for(kind: str) -> type[Section]:
    """The schema of a command's configs."""
    module, name = SCHEMAS[kind]
    schema: type[Section] = getattr(import_module(f"optilab.config.{module}"), name)
    return schema


# --- a tree as a value -------------------------------------------------------------------------------------


def build(model: type[S], tree: Tree, replaced: Sequence[Override] = ()) -> S:
    """The value of a config; ConfigError with every problem, each with its file and line, option or keyword.

    The tree is validated without a user's files, then, where there is no problem, with them. It begins again where the
    problems show that texts such as 1e-3 stand for numbers, and that keys are missing that are `replaced`.
    """
    how = USER_CODE.get()
    steps: tuple[Handling, ...] = ("last", "executed") if how == "executed" else (how,)
    for step in steps:
        try:
            with handling_user_code(step):
                return model.model_validate(tree.values)
        except ValidationError as error:
            errors = error.errors(include_url=False)
        problems = [problem for problem in errors if problem["type"] != "waits" and not _follows(problem, errors)]
        if problems:
            break
    if _read_numbers(tree, problems) or _put_missing(tree, problems, replaced):
        return build(model, tree, replaced)
    messages = [_problem(model.known_keys(), tree, problem) for problem in problems]
    raise ConfigError(tree.source, sorted(dict.fromkeys(messages), key=tree.order))


def _read_numbers(tree: Tree, problems: Sequence[Any]) -> bool:
    """Turn texts that look like numbers, such as 1e-3, into numbers where a key takes one; True if there were any."""
    changed = False
    for problem in problems:
        path, _ = tree.locate(problem["loc"])
        if problem["type"] in ("float_type", "float_parsing") and decimal(text := tree.at(path)) is not text:
            tree.at(path[:-1])[path[-1]] = decimal(text)
            changed = True
    return changed


def _put_missing(tree: Tree, problems: Sequence[Any], replaced: Sequence[Override]) -> bool:
    """Set the missing keys that are `replaced`; True if there were any."""
    missing = [dotted(problem["loc"]) for problem in problems if problem["type"] == "missing"]
    changes = [change for change in replaced if change.key in missing]
    for change in changes:
        tree.put(change)
    return bool(changes)


def _follows(problem: Any, problems: Sequence[Any]) -> bool:
    """True for a list that is too short only because one of its entries has a problem."""
    path = problem["loc"]
    return problem["type"] == "too_short" and any(
        other["loc"][: len(path)] == path and other is not problem for other in problems
    )


def _problem(known: Sequence[Key], tree: Tree, error: Any) -> Problem:
    """A problem that pydantic has found, with its place, and what the key takes."""
    about, kind = error.get("ctx", {}), error["type"]
    path, where = tree.locate(
        (*error["loc"], *about.get("key", "").split(".")) if "key" in about else error["loc"]
    )
    key = _key_at(known, tree, path)
    in_line = where != tree.source and not re.fullmatch(r"(?!--).*:\d+", where)  # an option or a keyword
    name, inside = dotted(path), bool(path) and isinstance(path[-1], int)  # an entry of a list
    part = error["loc"][-1] if error["loc"] and (inside or kind == "missing") else 0
    part = part if isinstance(part, str) and isinstance(tree.at(path), str) else ""  # of a user's code
    if kind == "extra_forbidden":
        message = f"unknown key{_accepted_keys(known, tree, path, where)}"
        if (
            in_line
            and path in tree.places
            and path[2:]
            and isinstance(path[-2], int)
            and len(tree.at(path[:-2])) > 1
        ):
            message += (
                f"; expected a key that each has, or {{name: NAME, {path[-1]}: VALUE}} in {_dotted_key(path[:-2])}"
            )
    elif kind == "missing":
        message = f"missing; expected {key.takes}" if key and not part else "missing"
        if error["loc"] and is_formula(entry := _names(tree.at(path if part else path[:-1]))[0]):
            section, setting = path if part else path[:-1], error["loc"][-1]
            if in_line and (not isinstance(section[-1], int) or len(tree.at(section[:-1])) == 1):
                has_option = setting == "lr" and where.removeprefix("--") in ("algo", "optimizer")
                options = "--lr or --set" if has_option else "--set"
                message = f"missing; expected a number for {_dotted_key(section)}.{setting} ({options})"
            else:
                message = f"missing; expected {{formula: {entry}, {setting}: NUMBER}}"
    elif kind in ("refused", "value_error"):
        message = str(error["msg"]).removeprefix("Value error, ")
    else:
        # As pydantic says it.
        words = re.sub(r"^.* should (be|have) |, unable to .*| after .*|'", "", error["msg"])
        accepted = (
            key.takes if key and not inside and kind != "finite_number" and not kind.startswith("too_") else words
        )
        message = f"expected {accepted}, got {shown(error['input'])}"
    if in_line:
        key_path, option_key = path[:-1] if inside else path, where.partition(" ")[2]
        is_located = key_path in tree.places or (
            not option_key and any(at[: len(key_path)] == key_path for at in tree.places)
        )
        name = "" if is_located else name.removeprefix(f"{option_key}.")
    return Problem(where, name, f"{part}: {message}" if part else message)


def _key_at(known: Sequence[Key], tree: Tree, path: KeyPath) -> Key | None:
    """The key that a path of a config means, among those of its section or entry; None if it is unknown."""
    names = ("", *_names(tree.at(path[:-1])))
    return next((key for key in known if key.key == _dotted_key(path) and key.of in names), None)


def _accepted_keys(known: Sequence[Key], tree: Tree, path: KeyPath, where: str) -> str:
    """The key that is near an unknown one, or what its entry or section has."""
    typed = where.removeprefix("--set ") if where.startswith("--set ") else ""
    section = _dotted_key(path[:-1])
    entry: Any = _names(tree.at(path[:-1]))[0] if path[1:] else None
    keys = _keys_of(known, section, entry)
    if keys or any(entry in key.choices for key in known if key.key == section):
        accepted = f"; {getattr(entry, '__name__', entry)} has {', '.join(keys) or 'no settings'}"
        entries = _names(tree.at(path[:-2])) if isinstance(path[-2], int) else []
        if any(path[-1] in _keys_of(known, section, other) for other in entries):
            return accepted
        return did_you_mean(str(path[-1]), keys, f"{section}." if typed == _dotted_key(path) else "") or accepted
    nearby = [key for key in known if not key.of or key.of in _names(tree.at(tuple(key.section.split("."))))]
    keys = [key.last for key in known if section and key.section == section]
    accepted = f"; {section} has {some(keys, MAX_LISTED)}" if keys else ""
    in_list = keys and any(isinstance(part, int) for part in path)  # a dotted key names none of its entries
    near = did_you_mean(str(path[-1]), keys) if in_list else ""
    names = [key.key for key in nearby]
    return near or did_you_mean(typed, names) or did_you_mean(dotted(path), names) or accepted


def _keys_of(known: Sequence[Key], section: str, entry: Any) -> list[str]:
    """The keys that the entry of this name has in its section."""
    if is_formula(entry) or is_user_code(entry):
        of_network = section.rpartition(".")[2] == "model"
        kind: Any = None if of_network else formula_rule(entry) if is_formula(entry) else rule_class(entry)
        return [key.name for key in (user_code(entry).parameters if of_network else fields(kind))]
    within = (section, section.partition(".")[0])  # of a rule around another one
    return [key.last for key in known if key.section in within and key.of == entry]


def _names(value: Any) -> list[Any]:
    """The names of one entry, or of several."""
    listed = value if isinstance(value, list) else [value]
    names = [entry.get("name", entry.get("formula")) if isinstance(entry, Mapping) else entry for entry in listed]
    return [without_label(name) for name in names]


def _dotted_key(path: KeyPath) -> str:
    """A dotted path without the numbers of lists."""
    return ".".join(part for part in path if isinstance(part, str))


def dump(config: Section) -> dict[str, Any]:
    """A config as a plain tree, of which `build` makes an equal value."""
    return config.model_dump(mode="json")


def to_yaml(config: Section) -> bytes:
    """A config as a file that is read back to an equal value."""
    return yaml_bytes(dump(config))
