"""Removes from the store what has been kept long enough, and what nothing refers to any more: soon after the start, then every hour."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import datetime
from typing import Any

from podbook_core import history, retention
from podbook_core.record import RecordStore
from podbook_core.store.base import KeyNotFoundError, ObjectStore, StoreError
from podbook_core.store.keys import EXECUTIONS, IDEMPOTENCY, execution_prefix, idempotency_key
from podbook_operator.cluster import ClusterError

__all__ = ["Sweeper"]

_LOGGER = logging.getLogger(__name__)
_FIRST_SECONDS = 60.0
_EVERY_SECONDS = 3600.0


class Sweeper:
    """Sweeps the bucket. What it does may be interrupted and repeated.

    Args:
        store: the bucket.
        alive: the present executions, name and unique id, from the API server itself.
        days: how many days results are kept after the end; 0 keeps all.
        clock: the present, in UTC.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        alive: Callable[[], Awaitable[Collection[tuple[str, str]]]],
        days: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._alive, self._days, self._clock = store, alive, days, clock
        self._records = RecordStore(store)
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
        removed = await asyncio.to_thread(self._remove_expired)
        # Candidates first, then who is there: whoever came in between was no candidate.
        digests = await asyncio.to_thread(lambda: [key.removeprefix(IDEMPOTENCY) for key in self._keys(IDEMPOTENCY)])
        orphans = await asyncio.to_thread(lambda: retention.orphaned_executions(self._keys(EXECUTIONS), ()))
        present = await self._alive()
        removed += await asyncio.to_thread(self._remove_idempotency, digests, {name for name, _ in present})
        return removed + await asyncio.to_thread(self._remove_orphans, orphans - {uid for _, uid in present})

    def _remove_expired(self) -> int:
        if self._days == 0:
            return 0
        now, removed = self._clock(), 0
        for key in self._keys(history.scope_prefix()):
            entry = history.parse_index_key(key)
            if entry is None or not retention.may_be_expired(entry, now=now, days=self._days):
                continue
            record = self._records.read(entry.uid)
            if record is None:
                self._store.delete(key)  # a removal that was interrupted
                continue
            execution = record.execution
            if retention.retention_over(execution.status.completion_time, execution.created, now=now, days=self._days):
                self._records.forget(record)
                removed += 1
        return removed

    def _remove_idempotency(self, digests: list[str], alive: Collection[str]) -> int:
        now, removed = self._clock(), 0
        for digest in digests:
            try:
                entry: Any = json.loads(self._store.get(idempotency_key(digest)).data)
                name, used = str(entry["name"]), datetime.fromisoformat(entry["time"])
            except (KeyNotFoundError, ValueError, KeyError, TypeError):
                continue  # gone, or written by something newer
            record = self._records.read_by_name(name)
            ended = None if record is None else record.execution.status.completion_time
            if retention.idempotency_over(ended, used, alive=name in alive, now=now):
                self._store.delete(idempotency_key(digest))
                removed += 1
        return removed

    def _remove_orphans(self, uids: Collection[str]) -> int:
        now, removed = self._clock(), 0
        self._orphans = {uid: self._orphans.get(uid, now) for uid in uids}
        for uid, since in list(self._orphans.items()):
            if since + retention.ORPHAN_AGE > now or self._records.read(uid) is not None:
                continue
            removed += self._store.delete_prefix(execution_prefix(uid)) > 0
            del self._orphans[uid]
        return removed

    def _keys(self, prefix: str) -> Iterator[str]:
        last = ""
        while page := self._store.list(prefix, start_after=last):
            yield from page
            last = page[-1]
