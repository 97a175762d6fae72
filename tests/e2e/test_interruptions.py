"""Runs that are cut short from outside: cancelled, drained, deleted by hand, left without an object store."""

import json
import time

import httpx
import pytest

from .faults import evict, start_minio, stop_minio
from .installation import MAX_ACTIVE, Installation
from .kubectl import Kubectl
from .patience import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


def _running(podbook: Installation, seconds: float, **body: object) -> str:
    """A run that is in its second cell. What it prints is visible after 5 s at the latest, so it has to take longer than that."""
    name: str = podbook.submit("sleeping", {"seconds": seconds}, profile="lean", **body)["id"]
    podbook.until_reason(name, "Running")
    until(f"{name} to have said something", lambda: "begun" in _log(podbook, name), seconds=60)
    return name


def _log(podbook: Installation, name: str) -> str:
    answer = podbook.http.get(f"/v1/executions/{name}/logs")
    assert answer.status_code == 200, answer.text
    return answer.text


def _attempts(podbook: Installation, name: str) -> list[str]:
    """Outcome of each attempt, as their manifests in the bucket say."""
    prefix = f"executions/{podbook.execution(name)['metadata']['uid']}/attempts/"
    manifests = [key for key in podbook.store.list(prefix) if key.endswith("/result.json")]
    return [json.loads(podbook.store.get(key, limit=2**30).data)["outcome"] for key in manifests]


class TestCancel:
    def test_while_queued(self, podbook: Installation) -> None:
        """Runs whose image never comes hold every slot of their profile; the next one waits."""
        names = [podbook.submit("quick", {"number": n}, profile="no-image")["id"] for n in range(MAX_ACTIVE)]
        for name in names:
            podbook.until_reason(name, "Starting", "Scheduled", "ImagePullFailed")
        queued = podbook.submit("quick", {"number": 9}, profile="no-image")["id"]
        podbook.until_reason(queued, "Queued")
        try:
            assert podbook.http.post(f"/v1/executions/{queued}/cancel").status_code == 200
            status = podbook.ended(queued)["status"]
            assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
            assert "jobName" not in status, "a queued run has no Job"
        finally:
            for name in names:
                podbook.http.post(f"/v1/executions/{name}/cancel")
        for name in names:  # cancelled while starting
            ended = podbook.ended(name)["status"]
            assert ended["reason"] == "Cancelled"
            assert not podbook.run_pods(name)

    def test_while_running_keeps_the_partial_notebook(self, podbook: Installation) -> None:
        name = _running(podbook, 120)
        assert podbook.http.post(f"/v1/executions/{name}/cancel").status_code == 200
        assert podbook.ended(name)["status"]["reason"] == "Cancelled"
        assert "begun" in podbook.http.get(f"/v1/executions/{name}/notebook").text
        assert "begun" in podbook.http.get(f"/v1/executions/{name}/html").text
        answer = podbook.http.get(f"/v1/executions/{name}/output")
        assert (answer.status_code, answer.json()["reason"]) == (409, "Cancelled")
        assert _attempts(podbook, name) == ["Interrupted"]

    def test_by_kubectl(self, podbook: Installation) -> None:
        document = podbook.resource("sleeping", {"seconds": 120})
        name = document["metadata"]["name"]
        podbook.runs.apply(document)
        podbook.until_reason(name, "Running")
        podbook.runs("patch", "nbx", name, "--type=merge", "--patch", '{"spec":{"cancel":true}}')
        podbook.runs("wait", "--for=condition=Finished", f"nbx/{name}", "--timeout=60s", timeout=90)
        assert podbook.ended(name)["status"]["phase"] == "Cancelled"


class TestTakenAway:
    def test_a_job_deleted_by_hand_is_not_made_again(self, podbook: Installation) -> None:
        name = _running(podbook, 120)
        job = podbook.custom_resource(name)["status"]["jobName"]
        podbook.runs("delete", "job", job, "--wait=true", timeout=90)
        status = podbook.ended(name)["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "JobLost")
        assert not podbook.runs.exists("job", job)

    def test_a_pod_deleted_by_hand_is_replaced(self, podbook: Installation) -> None:
        name = _running(podbook, 15)
        pod = podbook.custom_resource(name)["status"]["podName"]
        podbook.runs("delete", "pod", pod, "--wait=false")
        status = podbook.ended(name)["status"]
        assert (status["reason"], status["attempts"]) == ("Succeeded", 2)
        assert status["podName"] != pod
        assert sorted(_attempts(podbook, name)) == ["Interrupted", "Succeeded"]

    def test_a_drain_is_retried(self, podbook: Installation) -> None:
        name = _running(podbook, 15)
        job, pod = (podbook.custom_resource(name)["status"][key] for key in ("jobName", "podName"))
        node = podbook.runs.get("pod", pod)["spec"]["nodeName"]
        cluster = Kubectl()
        selector = f"--pod-selector=batch.kubernetes.io/job-name={job}"
        try:
            cluster("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", selector, "--timeout=60s", timeout=90)
        finally:
            cluster("uncordon", node)
        status = podbook.ended(name)["status"]
        assert (status["reason"], status["attempts"]) == ("Succeeded", 2)
        assert sorted(_attempts(podbook, name)) == ["Interrupted", "Succeeded"]

    def test_a_drained_pod_that_still_succeeds_counts_once(self, podbook: Installation) -> None:
        """Its cells are done and it is publishing when the eviction comes: it goes on, and exits with 0 all the same."""
        name = podbook.submit("writing", {"files": 60, "mebibytes": 8}, profile="lean")["id"]
        document = podbook.until_reason(name, "Running", "Publishing")
        prefix = f"executions/{document['metadata']['uid']}/attempts/"
        until("the first published file", lambda: any("/files/" in key for key in podbook.store.list(prefix)), every=0.05)
        pod = podbook.custom_resource(name)["status"]["podName"]
        evict(podbook, pod)
        told = podbook.runs.get("pod", pod)
        assert "deletionTimestamp" in told["metadata"]
        assert "running" in told["status"]["containerStatuses"][0]["state"], "the eviction met a runner at work"
        status = podbook.ended(name)["status"]
        assert (status["reason"], status["attempts"], status["podName"]) == ("Succeeded", 1, pod)
        assert _attempts(podbook, name) == ["Succeeded"]
        # Nothing may come after a success: neither now nor when the Job controller has seen the end of the evicted pod.
        job = status["jobName"]
        until("the Job to be at rest", lambda: not podbook.runs.exists("job", job) or _at_rest(podbook, job), seconds=30)
        assert _attempts(podbook, name) == ["Succeeded"]
        assert len(podbook.http.get(f"/v1/executions/{name}/files").json()["items"]) == 60


def _at_rest(podbook: Installation, job: str) -> bool:
    """Whether a Job has come to its end and can start nothing any more."""
    conditions = podbook.runs.get("job", job)["status"].get("conditions", [])
    return any(item["type"] in ("Complete", "Failed", "Suspended") and item["status"] == "True" for item in conditions)


class TestWithoutTheStore:
    OUTAGE_SECONDS = 20

    def test_a_short_outage_costs_time_only(self, podbook: Installation) -> None:
        name = _running(podbook, 10)
        stop_minio(podbook)
        try:
            answer = until("the API to say so", lambda: _refused(podbook), seconds=30)
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["code"] == "StoreUnavailable"
            time.sleep(self.OUTAGE_SECONDS)  # the cells end within it, so that publishing begins without a store
            assert _refused(podbook) is not None
        finally:
            start_minio(podbook)
        until("the API to recover", lambda: podbook.http.get("/v1/notebooks").status_code == 200, seconds=30)
        status = podbook.ended(name)["status"]
        assert (status["reason"], status["attempts"]) == ("Succeeded", 1)
        assert podbook.restarts("api") == podbook.restarts("operator") == 0

    def test_an_outage_longer_than_the_publishing_time_fails_the_run(self, podbook: Installation) -> None:
        with podbook.changed({"operator": {"settings": {"PUBLISH_TIMEOUT_SECONDS": "3"}}}):
            name = _running(podbook, 10)
            stop_minio(podbook)
            try:
                until("the runner to give up", lambda: _terminated(podbook, name), seconds=90)
            finally:
                start_minio(podbook)
            until("the API to recover", lambda: podbook.http.get("/v1/notebooks").status_code == 200, seconds=30)
            status = podbook.ended(name)["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "StorageFailed")
        assert podbook.http.get(f"/v1/executions/{name}/output").status_code == 503


def _refused(podbook: Installation) -> httpx.Response | None:
    """The API's answer while it cannot serve, None while it can. Over a new connection, which needs a replica that counts as ready."""
    podbook.close()
    answer = podbook.http.get("/v1/notebooks")
    return answer if answer.status_code == 503 else None


def _terminated(podbook: Installation, name: str) -> bool:
    """Whether the runner's container has ended."""
    return any("terminated" in status["state"] for pod in podbook.run_pods(name) for status in pod["status"]["containerStatuses"])
