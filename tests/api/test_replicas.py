"""Several replicas over one store: what was published through one of them is what every other runs."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tests.support.notebook_file import notebook_file

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous
from podbook_api.auth.links import LinkSigner
from podbook_api.services.context import Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.execution.profiles import parse_profiles
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore

from .scripted_backend import ScriptedBackend

NOTEBOOK = {"Content-Type": "application/x-ipynb+json"}


@pytest.fixture
def validator() -> Iterator[ContractValidator]:
    with ContractValidator(workers=1) as made:
        yield made


@pytest_asyncio.fixture
async def replicas(tmp_path: Path, validator: ContractValidator) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of two replicas."""
    parts = (parse_profiles(None), Anonymous(), LinkSigner.random(), ApiSettings(data_dir=tmp_path), NoFolder())
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            app = create_app(Context(DirectoryStore(tmp_path / "store"), ScriptedBackend(), validator, *parts))
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
            clients.append(await stack.enter_async_context(client))
        yield clients


async def runs(client: httpx.AsyncClient) -> str | None:
    """The version that a replica runs at this moment, None when it runs none."""
    answer = await client.post("/v1/notebooks/draft/executions")
    return answer.json()["spec"]["notebook"]["version"] if answer.status_code == 202 else None


async def test_a_publication_holds_for_every_replica_once_it_is_answered(replicas: list[httpx.AsyncClient]) -> None:
    first, second = replicas
    for number in range(4):
        await runs(second)  # it knows the version before
        published = await first.put("/v1/notebooks/draft", content=notebook_file([f"x = {number}"]), headers=NOTEBOOK)
        assert published.status_code in (200, 201)
        assert [await runs(second), await runs(first)] == [published.json()["version"]] * 2
        assert (await second.get("/v1/notebooks/draft")).json()["version"] == published.json()["version"]


async def test_what_was_taken_back_is_run_by_none(replicas: list[httpx.AsyncClient]) -> None:
    first, second = replicas
    await first.put("/v1/notebooks/draft", content=notebook_file(["x = 1"]), headers=NOTEBOOK)
    assert await runs(second) is not None
    assert (await first.delete("/v1/notebooks/draft")).status_code == 204
    assert [await runs(second), await runs(first)] == [None, None]
    assert (await first.put("/v1/notebooks/draft", content=notebook_file(["x = 2"]), headers=NOTEBOOK)).status_code == 201
    assert await runs(second) == await runs(first) is not None
