"""The answer to a request, from what its cells gave: standard output, a result, or what they showed."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CellRun", "HttpAnswer", "answer_document", "answer_of", "stored_answer"]

TEXT = "text/plain"
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/svg+xml", "application/pdf", "text/html")
"""Media types of results that a browser shows, the first there is counts."""
_IN_BASE64 = ("image/png", "image/jpeg", "image/gif", "application/pdf")
_DISPLAY_OBJECT = re.compile(r"<IPython\.core\.display\.\w+ object>")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8000}")
_DROPPED = frozenset(
    {
        "accept-ch",
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "access-control-allow-private-network",
        "access-control-expose-headers",
        "access-control-max-age",
        "alt-svc",
        "clear-site-data",
        "connection",
        "content-length",
        "content-security-policy",
        "content-security-policy-report-only",
        "keep-alive",
        "nel",
        "podbook-execution",
        "proxy-authenticate",
        "proxy-authorization",
        "report-to",
        "reporting-endpoints",
        "service-worker-allowed",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "x-content-type-options",
    }
)
"""Headers that a notebook cannot set where its answers share an origin with others: they are about more than the one answer, or have a browser
ask its user for a password in the name of the server."""
_FRAMING = frozenset({"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers that only the server itself can set."""


@dataclass(frozen=True, slots=True)
class CellRun:
    """What one run of cells gave."""

    stdout: str = ""
    result: Mapping[str, Any] | None = None
    """MIME bundle of the last result."""
    displayed: Mapping[str, Any] | None = None
    """MIME bundle of what was displayed last."""
    error: tuple[str, str] | None = None
    """Name and text of the exception that ended it."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response. ``dropped`` names the headers that were left out, for the log."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    dropped: tuple[str, ...] = ()
    problem: str | None = None
    """What was wrong with the cells' own answer, for the log."""

    @property
    def media_type(self) -> str:
        """What the body is."""
        return next((value for name, value in self.headers.items() if name.lower() == "content-type"), TEXT)


@dataclass(frozen=True, slots=True)
class _Info:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


def answer_of(handler: CellRun, info: CellRun | None, *, accept: str = "", alone: bool = False) -> HttpAnswer:
    """The response to a request.

    Args:
        handler: what the handler's cells gave.
        info: what the ResponseInfo cells gave; None where there are none.
        accept: the request's Accept header, for results that come in several media types.
        alone: whether the answers are alone on their origin, so that a notebook may set every header but those of framing.
    """
    for run in (handler, info):
        if run is not None and run.error is not None:
            name, text = run.error
            return HttpAnswer(500, {"Content-Type": TEXT}, f"Error {name}: {text} \n".encode(errors="replace"))
    body, media_type = _content(handler, accept)
    headers = {"Content-Type": media_type}
    if info is None:
        return HttpAnswer(200, headers, body)
    try:
        told = _info(_content(info, "")[0], alone=alone)
    except ValueError as error:
        return HttpAnswer(
            500, {"Content-Type": TEXT}, f"Error ResponseInfo: {error} \n".encode(errors="replace"), problem=str(error)
        )
    for name, value in told.headers.items():
        headers = {known: kept for known, kept in headers.items() if known.lower() != name.lower()}
        headers[name] = value
    return HttpAnswer(told.status, headers, b"" if told.status in (204, 304) else body, told.dropped)


def answer_document(answer: HttpAnswer) -> bytes:
    """What is stored of an answer beside its body: status, headers and media type, as JSON."""
    return json.dumps({"status": answer.status, "headers": dict(answer.headers), "mediaType": answer.media_type}).encode()


def stored_answer(document: bytes, body: bytes) -> HttpAnswer:
    """An answer that was stored. A notebook could have written it: what it may not say is left out, as from the notebook itself.

    Raises:
        ValueError: it is not of the documented shape.
    """
    told = _info(document, alone=False)
    headers = (
        told.headers if any(name.lower() == "content-type" for name in told.headers) else {"Content-Type": TEXT, **told.headers}
    )
    return HttpAnswer(told.status, headers, b"" if told.status in (204, 304) else body, told.dropped)


def _content(run: CellRun, accept: str) -> tuple[bytes, str]:
    """Body and media type: standard output, else the result, else what was displayed."""
    if run.stdout:
        return run.stdout.encode(errors="replace"), TEXT
    if run.result is not None:
        told = _shown(run.result, accept)
        return told or (json.dumps(run.result).encode(), TEXT)
    if run.displayed is not None:
        told = _shown(run.displayed, "*")
        if told is not None:
            return told
    return b"", TEXT


def _shown(bundle: Mapping[str, Any], accept: str) -> tuple[bytes, str] | None:
    """A bundle in the media type it is for: asked for by name, or that of an object that is nothing but its display."""
    plain = bundle.get(TEXT)
    is_display = isinstance(plain, str) and _DISPLAY_OBJECT.fullmatch(plain) is not None
    wanted = {item.partition(";")[0].strip().lower() for item in accept.split(",")}
    for media_type in _SHOWN:
        value = bundle.get(media_type)
        if isinstance(value, str) and (is_display or "*" in wanted or media_type in wanted):
            if media_type not in _IN_BASE64:
                return value.encode(errors="replace"), media_type
            try:
                return base64.b64decode(value), media_type
            except (binascii.Error, ValueError):
                continue
    return None


def _info(body: bytes, *, alone: bool) -> _Info:
    """What ResponseInfo cells printed.

    Raises:
        ValueError: it is not JSON of the documented shape.
    """
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the cell must print a JSON object with status and headers") from None
    if not isinstance(told, dict):
        raise ValueError("the cell must print a JSON object with status and headers")  # noqa: TRY004 - it is what a caller sent
    status, headers = told.get("status", 200), told.get("headers", {})
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError("status must be an integer from 200 to 599")
    if not isinstance(headers, dict):
        raise ValueError("headers must be an object")  # noqa: TRY004 - as above
    refused = _FRAMING if alone else _DROPPED
    kept, dropped = {}, []
    for name, value in headers.items():
        text = _header_value(value)
        if name.lower() in refused or _NAME.fullmatch(name) is None or text is None:
            dropped.append(name[:100])
        else:
            kept[name] = text
    return _Info(status, kept, tuple(dropped))


def _header_value(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    return text if _VALUE.fullmatch(text) is not None else None
