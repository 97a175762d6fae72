"""The OpenAPI document: one typed operation for every notebook, from its contract. Pure but for the cache at the end."""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import models_json_schema

from podbook_api.cache import LruCache
from podbook_api.doors.native.documents import CreateExecution, ExecutionOptions, LinkRequest
from podbook_api.doors.problems import Problem
from podbook_core.text.json_pointer import escape

__all__ = ["NotebookSchema", "OpenApiDocuments", "build_document", "form_content", "schema_components"]

GENERIC_RUN = "/v1/run/{notebook}"
_SCHEMA_PREFIX = "#/components/schemas/"
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LITERALS = ("const", "enum", "default", "examples", "required", "type")
_DROPPED = ("$schema", "$id", "$comment", "$anchor")


@dataclass(frozen=True, slots=True)
class NotebookSchema:
    """What the document needs of a notebook."""

    name: str
    version: str
    title: str | None
    description: str | None
    input: Mapping[str, Any] | bool | None
    output: Mapping[str, Any] | bool | None


def build_document(base: Mapping[str, Any], notebooks: Sequence[NotebookSchema], *, anonymous: bool) -> dict[str, Any]:
    """The document of the whole API.

    Args:
        base: the document the framework derives from the routes.
        notebooks: those that can be run; each gets an operation of its own in place of the generic one.
        anonymous: whether callers need no key.
    """
    document = copy.deepcopy(dict(base))
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(_own_schemas())
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{"bearer": []}, {"apiKey": []}, *([{}] if anonymous else [])]
    generic = document["paths"].pop(GENERIC_RUN)["post"]
    slugs = _unique_slugs([item.name for item in notebooks])
    for item in notebooks:
        prefix = _pascal(slugs[item.name])
        for kind, schema in (("Input", item.input), ("Output", item.output)):
            schemas.update(schema_components(f"{prefix}{kind}", schema, taken=schemas))
        document["paths"][f"/v1/run/{item.name}"] = {"post": _operation(generic, item, slugs[item.name], prefix)}
    return document


def one_notebook(document: Mapping[str, Any], name: str, title: str) -> dict[str, Any]:
    """The part of a document that is about calling one notebook and reading its executions."""
    paths = {
        path: item
        for path, item in document["paths"].items()
        if path == f"/v1/run/{name}" or path.startswith("/v1/executions/{execution_id}")
    }
    used: set[str] = set()
    _collect(paths, document["components"]["schemas"], used)
    schemas = {key: value for key, value in document["components"]["schemas"].items() if key in used}
    return {
        **document,
        "info": {**document["info"], "title": title},
        "paths": paths,
        "components": {**document["components"], "schemas": schemas},
    }


def _collect(node: Any, schemas: Mapping[str, Any], used: set[str]) -> None:
    for reference in _references(node):
        name = reference.removeprefix(_SCHEMA_PREFIX).partition("/")[0]
        if name in schemas and name not in used:
            used.add(name)
            _collect(schemas[name], schemas, used)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _own_schemas() -> dict[str, Any]:
    """Schemas that routes name by hand, since they read their bodies themselves."""
    _, definitions = models_json_schema(
        [(Problem, "validation"), (CreateExecution, "validation"), (ExecutionOptions, "validation"), (LinkRequest, "validation")],
        ref_template=_SCHEMA_PREFIX + "{model}",
    )
    found: dict[str, Any] = definitions["$defs"]
    return found


def _operation(generic: Mapping[str, Any], item: NotebookSchema, slug: str, prefix: str) -> dict[str, Any]:
    operation = copy.deepcopy(dict(generic))
    operation["operationId"] = f"run_{slug}"
    operation["summary"] = item.title or item.name
    operation["description"] = item.description or f"Run the notebook {item.name} and return its output."
    operation["parameters"] = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] == "header"]
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"{_SCHEMA_PREFIX}{prefix}Input"}},
            "multipart/form-data": form_content({"$ref": f"{_SCHEMA_PREFIX}{prefix}Input"}),
        },
    }
    operation["responses"]["200"] = {
        "description": "The notebook's output",
        "content": {"application/json": {"schema": {"$ref": f"{_SCHEMA_PREFIX}{prefix}Output"}}},
    }
    return operation


def form_content(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The media type object of a form with files; ``parameters`` is the schema of the part of that name."""
    return {
        "schema": {
            "type": "object",
            "properties": {"parameters": dict(parameters), "options": {"$ref": f"{_SCHEMA_PREFIX}ExecutionOptions"}},
            "additionalProperties": {
                "type": "string",
                "format": "binary",
                "description": "An input file, called like its part; or, without a file name, one parameter as text.",
            },
        },
        "encoding": {name: {"contentType": "application/json"} for name in ("parameters", "options")},
    }


def schema_components(name: str, schema: Mapping[str, Any] | bool | None, *, taken: Mapping[str, Any]) -> dict[str, Any]:
    """A contract's schema as components: itself under ``name``, and each of its definitions under a name of its own.

    Draft-07 forms become those of 2020-12, which OpenAPI 3.1 speaks, and references point to the components.
    """
    if schema is None or schema is True:
        return {name: {"type": "object", "additionalProperties": True} if name.endswith("Input") else {}}
    if schema is False:
        return {name: {"not": {}}}
    names: dict[str, str] = {}
    definitions: dict[str, Any] = {}
    for place in ("$defs", "definitions"):
        inner = schema.get(place)
        for key, value in (inner if isinstance(inner, Mapping) else {}).items():
            component = _free(f"{name}{_pascal(_slug(key))}", {**taken, **definitions, name: None})
            names[f"#/{place}/{escape(key)}"] = component
            definitions[component] = value
    root = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    return {name: _translated(root, name, names), **{key: _translated(value, name, names) for key, value in definitions.items()}}


def _translated(node: Any, root: str, names: Mapping[str, str]) -> Any:
    """One schema in 2020-12, with references to components."""
    if isinstance(node, list):
        return [_translated(item, root, names) for item in node]
    if not isinstance(node, Mapping):
        return node
    if isinstance(node.get("$ref"), str):
        target = _reference(node["$ref"], root, names)
        # In draft-07 the neighbours of $ref do not count; of those only the description tells people something.
        kept = {key: node[key] for key in ("description", "title", "default") if key in node}
        return {} if target is None else {"$ref": target, **kept}
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key in _DROPPED or key == "additionalItems":
            continue
        if key in _LITERALS:
            result[key] = value
        elif key in _MAPS and isinstance(value, Mapping):
            result[key] = {name: _translated(item, root, names) for name, item in value.items()}
        elif key == "items" and isinstance(value, list):
            result["prefixItems"] = _translated(value, root, names)
            if "additionalItems" in node:
                result["items"] = _translated(node["additionalItems"], root, names)
        elif key == "dependencies" and isinstance(value, Mapping):
            result.setdefault("dependentRequired", {}).update(
                {name: item for name, item in value.items() if isinstance(item, list)}
            )
            result.setdefault("dependentSchemas", {}).update(
                {name: _translated(item, root, names) for name, item in value.items() if not isinstance(item, list)}
            )
        else:
            result[key] = _translated(value, root, names)
    return result


def _reference(target: str, root: str, names: Mapping[str, str]) -> str | None:
    """Where a local reference points in the document; None for an anchor, which components cannot have."""
    if target == "#":
        return _SCHEMA_PREFIX + root
    for pointer, component in names.items():
        if target == pointer or target.startswith(pointer + "/"):
            return _SCHEMA_PREFIX + component + target.removeprefix(pointer)
    return _SCHEMA_PREFIX + root + target[1:] if target.startswith("#/") else None


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}{number}", number + 1
    return candidate


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower() or "notebook"


def _pascal(slug: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in slug.split("_")) or "Notebook"


def _unique_slugs(names: Sequence[str]) -> dict[str, str]:
    """A slug for each name; names that share one get a piece of their hash, whichever others there are."""
    slugs = {name: _slug(name) for name in names}
    shared = {slug for slug in slugs.values() if list(slugs.values()).count(slug) > 1}
    return {
        name: f"{slug}_{hashlib.sha256(name.encode()).hexdigest()[:6]}" if slug in shared else slug for name, slug in slugs.items()
    }


class OpenApiDocuments:
    """Documents ready to be sent, kept while the catalogue stays as it is.

    Args:
        base: gives the framework's own document.
        anonymous: whether callers need no key.
    """

    def __init__(self, base: Callable[[], Mapping[str, Any]], *, anonymous: bool) -> None:
        self._base = base
        self._anonymous = anonymous
        self._kept: LruCache[tuple[str, tuple[tuple[str, str], ...]], bytes] = LruCache(16)

    def whole(self, notebooks: Sequence[NotebookSchema]) -> bytes:
        """The document with all of these notebooks, as JSON."""
        return self._document("", notebooks)

    def of(self, notebook: NotebookSchema) -> bytes:
        """The document about one notebook, as JSON."""
        return self._document(notebook.name, [notebook])

    def _document(self, only: str, notebooks: Sequence[NotebookSchema]) -> bytes:
        key = (only, tuple((item.name, item.version) for item in notebooks))
        known = self._kept.get(key)
        if known is None:
            document = build_document(self._base(), notebooks, anonymous=self._anonymous)
            if only:
                document = one_notebook(document, only, notebooks[0].title or only)
            known = json.dumps(document, ensure_ascii=False).encode()
            self._kept.put(key, known)
        return known
