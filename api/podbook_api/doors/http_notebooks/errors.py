"""Errors as the Jupyter Kernel Gateway tells them: ``{"reason", "message"}``."""

from http import HTTPStatus

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from podbook_api.doors.door import Failure
from podbook_api.doors.problems import ProblemError, problem_of

__all__ = ["answer", "refusal"]


def answer(_request: Request, failure: Failure) -> Response:
    """The response to what went wrong."""
    problem = failure if isinstance(failure, ProblemError) else problem_of(failure)
    return refusal(problem.status, problem.detail, problem.headers)


def refusal(status: int, message: str = "", headers: dict[str, str] | None = None) -> Response:
    """A response that says no. The reason is the status in words."""
    # Of the paths there are, nobody is told more than that this is none, nor of methods: as ever.
    told = "" if status in (401, 404, 405) else message
    return JSONResponse({"reason": HTTPStatus(status).phrase, "message": told}, status, headers=headers)
