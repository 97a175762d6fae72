"""Whether the service lives and is ready, its metrics, and its documentation. None of these needs a key."""

import base64
import contextlib
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Awaitable

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from podbook_api.auth.keys import Caller
from podbook_api.backends.base import BackendUnavailableError
from podbook_api.doors.dependencies import DocumentsDep, ServicesDep
from podbook_api.doors.door import Door
from podbook_api.doors.native.problems import problem_answer
from podbook_api.doors.openapi import NotebookSchema
from podbook_api.doors.requests.credentials import BEARER, X_API_KEY, presented
from podbook_api.services.bundle import Services

__all__ = ["SERVICE", "STATIC_PATH"]

router = APIRouter(include_in_schema=False)
STATIC_PATH = "/docs-assets"
CHECK_SECONDS = 5.0
_log = logging.getLogger(__name__)
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def page_policy(page: str) -> str:
    """The Content-Security-Policy of a page of this service's own origin. Pure.

    What such a page shows comes from contracts, so no script may run but the service's own files and the inline scripts that the page had
    when it left, by their hashes.
    """
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in _INLINE_SCRIPT.findall(page)]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
        "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _own_page(page: str) -> HTMLResponse:
    return HTMLResponse(page, headers={"Content-Security-Policy": page_policy(page)})


@router.get("/")
async def root() -> JSONResponse:
    """A fixed answer that says the service is there."""
    return JSONResponse({"message": "OK", "status-code": 200, "data": {}})


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(parts: ServicesDep) -> JSONResponse:
    """Store and backend can be used. What is wrong is only named here, and described in the log, since this needs no key."""
    problems = [
        name for name, check in (("store", _store(parts)), ("backend", parts.context.backend.check())) if await _fails(name, check)
    ]
    if parts.context.keys.problem is not None:
        # The keys read before stay in force, so requests can be served: said, but no reason to take the service away.
        return JSONResponse(
            {"status": "unavailable" if problems else "ok", "problems": [*problems, "keys file"]}, 503 if problems else 200
        )
    return JSONResponse({"status": "unavailable", "problems": problems}, 503) if problems else JSONResponse({"status": "ok"})


async def _store(parts: Services) -> None:
    await anyio.to_thread.run_sync(parts.context.store.check, abandon_on_cancel=True)


async def _fails(name: str, check: Awaitable[None]) -> bool:
    try:
        with anyio.fail_after(CHECK_SECONDS):
            await check
    except Exception as error:  # noqa: BLE001 - whatever it is, the part is not ready
        _log.warning("not ready: %s: %s", name, str(error) or type(error).__name__)
        return True
    return False


@router.get("/metrics")
async def metrics(parts: ServicesDep) -> Response:
    """Metrics for Prometheus: counts, never names or ids. What is not known while the backend is away is left out."""
    parts.metrics.live.clear()
    with contextlib.suppress(BackendUnavailableError):
        for reason, number in Counter(execution.status.reason for execution in await parts.context.backend.live()).items():
            parts.metrics.live.labels(str(reason)).set(number)
    return Response(parts.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@router.get("/openapi.json")
async def openapi(request: Request, parts: ServicesDep, documents: DocumentsDep) -> Response:
    """The document with every notebook the caller may see; without a key, where keys are needed, only what is not secret."""
    caller = parts.context.keys.caller(presented(request, SERVICE.credentials), now=parts.context.clock()) or Caller(None, ())
    notebooks = await parts.notebooks.ready(caller)
    return Response(
        documents.whole([NotebookSchema.of(item) for item in notebooks if item.problem is None]), media_type="application/json"
    )


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Swagger UI, from files that come with the service: no other host is asked."""
    base = request.scope.get("root_path", "")
    page = get_swagger_ui_html(
        openapi_url=f"{base}/openapi.json",
        title="Podbook API",
        swagger_js_url=f"{base}{STATIC_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{base}{STATIC_PATH}/swagger-ui.css",
        swagger_favicon_url=f"{base}{STATIC_PATH}/favicon.png",
    )
    return _own_page(bytes(page.body).decode())


@router.get("/redoc")
async def redoc(request: Request) -> Response:
    """ReDoc, from files that come with the service."""
    base = request.scope.get("root_path", "")
    page = get_redoc_html(
        openapi_url=f"{base}/openapi.json",
        title="Podbook API",
        redoc_js_url=f"{base}{STATIC_PATH}/redoc.standalone.js",
        redoc_favicon_url=f"{base}{STATIC_PATH}/favicon.png",
        with_google_fonts=False,
    )
    # Contracts are untrusted: without this, ReDoc puts the HTML of their descriptions into the page as it is.
    return _own_page(bytes(page.body).decode().replace("<redoc ", '<redoc untrusted-spec="true" ', 1))


SERVICE = Door(
    name="service",
    paths=("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/redoc", STATIC_PATH),
    problem=problem_answer,
    credentials=(BEARER, X_API_KEY),
    routers=(router,),
)
"""Open in every application, and the door of every path that does not belong to another one."""
