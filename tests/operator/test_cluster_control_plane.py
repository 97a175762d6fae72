"""What the operator takes for granted about an API server, from a real one; and an operator among leftovers and among profiles."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config

from podbook_cluster import api_server
from podbook_cluster.errors import ClusterUnavailableError, RefusedError
from podbook_core.execution.labels import EXECUTION_LABEL, OURS, UID_LABEL
from podbook_core.store.s3 import S3Settings
from podbook_operator.cluster import KubernetesCluster

from .control_plane import ApiServer, Kubelet, OperatorProcess, running

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]


def job(name: str, **labels: str) -> dict[str, Any]:
    """A Job that makes no pod."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "runner", "image": "runner:1"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }


@asynccontextmanager
async def connected(api: ApiServer, folder: Path, token: str | None = None) -> AsyncIterator[KubernetesCluster]:
    """The operator's adapter, with all rights or as whom a token is of."""
    config = yaml.safe_load(api.kubeconfig.read_text())
    if token is not None:
        config["users"][0]["user"] = {"token": token}
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    configuration = Configuration()
    await load_kube_config(config_file=str(file), client_configuration=configuration)  # type: ignore[no-untyped-call]
    cluster = KubernetesCluster(api_server.ApiServer(configuration, "podbook-tests"), api.namespace)
    try:
        yield cluster
    finally:
        await cluster.aclose()


async def test_missing_rights_and_a_quota_are_told_apart(api: ApiServer, tmp_path: Path) -> None:
    account = f"/api/v1/namespaces/{api.namespace}/serviceaccounts/default/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.client.post(account, json=asked).raise_for_status().json()["status"]["token"]
    async with connected(api, tmp_path, token) as stranger:
        with pytest.raises(ClusterUnavailableError, match="cannot create resource"):
            await stranger.create_job(job("refused"))
        with pytest.raises(ClusterUnavailableError, match="cannot create resource"):
            await stranger.apply_secret({"metadata": {"name": "refused"}, "data": {}})
        with pytest.raises(ClusterUnavailableError, match="cannot patch resource"):
            await stranger.patch_status("refused", {"status": {}})
    quotas = f"/api/v1/namespaces/{api.namespace}/resourcequotas"
    hard = {"metadata": {"name": "none"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    api.client.post(quotas, json=hard).raise_for_status()
    try:
        api.until("the quota is counted", lambda: "hard" in api.client.get(f"{quotas}/none").json().get("status", {}))
        async with connected(api, tmp_path) as cluster:
            with pytest.raises(RefusedError, match="exceeded quota"):
                await cluster.create_job(job("refused"))
    finally:
        api.client.delete(f"{quotas}/none")


async def test_every_job_and_pod_of_a_selector_is_found(api: ApiServer, tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    for number in range(3):
        api.client.post(api.jobs, json=job(f"counted-{mark}-{number}", mark=mark)).raise_for_status()
    pod = job("counted")["spec"]["template"]["spec"]
    api.client.post(
        api.pods, json={"metadata": {"name": f"counted-{mark}", "labels": {"mark": mark}}, "spec": pod}
    ).raise_for_status()
    selected = f"?labelSelector=mark%3D{mark}"
    try:
        async with connected(api, tmp_path) as cluster:
            jobs, pods = await cluster.job_uids(f"mark={mark}"), await cluster.pod_uids(f"mark={mark}")
        assert jobs == {item["metadata"]["uid"] for item in api.items(api.jobs + selected)}
        assert pods == {item["metadata"]["uid"] for item in api.items(api.pods + selected)}
        assert (len(jobs), len(pods)) == (3, 1)
    finally:
        api.client.delete(api.jobs + selected)
        api.client.request("DELETE", f"{api.pods}/counted-{mark}", json={"gracePeriodSeconds": 0})


def test_an_operator_is_well_where_only_a_job_is_left(api: ApiServer, bucket: S3Settings, tmp_path: Path) -> None:
    api.until("no execution is left", lambda: not api.items(api.executions))
    key, _, value = OURS.partition("=")
    left = job("left", **{key: value, EXECUTION_LABEL: "nobody", UID_LABEL: "gone"})
    api.client.post(api.jobs, json=left).raise_for_status()
    try:
        with running(OperatorProcess(api, bucket, tmp_path)) as operator:
            looks, due = "podbook_operator_reconcile_seconds_count", "podbook_operator_queue_depth"
            api.until("the Job is looked at", lambda: operator.metric(looks) >= 1 and operator.metric(due) == 0)
    finally:
        api.client.delete(f"{api.jobs}/left")


def test_a_profile_whose_places_are_taken_keeps_no_other_one_waiting(
    api: ApiServer, bucket: S3Settings, kubelet: Kubelet, tmp_path: Path
) -> None:
    with running(OperatorProcess(api, bucket, tmp_path, max_active="1")):
        api.create("stuck", notebook={"name": "never"})
        api.until("it has its Job", lambda: "jobName" in api.get("stuck").get("status", {}))
        api.create("behind")
        api.create("beside", profile="other")
        api.until("the one of another profile ends", lambda: api.finished("beside"))
        assert api.get("beside")["status"]["reason"] == "Succeeded"
        assert api.get("behind")["status"]["reason"] == "Queued"
        assert "jobName" not in api.get("behind")["status"]
        api.patch(f"{api.executions}/stuck", {"spec": {"cancel": True}})
        api.until("the place is given on", lambda: api.finished("behind"))
    assert set(kubelet.jobs) >= {"beside", "behind"}
    api.client.delete(api.executions)
