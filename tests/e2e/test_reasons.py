"""Every unhappy end from its real cause. All are started together: most of them only wait for something that never comes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from .faults import Evictions, kill_runner
from .installation import NO_RUNTIME, Installation, condition
from .kubectl import Kubectl
from .samples import SAMPLES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

Document = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One cause and the end that follows from it."""

    notebook: str
    reason: str
    message: str
    """Words that the message holds."""
    output: int
    """HTTP status of a request for its output."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    job: bool = True
    """Whether a Job was created for it."""
    partial: str = ""
    """What the partial notebook holds; none is kept where this is empty."""
    page: bool = True
    """Whether there is HTML of the partial notebook."""


CASES = {
    "a cell raises": Case("raising", "CellFailed", "contoso", 424, partial="KeyError"),
    "the kernel's process ends": Case("exiting", "KernelDied", "", 424, partial="exit code 3"),
    "memory over the limit": Case("hungry", "OutOfMemory", "", 424, {"profile": "tight"}, partial="eating"),
    "an endless loop": Case("endless", "TimedOut", "", 504, {"timeoutSeconds": 8}, partial="round and round"),
    "the output breaks its contract": Case("breaking", "InvalidOutput", "total", 424, partial="many"),
    "a kernel the image does not have": Case("foreign", "InvalidNotebook", "klingon", 424, partial="nuqneH", page=False),
    "an image that cannot be pulled": Case(
        "quick", "ImagePullFailed", "podbook-not-there", 503, {"profile": "no-image", "startTimeoutSeconds": 10}, {"number": 1}
    ),
    "an image name that is none": Case("quick", "ConfigurationError", "", 503, {"profile": "bad-image"}, {"number": 1}),
    "a secret that is not there": Case("quick", "ConfigurationError", "not-there", 503, {"profile": "no-secret"}, {"number": 1}),
    "a request no node can meet": Case(
        "quick", "Unschedulable", "cpu", 503, {"profile": "no-node", "startTimeoutSeconds": 6}, {"number": 1}
    ),
    "a node that cannot start its container": Case(
        "quick", "StartTimedOut", "starting", 503, {"profile": "no-runtime", "startTimeoutSeconds": 6}, {"number": 1}
    ),
    "a quota that blocks the pod": Case(
        "quick", "PodRejected", "quota", 503, {"profile": "no-quota", "startTimeoutSeconds": 6}, {"number": 1}
    ),
    "bad parameters": Case("quick", "InvalidParameters", "number", 422, {}, {"number": "many"}, job=False),
    "an unknown parameter": Case("quick", "InvalidParameters", "colour", 422, {}, {"number": 1, "colour": "red"}, job=False),
    "a notebook nobody published": Case("missing", "NotebookNotFound", "missing", 424, job=False),
    "a version nobody published": Case(
        "free", "NotebookNotFound", "", 424, {"notebook": {"name": "free", "version": "0" * 64}}, job=False
    ),
    "a profile nobody offers": Case("free", "ConfigurationError", "golden", 503, {"profile": "golden"}, job=False),
}


@pytest.fixture(scope="module")
def _no_runtime() -> Iterator[None]:
    """A kind of container whose runtime no node has: such a pod is placed, and never begins."""
    cluster = Kubectl()
    cluster.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": NO_RUNTIME}, "handler": NO_RUNTIME})
    yield
    cluster("delete", "runtimeclass", NO_RUNTIME)


@pytest.fixture(scope="module")
def executions(podbook: Installation, _no_runtime: None) -> Iterator[Mapping[str, str]]:
    """The name of each case's execution, created by kubectl, since REST would refuse some of them."""
    names = {}
    for cause, case in CASES.items():
        document = podbook.resource(case.notebook, case.parameters, **case.spec)
        podbook.runs.apply(document)
        names[cause] = document["metadata"]["name"]
    yield names
    podbook.discard(*names.values())


@pytest.mark.parametrize("cause", CASES)
def test_reason(podbook: Installation, executions: Mapping[str, str], cause: str) -> None:
    case, name = CASES[cause], executions[cause]
    podbook.runs("wait", "--for=condition=Finished", f"nbx/{name}", "--timeout=180s", timeout=200)
    document = podbook.ended(name)
    status = document["status"]
    assert (status["phase"], status["reason"]) == ("Failed", case.reason), status.get("message")
    assert case.message in status["message"]
    assert condition(document, "Succeeded") == "False"
    assert ("jobName" in status) is case.job

    output = podbook.http.get(f"/v1/executions/{name}/output")
    assert output.status_code == case.output, output.text
    assert output.headers["Content-Type"] == "application/problem+json"
    assert output.json()["reason"] == case.reason
    assert "X-Amz" not in output.text

    notebook = podbook.http.get(f"/v1/executions/{name}/notebook")
    if case.partial:
        assert notebook.status_code == 200, notebook.text
        assert case.partial in notebook.text
    else:
        assert notebook.status_code in (404, case.output)
    html = podbook.http.get(f"/v1/executions/{name}/html")
    if case.partial and case.page:
        assert case.partial in html.text
    else:
        assert html.status_code in (404, case.output)


def test_the_failing_cell_is_named(podbook: Installation, executions: Mapping[str, str]) -> None:
    name = executions["a cell raises"]
    error = podbook.ended(name)["status"]["error"]
    assert (error["ename"], error["evalue"]) == ("KeyError", "'contoso'")
    # As it was published: the executed one also has the marks of the failure among its cells.
    published = json.loads(SAMPLES["raising"].ipynb())
    assert "".join(published["cells"][error["cell"]]["source"]) == 'revenue["contoso"]'


def test_a_python_notebook_with_the_kernel_of_another_machine_runs(podbook: Installation) -> None:
    name = podbook.submit("elsewhere", {})["id"]
    assert podbook.ended(name)["status"]["reason"] == "Succeeded"
    assert podbook.http.get(f"/v1/executions/{name}/output").json() == {"ran": True}
    assert "'conda-env-elsewhere-py', which is not installed here" in podbook.http.get(f"/v1/executions/{name}/logs").text


def test_a_queue_that_does_not_move(podbook: Installation) -> None:
    first = podbook.submit("sleeping", {"seconds": 120}, profile="single")["id"]
    podbook.until_reason(first, "Scheduled", "Starting", "Running")
    second = podbook.submit("quick", {"number": 1}, profile="single", queueTimeoutSeconds=3)["id"]
    try:
        status = podbook.ended(second)["status"]
        assert (status["phase"], status["reason"]) == ("Failed", "QueueTimedOut")
        assert "jobName" not in status
        assert podbook.http.get(f"/v1/executions/{second}/output").status_code == 503
    finally:
        podbook.discard(first)


def test_a_page_that_cannot_be_rendered_withholds_nothing_else(podbook: Installation) -> None:
    name = podbook.submit("torn", {})["id"]
    status = podbook.ended(name)["status"]
    assert (status["phase"], status["reason"]) == ("Succeeded", "Succeeded")
    told = next(item for item in status["conditions"] if item["type"] == "PagesRendered")
    assert (told["status"], told["reason"]) == ("False", "RenderFailed")
    assert "nowhere.png" in told["message"]
    for page in ("html", "report"):
        assert podbook.http.get(f"/v1/executions/{name}/{page}").status_code == 424
    assert "ran all the same" in podbook.http.get(f"/v1/executions/{name}/notebook").text


def test_a_runner_that_is_killed(podbook: Installation) -> None:
    if not podbook.environment.native:
        pytest.skip("the runner is not a process of this machine; CLUSTER=native proves it")
    names = [podbook.submit("sleeping", {"seconds": 10}, profile="lean", retries=retries)["id"] for retries in (0, 1)]
    for name in names:
        podbook.until_reason(name, "Running")
        kill_runner(podbook, name)
    once, retried = (podbook.ended(name)["status"] for name in names)
    assert (once["reason"], once["attempts"]) == ("KernelDied", 1)
    assert "SIGKILL" in once["message"]
    assert podbook.http.get(f"/v1/executions/{names[0]}/output").status_code == 424
    assert (retried["reason"], retried["attempts"]) == ("Succeeded", 2)


def test_a_pod_that_is_evicted_again_and_again(podbook: Installation, hunted: Evictions) -> None:
    status = podbook.ended(hunted.name, seconds=280)["status"]
    assert (status["phase"], status["reason"], status["attempts"]) == ("Failed", "Evicted", 5), status.get("message")
    assert len(hunted.evicted) == 5
    assert podbook.http.get(f"/v1/executions/{hunted.name}/output").status_code == 503
    assert "begun" in podbook.http.get(f"/v1/executions/{hunted.name}/notebook").text


def test_rest_refuses_bad_parameters_before_anything_starts(podbook: Installation) -> None:
    answer = podbook.http.post("/v1/run/quick", json={"number": "many"})
    assert answer.status_code == 422
    assert [item["path"] for item in answer.json()["errors"]] == ["/number"]


def test_the_operator_has_seen_it_all_without_falling_over(podbook: Installation, executions: Mapping[str, str]) -> None:
    for name in executions.values():
        podbook.ended(name)
    assert podbook.restarts("operator") == 0
