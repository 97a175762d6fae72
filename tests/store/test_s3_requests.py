"""What the store's requests look like on the wire."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session
from typing_extensions import override

from podbook_core.store.s3 import S3Settings, S3Store

BODY = b"x" * (2 << 20)
"""So large that botocore asks before it sends it."""


@contextmanager
def recording() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A service that takes every object, and the headers it was sent."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of that size."""
    path = tmp_path / "large"
    path.write_bytes(BODY)
    return path


def test_an_object_is_sent_without_asking(large: Path) -> None:
    with recording() as (address, seen):
        store = S3Store(S3Settings(bucket="b", endpoint=address, access_key="a", secret_key="b"))
        store.put("k", BODY)
        store.put("k2", large)
    assert len(seen) == 2
    assert [headers.get("expect") for headers in seen] == [None, None]


def test_without_it_botocore_asks(large: Path) -> None:
    with recording() as (address, seen):
        session = Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
        with large.open("rb") as file:
            session.client("s3", endpoint_url=address).put_object(Bucket="b", Key="k", Body=file)
    assert [headers.get("expect") for headers in seen] == ["100-continue"]
