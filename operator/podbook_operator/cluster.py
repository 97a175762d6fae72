"""The Kubernetes API as the operator needs it: a Protocol, and the one adapter that talks to a real API server.

Documents go in and come out as plain dictionaries. Every call is bounded by a time-out and raises one of the errors below.
"""

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.request import getproxies

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from podbook_core import API_GROUP, API_VERSION, PLURAL
from podbook_core.api_answers import Meaning, classify, message_of
from podbook_core.text.json_depth import parse_document

__all__ = [
    "Cluster",
    "ClusterError",
    "ClusterUnavailableError",
    "ConflictError",
    "KubernetesCluster",
    "NotFoundError",
    "RefusedError",
    "error_from_answer",
]

_TIMEOUT = 30.0
_JSON = "application/json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class ClusterError(Exception):
    """Base of the adapter's errors.

    ClusterError
    ├── NotFoundError             the object is not there (404)
    ├── ConflictError             it exists already, or has changed since it was read (409)
    ├── RefusedError              the API server will not have it (other 4xx); trying again does not help
    └── ClusterUnavailableError   the API server cannot be reached, is overloaded, has an error of its own, or does not know the operator's
                                  rights (yet)
    """


class NotFoundError(ClusterError):
    """The object is not there."""


class ConflictError(ClusterError):
    """It exists already, or has changed since it was read."""


class RefusedError(ClusterError):
    """The API server will not have it. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ClusterUnavailableError(ClusterError):
    """Trying again later may help. ``retry_after`` is in seconds, where the server said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Cluster(Protocol):
    """One namespace of a cluster. Every method may raise :class:`ClusterUnavailableError` and :class:`RefusedError`."""

    async def get_execution(self, name: str) -> dict[str, Any]:
        """The NotebookExecution, live. Raises :class:`NotFoundError`."""
        ...

    async def list_executions(self) -> list[dict[str, Any]]:
        """Every NotebookExecution, live."""
        ...

    async def patch_status(self, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch the status subresource. Raises :class:`NotFoundError`, :class:`ConflictError`."""
        ...

    async def delete_execution(self, name: str, uid: str) -> None:
        """Delete, if it still is this one. Raises :class:`NotFoundError`, :class:`ConflictError`."""
        ...

    async def apply_secret(self, body: Mapping[str, Any]) -> None:
        """Create, or replace the data of what is there."""
        ...

    async def replace_secret(self, body: Mapping[str, Any]) -> None:
        """Replace the data of what is there, and create nothing. Raises :class:`NotFoundError`."""
        ...

    async def delete_secret(self, name: str) -> None:
        """Delete; no error when it is not there."""
        ...

    async def create_job(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create. Raises :class:`ConflictError` when the name is taken."""
        ...

    async def get_job(self, name: str) -> dict[str, Any]:
        """The Job, live. Raises :class:`NotFoundError`."""
        ...

    async def delete_job(self, name: str, uid: str) -> None:
        """Delete the Job after its pods, if it still is this one; no error when it is not there."""
        ...

    async def list_pods(self, selector: str) -> list[dict[str, Any]]:
        """Pods by label selector, live."""
        ...

    async def job_uids(self, selector: str) -> set[str]:
        """Unique ids of the Jobs there are, by label selector, live. Every Job that was there when it was called is among them."""
        ...

    async def pod_uids(self, selector: str) -> set[str]:
        """Unique ids of the pods there are, as :meth:`job_uids`."""
        ...

    async def job_events(self, job_uid: str) -> list[dict[str, Any]]:
        """Events about a Job."""
        ...

    async def create_event(self, body: Mapping[str, Any]) -> None:
        """Record an Event."""
        ...


class KubernetesCluster:
    """The :class:`Cluster` of a real API server, by ``kubernetes.aio``. Create with :meth:`connect`, and close."""

    def __init__(self, api: ApiClient, namespace: str) -> None:
        self._api = api
        self._executions = f"/apis/{API_GROUP}/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._core = f"/api/v1/namespaces/{namespace}"

    @classmethod
    async def connect(cls, namespace: str, *, connections: int = 64) -> "KubernetesCluster":
        """Connect with the pod's service account, else with ``$KUBECONFIG``.

        Raises:
            ClusterUnavailableError: there is no usable configuration.
        """
        configuration = Configuration()
        configuration.connection_pool_maxsize = connections
        # Else aiohttp looks for a proxy and into ~/.netrc before every request.
        configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
        try:
            if _in_cluster():
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the library's
            else:
                await load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the library's
        except (ConfigException, OSError) as error:
            raise ClusterUnavailableError(f"no usable configuration for a cluster: {error}") from error
        return cls(ApiClient(configuration), namespace)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()  # type: ignore[no-untyped-call] # the library's

    async def get_execution(self, name: str) -> dict[str, Any]:
        """See :meth:`Cluster.get_execution`."""
        return await self._request("GET", f"{self._executions}/{name}")

    async def list_executions(self) -> list[dict[str, Any]]:
        """See :meth:`Cluster.list_executions`."""
        return await self._list(self._executions)

    async def patch_status(self, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Cluster.patch_status`."""
        return await self._request("PATCH", f"{self._executions}/{name}/status", patch)

    async def delete_execution(self, name: str, uid: str) -> None:
        """See :meth:`Cluster.delete_execution`."""
        await self._request("DELETE", f"{self._executions}/{name}", _deletion(uid, "Background"))

    async def apply_secret(self, body: Mapping[str, Any]) -> None:
        """See :meth:`Cluster.apply_secret`."""
        try:
            await self._request("POST", f"{self._core}/secrets", body)
        except ConflictError:
            await self.replace_secret(body)

    async def replace_secret(self, body: Mapping[str, Any]) -> None:
        """See :meth:`Cluster.replace_secret`."""
        await self._request("PATCH", f"{self._core}/secrets/{body['metadata']['name']}", {"data": body["data"]})

    async def delete_secret(self, name: str) -> None:
        """See :meth:`Cluster.delete_secret`."""
        try:
            await self._request("DELETE", f"{self._core}/secrets/{name}")
        except NotFoundError:
            return

    async def create_job(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Cluster.create_job`."""
        return await self._request("POST", self._jobs, body)

    async def get_job(self, name: str) -> dict[str, Any]:
        """See :meth:`Cluster.get_job`."""
        return await self._request("GET", f"{self._jobs}/{name}")

    async def delete_job(self, name: str, uid: str) -> None:
        """See :meth:`Cluster.delete_job`."""
        try:
            await self._request("DELETE", f"{self._jobs}/{name}", _deletion(uid, "Foreground"))
        except (NotFoundError, ConflictError):
            return  # a conflict says that another Job has the name: this one is gone

    async def list_pods(self, selector: str) -> list[dict[str, Any]]:
        """See :meth:`Cluster.list_pods`."""
        return await self._list(f"{self._core}/pods", labelSelector=selector)

    async def job_uids(self, selector: str) -> set[str]:
        """See :meth:`Cluster.job_uids`."""
        return await self._uids(self._jobs, selector)

    async def pod_uids(self, selector: str) -> set[str]:
        """See :meth:`Cluster.pod_uids`."""
        return await self._uids(f"{self._core}/pods", selector)

    async def job_events(self, job_uid: str) -> list[dict[str, Any]]:
        """See :meth:`Cluster.job_events`."""
        return await self._list(f"{self._core}/events", fieldSelector=f"involvedObject.uid={job_uid}")

    async def create_event(self, body: Mapping[str, Any]) -> None:
        """See :meth:`Cluster.create_event`."""
        await self._request("POST", f"{self._core}/events", body)

    async def _uids(self, path: str, selector: str) -> set[str]:
        # Thousands of whole Jobs would be megabytes that nobody reads.
        pages = self._pages(path, accept=_METADATA_ONLY, labelSelector=selector)
        return {item["metadata"]["uid"] async for page in pages for item in page}

    async def _list(self, path: str, **query: str) -> list[dict[str, Any]]:
        return [item async for page in self._pages(path, **query) for item in page]

    async def _pages(self, path: str, *, accept: str = _JSON, **query: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Page by page what was there when the first one was made."""
        more: dict[str, str] = {}
        while True:
            page = await self._request("GET", path, query={**query, "limit": "500", **more}, accept=accept)
            yield page.get("items") or []
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return
            more = {"continue": token}

    async def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
    ) -> dict[str, Any]:
        kind = "application/merge-patch+json" if method == "PATCH" else _JSON
        headers = {"Accept": accept, "Content-Type": kind}
        try:
            prepared = await self._api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._api.call_api(*prepared, _request_timeout=_TIMEOUT)
            data = await response.read()  # type: ignore[no-untyped-call] # the library's
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ClusterUnavailableError(f"the API server cannot be reached: {type(error).__name__}: {error}") from error
        if response.status < 300:
            return cast("dict[str, Any]", parse_document(data))
        raise error_from_answer(response.status, data, response.headers.get("Retry-After"))


def _in_cluster() -> bool:
    return _TOKEN.exists() and "KUBECONFIG" not in os.environ


def _deletion(uid: str, propagation: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
        "propagationPolicy": propagation,
    }


def error_from_answer(status: int, data: bytes, retry_after: str | None = None) -> ClusterError:
    """What an answer that is no success means: its HTTP status, body and Retry-After header. Pure."""
    reason, said = message_of(data)
    message = said[:1000] or f"HTTP {status}"
    match classify(status, reason, message):
        case Meaning.NOT_FOUND:
            return NotFoundError(message)
        case Meaning.CONFLICT:
            return ConflictError(message)
        case Meaning.UNAVAILABLE | Meaning.NO_RIGHT:
            return ClusterUnavailableError(message, float(retry_after) if retry_after and retry_after.isdecimal() else None)
        case _:
            return RefusedError(status, message)
