"""Annotated cells: which request a cell answers, by the comment on its first line, or by a Swagger document in a Markdown cell."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["METHODS", "Annotation", "Endpoint", "HttpCells", "annotation_of", "comment_prefix", "read_cells", "read_swagger_cells"]

METHODS = ("GET", "PUT", "POST", "DELETE")
"""Methods that cells can answer."""
_PREFIXES: Mapping[str, str] = {"scala": "//"}
_OTHERWISE = "#"
_BRACES = re.compile(r"\{([^/{}]+)\}")
_NOT_IN_PATH = ("query", "header", "body", "formData")
_VERB = "(GET|PUT|POST|DELETE)"


@dataclass
class Endpoint:
    """What answers the requests of one path."""

    path: str
    """As it is written, ``/people/:index``."""
    handlers: dict[str, str] = field(default_factory=dict)
    """By method: the source of its cells, one after the other."""
    responses: dict[str, str] = field(default_factory=dict)
    """By method: the source of the cells that say how the response is to be, which run after the handler."""


@dataclass(frozen=True, slots=True)
class HttpCells:
    """The code cells of a notebook by what they are for."""

    set_up: tuple[str, ...]
    """Sources that run once in each kernel, before the first request."""
    endpoints: tuple[Endpoint, ...]
    """In the order in which they are tried."""
    swagger: Mapping[str, Any] | None = None
    """The document in a Markdown cell, where that says which paths there are."""
    warnings: tuple[str, ...] = ()
    """What is not as its author will have meant it."""


def comment_prefix(language: str | None, prefixes: Mapping[str, str] = _PREFIXES) -> str:
    """What begins a comment in the notebook's language (``metadata.language_info.name``)."""
    return prefixes.get(language or "", prefixes.get("", _OTHERWISE))


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a cell's first line says: the request it answers, or, with ``info``, whose response it describes."""

    method: str
    path: str
    info: bool


def annotation_of(source: str, prefix: str = _OTHERWISE) -> Annotation | None:
    """The annotation of a cell; None where it has none, and so runs as set-up."""
    mark = re.escape(prefix)
    found = re.match(rf"{mark}\s+(ResponseInfo\s+)?{_VERB}\s+(/.*)", source)
    return None if found is None else Annotation(found[2], found[3].strip(), found[1] is not None)


def read_cells(sources: Sequence[str], prefix: str = _OTHERWISE) -> HttpCells:
    """Read annotations such as ``# GET /people/:index`` and ``# ResponseInfo GET /people/:index``.

    The annotation is the very first line of a cell. Cells with the same method and path belong together, in their order.

    Args:
        sources: of the code cells.
        prefix: what begins a comment.
    """
    endpoints: dict[str, Endpoint] = {}
    responses: list[tuple[str, str, str]] = []
    set_up, warnings = [], []
    for source in sources:
        found = annotation_of(source, prefix)
        if found is None:
            set_up.append(source)
            warnings.extend(_almost(source, re.escape(prefix)))
        elif found.info:
            responses.append((found.method, found.path, source + "\n"))
        else:
            handlers = endpoints.setdefault(found.path, Endpoint(found.path)).handlers
            handlers[found.method] = handlers.get(found.method, "") + source + "\n"
    for method, path, source in responses:
        known = endpoints.get(path)
        if known is None or method not in known.handlers:
            warnings.append(f"a cell says ResponseInfo {method} {path}, and no cell answers {method} {path}")
        else:
            known.responses[method] = known.responses.get(method, "") + source
    return HttpCells(tuple(set_up), _in_order(endpoints.values()), warnings=tuple(warnings))


def read_swagger_cells(cells: Sequence[tuple[str, str]], prefix: str = _OTHERWISE) -> HttpCells:
    """Read a Swagger document in a fenced block of a Markdown cell, and annotations such as ``# operationId: getPeople``.

    A path of the document gets ``/:name`` for each parameter of an operation, as the gateway has it, wherever the document says that the
    parameter is. It also answers where the document says so: with ``{name}`` in the path as a parameter, and without those of the query, the
    headers and the body.

    Args:
        cells: kind (``code``, ``markdown``) and source of each cell.
        prefix: what begins a comment.
    """
    mark = re.escape(prefix)
    handler = re.compile(rf"{mark}\s*operationId:\s*(.*)")
    info = re.compile(rf"{mark}\s*ResponseInfo\s+operationId:\s*(.*)")
    document: dict[str, Any] = {}
    handlers: dict[str, str] = {}
    responses: dict[str, str] = {}
    set_up = []
    for kind, source in cells:
        if kind == "markdown":
            document.update(_swagger(source))
        elif kind == "code":
            if (found := handler.match(source)) is not None:
                name = found[1].strip()
                handlers[name] = handlers.get(name, "") + source + "\n"
            elif (found := info.match(source)) is not None:
                name = found[1].strip()
                responses[name] = responses.get(name, "") + source + "\n"
            else:
                set_up.append(source)
    endpoints: dict[str, Endpoint] = {}
    declared = list(_operations(document))
    for path, method, operation in declared:
        named = operation.get("operationId")
        if named in handlers and method in METHODS:
            for address in _addresses(path, operation):
                endpoint = endpoints.setdefault(address, Endpoint(address))
                endpoint.handlers[method] = handlers[named]
                if named in responses:
                    endpoint.responses[method] = responses[named]
    ids = {operation.get("operationId") for _, _, operation in declared}
    warnings = [
        f"operation {name} is declared, and no cell refers to it" for name in ids if isinstance(name, str) and name not in handlers
    ]
    warnings += [f"a cell refers to operation {name}, which is not declared" for name in handlers if name not in ids]
    return HttpCells(tuple(set_up), _in_order(endpoints.values()), document, tuple(sorted(warnings)))


def _addresses(path: str, operation: Mapping[str, Any]) -> list[str]:
    in_place = _BRACES.sub(r":\1", path)
    if in_place != path:
        return [in_place]
    parameters = [item for item in _mappings(operation.get("parameters")) if isinstance(item.get("name"), str)]
    behind = "/:".join([path, *(item["name"] for item in parameters)])
    elsewhere = bool(parameters) and all(item.get("in") in _NOT_IN_PATH for item in parameters)
    return [behind, path] if elsewhere else [behind]


def _in_order(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Constant paths first, then those whose first parameter stands deepest; else as they are written."""
    return tuple(sorted(endpoints, key=lambda item: _depth(item.path), reverse=True))


def _depth(path: str) -> float:
    at = path.find(":")
    return float("inf") if at < 0 else path.count("/", 0, at) - 1


def _almost(source: str, mark: str) -> list[str]:
    """A first line that looks like an annotation and is none."""
    lines = source.splitlines()
    first = next((line for line in lines if line.strip()), "")
    if re.match(rf"\s*{mark}\s*(ResponseInfo\s+)?(get|put|post|delete|patch|head|options)\s+/", first, re.IGNORECASE) is None:
        return []
    rule = f"it must be the first line of the cell, with a space after the comment sign and one of {', '.join(METHODS)} in capitals"
    return [f"{first.strip()[:80]!r} is not an annotation, so its cell runs as set-up: {rule}"]


def _swagger(source: str) -> Mapping[str, Any]:
    """The first fenced block of a Markdown cell, where it holds a Swagger document."""
    lines = source.splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    text = "".join(lines[fences[0] + 1 : fences[1]]) if len(fences) > 1 else "".join(lines)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and "swagger" in found else {}


def _operations(document: Mapping[str, Any]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Path, method in capitals, and operation of everything a document declares."""
    paths = document.get("paths")
    for path, item in (paths if isinstance(paths, dict) else {}).items():
        for method, operation in (item if isinstance(item, dict) else {}).items():
            if isinstance(operation, dict):
                yield path, method.upper(), operation


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
