"""What went wrong with a request, answered by the door the request came through, and not by one shape for all."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from podbook_api.backends.base import BackendUnavailableError
from podbook_api.doors.door import Failure, entry_of
from podbook_api.doors.problems import Code, FieldError, ProblemError, is_stream
from podbook_api.services.errors import MisconfiguredError, ServiceError
from podbook_api.services.lower_errors import LOWER_ERRORS, service_error
from podbook_core.store.base import StoreUnavailableError
from podbook_core.text.json_pointer import pointer

__all__ = ["HANDLERS", "door_response", "failure"]

_log = logging.getLogger(__name__)


async def _answer(request: Request, error: Exception) -> Response:
    door = entry_of(request.scope).door
    response = door.problem(request, failure(request, error))
    challenges = [item.challenge for item in door.credentials if item.challenge is not None]
    if response.status_code == HTTPStatus.UNAUTHORIZED and challenges:
        # A door that has more to say of it has said it.
        response.headers.setdefault("WWW-Authenticate", ", ".join(challenges))
    return response


def door_response(scope: Scope, problem: ProblemError) -> Response:
    """The response of what refuses a request before it has reached a route: in the shape of its door, too. Pure."""
    return entry_of(scope).door.problem(Request(scope), problem)


def failure(request: Request, error: Exception) -> Failure:
    """What an exception means, in the words doors understand. What callers are not told is logged.

    Raises:
        Exception: the error itself, when it is none that anybody expects.
    """
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid_request(error)
    if isinstance(error, HTTPException):
        return _refused_by_framework(request, error)
    found = service_error(error)
    if found is None:
        raise error
    if isinstance(error, StoreUnavailableError):
        _log.warning("the store is not available: %s", error)
    elif isinstance(error, BackendUnavailableError):
        level = logging.ERROR if isinstance(found, MisconfiguredError) else logging.WARNING
        _log.log(level, "executions are not available: %s", error)
    return found


def _invalid_request(error: RequestValidationError) -> ProblemError:
    """What FastAPI found wrong with path, query or headers; the values themselves are not repeated."""
    errors = [FieldError(path=pointer(item["loc"]), problem=item["type"], expected=item["msg"]) for item in error.errors()]
    text = "; ".join(f"{item.path}: {item.expected}" for item in errors[:3])
    return ProblemError(422, Code.INVALID_REQUEST, f"the request is not valid: {text}", errors=errors)


def _refused_by_framework(request: Request, error: HTTPException) -> ProblemError:
    """What the framework refuses: unknown paths, methods, bodies it cannot parse."""
    codes = {404: Code.NOT_FOUND, 405: Code.METHOD_NOT_ALLOWED, 413: Code.BODY_TOO_LARGE}
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_allowed(request))}
    details = {
        404: "this path does not exist; /docs lists those that do",
        405: f"{request.method} is not allowed here; the Allow header lists what is",
    }
    return ProblemError(
        error.status_code,
        codes.get(error.status_code, Code.INVALID_REQUEST),
        details.get(error.status_code, str(error.detail)),
        headers=headers,
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


HANDLERS: Mapping[int | type[Exception], Any] = dict.fromkeys(
    (ServiceError, ProblemError, RequestValidationError, HTTPException, *LOWER_ERRORS), _answer
)
"""Exception handlers of an application whose requests come through doors: of the whole one, and of those mounted in it."""
