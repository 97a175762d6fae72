"""Measure Podbook on a real cluster, beside what it is compared with, in one run; ``make bench-cluster``.

The yardstick is a bare Job that runs ``papermill`` and then ``jupyter nbconvert --to html`` on the same notebook, in the same image, with the
same resources, up to the Job's completion.
"""

import asyncio
import json
import os
import platform
import statistics
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from bench.kubernetes_api import Connection, watching
from bench.report import Row, percentile, replace_between, spread, table
from bench.simulation import simulate
from tests.e2e.environment import Environment
from tests.e2e.installation import ENDED, Installation
from tests.e2e.patience import until
from tests.e2e.samples import SAMPLES

ROUNDS = int(os.environ.get("PODBOOK_BENCH_ROUNDS", "7"))
CREATES = int(os.environ.get("PODBOOK_BENCH_CREATES", "400"))
AT_ONCE = int(os.environ.get("PODBOOK_BENCH_AT_ONCE", "50"))
SIMULATED = int(os.environ.get("PODBOOK_BENCH_SIMULATED", "5000"))
IN_FLIGHT = 16
ACTIVE = 3 * (os.cpu_count() or 1)
"""Runs at a time, as docs/how-to/operate.md advises for notebooks that compute."""
SETTLING = 5
"""Seconds a kubelet and its runtime are given to clear away the containers of pods that are gone."""
PAGE = Path(__file__).resolve().parents[1] / "docs/explanation/benchmark.md"
RESOURCES = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
PAIR = "papermill --no-progress-bar /notebook/quick.ipynb /work/out.ipynb && jupyter nbconvert --log-level=ERROR --to html /work/out.ipynb"

Document = dict[str, Any]


class Yardstick:
    """Bare Jobs, as one would write them by hand."""

    def __init__(self, podbook: Installation, connection: Connection) -> None:
        self._path = f"/apis/batch/v1/namespaces/{podbook.runs.namespace}/jobs"
        self._pods_path = f"/api/v1/namespaces/{podbook.runs.namespace}/pods"
        self._client = connection.client()
        self._connection = connection
        self._image = f"{podbook.environment.image_registry}/podbook-runner:{podbook.environment.image_tag}"
        notebook = {"quick.ipynb": SAMPLES["quick"].ipynb().decode()}
        podbook.runs.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "pair"}, "data": notebook})

    def run(self, names: list[str]) -> float:
        """Create these Jobs and wait until all are complete. Returns seconds, from the first request to the last condition."""
        left, done = set(names), threading.Event()

        def seen(_kind: str, job: Document, _now: float) -> None:
            conditions = {item["type"]: item["status"] for item in job.get("status", {}).get("conditions", [])}
            if conditions.get("Failed") == "True":
                raise RuntimeError(f"the yardstick itself failed: {job['status']}")
            if conditions.get("Complete") == "True":
                left.discard(job["metadata"]["name"])
                if not left:
                    done.set()

        with watching(self._connection, self._path, seen):
            started = time.monotonic()
            for name in names:
                self._client.post(self._path, json=self._job(name)).raise_for_status()
            if not done.wait(600):
                raise TimeoutError(f"{len(left)} bare Jobs did not complete")
            seconds = time.monotonic() - started
        for name in names:
            self._client.request("DELETE", f"{self._path}/{name}", json={"propagationPolicy": "Background"}).raise_for_status()
        # Removing pods is work for the node, which what is measured next should not have to wait for.
        until("the yardstick's pods to be gone", lambda: not self._pods(names), seconds=300, every=1)
        time.sleep(SETTLING)
        return seconds

    def _pods(self, names: list[str]) -> list[Document]:
        query = {"labelSelector": f"batch.kubernetes.io/job-name in ({','.join(names)})"}
        found: list[Document] = self._client.get(self._pods_path, params=query).raise_for_status().json()["items"]
        return found

    def _job(self, name: str) -> Document:
        folders = ("/work", "/tmp")  # noqa: S108 - volumes of the pod's own
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "pair",
                    "image": self._image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", PAIR],
                    "env": [{"name": "IPYTHONDIR", "value": "/work"}],
                    "resources": RESOURCES,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "notebook", "mountPath": "/notebook"},
                        *({"name": folder[1:], "mountPath": folder} for folder in folders),
                    ],
                }
            ],
            "volumes": [
                {"name": "notebook", "configMap": {"name": "pair"}},
                *({"name": folder[1:], "emptyDir": {}} for folder in folders),
            ],
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }


class Lag:
    """Time between a pod's end and its execution's, both as a watch shows them."""

    def __init__(self) -> None:
        self._ended: dict[str, float] = {}
        self.values: list[float] = []
        self.last = 0.0
        self.terminal: dict[str, str] = {}
        self.changed = threading.Event()

    def pod(self, _kind: str, pod: Document, now: float) -> None:
        """A pod was seen."""
        statuses = pod.get("status", {}).get("containerStatuses", [])
        name = pod["metadata"].get("labels", {}).get("podbook.dev/execution")
        if name and any("terminated" in status["state"] for status in statuses):
            self._ended.setdefault(name, now)

    def execution(self, _kind: str, resource: Document, now: float) -> None:
        """An execution was seen."""
        name, phase = resource["metadata"]["name"], resource.get("status", {}).get("phase")
        if phase in ENDED and name not in self.terminal:
            self.terminal[name] = resource["status"]["reason"]
            self.last = now
            if name in self._ended:
                self.values.append(max(0.0, now - self._ended[name]))
            self.changed.set()


def cold(podbook: Installation, yardstick: Yardstick) -> Row:
    """One call in a fresh pod against one bare Job, alternating."""
    ours, theirs = [], []
    for number in range(ROUNDS + 1):
        theirs.append(yardstick.run([f"pair-{number}"]))
        started = time.monotonic()
        answer = podbook.http.post("/v1/run/quick", json={"number": number}, headers={"Prefer": "wait=120"}, timeout=150)
        ours.append(time.monotonic() - started)
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
    del ours[0], theirs[0]  # the first of each fills caches
    ratio = statistics.median(ours) / statistics.median(theirs)
    details = f"{spread(ours)} ÷ {spread(theirs)}"
    return Row(
        "POST → result in a fresh pod ÷ bare Job running the pair, to completion", f"{ratio:.2f}", "≤ 0.65", "≤ 0.45", details
    )


def many(podbook: Installation, yardstick: Yardstick, connection: Connection) -> list[Row]:
    """Many at once, and how long after a pod's end its execution's end is told."""
    theirs = yardstick.run([f"many-{number}" for number in range(AT_ONCE)])
    lag, namespace = Lag(), podbook.runs.namespace
    path = f"/apis/podbook.dev/v1alpha1/namespaces/{namespace}/notebookexecutions"
    with watching(connection, f"/api/v1/namespaces/{namespace}/pods", lag.pod), watching(connection, path, lag.execution):
        started = time.monotonic()
        names = [podbook.submit("quick", {"number": number})["id"] for number in range(AT_ONCE)]
        while not set(names) <= set(lag.terminal):
            lag.changed.clear()
            if not lag.changed.wait(300):
                raise TimeoutError("no execution ended for 300 s")
    ours = lag.last - started
    reasons = {lag.terminal[name] for name in names}
    if reasons != {"Succeeded"}:
        raise RuntimeError(f"not all succeeded: {reasons}")
    p99 = percentile(lag.values, 0.99)
    return [
        Row(
            f"{AT_ONCE} executions at once, makespan ÷ {AT_ONCE} bare Jobs running the pair",
            f"{ours / theirs:.2f}",
            "≤ 0.75",
            "≤ 0.5",
            f"{ours:.0f} s, {ACTIVE} at a time ÷ {theirs:.0f} s, as many as the node takes",
        ),
        Row(
            "status lag, pod terminated → execution terminal, p99, under that load",
            f"{p99:.2f} s",
            "≤ 1 s",
            "≤ 0.3 s",
            f"median {statistics.median(lag.values):.2f} s, n={len(lag.values)}",
        ),
    ]


def creates(podbook: Installation, connection: Connection) -> Row:
    """Executions created over REST against created straight in the API server: same client, same number in flight."""
    operator = podbook.fullname("operator")
    podbook.kubectl("scale", "deployment", operator, "--replicas=0")
    podbook.kubectl("wait", "--for=delete", "pod", "--selector=app.kubernetes.io/component=operator", "--timeout=60s", timeout=90)
    path = f"/apis/podbook.dev/v1alpha1/namespaces/{podbook.runs.namespace}/notebookexecutions"

    async def rate(client: httpx.AsyncClient, url: str, bodies: list[Document]) -> float:
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one(body: Document) -> None:
            async with gate:
                (await client.post(url, json=body)).raise_for_status()

        async with client:
            started = time.monotonic()
            await asyncio.gather(*(one(body) for body in bodies))
            return len(bodies) / (time.monotonic() - started)

    async def measure() -> tuple[list[float], list[float]]:
        ours, theirs = [], []
        for turn in range(3):
            raw = [podbook.resource("quick", {"number": number}) for number in range(CREATES)]
            theirs.append(await rate(connection.async_client(IN_FLIGHT), path, raw))
            limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
            headers = {"Authorization": f"Bearer {podbook.key}"}
            client = httpx.AsyncClient(base_url=podbook.url, headers=headers, timeout=60, limits=limits)
            bodies = [{"parameters": {"number": number}, "labels": {"turn": str(turn)}} for number in range(CREATES)]
            ours.append(await rate(client, "/v1/notebooks/quick/executions", bodies))
        return ours, theirs

    ours, theirs = asyncio.run(measure())
    podbook.runs("delete", "nbx", "--all", "--wait=false", timeout=300)
    podbook.kubectl("scale", "deployment", operator, "--replicas=1")
    ratio = statistics.median(ours) / statistics.median(theirs)
    details = f"{statistics.median(ours):.0f}/s ÷ {statistics.median(theirs):.0f}/s, {IN_FLIGHT} in flight, operator stopped"
    return Row("creates over REST ÷ raw creates in the API server", f"{ratio:.2f}", "≥ 0.5", "≥ 0.8", details)


def main() -> int:
    """Measure everything; returns the exit code."""
    environment = Environment.read()
    changes = {
        "profiles": {"default": {"runner": "lean", "resources": RESOURCES}},
        "limits": {"maxActive": ACTIVE, "maxQueued": 100_000},
        "api": {"replicas": 2},
    }
    podbook = Installation(environment, "podbook-bench", changes)
    podbook.install()
    try:
        podbook.publish("quick", SAMPLES["quick"])
        connection = Connection.from_kubeconfig()
        yardstick = Yardstick(podbook, connection)
        rows = [cold(podbook, yardstick), *many(podbook, yardstick, connection), creates(podbook, connection)]
    finally:
        podbook.remove()
    if environment.native:
        rows += simulate(SIMULATED)
    machine = f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}"
    text = f"{table(rows)}\n\nMeasured {datetime.now(UTC):%Y-%m-%d} on {machine}, CLUSTER={environment.cluster}; `make bench-cluster` repeats it."
    replace_between(PAGE, "cluster", text)
    print(json.dumps([row.__dict__ for row in rows], indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
