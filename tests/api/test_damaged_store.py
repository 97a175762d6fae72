"""One stored thing that is damaged, or newer than the server, is one broken thing: it is named, and everything else is served."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.notebook_file import notebook_file
from tests.support.server import Server, running

from podbook_api.settings import ApiSettings
from podbook_core.notebook.versions import VersionStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import current_key, idempotency_key, version_prefix
from podbook_core.text.names import idempotency_digest

IPYNB = {"Content-Type": "application/x-ipynb+json"}
FILES = {
    "notebook": ("draft.ipynb", notebook_file(["x = 1"]), "application/x-ipynb+json"),
    "contract": ("draft.config.json", b'{"title": "Draft"}', "application/json"),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with the notebook ``good`` in its folder, and ``draft`` published over REST."""
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    (notebooks / "good.ipynb").write_bytes(notebook_file(["x = 1"]))
    with running(ApiSettings(data_dir=tmp_path / "data", notebooks_dir=notebooks)) as made:
        with made.client() as client:
            client.put("/v1/notebooks/draft", files=FILES).raise_for_status()
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


def spoil(server: Server, file: str, data: bytes) -> str:
    """Damage a file of ``draft``; returns its key. Whoever has read the version before must not be asked."""
    pointer = VersionStore(server.store).pointer("draft")
    assert pointer is not None
    key = current_key("draft") if file == "current.json" else version_prefix("draft", pointer.version) + file
    server.store.put(key, data)
    return key


def newer_contract() -> bytes:
    return json.dumps({"title": "Draft", "cache": {}, "requires": ["cache"]}).encode()


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("current.json", b"\xff\x00{"),
        ("current.json", b"[]"),
        ("manifest.json", b"\xff\x00{"),
        ("manifest.json", b"[]"),
        ("contract.json", b"{"),
        ("contract.json", newer_contract()),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_notebook_that_cannot_be_read_is_broken_by_name(server: Server, file: str, data: bytes, tmp_path: Path) -> None:
    key = spoil(server, file, data)
    # Another process, such as another replica: it has not read this version before.
    elsewhere = ApiSettings(data_dir=tmp_path / "other", notebooks_dir=None)
    copied = tmp_path / "other/store"
    _copy(server.store, copied)
    with running(elsewhere) as replica, replica.client() as client:
        items = {item["name"]: item for item in client.get("/v1/notebooks").raise_for_status().json()["items"]}
        assert {name: item["status"] for name, item in items.items()} == {"good": "ready", "draft": "broken"}
        assert key in items["draft"]["message"]
        paths = client.get("/openapi.json").raise_for_status().json()["paths"]
        assert "/v1/run/good" in paths
        assert "/v1/run/draft" not in paths
        assert client.get("/v1/notebooks/draft").raise_for_status().json()["status"] == "broken"
        for answer in (
            client.post("/v1/run/draft", json={}),
            client.post("/v1/notebooks/draft/executions", json={}),
            client.get("/v1/notebooks/draft/openapi.json"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "NotebookBroken"), answer.text
            assert key in answer.json()["detail"]
        assert client.get("/v1/notebooks/draft/versions").status_code == 200
        assert client.post("/v1/run/good", json={}).status_code in (200, 204)
        if data != newer_contract():
            assert client.put("/v1/notebooks/draft", files=FILES).raise_for_status().json()["status"] == "ready"
            assert client.get("/v1/notebooks/draft").json()["status"] == "ready"
        assert client.delete("/v1/notebooks/draft").status_code == 204


def _copy(store: object, target: Path) -> None:
    assert isinstance(store, DirectoryStore)
    other = DirectoryStore(target)
    for key in store.list(""):
        found = store.get(key, limit=2**30)
        other.put(key, found.data, media_type=found.info.media_type)


def test_a_version_with_keys_that_are_not_known_yet_is_ready(server: Server, client: httpx.Client) -> None:
    spoil(server, "contract.json", b'{"title": "Later", "schedule": "daily", "colour": "red"}')
    spoiled = VersionStore(server.store).load("draft", VersionStore(server.store).current("draft").version)  # type: ignore[union-attr]
    assert spoiled is not None
    assert spoiled.contract.title == "Later"
    refused = client.put("/v1/notebooks/draft", files={**FILES, "contract": ("draft.config.json", b'{"schedule": "daily"}')})
    assert (refused.status_code, refused.json()["code"]) == (422, "InvalidContract")


@pytest.mark.parametrize("data", [b"\xff\x00{", b"[]", b'{"bodyDigest": 3}', b'{"bodyDigest": "a", "name": "b", "time": "now"}'])
def test_a_damaged_idempotency_entry_runs_nothing_and_says_so(server: Server, client: httpx.Client, data: bytes) -> None:
    server.store.put(idempotency_key(idempotency_digest("", "good", "order-1")), data)
    answer = client.post("/v1/notebooks/good/executions", json={}, headers={"Idempotency-Key": "order-1"})
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    assert "Idempotency-Key cannot be read" in answer.json()["detail"]
    assert client.get("/v1/executions").json()["items"] == []
    assert client.post("/v1/notebooks/good/executions", json={}, headers={"Idempotency-Key": "order-2"}).status_code == 202
