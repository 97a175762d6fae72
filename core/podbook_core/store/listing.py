"""Everything below a prefix, page by page, and what the keys found there say. Blocks."""

from collections.abc import Iterator

from podbook_core.store.base import ObjectStore
from podbook_core.store.keys import EXECUTIONS, IDEMPOTENCY, INPUTS, RECORD_FILE, REQUESTS, parse_execution_key

__all__ = ["all_keys", "idempotency_digests", "input_digests", "recorded_uids", "request_digests"]


def all_keys(store: ObjectStore, prefix: str) -> Iterator[str]:
    """Every key that starts with a prefix, in order. What is written or removed meanwhile may be among them or not."""
    last = ""
    while page := store.list(prefix, start_after=last):
        yield from page
        last = page[-1]


def recorded_uids(store: ObjectStore) -> Iterator[str]:
    """The uid of every execution that has a record."""
    for key in all_keys(store, EXECUTIONS):
        found = parse_execution_key(key)
        if found is not None and found[1] == RECORD_FILE:
            yield found[0]


def input_digests(store: ObjectStore) -> Iterator[str]:
    """The SHA-256 of every input file."""
    return (key.removeprefix(INPUTS) for key in all_keys(store, INPUTS))


def request_digests(store: ObjectStore) -> Iterator[str]:
    """The SHA-256 of every HTTP request that was sent to a notebook."""
    return (key.removeprefix(REQUESTS) for key in all_keys(store, REQUESTS))


def idempotency_digests(store: ObjectStore) -> Iterator[str]:
    """What every idempotency key stands for."""
    return (key.removeprefix(IDEMPOTENCY) for key in all_keys(store, IDEMPOTENCY))
