"""Removes from the store what has been kept long enough, and what nothing refers to any more: soon after the start, then every hour."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from podbook_core.store.base import ObjectStore, StoreError
from podbook_core.upkeep import retention
from podbook_core.upkeep.sweeping import StoreSweep
from podbook_core.upkeep.unused_inputs import UnusedInputs
from podbook_operator.cluster import ClusterError

__all__ = ["Living", "Sweeper", "living"]

_LOGGER = logging.getLogger(__name__)
_FIRST_SECONDS = 60.0
_EVERY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Living:
    """A present execution, as far as a sweep looks at it."""

    name: str
    uid: str
    inputs: frozenset[str] = frozenset()
    """SHA-256 of its input files."""


def living(body: Mapping[str, Any]) -> Living:
    """What a sweep wants to know of a resource. Takes whatever the API server let through."""
    inputs = (body.get("spec") or {}).get("inputs") or ()
    return Living(body["metadata"]["name"], body["metadata"]["uid"], frozenset(item["sha256"] for item in inputs))


class Sweeper:
    """Sweeps the bucket. What it does may be interrupted and repeated.

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
        self._alive, self._clock = alive, clock
        self._sweep = StoreSweep(store, days=days, clock=clock)
        self._inputs = UnusedInputs(store, clock=clock)
        self._orphans: dict[str, datetime] = {}
        """When each prefix was first seen without an execution; a bucket does not tell how old a prefix is."""

    async def run(self) -> None:
        """Sweep, for ever."""
        await asyncio.sleep(_FIRST_SECONDS)
        while True:
            try:
                removed = await self.sweep()
                if removed:
                    _LOGGER.info("removed %d expired or forgotten things from the store", removed)
            except (StoreError, ClusterError) as error:
                _LOGGER.warning("sweeping the store failed, it is tried again in an hour: %s", error)
            except Exception:
                _LOGGER.exception("sweeping the store failed, it is tried again in an hour")
            await asyncio.sleep(_EVERY_SECONDS)

    async def sweep(self) -> int:
        """Sweep once. Returns how many things were removed.

        Raises:
            StoreError: the store cannot be used; the rest is done the next time.
            ClusterError: nobody can say which executions are there.
        """
        removed = await asyncio.to_thread(self._sweep.remove_expired)
        # Candidates first, then who is there: whoever came in between was no candidate.
        digests = await asyncio.to_thread(self._sweep.idempotency_digests)
        orphans = await asyncio.to_thread(self._sweep.unrecorded)
        present = await self._alive()
        removed += await asyncio.to_thread(self._sweep.remove_idempotency, digests, {item.name for item in present})
        old = self._unclaimed_for_long(orphans - {item.uid for item in present})
        removed += await asyncio.to_thread(self._sweep.remove_unrecorded, old)
        return removed + await asyncio.to_thread(self._inputs.remove, {digest for item in present for digest in item.inputs})

    def _unclaimed_for_long(self, uids: Collection[str]) -> set[str]:
        """Those of these uids that have had no execution for so long that none will come; the others are remembered."""
        now = self._clock()
        self._orphans = {uid: self._orphans.get(uid, now) for uid in uids}
        return {uid for uid, since in self._orphans.items() if since + retention.ORPHAN_AGE <= now}
