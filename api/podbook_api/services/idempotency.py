"""Idempotency keys: the same key of the same caller for the same notebook leads to one execution, on every replica, for a day.

An entry says which body a key was first used with, and the execution's name. The name is derived from the key, so the execution itself
is the lock; the entry only tells a repetition from a misuse. It counts until 24 hours after the execution's end.
"""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from podbook_api.problems import Code, ProblemError
from podbook_core.model import NotebookExecution
from podbook_core.store.base import KeyNotFoundError, ObjectStore, PreconditionFailedError
from podbook_core.store.keys import idempotency_key
from podbook_core.store.limits import MAX_IDEMPOTENCY_BYTES

__all__ = ["KEPT_AFTER_END", "Entry", "claim", "expired", "is_idempotency_key", "read"]

_LOG = logging.getLogger(__name__)
KEPT_AFTER_END = timedelta(hours=24)
_MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """What an idempotency key stands for."""

    body_digest: str
    """SHA-256 of the canonical JSON of what was asked for."""
    name: str
    """Name of the execution."""
    time: datetime
    """When the key was first used."""

    def to_json(self) -> bytes:
        """The document in the store."""
        raw = asdict(self)
        return json.dumps({"bodyDigest": raw["body_digest"], "name": self.name, "time": self.time.isoformat()}).encode()


def is_idempotency_key(text: str) -> bool:
    """Whether a header's value may be a key: 1 to 200 printable ASCII characters."""
    return 0 < len(text) <= _MAX_KEY and text.isascii() and text.isprintable()


def read(store: ObjectStore, digest: str) -> tuple[Entry, str] | None:
    """The entry of a key and its ETag, None when the key is new. Blocks.

    Members that a newer version added are passed over.

    Raises:
        ProblemError: 500 when it cannot be read. It is not taken for none: the key may have run something already.
    """
    try:
        found = store.get(idempotency_key(digest), limit=MAX_IDEMPOTENCY_BYTES)
    except KeyNotFoundError:
        return None
    try:
        raw = json.loads(found.data)
        entry = Entry(raw["bodyDigest"], raw["name"], datetime.fromisoformat(raw["time"]))
        readable = entry.time.tzinfo is not None and all(isinstance(text, str) for text in (entry.body_digest, entry.name))
    except (ValueError, TypeError, KeyError, RecursionError):
        readable = False
    if not readable:
        _LOG.error("%s cannot be read; whoever uses this key is refused until it is removed", idempotency_key(digest))
        raise ProblemError(
            500,
            Code.INTERNAL_ERROR,
            "what is stored about this Idempotency-Key cannot be read, so it cannot be said whether it has run something already: "
            "look for its execution, and take a new key if there is none",
        )
    return entry, found.info.etag


def claim(store: ObjectStore, digest: str, entry: Entry, *, replacing: str | None) -> Entry:
    """Take a key, or learn who was faster. Blocks.

    Args:
        store: the store.
        digest: what the key stands for.
        entry: what to write.
        replacing: ETag of an expired entry that is to be replaced.

    Returns:
        The entry that counts from now on.
    """
    try:
        store.put(
            idempotency_key(digest),
            entry.to_json(),
            media_type="application/json",
            if_none_match=replacing is None,
            if_match=replacing,
        )
    except PreconditionFailedError:
        found = read(store, digest)
        return entry if found is None else found[0]
    return entry


def expired(entry: Entry, execution: NotebookExecution | None, *, now: datetime) -> bool:
    """Whether a key may be used for something new: a day after the end, or after the first use when there is no such execution. Pure."""
    if execution is None:
        return now - entry.time > KEPT_AFTER_END
    ended = execution.status.completion_time
    return execution.status.terminal and ended is not None and now - ended > KEPT_AFTER_END
