"""How deep JSON may be nested, and how to read what is deeper. None of this recurses itself.

Kubernetes' API server takes documents 10,000 levels deep. How many a Python can read depends on its version and on the stack, from
under a thousand to some thousands, and beyond that its parser raises RecursionError.
"""

import json
import re
from typing import Any

__all__ = ["MAX_FILE_NESTING", "MAX_NESTING", "cut_deep", "nested_too_deeply", "parse_document", "parse_without_parameters"]

MAX_NESTING = 100
"""Deepest parameters. pydantic, papermill and most clients stop between 200 and 1,000 levels."""
MAX_FILE_NESTING = 200
"""Deepest contract, model or notebook: every Python can read, write and walk it, from whatever stack."""
_KEPT_NESTING = 200
"""What is kept of a document: far more than parameters and all that is around them may have."""
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)


def nested_too_deeply(value: Any, limit: int = MAX_NESTING) -> bool:
    """Whether plain data holds lists and objects nested deeper than that."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def parse_document(data: bytes) -> Any:
    """JSON of an API server as plain data, however deep it is: where this Python cannot read it, the depths are left out.

    What is left out makes no difference: parameters deeper than :data:`MAX_NESTING` are refused, and those of what is left still are.

    Raises:
        ValueError: it is not valid JSON.
    """
    try:
        return json.loads(data)
    except RecursionError:
        return json.loads(cut_deep(data))


def parse_without_parameters(data: bytes) -> Any:
    """As :func:`parse_document`, without ``spec.parameters`` wherever there is a ``spec``.

    Of a list of resources, the parameters of one at a time are in memory.
    """
    try:
        return json.loads(data, object_hook=_drop_parameters)
    except RecursionError:
        return json.loads(cut_deep(data), object_hook=_drop_parameters)


def _drop_parameters(value: dict[str, Any]) -> dict[str, Any]:
    spec = value.get("spec")
    if type(spec) is dict and nested_too_deeply(spec.pop("parameters", None)):
        spec["parameters"] = None  # what a model refuses when it is whole, it refuses here as well
    return value


def cut_deep(data: bytes, limit: int = _KEPT_NESTING) -> bytes:
    """The same JSON (in UTF-8) with null for every list and object that lies deeper than ``limit`` levels."""
    if data.count(b"[") + data.count(b"{") <= limit:
        return data
    kept: list[bytes] = []
    depth = begin = 0
    for token in _TOKEN.finditer(data):
        if token[0] in (b"[", b"{"):
            if depth == limit:
                kept += (data[begin : token.start()], b"null")
            depth += 1
        elif token[0] in (b"]", b"}"):
            depth -= 1
            if depth == limit:
                begin = token.end()
    if depth <= limit:  # else it ends too early, and so does what is kept: neither is JSON
        kept.append(data[begin:])
    return b"".join(kept)
