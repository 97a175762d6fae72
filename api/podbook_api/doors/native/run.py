"""The notebook as a function: the body is its input, the response its output."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from podbook_api.doors.answers.artifacts import artifact_response, output_response
from podbook_api.doors.dependencies import CallerDep, IdempotencyKey, NotebookName, PreferredWait, ServicesDep, failures
from podbook_api.doors.native.documents import ExecutionResource
from podbook_api.doors.native.executions import create_request, created_response
from podbook_api.doors.native.openapi import form_content
from podbook_api.doors.native.paths import execution_path
from podbook_api.doors.requests.bodies import read_run_body
from podbook_api.doors.requests.preferences import chosen_file
from podbook_api.services.bundle import Services
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import is_settled
from podbook_core.store.keys import FILES_FOLDER

__all__ = ["RUN_FAILURES", "router"]

router = APIRouter(prefix="/v1", tags=["run"])
DEFAULT_WAIT_SECONDS = 30
RUN_FAILURES = (400, 404, 409, 413, 415, 424, 429, 502, 504)
_BODIES: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {"type": "object", "additionalProperties": True}},
            "multipart/form-data": form_content({"type": "object", "additionalProperties": True}),
        }
    }
}


@router.post(
    "/run/{notebook}",
    operation_id="run",
    summary="Call a notebook",
    response_model=None,
    openapi_extra=_BODIES,
    responses={
        200: {"description": "The notebook's output", "content": {"application/json": {"schema": {}}}},
        202: {"description": "Not finished in time; the execution continues", "model": ExecutionResource},
        **failures(*RUN_FAILURES),
    },
)
async def run(
    *,
    notebook: NotebookName,
    request: Request,
    caller: CallerDep,
    parts: ServicesDep,
    key: IdempotencyKey,
    preferred: PreferredWait,
    input_name: Annotated[
        str,
        Query(
            alias="input",
            pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
            description="Name of the input file when the body is one (neither JSON nor a form).",
        ),
    ] = "input",
) -> Response:
    """Run a notebook and return its output.

    The body is the parameters as JSON; or a form, in which files are input files named like their fields, `parameters` and `options`
    (profile, time-out, labels and so on) are JSON, and other fields are parameters; or, with any other media type, one input file. When the notebook published a file of a media type that
    `Accept` names, and only one, the response is that file. After 30 seconds (or what `Prefer: wait=N` says) the response is 202 and
    the run goes on.
    """
    parts.runs.permit(caller, notebook)
    async with read_run_body(request, input_name=input_name) as received:
        creation = await parts.runs.create(caller, await create_request(parts, notebook, received, key))
    wait = DEFAULT_WAIT_SECONDS if preferred is None else preferred
    creation = await parts.runs.settled(creation, wait)
    execution = creation.execution
    if not is_settled(execution):
        response: Response = created_response(creation, wait=preferred)
        response.status_code = 202
        return response
    # Whatever the answer is, a failed run's too: what was asked for beside the output has been done.
    request.state.answer_headers = {
        "Podbook-Execution": execution.name,
        **({"Preference-Applied": f"wait={wait}"} if preferred is not None else {}),
        **({"Idempotency-Replayed": "true"} if creation.replayed else {}),
    }
    response = await _result(parts, execution, request.headers.get("accept", ""))
    response.headers["Link"] = _link_header(execution, await parts.results.files(execution))
    return response


async def _result(parts: Services, execution: NotebookExecution, accept: str) -> Response:
    if execution.status.reason is Reason.SUCCEEDED and accept:
        files = await parts.results.files(execution)
        chosen = chosen_file(accept, [item.media_type for item in files])
        if chosen is not None:
            return artifact_response(await parts.results.file(execution, files[chosen].name.removeprefix(FILES_FOLDER)))
    return output_response(await parts.results.output(execution))


def _link_header(execution: NotebookExecution, files: list[Any]) -> str:
    """Where the execution, its renderings and its first files are (RFC 8288)."""
    base = execution_path(execution.name)
    results = execution.status.results
    links = [f'<{base}>; rel="describedby"']
    if results is not None and results.html is not None:
        links.append(f'<{base}/html>; rel="alternate"; type="text/html"')
    if results is not None and results.notebook is not None:
        links.append(f'<{base}/notebook>; rel="alternate"; type="application/x-ipynb+json"')
    if files:
        links.append(f'<{base}/files>; rel="enclosure"; type="application/json"')
    return ", ".join(links)
