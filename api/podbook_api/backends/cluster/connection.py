"""The connection to a cluster's API server. The one module of the API that imports the Kubernetes client.

Documents go in and come out as plain dictionaries. The library finds the cluster and renews the credentials; the requests themselves go straight to aiohttp, since what the library does
around each of them costs as much processor time as the request.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, cast
from urllib.request import getproxies

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from podbook_api.backends.base import BackendUnavailableError, MissingRightError, QuotaExceededError
from podbook_core import __version__
from podbook_core.api_answers import Meaning, classify, message_of, missing_right
from podbook_core.text.json_depth import parse_document, parse_without_parameters

__all__ = ["ApiServer", "RefusedError", "in_cluster"]

_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_REQUEST = aiohttp.ClientTimeout(total=30, sock_connect=10)
_CONNECTIONS = 128
_LONGEST_LINE = 2**21
"""Half of the most that aiohttp buffers of a line: an object of a cluster has up to 1.5 MiB."""
_LARGE = 64 * 1024
_LOST = (TimeoutError, aiohttp.ClientError, OSError)
"""What can become of a connection."""
_QUIET_SECONDS = 100
"""A watch brings a bookmark every minute, so a connection that is silent for longer is a dead one."""


class RefusedError(Exception):
    """The API server answered with an error that trying again does not mend. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ApiServer:
    """The API server of the configuration in effect: the pod's service account, or ``$KUBECONFIG`` where that is set or there is none.

    Every call is bounded by a time-out. Calls raise :class:`RefusedError`, and :class:`BackendUnavailableError` when the server cannot
    be reached, is overloaded, or does not let this client in.
    """

    def __init__(self, configuration: Configuration, tls: Any) -> None:
        self._configuration = configuration
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=tls),
            # With it aiohttp looks for a proxy and into ~/.netrc before every request.
            trust_env=bool(getproxies()),
            read_bufsize=_LONGEST_LINE,
            headers={"Accept": "application/json", "User-Agent": f"podbook-api/{__version__}"},
        )

    @classmethod
    async def connect(cls) -> Self:
        """Find the cluster. Nothing is sent to it yet.

        Raises:
            BackendUnavailableError: there is no usable configuration.
        """
        configuration = Configuration()
        try:
            if in_cluster():
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the library's
            else:
                # The library reads $KUBECONFIG when it is imported; here it is read now.
                where = os.environ.get("KUBECONFIG")
                await load_kube_config(config_file=where, client_configuration=configuration)  # type: ignore[no-untyped-call]
            return cls(configuration, ApiClient(configuration).rest_client.ssl_context)
        except (ConfigException, OSError) as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - whatever YAML and wrong shapes in the file lead to, the library lets through
            why = f"the file is not understood ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        raise BackendUnavailableError(
            f"there is no usable configuration for a cluster: {why}; set KUBECONFIG, or run this in a pod"
        )

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
        parse: Callable[[bytes], Any] = parse_document,
    ) -> dict[str, Any]:
        """One request and its answer. A body of a ``PATCH`` is a merge patch. ``parse`` reads the answer: all of it by default."""
        response = await self._send(method, path, body, query, _REQUEST)
        data = await _read(response)
        if response.status < 300:
            return cast("dict[str, Any]", await _parsed(data, parse))
        raise _error(response, data)

    @asynccontextmanager
    async def watch(self, path: str, *, version: str, seconds: int) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """Follow a collection from a resource version on: its events, until the server ends the watch after ``seconds``.

        Parameters of executions are left out.

        Errors come when the watch begins, and from the iterator when it breaks off.
        """
        query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        limits = aiohttp.ClientTimeout(total=seconds + 20, sock_connect=10, sock_read=_QUIET_SECONDS)
        response = await self._send("GET", path, None, query, limits)
        try:
            if response.status != 200:
                raise _error(response, await _read(response))
            yield _events(response)
        finally:
            # Given up, not ended: a TLS farewell would outlive the event loop.
            connection = response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
            response.close()

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str] | None, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
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


def in_cluster() -> bool:
    """Whether this runs in a pod whose service account is to be used."""
    return _TOKEN.exists() and "KUBECONFIG" not in os.environ


async def _read(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except _LOST as error:
        raise _unreachable(error) from error


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Mapping[str, Any]]:
    try:
        async for line in response.content:
            yield await _parsed(line, parse_without_parameters)
    except (*_LOST, ValueError) as error:  # half a line, or one that never ends
        raise _unreachable(error) from error


async def _parsed(data: bytes, parse: Callable[[bytes], Any]) -> Any:
    """A document; a large one in a thread, so that it holds up nobody else."""
    return parse(data) if len(data) < _LARGE else await asyncio.to_thread(parse, data)


def _unreachable(error: Exception) -> BackendUnavailableError:
    return BackendUnavailableError(f"the API server cannot be reached ({type(error).__name__})")


def _error(response: aiohttp.ClientResponse, data: bytes) -> RefusedError | BackendUnavailableError | QuotaExceededError:
    reason, said = message_of(data)
    message = said[:500] or f"HTTP {response.status}"
    after = response.headers.get("Retry-After", "")
    wait = max(min(int(after), 60), 1) if after.isdecimal() else None
    match classify(response.status, reason, message):
        case Meaning.UNAVAILABLE:
            return BackendUnavailableError(f"the API server answers {response.status}: {message}", retry_after=wait or 5)
        case Meaning.NO_RIGHT:
            return MissingRightError(missing_right(message), retry_after=wait or 30)
        case Meaning.QUOTA:
            return QuotaExceededError(message.partition(" is forbidden: ")[2], retry_after=wait or 30)
        case _:
            return RefusedError(response.status, message)
