"""How much of a body is read: nothing for who may not, little for JSON whatever it is called, and forms to their very end."""

import asyncio
import json
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import Request
from tests.support.notebook_file import notebook_file
from tests.support.server import Server

from podbook_api.doors.door import Entry
from podbook_api.doors.native.door import NATIVE
from podbook_api.doors.openapi import OpenApiDocuments
from podbook_api.doors.requests.bodies import read_json

from .samples import PIXEL

HUGE = 100 * 1024 * 1024
MIB = 1024 * 1024
FORM = "multipart/form-data; boundary=frontier"
PARTS = {
    "file part": b'--frontier\r\nContent-Disposition: form-data; name="parameters"; filename="p.json"\r\n\r\n',
    "file part of options": b'--frontier\r\nContent-Disposition: form-data; name="options"; filename="o.json"\r\n\r\n',
    "JSON part": b'--frontier\r\nContent-Disposition: form-data; name="parameters"\r\n\r\n',
    "field": b'--frontier\r\nContent-Disposition: form-data; name="x"\r\n\r\n',
}
JSON_TYPES = [
    "application/json",
    "application/x+json",
    "application/problem+json",
    "text/json",
    "",
    "application/x-www-form-urlencoded",
]
DISGUISES = [*((kind, b"") for kind in JSON_TYPES), *((FORM, part) for part in PARTS.values())]
READ_ON = [(kind, begin, declared) for kind, begin in DISGUISES for declared in (True, False) if begin or not declared]
"""What does not show in its head that it is too large."""
ADDRESSES = ["/v1/run/double", "/v1/notebooks/double/executions"]


def answer(
    server: Server, key: str, *, path: str, kind: str, begin: bytes, declared: bool, method: str = "POST"
) -> tuple[int, dict[str, Any]]:
    """Begin to send a body of 100 MiB and wait for the answer, which must come without the rest; others are served meanwhile."""
    parts = urlsplit(server.url)
    head = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: {kind}\r\n" if kind else ""
    head += f"Content-Length: {HUGE}\r\n\r\n" if declared else "Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(head.encode())
        if begin:
            connection.sendall(begin if declared else b"%x\r\n%b\r\n" % (len(begin), begin))
        assert httpx.get(f"{server.url}/healthz", timeout=60).status_code == 200
        with connection.makefile("rb") as stream:
            status = int(stream.readline().split()[1])
            headers = {}
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                headers[name.lower()] = value.strip()
            return status, json.loads(stream.read(int(headers[b"content-length"])))


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("declared", [True, False])
def test_without_the_scope_no_byte_is_read(guarded: Server, plain_keys: dict[str, str], path: str, *, declared: bool) -> None:
    for kind, _ in [*DISGUISES, ("text/plain", b""), ("application/octet-stream", b"")]:
        status, problem = answer(guarded, plain_keys["reader"], path=path, kind=kind, begin=b"", declared=declared)
        assert (status, problem["code"]) == (403, "Forbidden"), kind
        assert "notebooks/double/run" in problem["detail"]


def test_who_may_not_publish_is_refused_unread(guarded: Server, plain_keys: dict[str, str]) -> None:
    for kind in ("application/x-ipynb+json", FORM):
        status, problem = answer(
            guarded, plain_keys["reader"], path="/v1/notebooks/draft-9", kind=kind, begin=b"", declared=False, method="PUT"
        )
        assert (status, problem["code"]) == (403, "Forbidden")


def test_a_link_to_what_one_may_not_see_is_refused_unread(guarded: Server, plain_keys: dict[str, str]) -> None:
    path = "/v1/executions/double-1/links"
    status, _ = answer(guarded, plain_keys["reader"], path=path, kind="application/json", begin=b"", declared=False)
    assert status == 404


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("kind", JSON_TYPES)
def test_json_that_says_its_size_is_refused_unread(guarded: Server, plain_keys: dict[str, str], path: str, kind: str) -> None:
    status, problem = answer(guarded, plain_keys["runner"], path=path, kind=kind, begin=b"", declared=True)
    assert (status, problem["code"]) == (413, "BodyTooLarge")


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize(("kind", "begin", "declared"), READ_ON)
def test_json_in_any_disguise_is_read_no_further_than_the_limit(
    guarded: Server, plain_keys: dict[str, str], *, path: str, kind: str, begin: bytes, declared: bool
) -> None:
    more = begin + b'{"x":1,"a":[' + b"{}," * (MIB // 3)
    status, problem = answer(guarded, plain_keys["runner"], path=path, kind=kind, begin=more, declared=declared)
    assert (status, problem["code"]) == (413, "BodyTooLarge")
    assert str(MIB) in problem["detail"]


def test_the_fields_of_a_form_count_together(client: httpx.Client) -> None:
    fields = {f"f{number}": (None, "x" * (MIB // 10)) for number in range(11)}
    response = client.post("/v1/run/double", files=fields)
    assert (response.status_code, response.json()["code"]) == (413, "BodyTooLarge")


def test_large_json_is_read_beside_the_event_loop() -> None:
    async def others_run_meanwhile() -> bool:
        text = b'{"a":[' + b"{}," * 50_000 + b"{}]}"
        limits = SimpleNamespace(max_json_bytes=MIB, max_upload_bytes=MIB)
        parts: Any = SimpleNamespace(context=SimpleNamespace(settings=limits))
        scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}
        Entry(parts, NATIVE, OpenApiDocuments(dict, anonymous=True)).put(scope)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": text, "more_body": False}

        reading = asyncio.create_task(read_json(Request(scope, receive)))
        await asyncio.sleep(0)  # it has begun, and would have ended in the loop itself
        waiting = not reading.done()
        assert len((await reading)["a"]) == 50_001
        return waiting

    assert asyncio.run(others_run_meanwhile())


CUT = [
    b'--frontier\r\nContent-Disposition: form-data; name="notebook"; filename="n.ipynb"\r\n\r\n' + notebook_file(["1"]),
    b'--frontier\r\nContent-Disposition: form-data; name="caption"\r\n\r\nsea\r\n'
    b'--frontier\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n' + PIXEL,
    b'--frontier\r\nContent-Disposition: form-data; name="caption"\r\n\r\nsea\r\n--frontier\r\nContent-Disp',
    b'--frontier\r\nContent-Disposition: form-data; name="caption"\r\n\r\nsea\r\n--frontier\r\n',
    b'--frontier\r\nContent-Disposition: form-data; name="caption"\r\n\r\nsea\r\n--frontier',
    b"--frontier",
    b"",
]


@pytest.mark.parametrize("content", CUT)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/run/mirror"), ("POST", "/v1/notebooks/mirror/executions"), ("PUT", "/v1/notebooks/cut-off")]
)
def test_a_form_that_breaks_off_is_refused(client: httpx.Client, method: str, path: str, content: bytes) -> None:
    response = client.request(method, path, content=content, headers={"Content-Type": FORM})
    assert (response.status_code, response.json()["code"]) == (400, "InvalidRequest")
    assert "closing boundary" in response.json()["detail"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"--frontier\r\nContent-Disposition: form-data; name=\"a\"; filename*=utf-8''x\r\nX", "cannot be read"),
        (b"--frontier\r\nContent-Type: text/plain\r\n\r\nx\r\n--frontier--\r\n", "no Content-Disposition"),
        (b'--frontier\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--frontier--\r\n', "not UTF-8"),
        (b'--frontier\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--frontier--\r\n', "not UTF-8"),
        (b"--other\r\n", "cannot be read"),
        (b'--frontier\r\nContent-Disposition: form-data; name="' + b"a" * 2000 + b'"\r\n\r\nx\r\n--frontier--\r\n', "longer than"),
        (b"--frontier\r\n" + b"X-A: b\r\n" * 50 + b"\r\nx\r\n--frontier--\r\n", "cannot be read"),
    ],
)
def test_a_damaged_form_says_what_is_wrong(client: httpx.Client, content: bytes, says: str) -> None:
    response = client.post("/v1/run/mirror", content=content, headers={"Content-Type": FORM})
    assert (response.status_code, response.json()["code"]) == (400, "InvalidRequest")
    assert says in response.json()["detail"]


@pytest.mark.parametrize("kind", ["application/json", "text/csv", FORM, "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/run/mirror"), ("POST", "/v1/notebooks/mirror/executions")])
def test_compressed_bodies_are_refused_by_name(client: httpx.Client, method: str, path: str, kind: str) -> None:
    response = client.request(method, path, content=b"\x1f\x8b", headers={"Content-Type": kind, "Content-Encoding": "gzip"})
    assert (response.status_code, response.json()["code"]) == (415, "UnsupportedMediaType")
    assert "Content-Encoding" in response.json()["detail"]


def test_a_compressed_notebook_is_refused_and_identity_is_not_compressed(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/x-ipynb+json", "Content-Encoding": "br"}
    assert client.put("/v1/notebooks/packed", content=b"x", headers=headers).status_code == 415
    same = client.post("/v1/run/double", json={"x": 2}, headers={"Content-Encoding": "identity"})
    assert same.json() == {"twice": 4}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where uploads wait, for this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_uploads_leave_nothing_behind(client: httpx.Client, temporary: Path) -> None:
    sent = {"picture": ("a.png", PIXEL * 5000, "image/png"), "caption": (None, "sea")}
    assert client.post("/v1/run/mirror", files=sent).json()["names"] == ["picture"]  # type: ignore[arg-type]
    client.post("/v1/run/mirror", content=CUT[1], headers={"Content-Type": FORM})
    assert list(temporary.glob("podbook-upload-*")) == []
