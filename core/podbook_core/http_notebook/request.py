"""REQUEST: what a handler cell is told of its request, a text that holds JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

__all__ = ["HttpRequest", "UploadedFile", "header_name", "request_source", "request_text"]

_CREDENTIAL_HEADERS = ("Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key")
_UNMISTAKABLE = 16
"""Characters from which on a secret is found in no header by chance: a short one, such as ``1``, is looked for where secrets are sent."""
_HIDDEN = "token"
"""The query argument that carries a token."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a form, and where a notebook finds it."""

    name: str
    """Of its field."""
    filename: str
    content_type: str
    path: str


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it arrived."""

    query: str
    """What follows the question mark, as it was sent."""
    headers: Sequence[tuple[str, str]]
    path: Mapping[str, str]
    """Values in the path by name."""
    body: bytes = b""
    fields: Mapping[str, Sequence[str]] | None = None
    """Of a form; None where the body is none."""
    files: Sequence[UploadedFile] = ()
    secrets: frozenset[str] = field(default_factory=frozenset)
    """Keys and tokens of Podbook's callers: where one stands in a header or as ``token`` in the query, it is left out."""


def request_text(request: HttpRequest) -> str:
    """The JSON of REQUEST: ``body``, ``args``, ``path``, ``headers``, and ``files`` where some were uploaded."""
    arguments = parse_qs(request.query, keep_blank_values=True, errors="replace")
    if request.secrets and _HIDDEN in arguments:
        kept = [value for value in arguments.pop(_HIDDEN) if value not in request.secrets]
        arguments.update({_HIDDEN: kept} if kept else {})
    document: dict[str, Any] = {
        "body": _body(request),
        "args": arguments,
        "path": dict(request.path),
        "headers": _headers(request.headers, request.secrets),
    }
    if request.files:
        files: dict[str, list[dict[str, str]]] = {}
        for item in request.files:
            files.setdefault(item.name, []).append(
                {"filename": item.filename, "content_type": item.content_type, "path": item.path}
            )
        document["files"] = files
    return json.dumps(document)


def request_source(text: str, language: str | None) -> str:
    """The statement that assigns REQUEST in a kernel's language."""
    quoted = json.dumps(text)
    match (language or "").lower():
        case "perl":
            return f"my $REQUEST = {quoted}"
        case "bash":
            return f"REQUEST={quoted}"
        case _:
            return f"REQUEST = {quoted}"


def header_name(name: str) -> str:
    """A header's name as notebooks know it: ``Content-Type``."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _body(request: HttpRequest) -> Any:
    """JSON where the content type is exactly that of JSON, fields of a form, else text. What cannot be read as JSON stays text."""
    if request.fields is not None:
        return {name: list(values) for name, values in request.fields.items()}
    text = request.body.decode(errors="replace")
    content_type = next((value for name, value in request.headers if name.lower() == "content-type"), "")
    if content_type == "application/json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _headers(headers: Iterable[tuple[str, str]], secrets: frozenset[str]) -> dict[str, Any]:
    """By name; a header that comes several times is a list."""
    told: dict[str, Any] = {}
    for raw, value in headers:
        name = header_name(raw)
        if any(secret in value for secret in secrets if name in _CREDENTIAL_HEADERS or len(secret) >= _UNMISTAKABLE):
            continue
        if name not in told:
            told[name] = value
        elif isinstance(told[name], list):
            told[name].append(value)
        else:
            told[name] = [told[name], value]
    return told
