"""Executions as NotebookExecution resources of a Kubernetes cluster. The one module of the API that imports the Kubernetes client.

Each replica keeps one watch, whose events feed a cache; whoever waits for an execution waits for the cache, never for the API server.
A single execution that has not ended is read live: another replica may have changed it a moment ago.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from pydantic import ValidationError

from podbook_api.backends.base import (
    AlreadyExistsError,
    BackendError,
    BackendUnavailableError,
    InvalidExecutionError,
    QueueFullError,
    StillActiveError,
)
from podbook_api.backends.live import LiveExecutions, version_number
from podbook_core import API_GROUP, API_VERSION, PLURAL
from podbook_core.model import NotebookExecution

__all__ = ["KubernetesBackend"]

_LOG = logging.getLogger("podbook.kubernetes")
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_REQUEST = aiohttp.ClientTimeout(total=30, sock_connect=10)
_WATCH_SECONDS = 240
# The server ends a watch after 240 s; bookmarks come every minute, so that a silent connection is a dead one.
_WATCH = aiohttp.ClientTimeout(total=_WATCH_SECONDS + 20, sock_connect=10, sock_read=100)
_PAGE = "500"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_FIRST_LIST_SECONDS = 10.0
_TOLERATED_SECONDS = 30.0
"""How long the watch may be away before lists are refused for being old."""
_CONFLICTS = 5


class _RefusedError(Exception):
    """The API server answered with an error that trying again does not mend."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubernetesBackend:
    """The :class:`~podbook_api.backends.base.ExecutionBackend` of a cluster; an operator turns the resources into runs.

    Finds the cluster by the pod's service account, or by ``$KUBECONFIG`` where that is set or there is no service account.

    Args:
        namespace: where the executions live.
        max_queued: how many may wait, counted in the whole namespace.
    """

    def __init__(self, namespace: str, *, max_queued: int = 1000) -> None:
        self._namespace = namespace
        self._max_queued = max_queued
        self._path = f"/apis/{API_GROUP}/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
        self._api: ApiClient | None = None
        self._live = LiveExecutions()
        self._creating = 0
        self._follower: asyncio.Task[None] | None = None
        self._listed = asyncio.Event()
        self._lost_at: float | None = None
        self._trouble = "the executions have not been listed yet"

    async def start(self) -> None:
        """Connect and begin to watch. An API server that is away is waited for by the requests that need it, not here.

        Raises:
            BackendUnavailableError: there is no usable configuration.
        """
        self._api = await _client()
        self._follower = asyncio.create_task(self._follow(), name="watch of NotebookExecutions")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._listed.wait(), _FIRST_LIST_SECONDS)

    async def probe(self) -> None:
        """Whether there is a usable configuration and, unless this runs in a pod, an API server that answers. Instead of :meth:`start`.

        In a pod an API server that is away will be back, and until then ended executions can be read. On a terminal it is a mistake in
        the configuration, which its user should see at once.

        Raises:
            BackendUnavailableError: there is not; one line that says what to mend.
        """
        async with await _client() as self._api:
            if _in_cluster():
                return
            try:
                await self._request("GET", self._path, query={"limit": "1"})
            except BackendUnavailableError as error:
                raise BackendUnavailableError(f"{self._api.configuration.host}: {error}") from error
            except _RefusedError:
                pass  # it answers; /readyz says what is missing

    async def stop(self) -> None:
        """Stop watching and end every follower. Executions go on: they are the operator's."""
        self._live.close()
        if self._follower is not None:
            self._follower.cancel()
            with suppress(asyncio.CancelledError):
                await self._follower
        if self._api is not None:
            await self._api.close()  # type: ignore[no-untyped-call] # the library's

    async def create(self, execution: NotebookExecution) -> NotebookExecution:
        """See :meth:`ExecutionBackend.create <podbook_api.backends.base.ExecutionBackend.create>`."""
        self._check_fresh()
        waiting = self._live.waiting() + self._creating
        if waiting >= self._max_queued:
            raise QueueFullError(waiting, self._max_queued, retry_after=5)
        document = execution.document()
        metadata = {key: document["metadata"][key] for key in ("name", "labels", "annotations") if document["metadata"].get(key)}
        body = {**document, "metadata": {**metadata, "namespace": self._namespace}}
        body.pop("status", None)
        self._creating += 1
        try:
            return self._live.learn(_parsed(await self._request("POST", self._path, body)))
        except _RefusedError as error:
            if error.status == 409:
                raise AlreadyExistsError(await self._read(execution.name)) from error
            if error.status == 404:
                raise BackendUnavailableError(f"the cluster is not set up for executions: {error}") from error
            raise InvalidExecutionError(str(error)) from error
        finally:
            self._creating -= 1

    async def get(self, name: str) -> NotebookExecution | None:
        """See :meth:`ExecutionBackend.get <podbook_api.backends.base.ExecutionBackend.get>`."""
        known = self._live.get(name)
        if known is not None and known.status.terminal and self._is_fresh():
            return known  # an end never changes
        return await self._read(name)

    async def live(self) -> list[NotebookExecution]:
        """See :meth:`ExecutionBackend.live <podbook_api.backends.base.ExecutionBackend.live>`."""
        self._check_fresh()
        return self._live.all()

    async def cancel(self, name: str) -> NotebookExecution | None:
        """See :meth:`ExecutionBackend.cancel <podbook_api.backends.base.ExecutionBackend.cancel>`."""
        known = await self.get(name)
        if known is None or known.status.terminal or known.spec.cancel:
            return known
        try:
            patched = await self._request("PATCH", f"{self._path}/{name}", {"spec": {"cancel": True}})
        except _RefusedError as error:
            if error.status == 404:
                self._live.forget(name, known.uid, version_number(known.metadata.resource_version))
                return None
            raise BackendError(f"the cluster refuses to cancel {name}: {error}") from error
        return self._live.learn(_parsed(patched))

    async def remove(self, name: str, uid: str) -> None:
        """See :meth:`ExecutionBackend.remove <podbook_api.backends.base.ExecutionBackend.remove>`."""
        for _ in range(_CONFLICTS):
            known = await self._read(name)
            if known is None or known.uid != uid:
                return
            if not known.status.terminal:
                raise StillActiveError(f"{name} has not ended")
            preconditions = {"uid": uid, "resourceVersion": known.metadata.resource_version}
            try:
                await self._request(
                    "DELETE", f"{self._path}/{name}", {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
                )
            except _RefusedError as error:
                if error.status == 409:
                    continue  # changed since it was read
                if error.status != 404:
                    raise BackendError(f"the cluster refuses to remove {name}: {error}") from error
            self._live.forget(name, uid, version_number(known.metadata.resource_version))
            return
        raise BackendUnavailableError(f"{name} keeps changing while it is being removed", retry_after=1)

    @asynccontextmanager
    async def watch(self, name: str) -> AsyncIterator[AsyncIterator[NotebookExecution]]:
        """See :meth:`ExecutionBackend.watch <podbook_api.backends.base.ExecutionBackend.watch>`."""
        with self._live.following(name) as changed:
            await self.get(name)  # learns what the watch has not told yet
            yield self._live.states(name, changed)

    async def check(self) -> None:
        """See :meth:`ExecutionBackend.check <podbook_api.backends.base.ExecutionBackend.check>`."""
        self._check_fresh()
        try:
            await self._request("GET", self._path, query={"limit": "1"})
        except _RefusedError as error:
            raise BackendUnavailableError(f"the cluster refuses to list executions: {error}") from error

    def _is_fresh(self) -> bool:
        """Whether the cache is as new as the watch can make it, give or take a short interruption."""
        lost = self._lost_at
        if self._follower is None or self._follower.done():
            return False
        return self._listed.is_set() and (lost is None or asyncio.get_running_loop().time() - lost < _TOLERATED_SECONDS)

    def _check_fresh(self) -> None:
        if not self._is_fresh():
            raise BackendUnavailableError(f"the cluster cannot be followed: {self._trouble}")

    async def _read(self, name: str) -> NotebookExecution | None:
        known = self._live.get(name)
        try:
            raw = await self._request("GET", f"{self._path}/{name}")
        except _RefusedError as error:
            if error.status != 404:
                raise BackendUnavailableError(f"the cluster refuses to read {name}: {error}") from error
            if known is not None:
                self._live.forget(name, known.uid, version_number(known.metadata.resource_version))
            return None
        found = _parse(raw)
        return None if found is None else self._live.learn(found)

    async def _follow(self) -> None:
        """List once, then watch for ever: from where the last watch ended, or from a new list when that is too long ago."""
        version: str | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                if version is None:
                    version = await self._list()
                async with aclosing(self._events(version)) as events:
                    async for event in events:
                        pause = _FIRST_PAUSE
                        version = self._apply(event)
            except (_RefusedError, BackendUnavailableError, ValueError, KeyError, TypeError) as error:
                if isinstance(error, _RefusedError) and error.status == 410:
                    version = None
                    _LOG.info("the watch fell behind; listing all executions again")
                else:
                    self._lost(str(error) if isinstance(error, _RefusedError | BackendUnavailableError) else repr(error))
            # After an orderly end, too: a server that ends every watch at once must not be asked without a pause.
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _lost(self, trouble: str) -> None:
        self._trouble = trouble
        if self._lost_at is None:
            self._lost_at = asyncio.get_running_loop().time()
            _LOG.warning("the watch of executions is interrupted: %s", trouble)

    async def _list(self) -> str:
        items: list[NotebookExecution] = []
        query = {"limit": _PAGE}
        while True:
            page = await self._request("GET", self._path, query=query)
            items.extend(found for raw in page.get("items") or [] if (found := _parse(raw)) is not None)
            metadata = page["metadata"]
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        version = str(metadata["resourceVersion"])
        self._live.replace(items, version_number(version))
        self._listed.set()
        self._lost_at = None
        return version

    def _apply(self, event: Mapping[str, Any]) -> str:
        """Take one event of the watch; returns the resource version to go on from."""
        raw = event["object"]
        if event["type"] == "ERROR":
            raise _RefusedError(int(raw.get("code", 500)), str(raw.get("message", "the watch failed")))
        metadata = raw["metadata"]
        version = str(metadata["resourceVersion"])
        if event["type"] == "DELETED":
            self._live.forget(metadata["name"], metadata["uid"], version_number(version))
        elif event["type"] in ("ADDED", "MODIFIED"):
            found = _parse(raw)
            if found is not None:
                self._live.learn(found)
        return version

    async def _events(self, version: str) -> AsyncGenerator[Mapping[str, Any]]:
        query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        response = await self._send("GET", self._path, None, query, _WATCH)
        try:
            if response.status != 200:
                raise _error(response, await response.read())
            self._lost_at = None
            async for line in response.content:
                yield json.loads(line)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise BackendUnavailableError(_unreachable(error)) from error
        finally:
            # Given up, not ended: a TLS farewell would outlive the event loop.
            connection = response.connection
            if connection is not None and connection.transport is not None:
                connection.transport.abort()
            response.close()

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        response = await self._send(method, path, body, query or {}, _REQUEST)
        try:
            data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise BackendUnavailableError(_unreachable(error)) from error
        if response.status < 300:
            return cast("dict[str, Any]", json.loads(data))
        raise _error(response, data)

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str], limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if self._api is None:
            raise BackendUnavailableError("the backend has not been started")
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            prepared = await self._api.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": kind},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._api.call_api(*prepared, _request_timeout=limits)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise BackendUnavailableError(_unreachable(error)) from error
        return cast("aiohttp.ClientResponse", answer.response)


async def _client() -> ApiClient:
    configuration = Configuration()
    configuration.connection_pool_maxsize = 128
    try:
        if _in_cluster():
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the library's
        else:
            # The library reads $KUBECONFIG when it is imported; here it is read now.
            where = os.environ.get("KUBECONFIG")
            await load_kube_config(config_file=where, client_configuration=configuration)  # type: ignore[no-untyped-call]
        return ApiClient(configuration)
    except (ConfigException, OSError) as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - whatever YAML and wrong shapes in the file lead to, the library lets through
        why = f"the file is not understood ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    raise BackendUnavailableError(f"there is no usable configuration for a cluster: {why}; set KUBECONFIG, or run this in a pod")


def _in_cluster() -> bool:
    return _TOKEN.exists() and "KUBECONFIG" not in os.environ


def _unreachable(error: Exception) -> str:
    return f"the API server cannot be reached ({type(error).__name__})"


def _error(response: aiohttp.ClientResponse, data: bytes) -> _RefusedError | BackendUnavailableError:
    try:
        message = str(json.loads(data)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {response.status}"
    if response.status in (401, 403, 408, 429) or response.status >= 500:
        said = response.headers.get("Retry-After", "")
        wait = min(int(said), 60) if said.isdecimal() else 5
        return BackendUnavailableError(f"the API server answers {response.status}: {message}", retry_after=max(wait, 1))
    return _RefusedError(response.status, message)


def _parsed(raw: Mapping[str, Any]) -> NotebookExecution:
    found = _parse(raw)
    if found is None:
        raise BackendError("the cluster answers with an execution this version does not understand")
    return found


def _parse(raw: Mapping[str, Any]) -> NotebookExecution | None:
    """The execution of a resource; one that is malformed, or of a newer version, is logged and left out."""
    try:
        return NotebookExecution.model_validate({"apiVersion": f"{API_GROUP}/{API_VERSION}", "kind": "NotebookExecution", **raw})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False)[:3])
        _LOG.warning(
            "execution %s is malformed and left out: %s", raw.get("metadata", {}).get("name", "(without a name)"), problems
        )
        return None
