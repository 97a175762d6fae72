"""A resource that no Python can parse is left out, and neither the watch nor a list ends with it."""

import asyncio
from pathlib import Path

import pytest
from tests.support.played_api_server import played_api_server

from podbook_api.backends.cluster.backend import KubernetesBackend


async def test_a_resource_of_absurd_depth_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    async with played_api_server(tmp_path):
        backend = KubernetesBackend("runs")
        await backend.start()
        try:
            async with asyncio.timeout(60):
                while not (known := await backend.live()):  # noqa: ASYNC110 - the list is learned by a task of the backend
                    await asyncio.sleep(0.05)
            assert [item.name for item in known] == ["honest"]
        finally:
            await backend.stop()
