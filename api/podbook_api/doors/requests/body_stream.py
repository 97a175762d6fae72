"""Where request bodies are read, and the only place: each reader names its limit, and nothing beyond it is read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request

from podbook_api.doors.door import entry_of
from podbook_api.doors.problems import Code, ProblemError

__all__ = ["BodyLimits", "limits_of", "media_type_of", "read_body", "stream_body", "too_large"]


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Most bytes of a body, by what it is."""

    json: int
    """Of a JSON text, whatever its media type is called and however it is wrapped, and of a form's texts together."""
    upload: int
    """Of everything else: files, notebooks, forms as a whole."""


def limits_of(request: Request) -> BodyLimits:
    """The limits of the application that serves a request."""
    settings = entry_of(request.scope).services.context.settings
    return BodyLimits(settings.max_json_bytes, settings.max_upload_bytes)


def media_type_of(request: Request) -> str:
    """The media type of a request's body, in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def stream_body(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body in pieces. One that says its length is refused before a byte of it is read; another where it passes the limit.

    Raises:
        ProblemError: 413 for a larger one, 415 for one that is compressed.
    """
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise ProblemError(
            415,
            Code.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding {coding[:40]!r} is not supported here; send the body as it is, without this header",
            headers={"Accept-Encoding": "identity"},
        )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large("the request body", limit)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise too_large("the request body", limit)
        if chunk:
            yield chunk


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body in memory.

    Raises:
        ProblemError: as :func:`stream_body`.
    """
    return b"".join([chunk async for chunk in stream_body(request, limit)])


def too_large(what: str, limit: int) -> ProblemError:
    """The problem of a body, or part of a form, that passes its limit. The connection is closed, so that the rest need not be read."""
    return ProblemError(
        413,
        Code.BODY_TOO_LARGE,
        f"{what} is larger than {limit} bytes; send large data as input files (multipart/form-data)",
        headers={"Connection": "close"},
    )
