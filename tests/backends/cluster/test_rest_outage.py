"""The REST API on a cluster whose API server goes away and comes back: what has ended stays readable, all else is a clear 503."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.backends.cluster.conftest import EXECUTIONS, NAMESPACE, ControlPlane
from tests.support.notebook_file import notebook_file

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous
from podbook_api.auth.links import LinkSigner
from podbook_api.backends.cluster.backend import KubernetesBackend
from podbook_api.services.context import Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.profiles import parse_profiles
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.results.record import RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore

pytestmark = pytest.mark.controlplane


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """With a notebook that ends at once, and one that runs until it is cancelled."""
    made = DirectoryStore(tmp_path)
    for name in ("quick", "long"):
        VersionStore(made).publish(build_bundle(name, notebook_file(["x = 1"]), None, ()), now=datetime.now(UTC))
    return made


@pytest_asyncio.fixture
async def rest(
    store: DirectoryStore, control_plane: ControlPlane, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of one replica."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    await client.delete(EXECUTIONS)
    with ContractValidator(workers=1) as validator:
        backend = KubernetesBackend(NAMESPACE)
        settings = ApiSettings(data_dir=store.root)
        app = create_app(
            Context(store, backend, validator, parse_profiles(None), Anonymous(), LinkSigner.random(), settings, NoFolder())
        )
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as made:
            yield made


@pytest.mark.usefixtures("player")
async def test_an_outage_of_the_api_server(
    rest: httpx.AsyncClient, client: httpx.AsyncClient, store: DirectoryStore, control_plane: ControlPlane
) -> None:
    done = await rest.post("/v1/notebooks/quick/executions", headers={"Prefer": "wait=60"})
    running = await rest.post("/v1/notebooks/long/executions")
    assert (done.status_code, running.status_code) == (200, 202)
    ended, alive = done.headers["Location"], running.headers["Location"]
    # The player plays the operator, except for the record.
    raw = (await client.get(f"{EXECUTIONS}/{done.json()['id']}")).json()
    RecordStore(store).close(NotebookExecution.model_validate(raw), None)

    control_plane.kill_api_server()
    try:
        for method, path in (
            ("GET", alive),
            ("POST", f"{alive}/cancel"),
            ("POST", "/v1/notebooks/quick/executions"),
            ("POST", "/v1/run/quick"),
            ("POST", f"{ended}/rerun"),
            ("DELETE", ended),
            ("GET", "/v1/executions/never-was-1"),
        ):
            answer = await rest.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (503, "BackendUnavailable"), (method, path)
            assert int(answer.headers["Retry-After"]) > 0
        read = await rest.get(ended)
        assert (read.status_code, read.json()["status"]["reason"]) == (200, "Succeeded")
        assert (await rest.get(f"{ended}/logs")).status_code == 200
        listed = (await rest.get("/v1/executions", params={"phase": "Succeeded"})).json()["items"]
        assert [item["id"] for item in listed] == [done.json()["id"]]
        assert (await rest.get("/metrics")).status_code == 200
        assert (await rest.get("/healthz")).status_code == 200
    finally:
        control_plane.start_api_server()

    # Everything is as if nothing had happened, without anybody's doing.
    assert (await rest.post(f"{alive}/cancel")).status_code == 200
    again = await rest.post("/v1/notebooks/quick/executions", headers={"Prefer": "wait=60"})
    assert (again.status_code, again.json()["status"]["reason"]) == (200, "Succeeded")
    ids = [item["id"] for item in (await rest.get("/v1/executions")).json()["items"]]
    assert sorted(ids) == sorted(answer.json()["id"] for answer in (done, running, again))
