"""The steps of sweeping a store; what each program makes of them is tested with it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec, Status
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.record import RecordStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.upkeep.sweeping import StoreSweep

NOW = datetime(2030, 6, 15, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"{}", b"[" * 100_000, b'{"name": "a", "time": "soon"}', b'{"name": "a", "time": 5}']
)
def test_an_idempotency_entry_that_cannot_be_read_is_left_and_the_others_go(store: DirectoryStore, content: bytes) -> None:
    store.put("idempotency/a", content)
    store.put("idempotency/b", b'{"bodyDigest": "", "name": "gone", "time": "2030-06-01T00:00:00+00:00"}')
    sweep = StoreSweep(store, days=0, clock=lambda: NOW)
    assert sweep.remove_idempotency(sweep.idempotency_digests(), ()) == 1
    assert store.list("idempotency/") == ["idempotency/a"]


def test_what_vanishes_meanwhile_is_no_error(store: DirectoryStore) -> None:
    sweep = StoreSweep(store, days=7, clock=lambda: NOW)
    assert sweep.remove_idempotency(["gone"], ()) == 0
    assert sweep.remove_unrecorded({"gone"}) == 0
    assert sweep.remove_expired() == 0


def test_a_removal_that_was_interrupted_is_ended(store: DirectoryStore) -> None:
    store.put(f"index/all/{10**13 - 1:013d}-gone-Succeeded", b"")
    assert StoreSweep(store, days=7, clock=lambda: NOW).remove_expired() == 0
    assert store.list("index/") == []


def test_a_record_that_cannot_be_read_is_left_and_the_others_go(store: DirectoryStore) -> None:
    ended = NOW - timedelta(days=9)
    for uid in ("a", "b", "c"):
        execution = NotebookExecution(
            metadata=Metadata(name=f"nb-{uid}", uid=uid, creation_timestamp=ended), spec=Spec(notebook=NotebookRef(name="nb"))
        )
        closed = execution.with_status(advance(Status(), Change(Reason.CANCELLED), generation=1, now=ended))
        RecordStore(store).close(closed, None)
        store.put(f"idempotency/{uid}", json.dumps({"bodyDigest": "", "name": f"nb-{uid}", "time": ended.isoformat()}).encode())
    store.put("executions/b/record.json", b"{")
    sweep = StoreSweep(store, days=7, clock=lambda: NOW)
    assert sweep.remove_idempotency(sweep.idempotency_digests(), ()) == 2
    assert sweep.remove_expired() == 2
    assert sweep.remove_unrecorded({"b"}) == 0
    assert store.list("executions/") == ["executions/b/record.json"]
    assert store.list("idempotency/") == ["idempotency/b"]
