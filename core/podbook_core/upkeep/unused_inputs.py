"""Input files that no execution names any more. Blocks; may be interrupted and repeated.

The store names inputs by their content, so one may serve many executions, and every upload of the same content writes it again.
An input is removed when no live execution and no record names it, at this sweep and at the one before, and when it was last written
a day ago or more: it is uploaded just before its execution is created. That a caller uploads it again between the last look and the
removal cannot be ruled out; it takes the very same file, unused for a day, within a few milliseconds.
"""

import logging
from collections.abc import Callable, Collection
from datetime import datetime

from podbook_core.results.record import RecordStore
from podbook_core.store.base import ObjectStore
from podbook_core.store.keys import input_key
from podbook_core.store.listing import input_digests, recorded_uids
from podbook_core.upkeep import retention

__all__ = ["UnusedInputs"]

_LOG = logging.getLogger("podbook.sweeper")


class UnusedInputs:
    """Finds and removes them. Remembers what it saw from one sweep to the next.

    Args:
        store: the store.
        clock: the present, in UTC.
    """

    def __init__(self, store: ObjectStore, *, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._records = RecordStore(store)
        self._unused: set[str] = set()
        """What nothing named at the last sweep."""
        self._named: dict[str, frozenset[str]] = {}
        """What the records name, by uid: a record is written once, and so read once."""

    def remove(self, used: Collection[str]) -> int:
        """Remove what has been unused for long enough.

        Args:
            used: SHA-256 of every input that a live execution names. Read before this is called: an execution that ends meanwhile has
                its record before it is no longer alive.

        Returns:
            How many were removed.

        Raises:
            StoreError: the store cannot be used; the rest is done the next time.
        """
        unused = set(input_digests(self._store)) - set(used)
        try:
            self._keep_recorded(unused)
        except ValueError as error:
            _LOG.warning("unused input files are kept: %s", error)
            return 0
        limit, removed = self._clock() - retention.ORPHAN_AGE, 0
        for digest in sorted(unused & self._unused):
            written = self._store.modified(input_key(digest))
            if written is not None and written <= limit:
                self._store.delete(input_key(digest))
                removed += 1
        self._unused = unused
        return removed

    def _keep_recorded(self, unused: set[str]) -> None:
        """Take out of the set what a record names.

        Raises:
            ValueError: a record cannot be read, and could name anything.
        """
        present: set[str] = set()
        for uid in recorded_uids(self._store):
            if not unused:
                return  # without a look at the other records
            named = self._named.get(uid)
            if named is None and (named := self._read(uid)) is None:
                continue  # it was removed at this moment
            self._named[uid] = named
            present.add(uid)
            unused -= named
        self._named = {uid: named for uid, named in self._named.items() if uid in present}

    def _read(self, uid: str) -> frozenset[str] | None:
        try:
            record = self._records.read(uid)
        except ValueError as error:
            raise ValueError(f"the record of {uid} cannot be read") from error
        return None if record is None else frozenset(item.sha256 for item in record.execution.spec.inputs)
