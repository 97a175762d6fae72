"""Keeps web pages away from a server without keys.

Such a server trusts every client that can reach it. A browser on the same machine can, and it runs pages of strangers: by a form or a script sent
to ``127.0.0.1``, or by a name of theirs that resolves to it (DNS rebinding), a page could run notebooks. So the Host must be a name of this
machine, and a request that a browser sends for a page of another origin may change nothing.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from podbook_api.doors.failures import door_response
from podbook_api.doors.problems import Code, ProblemError
from podbook_api.loopback import is_loopback

__all__ = ["LocalOnly", "refusal"]

_SAFE = ("GET", "HEAD", "OPTIONS")


def refusal(method: str, host: str, origin: str | None) -> tuple[int, str, str] | None:
    """Why a request is not served, as status, code and sentence; None when it is. Pure.

    Args:
        method: the request's.
        host: its Host header.
        origin: its Origin header, which browsers send along with what a page asks for.
    """
    if not is_loopback(_hostname(f"//{host}")):
        return 421, Code.MISDIRECTED_REQUEST, "this server answers only to names of its own machine, such as localhost"
    if method not in _SAFE and origin is not None and origin != f"http://{host}":
        return 403, Code.CROSS_ORIGIN_REFUSED, f"a page of {origin[:100]} is not allowed to do this on a server without keys"
    return None


class LocalOnly:
    """ASGI middleware that answers requests which :func:`refusal` refuses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refused = refusal(scope["method"], headers.get("host", ""), headers.get("origin"))
            if refused is not None:
                await door_response(scope, ProblemError(*refused))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
