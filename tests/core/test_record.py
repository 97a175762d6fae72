"""The record is the commit point: written once, whoever comes first; everything else follows from it and can be repeated."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from podbook_core.execution.manifest import StoredFile
from podbook_core.execution.model import Results, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.results.index import parse_index_key
from podbook_core.results.record import RecordStore
from podbook_core.store.base import ObjectInfo, PreconditionFailedError, StoreUnavailableError
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import attempt_prefix
from podbook_core.text.digests import sha256_hex
from podbook_core.text.json_depth import MAX_NESTING

from .builders import NOW, ended, execution, manifest

OUTPUT = b'{"total": 3}'


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def records(store: DirectoryStore) -> RecordStore:
    return RecordStore(store)


def write(store: DirectoryStore, name: str, data: bytes, uid: str = "u1") -> StoredFile:
    """What an attempt wrote, and what it says of it."""
    store.put(attempt_prefix(uid, "p1") + name, data)
    return StoredFile(name, len(data), sha256_hex(data), "application/json")


def test_a_record_pins_what_the_attempt_wrote(store: DirectoryStore, records: RecordStore) -> None:
    files = [write(store, "output.json", OUTPUT), write(store, "files/plot.png", b"png")]
    missing = StoredFile("report.html", 5, "0" * 64, "text/html")
    shorter = StoredFile("notebook.ipynb", 9, "0" * 64, "application/x-ipynb+json")
    write(store, "notebook.ipynb", b"{}")
    record = records.close(ended(), manifest("Succeeded", *files, missing, shorter))
    assert records.read("u1") == record
    assert records.read_by_name("analysis-1") == record
    assert [item.name for item in record.objects] == ["output.json", "files/plot.png"]
    pinned = record.find("output.json")
    assert pinned is not None
    assert store.get(pinned.key, if_match=pinned.etag, limit=2**30).data == OUTPUT
    assert record.find("report.html") is None
    assert record.attempt == "p1"
    assert record.execution.status.results == Results(
        output="executions/u1/attempts/p1/output.json", record="executions/u1/record.json"
    )


def test_a_changed_result_is_noticed(store: DirectoryStore, records: RecordStore) -> None:
    record = records.close(ended(), manifest("Succeeded", write(store, "output.json", OUTPUT)))
    write(store, "output.json", b'{"total": 4}')
    pinned = record.objects[0]
    with pytest.raises(PreconditionFailedError):
        store.get(pinned.key, if_match=pinned.etag, limit=2**30)


def test_only_what_has_ended_has_a_record(records: RecordStore) -> None:
    with pytest.raises(ValueError, match="ended"):
        records.close(execution(), None)
    assert records.read("u1") is None
    assert records.read_by_name("analysis-1") is None


def test_an_execution_that_never_ran_has_one_too(records: RecordStore) -> None:
    record = records.close(ended(Reason.QUEUE_TIMED_OUT), None)
    assert (record.attempt, record.objects) == (None, [])
    assert records.read("u1") == record


def test_the_first_to_commit_has_decided(store: DirectoryStore) -> None:
    outcomes = [Reason.SUCCEEDED, Reason.CANCELLED, Reason.EVICTED, Reason.TIMED_OUT]
    for number in range(10):
        uid = f"u{number}"
        barrier = threading.Barrier(len(outcomes))

        def close(reason: Reason, uid: str = uid, barrier: threading.Barrier = barrier) -> Reason:
            barrier.wait(60)
            return RecordStore(DirectoryStore(store.root)).close(ended(reason, uid, uid), None).execution.status.reason

        with ThreadPoolExecutor(len(outcomes)) as pool:
            read = list(pool.map(close, outcomes))
        assert len(set(read)) == 1
        found = [parse_index_key(key) for key in store.list("index/all/")]
        assert [entry.reason for entry in found if entry is not None and entry.uid == uid] == [read[0]]


def test_closing_again_changes_nothing(store: DirectoryStore, records: RecordStore) -> None:
    first = records.close(ended(submitted_by="team"), manifest("Succeeded", write(store, "output.json", OUTPUT)))
    keys = store.list("")
    assert records.close(ended(Reason.CANCELLED, submitted_by="team"), None) == first
    assert store.list("") == keys
    assert [key.rpartition("/")[0] for key in store.list("index/")] == [
        "index/all",
        "index/notebook/analysis",
        "index/submitter/team",
    ]


class FailingStore(DirectoryStore):
    """A store that can be written only so many times more."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(root)
        self.writes = writes

    @override
    def put(self, key: str, data: bytes | Path, **condition: Any) -> ObjectInfo:
        """Write, or fail."""
        if self.writes == 0:
            raise StoreUnavailableError("away")
        self.writes -= 1
        return super().put(key, data, **condition)

    @override
    def delete(self, key: str) -> None:
        """Delete, or fail."""
        if self.writes == 0:
            raise StoreUnavailableError("away")
        self.writes -= 1
        super().delete(key)


@pytest.mark.parametrize("writes", range(5))
def test_a_close_that_was_interrupted_is_finished_by_the_next(tmp_path: Path, writes: int) -> None:
    with pytest.raises(StoreUnavailableError):
        RecordStore(FailingStore(tmp_path, writes)).close(ended(submitted_by="team"), None)
    store = DirectoryStore(tmp_path)
    RecordStore(store).close(ended(Reason.CANCELLED, submitted_by="team"), None)
    found = RecordStore(store).read_by_name("analysis-1")
    assert found is not None
    assert found.execution.status.reason is (Reason.CANCELLED if writes == 0 else Reason.SUCCEEDED)
    assert len(store.list("index/")) == 3
    assert all(key.endswith(str(found.execution.status.reason)) for key in store.list("index/"))


def test_forgetting_leaves_nothing(store: DirectoryStore, records: RecordStore) -> None:
    write(store, "progress.json", b"{}")
    record = records.close(ended(submitted_by="team"), manifest("Succeeded", write(store, "output.json", OUTPUT)))
    kept = records.close(ended(uid="u2", name="other"), None)
    records.forget(record)
    assert not [key for key in store.list("") if "u1" in key or "analysis-1" in key]
    assert records.read("u2") == kept
    records.forget(record)
    assert records.read_by_name("other") == kept


@pytest.mark.parametrize("deletions", range(5))
def test_forgetting_can_be_taken_up_again_by_name(tmp_path: Path, deletions: int) -> None:
    store = DirectoryStore(tmp_path)
    RecordStore(store).close(ended(), manifest("Succeeded", write(store, "output.json", OUTPUT)))
    failing = RecordStore(FailingStore(tmp_path, deletions))
    record = failing.read("u1")
    assert record is not None
    with pytest.raises(StoreUnavailableError):
        failing.forget(record)
    again = RecordStore(store).read_by_name("analysis-1") or RecordStore(store).read("u1")
    assert again is not None
    RecordStore(store).forget(again)
    assert store.list("") == []


def test_a_name_means_its_newest_execution(records: RecordStore) -> None:
    old = records.close(ended(uid="u1", name="again"), None)
    new = records.close(ended(uid="u2", name="again", created=NOW + timedelta(hours=1)), None)
    assert records.read_by_name("again") == new
    records.forget(old)
    assert records.read_by_name("again") == new
    assert records.read("u1") is None


def test_an_index_can_be_made_again(store: DirectoryStore, records: RecordStore) -> None:
    record = records.close(ended(submitted_by="team"), None)
    before = store.list("")
    store.delete_prefix("index/")
    store.delete_prefix("names/")
    records.reindex(record)
    assert store.list("") == before


def test_a_manifest_cannot_pin_the_objects_of_others(store: DirectoryStore, records: RecordStore) -> None:
    write(store, "output.json", OUTPUT, uid="u2")
    stolen = StoredFile("../../../u2/attempts/p1/output.json", len(OUTPUT), sha256_hex(OUTPUT), "application/json")
    assert records.close(ended(), manifest("Succeeded", stolen)).objects == []
    assert records.close(ended(uid="u3", name="n3"), manifest("Succeeded", attempt="../../u2/attempts/p1")).objects == []


def test_the_deepest_parameters_there_can_be_are_recorded(records: RecordStore) -> None:
    deep: Any = 1
    for _ in range(MAX_NESTING - 1):
        deep = [deep]
    known = ended()
    spec = Spec.model_validate({**known.spec.document(), "parameters": {"deep": deep}})
    records.close(known.model_copy(update={"spec": spec}), None)
    again = records.read(known.uid)
    assert again is not None
    assert again.execution.spec.parameters == {"deep": deep}
