"""The application: routes over services over one context. Nothing is global, so a process can hold several."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.cors import CORSMiddleware

from podbook_api.doors.door import Door
from podbook_api.doors.failures import HANDLERS
from podbook_api.doors.native.door import NATIVE
from podbook_api.doors.openapi import OpenApiDocuments
from podbook_api.doors.service import SERVICE, STATIC_PATH
from podbook_api.middleware.entrance import Entrance
from podbook_api.middleware.errors_and_audit import Exchange
from podbook_api.middleware.local_only import LocalOnly
from podbook_api.services.bundle import Services
from podbook_api.services.context import Context
from podbook_core import __version__

__all__ = ["create_app"]

_DESCRIPTION = """Notebooks as functions: every published notebook is one typed operation under `/v1/run/`.

Errors are problem documents (RFC 9457) with a stable `code`. Keys go into `Authorization: Bearer` or `X-API-Key`.
"""


def create_app(context: Context, doors: Sequence[Door] = (NATIVE,), *, local_only: bool = False) -> FastAPI:
    """The ASGI application over a context. Its lifespan starts and stops the backend; the context's owner closes the rest.

    Args:
        context: what it stands on.
        doors: those that are open, besides the one for health and documentation, which always is.
        local_only: whether it keeps away what web pages of others ask for (see :class:`LocalOnly`).
    """
    services = Services.over(context)
    opened = (*doors, SERVICE)

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
    for door in opened:
        for router in door.routers:
            app.include_router(router)
    app.mount(STATIC_PATH, StaticFiles(packages=[("fastapi_offline", "static")]), name="docs-assets")
    for door in opened:
        for path, mounted in door.mounts.items():
            app.mount(path, mounted, name=door.name)
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
    # Around the others: whatever they answer is hardened and measured as well, in the shape of the door that the entrance has found.
    app.add_middleware(Exchange, metrics=services.metrics)
    documents = OpenApiDocuments(app.openapi, anonymous=not context.keys.required, parts=[door.part for door in doors])
    app.add_middleware(Entrance, services=services, doors=opened, otherwise=SERVICE, documents=documents)
    return app
