"""What the operator reads from the store is checked before it is believed; and what it sweeps away."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from podbook_core.execution.acceptance import Refused
from podbook_core.execution.model import NotebookRef, Progress, Spec
from podbook_core.execution.profiles import parse_profiles
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change
from podbook_core.results.record import RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import attempt_prefix, idempotency_key, input_key, result_key
from podbook_operator.act.storage import Storage
from podbook_operator.upkeep.sweeper import Living, Sweeper, living

from .documents import NOW, RUNNING, UID, execution, manifest


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def storage(store: DirectoryStore) -> Iterator[Storage]:
    with ContractValidator() as validator:
        made = Storage(store, validator, threads=1)
        yield made
        made.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        manifest(uid="other").to_json(),
        manifest(attempt="p2").to_json(),
        manifest("NoSuchReason").to_json(),
        b"[" * 100_000,
        b"{}" + b" " * 2_000_000,
    ],
)
async def test_a_manifest_that_is_not_the_attempts_own_does_not_count(store: DirectoryStore, storage: Storage, data: bytes) -> None:
    store.put(result_key(UID, "p1"), data)
    assert await storage.manifest(UID, "p1") is None


async def test_a_manifest_is_read_and_a_missing_one_is_none(store: DirectoryStore, storage: Storage) -> None:
    assert await storage.manifest(UID, "p1") is None
    store.put(result_key(UID, "p1"), manifest().to_json())
    assert await storage.manifest(UID, "p1") == manifest()


async def test_every_attempt_is_found_and_files_named_like_a_manifest_are_none(store: DirectoryStore, storage: Storage) -> None:
    store.put(result_key(UID, "p1"), manifest("Interrupted").to_json())
    store.put(result_key(UID, "p2"), manifest(attempt="p2").to_json())
    store.put(attempt_prefix(UID, "p2") + "files/result.json", manifest().to_json())
    found = await storage.manifests(UID)
    assert {name: item.outcome for name, item in found.items() if item is not None} == {"p1": "Interrupted", "p2": "Succeeded"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"completed": 1, "total": 3, "cell": 2}', Progress(completed=1, total=3)),
        (b'{"completed": -1, "total": 3}', None),
        (b'{"completed": "many"}', None),
        (b"nothing", None),
        (b"[1]", None),
        (b" " * 10_000, None),
    ],
)
async def test_progress_is_untrusted(store: DirectoryStore, storage: Storage, data: bytes, expected: Progress | None) -> None:
    store.put(attempt_prefix(UID, "p1") + "progress.json", data)
    assert await storage.progress(UID, "p1") == expected


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"[" * 100_000])
async def test_a_stored_version_that_cannot_be_read_is_the_notebooks_fault(
    store: DirectoryStore, storage: Storage, content: bytes
) -> None:
    spec = Spec(notebook=NotebookRef(name="double", version="0" * 64))
    store.put(f"notebooks/double/versions/{spec.notebook.version}/manifest.json", content)
    answer = await storage.accept(spec, parse_profiles(None))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.INVALID_NOTEBOOK


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}"])
async def test_a_name_that_points_nowhere_sensible_is_refused_once(store: DirectoryStore, storage: Storage, data: bytes) -> None:
    store.put("notebooks/analysis/current.json", data)
    answer = await storage.accept(Spec(notebook=NotebookRef(name="analysis")), parse_profiles(None))
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.INVALID_NOTEBOOK
    assert "the stored notebook cannot be used" in answer.message


def sweeper(store: DirectoryStore, now: datetime, *, days: int = 0, alive: tuple[Living, ...] = ()) -> Sweeper:
    async def present() -> tuple[Living, ...]:
        return alive

    return Sweeper(store, alive=present, days=days, clock=lambda: now)


def test_results_are_removed_after_their_days_and_not_before(store: DirectoryStore) -> None:
    RecordStore(store).close(execution(RUNNING, Change(Reason.CELL_FAILED)), None)
    assert asyncio.run(sweeper(store, NOW + timedelta(days=400)).sweep()) == 0
    assert asyncio.run(sweeper(store, NOW + timedelta(days=6), days=7).sweep()) == 0
    assert asyncio.run(sweeper(store, NOW + timedelta(days=7), days=7).sweep()) == 1
    assert RecordStore(store).read(UID) is None
    assert store.list("index/") == []


def test_an_idempotency_key_goes_a_day_after_the_end(store: DirectoryStore) -> None:
    item = execution(RUNNING, Change(Reason.CELL_FAILED))
    key = idempotency_key("d1")
    store.put(key, json.dumps({"bodyDigest": "x", "name": item.name, "time": NOW.isoformat()}).encode())
    asyncio.run(sweeper(store, NOW + timedelta(days=9), alive=(Living(item.name, UID),)).sweep())
    assert store.head(key) is not None
    RecordStore(store).close(item, None)
    asyncio.run(sweeper(store, NOW + timedelta(hours=23)).sweep())
    assert store.head(key) is not None
    asyncio.run(sweeper(store, NOW + timedelta(hours=24)).sweep())
    assert store.head(key) is None


def test_what_an_execution_left_that_is_gone_is_removed_after_a_day(store: DirectoryStore) -> None:
    store.put(result_key(UID, "p1"), manifest().to_json())
    moment = NOW

    async def nobody() -> tuple[Living, ...]:
        return ()

    made = Sweeper(store, alive=nobody, days=0, clock=lambda: moment)
    asyncio.run(made.sweep())
    assert store.list("executions/") != []
    moment = NOW + timedelta(hours=25)
    asyncio.run(made.sweep())
    assert store.list("executions/") == []


def test_what_a_living_execution_writes_is_never_touched(store: DirectoryStore) -> None:
    store.put(result_key(UID, "p1"), manifest().to_json())
    for hours in (0, 25, 50):
        asyncio.run(sweeper(store, NOW + timedelta(hours=hours), alive=(Living("a", UID),)).sweep())
    assert store.list("executions/") != []


async def test_inputs_stay_while_an_execution_names_them(store: DirectoryStore) -> None:
    used, unused = "a" * 64, "b" * 64
    for digest in (used, unused):
        store.put(input_key(digest), b"1,2")
    body = {"metadata": {"name": "x", "uid": "u"}, "spec": {"inputs": [{"name": "a.csv", "sha256": used, "size": 3}]}}
    made = sweeper(store, datetime.now(UTC) + timedelta(hours=25), alive=(living(body),))
    assert [await made.sweep() for _ in range(3)] == [0, 1, 0]
    assert store.list("inputs/") == [input_key(used)]


@pytest.mark.parametrize("spec", [{}, {"spec": None}, {"spec": {}}, {"spec": {"inputs": None}}])
def test_an_execution_need_not_name_inputs(spec: dict[str, Any]) -> None:
    assert living({"metadata": {"name": "x", "uid": "u"}, **spec}) == Living("x", "u")
