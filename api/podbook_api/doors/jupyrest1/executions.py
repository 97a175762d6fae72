"""A notebook is run while its caller waits, and read afterwards by its id."""

from functools import partial
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from podbook_api.doors.answers.artifacts import HTML, artifact_response
from podbook_api.doors.answers.details import failures, read_object
from podbook_api.doors.answers.outcomes import REPORTED, exception_text, output_validation
from podbook_api.doors.answers.slashes import redirect_slashes
from podbook_api.doors.dependencies import CallerDep, ServicesDep
from podbook_api.doors.jupyrest1.documents import Jupyrest1Accepted, Jupyrest1Details, Jupyrest1Executed, Jupyrest1Request
from podbook_api.doors.problems import Code, ProblemError
from podbook_api.doors.requests.bodies import read_aside, understood
from podbook_api.services.bundle import Services
from podbook_api.services.creation.creator import CreateRequest
from podbook_api.services.errors import NotebookNotFoundError, PageMissingError, ResultMissingError, UnreadableError
from podbook_api.services.results import Artifact, closed, whole
from podbook_core.execution.model import NotebookExecution, NotebookRef, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import is_settled
from podbook_core.notebook.identity import notebook_path
from podbook_core.text import strict_json
from podbook_core.text.json_depth import MAX_FILE_NESTING
from podbook_core.text.strict_json import InvalidJsonError

__all__ = ["PATH", "router"]

PATH = "/api/NotebookExecutions"
router = APIRouter(tags=["jupyrest, first generation"])
HOLD_SECONDS = 3600
"""How long a caller is held at most; its run goes on after that."""
_LARGEST = 32 * 1024 * 1024
"""Bytes of a result that is told within a JSON document."""
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": Jupyrest1Request.model_json_schema()}}}
}


@router.post(
    PATH,
    operation_id="jupyrest1_execute",
    summary="Run a notebook and wait for its end",
    response_model=None,
    openapi_extra=_BODY,
    responses={
        200: {"model": Jupyrest1Executed, "description": "It has ended, well or not: `status` says which"},
        202: {"model": Jupyrest1Accepted, "description": "It did not end within an hour, and goes on; read it by its id"},
        **failures(400, 413, 415, 429, 500),
    },
)
async def execute(request: Request, caller: CallerDep, parts: ServicesDep) -> Response:
    """Run a notebook. The answer comes when it has ended; one that raised is 200, too, with the status `FAILED`."""
    body = await read_object(request, {"notebook": str, "parameters": dict})
    asked = body["notebook"]
    name = await parts.notebooks.visible(caller, asked)
    if name is None:
        raise NotebookNotFoundError(asked)
    parts.runs.permit(caller, name)
    with understood():
        spec = Spec(notebook=NotebookRef(name=name), parameters=body["parameters"], outputs=REPORTED)
    creation = await parts.runs.create(caller, CreateRequest(spec, {}, name=str(uuid4())))
    execution = (await parts.runs.settled(creation, HOLD_SECONDS)).execution
    document = {**_document(execution, asked), "parameters": body["parameters"]}
    return JSONResponse(document, 200 if is_settled(execution) else 202, headers={"Podbook-Execution": execution.name})


@router.get(
    PATH,
    operation_id="jupyrest1_read",
    summary="Read an execution",
    response_model=None,
    responses={
        200: {
            "model": Jupyrest1Details,
            "description": "The execution; with `view_html` the executed notebook as a page",
        },
        **failures(400, 409, 413, 424, 500, 502),
    },
)
async def read(
    *,
    caller: CallerDep,
    parts: ServicesDep,
    execution_id: Annotated[str, Query(alias="executionId", description="Id of the execution.")],
    html: Annotated[bool, Query(description="With the executed notebook as a page, in `html`.")] = False,
    report: Annotated[bool, Query(description="Pages without the code.")] = False,
    output: Annotated[bool, Query(description="With what the notebook saved, in `output`.")] = False,
    ipynb: Annotated[bool, Query(description="With the executed notebook, as a text that holds JSON, in `ipynb`.")] = False,
    view_html: Annotated[bool, Query(description="The page itself, and nothing else.")] = False,
) -> Response:
    """Read an execution, and what it left."""
    execution = await parts.executions.find(caller, execution_id)
    page = "report" if report else "html"
    if view_html:
        return artifact_response(await parts.results.artifact(execution, page), **HTML)
    document = _document(execution, await _notebook_of(parts, execution))
    settled = is_settled(execution)
    document["exception"] = await exception_text(parts, execution) if settled else None
    broken = output_validation(execution)
    if broken is not None:
        document["output_validation"] = broken
    if html:
        document["html"] = await _text(parts, execution, page) if settled else None
    if output:
        document["output"] = await _saved(parts, execution) if settled else None
    if ipynb:
        document["ipynb"] = await _text(parts, execution, "notebook") if settled else None
    return JSONResponse(document)


def _document(execution: NotebookExecution, notebook: str) -> dict[str, Any]:
    status = "ACCEPTED"
    if is_settled(execution):
        status = "COMPLETED" if execution.status.reason is Reason.SUCCEEDED else "FAILED"
    return {"id": execution.name, "status": status, "notebook": notebook, "parameters": execution.spec.parameters}


async def _notebook_of(parts: Services, execution: NotebookExecution) -> str:
    """The path of the notebook that ran, as it is called here."""
    version = await parts.notebooks.stored(execution.spec.notebook.name, execution.spec.notebook.version)
    return execution.spec.notebook.name if version is None else notebook_path(version)


async def _text(parts: Services, execution: NotebookExecution, name: str) -> str | None:
    """A result as text within a document; None where the run left none."""
    try:
        found = await parts.results.artifact(execution, name)
    except (ResultMissingError, PageMissingError):
        return None
    return (await _bounded(found, name)).decode(errors="replace")


async def _saved(parts: Services, execution: NotebookExecution) -> Any:
    """What the notebook saved; None where it saved nothing. A pod may have stored anything in its place."""
    found = await parts.results.saved(execution)
    if found is None:
        return None
    data = await _bounded(found, "output")
    try:
        return await read_aside(data, partial(strict_json.parse, limit=_LARGEST, what="the output", depth=MAX_FILE_NESTING))
    except InvalidJsonError as error:
        raise UnreadableError(f"the output of execution {execution.name} cannot be read: {error}") from None


async def _bounded(found: Artifact, name: str) -> bytes:
    """A result that is told within a document.

    Raises:
        ProblemError: it is too large for that.
    """
    size = found.recorded.size
    if size > _LARGEST:
        await closed(found)
        advice = {"html": "; read the page with view_html=true", "report": "; read the page with view_html=true"}.get(name, "")
        text = f"{name} has {size} bytes; at most {_LARGEST} are told within a document{advice}"
        raise ProblemError(413, Code.BODY_TOO_LARGE, text)
    return await whole(found)


redirect_slashes(router)
