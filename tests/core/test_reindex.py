"""A store set right from its records: lists, names, and results that were copied and so have other ETags."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from podbook_core.execution.manifest import StoredFile
from podbook_core.execution.reasons import Reason
from podbook_core.results.index import Entry as IndexEntry
from podbook_core.results.index import index_keys, milliseconds
from podbook_core.results.record import RecordStore
from podbook_core.store.base import ObjectInfo, PreconditionFailedError, StoreUnavailableError
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import attempt_prefix, record_key
from podbook_core.text.digests import sha256_hex
from podbook_core.upkeep.reindex import Rebuilt, rebuild_index
from podbook_core.upkeep.repin import repin

from .builders import NOW, ended, manifest

OUTPUT, PLOT = b'{"total": 3}', b"png"
FILES = {"output.json": OUTPUT, "files/plot.png": PLOT}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def close(store: DirectoryStore, uid: str = "u1") -> None:
    """An execution that ended with two results."""
    files = []
    for name, data in FILES.items():
        store.put(attempt_prefix(uid, "p1") + name, data)
        files.append(StoredFile(name, len(data), sha256_hex(data), "application/json"))
    RecordStore(store).close(ended(uid=uid, name=f"analysis-{uid}"), manifest("Succeeded", *files))


def edit(store: DirectoryStore, change: Callable[[dict[str, Any]], None], uid: str = "u1") -> None:
    """Change a record behind Podbook's back."""
    document = json.loads(store.get(record_key(uid), limit=2**30).data)
    change(document)
    store.put(record_key(uid), json.dumps(document).encode())


def from_a_bucket(record: dict[str, Any]) -> None:
    """As if the record came from a store that makes ETags in another way, and from a newer version."""
    for item in record["objects"]:
        item["etag"] = "d41d8cd98f00b204e9800998ecf8427e-2"
        item["checksumOfTheFuture"] = "abc"
    record["execution"]["status"]["weather"] = "fine"


def readable(store: DirectoryStore, uid: str = "u1") -> dict[str, bool]:
    """Which results are what their record says, as readers ask for them."""
    record = RecordStore(store).read(uid)
    assert record is not None
    answers = {}
    for item in record.objects:
        try:
            store.get(item.key, if_match=item.etag, limit=2**30)
            answers[item.name] = True
        except PreconditionFailedError:
            answers[item.name] = False
    return answers


def reindex(store: DirectoryStore) -> tuple[Rebuilt, list[str]]:
    """What the command does, and what it says."""
    said: list[str] = []
    return rebuild_index(store, said.append), said


def test_lists_and_names_come_back_from_the_records(store: DirectoryStore) -> None:
    records = RecordStore(store)
    for number in range(3):
        execution = ended(
            Reason.CANCELLED, f"u{number}", f"analysis-{number}", created=NOW + timedelta(days=number), submitted_by="ci"
        )
        records.close(execution, None)
    before = store.list("")
    store.delete_prefix("index/")
    store.delete_prefix("names/")
    (stray, *_) = index_keys(IndexEntry(milliseconds(NOW), "u9", Reason.SUCCEEDED), notebook="analysis", submitter=None)
    store.put(stray, b"")
    assert reindex(store) == (Rebuilt(indexed=3, removed=1, pinned=0, damaged=0), [])
    assert store.list("") == before
    assert reindex(store) == (Rebuilt(indexed=3, removed=0, pinned=0, damaged=0), [])


@pytest.mark.parametrize("newer", ["u1", "u2"])
def test_a_name_leads_to_its_newest_execution_again(store: DirectoryStore, newer: str) -> None:
    records = RecordStore(store)
    for uid in sorted(["u1", "u2"], key=newer.__eq__):
        records.close(ended(uid=uid, created=NOW + timedelta(hours=uid == newer)), None)
    store.delete_prefix("names/")
    for _ in range(2):
        reindex(store)
        found = records.read_by_name("analysis-1")
        assert found is not None
        assert found.execution.uid == newer


def test_copied_results_are_read_again(store: DirectoryStore) -> None:
    close(store)
    edit(store, from_a_bucket)
    before = json.loads(store.get(record_key("u1"), limit=2**30).data)
    assert readable(store) == {"output.json": False, "files/plot.png": False}
    assert reindex(store) == (Rebuilt(indexed=1, removed=0, pinned=2, damaged=0), [])
    assert readable(store) == {"output.json": True, "files/plot.png": True}
    after = json.loads(store.get(record_key("u1"), limit=2**30).data)
    for record in (before, after):
        for item in record["objects"]:
            del item["etag"]
    assert after == before  # also what this version does not know
    written = store.get(record_key("u1"), limit=2**30)
    assert reindex(store) == (Rebuilt(indexed=1, removed=0, pinned=0, damaged=0), [])
    assert store.get(record_key("u1"), limit=2**30) == written


def test_what_is_not_what_the_record_says_stays_unread(store: DirectoryStore) -> None:
    close(store)
    edit(store, from_a_bucket)
    store.put(attempt_prefix("u1", "p1") + "output.json", b'{"total": 4}')  # as long as the real one
    assert reindex(store) == (
        Rebuilt(indexed=1, removed=0, pinned=1, damaged=1),
        ["executions/u1/attempts/p1/output.json is missing or is not what its record says"],
    )
    assert readable(store) == {"output.json": False, "files/plot.png": True}
    store.put(attempt_prefix("u1", "p1") + "output.json", OUTPUT)
    store.delete(attempt_prefix("u1", "p1") + "files/plot.png")
    assert reindex(store)[0] == Rebuilt(indexed=1, removed=0, pinned=1, damaged=1)


def test_a_damaged_record_is_named_and_keeps_nobody_else_from_it(store: DirectoryStore) -> None:
    for uid in ("u1", "u2", "u3"):
        close(store, uid)
    store.put(record_key("u2"), b'{"apiVersion": ')
    listed = store.list("index/")
    assert reindex(store) == (
        Rebuilt(indexed=2, removed=0, pinned=0, damaged=1),
        ["executions/u2/record.json cannot be read as a record"],
    )
    assert store.list("index/") == listed


class Meddled(DirectoryStore):
    """A store in which somebody does something to a record just before it is being rewritten."""

    def __init__(self, root: Path, meddle: Callable[[DirectoryStore], None], times: int) -> None:
        super().__init__(root)
        self.meddle, self.times = meddle, times

    @override
    def put(self, key: str, data: bytes | Path, **condition: Any) -> ObjectInfo:
        if self.times and key == record_key("u1"):
            self.times -= 1
            self.meddle(DirectoryStore(self.root))
        return super().put(key, data, **condition)


def forget(store: DirectoryStore) -> None:
    """Remove the execution."""
    record = RecordStore(store).read("u1")
    assert record is not None
    RecordStore(store).forget(record)


def touch(store: DirectoryStore) -> None:
    """Write another record."""
    edit(store, lambda record: record["execution"]["status"].update(attempts=record["execution"]["status"].get("attempts", 0) + 1))


def test_what_is_removed_meanwhile_stays_removed(store: DirectoryStore) -> None:
    close(store)
    edit(store, from_a_bucket)
    rebuilt = rebuild_index(Meddled(store.root, forget, 1), lambda _: None)
    assert rebuilt == Rebuilt(indexed=0, removed=0, pinned=0, damaged=0)
    assert store.list("") == []


def test_what_is_written_meanwhile_is_not_lost(store: DirectoryStore) -> None:
    close(store)
    edit(store, from_a_bucket)
    again = repin(Meddled(store.root, touch, 2), "u1")
    assert again is not None
    assert (again.pinned, again.record.execution.status.attempts) == (2, 2)
    assert RecordStore(store).read("u1") == again.record


def test_there_is_an_end_to_trying(store: DirectoryStore) -> None:
    close(store)
    edit(store, from_a_bucket)
    with pytest.raises(StoreUnavailableError, match="keeps being changed"):
        repin(Meddled(store.root, touch, 1000), "u1")


def test_without_a_record_there_is_nothing_to_pin(store: DirectoryStore) -> None:
    assert repin(store, "u1") is None
