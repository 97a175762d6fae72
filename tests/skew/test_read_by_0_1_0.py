"""What this version writes is read by the code of 0.1.0: by its runner images, which are the users' own, and after a rollback."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.old_version import run, unpack

from podbook_core.execution.manifest import AttemptManifest, StoredFile
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.execution.task import Destination, InputSource, Source, Task
from podbook_core.execution.transitions import Change, advance
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import Asset, VersionStore, build_bundle
from podbook_core.results.record import RecordStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import attempt_prefix
from podbook_core.text.digests import sha256_hex

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TASK = Task(
    execution="double-1",
    uid="u1",
    notebook_name="double",
    version="0" * 64,
    notebook=Source("file:///n", "0" * 64),
    contract=Source("file:///c", "1" * 64),
    assets=Source("file:///a", "2" * 64),
    inputs=(InputSource("in.csv", "file:///i", "3" * 64, 7),),
    parameters={"x": 1},
    destination=Destination("post", "http://store/bucket", "executions/u1/attempts/", {"policy": "p"}),
    timeout_seconds=60,
)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("code"))


def test_a_task_is_read_by_its_runner(old: Path, tmp_path: Path) -> None:
    file = tmp_path / "task.json"
    file.write_bytes(TASK.to_json())
    program = (
        "import sys, json, pathlib, dataclasses\n"
        "from podbook_core.task import Task\n"
        "print(json.dumps(dataclasses.asdict(Task.from_json(pathlib.Path(sys.argv[1]).read_bytes()))))"
    )
    known = json.loads(run(old, program, str(file)))
    assert known == json.loads(TASK.to_json())
    assert set(known) == {item.name for item in fields(Task)} - {"report_violation", "request", "requires"}


def test_a_published_notebook_is_loaded(old: Path, tmp_path: Path) -> None:
    contract = Contract(title="T", input={"type": "object"}, assets=("a.py",), timeout_seconds=5)
    bundle = build_bundle("double", b'{"nbformat": 4}', contract, [Asset("a.py", b"1")])
    VersionStore(DirectoryStore(tmp_path)).publish(bundle, now=NOW)
    program = (
        "import sys, pathlib\n"
        "from podbook_core.store.directory import DirectoryStore\n"
        "from podbook_core.versions import VersionStore\n"
        "versions = VersionStore(DirectoryStore(pathlib.Path(sys.argv[1])))\n"
        "found = versions.load('double', versions.current('double').version)\n"
        "print(found.version, found.contract.title, found.asset_paths)"
    )
    assert run(old, program, str(tmp_path)).strip() == f"{bundle.version} T ('a.py',)"


def test_a_record_with_its_results_is_read(old: Path, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put(attempt_prefix("u1", "p1") + "output.json", b"42")
    created = NotebookExecution(
        metadata=Metadata(name="double-1", uid="u1", creation_timestamp=NOW),
        spec=Spec(notebook=NotebookRef(name="double"), parameters={"x": 21}),
    )
    ended = created.with_status(advance(created.status, Change(Reason.SUCCEEDED, "done"), generation=1, now=NOW))
    manifest = AttemptManifest(
        uid="u1",
        attempt="p1",
        outcome="Succeeded",
        message="",
        error=None,
        start_time="2026-05-01T00:00:00Z",
        end_time="2026-05-01T00:00:01Z",
        duration_seconds=1.0,
        cells_completed=1,
        cells_total=1,
        files=(StoredFile("output.json", 2, sha256_hex(b"42"), "application/json"),),
        runner_version="0.2.0",
    )
    RecordStore(store).close(ended, manifest)
    program = (
        "import sys, pathlib\n"
        "from podbook_core.store.directory import DirectoryStore\n"
        "from podbook_core.record import RecordStore\n"
        "store = DirectoryStore(pathlib.Path(sys.argv[1]))\n"
        "record = RecordStore(store).read_by_name('double-1')\n"
        "item = record.find('output.json')\n"
        "print(record.execution.status.reason, record.execution.spec.parameters, store.get(item.key, if_match=item.etag).data)"
    )
    assert run(old, program, str(tmp_path)).strip() == "Succeeded {'x': 21} b'42'"


def test_a_manifest_of_an_attempt_is_read_by_its_operator(old: Path) -> None:
    manifest = AttemptManifest(
        "u1", "p1", "CellFailed", "m", None, "2026-05-01T00:00:00Z", "2026-05-01T00:00:01Z", 1.0, 1, 2, (), "0.2.0"
    )
    program = (
        "import sys\nfrom podbook_core.attempt import AttemptManifest\n"
        "print(AttemptManifest.from_json(sys.argv[1].encode()).outcome)"
    )
    assert run(old, program, manifest.to_json().decode()).strip() == "CellFailed"
