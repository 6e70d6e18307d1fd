"""The keys of a command's configs as JSON Schema (draft 2020-12), for editors.

Types, ranges, defaults and descriptions come from the same definitions as those of `config show`. What depends on
several keys at once (a start of the function's dimension, stages that grow) is checked by `config check` alone.
"""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from optilab.config.load import schema_for

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Generator(GenerateJsonSchema):
    """Pydantic's generator, without titles that repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
"""What pydantic leaves untranslated where a field may be null."""


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of the configs of a command."""
    model = schema_for(kind)
    schema = _translated(model.model_json_schema(schema_generator=Generator))
    return {"$schema": DIALECT, "title": f"optilab {kind}", **{k: v for k, v in schema.items() if k != "title"}}


def _translated(node: Any) -> Any:
    if isinstance(node, dict):
        number = node.get("type") in ("number", "integer")
        return {_BOUNDS.get(key, key) if number else key: _translated(value) for key, value in node.items()}
    return [_translated(item) for item in node] if isinstance(node, list) else node


def text(kind: str) -> str:
    """The schema as the file that is shipped."""
    return json.dumps(json_schema(kind), indent=1, sort_keys=False) + "\n"
