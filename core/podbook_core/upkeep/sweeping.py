"""Removes from the store what has been kept long enough, and what nothing refers to any more. Blocks; may be interrupted and repeated.

What is alive, and how old a forgotten prefix is, only the programs know: they take candidates from here first, then look who is alive,
so that what was created in between was not a candidate.
"""

import logging
from collections.abc import Callable, Collection
from datetime import datetime

from podbook_core.execution.idempotency import Entry, idempotency_over
from podbook_core.results import index as history
from podbook_core.results.record import RecordStore
from podbook_core.store.base import KeyNotFoundError, ObjectStore
from podbook_core.store.keys import EXECUTIONS, execution_prefix, idempotency_key, record_key, request_key
from podbook_core.store.limits import MAX_IDEMPOTENCY_BYTES
from podbook_core.store.listing import all_keys, idempotency_digests, request_digests
from podbook_core.upkeep import retention

__all__ = ["StoreSweep"]

_LOG = logging.getLogger("podbook.sweeper")


class StoreSweep:
    """The steps of sweeping one store. Every step may raise StoreError; what it did not do is done the next time.

    Args:
        store: the store.
        days: how many days ended executions are kept, counted from their end; 0 keeps all.
        clock: the present, in UTC.
    """

    def __init__(self, store: ObjectStore, *, days: int, clock: Callable[[], datetime]) -> None:
        self._store, self._days, self._clock = store, days, clock
        self._records = RecordStore(store)

    def remove_expired(self) -> int:
        """Remove every ended execution that was kept long enough. Returns how many."""
        if self._days == 0:
            return 0
        now, removed = self._clock(), 0
        for key in all_keys(self._store, history.scope_prefix()):
            entry = history.parse_index_key(key)
            if entry is None or not retention.may_be_expired(entry, now=now, days=self._days):
                continue
            try:
                record = self._records.read(entry.uid)
            except ValueError:
                _LOG.warning("the record of %s cannot be read; it is left unchanged", entry.uid)
                continue
            if record is None:
                self._store.delete(key)  # a removal that was interrupted
                continue
            execution = record.execution
            if retention.retention_over(execution.status.completion_time, execution.created, now=now, days=self._days):
                self._records.forget(record)
                removed += 1
        return removed

    def idempotency_digests(self) -> list[str]:
        """What idempotency keys stand for: candidates for :meth:`remove_idempotency`."""
        return list(idempotency_digests(self._store))

    def remove_idempotency(self, digests: Collection[str], alive: Collection[str]) -> int:
        """Remove the idempotency keys that no longer count.

        Args:
            digests: the candidates.
            alive: names of live executions, read after the candidates.

        Returns:
            How many were removed.
        """
        now, removed = self._clock(), 0
        for digest in digests:
            try:
                entry = Entry.from_json(self._store.get(idempotency_key(digest), limit=MAX_IDEMPOTENCY_BYTES).data)
            except KeyNotFoundError:
                continue
            except ValueError:
                _LOG.warning("the idempotency entry %s cannot be read; it is left unchanged", digest)
                continue
            try:
                record = self._records.read_by_name(entry.name)
            except ValueError:
                continue  # it is unknown when it ended
            ended = None if record is None else record.execution.status.completion_time
            if idempotency_over(ended, entry.time, alive=entry.name in alive, now=now):
                self._store.delete(idempotency_key(digest))
                removed += 1
        return removed

    def remove_requests(self, used: Collection[str]) -> int:
        """Remove what HTTP requests said, an hour after they were sent, unless a live execution still answers one.

        Args:
            used: SHA-256 of those that live executions answer.

        Returns:
            How many were removed.
        """
        limit, removed = self._clock() - retention.REQUEST_AGE, 0
        for digest in request_digests(self._store):
            if digest in used:
                continue
            written = self._store.modified(request_key(digest))
            if written is not None and written <= limit:
                self._store.delete(request_key(digest))
                removed += 1
        return removed

    def unrecorded(self) -> set[str]:
        """Uids of executions that left objects and have no record: candidates for :meth:`remove_unrecorded`."""
        return retention.orphaned_executions(all_keys(self._store, EXECUTIONS), ())

    def remove_unrecorded(self, uids: Collection[str]) -> int:
        """Remove what executions left that can never be read; one that has a record by now stays. Returns how many were removed."""
        removed = 0
        for uid in uids:
            if self._store.head(record_key(uid)) is None:
                removed += self._store.delete_prefix(execution_prefix(uid)) > 0
        return removed
