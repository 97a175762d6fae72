"""Stored documents of a newer version are read as far as they are understood, and damaged ones are named; nothing is guessed."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Phase, Reason
from podbook_core.execution.stored import needs_newer, read_execution
from podbook_core.execution.task import Destination, InputSource, InvalidTaskError, Source, Task
from podbook_core.notebook.contract import RESERVED_KEYS, Contract, ContractError, parse_contract, read_contract
from podbook_core.notebook.versions import Asset, UnreadableVersionError, VersionStore, build_bundle
from podbook_core.results.record import RecordStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import current_key, name_key, record_key, version_prefix
from podbook_core.text.requirements import NewerPodbookError, check_requirements

from .builders import NOW, ended, execution

DAMAGED = [b"\xff\x00{", b"", b"[]", b"null", b"3", b'{"version": 3}', b"[" * 100_000, b'{"version": "../../../x"}']
TASK = Task(
    execution="analysis-1",
    uid="u1",
    notebook_name="analysis",
    version="0" * 64,
    notebook=Source("file:///n", "0" * 64),
    contract=Source("file:///c", "1" * 64),
    assets=None,
    inputs=(InputSource("in.csv", "file:///i", "3" * 64, 7),),
    parameters={"x": 1},
    destination=Destination("directory", "file:///s", "executions/u1/attempts/"),
    timeout_seconds=60,
)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def versions(store: DirectoryStore) -> VersionStore:
    return VersionStore(store)


BUNDLE = build_bundle("analysis", b'{"nbformat": 4}', Contract(title="T"), [Asset("a.py", b"1")])
PREFIX = version_prefix("analysis", BUNDLE.version)


# --- requires


@pytest.mark.parametrize("document", [{}, {"requires": []}, {"requires": None}, {"requires": ["warm"]}])
def test_requirements_that_are_known_are_met(document: dict[str, Any]) -> None:
    check_requirements(document, known=["warm"])


@pytest.mark.parametrize("names", [["warm", "cells"], "cells", [3], ["a\nb"], {"cells": True}])
def test_requirements_that_are_not_known_are_refused(names: Any) -> None:
    with pytest.raises(NewerPodbookError, match=r"^needs a newer Podbook: "):
        check_requirements({"requires": names}, known=["warm"])


# --- contracts


@pytest.mark.parametrize("key", [*RESERVED_KEYS, "colour", "requires"])
def test_keys_that_are_refused_when_published_are_passed_over_when_stored(key: str) -> None:
    data = json.dumps({"title": "T", key: []}).encode()
    with pytest.raises(ContractError, match=key):
        parse_contract(data, models=lambda _: None)
    assert read_contract(data) == Contract(title="T")


def test_a_stored_contract_says_what_it_requires() -> None:
    with pytest.raises(ContractError, match="needs a newer Podbook: response-cache"):
        read_contract(b'{"title": "T", "requires": ["response-cache"]}')


# --- versions and pointers


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_pointer_is_named_and_replaced(store: DirectoryStore, versions: VersionStore, data: bytes) -> None:
    versions.publish(BUNDLE, now=NOW)
    store.put(current_key("analysis"), data)
    with pytest.raises(UnreadableVersionError, match=r"notebooks/analysis/current\.json cannot be read"):
        versions.current("analysis")
    assert versions.publish(BUNDLE, now=NOW).version == BUNDLE.version
    assert versions.current("analysis") is not None


def test_a_notebook_with_a_damaged_pointer_is_unpublished(store: DirectoryStore, versions: VersionStore) -> None:
    store.put(current_key("analysis"), b"[]")
    assert versions.unpublish("analysis")
    assert versions.current("analysis") is None


@pytest.mark.parametrize("file", ["manifest.json", "contract.json"])
@pytest.mark.parametrize("data", [data for data in DAMAGED if b"version" not in data])
def test_a_damaged_version_is_named_and_published_again(
    store: DirectoryStore, versions: VersionStore, file: str, data: bytes
) -> None:
    versions.publish(BUNDLE, now=NOW)
    store.put(PREFIX + file, data)
    with pytest.raises(UnreadableVersionError, match=f"{PREFIX}{file} cannot be read") as caught:
        versions.load("analysis", BUNDLE.version)
    assert not caught.value.newer
    versions.publish(BUNDLE, now=NOW)
    assert versions.load("analysis", BUNDLE.version) is not None


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("notebook",), None),
        (("notebook", "sha256"), 3),
        (("contract",), []),
        (("contract", "sha256"), None),
        (("assets", "files"), [{"path": None}]),
        (("assets", "files"), {"path": "a.py"}),
        (("published",), "yesterday"),
    ],
    ids=str,
)
def test_a_member_of_another_type_is_damage(
    store: DirectoryStore, versions: VersionStore, place: tuple[str, ...], value: Any
) -> None:
    versions.publish(BUNDLE, now=NOW)
    raw = json.loads(store.get(PREFIX + "manifest.json", limit=2**30).data)
    node = raw
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
    store.put(PREFIX + "manifest.json", json.dumps(raw).encode())
    with pytest.raises(UnreadableVersionError):
        versions.load("analysis", BUNDLE.version)


@pytest.mark.parametrize("file", ["notebook.ipynb", "assets.tar"])
def test_other_damaged_files_are_written_again_too(store: DirectoryStore, versions: VersionStore, file: str) -> None:
    versions.publish(BUNDLE, now=NOW)
    whole = store.get(PREFIX + file, limit=2**30).data
    store.put(PREFIX + file, whole[:-1])
    versions.publish(BUNDLE, now=NOW)
    assert store.get(PREFIX + file, limit=2**30).data == whole


def test_a_version_of_a_newer_podbook_is_read_unless_it_says_otherwise(store: DirectoryStore, versions: VersionStore) -> None:
    versions.publish(BUNDLE, now=NOW)
    raw = json.loads(store.get(PREFIX + "manifest.json", limit=2**30).data)
    raw["notebook"]["language"] = "python"
    store.put(PREFIX + "manifest.json", json.dumps({**raw, "signature": "s"}).encode())
    assert versions.load("analysis", BUNDLE.version) is not None
    newer = json.dumps({**raw, "requires": ["signatures"]}).encode()
    store.put(PREFIX + "manifest.json", newer)
    with pytest.raises(UnreadableVersionError, match="needs a newer Podbook: signatures") as caught:
        versions.load("analysis", BUNDLE.version)
    assert caught.value.newer
    versions.publish(BUNDLE, now=NOW + timedelta(days=1))
    assert store.get(PREFIX + "manifest.json", limit=2**30).data == newer, "what a newer version wrote is not damage"


# --- tasks


def test_a_task_is_read_with_members_of_a_newer_version() -> None:
    raw = json.loads(TASK.to_json())
    raw["trace"] = "t"
    for part in (raw["notebook"], raw["contract"], raw["inputs"][0], raw["destination"]):
        part["later"] = 1
    assert Task.from_json(json.dumps(raw).encode()) == TASK


def test_a_task_says_what_it_requires_only_when_it_does() -> None:
    assert b"requires" not in TASK.to_json()
    with pytest.raises(InvalidTaskError, match="needs a newer Podbook: cells"):
        Task.from_json(json.dumps({**json.loads(TASK.to_json()), "requires": ["cells"]}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'"text"', b"{}", b'{"requires": 3}', b"[" * 100_000])
def test_what_is_no_task_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidTaskError):
        Task.from_json(data)


# --- executions


def test_fields_of_a_newer_spec_are_named_and_left_out() -> None:
    raw = execution(parameters={"deep": {"unknown": 1}}).document()
    raw["spec"] |= {"someday": {"path": "/"}, "outputs": {"pdf": True}}
    stored = read_execution(json.dumps(raw).encode())
    assert stored.newer == ("spec.outputs.pdf", "spec.someday")
    assert stored.execution == execution(parameters={"deep": {"unknown": 1}})
    assert read_execution(raw) == stored
    assert needs_newer("operator", stored.newer) == (
        "needs a newer operator: spec.outputs.pdf, spec.someday unknown to this version"
    )


def test_what_is_malformed_is_not_newer() -> None:
    raw = execution().document()
    raw["spec"] |= {"someday": {}, "retries": "many"}
    with pytest.raises(ValidationError):
        read_execution(raw)


@pytest.mark.parametrize(
    ("phase", "known"),
    [
        ("Pending", Reason.PENDING),
        ("Running", Reason.RUNNING),
        ("Succeeded", Reason.SUCCEEDED),
        ("Failed", Reason.CONFIGURATION_ERROR),
        ("Cancelled", Reason.CANCELLED),
        ("Resting", Reason.PENDING),
        (None, Reason.PENDING),
        (["Failed"], Reason.PENDING),
    ],
    ids=str,
)
def test_a_reason_of_a_newer_version_becomes_one_of_its_phase(phase: Any, known: Reason) -> None:
    raw = ended().document()
    raw["status"] |= {"reason": "Frozen", "phase": phase, "message": "x" * 1024}
    status = NotebookExecution.model_validate(raw).status
    assert status.reason is known
    assert isinstance(status.phase, Phase)
    assert status.message.startswith("Frozen (a reason unknown to this version): xxx")


def test_a_record_of_a_newer_version_is_read(store: DirectoryStore) -> None:
    RecordStore(store).close(ended(Reason.CELL_FAILED), None)
    raw = json.loads(store.get(record_key("u1"), limit=2**30).data)
    raw["signature"] = "s"
    raw["execution"]["spec"]["someday"] = {"path": "/"}
    raw["execution"]["status"] |= {"reason": "CellRejected", "since": 3}
    store.put(record_key("u1"), json.dumps(raw).encode())
    record = RecordStore(store).read("u1")
    assert record is not None
    assert record.execution.status.reason is Reason.CONFIGURATION_ERROR
    assert "CellRejected" in record.execution.status.message


# --- damaged records


@pytest.mark.parametrize("data", [b"\xff\x00{", b"[]", b"{}", b""])
def test_a_damaged_record_is_written_again_when_its_execution_ends(store: DirectoryStore, data: bytes) -> None:
    store.put(record_key("u1"), data)
    with pytest.raises(ValidationError):
        RecordStore(store).read("u1")
    written = RecordStore(store).close(ended(Reason.CELL_FAILED), None)
    assert RecordStore(store).read_by_name("analysis-1") == written


def test_a_damaged_name_keeps_no_record_from_being_forgotten_or_indexed(store: DirectoryStore) -> None:
    records = RecordStore(store)
    record = records.close(ended(), None)
    store.put(name_key("analysis-1"), b"\xff\xfe")
    records.reindex(record)
    assert records.read_by_name("analysis-1") == record
    store.put(name_key("analysis-1"), b"\xff\xfe")
    records.forget(record)
    assert store.list("") == []


def test_a_name_that_leads_to_a_damaged_record_stays_when_another_one_is_forgotten(store: DirectoryStore) -> None:
    records = RecordStore(store)
    older = records.close(ended(), None)
    records.close(ended(uid="u2"), None)
    store.put(record_key("u2"), b"[]")
    records.forget(older)
    assert store.get(name_key("analysis-1"), limit=2**30).data == b"u2"
