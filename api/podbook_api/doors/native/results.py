"""What an execution left, and how it is followed."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError

from podbook_api.doors.bodies import invalid_body, read_json
from podbook_api.doors.dependencies import CallerDep, ExecutionId, ServicesDep, failures, unread
from podbook_api.doors.event_stream import EventStream
from podbook_api.doors.native.documents import FileList, LinkRequest, SignedLink
from podbook_api.doors.native.paths import execution_path, link_url
from podbook_api.doors.native.readers import AccessDep, ReaderDep
from podbook_api.doors.problems import Code, ProblemError
from podbook_api.services.following import State, state_id
from podbook_api.services.results import Artifact
from podbook_core.store.keys import FILES_FOLDER

__all__ = ["SANDBOX", "artifact_response", "output_response", "router"]

router = APIRouter(prefix="/v1/executions/{execution_id}", tags=["results"])

SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)
"""Content-Security-Policy of everything a notebook made: it may run scripts that came with it, and reach nothing."""
_PRIVATE = "private, no-cache"
_OUTPUT = {"media_type": "application/json", "disposition": "inline"}
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not modified since If-None-Match"}}


def _binary(media_type: str) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}


def artifact_response(artifact: Artifact, *, media_type: str | None = None, disposition: str | None = None) -> Response:
    """A result as a response: untrusted, so sandboxed and never sniffed; files are for saving unless the caller says otherwise."""
    recorded = artifact.recorded
    filename = recorded.name.rpartition("/")[2]
    headers = {
        "Content-Security-Policy": SANDBOX,
        "Content-Disposition": disposition or f"attachment; filename*=UTF-8''{quote(filename)}",
        "Cache-Control": _PRIVATE,
        "ETag": _etag(artifact),
    }
    kind = media_type or recorded.media_type
    if isinstance(artifact.content, bytes):
        response = Response(artifact.content, headers=headers)
    else:
        headers["Content-Length"] = str(recorded.size)
        response = StreamingResponse(artifact.content, headers=headers)
    # Set by hand, so that nothing is added to what the record says.
    response.headers["Content-Type"] = kind if kind.isascii() and kind.isprintable() else "application/octet-stream"
    return response


async def read_artifact(
    request: Request, artifact: Artifact, *, media_type: str | None = None, disposition: str | None = None
) -> Response:
    """A result as the answer to a request to read it, unless the request's own conditions say that it need not be sent.

    Raises:
        ProblemError: 412.
    """
    kept = False
    try:
        answer = unread(request, _etag(artifact), _PRIVATE)
        kept = answer is None
        return answer or artifact_response(artifact, media_type=media_type, disposition=disposition)
    finally:
        if not kept and isinstance(artifact.content, AsyncGenerator):
            # Only a generator that has begun gives back what it holds when it is closed.
            await anext(artifact.content, b"")
            await artifact.content.aclose()


def _etag(artifact: Artifact) -> str:
    return f'"{artifact.recorded.sha256}"'


def output_response(output: Artifact | None) -> Response:
    """The output of a run that succeeded; null when the notebook saved none."""
    if output is None:
        return Response(b"null", media_type="application/json", headers={"Cache-Control": _PRIVATE})
    return artifact_response(output, **_OUTPUT)


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
    return output_response(None) if output is None else await read_artifact(request, output, **_OUTPUT)


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
    return await read_artifact(
        request, await parts.results.artifact(execution, "html"), media_type="text/html; charset=utf-8", disposition="inline"
    )


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
    return await read_artifact(
        request, await parts.results.artifact(execution, "report"), media_type="text/html; charset=utf-8", disposition="inline"
    )


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
        return Response(text, media_type="text/plain", headers={"Cache-Control": _PRIVATE})
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

    Ids derive from the state, so a stream can be resumed at any replica. It ends within seconds, without `end`, once the key or the link
    it was opened with is no longer good.
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
    """Make a link to one artifact that works without a key for at most fifteen minutes: for browsers, which cannot send keys."""
    execution = await parts.executions.find(caller, execution_id)
    try:
        wanted = LinkRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid_body(error) from None
    link = parts.links.sign(execution, wanted.artifact, seconds=wanted.expires_in_seconds)
    return JSONResponse({"url": link_url(link), "expires": link.until.isoformat().replace("+00:00", "Z")}, status_code=201)
