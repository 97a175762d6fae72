"""A small second door: an older system's addresses, errors and credentials over the same services, and an application of its own inside."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from podbook_api.doors.dependencies import CallerDep, NotebookName, ServicesDep
from podbook_api.doors.door import Door, Failure
from podbook_api.doors.failures import HANDLERS
from podbook_api.doors.problems import ProblemError, problem_of
from podbook_api.doors.requests.credentials import authorization, query
from podbook_api.services.creation.creator import CreateRequest
from podbook_api.services.errors import ExecutionNotFoundError, NotFinishedError
from podbook_core.execution.model import NotebookRef, Spec

router = APIRouter(prefix="/ledger", tags=["ledger"])


@router.post("/sums/{notebook}", operation_id="ledger_sum")
async def add_up(notebook: NotebookName, request: Request, caller: CallerDep, parts: ServicesDep, wait: float = 60) -> Response:
    """Run a notebook with what the query says."""
    parts.runs.permit(caller, notebook)
    texts = {name: request.query_params.getlist(name) for name in request.query_params if name not in ("token", "wait")}
    parameters = await parts.runs.parameters(notebook, texts=texts)
    wanted = CreateRequest(Spec(notebook=NotebookRef(name=notebook), parameters=parameters), {})
    creation = await parts.runs.settled(await parts.runs.create(caller, wanted), wait)
    output = await parts.results.output(creation.execution)
    content: Any = b"null" if output is None else output.content
    return Response(content, media_type="application/json", headers={"Ledger-Entry": creation.execution.name})


@router.get("/fault", include_in_schema=False)
async def fault() -> Response:
    """What nobody expected."""
    raise RuntimeError("the ink has run dry")


old = FastAPI(exception_handlers=dict(HANDLERS), openapi_url=None)


@old.get("/entries/{name}")
async def entry(name: str, caller: CallerDep, parts: ServicesDep) -> JSONResponse:
    """Where an execution is."""
    found = await parts.executions.find(caller, name)
    return JSONResponse({"entry": found.name, "state": found.status.reason, "by": found.spec.submitted_by})


def complaint(_request: Request, failure: Failure) -> Response:
    """The errors of the ledger: what is not there yet is 404, as what is not there at all."""
    problem = failure if isinstance(failure, ProblemError) else problem_of(failure)
    status = 404 if isinstance(failure, NotFinishedError | ExecutionNotFoundError) else problem.status
    return JSONResponse({"error": True, "message": problem.detail}, status)


LEDGER = Door(
    name="ledger",
    paths=("/ledger",),
    problem=complaint,
    credentials=(authorization("token"), authorization("ApiKey", user=True), query("token", scheme="tokenInQuery")),
    routers=(router,),
    mounts={"/ledger/old": old},
)
