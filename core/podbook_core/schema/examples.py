"""Parameters made up from a contract, to show how its notebook is called. Pure."""

from collections.abc import Mapping
from typing import Any

from podbook_core.text.schema_references import target_of

__all__ = ["example_parameters"]

_DEPTH = 8


def example_parameters(schema: Mapping[str, Any] | bool | None) -> dict[str, Any]:
    """Parameters that show how a notebook is called: the contract's own examples and defaults where it has some, else values by type."""
    if not isinstance(schema, Mapping):
        return {}
    value = _example(schema, schema, 0)
    return value if isinstance(value, dict) else {}


def _example(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _DEPTH:
        return None
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if isinstance(schema.get("$ref"), str):
        return _example(target_of(root, schema["$ref"]), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        choices = schema.get(key)
        if isinstance(choices, list) and choices and "properties" not in schema:
            return _example(choices[0], root, depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    properties = schema.get("properties")
    if kind == "object" or isinstance(properties, Mapping):
        return _object(schema, properties if isinstance(properties, Mapping) else {}, root, depth)
    number = schema.get("minimum", 1)
    return {"string": "text", "integer": number, "number": number, "boolean": True, "array": []}.get(str(kind))


def _object(schema: Mapping[str, Any], properties: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Required properties, and those with an example; what merely has a default may be omitted."""
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    shown = {
        name: _example(inner, root, depth + 1)
        for name, inner in properties.items()
        if name in needed or (isinstance(inner, Mapping) and inner.get("examples"))
    }
    if not shown and properties and not needed:
        name, inner = next(iter(properties.items()))
        shown = {name: _example(inner, root, depth + 1)}
    return shown
