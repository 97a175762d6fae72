"""The Kubernetes API over plain HTTP, with what a kubeconfig says: for measuring, without a client library's own cost."""

import base64
import json
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

__all__ = ["Connection", "Seen", "watching"]

Document = dict[str, Any]
Seen = Callable[[str, Document, float], None]
"""Told of each event of a watch: its type, the object, and when it was seen (``time.monotonic``)."""


@dataclass(frozen=True)
class Connection:
    """Where the API server is and how it is talked to."""

    server: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext

    @classmethod
    def from_kubeconfig(cls, path: str | None = None) -> "Connection":
        """As kubectl would connect with this kubeconfig, or with the one in effect."""
        command = ["kubectl", "config", "view", "--raw", "--minify", "--flatten", "--output=json"]
        command += [] if path is None else ["--kubeconfig", path]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        config = json.loads(text)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        if "client-certificate-data" in user:
            with tempfile.TemporaryDirectory() as folder:
                certificate, key = Path(folder, "crt"), Path(folder, "key")
                certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
                key.touch(mode=0o600)
                key.write_bytes(base64.b64decode(user["client-key-data"]))
                tls.load_cert_chain(certificate, key)
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        return cls(cluster["server"], headers, tls)

    def client(self) -> httpx.Client:
        """A client for one thread."""
        return httpx.Client(base_url=self.server, headers=self.headers, verify=self.tls, timeout=60)

    def async_client(self, connections: int) -> httpx.AsyncClient:
        """A client for an event loop, with at most so many connections."""
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        return httpx.AsyncClient(base_url=self.server, headers=self.headers, verify=self.tls, timeout=60, limits=limits)


@contextmanager
def watching(connection: Connection, path: str, seen: Seen) -> Iterator[None]:
    """Watch a collection in a thread of its own while the context lasts, from what is there now.

    Args:
        connection: the API server.
        path: of the collection, e.g. ``/api/v1/namespaces/x/pods``.
        seen: called in that thread.
    """
    over, client = threading.Event(), connection.client()
    version = client.get(path, params={"limit": 1}).raise_for_status().json()["metadata"]["resourceVersion"]
    query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "1800"}

    def follow() -> None:
        # Closed here and nowhere else: a socket that another thread closes may be another connection's by the time it is read.
        with closing(client), client.stream("GET", path, params=query, timeout=None) as stream:
            for line in stream.iter_lines():
                now = time.monotonic()
                if over.is_set():
                    return
                event = json.loads(line)
                seen(event["type"], event["object"], now)

    threading.Thread(target=follow, name=f"watch {path}", daemon=True).start()
    try:
        yield
    finally:
        over.set()  # the thread ends with the next event
