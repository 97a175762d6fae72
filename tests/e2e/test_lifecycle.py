"""The life of an installation: a second release beside the first, upgraded, rolled back, removed and installed again, with runs in flight.

It is as the chart comes: with its own MinIO on a volume, and with the example notebooks.
"""

import shutil
from collections.abc import Iterator

import httpx
import pytest

from .environment import Environment
from .installation import ROOT, Installation
from .kubectl import Kubectl
from .samples import SAMPLES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def second(podbook: Installation, environment: Environment) -> Iterator[Installation]:
    """Another release in the cluster of the first one, which owns the definition."""
    assert podbook.release
    changes = {
        "api": {"replicas": 1},
        "examples": {"enabled": True},
        # As in the chart, except what it asks of the node.
        "profiles": {"default": {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}}},
    }
    installation = Installation(environment, "second", changes, own_minio=True)
    _empty_volume(environment)
    notes = installation.install()
    assert "kubectl -n second-runs get notebookexecutions" in notes, "NOTES say what to type next"
    assert "The definition of NotebookExecution belongs to release" in notes, "and whose it is"
    try:
        installation.publish("sleeping", SAMPLES["sleeping"])
        yield installation
    finally:
        installation.remove()


def _empty_volume(environment: Environment) -> None:
    """Give a native cluster's one volume back, whoever had it before; elsewhere each claim gets a new one."""
    if environment.state is not None:
        shutil.rmtree(environment.state / "volume")
        (environment.state / "volume").mkdir()
        (environment.state / "volume").chmod(0o777)
        Kubectl()("patch", "persistentvolume", "volume", "--type=merge", '--patch={"spec":{"claimRef":null}}')


def _in_flight(installation: Installation, seconds: float) -> str:
    name: str = installation.submit("sleeping", {"seconds": seconds})["id"]
    installation.until_reason(name, "Running")
    return name


def _succeeded(installation: Installation, name: str, seconds: float) -> None:
    ended = installation.ended(name)
    assert (ended["status"]["reason"], ended["status"]["attempts"]) == ("Succeeded", 1)
    assert installation.http.get(f"/v1/executions/{name}/output").json() == {"slept": seconds}


def test_the_examples_are_published_and_run(second: Installation) -> None:
    published = {item["name"] for item in second.http.get("/v1/notebooks").json()["items"]}
    examples = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert examples
    assert examples <= published
    answer = second.http.post("/v1/run/analysis", json={"customer_name": "microsoft"}, headers={"Prefer": "wait=120"}, timeout=150)
    assert answer.json() == {"needs_discount": False}


def test_two_releases_keep_apart(podbook: Installation, second: Installation) -> None:
    theirs = second.submit("sleeping", {"seconds": 1})["id"]
    ours = podbook.submit("quick", {"number": 4}, profile="lean")["id"]
    assert second.ended(theirs)["status"]["reason"] == "Succeeded"
    assert podbook.ended(ours)["status"]["reason"] == "Succeeded"
    assert podbook.http.get(f"/v1/executions/{theirs}").status_code == 404
    assert (
        httpx.get(f"{second.url}/v1/executions", headers={"Authorization": f"Bearer {podbook.key}"}, timeout=10).status_code == 401
    )
    assert not podbook.runs.exists("nbx", theirs)


def test_upgrade_and_rollback_keep_running_executions(second: Installation) -> None:
    key = second.key
    name = _in_flight(second, 20)
    operator = second.pods("operator")[0]["metadata"]["uid"]
    second.install({"limits": {"maxActive": 3}, "operator": {"settings": {"RESYNC_SECONDS": "120"}}})
    assert operator not in [pod["metadata"]["uid"] for pod in second.pods("operator")], "the upgrade replaced the operator"
    second.helm("rollback", second.release, "--wait", "--timeout", "5m")
    second.close()
    _succeeded(second, name, 20)
    assert second.secret(second.fullname("first-key"), "key") == key


def test_uninstall_and_reinstall_lose_no_data(second: Installation) -> None:
    kept = [("secret", second.fullname(name)) for name in ("first-key", "keys", "links", "minio")]
    kept.append(("persistentvolumeclaim", second.fullname("minio")))
    before = {item: second.kubectl.get(*item)["metadata"]["uid"] for item in kept}
    key = second.key
    done = second.submit("sleeping", {"seconds": 2})["id"]
    second.ended(done)
    name = _in_flight(second, 15)
    second.close()
    second.uninstall()
    assert second.runs.exists("nbx", name), "runs and their namespace stay"
    assert {item: second.kubectl.get(*item)["metadata"]["uid"] for item in kept} == before
    # Nobody looks after it now, and its store is gone as well: it goes on, and keeps its results until there is one again.
    (pod,) = second.run_pods(name)
    assert "running" in pod["status"]["containerStatuses"][0]["state"]

    second.install()
    assert second.key == key, "the key is the old one"
    _succeeded(second, name, 15)
    assert second.http.get(f"/v1/executions/{done}/output").json() == {"slept": 2}
    assert {done, name} <= {item["id"] for item in second.http.get("/v1/executions").json()["items"]}


def test_what_the_chart_keeps(second: Installation) -> None:
    cluster = Kubectl()
    definition = cluster.get("customresourcedefinition", "notebookexecutions.podbook.dev")
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    namespace = cluster.get("namespace", second.runs.namespace)
    assert namespace["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
