"""Notebooks with a contract, run without waiting, and what their executions left."""

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from podbook_api.auth.keys import Caller
from podbook_api.doors.answers.artifacts import HTML, JSON_OUTPUT, PRIVATE, artifact_response
from podbook_api.doors.answers.details import failures, read_object
from podbook_api.doors.answers.outcomes import REPORTED, exception_text
from podbook_api.doors.answers.slashes import redirect_slashes
from podbook_api.doors.dependencies import CallerDep, ServicesDep
from podbook_api.doors.jupyrest2.documents import (
    ExecutionArtifactType,
    JupyrestError,
    NotebookExecutionAsyncResponse,
    NotebookExecutionRequest,
    NotebookExecutionResponse,
    NotebookExecutionStatus,
    NotebookIdList,
    NotebookResponse,
    execution_document,
)
from podbook_api.doors.requests.bodies import understood
from podbook_api.services.bundle import Services
from podbook_api.services.catalogue import Broken, Published
from podbook_api.services.creation.creator import CreateRequest
from podbook_api.services.errors import NotebookBrokenError, NotebookNotFoundError, NotFinishedError, ResultMissingError
from podbook_core.execution.model import NotebookExecution, NotebookRef, Spec
from podbook_core.execution.transitions import is_settled
from podbook_core.notebook.identity import notebook_id

__all__ = ["EXECUTIONS", "NOTEBOOKS", "router"]

NOTEBOOKS = "/api/notebooks"
EXECUTIONS = "/api/notebook_executions"
router = APIRouter(tags=["jupyrest 0.2"])
_STORED = {ExecutionArtifactType.HTML: "html", ExecutionArtifactType.HTML_REPORT: "report", ExecutionArtifactType.IPYNB: "notebook"}
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": NotebookExecutionRequest.model_json_schema()}}}
}


_FAILED = failures(500, model=JupyrestError)
"""What every operation may answer."""


@router.get(
    NOTEBOOKS,
    operation_id="jupyrest2_notebooks",
    summary="List the notebooks that have a contract",
    response_model=None,
    responses={200: {"model": NotebookIdList, "description": "Their ids"}, **_FAILED},
)
async def list_notebooks(caller: CallerDep, parts: ServicesDep) -> Response:
    """List the ids of the notebooks that have a contract file."""
    ready = await parts.notebooks.ready(caller)
    # Each once: where several have one id, it leads to one of them.
    ids = dict.fromkeys(notebook_id(item.version) for item in ready if item.version.contract_sha256 is not None)
    return JSONResponse({"notebooks": list(ids)})


@router.get(
    f"{NOTEBOOKS}/{{notebook:path}}",
    operation_id="jupyrest2_notebook",
    summary="Read the schemas of a notebook",
    response_model=None,
    responses={200: {"model": NotebookResponse, "description": "Its schemas"}, **_FAILED},
)
async def get_notebook(notebook: str, caller: CallerDep, parts: ServicesDep) -> Response:
    """Read what a notebook takes and gives, as its contract file says."""
    found = await _published(parts, caller, notebook)
    contract = found.version.contract
    return JSONResponse(
        {"notebook_id": notebook, "input_schema": _schema(contract.input), "output_schema": _schema(contract.output)}
    )


@router.post(
    f"{NOTEBOOKS}/{{notebook:path}}/execute",
    operation_id="jupyrest2_execute",
    summary="Run a notebook",
    response_model=None,
    openapi_extra=_BODY,
    status_code=202,
    responses={
        202: {"model": NotebookExecutionAsyncResponse, "description": "It was accepted"},
        **failures(400, 413, 415, 429, 500, model=JupyrestError),
    },
)
async def execute(notebook: str, request: Request, caller: CallerDep, parts: ServicesDep) -> Response:
    """Run a notebook. The answer does not wait: follow the execution by its id."""
    found = await _published(parts, caller, notebook)
    parts.runs.permit(caller, found.name)
    body = await read_object(request, {"parameters": dict})
    with understood():
        spec = Spec(notebook=NotebookRef(name=found.name), parameters=body["parameters"], outputs=REPORTED)
    execution = (await parts.runs.create(caller, CreateRequest(spec, {}, name=str(uuid4())))).execution
    document = {"execution_id": execution.name, "status": str(NotebookExecutionStatus.ACCEPTED), "notebook_id": notebook}
    return JSONResponse(document, 202)


@router.get(
    f"{EXECUTIONS}/{{execution_id}}",
    operation_id="jupyrest2_execution",
    summary="Read an execution",
    response_model=None,
    responses={200: {"model": NotebookExecutionResponse, "description": "The execution"}, **_FAILED},
)
async def get_execution(execution_id: str, caller: CallerDep, parts: ServicesDep) -> Response:
    """Read where an execution is, and what it left."""
    execution = await parts.executions.find(caller, execution_id)
    artifacts = await parts.results.names(execution) if is_settled(execution) else frozenset[str]()
    base = f"{EXECUTIONS}/{execution.name}"
    return JSONResponse(execution_document(execution, await _id_of(parts, execution), artifacts, base=base))


@router.get(
    f"{EXECUTIONS}/{{execution_id}}/artifacts/{{artifact_type}}",
    operation_id="jupyrest2_artifact",
    summary="Read an artifact of an execution",
    response_model=None,
    responses={
        200: {
            "description": "The artifact",
            "content": {
                "text/html": {"schema": {"type": "string"}},
                "application/json": {"schema": {}},
                "text/plain": {"schema": {"type": "string"}},
            },
        },
        **failures(400, 500, 502, model=JupyrestError),
    },
)
async def get_artifact(execution_id: str, artifact_type: ExecutionArtifactType, caller: CallerDep, parts: ServicesDep) -> Response:
    """Read an artifact of an execution that has ended."""
    execution = await parts.executions.find(caller, execution_id)
    if not is_settled(execution):
        raise NotFinishedError(execution, "wait")
    if artifact_type is ExecutionArtifactType.EXCEPTION:
        text = await exception_text(parts, execution)
        if text is None:
            raise ResultMissingError(execution, "exception")
        return Response(text, media_type="text/plain", headers={"Cache-Control": PRIVATE})
    if artifact_type is ExecutionArtifactType.OUTPUT:
        saved = await parts.results.saved(execution)
        if saved is None:
            raise ResultMissingError(execution, "output")
        return artifact_response(saved, **JSON_OUTPUT)
    found = await parts.results.artifact(execution, _STORED[artifact_type])
    return artifact_response(found, **(JSON_OUTPUT if artifact_type is ExecutionArtifactType.IPYNB else HTML))


async def _published(parts: Services, caller: Caller, asked: str) -> Published:
    """The notebook of an id. One without a contract file is not served here, as before."""
    name = await parts.notebooks.named(asked)
    if name is None:
        raise NotebookNotFoundError(asked)
    try:
        found = await parts.notebooks.look(caller, name)
    except NotebookNotFoundError:
        raise NotebookNotFoundError(asked) from None
    if isinstance(found, Broken):
        raise NotebookBrokenError(asked, found.problem)
    if found.version.contract_sha256 is None:
        raise NotebookNotFoundError(asked, f"the notebook {asked} has no contract file")
    return found


async def _id_of(parts: Services, execution: NotebookExecution) -> str:
    reference = execution.spec.notebook
    version = await parts.notebooks.stored(reference.name, reference.version)
    return reference.name if version is None else notebook_id(version)


def _schema(schema: Any) -> dict[str, Any]:
    """A schema as an object: the client reads nothing else."""
    if schema is None or schema is True:
        return {}
    return {"not": {}} if schema is False else dict(schema)


redirect_slashes(router)
