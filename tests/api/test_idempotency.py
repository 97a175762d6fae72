"""Idempotency keys: one execution per key, whatever happens in between."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.support.notebook_file import notebook_file
from tests.support.server import Server, running

from podbook_api.services.creation.idempotency import claim, is_idempotency_key, read
from podbook_api.settings import ApiSettings
from podbook_core.execution.idempotency import Entry, expired
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec, Status
from podbook_core.execution.reasons import Phase, Reason
from podbook_core.store.directory import DirectoryStore

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def test_the_same_request_twice_is_one_execution(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "order-1"}
    first = client.post("/v1/run/double", json={"x": 4}, headers=headers)
    second = client.post("/v1/run/double", json={"x": 4}, headers=headers)
    assert (first.json(), second.json()) == ({"twice": 8}, {"twice": 8})
    assert first.headers["Podbook-Execution"] == second.headers["Podbook-Execution"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"


def test_another_request_with_the_same_key_is_refused(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "order-2"}
    assert client.post("/v1/notebooks/quiet/executions", json={}, headers=headers).status_code == 202
    reused = client.post("/v1/notebooks/quiet/executions", json={"timeoutSeconds": 5}, headers=headers)
    assert (reused.status_code, reused.json()["code"]) == (422, "IdempotencyKeyReused")


def test_a_refused_request_does_not_take_the_key(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "order-3"}
    assert client.post("/v1/notebooks/double/executions", json={}, headers=headers).status_code == 422
    assert client.post("/v1/notebooks/double/executions", json={"parameters": {"x": 1}}, headers=headers).status_code == 202


def test_many_at_once_are_one_execution(server: Server) -> None:
    def submit(_: int) -> str:
        with server.client() as client:
            response = client.post("/v1/notebooks/quiet/executions", json={}, headers={"Idempotency-Key": "crowd"})
            assert response.status_code == 202
            identifier: str = response.json()["id"]
            return identifier

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(submit, range(16)))) == 1


def test_a_key_that_was_taken_just_before_a_crash_still_makes_its_execution(client: httpx.Client, server: Server) -> None:
    """The entry was written and the execution was not: the repetition creates it."""
    first = client.post("/v1/notebooks/quiet/executions", json={}, headers={"Idempotency-Key": "crash", "Prefer": "wait=60"})
    assert first.status_code == 200
    assert client.delete(first.headers["Location"]).status_code == 204
    again = client.post("/v1/notebooks/quiet/executions", json={}, headers={"Idempotency-Key": "crash", "Prefer": "wait=60"})
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["metadata"]["uid"] != first.json()["metadata"]["uid"]
    assert len([key for key in server.store.list("names/") if first.json()["id"] in key]) == 1


def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "quiet.ipynb").write_bytes(notebook_file(["x = 1"]))
    settings = ApiSettings(data_dir=tmp_path / "data", notebooks_dir=folder)
    answers = []
    for _ in range(2):
        with running(settings) as server, server.client() as client:
            response = client.post("/v1/run/quiet", json={"x": 2}, headers={"Idempotency-Key": "again"})
            assert response.status_code == 200
            answers.append((response.headers["Podbook-Execution"], response.headers.get("Idempotency-Replayed")))
    assert answers[0][0] == answers[1][0]
    assert [replayed for _, replayed in answers] == [None, "true"]


def test_a_key_whose_record_is_damaged_runs_nothing_again(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "quiet.ipynb").write_bytes(notebook_file(["x = 1"]))
    settings = ApiSettings(data_dir=tmp_path / "data", notebooks_dir=folder)
    headers = {"Idempotency-Key": "again", "Prefer": "wait=60"}
    with running(settings) as server, server.client() as client:
        assert client.post("/v1/notebooks/quiet/executions", json={}, headers=headers).status_code == 200
    (record,) = (tmp_path / "data").rglob("record.json")
    record.write_bytes(b"{")
    with running(settings) as server, server.client() as client:
        response = client.post("/v1/notebooks/quiet/executions", json={}, headers=headers)
        assert (response.status_code, response.json()["code"]) == (500, "InternalError")
        assert "cannot be read" in response.json()["detail"]
        assert client.get("/v1/executions").json()["items"] == []


@pytest.mark.parametrize("key", ["", "x" * 201, "caf\u00e9", "tab\there"])
def test_keys_are_short_and_printable(key: str) -> None:
    assert not is_idempotency_key(key)


def test_only_the_first_claim_counts(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = DirectoryStore(tmp_path_factory.mktemp("store"))
    first, second = Entry("a" * 64, "double-1", NOW), Entry("b" * 64, "double-1", NOW)
    assert claim(store, "d" * 64, first, replacing=None) == first
    assert claim(store, "d" * 64, second, replacing=None) == first
    known = read(store, "d" * 64)
    assert known is not None
    assert claim(store, "d" * 64, second, replacing=known[1]) == second
    assert claim(store, "d" * 64, first, replacing=known[1]) == second


@pytest.mark.parametrize(("ended_hours_ago", "is_expired"), [(None, False), (1, False), (23, False), (25, True)])
def test_a_key_is_free_a_day_after_the_end(ended_hours_ago: int | None, is_expired: bool) -> None:
    status = Status()
    if ended_hours_ago is not None:
        status = Status(phase=Phase.SUCCEEDED, reason=Reason.SUCCEEDED, completion_time=NOW - timedelta(hours=ended_hours_ago))
    execution = NotebookExecution(metadata=Metadata(name="double-1"), spec=Spec(notebook=NotebookRef(name="double")), status=status)
    entry = Entry("a" * 64, "double-1", NOW - timedelta(days=3))
    assert expired(entry, execution, now=NOW) is is_expired
    assert expired(entry, None, now=NOW) is True
