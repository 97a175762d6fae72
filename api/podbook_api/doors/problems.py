"""Errors as RFC 9457 problem documents with a stable ``code``: what was wrong, and what would be right."""

import re
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.types import Scope

from podbook_api.services import errors
from podbook_api.services.errors import ServiceError
from podbook_core.execution.reasons import REASONS, Reason

__all__ = ["Code", "FieldError", "Problem", "ProblemError", "is_stream", "problem_of", "problem_response", "status_of"]

MEDIA_TYPE = "application/problem+json"
FAILED_RETRY_AFTER = 5
"""Seconds after which a caller may run again what a fault of the platform has ended."""
_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""As RFC 9110 has them; Python says the same only since 3.13."""


_STREAM = re.compile(r"/v1/executions/[^/]+/events")


def is_stream(scope: Scope) -> bool:
    """Whether a request is for a stream of events, which has no end to be measured, so no HEAD. Pure."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return _STREAM.fullmatch(path) is not None


class Code(StrEnum):
    """Every code a problem of the API itself can have. A failed run's problem has its reason as code instead."""

    INVALID_REQUEST = "InvalidRequest"
    INVALID_JSON = "InvalidJson"
    INVALID_PARAMETERS = "InvalidParameters"
    INVALID_CURSOR = "InvalidCursor"
    INVALID_NOTEBOOK = "InvalidNotebook"
    INVALID_CONTRACT = "InvalidContract"
    INVALID_ASSETS = "InvalidAssets"
    INVALID_INPUTS = "InvalidInputs"
    INVALID_EXECUTION = "InvalidExecution"
    UNKNOWN_PROFILE = "UnknownProfile"
    PROFILE_NOT_PERMITTED = "ProfileNotPermitted"
    IDEMPOTENCY_KEY_REUSED = "IdempotencyKeyReused"
    UNAUTHENTICATED = "Unauthenticated"
    FORBIDDEN = "Forbidden"
    INVALID_LINK = "InvalidLink"
    EXPIRED_LINK = "ExpiredLink"
    NOT_FOUND = "NotFound"
    NOTEBOOK_NOT_FOUND = "NotebookNotFound"
    EXECUTION_NOT_FOUND = "ExecutionNotFound"
    RESULT_NOT_FOUND = "ResultNotFound"
    METHOD_NOT_ALLOWED = "MethodNotAllowed"
    NOTEBOOK_BROKEN = "NotebookBroken"
    MANAGED_BY_FOLDER = "ManagedByFolder"
    NOT_FINISHED = "NotFinished"
    PRECONDITION_FAILED = "PreconditionFailed"
    BODY_TOO_LARGE = "BodyTooLarge"
    PARAMETERS_TOO_LARGE = "ParametersTooLarge"
    UNSUPPORTED_MEDIA_TYPE = "UnsupportedMediaType"
    QUEUE_FULL = "QueueFull"
    TOO_MANY_STREAMS = "TooManyStreams"
    TOO_MANY_CONNECTIONS = "TooManyConnections"
    REQUEST_TIMEOUT = "RequestTimeout"
    MISDIRECTED_REQUEST = "MisdirectedRequest"
    CROSS_ORIGIN_REFUSED = "CrossOriginRefused"
    VALIDATION_BUSY = "ValidationBusy"
    RESULT_CHANGED = "ResultChanged"
    CONFIGURATION_ERROR = "ConfigurationError"
    STORE_UNAVAILABLE = "StoreUnavailable"
    BACKEND_UNAVAILABLE = "BackendUnavailable"
    INTERNAL_ERROR = "InternalError"


class FieldError(BaseModel):
    """One thing that is wrong with the input."""

    path: Annotated[str, Field(description="JSON pointer (RFC 6901) to the value; empty for the whole document.")]
    problem: Annotated[str, Field(description="What is wrong with the value.")]
    expected: Annotated[str, Field(description="What was expected.")]


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    type: Annotated[str, Field(description="`about:blank`: the title is the status' own phrase.")] = "about:blank"
    title: Annotated[str, Field(description="The status in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    code: Annotated[str, Field(description="Stable CamelCase word, for programs.")]
    detail: Annotated[str, Field(description="What happened, for people.")]
    errors: Annotated[list[FieldError] | None, Field(description="What is wrong with the input.")] = None
    reason: Annotated[str | None, Field(description="Why the execution ended, or where it is.")] = None
    execution: Annotated[str | None, Field(description="Id of the execution.")] = None
    cell: Annotated[int | None, Field(description="Index of the failed cell, from 0.")] = None
    ename: Annotated[str | None, Field(description="Name of the exception.")] = None
    evalue: Annotated[str | None, Field(description="Message of the exception.")] = None
    advice: Annotated[str | None, Field(description="What to do.")] = None
    links: Annotated[dict[str, str] | None, Field(description="Where partial results are.")] = None
    incident: Annotated[str | None, Field(description="Id under which an internal error was logged.")] = None


class ProblemError(Exception):
    """Ends a request with a problem document.

    Args:
        status: HTTP status.
        code: the stable code.
        detail: what was wrong and what would be right.
        headers: further response headers.
        extensions: further members of :class:`Problem`.
    """

    def __init__(self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extensions: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})
        self.extensions = extensions


def problem_response(error: ProblemError) -> JSONResponse:
    """The response of a problem."""
    document = Problem(
        title=_PHRASES.get(error.status) or HTTPStatus(error.status).phrase,
        status=error.status,
        code=error.code,
        detail=error.detail,
        **error.extensions,
    )
    return JSONResponse(
        document.model_dump(mode="json", by_alias=True, exclude_none=True),
        status_code=error.status,
        headers=error.headers,
        media_type=MEDIA_TYPE,
    )


STATUSES: Mapping[type[ServiceError], int] = {
    errors.NotAuthenticatedError: 401,
    errors.NotPermittedError: 403,
    errors.NotFoundError: 404,
    errors.InvalidCursorError: 400,
    errors.RefusedError: 422,
    errors.ConflictError: 409,
    errors.PreconditionFailedError: 412,
    errors.TooLargeError: 413,
    errors.TooManyError: 429,
    errors.ResultChangedError: 502,
    errors.UnavailableError: 503,
}
"""The HTTP status of each error of the services; of one that is not named, that of its base; 500 where no base is named either."""


def status_of(error: ServiceError) -> int:
    """The HTTP status of an error of the services; that of a failed run is its reason's. Pure."""
    if isinstance(error, errors.RunFailedError):
        return REASONS[error.failed.status.reason].http_status
    if isinstance(error, errors.PageMissingError):
        return REASONS[Reason.RENDER_FAILED].http_status
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def problem_of(error: ServiceError) -> ProblemError:
    """An error of the services as a problem, without anything that only one door has, such as addresses. Pure."""
    status = status_of(error)
    retry_after = FAILED_RETRY_AFTER if isinstance(error, errors.RunFailedError) and status == 503 else error.retry_after
    extensions: dict[str, Any] = {}
    if error.violations:
        extensions["errors"] = [
            FieldError(path=item.path, problem=item.problem, expected=item.expected) for item in error.violations
        ]
    if error.execution is not None:
        extensions.update(reason=str(error.reason), execution=error.execution.name)
    if isinstance(error, errors.RunFailedError):
        raised = error.failed.status.error
        extensions["advice"] = error.advice
        if raised is not None:
            extensions.update(cell=raised.cell, ename=raised.ename, evalue=raised.evalue)
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return ProblemError(status, error.stable_code, error.message, headers=headers, **extensions)
