"""Where requests come in: each finds its door, and the services behind it, on its scope."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from podbook_api.doors.door import Door, Entry, door_at, taken_at_root
from podbook_api.doors.openapi import OpenApiDocuments
from podbook_api.services import audit
from podbook_api.services.bundle import Services

__all__ = ["Entrance"]


class Entrance:
    """ASGI middleware around everything that answers in the shape of a door.

    The scope is handed on to mounted applications, which have no part in the state of the one they are mounted in.

    Args:
        app: what is behind it.
        services: of the application.
        doors: those that are open.
        otherwise: the door of every path that is none of theirs.
        documents: the application's OpenAPI documents.
    """

    def __init__(
        self, app: ASGIApp, *, services: Services, doors: Sequence[Door], otherwise: Door, documents: OpenApiDocuments
    ) -> None:
        self._app = app
        self._doors = tuple(doors)
        taken = taken_at_root(self._doors)
        self._entries = {door.name: Entry(services, door, documents, taken) for door in (*doors, otherwise)}
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        self._entries[door_at(self._doors, path, otherwise=self._otherwise).name].put(scope)
        # What the services note for the audit log is the request's own state, which the audit line is made of.
        with audit.noting(scope.setdefault("state", {})):
            await self._app(scope, receive, send)
