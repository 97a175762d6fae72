"""How kopf talks to the API server: with this program's own identity, and so that no object can end a watch of all of them.

Kopf parses what it receives by itself, and an object that this Python cannot parse, because it is nested thousands of levels deep, would
end the watch, again after every restart. So what is that deep is cut off before kopf sees it.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import kopf
from typing_extensions import override

from podbook_core.text.json_depth import cut_deep

__all__ = ["login"]


class _Lines:
    """The content of an answer of JSON lines, in whole lines none of which is too deep."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """As :meth:`aiohttp.StreamReader.iter_chunked`."""
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield b"\n".join(map(cut_deep, lines.split(b"\n"))) + newline
        if rest:
            yield cut_deep(rest)


class _Response(aiohttp.ClientResponse):
    """An answer whose JSON every Python can read."""

    @override
    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        await super().start(connection)
        self.content = cast("aiohttp.StreamReader", _Lines(self.content))
        return self

    @override
    async def json(self, **_: Any) -> Any:
        return json.loads(cut_deep(await self.read()))


@dataclass(frozen=True, kw_only=True)
class _Connection(kopf.AiohttpSession):
    """A login with its own session. Kopf compares logins, to give up one that was refused instead of trying it forever."""

    login: kopf.ConnectionInfo = field(repr=False)
    aiohttp_session: aiohttp.ClientSession = field(repr=False, compare=False)


async def login(**arguments: Any) -> kopf.AiohttpSession | None:
    """The service account's login in a pod, else that of the kubeconfig; None when there is neither."""
    found = kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)
    if found is None:
        return None
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
        headers=found.as_http_headers(),
        proxy=found.proxy_url,
        trust_env=found.trust_env,
        response_class=_Response,
    )
    return _Connection(
        server=found.server,
        priority=found.priority,
        default_namespace=found.default_namespace,
        expiration=found.expiration,
        login=found,
        aiohttp_session=session,
    )
