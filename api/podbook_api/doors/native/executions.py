"""Executions: created, read, listed, cancelled, run again, removed."""

import json
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema

from podbook_api.auth.keys import Caller
from podbook_api.doors.dependencies import (
    CallerDep,
    ExecutionId,
    IdempotencyKey,
    NotebookName,
    PreferredWait,
    ServicesDep,
    failures,
    unread,
)
from podbook_api.doors.native.documents import CreateExecution, DryRun, ExecutionList, ExecutionResource, execution_document
from podbook_api.doors.native.openapi import form_content
from podbook_api.doors.native.paths import execution_path
from podbook_api.doors.problems import Code, FieldError, ProblemError
from podbook_api.doors.requests.bodies import RunBody, is_json, read_json, read_run_body, understood
from podbook_api.doors.requests.body_stream import media_type_of
from podbook_api.services.bundle import Services
from podbook_api.services.creation.creator import CreateRequest, Creation
from podbook_api.services.executions import Filters
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Phase, Reason
from podbook_core.execution.transitions import is_settled
from podbook_core.text.digests import sha256_hex
from podbook_core.text.names import LABEL_KEY_LENGTH, LABEL_VALUE_LENGTH, NOTEBOOK_NAME

__all__ = ["create_request", "created_response", "router"]

router = APIRouter(prefix="/v1", tags=["executions"])
_USUAL, _MOST_FULL = 50, 20
"""Items of a page where the caller does not say, and the most of whole ones."""


LABEL_LENGTH = LABEL_KEY_LENGTH + 1 + LABEL_VALUE_LENGTH
"""Most characters of ``key=value``."""


class ListView(StrEnum):
    """How much of each execution a list contains."""

    SUMMARY = "summary"
    FULL = "full"


_BODIES: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/CreateExecution"}},
            "multipart/form-data": form_content({"type": "object", "additionalProperties": True}),
        }
    }
}
_LOCATION = {"Location": {"description": "Path of the execution.", "schema": {"type": "string"}}}
_CREATED: dict[int | str, dict[str, Any]] = {
    200: {"description": "It has ended (with dryRun: it could run)", "model": ExecutionResource | DryRun, "headers": _LOCATION},
    202: {"description": "It was accepted", "model": ExecutionResource, "headers": _LOCATION},
}


@router.post(
    "/notebooks/{notebook}/executions",
    operation_id="create_execution",
    summary="Run a notebook",
    response_model=None,
    openapi_extra=_BODIES,
    responses={**_CREATED, **failures(400, 404, 409, 413, 415, 429)},
)
async def create_execution(
    *,
    notebook: NotebookName,
    request: Request,
    caller: CallerDep,
    parts: ServicesDep,
    key: IdempotencyKey,
    wait: PreferredWait,
    dry_run: Annotated[bool, Query(alias="dryRun", description="Validate only: nothing is created.")] = False,
) -> Response:
    """Create an execution of a notebook, checked against its contract before anything starts.

    Besides JSON it takes a form with files, as `POST /v1/run/{notebook}` does; its part `options` is the JSON body without
    the parameters.
    """
    parts.runs.permit(caller, notebook)
    if is_json(media_type_of(request)):
        with understood():
            body = CreateExecution.model_validate(await read_json(request))
            wanted = CreateRequest(body.spec(notebook, body.parameters), body.labels, key=key)
        return await _create(parts, caller, wanted, wait, dry_run=dry_run)
    async with read_run_body(request, input_name="input") as received:
        return await _create(parts, caller, await create_request(parts, notebook, received, key), wait, dry_run=dry_run)


async def _create(parts: Services, caller: Caller, wanted: CreateRequest, wait: int | None, *, dry_run: bool) -> Response:
    if dry_run:
        accepted = await parts.runs.check(caller, wanted)
        return JSONResponse(DryRun(resolved=accepted.resolved).model_dump(mode="json", by_alias=True, exclude_none=True))
    return created_response(await parts.runs.settled(await parts.runs.create(caller, wanted), wait or 0), wait=wait)


async def create_request(parts: Services, notebook: str, received: RunBody, key: str | None) -> CreateRequest:
    """What a body asks for that may hold parameters as JSON and as form fields, options, and files.

    Raises:
        InvalidParametersError: the parameters are not an object.
        ProblemError: 422 when they are not of a form that can be stored.
    """
    options = received.options
    parameters = await parts.runs.parameters(notebook, version=options.version, given=received.parameters, texts=received.fields)
    with understood():
        spec = options.spec(notebook, parameters, [upload.file for upload in received.uploads])
    return CreateRequest(spec, options.labels, received.uploads, key)


def created_response(creation: Creation, *, wait: int | None) -> JSONResponse:
    """The execution as the answer to its creation: 200 when it has ended, 202 while it has not."""
    execution = creation.execution
    headers = {"Location": execution_path(execution.name), "Podbook-Execution": execution.name}
    if creation.replayed:
        headers["Idempotency-Replayed"] = "true"
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait}" if wait else "respond-async"
    status = 200 if wait is not None and is_settled(execution) else 202
    return JSONResponse(execution_document(execution), status_code=status, headers=headers)


@router.get(
    "/executions",
    operation_id="list_executions",
    summary="List executions, newest first",
    response_model=None,
    responses={200: {"model": ExecutionList, "description": "One page"}, **failures(400)},
)
async def list_executions(
    *,
    caller: CallerDep,
    parts: ServicesDep,
    notebook: Annotated[
        str | None, Query(pattern=f"^{NOTEBOOK_NAME}$", max_length=63, description="Only executions of this notebook.")
    ] = None,
    phase: Annotated[Phase | None, Query(description="Only executions in this phase.")] = None,
    reason: Annotated[Reason | None, Query(description="Only executions with this reason.")] = None,
    label: Annotated[
        list[Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[^=]+=", "maxLength": LABEL_LENGTH})]] | None,
        Query(max_length=10, description="`key=value`, may be repeated: only executions with all of these labels."),
    ] = None,
    limit: Annotated[
        int | None,
        Query(ge=1, le=200, description=f"Maximum number of items in a page. Defaults to 50, with `view=full` to {_MOST_FULL}."),
    ] = None,
    view: Annotated[
        ListView,
        Query(description=f"`summary`: items without `spec.parameters`; `full`: complete items, at most {_MOST_FULL} per page."),
    ] = ListView.SUMMARY,
    cursor: Annotated[str | None, Query(max_length=500, description="nextCursor of the previous page.")] = None,
) -> Response:
    """List the caller's executions (all of them with a scope on `executions/*`), running and ended.

    A page may be short, or empty, and still have a nextCursor: continue there. While the backend cannot be reached, the answer
    is 503 with Retry-After, except for lists of ended executions (`phase` Succeeded, Failed or Cancelled, or the `reason` of an end),
    which are read from the store.

    Items have no `spec.parameters`, which may be 256 KiB each: read an execution by its id, or ask for `view=full`.
    """
    full = view is ListView.FULL
    limit = limit or (_MOST_FULL if full else _USUAL)
    if full and limit > _MOST_FULL:
        raise ProblemError(
            422,
            Code.INVALID_REQUEST,
            f"limit must be at most {_MOST_FULL} with view=full; follow nextCursor, or omit view for up to 200 items per page",
            errors=[FieldError(path="/query/limit", problem="is too large for view=full", expected=f"at most {_MOST_FULL}")],
        )
    labels = dict(_label(text) for text in label or ())
    page = await parts.executions.page(caller, Filters(notebook, phase, reason, labels), limit=limit, cursor=cursor)
    items = []
    for item in page.items:
        shown = await parts.executions.whole(item) if full else item
        if shown is not None:
            # Each at once as text: the parameters of one at a time are in memory.
            items.append(json.dumps(execution_document(shown, parameters=full), ensure_ascii=False, separators=(",", ":")))
    end = "" if page.next_cursor is None else f',"nextCursor":{json.dumps(page.next_cursor)}'
    return Response(f'{{"items":[{",".join(items)}]{end}}}'.encode(), media_type="application/json")


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ProblemError(422, Code.INVALID_REQUEST, "label must be key=value")
    return key, value


@router.get(
    "/executions/{execution_id}",
    operation_id="get_execution",
    summary="Read an execution",
    response_model=None,
    responses={
        200: {"model": ExecutionResource, "description": "The execution"},
        304: {"description": "Not modified since If-None-Match"},
        **failures(404, 412),
    },
)
async def get_execution(execution_id: ExecutionId, request: Request, caller: CallerDep, parts: ServicesDep) -> Response:
    """Read an execution, running or ended; with `If-None-Match` only if it has changed.

    While the backend cannot be reached, ended executions are read from the store, and for others the
    answer is 503 with Retry-After.
    """
    return _tagged(await parts.executions.find(caller, execution_id), request)


def _tagged(execution: NotebookExecution, request: Request) -> Response:
    body = json.dumps(execution_document(execution), ensure_ascii=False, separators=(",", ":")).encode()
    etag = f'"{sha256_hex(body)[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    return unread(request, etag, headers["Cache-Control"]) or Response(body, media_type="application/json", headers=headers)


@router.post(
    "/executions/{execution_id}/cancel",
    operation_id="cancel_execution",
    summary="Cancel an execution",
    response_model=None,
    responses={200: {"model": ExecutionResource, "description": "The execution, ended or being cancelled"}, **failures(404)},
)
async def cancel_execution(execution_id: ExecutionId, caller: CallerDep, parts: ServicesDep) -> Response:
    """Cancel an execution. Idempotent: one that has ended is returned unchanged. Partial results are kept."""
    return JSONResponse(execution_document(await parts.executions.cancel(caller, execution_id)))


@router.post(
    "/executions/{execution_id}/rerun",
    operation_id="rerun_execution",
    summary="Run an execution again",
    response_model=None,
    responses={**_CREATED, **failures(404, 409, 413, 429)},
)
async def rerun_execution(
    *,
    execution_id: ExecutionId,
    caller: CallerDep,
    parts: ServicesDep,
    key: IdempotencyKey,
    wait: PreferredWait,
    version: Annotated[
        str, Query(pattern="^(same|current)$", description="`same`: the version that ran; `current`: the one published now.")
    ] = "same",
) -> Response:
    """Create a new execution with the parameters, inputs and limits of an earlier one."""
    creation = await parts.runs.rerun(caller, execution_id, version="current" if version == "current" else "same", key=key)
    return created_response(await parts.runs.settled(creation, wait or 0), wait=wait)


@router.delete(
    "/executions/{execution_id}",
    operation_id="delete_execution",
    summary="Delete an ended execution",
    status_code=204,
    response_model=None,
    responses={204: {"description": "Deleted, with all its results"}, **failures(404, 409)},
)
async def delete_execution(execution_id: ExecutionId, caller: CallerDep, parts: ServicesDep) -> Response:
    """Delete an ended execution with its results; a running one must be cancelled first."""
    await parts.executions.remove(caller, execution_id)
    return Response(status_code=204)
