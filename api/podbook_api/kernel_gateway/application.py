"""The gateway as an ASGI application: routes of the notebooks' cells, and nothing else."""

import hashlib
import hmac
import json
import logging
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from podbook_api.doors.problems import ProblemError
from podbook_api.doors.requests.gateway_bodies import received, told
from podbook_api.doors.requests.preferences import etag_matches
from podbook_api.kernel_gateway.seed import Seed
from podbook_api.workers.pool import NoWorkerError
from podbook_api.workers.process import RequestTooLargeError
from podbook_core.http_notebook.annotations import METHODS
from podbook_core.http_notebook.documents import openapi_document, swagger_document
from podbook_core.http_notebook.messages import Run
from podbook_core.http_notebook.request import request_source
from podbook_core.http_notebook.response import HttpAnswer, answer_of
from podbook_core.http_notebook.routes import Match, PathNotTextError

__all__ = ["Gateway", "GatewaySettings"]

_log = logging.getLogger(__name__)
_HTML = "text/html; charset=UTF-8"
"""Of answers without a body, as it always was."""
_MAX_BODY = 100 * 1024 * 1024
_REASONS: Mapping[int, str] = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What holds for every request."""

    base: str = ""
    """Path before all routes, without a slash at its end."""
    token: str = field(default="", repr=False)
    """What requests must carry; empty where they need nothing."""
    cross_origin: Mapping[str, str] = field(default_factory=dict)
    """``Access-Control-…`` headers of every response."""
    seconds: float = 600
    """How long a request may take."""
    source: bool = False
    """Whether the notebook's file is served."""
    static: Path | None = None
    """A folder whose files are served."""


class Gateway:
    """The application. ``seeds`` are the notebooks by the path they are served below; they are replaced when their files change."""

    def __init__(self, settings: GatewaySettings, seeds: Mapping[str, Seed]) -> None:
        self._settings = settings
        self.seeds = dict(seeds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ProblemError as error:
            response = self._error(error.status, error.detail)
        except Exception:  # noqa: BLE001 - one request must not end the server, and its caller learns nothing of our inside
            _log.exception("a request could not be answered")
            response = self._error(500, "Unknown server error")
        for name, value in self._settings.cross_origin.items():
            response.headers[name] = value
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = str(request.scope.get("raw_path", b"").decode("latin-1")).partition("?")[0]
        if not path.startswith(self._settings.base):
            return self._error(404)
        path = path[len(self._settings.base) :]
        beside = self._beside(request.method, path)
        try:
            found = None if beside is not None else self._match(path)
        except PathNotTextError as error:
            return self._error(400, str(error)) if self._authorised(request) else self._error(401)
        if beside is None and found is None:
            return self._error(404)
        if request.method == "OPTIONS":
            return Response(status_code=200, headers={"Content-Type": _HTML})
        if not self._authorised(request):
            return self._error(401)
        if beside is not None:
            return await beside.answer()
        seed, match = found  # type: ignore[misc] # one of the two was found
        if request.method not in METHODS:
            return self._error(405)
        if request.method not in match.endpoint.handlers:
            return Response(status_code=405, headers={"Content-Type": _HTML})
        return await self._run(request, seed, match)

    async def _run(self, request: Request, seed: Seed, match: Match) -> Response:
        """Run the cells of an endpoint."""
        settings = self._settings
        async with received(request, limit=_MAX_BODY) as body:
            text = await told(request, body, path=match.path, files=body.files, hidden=frozenset({settings.token}))
            info = match.endpoint.responses.get(request.method)
            sources = [request_source(text, seed.language), match.endpoint.handlers[request.method], *([info] if info else [])]
            try:
                ran = await seed.pool.run(Run(sources, settings.seconds, quiet=1))
            except NoWorkerError as error:
                return self._error(503, str(error))
            except RequestTooLargeError as error:
                return self._error(413, str(error))
        if ran.lost is not None:
            _log.warning("%s %s: %s", request.method, match.endpoint.path, ran.lost)
            return self._error(504 if ran.late else 500, ran.lost)
        # Without its answer ResponseInfo was not reached: the handler raised.
        return _response(
            request,
            answer_of(
                ran.runs[1],
                ran.runs[2] if len(ran.runs) > 2 else None,
                accept=request.headers.get("accept", ""),
                alone=True,
            ),
        )

    def _match(self, path: str) -> tuple[Seed, Match] | None:
        for prefix, seed in sorted(self.seeds.items(), key=lambda item: -len(item[0])):
            if path == prefix or path.startswith(prefix + "/"):
                match = seed.routes.match(path[len(prefix) :])
                if match is not None:
                    return seed, match
        return None

    def _beside(self, method: str, path: str) -> "_Beside | None":
        """What is served beside the cells: documents, the file itself, static files."""
        for prefix, seed in self.seeds.items():
            make = self._document(seed, prefix, path.removeprefix(prefix)) if path.startswith(prefix + "/_api/") else None
            if make is not None:
                return _Beside(make if method in ("GET", "OPTIONS") else lambda: self._error(405))
        static = self._settings.static
        if static is not None and (path == "/public" or path.startswith("/public/")):
            return _Beside(lambda: self._static(static, unquote(path.removeprefix("/public/"))))
        return None

    def _document(self, seed: Seed, prefix: str, path: str) -> Callable[[], Response] | None:
        """What makes the document of a notebook at a path below it; None where there is none."""
        match path:
            case "/_api/spec/swagger.json":
                return lambda: _json(swagger_document(seed.cells, seed.name))
            case "/_api/spec/openapi.json":
                return lambda: _json(
                    openapi_document(seed.cells, seed.name, base=self._settings.base + prefix, token=bool(self._settings.token))
                )
            case "/_api/source" if self._settings.source:
                return lambda: Response(seed.path.read_bytes(), headers={"Content-Type": "application/octet-stream"})
            case _:
                return None

    def _static(self, folder: Path, relative: str) -> Response:
        root = folder.resolve()
        path = (root / relative).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return self._error(404)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return Response(path.read_bytes(), headers={"Content-Type": kind})

    def _authorised(self, request: Request) -> bool:
        token = self._settings.token
        if not token:
            return True
        given = request.query_params.get("token")
        if given is None:
            value = request.headers.get("authorization", "")
            given = value.removeprefix("token ") if value.startswith("token ") else ""
        return hmac.compare_digest(given.encode(), token.encode())

    def _error(self, status: int, message: str = "") -> Response:
        body = json.dumps({"reason": _REASONS.get(status, "Unknown HTTP Error"), "message": message})
        return Response(body, status, headers={"Content-Type": "application/json"})


@dataclass(frozen=True, slots=True)
class _Beside:
    make: Callable[[], Response]
    """Makes the response; may read a file."""

    async def answer(self) -> Response:
        response: Response = await anyio.to_thread.run_sync(self.make)
        return response


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), headers={"Content-Type": "application/json"})


def _response(request: Request, answer: HttpAnswer) -> Response:
    if answer.dropped:
        _log.warning("%s %s: headers were left out: %s", request.method, request.url.path, ", ".join(answer.dropped))
    if answer.problem is not None:
        _log.warning("%s %s: ResponseInfo: %s", request.method, request.url.path, answer.problem)
    headers = {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in answer.headers.items()}
    known = {name.lower() for name in headers}
    if answer.status == 200 and request.method == "GET" and "etag" not in known:
        headers["Etag"] = f'"{hashlib.sha1(answer.body, usedforsecurity=False).hexdigest()}"'
        if etag_matches(request.headers.get("if-none-match", ""), headers["Etag"]):
            return Response(
                status_code=304, headers={name: value for name, value in headers.items() if name.lower() != "content-type"}
            )
    if answer.status == 204:
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return Response(answer.body, answer.status, headers=headers)
