"""The operator against a real API server and its controllers."""

import json
import random
import time
from typing import Any

import httpx
import pytest

from podbook_core.execution.reasons import Reason
from podbook_core.results.record import RecordStore
from podbook_core.store.s3 import S3Settings, S3Store
from podbook_core.text.names import secret_name
from podbook_operator.watch.handlers import WATCHED

from .control_plane import ApiServer, Kubelet, OperatorProcess

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300), pytest.mark.usefixtures("kubelet", "operator")]


def status_of(api: ApiServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(name)["status"]
    return found


def condition(api: ApiServer, name: str, kind: str) -> str:
    return next((item["status"] for item in api.get(name).get("status", {}).get("conditions", []) if item["type"] == kind), "")


def test_every_execution_survives_an_operator_that_is_killed_again_and_again(
    api: ApiServer, bucket: S3Settings, kubelet: Kubelet, operator: OperatorProcess
) -> None:
    names = [f"crash-{number}" for number in range(60)]
    chance = random.Random(4)  # noqa: S311 - moments, not secrets
    for number, name in enumerate(names):
        assert api.create(name, parameters={"x": number}).status_code == 201
        if number % 10 == 9:
            time.sleep(chance.random() * 2)
            operator.kill()
            operator.start()
    api.until("all end", lambda: all(api.finished(name) for name in names), 240)
    store = S3Store(bucket)
    for name in names:
        body = api.get(name)
        assert body["status"]["reason"] == Reason.SUCCEEDED
        record = RecordStore(store).read(body["metadata"]["uid"])
        assert record is not None
        assert record.execution.spec.parameters == body["spec"]["parameters"]
    assert {name: len(kubelet.jobs[name]) for name in names} == dict.fromkeys(names, 1)
    assert {name: kubelet.succeeded[name] for name in names} == dict.fromkeys(names, 1)


def test_a_failure_is_told_and_recorded(api: ApiServer) -> None:
    api.create("failing", notebook={"name": "broken"})
    api.until("it ends", lambda: api.finished("failing"))
    status = status_of(api, "failing")
    assert (status["phase"], status["reason"], status["attempts"]) == ("Failed", "CellFailed", 1)
    assert status["results"]["notebook"].endswith("/notebook.ipynb")
    assert condition(api, "failing", "Succeeded") == "False"
    secret = secret_name(api.get("failing")["metadata"]["uid"])
    assert api.client.get(f"/api/v1/namespaces/{api.namespace}/secrets/{secret}").status_code == 404


def test_a_cancel_keeps_the_partial_notebook(api: ApiServer) -> None:
    api.create("stopped", notebook={"name": "endless"})
    api.until("it runs", lambda: condition(api, "stopped", "Started") == "True")
    assert api.patch(f"{api.executions}/stopped", {"spec": {"cancel": True}}).status_code == 200
    api.until("it ends", lambda: api.finished("stopped"))
    status = status_of(api, "stopped")
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
    assert status["results"]["notebook"]
    api.until("the Job is gone", lambda: api.client.get(f"{api.jobs}/{status['jobName']}").status_code == 404)


def test_a_job_that_somebody_deletes_is_lost_and_never_made_again(api: ApiServer, kubelet: Kubelet) -> None:
    api.create("robbed", notebook={"name": "endless"})
    api.until("it runs", lambda: condition(api, "robbed", "Started") == "True")
    path = f"{api.jobs}/{status_of(api, 'robbed')['jobName']}"
    api.client.request("DELETE", path, json={"propagationPolicy": "Background"})
    api.until("it ends", lambda: api.finished("robbed"))
    assert status_of(api, "robbed")["reason"] == "JobLost"
    assert len(kubelet.jobs["robbed"]) == 1


def test_a_pod_that_somebody_deletes_is_followed_by_another_attempt(api: ApiServer) -> None:
    api.create("moved", notebook={"name": "endless"})
    api.until("it runs", lambda: condition(api, "moved", "Started") == "True")
    api.client.delete(f"{api.pods}/{status_of(api, 'moved')['podName']}")
    api.until("it runs again", lambda: status_of(api, "moved")["attempts"] == 2)
    assert status_of(api, "moved")["phase"] in ("Running", "Pending")


def test_what_cannot_run_is_refused_without_a_job(api: ApiServer, kubelet: Kubelet) -> None:
    refused: dict[str, tuple[dict[str, Any], str]] = {
        "wrong-type": ({"parameters": {"x": "text"}}, "InvalidParameters"),
        "unknown-parameter": ({"parameters": {"y": 1}}, "InvalidParameters"),
        "too-deep": ({"parameters": {"x": json.loads("[" * 150 + "]" * 150)}}, "InvalidParameters"),
        "too-large": ({"notebook": {"name": "broken"}, "parameters": {"x": "a" * 300_000}}, "InvalidParameters"),
        "unknown-notebook": ({"notebook": {"name": "nowhere"}}, "NotebookNotFound"),
        "unknown-profile": ({"profile": "nowhere"}, "ConfigurationError"),
        "impossible-profile": ({"profile": "impossible"}, "ConfigurationError"),
    }
    for name, (spec, _) in refused.items():
        assert api.create(name, **spec).status_code == 201
    for name, (_, reason) in refused.items():
        api.until(f"{name} ends", lambda name=name: api.finished(name))  # type: ignore[misc] # mypy does not infer the default
        assert status_of(api, name)["reason"] == reason
        assert status_of(api, name)["message"]
        assert name not in kubelet.jobs


def test_strange_documents_are_answered_and_stop_nothing(api: ApiServer, operator: OperatorProcess) -> None:
    values: list[Any] = ["\U0001f600" * 1000, "\x00", {"a": {"b": [1, [2, {"c": None}]]}}, [], "'; drop", 1e308, -1, True, {}]
    names = []
    for number, value in enumerate(values):
        name = f"strange-{number}"
        if api.create(name, notebook={"name": "never"}, parameters={"ümläut \n": value}, surprise=value).status_code == 201:
            names.append(name)
    assert len(names) >= 8
    for name in names:
        api.until(f"{name} is answered", lambda name=name: condition(api, name, "Accepted") != "")  # type: ignore[misc] # as above
    api.create("after-all")
    api.until("others still run", lambda: api.finished("after-all"))
    assert '"level": "error"' not in operator.logs()


def test_nobody_leaves_anything_behind(api: ApiServer) -> None:
    api.create("short", ttlSecondsAfterFinished=2)
    api.until("the resource is gone", lambda: api.client.get(f"{api.executions}/short").status_code == 404)
    api.until(
        "so is its Job",
        lambda: not any(item["metadata"]["labels"]["podbook.dev/execution"] == "short" for item in api.items(api.jobs)),
    )
    secrets = f"/api/v1/namespaces/{api.namespace}/secrets"
    names = [item["metadata"].get("labels", {}).get("podbook.dev/execution") for item in api.items(secrets)]
    assert "short" not in names


def test_the_operator_writes_nothing_but_status_and_no_access_into_it(
    api: ApiServer, bucket: S3Settings, operator: OperatorProcess
) -> None:
    api.create("clean")
    api.until("it ends", lambda: api.finished("clean"))
    body = api.get("clean")
    assert "annotations" not in body["metadata"]
    assert "finalizers" not in body["metadata"]
    assert set(body["status"]) <= {
        *(
            "observedGeneration",
            "phase",
            "reason",
            "message",
            "attempts",
            "jobName",
            "jobUID",
            "podName",
            "queuedTime",
            "startTime",
        ),
        *("completionTime", "durationSeconds", "progress", "resolved", "results", "error", "conditions"),
    }
    everything = json.dumps([body, api.items(api.jobs), api.items(api.pods)]) + operator.logs()
    assert "X-Amz-" not in everything
    assert (bucket.secret_key or "?") not in everything


def test_events_tell_the_story(api: ApiServer) -> None:
    api.create("told")
    api.until("it ends", lambda: api.finished("told"))
    path = f"/api/v1/namespaces/{api.namespace}/events?fieldSelector=involvedObject.name=told"
    api.until("the events are there", lambda: {item["reason"] for item in api.items(path)} >= {"Queued", "Succeeded"})


def test_health_and_metrics_are_served(api: ApiServer, operator: OperatorProcess) -> None:
    api.create("measured")
    api.until("it ends", lambda: api.finished("measured"))
    health = httpx.get(f"http://127.0.0.1:{operator.health_port}/healthz", timeout=10)
    assert health.status_code == 200
    # The names of kopf's watcher tasks are its own; without them a dead watch would go unnoticed.
    assert health.json()["operator"]["watching"] == list(WATCHED)
    text = httpx.get(f"http://127.0.0.1:{operator.metrics_port}/metrics", timeout=10).text
    assert 'podbook_operator_executions_finished_total{reason="Succeeded"}' in text
    assert "podbook_operator_status_lag_seconds_count" in text
