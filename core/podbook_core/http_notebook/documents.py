"""What there is to call, as documents: Swagger 2.0 as the gateway always told it, and a valid OpenAPI 3.1 beside it."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from podbook_core.http_notebook.annotations import Endpoint, HttpCells

__all__ = ["openapi_document", "openapi_paths", "swagger_document"]

_ERROR = {
    "type": "object",
    "required": ["reason", "message"],
    "properties": {"reason": {"type": "string"}, "message": {"type": "string"}},
}
_PARAMETER = re.compile(r":([^/\s]+)")


def swagger_document(cells: HttpCells, title: str) -> dict[str, Any]:
    """Swagger 2.0, with the paths as they are written in the cells, or the document of the Markdown cell."""
    document: dict[str, Any] = (
        copy.deepcopy(dict(cells.swagger)) if cells.swagger else {"swagger": "2.0", "paths": {}, "info": {"version": "0.0.0"}}
    )
    if not cells.swagger:
        for endpoint in cells.endpoints:
            item = document["paths"].setdefault(endpoint.path, {})
            item.update({method.lower(): {"responses": {"200": {"description": "Success"}}} for method in endpoint.handlers})
    info = document.get("info")
    if isinstance(info, dict):
        info.setdefault("title", title)
    return document


def openapi_document(cells: HttpCells, title: str, *, base: str = "", token: bool = False) -> dict[str, Any]:
    """OpenAPI 3.1 of all endpoints.

    Args:
        cells: of the notebook.
        title: of the document.
        base: path before each endpoint.
        token: whether requests must carry one.
    """
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "0.0.0"},
        "paths": openapi_paths(cells.endpoints, base=base, prefix=""),
        "components": {"schemas": {"Error": _ERROR}},
    }
    if token:
        document["components"]["securitySchemes"] = {
            "token": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "The word `token`, a space, and the token.",
            },
            "tokenInQuery": {"type": "apiKey", "in": "query", "name": "token"},
        }
        document["security"] = [{"token": []}, {"tokenInQuery": []}]
    return document


def openapi_paths(endpoints: Sequence[Endpoint], *, base: str, prefix: str) -> dict[str, Any]:
    """The endpoints as paths of an OpenAPI document.

    Args:
        endpoints: in the order in which they are tried; of two that only differ in the names of their parameters the first one counts.
        base: path before each.
        prefix: what the operations' ids begin with.
    """
    paths: dict[str, Any] = {}
    shapes: set[str] = set()
    ids: set[str] = set()
    for endpoint in endpoints:
        names = _PARAMETER.findall(endpoint.path)
        shape = _PARAMETER.sub("{}", endpoint.path)
        if shape in shapes or len(set(names)) < len(names):
            continue
        shapes.add(shape)
        path = base + _PARAMETER.sub(lambda found: f"{{{_plain(found[1])}}}", endpoint.path.replace("{", "%7B").replace("}", "%7D"))
        paths[path] = {method.lower(): _operation(method, endpoint, names, prefix, ids) for method in endpoint.handlers}
    return paths


def _operation(method: str, endpoint: Endpoint, names: Sequence[str], prefix: str, ids: set[str]) -> Mapping[str, Any]:
    slug = re.sub(r"[^A-Za-z0-9]+", "_", _PARAMETER.sub(r"by_\1", endpoint.path)).strip("_") or "root"
    while f"{prefix}{method.lower()}_{slug}" in ids:
        slug += "_"  # "/a-b" and "/a/b" would be called the same
    ids.add(f"{prefix}{method.lower()}_{slug}")
    operation: dict[str, Any] = {
        "operationId": f"{prefix}{method.lower()}_{slug}",
        "summary": f"{method} {endpoint.path}",
        "responses": {
            "200": {"description": "What the cells printed, or their result", "content": {"*/*": {"schema": {}}}},
            "500": {"description": "A cell raised, or its kernel ended", "content": {"*/*": {"schema": {}}}},
            "default": {"description": "What the ResponseInfo cells say, or an error", "content": {"*/*": {"schema": {}}}},
        },
    }
    if names:
        operation["parameters"] = [
            {"name": _plain(name), "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if method in ("POST", "PUT"):
        operation["requestBody"] = {"content": {"*/*": {"schema": {}}}}
    return operation


def _plain(name: str) -> str:
    return re.sub(r"[{}]", "_", name)
