"""Parameters that come as text, in forms, queries and paths: what the contract says they are. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from podbook_core.text import strict_json
from podbook_core.text.schema_references import target_of
from podbook_core.text.strict_json import InvalidJsonError

__all__ = ["parameters_from_fields"]


def parameters_from_fields(fields: Mapping[str, Sequence[str]], schema: Mapping[str, Any] | bool | None) -> dict[str, Any]:
    """Texts, such as those of a form or a query, as parameters: text stays text where the contract allows it, else it is read as JSON. Pure.

    A repeated field is an array. What cannot be read stays text, so that the contract says what is wrong with it.
    """
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    parameters: dict[str, Any] = {}
    for name, values in fields.items():
        kinds = _types(known.get(name), schema)
        if "array" in kinds and not (len(values) == 1 and values[0].lstrip().startswith("[")):
            items = known[name].get("items") if isinstance(known.get(name), Mapping) else None
            parameters[name] = [_coerce(value, _types(items, schema)) for value in values]
        elif len(values) == 1:
            parameters[name] = _coerce(values[0], kinds)
        else:
            parameters[name] = [_coerce(value, kinds) for value in values]
    return parameters


def _types(schema: Any, root: Any) -> tuple[str, ...]:
    """The types a schema names, through one local reference; none when it does not say."""
    if not isinstance(schema, Mapping):
        return ()
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        schema = target_of(root, reference)
        if not isinstance(schema, Mapping):
            return ()
    kind = schema.get("type")
    return tuple(str(item) for item in kind) if isinstance(kind, list) else (str(kind),) if kind else ()


def _coerce(text: str, kinds: Sequence[str]) -> Any:
    if not kinds or "string" in kinds:
        return text
    try:
        return strict_json.parse(text, limit=len(text), what="the field")
    except InvalidJsonError:
        return text
