"""Health, readiness, metrics and documentation, and errors nobody expected."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.notebook_file import notebook_file

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous
from podbook_api.auth.links import LinkSigner
from podbook_api.backends.base import BackendUnavailableError, InvalidExecutionError, QueueFullError
from podbook_api.services.context import Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.execution.profiles import parse_profiles
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore

from .scripted_backend import ScriptedBackend


@pytest.fixture
def validator() -> Iterator[ContractValidator]:
    """A validator that is closed."""
    with ContractValidator(workers=1) as made:
        yield made


def failing_client(folder: Path, validator: ContractValidator, error: Exception) -> httpx.AsyncClient:
    """A client of an application whose backend fails."""
    store = DirectoryStore(folder)
    context = Context(
        store,
        ScriptedBackend(error=error),
        validator,
        parse_profiles(None),
        Anonymous(),
        LinkSigner.random(),
        ApiSettings(data_dir=folder, cors_origins=("https://dashboard.example",)),
        NoFolder(),
    )
    VersionStore(store).publish(build_bundle("quiet", notebook_file(["x = 1"]), None, ()), now=context.clock())
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(context)), base_url="http://test")


async def test_an_outage_of_the_backend_is_said(tmp_path: Path, validator: ContractValidator) -> None:
    async with failing_client(tmp_path, validator, BackendUnavailableError("10.0.0.1 refuses", retry_after=7)) as client:
        for method, path in (("GET", "/v1/executions"), ("POST", "/v1/run/quiet"), ("GET", "/v1/executions/quiet-1")):
            response = await client.request(method, path)
            assert (response.status_code, response.json()["code"]) == (503, "BackendUnavailable")
            assert response.headers["Retry-After"] == "7"
            assert "10.0.0.1" not in response.text
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"status": "unavailable", "problems": ["backend"]})
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/v1/notebooks")).status_code == 200


async def test_an_outage_of_the_store_is_said(tmp_path: Path, validator: ContractValidator) -> None:
    async with failing_client(tmp_path / "store", validator, BackendUnavailableError("away")) as client:
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        (tmp_path / "store").write_text("a file where the folder was")
        response = await client.put(
            "/v1/notebooks/draft", content=notebook_file(["x = 1"]), headers={"Content-Type": "application/x-ipynb+json"}
        )
        assert (response.status_code, response.json()["code"]) == (503, "StoreUnavailable")
        assert response.headers["Retry-After"] == "5"
        assert str(tmp_path) not in response.text
        assert (await client.get("/readyz")).json()["problems"] == ["store", "backend"]


async def test_what_the_cluster_refuses_is_the_callers_to_mend(tmp_path: Path, validator: ContractValidator) -> None:
    async with failing_client(tmp_path, validator, InvalidExecutionError("spec.retries: a policy allows none")) as client:
        for path in ("/v1/run/quiet", "/v1/notebooks/quiet/executions"):
            response = await client.post(path)
            assert (response.status_code, response.json()["code"]) == (422, "InvalidExecution")
            assert "a policy allows none" in response.json()["detail"]


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path, validator: ContractValidator) -> None:
    async with failing_client(tmp_path, validator, QueueFullError(waiting=5, limit=5, retry_after=3)) as client:
        response = await client.post("/v1/run/quiet")
        assert (response.status_code, response.json()["code"], response.headers["Retry-After"]) == (429, "QueueFull", "3")


async def test_an_unexpected_error_tells_an_id_and_nothing_else(
    tmp_path: Path, validator: ContractValidator, caplog: pytest.LogCaptureFixture
) -> None:
    async with failing_client(tmp_path, validator, RuntimeError("secret detail")) as client:
        response = await client.post("/v1/run/quiet")
    assert (response.status_code, response.json()["code"]) == (500, "InternalError")
    assert "secret detail" not in response.text
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert response.json()["incident"] in errors[0].getMessage()


async def test_only_named_origins_may_call_from_pages(tmp_path: Path, validator: ContractValidator) -> None:
    async with failing_client(tmp_path, validator, RuntimeError()) as client:
        named = await client.get("/v1/notebooks", headers={"Origin": "https://dashboard.example"})
        other = await client.get("/v1/notebooks", headers={"Origin": "https://evil.example"})
    assert named.headers["access-control-allow-origin"] == "https://dashboard.example"
    assert "access-control-allow-origin" not in other.headers


def test_the_root_answers_as_it_always_has(client: httpx.Client) -> None:
    assert client.get("/").json() == {"message": "OK", "status-code": 200, "data": {}}


def test_it_lives_and_is_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}


def test_metrics_count_by_route_and_name_nothing(client: httpx.Client) -> None:
    client.get("/v1/executions/double-doesnotexist")
    text = client.get("/metrics").text
    assert 'podbook_api_request_seconds_count{method="GET",route="/v1/executions/{execution_id}",status="404"}' in text
    assert "doesnotexist" not in text


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_needs_no_other_host(client: httpx.Client, page: str) -> None:
    response = client.get(page)
    assert response.status_code == 200
    sources = [part.partition('"')[0] for key in ('src="', 'href="') for part in response.text.split(key)[1:]]
    assert sources
    for source in sources:
        assert source.startswith("/"), source
        assert client.get(source).status_code == 200, source
    assert "default-src 'none'" in response.headers["content-security-policy"]
