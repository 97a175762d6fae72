"""Notebooks by address: ``/N/<name>/<value>/…`` runs one and answers with its output, ``/N-slow`` takes one in and tells it later by its id."""

import json
from functools import partial
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from podbook_api.auth.keys import Caller
from podbook_api.doors.answers.artifacts import output_response
from podbook_api.doors.dependencies import CallerDep, ServicesDep
from podbook_api.doors.door import entry_of
from podbook_api.doors.problems import Code, ProblemError
from podbook_api.doors.requests.bodies import parse_json, read_aside, understood
from podbook_api.doors.requests.body_stream import limits_of, read_body
from podbook_api.services.bundle import Services
from podbook_api.services.creation.creator import CreateRequest
from podbook_api.services.errors import ExecutionNotFoundError, NotebookNotFoundError, NotFinishedError
from podbook_core.execution.model import NotebookExecution, NotebookRef, Spec
from podbook_core.execution.transitions import is_settled

__all__ = ["PREFIX", "router_at"]

PREFIX = "/dsapi"
WAIT_SECONDS = 120
"""How long a caller is held at most."""
_SLOW = "-slow"


class Complaint(BaseModel):
    """What was wrong."""

    message: str
    error: bool = True


class Accepted(BaseModel):
    """A slow task that was accepted."""

    id: Annotated[str, Field(description="A UUID, for asking later.")]


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Complaint, "description": text}
    for status, text in {
        400: "The parameters are not valid",
        401: "No API key, or not a known one",
        403: "The key lacks a scope",
        404: "There is no such thing, or not yet",
        500: "The notebook failed",
        503: "Not available right now",
        504: "The run did not end in time; it goes on",
    }.items()
}
_OUTPUT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The notebook's output", "content": {"application/json": {"schema": {}}}}
}
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}}
}


def router_at(prefix: str) -> APIRouter:
    """The routes below a path; at the root, where that is empty."""
    router = APIRouter(prefix=prefix, tags=["data-science API"], include_in_schema=bool(prefix))

    @router.get(
        "/{notebook}",
        operation_id="dsapi_run",
        summary="Run a notebook without parameters",
        response_model=None,
        responses={**_OUTPUT, **_ERRORS},
    )
    async def run(notebook: NotebookDep, caller: CallerDep, parts: ServicesDep) -> Response:
        """Run a notebook and answer with its output."""
        return await _run(parts, caller, notebook, {})

    @router.get(
        "/{notebook}/{rest:path}",
        operation_id="dsapi_run_with",
        summary="Run a notebook with the parameters in the address, or read the result of a slow task",
        response_model=None,
        responses={**_OUTPUT, **_ERRORS},
    )
    async def run_with(
        notebook: NotebookDep,
        rest: Annotated[str, Path(description="`<name>/<value>/…`; or, of a slow task, its id.")],
        request: Request,
        caller: CallerDep,
        parts: ServicesDep,
    ) -> Response:
        """Run a notebook: what follows its name are the names of parameters, each with its value, typed by the contract."""
        words = _words(request, rest, skipped=prefix.count("/") + 1)
        if notebook.endswith(_SLOW) and len(words) == 1:
            return await _result(parts, caller, notebook, words[0])
        if len(words) % 2:
            raise NotebookNotFoundError(notebook)
        texts: dict[str, list[str]] = {}
        for name, value in zip(words[::2], words[1::2], strict=True):
            texts.setdefault(name, []).append(value)
        return await _run(parts, caller, notebook, texts)

    @router.post(
        "/{notebook}",
        operation_id="dsapi_submit",
        summary="Accept a slow task",
        response_model=None,
        status_code=202,
        openapi_extra=_BODY,
        responses={
            202: {"model": Accepted, "description": "It was accepted"},
            405: {"model": Complaint, "description": "The name does not end with -slow"},
            **_ERRORS,
        },
    )
    async def submit(notebook: NotebookDep, request: Request, caller: CallerDep, parts: ServicesDep) -> Response:
        """Accept `<notebook>-slow`. Ask for its result by the id: 404 until it is there."""
        if not notebook.endswith(_SLOW):
            raise ProblemError(
                405, Code.METHOD_NOT_ALLOWED, "The method is not allowed for the requested URL.", headers={"Allow": "GET"}
            )
        name = await _behind(parts, caller, notebook)
        parts.runs.permit(caller, name)
        execution = (await parts.runs.create(caller, _wanted(name, await _parameters(request), str(uuid4())))).execution
        body = json.dumps({"id": execution.name})
        return Response(body, 202, media_type="application/json", headers={"Podbook-Execution": execution.name})

    return router


async def _notebook(
    notebook: Annotated[str, Path(description="Name of a notebook, or the name with `-slow`.")], request: Request
) -> str:
    """The first segment, where it is not the beginning of another door's addresses: those win at the root.

    Raises:
        NotebookNotFoundError: it is.
    """
    path: str = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if not path.startswith(f"{PREFIX}/") and notebook in entry_of(request.scope).taken:
        raise NotebookNotFoundError(notebook)
    return notebook


NotebookDep = Annotated[str, Depends(_notebook)]


def _words(request: Request, rest: str, *, skipped: int) -> list[str]:
    """The segments after the notebook's, each decoded by itself, so that a value may hold an encoded slash."""
    raw: bytes | None = request.scope.get("raw_path")
    if raw is None:
        return rest.split("/")
    segments = raw.partition(b"?")[0].removeprefix(request.scope.get("root_path", "").encode()).split(b"/")
    try:
        return [unquote_to_bytes(segment).decode() for segment in segments[skipped + 1 :]]
    except UnicodeDecodeError:
        raise ProblemError(400, Code.INVALID_REQUEST, "The address must be UTF-8") from None


async def _run(parts: Services, caller: Caller, notebook: str, texts: dict[str, list[str]]) -> Response:
    name = await parts.notebooks.visible(caller, notebook)
    if name is None:
        raise NotebookNotFoundError(notebook)
    parts.runs.permit(caller, name)
    parameters = await parts.runs.parameters(name, texts=texts)
    creation = await parts.runs.settled(await parts.runs.create(caller, _wanted(name, parameters, None)), WAIT_SECONDS)
    execution = creation.execution
    if not is_settled(execution):
        raise ProblemError(504, Code.NOT_FINISHED, f"The run {execution.name} did not end in time; it goes on")
    return _with_id(output_response(await parts.results.output(execution)), execution)


async def _result(parts: Services, caller: Caller, notebook: str, identity: str) -> Response:
    """The output of a slow task; 404 while there is none, and 500 where it failed, so that its caller stops asking."""
    try:
        name = str(UUID(identity))
    except ValueError:
        raise ExecutionNotFoundError(identity) from None
    execution = await parts.executions.find(caller, name)
    if execution.spec.notebook.name not in (notebook, notebook.removesuffix(_SLOW)):
        raise ExecutionNotFoundError(identity)
    if not is_settled(execution):
        raise NotFinishedError(execution, "wait")
    return _with_id(output_response(await parts.results.output(execution)), execution)


def _with_id(response: Response, execution: NotebookExecution) -> Response:
    response.headers["Podbook-Execution"] = execution.name
    return response


async def _behind(parts: Services, caller: Caller, notebook: str) -> str:
    """The notebook that a slow address runs: the one of that name, else the one of the name before ``-slow``.

    Raises:
        NotebookNotFoundError: there is neither.
    """
    visible = parts.notebooks.visible
    found = await visible(caller, notebook) or await visible(caller, notebook.removesuffix(_SLOW))
    if found is None:
        raise NotebookNotFoundError(notebook)
    return found


async def _parameters(request: Request) -> dict[str, Any]:
    """The body as JSON, whatever its media type says."""
    limit = limits_of(request).json
    data = await read_body(request, limit)
    value = await read_aside(data, partial(parse_json, limit=limit))
    if not isinstance(value, dict):
        raise ProblemError(400, Code.INVALID_REQUEST, "Invalid request body")
    return value


def _wanted(name: str, parameters: dict[str, Any], called: str | None) -> CreateRequest:
    with understood():
        return CreateRequest(Spec(notebook=NotebookRef(name=name), parameters=parameters), {}, name=called)
