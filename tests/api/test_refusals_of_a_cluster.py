"""What callers hear when the API server answers, and says no."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous
from podbook_api.auth.links import LinkSigner
from podbook_api.backends.cluster.backend import KubernetesBackend
from podbook_api.services.context import Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.execution.profiles import parse_profiles
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore

QUOTA = "exceeded quota: runs, requested: count/notebookexecutions.podbook.dev=1, used: 5, limited: 5"
RIGHT = 'cannot create resource "notebookexecutions" in API group "podbook.dev" in the namespace "runs"'


@pytest.mark.parametrize(
    ("message", "status", "code", "said"),
    [
        (f'notebookexecutions.podbook.dev "a" is forbidden: {QUOTA}', 429, "QueueFull", QUOTA),
        (f'notebookexecutions.podbook.dev is forbidden: User "system:x" {RIGHT}', 503, "ConfigurationError", RIGHT),
        ('admission webhook "w" denied the request: because', 422, "InvalidExecution", "because"),
        (
            'notebookexecutions.podbook.dev "a" is forbidden: status unknown for quota: runs',
            503,
            "BackendUnavailable",
            "retry later",
        ),
    ],
)
async def test_a_403_is_told_as_what_it_is(
    *, message: str, status: int, code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.json_response({"kind": "Status", "reason": "Forbidden", "message": message, "code": 403}, status=403)
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            await asyncio.sleep(3600)
            return stream
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "test", "user": {"token": "hush"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    store = DirectoryStore(tmp_path / "store")
    VersionStore(store).publish(build_bundle("report", b"{}", Contract(), []), now=datetime.now(UTC))
    with ContractValidator(workers=1) as validator:
        settings = ApiSettings(data_dir=tmp_path / "data")
        profiles, links = parse_profiles(None), LinkSigner.random()
        app = create_app(Context(store, KubernetesBackend("runs"), validator, profiles, Anonymous(), links, settings, NoFolder()))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test", timeout=60) as client,
        ):
            response = await client.post("/v1/notebooks/report/executions", json={})
    await runner.cleanup()
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert said in response.json()["detail"]
    assert "system:x" not in response.text
    assert (status == 422) or int(response.headers["Retry-After"]) > 0
