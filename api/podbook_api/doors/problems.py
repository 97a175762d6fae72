"""Errors as RFC 9457 problem documents with a stable ``code``: what was wrong, and what would be right."""

import logging
import re
from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from podbook_api.backends.base import BackendUnavailableError, InvalidExecutionError, MissingRightError, QueueFullError
from podbook_core.schema.validation import ValidationBusyError
from podbook_core.store.base import StoreUnavailableError
from podbook_core.text.json_pointer import pointer

__all__ = ["HANDLERS", "Code", "FieldError", "Problem", "ProblemError", "problem_response"]

MEDIA_TYPE = "application/problem+json"
STORE_RETRY_AFTER = 5
"""Seconds after which a caller may try again when the store is away."""

_log = logging.getLogger(__name__)
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

    path: Annotated[str, Field(description="JSON pointer (RFC 6901) to the value, empty for the whole.")]
    problem: Annotated[str, Field(description="What is wrong with it.")]
    expected: Annotated[str, Field(description="What would be right.")]


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    type: Annotated[str, Field(description="`about:blank`: the title is the status' own phrase.")] = "about:blank"
    title: Annotated[str, Field(description="The status in words.")]
    status: Annotated[int, Field(description="The HTTP status.")]
    code: Annotated[str, Field(description="Stable CamelCase word for programs.")]
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


async def _on_problem(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for this class
    return problem_response(error)


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    """What FastAPI found wrong with path, query or headers; the values themselves are not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    errors = [FieldError(path=pointer(item["loc"]), problem=item["type"], expected=item["msg"]) for item in error.errors()]
    text = "; ".join(f"{item.path}: {item.expected}" for item in errors[:3])
    return problem_response(ProblemError(422, Code.INVALID_REQUEST, f"the request is not valid: {text}", errors=errors))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses: unknown paths, methods, bodies it cannot parse."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    codes = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED, 413: Code.BODY_TOO_LARGE}
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_allowed(request))}
    details = {
        404: "there is nothing at this address; /docs lists what there is",
        405: f"{request.method} is not possible here; the Allow header says what is",
    }
    return problem_response(
        ProblemError(
            error.status_code,
            codes.get(error.status_code, Code.INVALID_REQUEST),
            details.get(error.status_code, str(error.detail)),
            headers=headers,
        )
    )


def _allowed(request: Request) -> list[str]:
    """Every method of an address; the framework names those of the first route it finds there."""
    methods = {
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    }
    if "GET" in methods and not is_stream(request.scope):
        methods.add("HEAD")
    return sorted(methods)


async def _on_store_unavailable(_request: Request, error: Exception) -> JSONResponse:
    # The message may name folders or addresses of the installation, so callers do not get it; the log has it.
    _log.warning("the store is not available: %s", error)
    return problem_response(
        ProblemError(
            503,
            Code.STORE_UNAVAILABLE,
            "the object store cannot be used at the moment; try again",
            headers={"Retry-After": str(STORE_RETRY_AFTER)},
        )
    )


async def _on_backend_unavailable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BackendUnavailableError)  # noqa: S101 - registered for this class
    _log.warning("executions are not available: %s", error)
    return problem_response(
        ProblemError(
            503,
            Code.BACKEND_UNAVAILABLE,
            "what has not ended cannot be reached at the moment, so nothing can be begun or said of it; try again. Executions that have "
            "ended can still be read by their id, and listed by the phase or reason of their end",
            headers={"Retry-After": str(error.retry_after)},
        )
    )


async def _on_missing_right(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MissingRightError)  # noqa: S101 - registered for this class
    _log.error("executions are not available: %s", error)
    return problem_response(
        ProblemError(
            503,
            Code.CONFIGURATION_ERROR,
            f"the cluster does not let this server do what it has to: its account {error.right}; whoever installed it can grant that",
            headers={"Retry-After": str(error.retry_after)},
        )
    )


async def _on_queue_full(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueueFullError)  # noqa: S101 - registered for this class
    return problem_response(
        ProblemError(429, Code.QUEUE_FULL, f"{error}; try again later", headers={"Retry-After": str(error.retry_after)})
    )


async def _on_validation_busy(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ValidationBusyError)  # noqa: S101 - registered for this class
    return problem_response(
        ProblemError(
            503,
            Code.VALIDATION_BUSY,
            "too many checks of parameters against this notebook's contract are under way, so yours did not get its turn; try again",
            headers={"Retry-After": str(error.retry_after)},
        )
    )


async def _on_invalid_execution(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidExecutionError)  # noqa: S101 - registered for this class
    return problem_response(ProblemError(422, Code.INVALID_EXECUTION, f"the execution is refused where it would run: {error}"))


HANDLERS: Mapping[int | type[Exception], Any] = {
    ProblemError: _on_problem,
    RequestValidationError: _on_invalid_request,
    HTTPException: _on_http,
    StoreUnavailableError: _on_store_unavailable,
    BackendUnavailableError: _on_backend_unavailable,
    MissingRightError: _on_missing_right,
    QueueFullError: _on_queue_full,
    ValidationBusyError: _on_validation_busy,
    InvalidExecutionError: _on_invalid_execution,
}
"""Exception classes and what answers for them."""
