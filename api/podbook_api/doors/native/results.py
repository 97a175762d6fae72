"""What an execution left, and how it is followed."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import JSONResponse

from podbook_api.doors.answers.artifacts import HTML, JSON_OUTPUT, PRIVATE, output_response, read_artifact
from podbook_api.doors.answers.event_stream import EventStream
from podbook_api.doors.dependencies import CallerDep, ExecutionId, ServicesDep, failures
from podbook_api.doors.native.documents import FileList, LinkRequest, SignedLink
from podbook_api.doors.native.paths import execution_path, link_url
from podbook_api.doors.native.readers import AccessDep, ReaderDep
from podbook_api.doors.problems import Code, ProblemError
from podbook_api.doors.requests.bodies import read_json, understood
from podbook_api.services.following import State, state_id
from podbook_core.store.keys import FILES_FOLDER

__all__ = ["router"]

router = APIRouter(prefix="/v1/executions/{execution_id}", tags=["results"])

_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not modified since If-None-Match"}}


def _binary(media_type: str) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/output",
    operation_id="get_output",
    summary="Read the output",
    response_model=None,
    responses={
        200: {"description": "The notebook's output", "content": {"application/json": {"schema": {}}}},
        **_UNCHANGED,
        **failures(404, 409, 412, 424, 502, 504),
    },
)
async def get_output(execution_id: ExecutionId, request: Request, caller: ReaderDep, parts: ServicesDep) -> Response:
    """Read what the notebook saved with save_output; of a failed run, why it failed."""
    execution = await parts.executions.find(caller, execution_id)
    output = await parts.results.output(execution)
    return output_response(None) if output is None else await read_artifact(request, output, **JSON_OUTPUT)


@router.get(
    "/html",
    operation_id="get_html",
    summary="Read the notebook as HTML",
    response_model=None,
    responses={200: {"description": "The executed notebook", **_binary("text/html")}, **_UNCHANGED, **failures(404, 409, 412, 502)},
)
async def get_html(execution_id: ExecutionId, request: Request, caller: ReaderDep, parts: ServicesDep) -> Response:
    """Read the executed notebook as HTML, also of a failed run. It is untrusted, and comes sandboxed."""
    execution = await parts.executions.find(caller, execution_id)
    return await read_artifact(request, await parts.results.artifact(execution, "html"), **HTML)


@router.get(
    "/report",
    operation_id="get_report",
    summary="Read the HTML without inputs",
    response_model=None,
    responses={
        200: {"description": "The executed notebook without its code", **_binary("text/html")},
        **_UNCHANGED,
        **failures(404, 409, 412, 502),
    },
)
async def get_report(execution_id: ExecutionId, request: Request, caller: ReaderDep, parts: ServicesDep) -> Response:
    """Read the executed notebook as HTML without code cells' inputs."""
    execution = await parts.executions.find(caller, execution_id)
    return await read_artifact(request, await parts.results.artifact(execution, "report"), **HTML)


@router.get(
    "/notebook",
    operation_id="get_executed_notebook",
    summary="Read the executed notebook",
    response_model=None,
    responses={
        200: {"description": "The notebook", "content": {"application/x-ipynb+json": {"schema": {"type": "object"}}}},
        **_UNCHANGED,
        **failures(404, 409, 412, 502),
    },
)
async def get_executed_notebook(execution_id: ExecutionId, request: Request, caller: ReaderDep, parts: ServicesDep) -> Response:
    """Read the executed notebook, also the partial one of a failed run."""
    execution = await parts.executions.find(caller, execution_id)
    return await read_artifact(
        request,
        await parts.results.artifact(execution, "notebook"),
        media_type="application/x-ipynb+json",
        disposition=f'attachment; filename="{execution.name}.ipynb"',
    )


@router.get(
    "/logs",
    operation_id="get_logs",
    summary="Read the log",
    response_model=None,
    responses={
        200: {"description": "What the notebook printed", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **_UNCHANGED,
        **failures(404, 412, 502),
    },
)
async def get_logs(execution_id: ExecutionId, request: Request, caller: ReaderDep, parts: ServicesDep) -> Response:
    """Read what the notebook printed: the newest part (at most 1 MiB) while it runs, all that was kept afterwards."""
    execution = await parts.executions.find(caller, execution_id)
    text = await parts.results.log(execution)
    if isinstance(text, bytes):
        return Response(text, media_type="text/plain", headers={"Cache-Control": PRIVATE})
    return await read_artifact(request, text, media_type="text/plain; charset=utf-8", disposition="inline")


@router.get(
    "/files",
    operation_id="list_files",
    summary="List the output files",
    response_model=None,
    responses={200: {"model": FileList, "description": "The files"}, **failures(404, 409)},
)
async def list_files(execution_id: ExecutionId, caller: CallerDep, parts: ServicesDep) -> Response:
    """List the files the notebook wrote to $PODBOOK_OUTPUT_DIR."""
    execution = await parts.executions.find(caller, execution_id)
    items = [
        {
            "path": (path := item.name.removeprefix(FILES_FOLDER)),
            "size": item.size,
            "sha256": item.sha256,
            "mediaType": item.media_type,
            "href": f"{execution_path(execution.name)}/files/{quote(path)}",
        }
        for item in await parts.results.files(execution)
    ]
    return JSONResponse({"items": items})


@router.get(
    "/files/{path:path}",
    operation_id="get_file",
    summary="Read an output file",
    response_model=None,
    responses={
        200: {"description": "The file", **_binary("application/octet-stream")},
        **_UNCHANGED,
        **failures(404, 409, 412, 502),
    },
)
async def get_file(
    *,
    execution_id: ExecutionId,
    path: Annotated[str, Path(max_length=512, description="Path below $PODBOOK_OUTPUT_DIR.")],
    request: Request,
    caller: ReaderDep,
    parts: ServicesDep,
) -> Response:
    """Read a file the notebook published. It is untrusted: sandboxed, and for saving."""
    execution = await parts.executions.find(caller, execution_id)
    return await read_artifact(request, await parts.results.file(execution, path))


@router.get(
    "/events",
    operation_id="get_events",
    summary="Follow an execution",
    response_model=None,
    responses={
        200: {"description": "Server-Sent Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        204: {"description": "The caller has seen the final event; there are no more"},
        **failures(404, 429),
    },
)
async def get_events(
    execution_id: ExecutionId,
    granted: AccessDep,
    parts: ServicesDep,
    last_event_id: Annotated[str | None, Header(max_length=200, description="Id of the last event received.")] = None,
) -> Response:
    """Follow an execution: `status` and `progress` events, the present state first, and `end` as the last one.

    Event ids derive from the state, so any replica can resume a stream. It ends within seconds, without `end`, once the key or the
    link it was opened with becomes invalid.
    """
    execution = await parts.executions.find(granted.caller, execution_id)
    present = State(execution, execution.status.progress)
    if present.final and last_event_id == state_id(present):
        return Response(status_code=204)  # tells an EventSource to stop reconnecting (HTML, section 9.2)
    most = parts.context.settings.max_event_streams_per_key
    place = parts.events.take_place(granted.holder, most=most)
    if place is None:
        raise ProblemError(
            429,
            Code.TOO_MANY_STREAMS,
            f"{most} event streams are open with this key or link; close some, or poll the executions instead",
            headers={"Retry-After": "5"},
        )
    events = parts.events.stream(execution, last_event_id, allowed=granted.holds)
    return EventStream(events, place)


@router.post(
    "/links",
    operation_id="create_link",
    summary="Sign a link",
    status_code=201,
    response_model=None,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/LinkRequest"}}}}
    },
    responses={201: {"model": SignedLink, "description": "The link"}, **failures(400, 404, 413, 415)},
)
async def create_link(execution_id: ExecutionId, request: Request, caller: CallerDep, parts: ServicesDep) -> Response:
    """Sign a link to one artifact that works without a key for at most fifteen minutes: for browsers, which cannot send keys."""
    execution = await parts.executions.find(caller, execution_id)
    with understood():
        wanted = LinkRequest.model_validate(await read_json(request))
    link = parts.links.sign(execution, wanted.artifact, seconds=wanted.expires_in_seconds)
    return JSONResponse({"url": link_url(link), "expires": link.until.isoformat().replace("+00:00", "Z")}, status_code=201)
