"""The main job on a real cluster, through both doors: publish a notebook, run it in a pod of its own, read back what it made."""

import json
from pathlib import Path
from typing import Any

import pytest

from podbook import Client

from .installation import Installation, condition
from .kubectl import KubectlError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
HTML_POLICY = "sandbox allow-scripts"


@pytest.fixture(scope="module", autouse=True)
def analysis(podbook: Installation) -> str:
    """The revenue analysis of the examples, published with its data by the client; its version."""
    with Client(podbook.url, podbook.key) as client:
        return client.publish(NOTEBOOKS / "analysis.ipynb").version


def test_a_notebook_is_a_function_over_rest(podbook: Installation) -> None:
    answer = podbook.http.post("/v1/run/analysis", json={"customer_name": "microsoft"}, headers={"Prefer": "wait=120"}, timeout=150)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"needs_discount": False}
    name = answer.headers["Podbook-Execution"]

    html = podbook.http.get(f"/v1/executions/{name}/html")
    assert html.status_code == 200
    assert "microsoft" in html.text
    assert HTML_POLICY in html.headers["Content-Security-Policy"]
    # What REST serves is what lies in the bucket.
    resource = podbook.custom_resource(name)
    results = resource["status"]["results"]
    assert podbook.store.get(results["html"], limit=2**30).data == html.content
    assert json.loads(podbook.store.get(results["output"], limit=2**30).data) == {"needs_discount": False}
    assert podbook.store.head(results["record"]) is not None


def test_a_notebook_execution_applied_by_hand_is_the_same_run(podbook: Installation, analysis: str) -> None:
    document = podbook.resource("analysis", {"customer_name": "microsoft"}, profile="default")
    name = document["metadata"]["name"]
    podbook.runs.apply(document)
    podbook.runs("wait", "--for=condition=Finished", f"nbx/{name}", "--timeout=120s", timeout=150)
    podbook.runs("wait", "--for=condition=Succeeded", f"nbx/{name}", "--timeout=1s")

    seen = podbook.ended(name)
    assert seen["status"]["reason"] == "Succeeded"
    assert seen["status"]["resolved"]["version"] == analysis
    assert podbook.http.get(f"/v1/executions/{name}/output").json() == {"needs_discount": False}
    assert name in [item["id"] for item in podbook.http.get("/v1/executions", params={"notebook": "analysis"}).json()["items"]]
    # The same words on both sides.
    resource = podbook.custom_resource(name)
    assert seen["status"] == resource["status"]
    assert {item["type"]: item["status"] for item in resource["status"]["conditions"]} == {
        "Accepted": "True",
        "Started": "True",
        "ResultsStored": "True",
        "Finished": "True",
        "Succeeded": "True",
        "PagesRendered": "True",
    }


def test_kubectl_tells_the_story(podbook: Installation) -> None:
    name = podbook.submit("quick", {"number": 21}, profile="lean")["id"]
    podbook.ended(name)
    header, row = podbook.runs("get", "nbx", name).splitlines()
    assert header.split() == ["NAME", "NOTEBOOK", "PHASE", "REASON", "PROGRESS", "DURATION", "AGE"]
    assert row.split()[:4] == [name, "quick", "Succeeded", "Succeeded"]
    assert podbook.runs("get", "nbx", name, "--output=wide").split()[7:10] == ["JOB", "POD", "MESSAGE"]

    described = podbook.runs("describe", "nbx", name)
    events = described.partition("\nEvents:")[2]
    for word in ("Running", "Succeeded"):
        assert word in events, f"kubectl describe shows no event {word}:\n{described}"

    explained = podbook.runs("explain", "nbx.spec")
    for word in ("parameters", "timeoutSeconds", "cancel"):
        assert word in explained
    assert "<no description>" not in podbook.runs("explain", "nbx", "--recursive=false")
    assert podbook.runs("explain", "nbx.spec.cancel").count("\n") > 3


def test_a_spec_never_changes_but_for_cancel(podbook: Installation) -> None:
    document = podbook.resource("quick", {"number": 1})
    name = document["metadata"]["name"]
    podbook.runs.apply(document)
    podbook.ended(name)
    with pytest.raises(KubectlError, match="immutable"):
        podbook.runs("patch", "nbx", name, "--type=merge", "--patch", '{"spec":{"timeoutSeconds":5}}')
    podbook.runs("patch", "nbx", name, "--type=merge", "--patch", '{"spec":{"cancel":true}}')
    with pytest.raises(KubectlError, match="cancel"):
        podbook.runs("patch", "nbx", name, "--type=merge", "--patch", '{"spec":{"cancel":false}}')
    assert podbook.execution(name)["status"]["reason"] == "Succeeded", "an end is final"


def test_two_runs_share_nothing(podbook: Installation) -> None:
    first, second = (_seen(podbook, podbook.submit("looking", profile="lean")["id"]) for _ in range(2))
    assert first["host"] != second["host"], "each run has a pod of its own"
    mark = f"mark-{first['host']}"
    assert not [path for path in second["files"] if mark in path]
    assert mark not in second["environment"].values()


def _seen(podbook: Installation, name: str) -> dict[str, Any]:
    assert podbook.ended(name)["status"]["reason"] == "Succeeded"
    seen: dict[str, Any] = podbook.http.get(f"/v1/executions/{name}/output").json()
    return seen


def test_results_and_history_outlive_the_resource(podbook: Installation) -> None:
    name = podbook.submit("quick", {"number": 4}, profile="lean", ttlSecondsAfterFinished=0)["id"]
    ended = podbook.ended(name)
    podbook.runs("wait", "--for=delete", f"nbx/{name}", "--timeout=30s")
    assert not podbook.runs.list("jobs", f"podbook.dev/execution={name}")
    gone = podbook.execution(name)
    assert gone["status"]["reason"] == "Succeeded"
    assert gone["metadata"]["uid"] == ended["metadata"]["uid"]
    assert podbook.http.get(f"/v1/executions/{name}/output").json() == {"doubled": 8}
    assert name in [item["id"] for item in podbook.http.get("/v1/executions", params={"notebook": "quick"}).json()["items"]]


def test_every_replica_reads_what_another_wrote(podbook: Installation) -> None:
    with podbook.replicas() as replicas:
        assert len(replicas) == 2
        for here, there in (replicas, replicas[::-1], replicas):
            answer = here.post("/v1/notebooks/quick/executions", json={"parameters": {"number": 3}, "profile": "lean"})
            assert answer.status_code == 202, answer.text
            name = answer.json()["id"]
            assert there.get(f"/v1/executions/{name}").json()["id"] == name
            assert there.post(f"/v1/executions/{name}/cancel").status_code == 200
            assert here.get(f"/v1/executions/{name}").json()["spec"]["cancel"] is True
            podbook.ended(name)
            assert there.delete(f"/v1/executions/{name}").status_code == 204
            assert here.get(f"/v1/executions/{name}").status_code == 404


def test_an_idempotency_key_makes_one_run_whatever_replica_is_asked(podbook: Installation) -> None:
    names = set()
    with podbook.replicas() as replicas:
        for replica in 2 * replicas:
            answer = replica.post(
                "/v1/notebooks/quick/executions",
                json={"parameters": {"number": 5}, "profile": "lean"},
                headers={"Idempotency-Key": "only-once"},
            )
            assert answer.status_code == 202, answer.text
            names.add(answer.json()["id"])
    assert len(names) == 1
    assert condition(podbook.ended(names.pop()), "Succeeded") == "True"


def test_a_deleted_run_is_gone_behind_both_doors(podbook: Installation) -> None:
    running = podbook.submit("sleeping", {"seconds": 60}, profile="lean")["id"]
    answer = podbook.http.delete(f"/v1/executions/{running}")
    assert (answer.status_code, answer.json()["code"]) == (409, "NotFinished")
    podbook.http.post(f"/v1/executions/{running}/cancel").raise_for_status()
    uid = podbook.ended(running)["metadata"]["uid"]
    assert podbook.http.delete(f"/v1/executions/{running}").status_code == 204
    assert podbook.http.get(f"/v1/executions/{running}").status_code == 404
    assert not podbook.runs.exists("nbx", running)
    assert podbook.store.list(f"executions/{uid}/") == []
