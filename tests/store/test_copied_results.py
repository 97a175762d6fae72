"""A backup that was restored elsewhere: the same keys and contents, other ETags. ``reindex`` makes the results readable again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from podbook_core.execution.manifest import AttemptManifest, StoredFile
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.record import Record, RecordStore
from podbook_core.store.base import ObjectStore, PreconditionFailedError
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import attempt_prefix
from podbook_core.store.s3 import S3Store
from podbook_core.text.digests import sha256_hex
from podbook_core.upkeep.reindex import Rebuilt, rebuild_index
from podbook_operator import reindex

from .conftest import PART_SIZE, S3Service

FILES = {"output.json": b'{"total": 3}', "files/large.bin": bytes(range(256)) * (PART_SIZE // 256 + 4)}
"""The large one is uploaded whole, and copied in parts."""


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ObjectStore]:
    """Makes an empty store of a kind."""

    def made(kind: str) -> ObjectStore:
        if kind == "directory":
            return DirectoryStore(tmp_path_factory.mktemp("store"))
        service: S3Service = request.getfixturevalue(f"{kind}_service")
        return service.new_store()

    return made


def close(store: ObjectStore) -> Record:
    """An execution that ended with results."""
    files = []
    for name, data in FILES.items():
        store.put(attempt_prefix("u1", "p1") + name, data)
        files.append(StoredFile(name, len(data), sha256_hex(data), "application/octet-stream"))
    execution = NotebookExecution(metadata=Metadata(name="analysis-1", uid="u1"), spec=Spec(notebook=NotebookRef(name="analysis")))
    status = advance(execution.status, Change(Reason.SUCCEEDED), generation=1, now=execution.created)
    time = "2025-03-01T12:00:00Z"
    manifest = AttemptManifest("u1", "p1", "Succeeded", "", None, time, time, 1.0, 2, 2, tuple(files), "0.1.0")
    return RecordStore(store).close(execution.with_status(status), manifest)


def copy(source: ObjectStore, target: ObjectStore, folder: Path) -> None:
    """Every object but the lists, from files: what is larger than a part goes in parts."""
    for key in source.list(""):
        if not key.startswith("index/"):
            (folder / "object").write_bytes(source.get(key, limit=2**30).data)
            target.put(key, folder / "object")


def read(store: ObjectStore) -> dict[str, bytes]:
    """Every result, as readers ask for it."""
    record = RecordStore(store).read_by_name("analysis-1")
    assert record is not None
    return {item.name: store.get(item.key, if_match=item.etag, limit=2**30).data for item in record.objects}


@pytest.mark.parametrize(
    ("source", "target", "pinned"),
    [("moto", "moto", 1), ("minio", "minio", 1), ("moto", "directory", 2), ("directory", "moto", 2), ("directory", "minio", 2)],
)
def test_copied_results_are_readable_after_reindex(
    make: Callable[[str], ObjectStore], tmp_path: Path, source: str, target: str, pinned: int
) -> None:
    before, after = make(source), make(target)
    record = close(before)
    copy(before, after, tmp_path)
    with pytest.raises(PreconditionFailedError):
        read(after)
    said: list[str] = []
    assert rebuild_index(after, said.append) == Rebuilt(indexed=1, removed=0, pinned=pinned, damaged=0)
    assert said == []
    assert read(after) == FILES
    assert after.list("index/") == before.list("index/")
    found = RecordStore(after).read("u1")
    assert found is not None
    assert found.execution == record.execution
    assert [(item.name, item.sha256) for item in found.objects] == [(item.name, item.sha256) for item in record.objects]
    assert rebuild_index(after, said.append) == Rebuilt(indexed=1, removed=0, pinned=0, damaged=0)


def test_the_command_beside_the_operator(
    moto_service: S3Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m podbook_operator.reindex``, with the operator's own settings."""
    name, service = "restored", moto_service
    before, after = DirectoryStore(tmp_path / "store"), S3Store(service.settings(name))
    after.ensure_bucket()
    close(before)
    copy(before, after, tmp_path)
    after.delete(attempt_prefix("u1", "p1") + "output.json")
    for variable, value in {
        "BUCKET": name,
        "ENDPOINT": service.endpoint,
        "ACCESS_KEY": service.access_key,
        "SECRET_KEY": service.secret_key,
    }.items():
        monkeypatch.setenv(f"PODBOOK_S3__{variable}", value)
    assert reindex.main() == 0
    printed = capsys.readouterr()
    assert printed.out == "1 records indexed, 0 entries without a record removed, 1 results pinned again, 1 missing or changed\n"
    assert printed.err == "executions/u1/attempts/p1/output.json is missing or is not what its record says\n"
