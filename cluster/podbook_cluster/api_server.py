"""Requests to the API server of a cluster, and watches.

Documents go in and come out as plain dictionaries. The library finds the cluster and renews the credentials; the requests themselves go straight to aiohttp, since what the library does
around each of them costs as much processor time as the request.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, cast
from urllib.request import getproxies

import aiohttp

from podbook_cluster.configuration import Configuration, find_configuration, tls_of
from podbook_cluster.errors import ClusterError, ClusterUnavailableError, error_from_answer
from podbook_core import __version__
from podbook_core.text.json_depth import parse_document

__all__ = ["ApiServer"]

_JSON = "application/json"
_REQUEST = aiohttp.ClientTimeout(total=30, sock_connect=10)
_CONNECTIONS = 128
_LONGEST_LINE = 2**21
"""Half of the most that aiohttp buffers of a line: an object of a cluster has up to 1.5 MiB."""
_LARGE = 64 * 1024
_LOST = (TimeoutError, aiohttp.ClientError, OSError)
"""What can become of a connection."""
_QUIET_SECONDS = 100
"""A watch brings a bookmark every minute, so a connection that is silent for longer is a dead one."""


class ApiServer:
    """The API server of a configuration; :meth:`connect` takes the one in effect. Close it.

    Every call is bounded by a time-out, and raises the errors of :mod:`podbook_cluster.errors`.
    """

    def __init__(self, configuration: Configuration, program: str) -> None:
        self._configuration = configuration
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=tls_of(configuration)),
            # With it aiohttp looks for a proxy and into ~/.netrc before every request.
            trust_env=bool(getproxies()),
            read_bufsize=_LONGEST_LINE,
            headers={"User-Agent": f"{program}/{__version__}"},
        )

    @classmethod
    async def connect(cls, program: str) -> Self:
        """Find the cluster. Nothing is sent to it yet.

        Args:
            program: who calls, for the User-Agent header: ``podbook-api``.

        Raises:
            NoClusterError: there is no usable configuration.
        """
        return cls(await find_configuration(), program)

    @property
    def address(self) -> str:
        """Where it is, as the configuration says."""
        return str(self._configuration.host)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
        parse: Callable[[bytes], Any] = parse_document,
    ) -> dict[str, Any]:
        """One request and its answer.

        Args:
            method: the HTTP method; a body of a ``PATCH`` is a merge patch.
            path: with the API group, from the slash.
            body: sent as JSON.
            query: parameters of the query.
            accept: the media type asked for, such as that of objects' metadata alone.
            parse: reads the answer, all of it by default.
        """
        response = await self._send(method, path, body, query=query, limits=_REQUEST, accept=accept)
        data = await _read(response)
        if response.status < 300:
            return cast("dict[str, Any]", await _parsed(data, parse))
        raise _error(response, data)

    @asynccontextmanager
    async def watch(
        self, path: str, *, version: str, seconds: int, parse: Callable[[bytes], Any] = parse_document
    ) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Follow a collection from a resource version on: its events, until the server ends the watch after ``seconds``.

        ``parse`` reads an event: all of it by default.

        Errors come when the watch begins, and from the iterator when it breaks off.
        """
        query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        limits = aiohttp.ClientTimeout(total=seconds + 20, sock_connect=10, sock_read=_QUIET_SECONDS)
        response = await self._send("GET", path, None, query=query, limits=limits)
        try:
            if response.status != 200:
                raise _error(response, await _read(response))
            yield _events(response, parse)
        finally:
            # Given up, not ended: a TLS farewell would outlive the event loop.
            connection = response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
            response.close()

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        query: Mapping[str, str] | None,
        limits: aiohttp.ClientTimeout,
        accept: str = _JSON,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Content-Type": "application/merge-patch+json" if method == "PATCH" else _JSON}
        # A service account's token is read again every minute.
        token = await self._configuration.get_api_key_with_prefix("BearerToken", "authorization")
        if token is not None:
            headers["Authorization"] = token
        try:
            return await self._session.request(
                method,
                self.address + path,
                params=query,
                data=None if body is None else json.dumps(body, separators=(",", ":")).encode(),
                headers=headers,
                timeout=limits,
                proxy=self._configuration.proxy or None,
                proxy_headers=self._configuration.proxy_headers,
                server_hostname=self._configuration.tls_server_name or None,
            )
        except _LOST as error:
            raise _unreachable(error) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except _LOST as error:
        raise _unreachable(error) from error


async def _events(response: aiohttp.ClientResponse, parse: Callable[[bytes], Any]) -> AsyncIterator[Mapping[str, Any]]:
    try:
        async for line in response.content:
            yield await _parsed(line, parse)
    except (*_LOST, ValueError) as error:  # half a line, or one that never ends
        raise _unreachable(error) from error


async def _parsed(data: bytes, parse: Callable[[bytes], Any]) -> Any:
    """A document; a large one in a thread, so that it does not block other calls."""
    return parse(data) if len(data) < _LARGE else await asyncio.to_thread(parse, data)


def _unreachable(error: Exception) -> ClusterUnavailableError:
    return ClusterUnavailableError(f"the API server cannot be reached ({type(error).__name__})")


def _error(response: aiohttp.ClientResponse, data: bytes) -> ClusterError:
    return error_from_answer(response.status, data, response.headers.get("Retry-After"))
