"""The size of request bodies, checked before and while they are read, so that no caller can fill memory or disk."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from podbook_api.doors.problems import Code, ProblemError, problem_response

__all__ = ["BodyLimit"]

_LARGE = ("multipart/form-data",)
_SMALL = ("application/json", "application/x-www-form-urlencoded", "text/json", "")


class BodyLimit:
    """ASGI middleware: JSON and plain forms get the small limit, files and notebooks the large one.

    A body that says its length is refused before a byte of it is read; one that does not is cut off where it passes the limit.
    """

    def __init__(self, app: ASGIApp, *, json_bytes: int, upload_bytes: int) -> None:
        self._app = app
        self._json, self._upload = json_bytes, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, with its body bounded."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        limit = self._json if media_type in _SMALL else self._upload
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            await problem_response(_too_large(limit))(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise _too_large(limit)
            return message

        await self._app(scope, limited, send)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        413,
        Code.BODY_TOO_LARGE,
        f"the request body is larger than {limit} bytes; send large data as input files (multipart/form-data)",
        headers={"Connection": "close"},
    )
