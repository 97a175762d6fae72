"""What routes ask for: the services, and who calls.

None of these waits for anything, and each is asked for with every request. They are coroutines all the same, since FastAPI sends plain
functions to a thread, which costs more than they do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import WithJsonSchema

from podbook_api.auth.keys import Caller
from podbook_api.auth.links import ExpiredLinkError, InvalidLinkError
from podbook_api.doors.openapi import OpenApiDocuments
from podbook_api.doors.preferences import failed_precondition, preferred_wait
from podbook_api.doors.problems import MEDIA_TYPE, Code, ProblemError
from podbook_api.metrics import Metrics
from podbook_api.services.catalogue import NotebookService
from podbook_api.services.context import Context
from podbook_api.services.create import Submitter
from podbook_api.services.executions import ExecutionService, visible
from podbook_api.services.following import EventHub
from podbook_api.services.idempotency import is_idempotency_key
from podbook_api.services.results import ResultService
from podbook_core.execution.model import NotebookExecution
from podbook_core.text.names import EXECUTION_NAME, NOTEBOOK_NAME

__all__ = [
    "Access",
    "AccessDep",
    "CallerDep",
    "ExecutionId",
    "IdempotencyKey",
    "NotebookName",
    "PreferredWait",
    "Services",
    "ServicesDep",
    "failures",
    "reader",
    "unread",
]


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the routes of one application stand on."""

    context: Context
    notebooks: NotebookService
    submitter: Submitter
    executions: ExecutionService
    results: ResultService
    events: EventHub
    documents: OpenApiDocuments
    metrics: Metrics


async def services(request: Request) -> Services:
    """The application's services."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


async def caller(request: Request) -> Caller:
    """Who calls, by the key in ``Authorization: Bearer`` or ``X-API-Key``.

    Raises:
        ProblemError: 401 when a key is needed and none, or no good one, was sent.
    """
    parts = await services(request)
    found = parts.context.keys.caller(presented_key(request), now=parts.context.clock())
    if found is None:
        sent = presented_key(request) is not None
        raise ProblemError(
            401,
            Code.UNAUTHENTICATED,
            "the API key is not known, or has expired" if sent else "send an API key as Authorization: Bearer <key> or X-API-Key",
            headers={"WWW-Authenticate": 'Bearer realm="podbook"' + (', error="invalid_token"' if sent else "")},
        )
    request.state.caller = found.id
    return found


CallerDep = Annotated[Caller, Depends(caller)]


def presented_key(request: Request) -> str | None:
    """The key a request carries."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key")


@dataclass(frozen=True, slots=True)
class Access:
    """Who reads an artifact, and whether they still may: a stream outlives the request that was checked."""

    caller: Caller
    holder: str
    """Whose streams are counted together: a key's, those of links to one execution, those of callers without keys."""
    holds: Callable[[NotebookExecution], bool]
    """Whether the execution may be read now, with the key or the link that was presented."""


async def access(
    *,
    request: Request,
    parts: ServicesDep,
    execution_id: "ExecutionId",
    expires: Annotated[
        int | None, Query(ge=0, lt=2**40, description="Of a signed link: until when it works, seconds since 1970.")
    ] = None,
    uid: Annotated[str | None, Query(max_length=100, description="Of a signed link: which execution it was made for.")] = None,
    signature: Annotated[str | None, Query(max_length=100, description="Of a signed link.")] = None,
) -> Access:
    """Access to an artifact: by a signed link, which opens this one artifact, or by a key.

    Raises:
        ProblemError: 403 for a link that is not good, 401 as :func:`caller`, 404 when what a link was made for is gone.
    """
    context = parts.context
    if signature is None:
        found, key = await caller(request), presented_key(request)

        def by_key(execution: NotebookExecution) -> bool:
            present = context.keys.caller(key, now=context.clock())
            return present is not None and visible(present, execution, "read")

        return Access(found, f"key {found.id or ''}", by_key)
    artifact = str(request.scope["path"]).partition(f"/v1/executions/{execution_id}/")[2]
    until = expires or 0
    try:
        context.links.check(execution_id, uid or "", artifact, expires=until, signature=signature, now=context.clock())
    except InvalidLinkError:
        raise ProblemError(403, Code.INVALID_LINK, "this link was not made by this service, or has been changed") from None
    except ExpiredLinkError:
        raise ProblemError(403, Code.EXPIRED_LINK, "this link has expired; ask for a new one at …/links") from None
    bearer = Caller(None, (f"executions/{execution_id}/read",))
    if (await parts.executions.find(bearer, execution_id)).uid != uid:
        raise ProblemError(403, Code.INVALID_LINK, "this link was made for an earlier execution of this name, which was removed")
    return Access(bearer, f"link {execution_id}", lambda execution: execution.uid == uid and context.clock().timestamp() < until)


AccessDep = Annotated[Access, Depends(access)]


async def reader(granted: AccessDep) -> Caller:
    """Who reads an artifact: the bearer of a signed link, who sees this one artifact, or a caller with a key."""
    return granted.caller


ReaderDep = Annotated[Caller, Depends(reader)]

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
        Header(description="1 to 200 printable characters: the same key leads to the same execution for a day after its end."),
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
        raise ProblemError(412, Code.PRECONDITION_FAILED, f"If-Match names another state; now it is {etag}", headers={"ETag": etag})
    return None if status is None else Response(status_code=status, headers={"ETag": etag, "Cache-Control": cache_control})


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]

_DESCRIPTIONS = {
    400: "The request cannot be read",
    401: "No API key, or none that is known",
    403: "The key lacks a scope, or the link is not good",
    404: "There is no such thing",
    409: "Not in this state; `reason` says which",
    412: "Something has changed since it was read",
    413: "Too large",
    415: "Not a media type that is understood here",
    422: "Not valid; `errors` names each place, problem and expectation",
    424: "The notebook failed; `reason`, `cell`, `ename` and `evalue` say how",
    429: "Too many wait; `Retry-After` says when to try again",
    502: "A result was changed in the store",
    503: "Not available at the moment; `Retry-After` says when to try again",
    504: "The run did not end in its time",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented problem responses of an operation: those named, and those every operation may have."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _DESCRIPTIONS.get(status, HTTPStatus(status).phrase), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, 401, 403, 422, 503})
    }
