"""What a run may do, and what it must not be able to do. Notebook code is untrusted."""

import base64
import hashlib
import json
import secrets
from typing import Any

import httpx
import pytest

from podbook_core.execution.task import Task
from podbook_core.text.names import secret_name

from .installation import Installation
from .kubectl import KubectlError
from .patience import until

# Somebody else's run, which takes minutes by itself, is begun here.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180), pytest.mark.usefixtures("hunted")]

Document = dict[str, Any]


@pytest.fixture(scope="module")
def looking(podbook: Installation) -> Document:
    """A run that looked around; it has ended, its pod is still there."""
    return podbook.ended(podbook.submit("looking", profile="lean")["id"])


@pytest.fixture(scope="module")
def leaked(podbook: Installation) -> tuple[Document, Task]:
    """A run that printed its signed access in every way there is, and that access itself."""
    name = podbook.submit("leaking", profile="lean")["id"]
    uid = podbook.execution(name)["metadata"]["uid"]
    task = until("the Secret of the run", lambda: _task(podbook, uid), every=0.05)
    return podbook.ended(name), task


@pytest.fixture(scope="module")
def access(podbook: Installation) -> Task:
    """The signed access of a run that has ended."""
    name = podbook.submit("sleeping", {"seconds": 2}, profile="lean")["id"]
    uid = podbook.execution(name)["metadata"]["uid"]
    task = until("the Secret of the run", lambda: _task(podbook, uid), every=0.05)
    podbook.ended(name)
    return task


class TestPod:
    def test_the_namespace_enforces_restricted(self, podbook: Installation) -> None:
        labels = podbook.runs.get("namespace", podbook.runs.namespace)["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "root"},
            "spec": {"containers": [{"name": "root", "image": "localhost/pause:1", "resources": {"limits": {"memory": "1Mi"}}}]},
        }
        with pytest.raises(KubectlError, match="violates PodSecurity"):
            podbook.runs.create(pod)

    def test_a_run_has_no_token_and_a_read_only_system(self, podbook: Installation, looking: Document) -> None:
        seen = podbook.http.get(f"/v1/executions/{looking['id']}/output").json()
        assert seen["token"] == []
        assert seen["writable"] == []
        services = [name for name in seen["environment"] if name.endswith(("_SERVICE_HOST", "_PORT_443_TCP"))]
        assert [name for name in services if not name.startswith("KUBERNETES_")] == [], "no service links"

    def test_its_pod_is_locked_down(self, podbook: Installation, looking: Document) -> None:
        (pod,) = podbook.run_pods(looking["id"])
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert "serviceAccountToken" not in json.dumps(spec["volumes"])
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        (task,) = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
        assert task["defaultMode"] in (0o400, 0o440)

    def test_it_cannot_reach_what_it_need_not(self, podbook: Installation) -> None:
        if podbook.environment.cluster == "native":
            pytest.skip("this cluster's network does not enforce NetworkPolicies; CLUSTER=kind or existing proves them")
        address = podbook.kubectl.get("service", podbook.fullname("api"))["spec"]["clusterIP"]
        answer = podbook.http.post("/v1/run/reaching", json={"address": address}, headers={"Prefer": "wait=120"}, timeout=150)
        assert answer.json() == {"reached": []}


class TestCredentials:
    def test_a_run_holds_signed_access_and_it_is_in_nothing_it_leaves(
        self, podbook: Installation, leaked: tuple[Document, Task]
    ) -> None:
        document, task = leaked
        (signature,) = [value for name, value in task.destination.fields.items() if name.lower() == "x-amz-signature"]
        output = podbook.http.get(f"/v1/executions/{document['id']}/notebook").text
        # First: the notebook really had it, so that something had to be scrubbed.
        assert hashlib.sha256(signature.encode()).hexdigest() in output
        assert signature.encode() not in b"".join(_everything(podbook, document))
        assert task.notebook.url.partition("?")[2].encode() not in b"".join(_everything(podbook, document))

    def test_no_bucket_key_is_anywhere_near_a_run(self, podbook: Installation, looking: Document) -> None:
        secret = _secret_key(podbook)
        job = podbook.runs.get("job", looking["status"]["jobName"])
        seen = [json.dumps(job), json.dumps(podbook.run_pods(looking["id"])), json.dumps(podbook.custom_resource(looking["id"]))]
        seen += [data.decode(errors="replace") for data in _everything(podbook, looking)]
        assert secret
        assert [text for text in seen if secret in text] == []

    def test_no_log_of_the_programs_holds_a_secret(self, podbook: Installation, leaked: tuple[Document, Task]) -> None:
        _, task = leaked
        hidden = [_secret_key(podbook), podbook.key, *(url.partition("?")[2] for url in [task.notebook.url])]
        for component in ("api", "operator"):
            for pod in podbook.pods(component):
                log = podbook.kubectl("logs", pod["metadata"]["name"])
                assert log
                assert [text[:12] for text in hidden if text in log] == []


def _secret_key(podbook: Installation) -> str:
    if podbook.environment.s3_endpoint is not None:
        return podbook.environment.s3_secret_key
    return podbook.secret(podbook.fullname("minio"), "secretKey")


def _task(podbook: Installation, uid: str) -> Task | None:
    """The task document of a run, as only an administrator can read it."""
    if not podbook.runs.exists("secret", secret_name(uid)):
        return None
    return Task.from_json(base64.b64decode(podbook.runs.get("secret", secret_name(uid))["data"]["task.json"]))


def _everything(podbook: Installation, document: Document) -> list[bytes]:
    """All that a run left: its objects in the bucket, its status, its pod's log, its events."""
    uid = document["metadata"]["uid"]
    left = [podbook.store.get(key, limit=2**30).data for key in podbook.store.list(f"executions/{uid}/")]
    left.append(json.dumps(podbook.custom_resource(document["id"])["status"]).encode())
    left.extend(podbook.runs("logs", pod["metadata"]["name"]).encode() for pod in podbook.run_pods(document["id"]))
    left.append(podbook.runs("describe", "nbx", document["id"]).encode())
    return left


class TestSignedAccess:
    """One run's access, used by someone who took it."""

    @staticmethod
    def post(podbook: Installation, task: Task, key: str, data: bytes) -> int:
        """Status of an upload with a run's signed form."""
        fields = {**task.destination.fields, "key": key, "Content-Type": "application/json"}
        return podbook.to_store("POST", task.destination.url, data=fields, files={"file": ("file", data)}).status_code

    def test_it_writes_its_own_attempts_only(self, podbook: Installation, access: Task, looking: Document) -> None:
        assert self.post(podbook, access, f"{access.destination.prefix}by-hand/mark.json", b"{}") == 204
        other = looking["metadata"]["uid"]
        for key in (
            f"executions/{other}/attempts/by-hand/mark.json",
            f"executions/{other}/record.json",
            f"executions/{access.uid}/record.json",
            "notebooks/quick/current.json",
            "index/all/0",
            f"{access.destination.prefix}../record.json",
        ):
            assert self.post(podbook, access, key, b"{}") in (400, 403), key

    def test_it_reads_what_it_was_given_only(self, podbook: Installation, access: Task, looking: Document) -> None:
        assert podbook.to_store("GET", access.notebook.url).status_code == 200
        base, _, query = access.notebook.url.partition("?")
        host = base.partition("/notebooks/")[0]
        for key in (looking["status"]["results"]["output"], looking["status"]["results"]["record"], "notebooks/free/current.json"):
            assert podbook.store.head(key) is not None
            assert podbook.to_store("GET", f"{host}/{key}?{query}").status_code == 403
        assert podbook.to_store("GET", host).status_code == 403

    def test_it_cannot_change_a_result_after_the_record(self, podbook: Installation, access: Task) -> None:
        document = podbook.execution(access.execution)
        key = document["status"]["results"]["output"]
        assert podbook.http.get(f"/v1/executions/{access.execution}/output").json() == {"slept": 2}
        assert self.post(podbook, access, key, b'{"slept": 1000000}') == 204, "the bucket cannot refuse it: same prefix, same time"
        answer = podbook.http.get(f"/v1/executions/{access.execution}/output")
        assert answer.status_code in (502, 503)
        assert answer.json()["code"] == "ResultChanged"


def test_without_a_key_there_is_no_answer(podbook: Installation, looking: Document) -> None:
    url = f"{podbook.url}/v1/executions/{looking['id']}"
    assert httpx.get(url, timeout=10).status_code == 401
    wrong = {"Authorization": f"Bearer pbk_{secrets.token_urlsafe(32)}"}
    assert httpx.get(url, headers=wrong, timeout=10).status_code == 401
