"""While the place where executions run is away: what has ended is told from its record, all else is a clear 503, and nothing is lost."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.core.builders import NOW, ended, execution, manifest
from tests.support.notebook_file import notebook_file
from typing_extensions import override

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous
from podbook_api.auth.links import LinkSigner
from podbook_api.backends.base import BackendUnavailableError
from podbook_api.services.context import Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.execution.manifest import StoredFile
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.profiles import parse_profiles
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.results.record import RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import attempt_prefix
from podbook_core.text.digests import sha256_hex

from .scripted_backend import ScriptedBackend

AWAY = BackendUnavailableError("10.0.0.1 refuses", retry_after=7)
OUTPUT = b'{"answer": 42}'
RUNNING = execution("u2", "analysis-2")


class Fleeting(ScriptedBackend):
    """Goes away as soon as it has taken an execution."""

    @override
    async def create(self, execution: NotebookExecution) -> NotebookExecution:
        made = await super().create(execution)
        self.error = AWAY
        return made


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """With a notebook, and an execution of it that succeeded."""
    made = DirectoryStore(tmp_path)
    VersionStore(made).publish(build_bundle("analysis", notebook_file(["x = 1"]), None, ()), now=NOW)
    made.put(attempt_prefix("u1", "p1") + "output.json", OUTPUT, media_type="application/json")
    file = StoredFile("output.json", len(OUTPUT), sha256_hex(OUTPUT), "application/json")
    RecordStore(made).close(ended(), manifest("Succeeded", file))
    return made


@pytest.fixture
def validator() -> Iterator[ContractValidator]:
    with ContractValidator(workers=1) as made:
        yield made


def client_of(store: DirectoryStore, backend: ScriptedBackend, validator: ContractValidator) -> httpx.AsyncClient:
    """A client of an application over them."""
    context = Context(
        store,
        backend,
        validator,
        parse_profiles(None),
        Anonymous(),
        LinkSigner.random(),
        ApiSettings(data_dir=store.root),
        NoFolder(),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(context)), base_url="http://test")


@pytest_asyncio.fixture
async def client(store: DirectoryStore, validator: ContractValidator) -> AsyncIterator[httpx.AsyncClient]:
    """Its backend is away, and knew an execution that runs."""
    async with client_of(store, ScriptedBackend([RUNNING], error=AWAY), validator) as made:
        yield made


def refused(response: httpx.Response) -> bool:
    """Whether a response says in every way that it is an outage, and what is available all the same."""
    return (
        response.status_code == 503
        and response.json()["code"] == "BackendUnavailable"
        and response.headers["Retry-After"] == "7"
        and "can still be read" in response.json()["detail"]
        and "10.0.0.1" not in response.text
    )


async def test_what_has_ended_is_read_from_its_record(client: httpx.AsyncClient) -> None:
    read = await client.get("/v1/executions/analysis-1")
    assert (read.status_code, read.json()["status"]["reason"]) == (200, "Succeeded")
    assert (await client.get("/v1/executions/analysis-1/output")).json() == {"answer": 42}
    cancelled = await client.post("/v1/executions/analysis-1/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]["reason"]) == (200, "Succeeded")


async def test_of_what_runs_nothing_is_said(client: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/v1/executions/analysis-2"),
        ("GET", "/v1/executions/analysis-2/output"),
        ("GET", "/v1/executions/never-was-1"),
        ("POST", "/v1/executions/analysis-2/cancel"),
        ("POST", "/v1/executions/analysis-1/rerun"),
        ("POST", "/v1/notebooks/analysis/executions"),
        ("POST", "/v1/run/analysis"),
    ):
        assert refused(await client.request(method, path)), (method, path)


async def test_nothing_is_removed_by_half(client: httpx.AsyncClient) -> None:
    assert refused(await client.delete("/v1/executions/analysis-1"))
    assert (await client.get("/v1/executions/analysis-1/output")).json() == {"answer": 42}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"phase": "Succeeded"}, ["analysis-1"]),
        ({"reason": "Succeeded", "notebook": "analysis"}, ["analysis-1"]),
        ({"phase": "Failed"}, []),
        ({"phase": "Running"}, None),
        ({"reason": "Queued"}, None),
        ({"notebook": "analysis"}, None),
        ({}, None),
    ],
)
async def test_only_lists_of_ends_are_complete_without_it(
    client: httpx.AsyncClient, query: dict[str, str], names: list[str] | None
) -> None:
    listed = await client.get("/v1/executions", params=query)
    if names is None:
        assert refused(listed)
    else:
        assert (listed.status_code, [item["id"] for item in listed.json()["items"]]) == (200, names)


async def test_metrics_leave_out_what_is_not_known(client: httpx.AsyncClient) -> None:
    await client.get("/v1/executions")
    metrics = await client.get("/metrics")
    assert metrics.status_code == 200
    assert "podbook_executions_live{" not in metrics.text
    assert 'podbook_api_request_seconds_count{method="GET",route="/v1/executions",status="503"} 1.0' in metrics.text


@pytest.mark.parametrize("path", ["/v1/notebooks/analysis/executions", "/v1/run/analysis"])
async def test_what_was_accepted_is_not_called_refused(store: DirectoryStore, validator: ContractValidator, path: str) -> None:
    backend = Fleeting()
    async with client_of(store, backend, validator) as client:
        accepted = await client.post(path, headers={"Prefer": "wait=30"})
    assert accepted.status_code == 202
    assert accepted.headers["Location"] == f"/v1/executions/{backend.created[0].name}"


async def test_a_repetition_finds_the_end_of_the_first_request(store: DirectoryStore, validator: ContractValidator) -> None:
    backend = Fleeting()
    async with client_of(store, backend, validator) as client:
        first = await client.post("/v1/notebooks/analysis/executions", headers={"Idempotency-Key": "k"})
        assert first.status_code == 202
        assert refused(await client.post("/v1/notebooks/analysis/executions", headers={"Idempotency-Key": "k"}))
        made, now = backend.created[0], datetime.now(UTC)
        metadata = made.metadata.model_copy(update={"uid": "u9", "creation_timestamp": now})
        status = advance(made.status, Change(Reason.SUCCEEDED), generation=1, now=now)
        RecordStore(store).close(made.model_copy(update={"metadata": metadata, "status": status}), None)
        again = await client.post("/v1/notebooks/analysis/executions", headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(backend.created) == 1
