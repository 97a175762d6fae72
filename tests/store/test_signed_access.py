"""What a pod can do with the access it is given, and what it cannot. On a real MinIO: simulated services check no signatures."""

import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping

import pytest

from podbook_core.store.s3 import S3Store

from .conftest import S3Service

MINE = "executions/u1/attempts/"
LIMIT = 1000


@pytest.fixture(scope="module")
def bucket(minio_service: S3Service) -> S3Store:
    """A bucket with an object of ours and one of somebody else."""
    store = minio_service.new_store()
    store.put(f"{MINE}p1/notebook.ipynb", b"mine")
    store.put("executions/u2/attempts/p2/notebook.ipynb", b"another's")
    return store


def send(request: "urllib.request.Request | str") -> tuple[int, bytes]:
    """Status and body of an HTTP request."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def post(signed: tuple[str, Mapping[str, str]], key: str, data: bytes, **changes: str) -> tuple[int, bytes]:
    """Send a form as a browser or the runner does."""
    url, fields = signed
    boundary = uuid.uuid4().hex
    form = {**fields, "key": key, "Content-Type": "text/plain", **changes}
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form.items()]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n')
    body = "".join(parts).encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return send(urllib.request.Request(url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}))


def test_objects_below_the_prefix_can_be_written(bucket: S3Store) -> None:
    signed = bucket.presign_post(MINE, LIMIT, 60)
    for name, data in (("p1/log.txt", b"hello"), ("p1/files/päpper 1.txt", b"x" * LIMIT), ("p1/empty", b"")):
        status, _ = post(signed, MINE + name, data)
        assert status == 204
        found = bucket.get(MINE + name, limit=2**30)
        assert found.data == data
        assert found.info.media_type == "text/plain"


@pytest.mark.parametrize(
    "key",
    ["executions/u2/attempts/p2/notebook.ipynb", "executions/u1/record.json", "executions/u1/attempts", "notebooks/a/current.json"],
)
def test_nothing_else_can_be_written(bucket: S3Store, key: str) -> None:
    before = bucket.head(key)
    status, body = post(bucket.presign_post(MINE, LIMIT, 60), key, b"x")
    assert (status, b"AccessDenied" in body) == (403, True)
    assert bucket.head(key) == before


@pytest.mark.parametrize("key", [f"{MINE}../record.json", f"{MINE}p1/../../../u2/record.json"])
def test_no_path_leads_out_of_the_prefix(bucket: S3Store, key: str) -> None:
    status, _ = post(bucket.presign_post(MINE, LIMIT, 60), key, b"x")
    assert status == 400
    assert bucket.list("executions/u1/record") == []
    assert bucket.list("executions/u2/record") == []


def test_nothing_larger_than_allowed_can_be_written(bucket: S3Store) -> None:
    status, body = post(bucket.presign_post(MINE, LIMIT, 60), f"{MINE}p1/large", b"x" * (LIMIT + 1))
    assert (status, b"EntityTooLarge" in body) == (400, True)
    assert bucket.head(f"{MINE}p1/large") is None


def test_access_to_write_ends(bucket: S3Store) -> None:
    signed = bucket.presign_post(MINE, LIMIT, 1)
    time.sleep(2.1)
    status, _ = post(signed, f"{MINE}p1/late", b"x")
    assert status == 403
    assert bucket.head(f"{MINE}p1/late") is None


def test_a_policy_cannot_be_changed(bucket: S3Store) -> None:
    wider = bucket.presign_post("executions/", LIMIT, 60)[1]["policy"]
    status, _ = post(bucket.presign_post(MINE, LIMIT, 60), "executions/u2/record.json", b"x", policy=wider)
    assert status == 403
    assert bucket.head("executions/u2/record.json") is None


def test_the_signed_object_can_be_read_and_no_other(bucket: S3Store) -> None:
    url = bucket.presign_get(f"{MINE}p1/notebook.ipynb", 60)
    assert send(url) == (200, b"mine")
    assert send(url.replace("/u1/", "/u2/").replace("/p1/", "/p2/"))[0] == 403
    assert send(url.split("?")[0])[0] == 403


def test_the_signed_object_cannot_be_written(bucket: S3Store) -> None:
    url = bucket.presign_get(f"{MINE}p1/notebook.ipynb", 60)
    for method in ("PUT", "DELETE"):
        assert send(urllib.request.Request(url, b"changed" if method == "PUT" else None, method=method))[0] == 403
    assert bucket.get(f"{MINE}p1/notebook.ipynb", limit=2**30).data == b"mine"


def test_access_to_read_ends(bucket: S3Store) -> None:
    url = bucket.presign_get(f"{MINE}p1/notebook.ipynb", 1)
    time.sleep(2.1)
    assert send(url)[0] == 403
