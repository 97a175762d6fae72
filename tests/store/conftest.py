"""Stores to test: a directory, moto's S3 (the API's shape) and a real MinIO (what a service really enforces)."""

import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from podbook_core.store.base import ObjectStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.s3 import S3Settings, S3Store

KINDS = ("directory", "moto", "minio")
PART_SIZE = 5 * 1024 * 1024


def minio_program() -> str | None:
    """The MinIO of the test cluster, else the one on the path."""
    home = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache/podbook-cluster"))
    built = home / "bin/minio"
    return str(built) if built.exists() else shutil.which("minio")


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class S3Service:
    """A running S3 service, and how to reach it."""

    endpoint: str
    access_key: str
    secret_key: str

    def settings(self, bucket: str, **changes: object) -> S3Settings:
        """Settings for a bucket of it."""
        values: dict[str, object] = {
            "bucket": bucket,
            "endpoint": self.endpoint,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "part_size": PART_SIZE,
        }
        return S3Settings(**{**values, **changes})  # type: ignore[arg-type]

    def new_store(self) -> S3Store:
        """A store in a bucket of its own."""
        store = S3Store(self.settings(f"test-{secrets.token_hex(6)}"))
        store.ensure_bucket()
        return store


@pytest.fixture(scope="session")
def moto_service() -> Iterator[S3Service]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3Service(f"http://{host}:{port}", "test", "test")
    finally:
        server.stop()


@pytest.fixture(scope="session")
def minio_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Service]:
    program = minio_program()
    if program is None:
        reason = "MinIO is not built (tests/cluster/build builds it) and not on the path"
        if os.environ.get("PODBOOK_REQUIRE_MINIO") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    port, user, password = free_port(), "test-user", secrets.token_hex(16)
    folder = tmp_path_factory.mktemp("minio")
    environment = {**os.environ, "MINIO_ROOT_USER": user, "MINIO_ROOT_PASSWORD": password, "MINIO_BROWSER": "off"}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [program, "server", str(folder / "data"), "--address", f"127.0.0.1:{port}", "--quiet"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            endpoint = f"http://127.0.0.1:{port}"
            wait_for(f"{endpoint}/minio/health/live", process)
            yield S3Service(endpoint, user, password)
        finally:
            process.terminate()


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Until a URL answers 200."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "MinIO ended at once"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} does not answer")


@pytest.fixture(scope="session", params=KINDS)
def new_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], ObjectStore]:
    """Makes empty stores of each kind; in S3 it is the same one, emptied, because making a boto3 client takes long."""
    if request.param == "directory":
        return lambda: DirectoryStore(tmp_path_factory.mktemp("store"))
    service: S3Service = request.getfixturevalue(f"{request.param}_service")
    bucket = service.new_store()

    def emptied() -> ObjectStore:
        bucket.delete_prefix("")
        return bucket

    return emptied


@pytest.fixture
def store(new_store: Callable[[], ObjectStore]) -> ObjectStore:
    """An empty store."""
    return new_store()
