"""Server-Sent Events as a response."""

import json
from collections.abc import AsyncIterator, Callable

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from podbook_api.services.following import Event

__all__ = ["EventStream"]

HEARTBEAT_SECONDS = 15


class EventStream(EventSourceResponse):
    """A stream that gives its place back when it ends, however that comes."""

    def __init__(self, events: AsyncIterator[Event], place: Callable[[], None]) -> None:
        super().__init__(_sent(events), ping=HEARTBEAT_SECONDS)
        self._give_back = place

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._give_back()


async def _sent(events: AsyncIterator[Event]) -> AsyncIterator[ServerSentEvent]:
    async for event in events:
        yield ServerSentEvent(data=json.dumps(event.data, ensure_ascii=False), event=event.kind, id=event.id)
