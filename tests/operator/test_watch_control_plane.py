"""The liveness probe of an operator on a real API server, once a watch has ended while the process lives on."""

import copy
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from podbook_core.store.s3 import S3Settings
from podbook_operator.watch.handlers import WATCHED

from .control_plane import ApiServer, OperatorProcess, running

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(120)]

PROGRAM = str(Path(__file__).with_name("wounded_operator.py"))


@pytest.fixture
def blind(api: ApiServer, tmp_path: Path) -> Iterator[ApiServer]:
    """The API server as an account sees it that may do everything the operator does, but look at pods."""
    rules = [
        {"apiGroups": ["podbook.dev"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets", "events"], "verbs": ["*"]},
    ]
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{api.namespace}"
    accounts = f"/api/v1/namespaces/{api.namespace}/serviceaccounts"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "blind"}
    subject = {"kind": "ServiceAccount", "name": "blind", "namespace": api.namespace}
    for path, body in (
        (accounts, {}),
        (f"{roles}/roles", {"rules": rules}),
        (f"{roles}/rolebindings", {"roleRef": reference, "subjects": [subject]}),
    ):
        api.client.post(path, json={"metadata": {"name": "blind"}, **body}).raise_for_status()
    token = api.client.post(f"{accounts}/blind/token", json={"spec": {}}).raise_for_status().json()["status"]["token"]
    config: dict[str, Any] = yaml.safe_load(api.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    seen = copy.copy(api)
    seen.kubeconfig = tmp_path / "blind.kubeconfig"
    seen.kubeconfig.write_text(yaml.safe_dump(config))
    yield seen
    for path in (f"{roles}/rolebindings", f"{roles}/roles", accounts):
        api.client.delete(f"{path}/blind")


def _health(operator: OperatorProcess) -> int | None:
    """Status of what the kubelet would be answered, None while nobody answers."""
    try:
        return httpx.get(f"http://127.0.0.1:{operator.health_port}/healthz", timeout=10).status_code
    except httpx.TransportError:
        return None


def test_a_watch_that_ends_is_noticed(api: ApiServer, bucket: S3Settings, tmp_path: Path) -> None:
    kind = WATCHED[-1]
    with running(OperatorProcess(api, bucket, tmp_path, command=(PROGRAM, kind))) as operator:
        api.until("it is well", lambda: _health(operator) == 200)
        operator.signal(signal.SIGUSR1)
        api.until("it is not", lambda: _health(operator) == 500)
        assert f"no watch is running for {kind}" in operator.logs()


def test_an_operator_whose_watch_is_refused_ends(blind: ApiServer, bucket: S3Settings, tmp_path: Path) -> None:
    """Without the right to look at pods there is nothing it could do. A process that ends is started again, and seen to end again."""
    with running(OperatorProcess(blind, bucket, tmp_path, command=(PROGRAM, ""))) as operator:
        blind.until("it ends", lambda: operator.ended() is not None)
        assert operator.ended() != 0
        assert "cannot list resource" in operator.logs()
