"""What only a bucket has: credentials, addresses, multipart uploads, and failures of a service that is elsewhere."""

import dataclasses
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from podbook_core.store.base import InvalidKeyError, PreconditionFailedError, StoreUnavailableError
from podbook_core.store.s3 import S3Settings, S3Store

from .conftest import PART_SIZE, S3Service, free_port

WEEK = 7 * 24 * 3600


@pytest.fixture
def bucket(moto_service: S3Service) -> S3Store:
    """A new bucket of the simulated service."""
    return moto_service.new_store()


def unreachable() -> S3Settings:
    """Settings for a service that is not there."""
    return S3Settings(
        "bucket",
        endpoint=f"http://127.0.0.1:{free_port()}",
        access_key="the-access-key",
        secret_key="the-secret-key",
        connect_timeout=1,
        read_timeout=1,
        max_attempts=1,
    )


def test_settings_never_show_credentials() -> None:
    text = repr(S3Settings("bucket", access_key="the-access-key", secret_key="the-secret-key", session_token="the-token"))
    assert "the-" not in text
    assert "bucket" in text


def test_every_call_says_that_the_service_cannot_be_reached(tmp_path: Path) -> None:
    settings = unreachable()
    store = S3Store(settings)
    (tmp_path / "file").write_bytes(b"x" * 10)
    calls = [
        lambda: store.put("a", b""),
        lambda: store.put("a", tmp_path / "file"),
        lambda: store.get("a", limit=2**30),
        lambda: store.head("a"),
        lambda: store.list("a"),
        lambda: store.delete("a"),
        lambda: store.delete_prefix("a/"),
        store.check,
        store.ensure_bucket,
    ]
    for call in calls:
        with pytest.raises(StoreUnavailableError) as caught:
            call()
        assert f"{settings.endpoint} cannot be reached" in str(caught.value)
        assert "the-" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_address_that_is_none() -> None:
    with pytest.raises(StoreUnavailableError, match="the store's address is wrong"):
        S3Store(S3Settings("bucket", endpoint="not an address"))


def test_a_missing_bucket_is_named(moto_service: S3Service) -> None:
    store = S3Store(moto_service.settings("there-is-none"))
    for call in (store.check, lambda: store.list(""), lambda: store.get("a", limit=2**30)):
        with pytest.raises(StoreUnavailableError, match="bucket not found: there-is-none"):
            call()


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_bucket_is_created_once(moto_service: S3Service, region: str) -> None:
    store = S3Store(moto_service.settings(f"new-{secrets.token_hex(6)}", region=region))
    store.ensure_bucket()
    store.put("a", b"kept")
    store.ensure_bucket()
    assert store.get("a", limit=2**30).data == b"kept"


def test_refused_credentials(minio_service: S3Service) -> None:
    name = f"test-{secrets.token_hex(6)}"
    S3Store(minio_service.settings(name)).ensure_bucket()
    store = S3Store(minio_service.settings(name, secret_key="wrong-secret"))
    for call in (store.check, lambda: store.get("a", limit=2**30), lambda: store.head("a"), lambda: store.list("")):
        with pytest.raises(StoreUnavailableError, match="refuses the credentials") as caught:
            call()
        assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("service", ["moto_service", "minio_service"])
def test_a_refused_upload_leaves_no_parts(service: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store: S3Store = request.getfixturevalue(service).new_store()
    path = tmp_path / "large"
    path.write_bytes(b"x" * (PART_SIZE + 1))
    first = store.put("a", path, if_none_match=True)
    with pytest.raises(PreconditionFailedError):
        store.put("a", path, if_none_match=True)
    if service == "minio_service":  # moto takes every multipart upload with If-Match
        with pytest.raises(PreconditionFailedError):
            store.put("a", path, if_match="0" * 32)
    assert store.get("a", limit=2**30).info.etag == first.etag
    uploads = store._s3.list_multipart_uploads(Bucket=store._bucket)
    assert uploads.get("Uploads", []) == []


def test_a_signed_url_leads_to_where_pods_find_the_service(moto_service: S3Service) -> None:
    store = S3Store(moto_service.settings("bucket", pod_endpoint="http://minio.storage.svc:9000"))
    url = urlsplit(store.presign_get("executions/u/record.json", 60))
    query = parse_qs(url.query)
    assert (url.scheme, url.netloc, url.path) == ("http", "minio.storage.svc:9000", "/bucket/executions/u/record.json")
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["60"]
    address, fields = store.presign_post("executions/u/attempts/", 10, 60)
    assert address == "http://minio.storage.svc:9000/bucket"
    assert fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"
    assert {"policy", "x-amz-signature"} <= set(fields)
    assert "key" not in fields


@pytest.mark.parametrize("seconds", [0, -1, WEEK + 1])
def test_access_is_signed_for_a_week_at_most(bucket: S3Store, seconds: int) -> None:
    with pytest.raises(ValueError, match="1 to 604800 seconds"):
        bucket.presign_get("a", seconds)
    with pytest.raises(ValueError, match="1 to 604800 seconds"):
        bucket.presign_post("a/", 1, seconds)


@pytest.mark.parametrize("prefix", ["", "/", "a", "executions"])
def test_access_is_signed_for_a_folder_only(bucket: S3Store, prefix: str) -> None:
    with pytest.raises(ValueError, match="the prefix must end with /"):
        bucket.presign_post(prefix, 1, 60)


@pytest.mark.parametrize("prefix", ["../", "a/../", "a//"])
def test_access_is_never_signed_for_what_is_no_folder(bucket: S3Store, prefix: str) -> None:
    with pytest.raises(InvalidKeyError):
        bucket.presign_post(prefix, 1, 60)


def test_temporary_credentials_are_known_as_such(moto_service: S3Service) -> None:
    settings = moto_service.settings("bucket")
    assert not S3Store(settings).temporary_credentials
    assert S3Store(dataclasses.replace(settings, session_token="token")).temporary_credentials
