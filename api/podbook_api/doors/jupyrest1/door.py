"""The door of jupyrest's first generation."""

from fastapi import Request
from starlette.responses import Response

from podbook_api.doors.answers.details import detail_response
from podbook_api.doors.door import Door, Failure
from podbook_api.doors.jupyrest1.executions import PATH, router
from podbook_api.doors.problems import ProblemError, problem_of
from podbook_api.doors.requests.credentials import BASIC, BEARER, X_API_KEY
from podbook_api.services import errors

__all__ = ["JUPYREST1"]


def answer(_request: Request, failure: Failure) -> Response:
    """What went wrong, as ``{"detail": …}``."""
    if isinstance(failure, ProblemError):
        return detail_response(failure)
    problem = problem_of(failure)
    match failure:
        case errors.InvalidParametersError():
            problem.status, problem.detail = 400, f"Input schema validation error: {failure.message}"
        case errors.RefusedError() | errors.TooLargeError():
            problem.status, problem.detail = 400, f"Bad input: {failure.message}"
        case errors.NotebookNotFoundError():
            problem.detail = f"Notebook {failure.name} not found."
        case errors.ExecutionNotFoundError():
            problem.detail = f"Execution {failure.name} not found."
        case errors.NotebookBrokenError():
            problem.status = 500
        case _:
            pass
    return detail_response(problem)


JUPYREST1 = Door(
    name="jupyrest1",
    paths=(PATH,),
    problem=answer,
    credentials=(BEARER, X_API_KEY, BASIC),
    routers=(router,),
)
