"""Access that is signed with temporary credentials, against a real API server and a real MinIO that issues them."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.credentials import forget_others, issue, selling

from podbook_core.execution.task import Task
from podbook_core.store.s3 import S3Settings
from podbook_core.text.names import secret_name

from .control_plane import ApiServer, Kubelet, OperatorProcess, running

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]


def test_a_restarted_operator_signs_what_runs_with_its_new_credentials(
    api: ApiServer, bucket: S3Settings, kubelet: Kubelet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_others(monkeypatch, tmp_path)
    endpoint, keys = bucket.endpoint or "", (bucket.access_key or "", bucket.secret_key or "")

    def signed_with() -> str:
        """Id of the key that signed what the pods of the run have mounted."""
        uid = api.get("lasting")["metadata"]["uid"]
        secret = api.client.get(f"/api/v1/namespaces/{api.namespace}/secrets/{secret_name(uid)}").raise_for_status().json()
        task = Task.from_json(base64.b64decode(secret["data"]["task.json"]))
        assert task.parameters == {"x": 1}
        return task.destination.fields["x-amz-credential"].partition("/")[0]

    def runs() -> bool:
        conditions = api.get("lasting").get("status", {}).get("conditions", [])
        return any((item["type"], item["status"]) == ("Started", "True") for item in conditions)

    with selling() as vendor:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", vendor.url)
        first = issue(vendor, endpoint, *keys, seconds=3600)
        with running(OperatorProcess(api, replace(bucket, access_key=None, secret_key=None), tmp_path)) as operator:
            assert api.create("lasting", notebook={"name": "endless"}, parameters={"x": 1}).status_code == 201
            api.until("it runs", runs)
            assert signed_with() == first
            operator.kill()
            second = issue(vendor, endpoint, *keys, seconds=3600)
            operator.start()
            api.until("its access is signed again", lambda: signed_with() == second)
            api.patch(f"{api.executions}/lasting", {"spec": {"cancel": True}})
            api.until("it ends", lambda: api.finished("lasting"))
            assert "renewed the signed access of 1 runs" in operator.logs()
            assert "X-Amz-" not in operator.logs()
            assert kubelet.jobs["lasting"]
    api.client.delete(api.executions)
