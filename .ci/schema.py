"""The keys of all configs as JSON Schema, which `.ci/generate.py` writes to configs/schema for editors."""

import json
from typing import Any

from optilab.config import SCHEMAS
from optilab.config.section import Section, schema_for, schema_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> str:
    """The keys of all configs as one JSON Schema (draft 2020-12), for editors: a line for each class."""
    definitions: dict[str, Any] = {}
    for kind in SCHEMAS:
        _define(schema_for(kind), definitions)
    lines = ",\n".join(
        f'  "{name}": {json.dumps(schema, allow_nan=False)}' for name, schema in definitions.items()
    )
    return f'{{\n "$schema": "{DIALECT}",\n "title": "optilab",\n "$defs": {{\n{lines}\n }}\n}}\n'


def schema_of_kind(kind: str) -> str:
    """The keys of a command's configs, by reference to the file of all."""
    reference = f"optilab.schema.json#/$defs/{SCHEMAS[kind][1]}"
    return f"{json.dumps({'$schema': DIALECT, 'title': f'optilab {kind}', '$ref': reference})}\n"


def _define(owner: Any, definitions: dict[str, Any]) -> dict[str, str]:
    """A reference to a section or an entry of a registry, by the name of its class."""
    name = owner.__name__
    if name not in definitions:
        definitions[name] = {}  # keeps the order of first use
        entry = None if issubclass(owner, Section) else owner
        schema = (schema_of(entry) if entry else owner).model_json_schema()
        inner = schema.pop("$defs", {})
        if entry is not None:  # it is chosen by its name
            schema["properties"] = {"name": {"const": entry.name}, **schema.get("properties", {})}
            schema["required"] = ["name", *schema.get("required", ())]
            schema["description"] = schema.get("description", "").partition("\n")[0]
        definitions[name] = _finished(schema, definitions)
        definitions |= {key: _finished(inner[key], definitions) for key in inner if key not in definitions}
    return {"$ref": f"#/$defs/{name}"}


def _finished(node: Any, definitions: dict[str, Any]) -> Any:
    """A schema without titles, whose entries are references to their definitions."""
    if isinstance(node, list):
        return [_finished(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "entry" in node:
        return _define(node["entry"], definitions)
    untitled = {key: item for key, item in node.items() if key != "title" or not isinstance(item, str)}
    return {key: _finished(item, definitions) for key, item in untitled.items()}
