"""Executions as NotebookExecution resources of a Kubernetes cluster.

Each replica keeps one watch, whose events feed a cache; callers that wait for an execution wait for the cache, never for the API server.
A single execution is read live: another replica may have changed or removed it a moment ago.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

from pydantic import ValidationError

from podbook_api.backends.base import (
    AlreadyExistsError,
    BackendError,
    BackendUnavailableError,
    InvalidExecutionError,
    QueueFullError,
    StillActiveError,
)
from podbook_api.backends.cluster.cache import LiveExecutions
from podbook_api.backends.cluster.connection import Connection
from podbook_cluster.configuration import in_cluster
from podbook_cluster.errors import AnsweredError
from podbook_cluster.resource_versions import version_number
from podbook_core import API_GROUP, API_VERSION, KIND, PLURAL
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.stored import read_execution
from podbook_core.text.json_depth import parse_without_parameters
from podbook_core.text.model_errors import problems

__all__ = ["KubernetesBackend"]

_LOG = logging.getLogger("podbook.kubernetes")
_WATCH_SECONDS = 240
_PAGE = "50"
"""Executions in one answer of the API server: each may be a quarter of a MiB."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_FIRST_LIST_SECONDS = 10.0
_TOLERATED_SECONDS = 30.0
"""How long the watch may be away before lists are refused for being old."""
_CONFLICTS = 5
_STRICT = {"fieldValidation": "Strict"}
"""Without it the API server drops, without a word, what its definition of executions does not know, and another run than asked for begins."""
_UNKNOWN_FIELD = "strict decoding error: unknown field"


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
        self._connection: Connection | None = None
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
        self._connection = await Connection.connect()
        self._follower = asyncio.create_task(self._follow(), name="watch of NotebookExecutions")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._listed.wait(), _FIRST_LIST_SECONDS)

    async def probe(self) -> None:
        """Whether there is a usable configuration and, unless this runs in a pod, an API server that answers. Instead of :meth:`start`.

        In a pod an API server that is away will be back, and until then ended executions can be read. On a terminal it is a mistake in
        the configuration, which its user should see at once.

        Raises:
            BackendUnavailableError: there is not; one line that says what to fix.
        """
        async with aclosing(await Connection.connect()) as server:
            if in_cluster():
                return
            try:
                await server.request("GET", self._path, query={"limit": "1"})
            except BackendUnavailableError as error:
                raise BackendUnavailableError(f"{server.address}: {error}") from error
            except AnsweredError:
                pass  # it answers; /readyz says what is missing

    async def stop(self) -> None:
        """Stop watching and end every follower. Executions go on: they are the operator's."""
        self._live.close()
        if self._follower is not None:
            self._follower.cancel()
            with suppress(asyncio.CancelledError):
                await self._follower
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.aclose()

    async def create(self, execution: NotebookExecution) -> NotebookExecution:
        """See :meth:`ExecutionBackend.create <podbook_api.backends.base.ExecutionBackend.create>`."""
        self._check_fresh()
        waiting = self._live.waiting() + self._creating
        if waiting >= self._max_queued:
            raise QueueFullError(waiting, self._max_queued, retry_after=5)
        given = execution.metadata
        metadata = {"name": given.name, "namespace": self._namespace, "labels": given.labels, "annotations": given.annotations}
        spec = execution.spec.document()
        body = {"apiVersion": execution.api_version, "kind": execution.kind, "metadata": metadata, "spec": spec}
        self._creating += 1
        try:
            return self._learn(_parsed(await self._server.request("POST", self._path, body, query=_STRICT)))
        except AnsweredError as error:
            if error.status == 400 and _UNKNOWN_FIELD in str(error):
                raise BackendUnavailableError(
                    f"the CRD is older than the API; apply the CRD of this version (the cluster says: {error})"
                ) from error
            if error.status == 409:
                raise AlreadyExistsError(await self._read(execution.name)) from error
            if error.status == 404:
                raise BackendUnavailableError(f"the cluster is not set up for executions: {error}") from error
            raise InvalidExecutionError(str(error)) from error
        finally:
            self._creating -= 1

    async def get(self, name: str) -> NotebookExecution | None:
        """See :meth:`ExecutionBackend.get <podbook_api.backends.base.ExecutionBackend.get>`."""
        # Live even when it is known to have ended: it may have been removed through another replica a moment ago.
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
            patched = await self._server.request("PATCH", f"{self._path}/{name}", {"spec": {"cancel": True}})
        except AnsweredError as error:
            if error.status == 404:
                self._live.forget(name, known.uid, version_number(known.metadata.resource_version))
                return None
            raise BackendError(f"the cluster refuses to cancel {name}: {error}") from error
        return self._learn(_parsed(patched))

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
                await self._server.request(
                    "DELETE", f"{self._path}/{name}", {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
                )
            except AnsweredError as error:
                if error.status == 409:
                    continue  # changed since it was read
                if error.status != 404:
                    raise BackendError(f"the cluster refuses to delete {name}: {error}") from error
            self._live.forget(name, uid, version_number(known.metadata.resource_version))
            return
        raise BackendUnavailableError(f"{name} keeps changing while it is being deleted", retry_after=1)

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
            await self._server.request("GET", self._path, query={"limit": "1"})
        except AnsweredError as error:
            raise BackendUnavailableError(f"the cluster refuses to list executions: {error}") from error

    @property
    def _server(self) -> Connection:
        if self._connection is None:
            raise BackendUnavailableError("the backend has not been started, or has been stopped")
        return self._connection

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
            raw = await self._server.request("GET", f"{self._path}/{name}")
        except AnsweredError as error:
            if error.status != 404:
                raise BackendUnavailableError(f"the cluster refuses to read {name}: {error}") from error
            if known is not None:
                self._live.forget(name, known.uid, version_number(known.metadata.resource_version))
            return None
        found = _parse(raw)
        return None if found is None else self._learn(found)

    def _learn(self, found: NotebookExecution) -> NotebookExecution:
        """Take an answer. Returns the newest known state, with the parameters, which the cache does not keep."""
        known = self._live.learn(found)
        # Another uid: the name has been given to another execution meanwhile, whose parameters were not read. The answer still was true.
        return known.with_parameters(found.spec.parameters) if known.uid == found.uid else found

    async def _follow(self) -> None:
        """List, then watch until cancelled: on from where the last watch ended when it ended in order, else from a new list.

        After anything else the old place is not to be trusted. It may be too long ago; or it lies in a future that has not happened,
        in a cluster that was set back to a backup, and a watch from there stays silent.
        """
        version: str | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                if version is None:
                    version = await self._list()
                async with self._server.watch(self._path, version=version, seconds=_WATCH_SECONDS) as events:
                    self._lost_at = None
                    async for event in events:
                        pause = _FIRST_PAUSE
                        version = self._apply(event)
            except (AnsweredError, BackendUnavailableError) as error:
                version = None
                if isinstance(error, AnsweredError) and error.status == 410:
                    _LOG.info("the watch fell behind; listing all executions again")
                else:
                    self._lost(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is: a replica that follows no more would look well and know nothing
                version = None
                self._lost(repr(error))
                _LOG.exception("unexpected error in the watch of executions")
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
        asked_at = self._live.newest
        while True:
            page = await self._server.request("GET", self._path, query=query, parse=parse_without_parameters)
            items.extend(found for raw in page.get("items") or [] if (found := _parse(raw)) is not None)
            metadata = page["metadata"]
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        version = str(metadata["resourceVersion"])
        self._live.replace(items, version_number(version), asked_at=asked_at)
        self._listed.set()
        self._lost_at = None
        return version

    def _apply(self, event: Mapping[str, Any]) -> str:
        """Take one event of the watch; returns the resource version to go on from."""
        raw = event["object"]
        if event["type"] == "ERROR":
            raise AnsweredError(int(raw.get("code", 500)), str(raw.get("message", "the watch failed")))
        metadata = raw["metadata"]
        version = str(metadata["resourceVersion"])
        if event["type"] == "DELETED":
            self._live.forget(metadata["name"], metadata["uid"], version_number(version))
        elif event["type"] in ("ADDED", "MODIFIED") and not self._live.is_current(metadata["name"], metadata["uid"], version):
            found = _parse(raw)
            if found is not None:
                self._live.learn(found)
        return version


def _parsed(raw: Mapping[str, Any]) -> NotebookExecution:
    found = _parse(raw)
    if found is None:
        raise BackendError("the cluster answers with an execution this version cannot read")
    return found


def _parse(raw: Mapping[str, Any]) -> NotebookExecution | None:
    """The execution of a resource, without the fields that only a newer version knows; one that is malformed is logged and left out."""
    try:
        # A new one has no status: an empty one is read faster than the model's default is copied.
        stored = read_execution({"apiVersion": f"{API_GROUP}/{API_VERSION}", "kind": KIND, "status": {}, **raw})
    except ValidationError as error:
        name, wrong = raw.get("metadata", {}).get("name", "(without a name)"), problems(error, most=3, separator=".")
        _LOG.warning("execution %s is malformed and skipped: %s", name, wrong)
        return None
    return stored.execution
