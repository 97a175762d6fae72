"""Kopf's watch and login, with objects so deep that no Python parses them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kopf
import pytest
import pytest_asyncio
from tests.support.played_api_server import played_api_server

from podbook_operator.facts.cache import Facts
from podbook_operator.facts.workqueue import WorkQueue
from podbook_operator.watch.handlers import register
from podbook_operator.watch.kopf_settings import kopf_settings
from podbook_operator.watch.login import login


@pytest_asyncio.fixture
async def api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The address of a played API server, where ``$KUBECONFIG`` leads."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    async with played_api_server(tmp_path) as url:
        yield url


@pytest.mark.usefixtures("api_server")
async def test_an_object_of_absurd_depth_ends_no_watch() -> None:
    facts, queue, registry, stop = Facts(1, {}), WorkQueue(), kopf.OperatorRegistry(), asyncio.Event()

    async def healthy() -> dict[str, Any]:
        return {}

    register(registry, facts, queue, synced=lambda: None, gone=lambda _: None, healthy=healthy)
    kopf.on.login(registry=registry, id="login")(login)
    running = asyncio.create_task(
        kopf.operator(registry=registry, settings=kopf_settings(), namespaces=["runs"], standalone=True, stop_flag=stop)
    )
    try:
        async with asyncio.timeout(60):
            while set(facts.entries) != {"listed", "deep", "honest"}:
                assert not running.done()
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await running
    assert facts.entries["deep"].uid == "uid-2"


async def test_a_login_is_the_same_while_its_credentials_are(api_server: str) -> None:
    """Else kopf would try one that was refused forever."""
    arguments = {"settings": kopf_settings()}
    first, second = await login(**arguments), await login(**arguments)
    assert first is not None
    assert second is not None
    assert first == second
    assert first.server == api_server
    assert "hush-hush" not in repr(first)
    for made in (first, second):
        await made.aiohttp_session.close()


async def test_without_a_cluster_there_is_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await login(settings=kopf_settings()) is None
