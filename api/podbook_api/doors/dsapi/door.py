"""The door of the data-science API, below ``/dsapi`` and, where it is chosen for it, at the root."""

from dataclasses import replace

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from podbook_api.doors.answers.outcomes import short_exception
from podbook_api.doors.door import Door, Failure
from podbook_api.doors.dsapi.routes import PREFIX, router_at
from podbook_api.doors.problems import Code, ProblemError, problem_of
from podbook_api.doors.requests.credentials import BEARER, X_API_KEY
from podbook_api.services import errors

__all__ = ["DSAPI", "DSAPI_AT_ROOT"]

_NOT_FOUND = (
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
)
_NOT_ALLOWED = "The method is not allowed for the requested URL."


def answer(request: Request, failure: Failure) -> Response:
    """What went wrong: ``{"error": true, "message": …}``."""
    problem = failure if isinstance(failure, ProblemError) else problem_of(failure)
    status, message = problem.status, problem.detail
    match failure:
        case errors.NotAuthenticatedError():
            message = "Invalid API Key" if failure.presented else "No API Key provided"
        case errors.ExecutionNotFoundError() | errors.NotebookNotFoundError():
            message = _NOT_FOUND
        case errors.NotFinishedError():
            status, message = 404, "The result is not there yet; ask again."
        case errors.InvalidParametersError():
            what = "request body" if request.method == "POST" else "parameters"
            status, message = 400, f"Invalid {what}: {failure.message}"
        case errors.RefusedError() | errors.TooLargeError():
            status = 400
        case errors.RunFailedError():
            status, message = 500, short_exception(failure.failed) or failure.message
        case ProblemError(code=Code.NOT_FOUND):
            message = _NOT_FOUND
        case ProblemError(code=Code.METHOD_NOT_ALLOWED):
            message = _NOT_ALLOWED
        case ProblemError(code=Code.INVALID_JSON):
            message = "Invalid request body"
        case _:
            pass
    return JSONResponse({"message": message, "error": True}, status, headers=problem.headers)


DSAPI = Door(name="dsapi", paths=(PREFIX,), problem=answer, credentials=(X_API_KEY, BEARER), routers=(router_at(PREFIX),))
DSAPI_AT_ROOT = replace(DSAPI, name="dsapi-at-root", paths=("",), routers=(router_at(""),))
