"""Results pinned again: a copy or a restore keeps their content and may change their ETags, by which readers ask for them.

A store makes ETags as it likes: from the content, from the parts it came in, from a key it is encrypted with. So another ETag alone says
nothing; what decides is the digest in the record, which is the runner's word of what it stored.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from podbook_core.results.record import Record, parse_record
from podbook_core.store.base import KeyNotFoundError, ObjectStore, PreconditionFailedError, StoreUnavailableError
from podbook_core.store.keys import attempts_prefix, record_key
from podbook_core.store.limits import MAX_RECORD_BYTES

__all__ = ["Repinned", "repin"]

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Repinned:
    """A record whose results have been looked at."""

    record: Record
    """As it is in the store now."""
    pinned: int
    """How many results got another ETag."""
    damaged: tuple[str, ...]
    """Keys of results that are missing, or have another content than the record says. They are not served, before and after."""


def repin(store: ObjectStore, uid: str) -> Repinned | None:
    """Pin the results of one ended execution to the ETags they have now, those whose content is what the record says. Blocks.

    The one place where a record is written again, and only if it is still the one that was read: a record that is removed meanwhile
    stays removed. Everything in it but the ETags stays, also what a newer version put there.

    Returns:
        The record; None when the execution has none.

    Raises:
        pydantic.ValidationError: there is one, and it cannot be read.
        StoreUnavailableError: the store cannot be used; it may be repeated.
    """
    for _ in range(_TRIES):
        try:
            stored = store.get(record_key(uid), limit=MAX_RECORD_BYTES)
        except KeyNotFoundError:
            return None
        record = parse_record(stored.data)
        etags, damaged = _changes(store, record)
        if not etags:
            return Repinned(record, 0, damaged)
        data = with_etags(stored.data, etags)
        try:
            store.put(record_key(uid), data, media_type="application/json", if_match=stored.info.etag)
        except PreconditionFailedError:
            continue  # it was removed, or another process does the same
        return Repinned(parse_record(data), len(etags), damaged)
    raise StoreUnavailableError(f"{record_key(uid)} keeps being changed by another writer")


def with_etags(record: bytes, etags: Mapping[int, str]) -> bytes:
    """A record with other ETags, by the place of the object in it. Pure."""
    document = json.loads(record)
    for place, etag in etags.items():
        document["objects"][place]["etag"] = etag
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _changes(store: ObjectStore, record: Record) -> tuple[dict[int, str], tuple[str, ...]]:
    """New ETags by place, and the keys of what is damaged. Only what has another ETag is read."""
    prefix = attempts_prefix(record.execution.uid)
    there = store.describe(prefix, [item.key.removeprefix(prefix) for item in record.objects if item.key.startswith(prefix)])
    etags: dict[int, str] = {}
    damaged: list[str] = []
    for place, item in enumerate(record.objects):
        info = there.get(item.key)
        if info is not None and info.etag == item.etag:
            continue
        found = _digest(store, item.key) if info is not None and info.size == item.size else None
        if found is None or found[0] != item.sha256:
            damaged.append(item.key)
        elif found[1] != item.etag:
            etags[place] = found[1]
    return etags, tuple(damaged)


def _digest(store: ObjectStore, key: str) -> tuple[str, str] | None:
    """SHA-256 and ETag of an object, of one and the same content; None when it is gone."""
    digest = hashlib.sha256()
    try:
        with store.open(key) as opened:
            for chunk in opened.chunks:
                digest.update(chunk)
            return digest.hexdigest(), opened.info.etag
    except KeyNotFoundError:
        return None
