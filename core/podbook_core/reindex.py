"""The lists made anew from the records, for when index entries were lost or a backup was restored without them."""

from collections.abc import Iterator

from podbook_core.history import parse_index_key
from podbook_core.record import RecordStore
from podbook_core.store.base import ObjectStore
from podbook_core.store.keys import EXECUTIONS, INDEX

__all__ = ["rebuild_index"]


def rebuild_index(store: ObjectStore) -> tuple[int, int]:
    """Write every record's entries again, and remove entries without a record. Blocks; safe while executions run.

    Returns:
        How many records were indexed, and how many entries were removed.

    Raises:
        StoreUnavailableError: the store cannot be used; it may be repeated.
    """
    records = RecordStore(store)
    # What is listed now may lose its record; what is written from here on has one.
    entries = list(_keys(store, INDEX))
    found: set[str] = set()
    for key in _keys(store, EXECUTIONS):
        uid, _, rest = key.removeprefix(EXECUTIONS).partition("/")
        if rest == "record.json":
            record = records.read(uid)
            if record is not None:
                records.reindex(record)
                found.add(uid)
    removed = 0
    for key in entries:
        entry = parse_index_key(key)
        if entry is not None and entry.uid not in found and records.read(entry.uid) is None:
            store.delete(key)
            removed += 1
    return len(found), removed


def _keys(store: ObjectStore, prefix: str) -> Iterator[str]:
    last = ""
    while page := store.list(prefix, start_after=last):
        yield from page
        last = page[-1]
