"""What a sweep of the bucket has to know of the cluster: who is alive there, and since when something has had no execution."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from podbook_cluster.errors import ClusterError
from podbook_core.store.base import ObjectStore
from podbook_core.upkeep import retention, sweeper
from podbook_core.upkeep.sweeper import Living

__all__ = ["Living", "Sweeper", "living"]


def living(body: Mapping[str, Any]) -> Living:
    """What a sweep wants to know of a resource. Takes whatever the API server let through."""
    spec = body.get("spec") or {}
    request = spec.get("request") or {}
    inputs = frozenset(item["sha256"] for item in spec.get("inputs") or ())
    return Living(body["metadata"]["name"], body["metadata"]["uid"], inputs, request.get("sha256"))


class _Cluster:
    """The :class:`~podbook_core.upkeep.sweeper.Surroundings` of a bucket whose executions live in a cluster."""

    def __init__(self, alive: Callable[[], Awaitable[Collection[Living]]], clock: Callable[[], datetime]) -> None:
        self._alive, self._clock = alive, clock
        self._orphans: dict[str, datetime] = {}
        """When each prefix was first seen without an execution; a bucket does not tell how old a prefix is."""

    async def alive(self) -> Collection[Living]:
        return await self._alive()

    def all_known(self) -> bool:
        return True

    def forgotten(self, uids: Collection[str]) -> set[str]:
        now = self._clock()
        self._orphans = {uid: self._orphans.get(uid, now) for uid in uids}
        return {uid for uid, since in self._orphans.items() if since + retention.ORPHAN_AGE <= now}

    def leftovers(self) -> set[str]:
        return set()  # pods and Secrets go with their execution, by garbage collection

    def remove_leftovers(self, uids: Collection[str]) -> int:  # noqa: ARG002 - as the Protocol has it
        return 0


class Sweeper(sweeper.Sweeper):
    """Sweeps the bucket.

    Args:
        store: the bucket.
        alive: the present executions, from the API server itself.
        days: how many days results are kept after the end; 0 keeps all.
        clock: the present, in UTC.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        alive: Callable[[], Awaitable[Collection[Living]]],
        days: int,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(store, _Cluster(alive, clock), days=days, clock=clock, put_off_by=(ClusterError,))
