"""The application: routes over services over one context. Nothing is global, so a process can hold several."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from podbook_api.doors import service as health
from podbook_api.doors.dependencies import Services
from podbook_api.doors.native import executions, notebooks, results, run
from podbook_api.doors.openapi import OpenApiDocuments
from podbook_api.doors.problems import HANDLERS
from podbook_api.metrics import Metrics
from podbook_api.middleware.exchange import Exchange
from podbook_api.middleware.local_only import LocalOnly
from podbook_api.services.catalogue import NotebookService
from podbook_api.services.context import Context
from podbook_api.services.create import Submitter
from podbook_api.services.executions import ExecutionService
from podbook_api.services.following import EventHub
from podbook_api.services.results import ResultService
from podbook_api.threads import Threads
from podbook_core import __version__

__all__ = ["create_app"]

_DESCRIPTION = """Notebooks as functions: every published notebook is one typed operation under `/v1/run/`.

Errors are problem documents (RFC 9457) with a stable `code`. Keys go into `Authorization: Bearer` or `X-API-Key`.
"""
STORE_THREADS = 32
CHECK_THREADS = 8


def create_app(context: Context, *, local_only: bool = False) -> FastAPI:
    """The ASGI application over a context. Its lifespan starts and stops the backend; the context's owner closes the rest.

    Args:
        context: what it stands on.
        local_only: whether it keeps away what web pages of others ask for (see :class:`LocalOnly`).
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await context.backend.start()
        try:
            yield
        finally:
            await services.events.close()
            await context.backend.stop()

    app = FastAPI(
        title="Podbook",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        exception_handlers=dict(HANDLERS),
        # A path with a slash too many is a mistake to be named, not a second address.
        redirect_slashes=False,
    )
    services = app.state.services = _services(context, app)
    for router in (notebooks.router, executions.router, run.router, results.router, health.router):
        app.include_router(router)
    app.mount(health.STATIC_PATH, StaticFiles(packages=[("fastapi_offline", "static")]), name="docs-assets")
    settings = context.settings
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "Prefer", "Idempotency-Key", "If-Match", "If-None-Match"],
            expose_headers=[
                "Location",
                "Link",
                "ETag",
                "Retry-After",
                "Podbook-Execution",
                "Preference-Applied",
                "Idempotency-Replayed",
            ],
        )
    if local_only:
        app.add_middleware(LocalOnly)
    # The outermost: whatever the others answer is hardened and measured as well.
    app.add_middleware(Exchange, metrics=services.metrics)
    return app


def _services(context: Context, app: FastAPI) -> Services:
    threads, checks = Threads(STORE_THREADS), Threads(CHECK_THREADS)

    def base() -> Mapping[str, Any]:
        return app.openapi()

    metrics = Metrics()
    notebook_service = NotebookService(context, threads=threads, checks=checks)
    execution_service = ExecutionService(context, threads=threads)
    result_service = ResultService(context, execution_service, threads=threads)
    return Services(
        context=context,
        notebooks=notebook_service,
        submitter=Submitter(context, notebook_service, execution_service, threads=threads, checks=checks),
        executions=execution_service,
        results=result_service,
        events=EventHub(context.backend, execution_service, result_service, open_streams=metrics.streams),
        documents=OpenApiDocuments(base, anonymous=not context.keys.required),
        metrics=metrics,
    )
