"""What the tests against a real API server share."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from podbook_core.notebook.contract import parse_contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.store.s3 import S3Settings, S3Store

from .control_plane import ApiServer, Kubelet, OperatorProcess, running

CRD = Path(__file__).parents[2] / "helm/podbook/files/crd.yaml"


@pytest.fixture(scope="session")
def api() -> Iterator[ApiServer]:
    """The API server that `make test-controlplane` started, with the resource defined and a namespace of its own."""
    if os.environ.get("PODBOOK_TEST_CLUSTER") != "controlplane":
        pytest.skip("needs the API server of `make test-controlplane`")
    kubeconfig = Path(os.environ["KUBECONFIG"])
    made = ApiServer(kubeconfig, f"test-{uuid.uuid4().hex[:8]}")
    subprocess.run(["kubectl", "apply", "-f", CRD], check=True, capture_output=True)
    subprocess.run(["kubectl", "wait", "--for=condition=Established", "--timeout=60s", "-f", CRD], check=True, capture_output=True)
    made.client.post("/api/v1/namespaces", json={"metadata": {"name": made.namespace}}).raise_for_status()
    made.until("the new resource is served", lambda: made.client.get(made.executions).status_code == 200)
    account = f"/api/v1/namespaces/{made.namespace}/serviceaccounts/default"
    made.until("the namespace is ready", lambda: made.client.get(account).status_code == 200)
    yield made
    made.client.delete(f"/api/v1/namespaces/{made.namespace}")
    made.client.close()


@pytest.fixture(scope="session")
def bucket(api: ApiServer) -> S3Settings:
    """A bucket with the notebooks of the tests."""
    settings = S3Settings(
        bucket=api.namespace,
        endpoint=os.environ["PODBOOK_TEST_S3_ENDPOINT"],
        access_key=os.environ["PODBOOK_TEST_S3_ACCESS_KEY"],
        secret_key=os.environ["PODBOOK_TEST_S3_SECRET_KEY"],
    )
    store = S3Store(settings)
    store.ensure_bucket()
    versions = VersionStore(store)
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False}
    contract = parse_contract(json.dumps({"input": schema}).encode(), models=lambda _: None)
    for name in ("analysis", "broken", "flaky", "endless", "moved", "stubborn", "lacking", "never"):
        versions.publish(build_bundle(name, b"{}", contract if name == "analysis" else None, []), now=datetime.now(UTC))
    return settings


@pytest.fixture
def kubelet(api: ApiServer, bucket: S3Settings) -> Iterator[Kubelet]:
    """Somebody plays the pods."""
    made = Kubelet(api, S3Store(bucket))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def operator(api: ApiServer, bucket: S3Settings, tmp_path: Path) -> Iterator[OperatorProcess]:
    """A running operator; everything that a test made is removed with it."""
    with running(OperatorProcess(api, bucket, tmp_path, resync_seconds="5", job_ttl_seconds="5")) as made:
        yield made
    api.client.delete(api.executions)
