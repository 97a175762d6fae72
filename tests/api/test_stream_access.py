"""Event streams last no longer than the right to read them, and nobody holds all of them."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server, running

from podbook_api.auth.keys import create_key
from podbook_api.settings import ApiSettings

from .samples import write_folder


class Installation:
    """A server whose keys can be revoked."""

    def __init__(self, server: Server, keys_file: Path) -> None:
        self.server = server
        self._file = keys_file
        self._entries: dict[str, dict[str, object]] = {}

    def key(self, name: str, *scopes: str) -> str:
        """A new key."""
        plain, entry = create_key(name, scopes, expires=None, now=datetime.now(UTC))
        self._entries[name] = entry.model_dump(mode="json", exclude_none=True)
        self._write()
        return plain

    def change(self, name: str, *scopes: str) -> None:
        """Give a key other scopes."""
        self._entries[name]["scopes"] = list(scopes)
        self._write()

    def revoke(self, name: str) -> None:
        """Take a key away."""
        del self._entries[name]
        self._write()

    def _write(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"keys": list(self._entries.values())}))
        new.rename(self._file)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server of its own with keys, and room for three streams of each."""
    base = tmp_path_factory.mktemp("streams")
    write_folder(base / "notebooks")
    (base / "keys.json").write_text('{"keys": []}')
    settings = ApiSettings(
        data_dir=base / "data",
        notebooks_dir=base / "notebooks",
        keys_file=base / "keys.json",
        max_event_streams_per_key=3,
        max_concurrent=1,
    )
    with running(settings) as server:
        yield Installation(server, base / "keys.json")


@pytest.fixture
def owner(installation: Installation) -> Iterator[httpx.Client]:
    """A client that may do everything."""
    with installation.server.client(installation.key("owner", "*")) as client:
        yield client


@pytest.fixture
def sleeping(owner: httpx.Client) -> Iterator[str]:
    """The path of an execution that does not end by itself during a test."""
    created = owner.post("/v1/notebooks/sleeper/executions", json={"parameters": {"seconds": 600}})
    yield created.headers["Location"]
    owner.post(f"{created.headers['Location']}/cancel")


def rest(response: httpx.Response, begun: threading.Event) -> str:
    """All that a stream tells until the server ends it."""
    text = ""
    for chunk in response.iter_text():
        text += chunk
        begun.set()
    return text


@pytest.mark.parametrize("way", ["revoked", "without the scope"])
def test_a_stream_ends_when_its_key_is_no_longer_good(installation: Installation, sleeping: str, way: str) -> None:
    plain = installation.key("auditor", "executions/*/read")
    begun = threading.Event()

    def take_away() -> None:
        begun.wait(60)
        if way == "revoked":
            installation.revoke("auditor")
        else:
            installation.change("auditor", "notebooks/*/read")

    thread = threading.Thread(target=take_away)
    thread.start()
    with installation.server.client(plain) as client, client.stream("GET", f"{sleeping}/events") as response:
        assert response.status_code == 200
        told = rest(response, begun)
    thread.join()
    assert "event: status" in told
    assert "event: end" not in told
    with installation.server.client(plain) as client:
        assert client.get(f"{sleeping}/events").status_code == (401 if way == "revoked" else 404)


def test_a_stream_ends_when_its_link_does(installation: Installation, owner: httpx.Client, sleeping: str) -> None:
    url = owner.post(f"{sleeping}/links", json={"artifact": "events", "expiresInSeconds": 3}).json()["url"]
    with installation.server.client() as nobody:
        with nobody.stream("GET", url) as response:
            assert response.status_code == 200
            told = rest(response, threading.Event())
        assert "event: status" in told
        assert "event: end" not in told
        assert nobody.get(url).json()["code"] == "ExpiredLink"


def test_one_key_does_not_hold_all_streams(installation: Installation, owner: httpx.Client, sleeping: str) -> None:
    other = installation.key("other", "*")
    with ExitStack() as open_streams:
        streams = [open_streams.enter_context(owner.stream("GET", f"{sleeping}/events")).iter_raw() for _ in range(3)]
        assert all(next(stream) for stream in streams)
        refused = owner.get(f"{sleeping}/events")
        assert (refused.status_code, refused.json()["code"]) == (429, "TooManyStreams")
        assert refused.headers["retry-after"] == "5"
        with installation.server.client(other) as client, client.stream("GET", f"{sleeping}/events") as response:
            assert response.status_code == 200
    owner.post(f"{sleeping}/cancel")
    # Places come back when streams end, and refused and ended ones keep none.
    for _ in range(10):
        with owner.stream("GET", f"{sleeping}/events") as response:
            if response.status_code == 429:  # the server has yet to see that the first ones have left
                continue
            assert "event: end" in rest(response, threading.Event())
            break
    for _ in range(5):
        assert "event: end" in owner.get(f"{sleeping}/events").text
