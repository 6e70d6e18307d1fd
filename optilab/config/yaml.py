"""YAML text -> a plain tree and the line of every key.

Only the part of YAML that a config needs: mappings with text keys, lists, text, plain decimal numbers, true and
false. Text that YAML 1.1 would silently misread (`010` is 8, `1:30` is 90, a date, a duplicate key) is refused with
advice, and so are anchors, aliases, tags and second documents, so that a hostile file costs nothing.
`1e-3` stays text here; the schema reads it as a number where a field is one.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from optilab.errors import CONTROL, ConfigError, Problem, shown

Path = tuple[str | int, ...]

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_NODES = 10_000
MAX_DIGITS = 30

_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_ODD_NUMBER = re.compile(r"[-+]?(0[0-9_]+|0x[0-9a-fA-F_]+|0b[01_]+|[1-9][0-9]*_[0-9_]*|[0-9]+(:[0-5]?[0-9])+)\Z")
_HIDDEN_BREAK = re.compile(r"[\x85\u2028\u2029]")
"""Line breaks of YAML 1.1 that an editor does not show: what follows one in a comment would be read as a key."""
_UNACCEPTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
"""Characters that YAML does not allow anywhere, which PyYAML reports without their line."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}")
# The C parser is ten times faster; both give the same events and marks.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """A config as written: the tree, and for each key's path the line (from 1) on which it stands."""

    tree: dict[str, Any]
    lines: dict[Path, int]
    source: str
    """Its name in messages."""
    problems: tuple[Problem, ...] = ()
    """What cannot be read as it is written; the tree has a value of the right kind in its place."""


class _Refused(Exception):
    """The rest of the text cannot be read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class _Reader:
    event: Callable[[], Any]
    """The parser's next event."""
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[tuple[int, Path, str]] = field(default_factory=list)
    nodes: int = 0

    def next(self) -> Any:
        event = self.event()
        self.nodes += 1
        refused = ""
        if getattr(event, "anchor", None):  # an alias has the name of its anchor
            refused = "anchors and aliases (& and *) are not supported; write the value out"
        elif getattr(event, "tag", None):
            refused = "tags (!) are not supported; write a plain value"
        elif self.nodes > MAX_NODES:
            refused = f"more than {MAX_NODES:,} values; a config is smaller than that"
        if refused:
            raise _Refused(event.start_mark.line + 1, refused)
        return event

    def document(self) -> Any:
        self.next()  # the stream starts
        if isinstance(self.next(), yaml.StreamEndEvent):
            return None
        tree = self.node(self.next(), ())
        self.next()  # the document ends
        more: Any = self.next()
        if not isinstance(more, yaml.StreamEndEvent):
            raise _Refused(more.start_mark.line + 1, "a second document; delete the line --- and what follows")
        return tree

    def node(self, event: Any, path: Path) -> Any:
        if len(path) > MAX_DEPTH:
            raise _Refused(event.start_mark.line + 1, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.mapping(path)

    def sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            self.lines[*path, len(items)] = event.start_mark.line + 1
            items.append(self.node(event, (*path, len(items))))
        return items

    def mapping(self, path: Path) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            key = self.node(event, (*path, "?"))
            if not isinstance(key, str) or not key:
                advice = "templates ({{ }}) are not supported" if isinstance(key, dict) else "put quotes around it"
                before = next(reversed(items.values()), None)
                wrong = f"a key must be text, got {shown(key)}; {advice}"
                if type(key) is type(before) is int and self.lines[*path, [*items][-1]] == line:  # {lr: 1,5}
                    wrong = f"a comma separates keys; for the number {before},{key} write {before}.{key}"
                self.problems.append((line, path, wrong))
                key = f"?{line}"
            here = (*path, key)
            if key in items:
                self.problems.append((line, here, f"given twice, first on line {self.lines[here]}; delete one"))
            self.lines[here] = line
            items[key] = self.node(self.next(), here)
        return items

    def scalar(self, event: Any, path: Path) -> Any:
        text, line = event.value, event.start_mark.line + 1
        if bad := CONTROL.search(text):
            self.problems.append((line, path, f"control character {shown(bad[0])} is not allowed in text"))
            return CONTROL.sub("?", text)
        if not event.implicit[0]:  # quoted
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if text[0] not in "+-.0123456789":
            return text
        if _INT.match(text):
            if len(text) <= MAX_DIGITS:
                return int(text)
            self.problems.append((line, path, f"number too large ({len(text)} digits)"))
            return 0
        if _FLOAT.match(text) or _NOT_FINITE.match(text):
            return float(text.replace(".", "") if text.lower().endswith(("nan", "inf")) else text)
        if _ODD_NUMBER.match(text):
            self.problems.append((line, path, _odd_number_advice(text)))
            return 0
        if _DATE.match(text):
            advice = f'{shown(text)} would be a date; put quotes around it: "{text}"'
            self.problems.append((line, path, advice))
        return text


def _odd_number_advice(text: str) -> str:
    if len(text) > MAX_DIGITS:
        return f"number too large ({len(text)} characters)"
    read = yaml.safe_load(text)
    meant = f"YAML would read it as {read}" if isinstance(read, int) else "YAML reads it as text"
    plain = text.lstrip("0_").replace("_", "") or "0"
    decimal = f"; write {plain}" if plain.isdigit() else ""
    return f"{text} is not a plain decimal number ({meant}){decimal}, or put quotes around text"


def read(data: bytes, source: str, *, partial: bool = False) -> Document:
    """Read one config. `source` is the name for messages. All problems at once, as a `ConfigError`.

    `partial` leaves problems of single values in the document, for a reader that has more to say of the others.
    """
    try:
        reader = _Reader(_LOADER(_text(data)).get_event)
        tree = reader.document()
        if tree is None:
            raise _Refused(1, "the config is empty; see `optilab config ls` for examples to copy")
        if not isinstance(tree, dict):
            advice = _with_colon(tree.partition("\n")[0]) if isinstance(tree, str) else ""
            advice = advice or "; a config begins with a key, such as optimizer: sgd"
            if isinstance(tree, list) and any(isinstance(one, dict) and "expect" in one for one in tree):
                advice = "; a file of claims begins with a line `checks:` above the list"
            raise _Refused(1, f"the top level must be a mapping (key: value), got {shown(tree)}{advice}")
    except _Refused as refused:
        problem = Problem(f"{source}:{refused.line}", "", str(refused))
    except yaml.MarkedYAMLError as error:
        began = "':'" in str(error.problem) or "quoted scalar" in str(error.context)  # where something is missing
        mark = error.context_mark if began else error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        problem = Problem(where, "", _syntax_advice(error, mark, data))
    # PyYAML lets these escape from malformed scalars and characters.
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
        problem = Problem(source, "", f"not readable as YAML: {shown(' '.join(str(error).split()), 200)}")
    else:
        problems = [Problem(f"{source}:{line}", dotted(path), text) for line, path, text in reader.problems]
        if partial or not problems:
            return Document(tree, reader.lines, source, tuple(problems))
        raise ConfigError(source, problems)
    raise ConfigError(source, _of_toml(data, source) or [problem])


def _of_toml(data: bytes, source: str) -> list[Problem]:
    """Each line of TOML or of an INI file, with the line to write instead; none where no line sets a key by `=`."""
    found, sets = list[Problem](), False
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if match := re.fullmatch(r"\s*(?:\[([\w.]+)\]?|([\w.]+)\s*=\s*([^\s#].*?)?)\s*(?:#.*)?", line):
            section, key, text = match.groups()
            sets = sets or bool(key)
            wrong = f"has no colon after its key; write {key}: {text or 'VALUE'}"
            wrong = f"is a section of TOML; write {section}: and indent its keys" if section else wrong
            found.append(Problem(f"{source}:{number}", "", f"{shown(line.strip())} {wrong}"))
    return found if sets else []


def value(text: str) -> Any:
    """The value of `--set KEY=VALUE`, read like a value in a file; ValueError if it is not exactly one value."""
    if re.search(r"[\r\n]", text):
        raise ValueError("expected one value on one line; repeat --set for another key")
    try:
        return read(b"value: " + text.encode("utf-8", "surrogatepass"), "value").tree["value"]
    except ConfigError as error:
        message = re.sub(r" \(a value that began on line 1 is not closed\)$", "", error.problems[0].message)
        raise ValueError(f"{shown(text)}: {message}") from None


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def dotted(path: Path) -> str:
    """`("model", "hidden", 1)` as `model.hidden[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Refused(1, f"larger than 1 MiB ({len(data):,} bytes); a config is a small text file")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Refused(1, "the file is UTF-16; save it as UTF-8")
    if b"\0" in data or data.startswith((b"\x1f\x8b", b"\x89PNG", b"\xff\xd8", b"PK\x03\x04")):
        raise _Refused(1, "not a text file; a config is YAML text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _Refused(line, f"not UTF-8 (byte {error.start}); save the file as UTF-8") from None
    if hidden := _HIDDEN_BREAK.search(text):
        line = text[: hidden.start()].count("\n") + 1
        raise _Refused(line, f"{shown(hidden[0])} ends a line in YAML but in no editor; delete it")
    if control := _UNACCEPTABLE.search(text):
        line = text[: control.start()].count("\n") + 1
        raise _Refused(line, f"control character {shown(control[0])} is not allowed; delete it")
    return text


def _with_colon(line: str) -> str:
    """`; write epochs: 3` for a line that is a key and a value without the colon and the space between them."""
    found = re.fullmatch(r"([A-Za-z_][\w.]*)(?:\s*=\s*|\s+|:)([^\s:=][^:]{0,40})", line.strip())
    return f"; write {found[1]}: {found[2]}" if found else ""


def _syntax_advice(error: yaml.MarkedYAMLError, mark: Any, data: bytes) -> str:
    message = re.sub(r"^did not find expected (.*)", r"\1 is missing", error.problem or "syntax error")
    lines = data.decode("utf-8", "replace").splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "could not find expected ':'" in message:
        return f"{shown(line.strip())} has no colon after its key{_with_colon(line)}"
    if "quoted scalar" in str(error.context) and "end of stream" in message:
        return f"the quote is not closed: {shown(line.strip())}"
    if "hexdecimal" in message or "unknown escape" in message:  # C:\Users
        return f"{shown(line.strip())}: in double quotes a backslash begins an escape; write single quotes"
    if "\t" in line:
        return f"{shown(line)} has a tab; indent with spaces"
    if "incompatible" in message:
        return f"{message}: its YAML version is not supported; leave the %YAML line out"
    indent = len(line) - len(line.lstrip())
    if "mapping values" in message and indent and ":" not in line[: mark.column]:
        return f"{shown(line.strip())} is indented, and the line above it has a value already: align the two"
    above = next((one for one in reversed(lines[: mark.line]) if one.strip()), "") if mark else ""
    if "mapping values" in message and not indent and (advice := _with_colon(above)):
        return f"the line above, {shown(above.strip())}, has no colon and space after its key{advice}"
    if "mapping values" in message or "cannot start any token" in message:
        key, colon, text = line.partition(": ") if ": " in line else ("", "", line)
        return f"{shown(line.strip())}: put quotes around the text: {key.strip()}{colon}{json.dumps(text.strip())}"
    if "key is missing" in message and indent:
        return f"{shown(line.strip())} is not aligned with the keys above it; indent those of a mapping alike"
    started = error.context_mark
    if started and mark and started.line != mark.line:
        return f"{message} (a value that began on line {started.line + 1} is not closed)"
    return message
