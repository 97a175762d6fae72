"""Bringing files here from a store that is away for a while."""

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from podbook_runner.inputs.fetch import fetch

CONTENT = b"what was asked for"


class Recovering(BaseHTTPRequestHandler):
    """Has an answer from the seventh request on."""

    requests = 0

    def do_GET(self) -> None:
        Recovering.requests += 1
        self.send_response(200 if Recovering.requests >= 7 else 503)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def store() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recovering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_a_store_that_comes_back_is_waited_for(store: str, tmp_path: Path) -> None:
    target = tmp_path / "file"
    digest = hashlib.sha256(CONTENT).hexdigest()
    fetch(f"{store}/file?X-Amz-Signature=x", digest, target, what="the notebook", deadline=time.monotonic() + 60)
    assert target.read_bytes() == CONTENT
    assert Recovering.requests == 7
