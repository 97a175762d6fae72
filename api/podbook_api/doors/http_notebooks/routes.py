"""The one route of this door: a request is matched with a notebook's cells, and becomes an execution that its caller waits for."""

import hashlib
from pathlib import Path

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request, Response

from podbook_api.auth.keys import Caller
from podbook_api.doors.answers.outcomes import short_exception
from podbook_api.doors.dependencies import CallerDep, IdempotencyKey, PreferredWait, ServicesDep
from podbook_api.doors.door import entry_of
from podbook_api.doors.http_notebooks.errors import refusal
from podbook_api.doors.requests.bodies import understood
from podbook_api.doors.requests.credentials import BASIC, presented
from podbook_api.doors.requests.gateway_bodies import Received, received, told
from podbook_api.services.bundle import Services
from podbook_api.services.catalogue import Broken
from podbook_api.services.creation.creator import CreateRequest, Upload
from podbook_api.services.errors import NotebookBrokenError, NotebookNotFoundError, ResultChangedError
from podbook_api.services.results import whole
from podbook_core.execution.model import HttpCall, InputFile, NotebookExecution, NotebookRef, Outputs, Spec
from podbook_core.execution.reasons import REASONS
from podbook_core.execution.transitions import is_settled
from podbook_core.http_notebook.annotations import Endpoint
from podbook_core.http_notebook.request import UploadedFile
from podbook_core.http_notebook.response import HttpAnswer, stored_answer
from podbook_core.http_notebook.routes import Match, PathNotTextError, Routes
from podbook_core.text.digests import sha256_hex

__all__ = ["PREFIX", "router"]

PREFIX = "/http"
router = APIRouter(include_in_schema=False)
WAIT_SECONDS = 120
"""How long a caller waits who does not say."""
_MAX_PATH = 2048
_MAX_TEXT = 16 * 1024**2
"""Most bytes of a body, or of a form without its files: they become text, escaped several times on their way to the notebook."""
SANDBOX = "sandbox allow-scripts allow-forms"
"""Content-Security-Policy of what notebooks answer: its pages may run scripts and send forms, as an origin of their own."""


@router.api_route(PREFIX + "/{rest:path}", methods=["GET", "PUT", "POST", "DELETE"])
async def answer(
    *, request: Request, caller: CallerDep, parts: ServicesDep, key: IdempotencyKey, preferred: PreferredWait
) -> Response:
    """Answer a request with annotated cells of a notebook."""
    raw_path = request.scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
    segment, slash, rest = raw_path.removeprefix(PREFIX + "/").partition("/")
    name = await parts.notebooks.named(segment)
    if name is None or not slash:
        return refusal(404)
    try:
        match = await _match(parts, caller, name, "/" + rest)
    except PathNotTextError as error:
        return refusal(400, str(error))
    if match is None:
        return refusal(404)
    if request.method not in match.endpoint.handlers:
        return Response(status_code=405, headers={"Content-Type": "text/html; charset=UTF-8"})
    parts.runs.permit(caller, name)
    limit = parts.context.settings.max_upload_bytes
    async with received(request, limit=limit, texts=_MAX_TEXT) as body:
        uploads, files = await _uploads(body)
        text = (await told(request, body, path=match.path, files=files, hidden=_keys(request))).encode()
        with understood():
            call = HttpCall.model_validate(
                {
                    "method": request.method,
                    "route": match.endpoint.path,
                    "path": ("/" + rest)[:_MAX_PATH],
                    "sha256": sha256_hex(text),
                }
            )
            spec = Spec(
                notebook=NotebookRef(name=name),
                parameters={},
                request=call,
                inputs=[item.file for item in uploads],
                outputs=Outputs(html=False, report=False),
            )
        creation = await parts.runs.create(caller, CreateRequest(spec, {}, uploads, key, request=text))
    creation = await parts.runs.settled(creation, WAIT_SECONDS if preferred is None else preferred)
    execution = creation.execution
    headers = {"Podbook-Execution": execution.name}
    if not is_settled(execution):
        late = f"the execution {execution.name} goes on; its end is not waited for any longer"
        return refusal(504, late, {**headers, "Retry-After": "5"})
    return await _answer(parts, execution, headers)


@router.options(PREFIX + "/{rest:path}")
async def options() -> Response:
    """The gateway answers OPTIONS with nothing, whoever asks."""
    return Response(status_code=200)


@router.api_route(PREFIX + "/{rest:path}", methods=["PATCH", "HEAD"])
async def other() -> Response:
    """No cell can answer another method."""
    return refusal(405)


async def _match(parts: Services, caller: Caller, name: str, path: str) -> Match | None:
    """What answers a path of a notebook; None where nothing does, or the caller may not know of the notebook."""
    try:
        found = await parts.notebooks.look(caller, name)
    except NotebookNotFoundError:
        return None
    if isinstance(found, Broken):
        raise NotebookBrokenError(name, found.problem)
    endpoints = found.info.endpoints if found.info is not None else ()
    return Routes([Endpoint(route, dict.fromkeys(methods, "")) for route, methods in endpoints]).match(path)


def _keys(request: Request) -> frozenset[str]:
    """Every key that the request carries in any way, used or not: none of them is the notebook's business."""
    keys = {key for item in entry_of(request.scope).door.credentials if (key := item.read(request))}
    authorized = request.headers.get("authorization", "").partition(" ")[2].strip()
    if keys & {authorized} or presented(request, (BASIC,)) is not None:
        keys.add(authorized)  # of Basic the text around the key as well, which is how it is sent
    return frozenset(keys)


async def _uploads(body: Received) -> tuple[list[Upload], list[UploadedFile]]:
    """The uploaded files as input files, named by their number; REQUEST says which is which."""
    uploads, files = [], []
    for number, item in enumerate(body.files):
        name, path = f"upload-{number}", Path(item.path)
        digest = await anyio.to_thread.run_sync(_digest, path)
        media_type = item.content_type if len(item.content_type) <= 128 else "application/octet-stream"
        file = InputFile(name=name, sha256=digest, size=path.stat().st_size, media_type=media_type)  # noqa: ASYNC240 - one call
        uploads.append(Upload(file, path))
        files.append(UploadedFile(item.name, item.filename, item.content_type, name))
    return uploads, files


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _answer(parts: Services, execution: NotebookExecution, headers: dict[str, str]) -> Response:
    """What the cells answered; of a run that gave no answer, why."""
    stored = await parts.results.response(execution)
    if stored is None:
        status = REASONS[execution.status.reason].http_status
        return refusal(max(status, 500), short_exception(execution) or "the notebook gave no answer", headers)
    document, body = stored
    try:
        told: HttpAnswer = stored_answer(await whole(document), await whole(body))
    except ValueError as error:
        raise ResultChangedError(document.recorded.name) from error
    own = {**headers, "Content-Security-Policy": SANDBOX, "Cache-Control": "no-store"}
    taken = {name.lower() for name in own}
    kept = {
        name: value.encode("latin-1", "replace").decode("latin-1")
        for name, value in told.headers.items()
        if name.lower() not in taken
    }
    return Response(told.body, told.status, {**kept, **own})
