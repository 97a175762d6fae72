"""The Kubernetes API as the operator needs it: a Protocol, and the one adapter that talks to a real API server.

Documents go in and come out as plain dictionaries. Every call is bounded by a time-out and raises an error of :mod:`podbook_cluster.errors`.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from podbook_cluster.api_server import ApiServer
from podbook_cluster.errors import ConflictError, NotFoundError
from podbook_core import API_GROUP, API_VERSION, PLURAL

__all__ = ["Cluster", "KubernetesCluster"]

_JSON = "application/json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


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
    """The :class:`Cluster` of a real API server. Create with :meth:`connect`, and close."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self._server = server
        self._executions = f"/apis/{API_GROUP}/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._core = f"/api/v1/namespaces/{namespace}"

    @classmethod
    async def connect(cls, namespace: str) -> "KubernetesCluster":
        """Connect with the pod's service account, else with ``$KUBECONFIG``.

        Raises:
            NoClusterError: there is no usable configuration.
        """
        return cls(await ApiServer.connect("podbook-operator"), namespace)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()

    async def get_execution(self, name: str) -> dict[str, Any]:
        """See :meth:`Cluster.get_execution`."""
        return await self._server.request("GET", f"{self._executions}/{name}")

    async def list_executions(self) -> list[dict[str, Any]]:
        """See :meth:`Cluster.list_executions`."""
        return await self._list(self._executions)

    async def patch_status(self, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Cluster.patch_status`."""
        return await self._server.request("PATCH", f"{self._executions}/{name}/status", patch)

    async def delete_execution(self, name: str, uid: str) -> None:
        """See :meth:`Cluster.delete_execution`."""
        await self._server.request("DELETE", f"{self._executions}/{name}", _deletion(uid, "Background"))

    async def apply_secret(self, body: Mapping[str, Any]) -> None:
        """See :meth:`Cluster.apply_secret`."""
        try:
            await self._server.request("POST", f"{self._core}/secrets", body)
        except ConflictError:
            await self.replace_secret(body)

    async def replace_secret(self, body: Mapping[str, Any]) -> None:
        """See :meth:`Cluster.replace_secret`."""
        await self._server.request("PATCH", f"{self._core}/secrets/{body['metadata']['name']}", {"data": body["data"]})

    async def delete_secret(self, name: str) -> None:
        """See :meth:`Cluster.delete_secret`."""
        try:
            await self._server.request("DELETE", f"{self._core}/secrets/{name}")
        except NotFoundError:
            return

    async def create_job(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Cluster.create_job`."""
        return await self._server.request("POST", self._jobs, body)

    async def get_job(self, name: str) -> dict[str, Any]:
        """See :meth:`Cluster.get_job`."""
        return await self._server.request("GET", f"{self._jobs}/{name}")

    async def delete_job(self, name: str, uid: str) -> None:
        """See :meth:`Cluster.delete_job`."""
        try:
            await self._server.request("DELETE", f"{self._jobs}/{name}", _deletion(uid, "Foreground"))
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
        await self._server.request("POST", f"{self._core}/events", body)

    async def _uids(self, path: str, selector: str) -> set[str]:
        # Thousands of whole Jobs would be megabytes that are never read.
        pages = self._pages(path, accept=_METADATA_ONLY, labelSelector=selector)
        return {item["metadata"]["uid"] async for page in pages for item in page}

    async def _list(self, path: str, **query: str) -> list[dict[str, Any]]:
        return [item async for page in self._pages(path, **query) for item in page]

    async def _pages(self, path: str, *, accept: str = _JSON, **query: str) -> AsyncIterator[list[dict[str, Any]]]:
        """Page by page what was there when the first one was made."""
        more: dict[str, str] = {}
        while True:
            page = await self._server.request("GET", path, query={**query, "limit": "500", **more}, accept=accept)
            yield page.get("items") or []
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return
            more = {"continue": token}


def _deletion(uid: str, propagation: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
        "propagationPolicy": propagation,
    }
