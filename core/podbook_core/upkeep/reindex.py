"""The store set right from its records, after a restore or damage: the lists rebuilt, the results pinned to the ETags they have."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError
from typing_extensions import override

from podbook_core.results.index import parse_index_key
from podbook_core.results.record import RecordStore
from podbook_core.store.base import ObjectStore
from podbook_core.store.keys import INDEX, record_key
from podbook_core.store.listing import all_keys, recorded_uids
from podbook_core.upkeep.repin import repin

__all__ = ["Rebuilt", "rebuild_index"]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was found and done."""

    indexed: int
    """Records whose entries were written again."""
    removed: int
    """Entries of the lists that had no record."""
    pinned: int
    """Results whose ETag was another, and is now the recorded one."""
    damaged: int
    """Results that are missing or have another content than their record says, and records that cannot be read."""

    @override
    def __str__(self) -> str:
        """One line for the administrator."""
        return (
            f"{self.indexed} records indexed, {self.removed} entries without a record removed, "
            f"{self.pinned} results pinned again, {self.damaged} missing or changed"
        )


def rebuild_index(store: ObjectStore, report: Callable[[str], None]) -> Rebuilt:
    """Write every record's entries again, remove entries without a record, and pin what was copied. Blocks; safe while executions run.

    Results are read only where their ETag is not the recorded one; a bucket that was never copied is listed, not read.

    Args:
        store: the store.
        report: is told of each damaged thing, in one line that names its key.

    Raises:
        StoreUnavailableError: the store cannot be used; it may be repeated.
    """
    records = RecordStore(store)
    known: set[str] = set()
    indexed = pinned = damaged = 0
    for uid in recorded_uids(store):
        try:
            found = repin(store, uid)
        except ValidationError:
            report(f"{record_key(uid)} cannot be read as a record")
            damaged += 1
            known.add(uid)
            continue
        if found is None:
            continue  # it was removed at this moment
        records.reindex(found.record)
        for key in found.damaged:
            report(f"{key} is missing or is not what its record says")
        known.add(uid)
        indexed += 1
        pinned += found.pinned
        damaged += len(found.damaged)
    removed = 0
    for key in all_keys(store, INDEX):
        entry = parse_index_key(key)
        # An entry that was written meanwhile has a record that was not listed.
        if entry is not None and entry.uid not in known and store.head(record_key(entry.uid)) is None:
            store.delete(key)
            removed += 1
    return Rebuilt(indexed, removed, pinned, damaged)
