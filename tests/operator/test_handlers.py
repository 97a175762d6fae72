"""From a watch to facts and keys, through kopf itself, from a server that plays an API server."""

import asyncio
from pathlib import Path
from typing import Any

import kopf
import pytest
from tests.support.played_api_server import played_api_server

from podbook_operator.facts.cache import Facts
from podbook_operator.facts.workqueue import WorkQueue
from podbook_operator.watch.handlers import register
from podbook_operator.watch.kopf_settings import kopf_settings
from podbook_operator.watch.login import login

from .documents import NAME, job_object, pod_object


@pytest.mark.parametrize(("plural", "item"), [("jobs", job_object()), ("pods", pod_object())], ids=["job", "pod"])
async def test_work_begins_where_only_a_job_or_a_pod_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plural: str, item: dict[str, Any]
) -> None:
    """Nobody else would take the key that was queued for it, and a key that waits for minutes fails the liveness probe."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    facts, queue, registry = Facts(1, {}), WorkQueue(), kopf.OperatorRegistry()
    synced, stop = asyncio.Event(), asyncio.Event()
    item["metadata"] |= {"namespace": "runs", "resourceVersion": "1"}

    async def healthy() -> dict[str, Any]:
        return {}

    register(registry, facts, queue, synced=synced.set, gone=lambda _: None, healthy=healthy)
    kopf.on.login(registry=registry, id="login")(login)
    async with played_api_server(tmp_path, {plural: [item]}):
        running = asyncio.create_task(
            kopf.operator(registry=registry, settings=kopf_settings(), namespaces=["runs"], standalone=True, stop_flag=stop)
        )
        try:
            async with asyncio.timeout(60):
                await synced.wait()
        finally:
            stop.set()
            await running
    assert queue.take() == NAME
