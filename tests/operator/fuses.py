"""A fuse between the operator and what it writes to: the real API server and the real store, until a chosen write is its last one."""

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

from podbook_core.store.s3 import S3Store
from podbook_operator.cluster import KubernetesCluster

__all__ = ["CrashError", "Fuse", "fused_cluster", "fused_store"]

T = TypeVar("T")
_CLUSTER_WRITES: Mapping[str, Callable[..., str]] = {
    "patch_status": lambda _, patch: f"status {patch['status'].get('reason', '')}".strip(),
    "delete_execution": lambda *_: "delete execution",
    "apply_secret": lambda _: "secret",
    "replace_secret": lambda _: "renew secret",
    "delete_secret": lambda _: "delete secret",
    "create_job": lambda _: "job",
    "delete_job": lambda *_: "delete job",
}
"""Names of the writes, by method and arguments."""


class CrashError(BaseException):
    """The operator's process ends here. No handler of the operator sees it."""


class Fuse:
    """Names the writes of one execution, and ends the process after one of them, before the answer is seen. Safe for several threads.

    Args:
        at: name of the write, as in :attr:`writes`; None for no end.
    """

    def __init__(self, at: str | None = None) -> None:
        self._at = at
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.writes: list[str] = []
        """What was written, in order: its name, with a number from the second time on."""
        self.blown = False
        self.jobs: set[str] = set()
        """Unique ids of the Jobs that were created."""

    def written(self, what: str) -> None:
        """A write has happened."""
        with self._lock:
            self._counts[what] += 1
            name = what if self._counts[what] == 1 else f"{what} {self._counts[what]}"
            self.writes.append(name)
            blows = name == self._at and not self.blown
            self.blown |= blows
        if blows:
            raise CrashError(name)


class _FusedCluster:
    def __init__(self, cluster: KubernetesCluster, fuse: Fuse) -> None:
        self._cluster, self._fuse = cluster, fuse

    def __getattr__(self, method: str) -> Any:
        carry_out: Callable[..., Awaitable[Any]] = getattr(self._cluster, method)
        if method not in _CLUSTER_WRITES:
            return carry_out

        async def guarded(*arguments: Any) -> Any:
            result = await carry_out(*arguments)
            if method == "create_job":
                self._fuse.jobs.add(result["metadata"]["uid"])
            self._fuse.written(_CLUSTER_WRITES[method](*arguments))
            return result

        return guarded


class _FusedStore:
    def __init__(self, store: S3Store, fuse: Fuse) -> None:
        self._store, self._fuse = store, fuse

    def __getattr__(self, method: str) -> Any:
        return getattr(self._store, method)

    def put(self, key: str, *arguments: Any, **options: Any) -> Any:
        result = self._store.put(key, *arguments, **options)
        self._fuse.written(f"put {_kind(key)}")
        return result


def fused_cluster(cluster: KubernetesCluster, fuse: Fuse) -> KubernetesCluster:
    """The cluster behind a fuse."""
    return cast("KubernetesCluster", _FusedCluster(cluster, fuse))


def fused_store(store: S3Store, fuse: Fuse) -> S3Store:
    """The store behind a fuse."""
    return cast("S3Store", _FusedStore(store, fuse))


def _kind(key: str) -> str:
    """What a key of the store is for."""
    parts = key.split("/")
    return "record" if parts[0] == "executions" else "/".join(parts[:2]) if parts[0] == "index" else parts[0]
