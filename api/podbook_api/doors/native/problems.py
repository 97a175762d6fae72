"""Podbook's own shape of errors: problem documents (RFC 9457), with links to what there is all the same."""

from fastapi import Request
from starlette.responses import Response

from podbook_api.doors.door import Failure
from podbook_api.doors.native.paths import execution_path
from podbook_api.doors.problems import ProblemError, problem_of, problem_response
from podbook_api.services import errors
from podbook_core.execution.model import NotebookExecution

__all__ = ["native_problem", "problem_answer"]

_FAILED_PAGES = ("notebook", "html", "report")


def problem_answer(_request: Request, failure: Failure) -> Response:
    """The response to what went wrong."""
    return problem_response(failure if isinstance(failure, ProblemError) else native_problem(failure))


def native_problem(error: errors.ServiceError) -> ProblemError:
    """An error of the services as a problem of this door: with its addresses and headers. Pure."""
    problem = problem_of(error)
    match error:
        case errors.NotAuthenticatedError():
            if not error.presented:
                problem.detail = "send an API key as Authorization: Bearer <key> or X-API-Key"
            invalid = ', error="invalid_token"' if error.presented else ""
            problem.headers["WWW-Authenticate"] = f'Bearer realm="podbook"{invalid}'
        case errors.NotebookNotFoundError() if not isinstance(error, errors.VersionNotFoundError):
            problem.detail += "; GET /v1/notebooks lists those that are"
        case errors.NotFinishedError(remedy="wait"):
            problem.detail += ", or follow it at …/events"
        case errors.LinkExpiredError():
            problem.detail += "; ask for a new one at …/links"
        case errors.RunFailedError():
            problem.headers["Podbook-Execution"] = error.failed.name
            problem.extensions["links"] = _partial_results(error.failed)
        case errors.PageMissingError() if error.execution is not None:
            base = execution_path(error.execution.name)
            problem.extensions["advice"] = "The output, the executed notebook and the files are still available."
            problem.extensions["links"] = {
                "execution": base,
                "output": f"{base}/output",
                "notebook": f"{base}/notebook",
                "logs": f"{base}/logs",
            }
    return problem


def _partial_results(execution: NotebookExecution) -> dict[str, str]:
    base, results = execution_path(execution.name), execution.status.results
    links = {"execution": base, "logs": f"{base}/logs"}
    if results is not None:
        links.update({name: f"{base}/{name}" for name in _FAILED_PAGES if getattr(results, name) is not None})
    return links
