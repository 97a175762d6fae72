"""The cell that brings the parameters, for notebooks in Python: their values as code. Pure; standard library only, for the runner writes it.

Where the contract's schema of a value has the ``title`` of a class that the notebook defines or imports before that cell, the value becomes an
instance of the class, ``Name(**{…})``; else it is what JSON makes of it.
"""

import ast
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "INJECTED",
    "TAGGED",
    "Instance",
    "classes_before_parameters",
    "injection_place",
    "parameters_source",
    "tags_of",
    "typed_parameters",
]

TAGGED, INJECTED = "parameters", "injected-parameters"
"""Tags of the cell with the defaults, and of the one that is written."""
_DEPTH = 64
"""Schemas that refer to one another are followed no further."""
_CLASS = re.compile(r"^class[ \t]+([^\W\d]\w*)[ \t]*[(:]", re.MULTILINE)

_IMPORT = re.compile(r"^(from[ \t]+[\w.]+[ \t]+import[ \t]+(?:\([\w\s,]*\)|[\w \t,]+))", re.MULTILINE)


class Instance(dict[str, Any]):
    """A JSON object that stands for an instance of a class of the notebook. Everywhere but in the cell it is that object."""

    def __init__(self, class_name: str, members: Mapping[str, Any]) -> None:
        super().__init__(members)
        self.class_name = class_name


def parameters_source(parameters: Mapping[str, Any], *, comment: str = "Parameters") -> str:
    """The source of the cell: a comment, and an assignment for each parameter. The names must be variables' names.

    Args:
        parameters: values of JSON, and :class:`Instance`.
        comment: without its ``#``.
    """
    return "".join([f"# {comment}".strip() + "\n", *(f"{name} = {_code(value)}\n" for name, value in parameters.items())])


def injection_place(cells: Sequence[Mapping[str, Any]]) -> tuple[int, bool]:
    """Where the cell goes, as an index, and whether it replaces the cell that is there: one that was injected before.

    After the cell tagged ``parameters``, else on top.
    """
    for number, cell in enumerate(cells):
        if INJECTED in tags_of(cell):
            return number, True
    return next((number + 1 for number, cell in enumerate(cells) if TAGGED in tags_of(cell)), 0), False


def classes_before_parameters(cells: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Names of the classes that code cells define or import before the place where the parameters are injected, at their top level.

    What ``from … import Name`` brings counts as a class: only a schema with that very title asks for it.
    """
    place, _ = injection_place(cells)
    return frozenset(
        name for cell in cells[:place] if cell.get("cell_type") == "code" for name in _classes(_source(cell.get("source")))
    )


def typed_parameters(parameters: Mapping[str, Any], schema: Any, classes: frozenset[str]) -> dict[str, Any]:
    """The parameters, with an :class:`Instance` wherever the schema says so.

    Args:
        parameters: as they were checked against the schema.
        schema: the contract's schema of the input; anything but an object leaves them as they are.
        classes: names of classes that are there when they are assigned.
    """
    if not classes or not isinstance(schema, Mapping):
        return dict(parameters)
    members = _members(schema, schema)
    return {name: _typed(value, members.get(name), schema, classes, 0) for name, value in parameters.items()}


def _typed(value: Any, schema: Any, root: Mapping[str, Any], classes: frozenset[str], depth: int) -> Any:
    schema = _resolved(schema, root)
    if schema is None or depth > _DEPTH:
        return value
    if isinstance(value, list):
        return [_typed(item, schema.get("items"), root, classes, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    known = _members(schema, root)
    inner = {name: _typed(item, known.get(name), root, classes, depth + 1) for name, item in value.items()}
    title = schema.get("title")
    return Instance(title, inner) if isinstance(title, str) and title in classes else inner


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A schema behind its local references."""
    for _ in range(_DEPTH):
        if not isinstance(schema, Mapping):
            return None
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = _target(reference, root)
    return None


def _target(reference: str, root: Mapping[str, Any]) -> Any:
    node: Any = root if reference.startswith("#/") else None
    for token in reference[2:].split("/"):
        name = token.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _members(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    resolved = _resolved(schema, root)
    properties = None if resolved is None else resolved.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _classes(source: str) -> Iterable[str]:
    found = _bound_classes(source)
    if found is not None:
        return found
    # Magics and shell lines are not Python, but the lines between them mostly are.
    imported = [name for statement in _IMPORT.findall(source) for name in _bound_classes(statement) or ()]
    return [*_CLASS.findall(source), *imported]


def _bound_classes(source: str) -> list[str] | None:
    """Names that the class and import statements of a source bind; None where it cannot be parsed."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    defined = [item.name for item in body if isinstance(item, ast.ClassDef)]
    return defined + [name.asname or name.name for item in body if isinstance(item, ast.ImportFrom) for name in item.names]


def _source(value: Any) -> str:
    """Source of a cell, which may be a list of lines."""
    if isinstance(value, list):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""


def tags_of(cell: Mapping[str, Any]) -> Sequence[Any]:
    """The tags of a cell; none where its metadata does not say."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return tags if isinstance(tags, list) else ()


def _code(value: Any) -> str:
    """A value as an expression."""
    match value:
        case Instance():
            return f"{value.class_name}(**{{{_items(value)}}})"
        case None | bool() | int():
            return str(value)
        case float():
            return str(value) if math.isfinite(value) else f"float('{value}')"
        case dict():
            return f"{{{_items(value)}}}"
        case list():
            return f"[{', '.join(map(_code, value))}]"
        case _:
            return _text(str(value))


def _items(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{_text(str(name))}: {_code(item)}" for name, item in value.items())


def _text(value: str) -> str:
    # All in ASCII, so that no editor and no encoding can change it.
    escaped = value.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'
