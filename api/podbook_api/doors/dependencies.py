"""What routes ask for: the services, and who calls.

None of these waits for anything, and each is asked for with every request. They are coroutines all the same, since FastAPI sends plain
functions to a thread, which costs more than they do.
"""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request, Response
from pydantic import WithJsonSchema

from podbook_api.auth.keys import Caller
from podbook_api.doors.door import entry_of
from podbook_api.doors.openapi import OpenApiDocuments
from podbook_api.doors.problems import MEDIA_TYPE, Code, ProblemError
from podbook_api.doors.requests.credentials import presented
from podbook_api.doors.requests.preferences import failed_precondition, preferred_wait
from podbook_api.services.bundle import Services
from podbook_api.services.creation.idempotency import is_idempotency_key
from podbook_core.text.names import EXECUTION_NAME, NOTEBOOK_NAME

__all__ = [
    "CallerDep",
    "DocumentsDep",
    "ExecutionId",
    "IdempotencyKey",
    "NotebookName",
    "PreferredWait",
    "ServicesDep",
    "failures",
    "unread",
]


async def services(request: Request) -> Services:
    """The application's services, also for routes of an application that is mounted."""
    return entry_of(request.scope).services


ServicesDep = Annotated[Services, Depends(services)]


async def documents(request: Request) -> OpenApiDocuments:
    """The application's OpenAPI documents."""
    return entry_of(request.scope).documents


DocumentsDep = Annotated[OpenApiDocuments, Depends(documents)]


async def caller(request: Request) -> Caller:
    """Who calls, by the key in one of the ways its door accepts.

    Raises:
        NotAuthenticatedError: a key is needed and none, or no good one, was sent.
    """
    entry = entry_of(request.scope)
    return entry.services.caller(presented(request, entry.door.credentials))


CallerDep = Annotated[Caller, Depends(caller)]

NotebookName = Annotated[str, Path(pattern=f"^{NOTEBOOK_NAME}$", max_length=63, description="Name of a notebook.")]
ExecutionId = Annotated[str, Path(pattern=f"^{EXECUTION_NAME}$", max_length=63, description="Id of an execution.")]


async def preferred(
    request: Request,
    prefer: Annotated[
        str | None,
        Header(description="`wait=N`: wait up to N seconds (at most 300) for the end; `respond-async`: do not wait (RFC 7240)."),
    ] = None,
) -> int | None:
    """Seconds the caller is ready to wait, None when it does not say; the header may come several times."""
    return None if prefer is None else preferred_wait(request.headers.getlist("prefer"))


PreferredWait = Annotated[int | None, Depends(preferred)]


async def idempotency_key(
    idempotency_key: Annotated[
        Annotated[str, WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"})] | None,
        Header(
            description="1 to 200 printable characters: requests with the same key get the same execution, until a day after it ended."
        ),
    ] = None,
) -> str | None:
    """The Idempotency-Key header.

    Raises:
        ProblemError: 422 when it is not usable.
    """
    if idempotency_key is not None and not is_idempotency_key(idempotency_key):
        raise ProblemError(422, Code.INVALID_REQUEST, "Idempotency-Key must be 1 to 200 printable ASCII characters")
    return idempotency_key


def unread(request: Request, etag: str, cache_control: str) -> Response | None:
    """The answer in place of what a request asks to read: 304 where it has it, by its If-None-Match; None where it must be sent.

    Raises:
        ProblemError: 412 when its If-Match names another state.
    """
    status = failed_precondition(request.headers, etag)
    if status == HTTPStatus.PRECONDITION_FAILED:
        raise ProblemError(
            412, Code.PRECONDITION_FAILED, f"If-Match does not match; the ETag is now {etag}", headers={"ETag": etag}
        )
    return None if status is None else Response(status_code=status, headers={"ETag": etag, "Cache-Control": cache_control})


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]

_DESCRIPTIONS = {
    400: "The request cannot be read",
    401: "No API key, or an unknown one",
    403: "The key lacks a scope, or the link is not valid",
    404: "Not found",
    409: "Not in this state; `reason` says which",
    412: "It has changed since it was read",
    413: "Too large",
    415: "The media type is not supported",
    422: "Not valid; `errors` lists each place, problem and expectation",
    424: "The notebook failed; `reason`, `cell`, `ename` and `evalue` say how",
    429: "Too many executions are waiting; `Retry-After` says when to retry",
    502: "A result was altered in the store",
    503: "Not available right now; `Retry-After` says when to retry",
    504: "The run timed out",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented problem responses of an operation: those named, and those every operation may have."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _DESCRIPTIONS.get(status, HTTPStatus(status).phrase), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, 401, 403, 422, 503})
    }
