"""The HTTP server of both entry points: uvicorn, with bounds for what a client may hold open, and an access log without secrets."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from podbook_api.doors.problems import Code, ProblemError, problem_response
from podbook_api.middleware.errors_and_audit import SECURITY_HEADERS
from podbook_api.settings import ApiSettings

__all__ = ["ConnectionLimits", "redact_query", "server_config"]

_ACCESS_LOGGER = "uvicorn.access"
_MIN_BYTES_PER_SECOND = 4096
"""A body that comes more slowly than this holds memory, disk and a connection for what may never be complete."""
_QUERY_VALUE = re.compile(r"(?<==)[^&]*")
_QUERY_SHOWN = ("cursor", "dryRun", "input", "label", "limit", "notebook", "phase", "reason", "version", "view")
"""Query parameters of the API whose values the access log may show; all others may be secrets, meant or mistaken."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What clients may hold open."""

    connections: int
    """Most open connections; the next one is told to come again."""
    seconds: float
    """Seconds that the head of a request may take. Of a body, at least 4 KiB a second must come in any such time."""


def server_config(app: ASGIApp, settings: ApiSettings, *, access_log: bool = False, **options: Any) -> uvicorn.Config:
    """The configuration of the server of one process.

    Args:
        app: what is served.
        settings: of the process.
        access_log: log each request; query values that may be secrets are left out.
        options: further options of :class:`uvicorn.Config`.
    """
    limits = ConnectionLimits(settings.max_connections, settings.request_timeout_seconds)
    if access_log:
        logger = logging.getLogger(_ACCESS_LOGGER)
        if not any(isinstance(known, _RedactQueries) for known in logger.filters):
            logger.addFilter(_RedactQueries())
    return uvicorn.Config(app, http=_protocol(limits), log_config=None, access_log=access_log, server_header=False, **options)


def redact_query(target: str) -> str:
    """A request target for logs: values of query parameters are replaced by ``***``, except those known not to be secret. Pure."""
    path, mark, query = target.partition("?")
    shown = [
        item if item.partition("=")[0] in _QUERY_SHOWN else _QUERY_VALUE.sub("***", item, count=1) for item in query.split("&")
    ]
    return path + mark + "&".join(shown)


class _RedactQueries(logging.Filter):
    """Takes query values out of uvicorn's access lines, whose third argument is the request target."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args
        if isinstance(arguments, tuple):
            record.args = tuple(redact_query(item) if isinstance(item, str) and "?" in item else item for item in arguments)
        return True


def _protocol(limits: ConnectionLimits) -> type[H11Protocol]:
    """The protocol of one process' connections."""

    class Bounded(BoundedConnection):
        bounds = limits

    return Bounded


class BoundedConnection(H11Protocol):
    """One connection: closed when a request does not arrive in its time, refused where too many are open."""

    bounds: ConnectionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started = 0.0
        """When the head or the body that is being received began."""
        self._received = 0
        """Bytes of it since the last look."""
        self._held_back = False
        """Whether the application was slower than the client since then."""
        self._receiving: str | None = None
        self._check: Any = None

    @override
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()
        if len(self.connections) > self.bounds.connections:
            self._make_room()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_check()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        self._held_back = self._held_back or self.flow.read_paused
        self._watch()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(ProblemError(400, Code.INVALID_REQUEST, "the request is not valid HTTP"))

    def _make_room(self) -> None:
        """Close the connection that has been without a request for longest, so that a connection with a request is served; else this one.

        Otherwise clients that send nothing would keep out the probes of the cluster, and it would restart the server.
        """
        others = [item for item in self.connections if isinstance(item, BoundedConnection) and item is not self]
        waiting = [item for item in others if item.without_request and not item.transport.is_closing()]
        gives_way = min(waiting, key=lambda item: item.begun, default=self)
        if gives_way.between_requests:  # nothing was asked, so nothing is answered
            gives_way.transport.close()
        else:
            gives_way._refuse(  # noqa: SLF001 - of the same class
                ProblemError(
                    503, Code.TOO_MANY_CONNECTIONS, "too many connections are open; retry later", headers={"Retry-After": "1"}
                )
            )

    @property
    def between_requests(self) -> bool:
        """Whether a request has been answered, and none has begun since."""
        cycle: Any = self.cycle
        return cycle is not None and cycle.response_complete and self._receiving is None

    @property
    def without_request(self) -> bool:
        """Whether no request is being answered or has its head."""
        return self._receiving == "head" or self.between_requests

    @property
    def begun(self) -> float:
        """When what it is in now began, on the clock of the event loop."""
        return self._started

    def _watch(self) -> None:
        """Begin to time what is being received now, unless that has begun already."""
        now = self._what_is_received()
        if now == self._receiving or self.transport.is_closing():
            return
        self._stop_check()
        self._receiving, self._started, self._received, self._held_back = now, self.loop.time(), 0, False
        if now is not None:
            self._check = self.loop.call_later(self.bounds.seconds, self._check_time)

    def _what_is_received(self) -> str | None:
        """``head`` or ``body`` while one is awaited; between two requests uvicorn's own keep-alive time-out holds."""
        if self.conn.their_state is h11.SEND_BODY:
            return "body"
        cycle: Any = self.cycle  # None until the first request has come
        if self.conn.their_state is h11.IDLE and (cycle is None or self.conn.trailing_data[0]):
            return "head"
        return None

    def _check_time(self) -> None:
        """Close the connection, unless a body has come far enough since the last look: then look again as much later."""
        if self._receiving == "body" and (self._held_back or self._received >= _MIN_BYTES_PER_SECOND * self.bounds.seconds):
            self._received, self._held_back = 0, self.flow.read_paused
            self._check = self.loop.call_later(self.bounds.seconds, self._check_time)
            return
        what = "the head of the request" if self._receiving == "head" else "the request body"
        self._refuse(ProblemError(408, Code.REQUEST_TIMEOUT, f"{what} did not arrive in time"))

    def _stop_check(self) -> None:
        if self._check is not None:
            self._check.cancel()
            self._check = None

    def _refuse(self, problem: ProblemError) -> None:
        """Say why, where nothing has been said yet, and close the connection."""
        self._stop_check()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = problem_response(problem)
            headers: Mapping[str, str] = {
                **response.headers,
                **SECURITY_HEADERS,
                "Cache-Control": "no-store",
                "Connection": "close",
            }
            for event in (
                h11.Response(status_code=response.status_code, headers=list(headers.items())),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        cycle: Any = self.cycle  # None until the first request has come
        if cycle is not None and not cycle.response_complete:
            # The application learns that the client is gone; what it still sends goes nowhere.
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
