"""What may be removed: old records, idempotency keys that no longer count, and what nothing refers to. Pure."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from podbook_core.results.index import Entry, milliseconds
from podbook_core.store.keys import RECORD_FILE, parse_execution_key

__all__ = ["ORPHAN_AGE", "REQUEST_AGE", "may_be_expired", "orphaned_executions", "retention_over"]

ORPHAN_AGE = timedelta(hours=24)
"""Age from which something that nothing refers to is taken for forgotten, and not for just being written."""

REQUEST_AGE = timedelta(hours=1)
"""How long what an HTTP request said is kept: its headers and body may be confidential."""


def may_be_expired(entry: Entry, *, now: datetime, days: int) -> bool:
    """Whether an index entry is old enough for its record to be worth reading: nothing ends before it was created."""
    return entry.created_ms <= milliseconds(now - timedelta(days=days))


def retention_over(ended: datetime | None, created: datetime, *, now: datetime, days: int) -> bool:
    """Whether an ended execution has been kept long enough, counted from its end."""
    return (ended or created) <= now - timedelta(days=days)


def orphaned_executions(keys: Iterable[str], alive: Collection[str]) -> set[str]:
    """Uids of executions that left objects, and neither live nor have a record: those can never be read.

    Args:
        keys: keys below ``executions/``, of each execution all or none.
        alive: uids of live executions, read after the keys were listed.
    """
    seen: set[str] = set()
    recorded: set[str] = set()
    for key in keys:
        found = parse_execution_key(key)
        if found is None:
            continue
        uid, rest = found
        seen.add(uid)
        if rest == RECORD_FILE:
            recorded.add(uid)
    return seen - recorded - set(alive)
