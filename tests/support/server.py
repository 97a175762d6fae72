"""A whole embedded server, served by uvicorn in a thread on a free port of this machine."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from podbook_api.http_server import server_config
from podbook_api.serve.app import build_embedded
from podbook_api.settings import ApiSettings
from podbook_core.store.base import ObjectStore
from podbook_core.store.directory import DirectoryStore


@dataclass(frozen=True)
class Server:
    """A running server and its store."""

    url: str
    store: ObjectStore
    secret_file: Path
    """What links are signed with."""

    def client(self, key: str | None = None) -> httpx.Client:
        """A client of it, with a key or without."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60)


@contextmanager
def running(settings: ApiSettings) -> Iterator[Server]:
    """Serve until the context is left."""
    embedded = build_embedded(settings)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        server_config(embedded.app, settings, access_log=True, log_level="warning", timeout_graceful_shutdown=5)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, transport=httpx.HTTPTransport(retries=5), timeout=60) as client:
            client.get("/healthz").raise_for_status()  # the listener takes connections at once; the answer comes when it is up
        yield Server(url, DirectoryStore(embedded.data.store), embedded.data.link_secret_file)
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
        embedded.close()
        assert not thread.is_alive()
