"""The contract of a notebook: what ``<name>.config.json`` may say, checked and made self-contained. Pure.

A contract is hostile input: it is small, its references are local or name a model beside the notebooks, and nothing in it is ever
fetched. Whether its schemas are valid and cheap enough to use is found out by :mod:`podbook_core.schema.validation`, in a process that can
be killed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from podbook_core.text import strict_json
from podbook_core.text.json_depth import MAX_FILE_NESTING
from podbook_core.text.json_pointer import escape
from podbook_core.text.requirements import NewerPodbookError, check_requirements
from podbook_core.text.schema_keywords import LITERALS, SCHEMA_MAPS
from podbook_core.text.schema_references import NOTHING, target_of
from podbook_core.text.strict_json import InvalidJsonError

__all__ = ["MAX_CONTRACT_BYTES", "Contract", "ContractError", "parse_contract", "read_contract"]

MAX_CONTRACT_BYTES = 256 * 1024
RESERVED_KEYS = ("cache", "warm", "shared", "schedule")
"""Keys with a future meaning: refused, so that no contract relies on them before they work."""
_KEYS = ("id", "title", "description", "input", "output", "assets", "profile", "timeoutSeconds", "retries")
_DRAFTS = {
    "https://json-schema.org/draft/2020-12/schema": "2020-12",
    "http://json-schema.org/draft-07/schema": "draft-07",
    "https://json-schema.org/draft-07/schema": "draft-07",
}
_MODEL_SCHEME = "nbschema://"
_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_MAX_DEPTH = 64


class ContractError(Exception):
    """A contract that cannot be used.

    Attributes:
        place: JSON pointer (RFC 6901) into the file, empty for the whole of it.
        problem: what is wrong there, and what would be right.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place or '(whole file)'}: {problem}")
        self.place = place
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Contract:
    """A checked contract. Schemas are self-contained: every reference in them is local."""

    id: str | None = None
    title: str | None = None
    description: str | None = None
    input: Mapping[str, Any] | bool | None = None
    """JSON Schema of the parameters; None accepts any."""
    output: Mapping[str, Any] | bool | None = None
    """JSON Schema of the output; None accepts any, and none."""
    assets: tuple[str, ...] = ()
    """Globs of files beside the notebook that are put into its working directory."""
    profile: str | None = None
    timeout_seconds: int | None = None
    retries: int | None = None

    def document(self) -> dict[str, Any]:
        """The contract as stored in ``contract.json``."""
        raw = {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "input": self.input,
            "output": self.output,
            "assets": list(self.assets) or None,
            "profile": self.profile,
            "timeoutSeconds": self.timeout_seconds,
            "retries": self.retries,
        }
        return {key: value for key, value in raw.items() if value is not None}


def read_contract(data: bytes) -> Contract:
    """Read a contract that was stored by Podbook, maybe by a newer version, and has grown by its models and by indentation.

    Members that this version does not know are passed over. Contracts that are being published are read by :func:`parse_contract`,
    which refuses them.

    Raises:
        ContractError: it is damaged, or its ``requires`` names what this version does not know.
    """
    raw = _object("", _json(data, ""))
    try:
        check_requirements(raw)
    except NewerPodbookError as error:
        raise ContractError("/requires", str(error)) from error
    return _checked(raw, lambda _name: None)


def parse_contract(data: bytes, *, models: Callable[[str], bytes | None]) -> Contract:
    """Read and check a contract file.

    Args:
        data: the file, UTF-8 JSON; a jupyrest ``config.json`` is valid as it is.
        models: gives the schema file behind ``nbschema://<name>``, None when there is none.

    Raises:
        ContractError: with place and problem.
    """
    if len(data) > MAX_CONTRACT_BYTES:
        raise ContractError("", f"is {len(data)} bytes; at most {MAX_CONTRACT_BYTES} are allowed")
    raw = _object("", _json(data, ""))
    for key in raw:
        if key in RESERVED_KEYS:
            raise ContractError(f"/{key}", "is reserved for a feature that does not exist yet; remove it")
        if key not in _KEYS:
            raise ContractError(f"/{escape(key)}", f"is not a known key; known are {', '.join(_KEYS)}")
    return _checked(raw, models)


def _checked(raw: Mapping[str, Any], models: Callable[[str], bytes | None]) -> Contract:
    return Contract(
        id=_text(raw, "id", 200),
        title=_text(raw, "title", 200),
        description=_text(raw, "description", 10_000),
        input=_schema(raw, "input", models),
        output=_schema(raw, "output", models),
        assets=_globs(raw),
        profile=_text(raw, "profile", 63),
        timeout_seconds=_whole(raw, "timeoutSeconds", 1, 259_200),
        retries=_whole(raw, "retries", 0, 4),
    )


def _json(data: bytes, place: str) -> Any:
    try:
        # Its size is the caller's to bound: a stored contract has grown by its models.
        return strict_json.parse(data, limit=len(data), what="the file", depth=MAX_FILE_NESTING)
    except InvalidJsonError as error:
        raise ContractError(place, f"is not valid JSON: {error.problem}") from error


def _object(place: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ContractError(place, "must be a JSON object")
    return value


def _text(raw: Mapping[str, Any], key: str, limit: int) -> str | None:
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > limit:
        raise ContractError(f"/{key}", f"must be a string of at most {limit} characters")
    return value


def _whole(raw: Mapping[str, Any], key: str, low: int, high: int) -> int | None:
    value = raw.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ContractError(f"/{key}", f"must be an integer from {low} to {high}")
    return value


def _globs(raw: Mapping[str, Any]) -> tuple[str, ...]:
    value = raw.get("assets")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 200:
        raise ContractError("/assets", "must be a list of at most 200 globs")
    for number, glob in enumerate(value):
        place = f"/assets/{number}"
        if not isinstance(glob, str) or not 0 < len(glob) <= 500:
            raise ContractError(place, "must be a glob, such as data/*.csv")
        if glob.startswith(("/", "~")) or "\\" in glob or "\x00" in glob or ".." in glob.split("/"):
            raise ContractError(place, "must stay inside the notebook's folder: no leading /, no .., no backslash")
    return tuple(value)


def _schema(raw: Mapping[str, Any], key: str, models: Callable[[str], bytes | None]) -> Mapping[str, Any] | bool | None:
    value = raw.get(key)
    if value is None or isinstance(value, bool):
        return value
    root = _object(f"/{key}", value)
    declared = root.get("$schema")
    if declared is not None and (not isinstance(declared, str) or declared.rstrip("#") not in _DRAFTS):
        raise ContractError(f"/{key}/$schema", "must be JSON Schema 2020-12 or draft-07")
    walker = _Walker(models)
    walked: dict[str, Any] = walker.schema(root, f"/{key}", "#", 0)
    inlined = walker.inline_models()
    if inlined:
        taken = _object(f"/{key}/definitions", walked.get("definitions", {}))
        for name in inlined:
            if name in taken:
                place = f"/{key}/definitions/{escape(name)}"
                raise ContractError(place, f"has the name of the model nbschema://{name}; give it another one")
        walked["definitions"] = {**taken, **inlined}
    for pointer, place in walker.references:
        if pointer != "#" and not (
            target_of(walked, pointer) is not NOTHING if pointer.startswith("#/") else pointer[1:] in walker.anchors
        ):
            raise ContractError(place, f"refers to {pointer}, which does not exist in this schema")
    return walked


class _Walker:
    """Copies a schema, refusing remote references and inlining models."""

    def __init__(self, models: Callable[[str], bytes | None]) -> None:
        self._load = models
        self._waiting: dict[str, tuple[Mapping[str, Any], str]] = {}
        self._known: set[str] = set()
        self._size = 0
        self.references: list[tuple[str, str]] = []
        self.anchors: set[str] = set()

    def inline_models(self) -> dict[str, Any]:
        """Every model the schema needs, by name, with references made local. Models may refer to one another, in circles too."""
        models: dict[str, Any] = {}
        while self._waiting:
            name, (content, place) = self._waiting.popitem()
            models[name] = self.schema(content, place, f"#/definitions/{name}", 1)
        return models

    def schema(self, value: Any, place: str, root: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ContractError(place, f"is nested more than {_MAX_DEPTH} levels deep")
        if isinstance(value, list):
            return [self.schema(item, f"{place}/{number}", root, depth + 1) for number, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        copy: dict[str, Any] = {}
        for key, inner in value.items():
            at = f"{place}/{escape(key)}"
            if key in ("$ref", "$dynamicRef", "$recursiveRef"):
                copy[key] = self._reference(inner, at, root)
            elif key == "$id" and isinstance(inner, str):
                if depth > 0:
                    raise ContractError(at, "is not supported below the root of a schema; use $defs and local references")
                # The root's $id would only give relative references something to be relative to.
            elif key in LITERALS:
                copy[key] = inner
            elif key in ("$anchor", "$dynamicAnchor") and isinstance(inner, str):
                self.anchors.add(inner)
                copy[key] = inner
            elif key in SCHEMA_MAPS and isinstance(inner, dict):
                copy[key] = {name: self.schema(item, f"{at}/{escape(name)}", root, depth + 1) for name, item in inner.items()}
            else:
                copy[key] = self.schema(inner, at, root, depth + 1)
        return copy

    def _reference(self, target: Any, place: str, root: str) -> str:
        if not isinstance(target, str):
            raise ContractError(place, "must be a string")
        if target.startswith(_MODEL_SCHEME):
            return self._model(target.removeprefix(_MODEL_SCHEME), place)
        if not target.startswith("#"):
            raise ContractError(place, f"{target[:100]!r} is not a local reference; use #/$defs/… or nbschema://<model>")
        resolved = root + target[1:] if target == "#" or target.startswith("#/") else target
        self.references.append((resolved, place))
        return resolved

    def _model(self, name: str, place: str) -> str:
        if name not in self._known:
            data = self._load(name) if _MODEL_NAME.fullmatch(name) else None
            if data is None:
                shown = name[:100]
                raise ContractError(place, f"nbschema://{shown} is unknown: there is no models/{shown}.json beside the notebooks")
            self._size += len(data)
            if self._size > MAX_CONTRACT_BYTES:
                raise ContractError(place, f"the models are at least {self._size} bytes; at most {MAX_CONTRACT_BYTES} are allowed")
            inside = f"{place} → models/{name}.json"
            content = _object(inside, _json(data, inside))
            self._known.add(name)
            self._waiting[name] = ({key: inner for key, inner in content.items() if key not in ("$schema", "$id")}, inside)
        return f"#/definitions/{name}"
