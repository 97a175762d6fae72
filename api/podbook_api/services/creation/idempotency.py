"""Idempotency keys in the store: read, taken, and given back. What follows from an entry is decided in :mod:`podbook_core.execution.idempotency`."""

import logging
from dataclasses import replace

from podbook_api.services.errors import UnreadableError
from podbook_core.execution.idempotency import Entry
from podbook_core.store.base import KeyNotFoundError, ObjectStore, PreconditionFailedError
from podbook_core.store.keys import idempotency_key
from podbook_core.store.limits import MAX_IDEMPOTENCY_BYTES

__all__ = ["claim", "is_idempotency_key", "read", "release"]

_LOG = logging.getLogger(__name__)
_MAX_KEY = 200


def is_idempotency_key(text: str) -> bool:
    """Whether a header's value may be a key: 1 to 200 printable ASCII characters."""
    return 0 < len(text) <= _MAX_KEY and text.isascii() and text.isprintable()


def read(store: ObjectStore, digest: str) -> tuple[Entry, str] | None:
    """The entry of a key and its ETag, None when the key is new. Blocks.

    Members that a newer version added are passed over.

    Raises:
        UnreadableError: it cannot be read. It is not taken for none: the key may have run something already.
    """
    try:
        found = store.get(idempotency_key(digest), limit=MAX_IDEMPOTENCY_BYTES)
    except KeyNotFoundError:
        return None
    try:
        return Entry.from_json(found.data), found.info.etag
    except ValueError:
        _LOG.exception(
            "%s cannot be read; requests with this idempotency key are refused until it is deleted", idempotency_key(digest)
        )
        raise UnreadableError(
            "the stored entry of this Idempotency-Key cannot be read, so it is unknown whether a request with it has run already: "
            "look for its execution, and use a new key if none exists",
        ) from None


def claim(store: ObjectStore, digest: str, entry: Entry, *, replacing: str | None) -> Entry:
    """Take a key, or learn who was faster. Blocks.

    Args:
        store: the store.
        digest: what the key stands for.
        entry: what to write.
        replacing: ETag of the entry that is to be replaced.

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


def release(store: ObjectStore, digest: str, name: str) -> None:
    """Give a key back whose execution could not be created, so that another request may have it. Blocks.

    The next request with it gets the same name, and so finds the execution if it was created after all.
    """
    found = read(store, digest)
    if found is not None and found[0].name == name and not found[0].released:
        claim(store, digest, replace(found[0], released=True), replacing=found[1])
