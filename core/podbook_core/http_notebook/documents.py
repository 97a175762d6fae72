"""What there is to call, as documents: Swagger 2.0 as the gateway always told it, and a valid OpenAPI 3.1 beside it."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from podbook_core.http_notebook.annotations import Endpoint, HttpCells

__all__ = ["openapi_document", "openapi_paths", "swagger_document"]

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


def openapi_document(cells: HttpCells, title: str, *, base: str = "") -> dict[str, Any]:
    """OpenAPI 3.1 of all endpoints. ``base`` is the path before each."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "0.0.0"},
        "paths": openapi_paths(cells.endpoints, base=base, prefix=""),
    }


def openapi_paths(endpoints: Sequence[Endpoint], *, base: str, prefix: str) -> dict[str, Any]:
    """The endpoints as paths of an OpenAPI document.

    Args:
        endpoints: in the order in which they are tried; of two that only differ in the names of their parameters the first one counts.
        base: path before each.
        prefix: what the operations' ids begin with.
    """
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        names = list(dict.fromkeys(_PARAMETER.findall(endpoint.path)))
        path = base + _PARAMETER.sub(lambda found: f"{{{_plain(found[1])}}}", endpoint.path)
        if not names or path not in paths:
            item = paths.setdefault(path, {})
            for method in endpoint.handlers:
                item[method.lower()] = _operation(method, endpoint, names, prefix)
    return paths


def _operation(method: str, endpoint: Endpoint, names: Sequence[str], prefix: str) -> Mapping[str, Any]:
    slug = re.sub(r"[^A-Za-z0-9]+", "_", _PARAMETER.sub(r"by_\1", endpoint.path)).strip("_") or "root"
    operation: dict[str, Any] = {
        "operationId": f"{prefix}{method.lower()}_{slug}",
        "summary": f"{method} {endpoint.path}",
        "responses": {
            "default": {"description": "What the notebook answers", "content": {"*/*": {"schema": {}}}},
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
