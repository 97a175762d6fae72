"""Executions whose notebook cannot be read any more, or that a newer server left: each ends truthfully or waits, and keeps no slot."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.backends.embedded.conftest import StartBackend
from tests.backends.embedded.samples import new_execution, settle
from tests.support.notebook_file import notebook_file
from tests.support.serving import Server

from podbook_api.backends.embedded.data_dir import DataDir
from podbook_core.execution.reasons import Reason
from podbook_core.notebook.versions import VersionStore
from podbook_core.results.record import RecordStore
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import current_key, record_key, version_prefix


def damage(store: DirectoryStore, name: str, file: str = "manifest.json", data: bytes = b"[]") -> None:
    """Damage a file of a notebook's current version."""
    pointer = VersionStore(store).current(name)
    assert pointer is not None
    store.put(version_prefix(name, pointer.version) + file, data)


async def test_an_accepted_execution_whose_version_was_damaged_ends_and_frees_its_slot(
    start_backend: StartBackend, store: DirectoryStore, data: DataDir
) -> None:
    first = await start_backend(max_concurrent=1)
    running = await first.create(new_execution("sleeper", parameters={"seconds": 60}))
    waiting = await first.create(new_execution("double", parameters={"x": 1}))
    other = await first.create(new_execution("raising"))
    await first.stop()
    damage(store, "double")

    second = await start_backend(max_concurrent=1)
    await second.cancel(running.name)
    ended = await settle(second, waiting.name)
    assert ended.status.reason is Reason.INVALID_NOTEBOOK
    assert "manifest.json cannot be read" in ended.status.message
    assert (await settle(second, other.name)).status.reason is Reason.CELL_FAILED
    assert list(data.live.iterdir()) == []


async def test_what_a_newer_contract_requires_is_named_in_the_end(start_backend: StartBackend, store: DirectoryStore) -> None:
    damage(store, "double", "contract.json", b'{"requires": ["response-cache"]}')
    backend = await start_backend()
    created = await backend.create(new_execution("double", parameters={"x": 1}))
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.INVALID_NOTEBOOK
    assert "needs a newer Podbook: response-cache" in ended.status.message


async def test_a_damaged_pointer_ends_what_names_no_version(start_backend: StartBackend, store: DirectoryStore) -> None:
    store.put(current_key("double"), b"\xff\x00{")
    backend = await start_backend()
    created = await backend.create(new_execution("double", parameters={"x": 1}))
    assert (await settle(backend, created.name)).status.reason is Reason.INVALID_NOTEBOOK


async def test_a_store_that_is_away_is_waited_for(
    start_backend: StartBackend, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await start_backend(max_concurrent=1)
    running = await first.create(new_execution("sleeper", parameters={"seconds": 60}))
    waiting = await first.create(new_execution("double", parameters={"x": 1}))
    await first.stop()
    answer, asked = store.get, asyncio.Event()
    away = True

    def get(key: str, **options: object) -> object:
        if away and key.startswith("notebooks/double/"):
            loop.call_soon_threadsafe(asked.set)
            raise StoreUnavailableError("away")
        return answer(key, **options)  # type: ignore[arg-type] # passed on

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(store, "get", get)
    second = await start_backend(max_concurrent=1)
    await second.cancel(running.name)
    await asyncio.wait_for(asked.wait(), 30)
    away = False
    assert (await settle(second, waiting.name)).status.reason is Reason.SUCCEEDED


async def test_a_damaged_record_keeps_no_execution_from_its_end(start_backend: StartBackend, store: DirectoryStore) -> None:
    first = await start_backend(max_concurrent=1)
    await first.create(new_execution("sleeper", parameters={"seconds": 1}))
    waiting = await first.create(new_execution("double", parameters={"x": 1}))
    await first.stop()
    store.put(record_key(waiting.uid), b"[]")
    second = await start_backend(max_concurrent=1)
    assert (await settle(second, waiting.name)).status.reason is Reason.SUCCEEDED
    record = RecordStore(store).read(waiting.uid)
    assert record is not None
    assert record.find("output.json") is not None


async def newer_document(start_backend: StartBackend, data: DataDir) -> tuple[str, Path, bytes]:
    """An execution that a newer server left waiting: name, document and its content."""
    first = await start_backend(max_concurrent=1)
    await first.create(new_execution("sleeper", parameters={"seconds": 1}))
    waiting = await first.create(new_execution("double", parameters={"x": 1}))
    await first.stop()
    path = data.live / f"{waiting.name}.json"
    raw = json.loads(path.read_bytes())
    raw["spec"]["newerField"] = {"path": "/"}
    path.write_text(json.dumps(raw))
    return waiting.name, path, path.read_bytes()


async def test_an_execution_of_a_newer_server_waits_for_one(start_backend: StartBackend, data: DataDir) -> None:
    name, path, content = await newer_document(start_backend, data)
    second = await start_backend(max_concurrent=1)
    shown = await second.get(name)
    assert shown is not None
    assert "needs a newer Podbook: spec.newerField" in shown.status.message
    # The others have their turn, and it stays as it was written.
    other = await second.create(new_execution("double", parameters={"x": 2}))
    assert (await settle(second, other.name)).status.reason is Reason.SUCCEEDED
    assert path.read_bytes() == content
    await second.stop()

    raw = json.loads(content)
    del raw["spec"]["newerField"]  # what a newer server would understand
    path.write_text(json.dumps(raw))
    third = await start_backend()
    assert (await settle(third, name)).status.reason is Reason.SUCCEEDED


async def test_an_execution_of_a_newer_server_can_be_cancelled(start_backend: StartBackend, data: DataDir) -> None:
    name, path, _ = await newer_document(start_backend, data)
    second = await start_backend()
    await second.cancel(name)
    assert (await settle(second, name)).status.reason is Reason.CANCELLED
    assert not path.exists()


@pytest.mark.parametrize(("file", "data"), [("current.json", b"\xff\x00{"), ("manifest.json", b"[]"), ("contract.json", b"{")])
def test_a_server_starts_and_publishes_the_folders_notebook_again(tmp_path: Path, file: str, data: bytes) -> None:
    with Server(tmp_path) as server:
        for name in ("double", "extra"):
            (server.notebooks / f"{name}.ipynb").write_bytes(notebook_file(["x = 1"]))
            (server.notebooks / f"{name}.config.json").write_text('{"title": "T"}')
        server.start()
        server.kill()
        store = DirectoryStore(server.data / "store")
        (server.notebooks / "extra.ipynb").unlink()
        (server.data / "folder.json").write_text('["double"]')  # extra was published over REST
        for name in ("double", "extra"):
            if file == "current.json":
                store.put(current_key(name), data)
            else:
                damage(store, name, file, data)
        server.start()
        assert [line for line in server.output.splitlines() if f"notebooks/double/{file}" in line or f"/{file} cannot" in line]
        assert "Traceback" not in server.output
        versions = VersionStore(store)
        pointer = versions.current("double")
        assert pointer is not None
        assert versions.load("double", pointer.version) is not None
