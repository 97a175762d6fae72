"""The door of jupyrest 0.2."""

import copy
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from podbook_api.doors.answers.details import detail_response
from podbook_api.doors.door import Door, Failure
from podbook_api.doors.jupyrest2.documents import ExecutionArtifactType, execution_status
from podbook_api.doors.jupyrest2.routes import EXECUTIONS, NOTEBOOKS, router
from podbook_api.doors.openapi import SCHEMA_PREFIX, NotebookSchema
from podbook_api.doors.problems import ProblemError, problem_of
from podbook_api.doors.requests.credentials import BASIC, BEARER, X_API_KEY
from podbook_api.services import errors

__all__ = ["JUPYREST2"]

_GENERIC = f"{NOTEBOOKS}/{{notebook}}/execute"
_PERMITTED = ", ".join(f"'{item}'" for item in ExecutionArtifactType)


def answer(_request: Request, failure: Failure) -> Response:
    """What went wrong: ``{"code", "message", "data"}``, and what the framework refuses as ``{"detail": …}``."""
    if isinstance(failure, ProblemError):
        return _refused(failure)
    problem = problem_of(failure)
    status, code, message = problem.status, _constant(failure.stable_code), failure.message
    match failure:
        case errors.InvalidParametersError():
            status, code = 400, "INVALID_INPUT_SCHEMA"
            message = f"The input parameters do not match the schema for the notebook. Details: {failure.message}"
        case errors.NotFinishedError(execution=execution) if execution is not None:
            status, code = 400, "INVALID_EXECUTION_STATE"
            message = (
                "The notebook execution is not in a valid state to perform this action. "
                f"Current status: {execution_status(execution)}. Expected status: ['COMPLETED']"
            )
        case errors.NotebookNotFoundError():
            code, message = "NOTEBOOK_NOT_FOUND", f"Notebook {failure.name} not found."
        case errors.ExecutionNotFoundError():
            code, message = "NOTEBOOK_EXECUTION_NOT_FOUND", f"Notebook execution {failure.name} not found."
        case errors.ResultMissingError():
            code, message = "NOTEBOOK_EXECUTION_ARTIFACT_NOT_FOUND", f"Notebook execution artifact {failure.what} not found."
        case errors.PageMissingError():
            status, code = 404, "NOTEBOOK_EXECUTION_ARTIFACT_NOT_FOUND"
        case errors.NotebookBrokenError() | errors.ResultChangedError() | errors.UnreadableError():
            status, code = 500, "INTERNAL_ERROR"
        case _:
            pass
    return JSONResponse({"code": code, "message": message, "data": {}}, status, headers=problem.headers)


def _refused(problem: ProblemError) -> Response:
    wrong = problem.extensions.get("errors") or []
    if any(item.path == "/path/artifact_type" for item in wrong):
        detail = {
            "loc": ["path", "artifact_type"],
            "msg": f"value is not a valid enumeration member; permitted: {_PERMITTED}",
            "type": "type_error.enum",
            "ctx": {"enum_values": [str(item) for item in ExecutionArtifactType]},
        }
        return JSONResponse({"detail": [detail]}, 422)
    return detail_response(problem)


def _constant(code: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", code).upper()


def complete(document: dict[str, Any], notebooks: Sequence[NotebookSchema]) -> None:
    """Give each notebook that has a contract an operation of its own, under its id, in place of the generic one."""
    generic = document["paths"].pop(_GENERIC)["post"]
    for item in notebooks:
        if item.has_contract:
            # An id may hold anything, also what would be a parameter or a query in an address. Of notebooks that share one, the first has it.
            path = f"{NOTEBOOKS}/{quote(item.id)}/execute"
            document["paths"].setdefault(path, {"post": _operation(generic, item)})


def _operation(generic: dict[str, Any], item: NotebookSchema) -> dict[str, Any]:
    operation = copy.deepcopy(generic)
    operation["operationId"] = f"jupyrest2_execute_{item.slug}"
    operation["summary"] = item.title or item.id
    operation["description"] = item.description or f"Run the notebook {item.id}; its output is an artifact of the execution."
    operation["parameters"] = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] != "path"]
    body = {
        "type": "object",
        "required": ["parameters"],
        "properties": {"parameters": {"$ref": f"{SCHEMA_PREFIX}{item.component}Input"}},
    }
    operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


JUPYREST2 = Door(
    name="jupyrest2",
    paths=(NOTEBOOKS, EXECUTIONS),
    problem=answer,
    credentials=(BEARER, X_API_KEY, BASIC),
    routers=(router,),
    openapi=complete,
)
