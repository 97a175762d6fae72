"""A server that plays as much of an API server as it takes to watch NotebookExecutions, and gives objects of absurd depth.

A real one lets them through as well, up to 10,000 levels. It lists ``listed``, then tells of ``deep`` and of ``honest``; or whatever a
test wants to be listed, and then tells nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

__all__ = ["played_api_server"]

_DEEP = "[" * 10_000 + "]" * 10_000
_GROUPS = {"podbook.dev": "v1alpha1", "batch": "v1"}
_RESOURCES = {
    "/api/v1": {"pods": "Pod", "namespaces": "Namespace"},
    "/apis/batch/v1": {"jobs": "Job"},
    "/apis/podbook.dev/v1alpha1": {"notebookexecutions": "NotebookExecution"},
}


_Lists = Mapping[str, Sequence[Mapping[str, Any]]]


@asynccontextmanager
async def played_api_server(folder: Path, lists: _Lists | None = None) -> AsyncIterator[str]:
    """Its address; ``kubeconfig`` in the folder leads there, with the token ``hush-hush``. ``lists`` are objects by their plural."""
    application = web.Application()
    application.router.add_get("/{path:.*}", partial(_answer, lists))
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "hush-hush"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "runs"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(document))
    try:
        yield url
    finally:
        await runner.cleanup()


async def _answer(lists: _Lists | None, request: web.Request) -> web.StreamResponse:
    path = request.path
    if path == "/api":
        return web.json_response({"versions": ["v1"]})
    if path == "/apis":
        named = [{"name": name, "preferredVersion": {"version": version}} for name, version in _GROUPS.items()]
        return web.json_response({"groups": [{**group, "versions": [group["preferredVersion"]]} for group in named]})
    if path in _RESOURCES:
        common = {"singularName": "", "verbs": ["list", "watch", "get", "patch"]}
        kinds = [
            {**common, "name": plural, "kind": kind, "namespaced": kind != "Namespace"} for plural, kind in _RESOURCES[path].items()
        ]
        return web.json_response({"resources": kinds})
    executions = path.endswith("/notebookexecutions")
    if "watch" not in request.query:
        items = [_resource("listed", 1)] if executions and lists is None else (lists or {}).get(path.rpartition("/")[2], [])
        listed = _text({"metadata": {"resourceVersion": "1"}, "items": items})
        return web.Response(text=listed, content_type="application/json")
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    if executions and lists is None:
        told = [_resource("deep", 2), _resource("honest", 3, {"x": 1})]
        lines = "".join(_text({"type": "ADDED", "object": item}) + "\n" for item in told)
        for start in range(0, len(lines), 7_777):  # no long line arrives in one piece
            await stream.write(lines[start : start + 7_777].encode())
    await asyncio.sleep(3600)
    return stream


def _resource(name: str, number: int, parameters: Any = "DEEP") -> dict[str, Any]:
    return {
        "apiVersion": "podbook.dev/v1alpha1",
        "kind": "NotebookExecution",
        "metadata": {
            "name": name,
            "namespace": "runs",
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "creationTimestamp": "2030-06-15T12:00:00Z",
        },
        "spec": {"notebook": {"name": "double"}, "parameters": {"x": parameters}},
    }


def _text(document: Any) -> str:
    return json.dumps(document).replace('"DEEP"', _DEEP)
