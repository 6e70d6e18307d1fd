"""lab.pyi, what an editor sees of `Lab`: written from the requests by `python -m tests.test_lab_stub`."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from optilab import lab

STUB = Path(lab.__file__).with_suffix(".pyi")
HEAD = '''"""Written by `python -m tests.test_lab_stub` from the requests of the commands."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

{imports}

Config = str | os.PathLike[str] | Mapping[str, Any]
"""A YAML file, the name of a preset, or the keys themselves."""
Names = str | Sequence[Any]
"""One name or `a,b`, or several."""

class Lab:
    folder: Path
    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None: ...
    def load(self, name: str) -> LabRun | LabStudy: ...
    def runs(self) -> list[LabRun | LabStudy]: ...
'''
KINDS = {
    "config": "Config",
    "candidate": "str | Callable[..., Any] | Sequence[str]",
    "seed": "int",
    "epochs": "int",
    "batch_size": "int",
    "lr": "float",
    "step": "int | str",
    "over": "Mapping[str, Any] | str",
    "set": "Mapping[str, Any]",
    "on": "Config | Sequence[Config]",
    "start": "Sequence[float] | str",
    "algo": "Names | Any",
    "function": "str | Any",
}
"""Types that a field does not say, because a command line gives it as text."""
RUNS = {"dry_run": "Literal[False] | None"}
OVERLOADS: dict[str, list[tuple[dict[str, str], str]]] = {
    "train": [({"seeds": "int"}, "LabStudy"), ({"seeds": "None"}, "LabRun")],
    "sweep": [({"dry_run": "Literal[True]"}, "PlannedStudy"), (RUNS, "LabStudy")],
    "remedy": [({"dry_run": "Literal[True]"}, "PlannedStudy"), (RUNS, "LabStudy")],
    "race": [
        ({"dry_run": "Literal[True]"}, "PlannedStudy"),
        ({"on": KINDS["on"], **RUNS}, "LabStudy"),
        ({"on": "None", **RUNS}, "LabRace"),
    ],
    "verify": [
        ({"candidate": "Callable[..., Any]"}, "LabVerification"),
        ({"candidate": "str"}, "LabVerification | Grades"),
        ({"candidate": "list[str] | tuple[str, ...]"}, "Grades"),
        ({"candidate": "None"}, "Parity"),
    ],
}
"""What a method returns where it depends on a keyword: the type of the keyword, and that of the answer."""


def kind(field: Any) -> str:
    """The type of a keyword."""
    if field.name in KINDS:
        return KINDS[field.name]
    types = [one for one in (get_args(field.type) or (field.type,)) if one is not type(None)]
    if any(one is list or get_origin(one) in (list, tuple) for one in [field.type, *types]) or field.repeated:
        return "Names"
    types = [str if get_origin(one) is Literal else one for one in types]
    names = {bool: "bool", int: "int", float: "float", str: "str"}
    known = [names[one] for one in types if one in names]
    return " | ".join(known) if known and len(known) == len(types) else "Any"


def method(name: str) -> tuple[str, str]:
    """The lines of one method, and the names of what it returns."""
    returned = lab.verb_of(name).run.__annotations__["return"]
    returned = returned if isinstance(returned, str) else returned.__name__
    doc = inspect.getdoc(lab.verb_of(name).requests[0]) or ""
    first = doc.partition("\n")[0]
    variants = OVERLOADS.get(name, [({}, returned)])
    lines = [definition(name, *variant, first) for variant in variants]
    return "".join(lines if len(lines) == 1 else [f"    @overload\n{line}" for line in lines]), returned


def definition(name: str, types: dict[str, str], returned: str, doc: str) -> str:
    """A method whose keywords have these types."""
    fields = lab.keywords(name)
    parameters = []
    for one in lab.signature(name).parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in parameters:
            parameters.append("*")
        known = types.get(one.name, "")
        if one.name == "progress":
            parameters.append("progress: bool | None = None")
        elif known:
            parameters.append(f"{one.name}: {known}{' = None' * known.endswith('None')}")
        elif one.default is inspect.Parameter.empty:
            parameters.append(f"{one.name}: {kind(fields[one.name])}")
        else:
            parameters.append(f"{one.name}: {kind(fields[one.name])} | None = None")
    if lab.verb_of(name).requests[0].OPEN:
        parameters.append("**keys: Any")
    lines = "".join(f"        {one},\n" for one in parameters)
    return f'    def {name}(\n        self,\n{lines}    ) -> {returned}:\n        """{doc}"""\n'


def stub() -> str:
    """The file as it has to be."""
    methods = {name: method(name) for name in lab.VERBS}
    words = {("results", "LabRun"), ("results", "LabStudy")}
    words |= {(name, word) for name, (_, returned) in methods.items() for word in returned.split(" | ")}
    modules: dict[str, set[str]] = {}
    for verb, word in words:
        found = getattr(import_module(f"optilab.verbs.{verb}"), word)
        modules.setdefault(found.__module__, set()).add(word)
    imports = "\n".join(
        f"from {module} import {', '.join(sorted(found))}" for module, found in sorted(modules.items())
    )
    return HEAD.format(imports=imports) + "".join(text for text, _ in methods.values())


def test_the_stub_is_current():
    assert STUB.read_text() == stub()


if __name__ == "__main__":
    STUB.write_text(stub())
