"""The API server as the backend speaks to it: what cannot be reached, or may not be done, is said in the backend's own errors."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

from podbook_api.backends.base import BackendUnavailableError, MissingRightError, QuotaExceededError
from podbook_cluster import errors
from podbook_cluster.api_server import ApiServer
from podbook_core.text.json_depth import parse_document, parse_without_parameters

__all__ = ["Connection"]

_SOON, _LATER = 5, 30
"""Seconds after which to try again, where the API server does not say: when it is unavailable, and when an administrator has to act first."""
_LONGEST_WAIT = 60


class Connection:
    """An :class:`ApiServer <podbook_cluster.api_server.ApiServer>`. Close it.

    Calls raise :class:`podbook_cluster.errors.AnsweredError`, :class:`QuotaExceededError`, :class:`MissingRightError`, and
    :class:`BackendUnavailableError` when the server cannot be reached or is overloaded.
    """

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    @classmethod
    async def connect(cls) -> Self:
        """Find the cluster. Nothing is sent to it yet.

        Raises:
            BackendUnavailableError: there is no usable configuration.
        """
        with _translated():
            return cls(await ApiServer.connect("podbook-api"))

    @property
    def address(self) -> str:
        """Where the API server is, as the configuration says."""
        return self._server.address

    async def aclose(self) -> None:
        """Close every connection."""
        await self._server.aclose()

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        parse: Callable[[bytes], Any] = parse_document,
    ) -> dict[str, Any]:
        """See :meth:`podbook_cluster.api_server.ApiServer.request`."""
        with _translated():
            return await self._server.request(method, path, body, query=query, parse=parse)

    @asynccontextmanager
    async def watch(self, path: str, *, version: str, seconds: int) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        """See :meth:`podbook_cluster.api_server.ApiServer.watch`; parameters of executions are left out."""
        with _translated():
            async with self._server.watch(path, version=version, seconds=seconds, parse=parse_without_parameters) as events:
                yield events


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except errors.QuotaUsedUpError as error:
        raise QuotaExceededError(error.quota, retry_after=_wait(error.retry_after, _LATER)) from error
    except errors.MissingRightError as error:
        raise MissingRightError(error.right, retry_after=_wait(error.retry_after, _LATER)) from error
    except errors.ClusterUnavailableError as error:
        raise BackendUnavailableError(str(error), retry_after=_wait(error.retry_after, _SOON)) from error


def _wait(said: float | None, otherwise: int) -> int:
    return max(min(int(said), _LONGEST_WAIT), 1) if said is not None else otherwise
