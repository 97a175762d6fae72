"""Credentials that end and are replaced: where a pod's identity gives them, and what is signed with them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.runner.conftest import ATTEMPT, PREFIX, Mount, Runner, notebook, save
from tests.support.credentials import ROLE, Vendor, forget_others, issue, selling

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.reasons import ExitCode
from podbook_core.execution.task import Destination
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.s3 import S3Settings, S3Store

from .conftest import S3Service
from .test_signed_access import post, send


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_others(monkeypatch, tmp_path)


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """Where the credentials come from."""
    with selling() as made:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", made.url)
        yield made


def after(**span: float) -> datetime:
    """A moment from now, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(**span)


def test_keys_and_tokens_that_were_given_have_no_known_end(moto_service: S3Service) -> None:
    for store in (
        S3Store(moto_service.settings("bucket")),
        S3Store(moto_service.settings("bucket", session_token="token")),
        S3Store(S3Settings("bucket")),
    ):
        assert not store.renewed_credentials
        assert store.credentials_end() is None


def test_new_credentials_are_fetched_before_the_present_ones_end(vendor: Vendor) -> None:
    first = vendor.sells(after(hours=1))
    store = S3Store(S3Settings("bucket"))
    assert (store.renewed_credentials, store.temporary_credentials) == (True, True)
    assert store.credentials_end() == store.credentials_end() == first
    assert vendor.asked == 1
    soon = vendor.sells(after(minutes=14))
    store = S3Store(S3Settings("bucket"))
    second = vendor.sells(after(hours=2), "another")
    assert soon < second == store.credentials_end()
    assert "another" in store.presign_get("a", 60)


def test_a_web_identity_gives_credentials_that_are_renewed(
    moto_service: S3Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_service.endpoint)
    store = S3Store(S3Settings("podbook-identity", endpoint=moto_service.endpoint))
    assert store.renewed_credentials
    with pytest.raises(StoreUnavailableError, match=r"cannot renew the store's credentials: .*No such file"):
        store.credentials_end()
    token.write_text("signed by the cluster")
    end = store.credentials_end()
    assert end is not None
    assert after(minutes=50) < end < after(minutes=70)
    store.ensure_bucket()
    store.check()
    assert "X-Amz-Security-Token=" in store.presign_get("a", 60)


def test_credentials_that_have_ended_are_said_to_be_missing(vendor: Vendor) -> None:
    vendor.sells(after(minutes=5))
    store = S3Store(S3Settings("bucket"))
    vendor.sells(after(minutes=-5))
    with pytest.raises(StoreUnavailableError, match="still expired"):
        store.credentials_end()


def test_access_is_as_good_with_temporary_credentials_and_with_the_next_ones(minio_service: S3Service, vendor: Vendor) -> None:
    """On a real MinIO, which issues temporary credentials as Amazon does."""
    bucket = minio_service.new_store()._bucket
    service = (minio_service.endpoint, minio_service.access_key, minio_service.secret_key)
    issue(vendor, *service, seconds=900)
    store = S3Store(S3Settings(bucket, endpoint=minio_service.endpoint))
    prefix = "executions/u1/attempts/"
    # These last for less than the quarter of an hour that botocore keeps clear, so each signature is made with new ones.
    for number in range(2):
        key_id = issue(vendor, *service, seconds=900)
        signed = store.presign_post(prefix, 1000, 3600)
        assert signed[1]["x-amz-credential"].startswith(f"{key_id}/")
        assert signed[1]["x-amz-security-token"]
        assert post(signed, f"{prefix}p1/{number}", b"data")[0] == 204
        assert send(store.presign_get(f"{prefix}p1/{number}", 3600)) == (200, b"data")
        assert post(signed, "executions/u2/attempts/p1/a", b"data")[0] == 403


WAITS = """
import pathlib, time
def wait_for(name):
    while not pathlib.Path(folder, name).exists():
        time.sleep(0.02)
pathlib.Path(folder, "begun").touch()
wait_for("renewed")
"""
TELLS = """
print(pathlib.Path(folder, "mounted", "task.json").read_text())
wait_for("enough")
"""


def test_a_run_outlives_the_access_it_began_with(minio_service: S3Service, tmp_path: Path) -> None:
    """On a real MinIO: the first policy is over when the first cell runs, and everything arrives by the one that took its place."""
    store = minio_service.new_store()
    runner, mount = Runner(tmp_path), Mount(tmp_path / "mounted")

    def access(seconds: int) -> Destination:
        url, fields = store.presign_post(PREFIX, 1024**2, seconds)
        return Destination("post", url, PREFIX, fields)

    cells = (f"folder = {str(tmp_path)!r}\n{WAITS}", TELLS, save("'kept'"))
    first = access(1)
    task = runner.task(notebook(*cells), destination=first, html=True)
    time.sleep(1.1)
    mount.put(task.to_json())
    try:
        started = runner.start(task, arguments=["--task", str(mount.file)])
        started.wait_for((tmp_path / "begun").exists)
        assert post((first.url, first.fields), f"{PREFIX}{ATTEMPT}/a", b"x")[0] == 403
        second = access(600)
        mount.put(replace(task, destination=second).to_json())
        (tmp_path / "renewed").touch()
        started.wait_for(lambda: store.head(f"{PREFIX}{ATTEMPT}/progress.json") is not None)
        (tmp_path / "enough").touch()
        done = started.wait()
    finally:
        runner.close()
    assert done.exit_code == ExitCode.SUCCEEDED, done.printed
    stored = {key.removeprefix(f"{PREFIX}{ATTEMPT}/"): store.get(key, limit=2**30).data.decode() for key in store.list(PREFIX)}
    manifest = AttemptManifest.from_json(stored["result.json"].encode())
    assert manifest.outcome == "Succeeded"
    assert {"notebook.ipynb", "report.html", "output.json", "log.txt"} <= stored.keys()
    assert "[redacted]" in stored["notebook.ipynb"]
    for fields in (first.fields, second.fields):
        for secret in (fields["policy"], fields["x-amz-signature"]):
            assert not [name for name, text in stored.items() if secret in text]
