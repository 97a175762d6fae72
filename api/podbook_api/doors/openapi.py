"""The OpenAPI document, put together from the parts of the doors, and contracts as its components. Pure, except for the cache at the end."""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from podbook_api.cache import LruCache
from podbook_api.services.catalogue import Published
from podbook_core.notebook.identity import notebook_id
from podbook_core.text.json_pointer import escape
from podbook_core.text.schema_keywords import LITERALS, SCHEMA_MAPS

__all__ = ["SCHEMA_PREFIX", "NotebookSchema", "OpenApiDocuments", "Part", "build_document", "schema_components"]

SCHEMA_PREFIX = "#/components/schemas/"
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
    id: str = ""
    """The ``id`` of its contract, else its path."""
    has_contract: bool = False
    """Whether a contract file belongs to it."""
    endpoints: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Paths that its annotated cells answer, each with its methods."""
    slug: str = ""
    """Its name as part of an operation's id; unlike that of every other notebook of the document. Filled in by :func:`build_document`."""

    @property
    def component(self) -> str:
        """What the names of its components begin with: ``<component>Input`` and ``<component>Output``."""
        return pascal(self.slug)

    @classmethod
    def of(cls, published: Published) -> Self:
        """What the document needs of a published notebook."""
        version, contract = published.version, published.version.contract
        title = contract.title or (published.info.title if published.info else None)
        return cls(
            version.name,
            version.version,
            title,
            contract.description,
            contract.input,
            contract.output,
            id=notebook_id(version),
            has_contract=version.contract_sha256 is not None,
            endpoints=published.info.endpoints if published.info else (),
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What a door adds to the document."""

    covers: Callable[[str], int]
    """How long the longest of the door's paths at or above a path is; -1 where none is."""
    schemes: Mapping[str, Mapping[str, Any]]
    """Security scheme objects of the credentials it accepts, by name."""
    complete: Callable[[dict[str, Any], Sequence[NotebookSchema]], None] | None = None
    """Completes the document, in place, for the notebooks that can be run."""


def build_document(
    base: Mapping[str, Any], notebooks: Sequence[NotebookSchema], *, anonymous: bool, parts: Sequence[Part] = ()
) -> dict[str, Any]:
    """The document of the whole API.

    Args:
        base: the document the framework derives from the routes.
        notebooks: those that can be run.
        anonymous: whether callers need no key.
        parts: of the doors. The credentials of the first hold for every path that does not belong to another door.
    """
    document = copy.deepcopy(dict(base))
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    components["securitySchemes"] = {name: dict(scheme) for part in parts for name, scheme in part.schemes.items()}
    slugs = _unique_slugs([item.name for item in notebooks])
    shown = [replace(item, slug=slugs[item.name]) for item in notebooks]
    for item in shown:
        for kind, schema in (("Input", item.input), ("Output", item.output)):
            schemas.update(schema_components(f"{item.component}{kind}", schema, taken=schemas))
    for part in parts:
        if part.complete is not None:
            part.complete(document, shown)
    if parts:
        document["security"] = _security(parts[0], anonymous=anonymous)
    for path, item in document["paths"].items():
        owner = max(parts, key=lambda part: part.covers(path), default=None)
        if owner is not None and owner is not parts[0] and owner.covers(path) >= 0:
            for operation in item.values():
                operation.setdefault("security", _security(owner, anonymous=anonymous))
    used = referenced(document["paths"], schemas)
    for unused in {"HTTPValidationError", "ValidationError"} - used:
        schemas.pop(unused, None)
    return document


def _security(part: Part, *, anonymous: bool) -> list[dict[str, list[str]]]:
    ways: list[dict[str, list[str]]] = [{name: []} for name in part.schemes]
    return [*ways, {}] if anonymous else ways


def referenced(node: Any, schemas: Mapping[str, Any]) -> set[str]:
    """The names of the schemas that something refers to, also through other schemas."""
    used: set[str] = set()
    _collect(node, schemas, used)
    return used


def _collect(node: Any, schemas: Mapping[str, Any], used: set[str]) -> None:
    for reference in _references(node):
        name = reference.removeprefix(SCHEMA_PREFIX).partition("/")[0]
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
            component = _free(f"{name}{pascal(slug_of(key))}", {**taken, **definitions, name: None})
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
        if key in LITERALS:
            result[key] = value
        elif key in SCHEMA_MAPS and isinstance(value, Mapping):
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
        return SCHEMA_PREFIX + root
    for pointer, component in names.items():
        if target == pointer or target.startswith(pointer + "/"):
            return SCHEMA_PREFIX + component + target.removeprefix(pointer)
    return SCHEMA_PREFIX + root + target[1:] if target.startswith("#/") else None


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name}{number}", number + 1
    return candidate


def _unique_slugs(names: Sequence[str]) -> dict[str, str]:
    """A slug for each name; names that share one get a piece of their hash, whichever others there are."""
    slugs = {name: slug_of(name) for name in names}
    shared = {slug for slug in slugs.values() if list(slugs.values()).count(slug) > 1}
    return {
        name: f"{slug}_{hashlib.sha256(name.encode()).hexdigest()[:6]}" if slug in shared else slug for name, slug in slugs.items()
    }


def slug_of(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower() or "notebook"


def pascal(slug: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in slug.split("_")) or "Notebook"


class OpenApiDocuments:
    """Documents ready to be sent, kept while the catalogue stays as it is.

    Args:
        base: gives the framework's own document.
        anonymous: whether callers need no key.
        parts: of the doors that are open.
    """

    def __init__(self, base: Callable[[], Mapping[str, Any]], *, anonymous: bool, parts: Sequence[Part] = ()) -> None:
        self._base = base
        self._anonymous, self._parts = anonymous, tuple(parts)
        self._kept: LruCache[tuple[str, tuple[tuple[str, str], ...]], bytes] = LruCache(16)

    def whole(self, notebooks: Sequence[NotebookSchema]) -> bytes:
        """The document with all of these notebooks, as JSON."""
        return self._document("", notebooks, dict)

    def of(self, notebook: NotebookSchema, choose: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
        """The document about one notebook, as JSON: what ``choose`` leaves of the document with this notebook only."""
        return self._document(notebook.name, [notebook], choose)

    def _document(
        self, only: str, notebooks: Sequence[NotebookSchema], choose: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> bytes:
        key = (only, tuple((item.name, item.version) for item in notebooks))
        known = self._kept.get(key)
        if known is None:
            document = build_document(self._base(), notebooks, anonymous=self._anonymous, parts=self._parts)
            known = json.dumps(choose(document), ensure_ascii=False).encode()
            self._kept.put(key, known)
        return known
