"""Results of a run as responses, the same through every door: untrusted, so sandboxed and never sniffed."""

from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from podbook_api.doors.dependencies import unread
from podbook_api.services.results import Artifact, closed

__all__ = ["HTML", "JSON_OUTPUT", "PRIVATE", "SANDBOX", "artifact_response", "output_response", "read_artifact"]

SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
"""Content-Security-Policy of everything a notebook made: it may run scripts that came with it, and reach nothing."""
PRIVATE = "private, no-cache"
JSON_OUTPUT = {"media_type": "application/json", "disposition": "inline"}
HTML = {"media_type": "text/html; charset=utf-8", "disposition": "inline"}


def artifact_response(artifact: Artifact, *, media_type: str | None = None, disposition: str | None = None) -> Response:
    """A result as a response: untrusted, so sandboxed and never sniffed; files are for saving unless the caller says otherwise."""
    recorded = artifact.recorded
    filename = recorded.name.rpartition("/")[2]
    headers = {
        "Content-Security-Policy": SANDBOX,
        "Content-Disposition": disposition or f"attachment; filename*=UTF-8''{quote(filename)}",
        "Cache-Control": PRIVATE,
        "ETag": _etag(artifact),
    }
    kind = media_type or recorded.media_type
    if isinstance(artifact.content, bytes):
        response = Response(artifact.content, headers=headers)
    else:
        headers["Content-Length"] = str(recorded.size)
        response = StreamingResponse(artifact.content, headers=headers)
    # Set by hand, so that nothing is added to what the record says.
    response.headers["Content-Type"] = kind if kind.isascii() and kind.isprintable() else "application/octet-stream"
    return response


async def read_artifact(
    request: Request, artifact: Artifact, *, media_type: str | None = None, disposition: str | None = None
) -> Response:
    """A result as the answer to a request to read it, unless the request's own conditions say that it need not be sent.

    Raises:
        ProblemError: 412.
    """
    kept = False
    try:
        answer = unread(request, _etag(artifact), PRIVATE)
        kept = answer is None
        return answer or artifact_response(artifact, media_type=media_type, disposition=disposition)
    finally:
        if not kept:
            await closed(artifact)


def _etag(artifact: Artifact) -> str:
    return f'"{artifact.recorded.sha256}"'


def output_response(output: Artifact | None) -> Response:
    """The output of a run that succeeded; null when the notebook saved none."""
    if output is None:
        return Response(b"null", media_type="application/json", headers={"Cache-Control": PRIVATE})
    return artifact_response(output, **JSON_OUTPUT)
