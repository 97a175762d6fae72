"""What :mod:`tests.api.test_memory` measures, as a program: ``memory_cases CASE FOLDER`` prints one line of JSON."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from fastapi import FastAPI

from podbook_api.app import create_app
from podbook_api.auth.keys import Anonymous
from podbook_api.auth.links import LinkSigner
from podbook_api.backends.cluster.backend import KubernetesBackend
from podbook_api.backends.embedded.backend import EmbeddedBackend
from podbook_api.backends.embedded.data_dir import DataDir
from podbook_api.backends.embedded.documents import Documents
from podbook_api.services.context import Context, NoFolder
from podbook_api.settings import ApiSettings
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec, Status
from podbook_core.execution.profiles import parse_profiles
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.record import RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore

COUNT = 1000
ITEMS = 85_000
"""Of ``{}`` in one list: just below 256 KiB of JSON, and 25 times as much once parsed."""
START = datetime(2026, 5, 1, tzinfo=UTC)


def peak_bytes() -> int:
    """The most memory this process has held. Not ``ru_maxrss``, which a process inherits from the one that started it."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def document(number: int, reason: Reason) -> NotebookExecution:
    """An execution whose parameters are still to be filled in."""
    made = NotebookExecution(
        metadata=Metadata(
            name=f"heavy-{number}",
            namespace="runs",
            uid=f"uid-{number:04d}",
            resource_version=str(number + 1),
            creation_timestamp=START + timedelta(seconds=number),
        ),
        spec=Spec(notebook=NotebookRef(name="heavy"), queue_timeout_seconds=604_800),
    )
    return made.with_status(advance(Status(), Change(reason), generation=1, now=datetime.now(UTC)))


def heavy(number: int, reason: Reason) -> bytes:
    """The same as JSON, with the parameters as text: this process must not grow by making them."""
    text = document(number, reason).model_dump_json(by_alias=True, exclude_none=True)
    assert text.count('"parameters":{}') == 1
    return text.replace('"parameters":{}', '"parameters":{"x":[' + ",".join(["{}"] * ITEMS) + "]}").encode()


@asynccontextmanager
async def waiting(folder: Path) -> AsyncIterator[FastAPI]:
    """An embedded server takes up a thousand executions that wait; there is no slot for any."""
    with DataDir(folder / "data") as data, ContractValidator() as validator:
        for number in range(COUNT):
            (data.live / f"heavy-{number}.json").write_bytes(heavy(number, Reason.QUEUED))
        store, profiles = DirectoryStore(data.store), parse_profiles(None)
        backend = EmbeddedBackend(store=store, data=data, validator=validator, profiles=profiles, max_concurrent=1)
        backend._supervisor._limit = 0  # none begins
        # As create and cancel do it: the next states are written with the parameters that are in the documents.
        yield application(folder, store, backend, validator)
        found = Documents(data.live).whole(document(7, Reason.QUEUED))
        assert found is not None
        assert len(found.spec.parameters["x"]) == ITEMS


@asynccontextmanager
async def ended(folder: Path) -> AsyncIterator[FastAPI]:
    """An embedded server over the records of a thousand ended ones."""
    with DataDir(folder / "data") as data, ContractValidator() as validator:
        store, profiles = DirectoryStore(data.store), parse_profiles(None)
        records = RecordStore(store)
        for number in range(COUNT):
            record = records.close(document(number, Reason.SUCCEEDED), None)
            key = f"executions/{record.execution.uid}/record.json"
            text = record.model_dump_json(by_alias=True, exclude_none=True)
            store.put(
                key,
                text.replace('"parameters":{}', '"parameters":{"x":[' + ",".join(["{}"] * ITEMS) + "]}").encode(),
                media_type="application/json",
            )
        backend = EmbeddedBackend(store=store, data=data, validator=validator, profiles=profiles)
        yield application(folder, store, backend, validator)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[FastAPI]:
    """A cluster whose API server lists a thousand, and then tells every one of them again."""
    runner = web.AppRunner(played(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "test", "user": {"token": "hush"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    os.environ["KUBECONFIG"] = str(folder / "kubeconfig")
    backend = KubernetesBackend("runs")
    with ContractValidator() as validator:
        yield application(folder, DirectoryStore(folder / "store"), backend, validator)
    assert all(not item.spec.parameters for item in backend._live.all())
    assert backend._live.newest == 2 * COUNT  # all events were read
    await runner.cleanup()


def played() -> web.Application:
    """An API server that lists page by page, and whose watch tells every execution once more."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            first, most = int(request.query.get("continue", "0")), int(request.query["limit"])
            last = min(first + most, COUNT)
            metadata = {"resourceVersion": str(COUNT), **({"continue": str(last)} if last < COUNT else {})}
            items = b",".join(heavy(number, Reason.QUEUED) for number in range(first, last))
            return web.Response(
                body=b'{"metadata":' + json.dumps(metadata).encode() + b',"items":[' + items + b"]}",
                content_type="application/json",
            )
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        for number in range(COUNT):
            told = heavy(number, Reason.RUNNING).replace(
                f'"resourceVersion":"{number + 1}"'.encode(), f'"resourceVersion":"{COUNT + number + 1}"'.encode()
            )
            await stream.write(b'{"type":"MODIFIED","object":' + told + b"}\n")
        await asyncio.sleep(3600)
        return stream

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    return application


def application(folder: Path, store: DirectoryStore, backend: Any, validator: ContractValidator) -> FastAPI:
    """The API over a backend."""
    settings = ApiSettings(data_dir=folder / "data")
    return create_app(
        Context(store, backend, validator, parse_profiles(None), Anonymous(), LinkSigner.random(), settings, NoFolder())
    )


async def measure(case: Callable[[Path], Any], folder: Path) -> dict[str, int]:
    """List everything there is, asking whether the server is alive all the while."""
    asked = answered = 0
    async with case(folder) as app, app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=600) as client:

            async def alive() -> None:
                nonlocal asked, answered
                while True:
                    asked += 1
                    answered += (await client.get("/healthz")).status_code == 200
                    await asyncio.sleep(0.05)

            beside = asyncio.create_task(alive())
            page = await listed(client, "/v1/executions?limit=200")
            first, executions, cursor = page, len(page.json()["items"]), page.json().get("nextCursor")
            while cursor:
                following = await listed(client, f"/v1/executions?limit=200&cursor={cursor}")
                executions += len(following.json()["items"])
                cursor = following.json().get("nextCursor")
            if case is cluster:
                while (await listed(client, "/v1/executions?phase=Pending&limit=1")).json()["items"]:  # noqa: ASYNC110 - the backend learns it in a task of its own
                    await asyncio.sleep(0.2)
            await asyncio.sleep(0.1)
            beside.cancel()
            asked = answered if asked == answered + 1 else asked  # the last one was cancelled
    return {
        "executions": executions,
        "listed": len(first.json()["items"]),
        "page": len(first.content),
        "peak": peak_bytes(),
        "asked": asked,
        "answered": answered,
    }


async def listed(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """A page, once the server has taken everything up."""
    while True:
        response = await client.get(path)
        if response.status_code == 200:
            return response
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    cases = {"waiting": waiting, "ended": ended, "cluster": cluster}
    print(json.dumps(asyncio.run(partial(measure, cases[sys.argv[1]], Path(sys.argv[2]))())))
