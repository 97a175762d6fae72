"""What happens around every request: no error leaves without a problem document, and each is measured, audited and hardened."""

import json
import logging
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from podbook_api.doors.door import entry_of
from podbook_api.doors.failures import door_response
from podbook_api.doors.problems import Code, ProblemError, is_stream
from podbook_api.metrics import Metrics
from podbook_core.json_logs import AUDIT_LOGGER

__all__ = ["SECURITY_HEADERS", "Exchange"]

_log = logging.getLogger(__name__)
_audit = logging.getLogger(AUDIT_LOGGER)
CLIENT_LEFT = 499
"""Status, in metrics and audit lines only, of a request whose caller left before it was complete."""
_MUTATING = ("POST", "PUT", "DELETE", "PATCH")
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""For every response that does not set them itself."""


def framing_problem(scope: Scope) -> ProblemError | None:
    """Why the end of a request cannot be told for sure; None when it can. Pure.

    A proxy that reads the other header than we do would take part of one caller's body for another's request (RFC 9112, section 6.1).
    The connection is closed, so that what follows is not read as a request.
    """
    names = [name for name, _ in scope["headers"]]
    if b"transfer-encoding" not in names:
        return None
    if b"content-length" in names:
        problem = "a request must not have both Transfer-Encoding and Content-Length"
    elif scope.get("http_version") == "1.0":
        problem = "a request of HTTP/1.0 must not have Transfer-Encoding"
    else:
        return None
    return ProblemError(400, Code.INVALID_REQUEST, problem, headers={"Connection": "close"})


class Exchange:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        # RFC 9110, section 9.3.2: HEAD is GET without the content. A stream of events has no end to be measured, so it has no HEAD.
        head = scope["method"] == "HEAD" and not is_stream(scope) and entry_of(scope).door.head
        if head:
            scope = {**scope, "method": "GET"}

        async def hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._audit(scope, status)
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                # What a route has to say with any answer, an error's too, which is made elsewhere.
                for name, value in scope.get("state", {}).get("answer_headers", {}).items():
                    headers.setdefault(name, value)
            await send({**message, "body": b""} if head and message["type"] == "http.response.body" else message)

        try:
            if (problem := framing_problem(scope)) is not None:
                await door_response(scope, problem)(scope, receive, hardened)
                return
            await self._app(scope, receive, hardened)
        except ClientDisconnect:
            # The client is gone, and nothing failed on this side.
            status = status or CLIENT_LEFT
            _log.info("the client disconnected before its request was complete: %s %s", scope["method"], _route(scope))
            self._audit(scope, status)
        except Exception as error:  # noqa: BLE001 - the last resort: every unexpected error becomes a problem document
            status = await self._internal(error, scope, receive, hardened, begun=status != 0)
        finally:
            self._observe(scope, status, time.perf_counter() - started)

    async def _internal(self, error: Exception, scope: Scope, receive: Receive, send: Send, *, begun: bool) -> int:
        """Log an unexpected error under an id, and send the caller only the id."""
        incident = secrets.token_hex(8)
        _log.error("internal error %s: %s %s", incident, scope["method"], _route(scope), exc_info=error)
        if begun:  # headers are out: break the connection, so that the client does not take a part for the whole
            raise error
        problem = ProblemError(
            500, Code.INTERNAL_ERROR, f"an internal error occurred; it is logged as incident {incident}", incident=incident
        )
        await door_response(scope, problem)(scope, receive, send)
        return 500

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = scope["method"], _route(scope)
        self._metrics.requests.labels(method if method in (*_MUTATING, "GET", "HEAD") else "other", route, str(status)).observe(
            seconds
        )

    def _audit(self, scope: Scope, status: int) -> None:
        """One line for each request that may change something, before its answer leaves; never bodies or keys."""
        if scope["method"] in _MUTATING:
            state = scope.get("state", {})
            line = {
                "key": state.get("caller"),
                "action": f"{scope['method']} {_route(scope)}",
                "target": scope.get("path_params", {}),
                "execution": state.get("execution"),
                "status": status,
            }
            _audit.info("%s", json.dumps({key: value for key, value in line.items() if value is not None}))


def _route(scope: Scope) -> str:
    """The template of the route, so that labels stay few whatever callers ask for."""
    return str(getattr(scope.get("route"), "path", None) or "(none)")
