"""A real API server with its controllers, a real S3 server, a real operator process; only the pods are played.

`make test-controlplane` provides the servers and says where they are in the environment.
"""

import base64
import itertools
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from podbook_core.execution.manifest import AttemptManifest, StoredFile
from podbook_core.store.keys import attempt_prefix, result_key
from podbook_core.store.s3 import S3Settings, S3Store
from podbook_core.text.digests import sha256_hex

EXECUTION = "podbook.dev/v1alpha1"
NODE = "played"


class ApiServer:
    """The API server, as one namespace sees it."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context()
        if "certificate-authority" in cluster:
            context.load_verify_locations(cluster["certificate-authority"])
        elif "certificate-authority-data" in cluster:
            context.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        headers = {"Authorization": f"Bearer {user['token']}"}
        self.client = httpx.Client(base_url=cluster["server"], verify=context, headers=headers, timeout=30)
        self.namespace, self.kubeconfig = namespace, kubeconfig
        self.executions = f"/apis/{EXECUTION}/namespaces/{namespace}/notebookexecutions"
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{namespace}/pods"

    def create(self, name: str, *, query: str = "", **spec: Any) -> httpx.Response:
        """Create a NotebookExecution."""
        body = {
            "apiVersion": EXECUTION,
            "kind": "NotebookExecution",
            "metadata": {"name": name},
            "spec": {"notebook": {"name": "analysis"}, **spec},
        }
        return self.client.post(f"{self.executions}{query}", json=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """Merge-patch anything."""
        return self.client.patch(path, json=body, headers={"Content-Type": "application/merge-patch+json"})

    def items(self, path: str) -> list[dict[str, Any]]:
        """A whole list."""
        found: list[dict[str, Any]] = self.client.get(path).raise_for_status().json()["items"]
        return found

    def get(self, name: str) -> dict[str, Any]:
        """A NotebookExecution."""
        found: dict[str, Any] = self.client.get(f"{self.executions}/{name}").raise_for_status().json()
        return found

    def until(self, what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something; what never happens is an error that says so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
            time.sleep(0.05)

    def finished(self, name: str) -> bool:
        """Whether an execution has ended and its record is stored."""
        conditions = {item["type"]: item["status"] for item in self.get(name).get("status", {}).get("conditions", [])}
        return conditions.get("Finished") == "True" and conditions.get("ResultsStored") == "True"


class Kubelet:
    """Plays pods: each starts at once and does what its notebook's name in the label says.

    ========  =================================================================================
    analysis  succeeds
    broken    fails
    flaky     cannot store its results at the first attempt, succeeds at the next one
    endless   runs until it is told to go
    moved     the same at the first attempt, succeeds at the next one
    stubborn  runs until it is told to go, and then succeeds all the same
    lacking   never begins: a secret it needs is not there
    never     never begins: nobody looks at it
    ========  =================================================================================
    """

    def __init__(self, api: ApiServer, store: S3Store) -> None:
        self._api, self._store = api, store
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet")
        self.succeeded: dict[str, int] = {}
        """How many attempts succeeded, by execution."""
        self.jobs: dict[str, set[str]] = {}
        """Unique ids of the Jobs that were seen, by execution."""
        self.pods: dict[str, list[str]] = {}
        """Unique ids of the pods that were seen, by execution, oldest first."""

    def start(self) -> None:
        """Begin."""
        # Without the node its pods would be collected as orphans.
        self._api.client.post("/api/v1/nodes", json={"metadata": {"name": NODE}})
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            with suppress(httpx.HTTPError):
                for pod in self._api.items(self._api.pods):
                    self._move(pod)

    def _move(self, pod: dict[str, Any]) -> None:
        metadata, labels = pod["metadata"], pod["metadata"]["labels"]
        notebook, name = labels["podbook.dev/notebook"], labels["podbook.dev/execution"]
        self.jobs.setdefault(name, set()).add(metadata["ownerReferences"][0]["uid"])
        pods = self.pods.setdefault(name, [])
        if metadata["uid"] not in pods:
            pods.append(metadata["uid"])
        phase, going = pod["status"]["phase"], "deletionTimestamp" in metadata
        if phase in ("Succeeded", "Failed"):
            if going:
                self._remove(pod)
        elif going and phase == "Pending":
            self._remove(pod)
        elif phase == "Pending" and "nodeName" not in pod["spec"]:
            # Only a pod that has a node is given time to end when it is deleted.
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            self._api.client.post(
                f"{self._api.pods}/{metadata['name']}/binding", json={"metadata": {"name": metadata["name"]}, "target": target}
            )
        elif phase == "Pending" and notebook == "lacking":
            if "containerStatuses" not in pod["status"]:
                self._say(pod, "Pending", {"waiting": {"reason": "CreateContainerConfigError", "message": "no such secret"}})
        elif phase == "Pending" and notebook != "never":
            self._say(pod, "Running", {"running": {"startedAt": _now()}})
        elif phase == "Running":
            self._work(pod, notebook, first=metadata["uid"] == pods[0], going=going)

    def _work(self, pod: dict[str, Any], notebook: str, *, first: bool, going: bool) -> None:
        match notebook:
            case "stubborn" if going:
                self._succeed(pod)
            case _ if going:
                self._end(pod, 30, "Interrupted")
            case "broken":
                self._end(pod, 10, "CellFailed")
            case "flaky" if first:
                self._end(pod, 20, None)
            case "analysis" | "flaky":
                self._succeed(pod)
            case "moved" if not first:
                self._succeed(pod)

    def _succeed(self, pod: dict[str, Any]) -> None:
        self._end(pod, 0, "Succeeded")
        name = pod["metadata"]["labels"]["podbook.dev/execution"]
        self.succeeded[name] = self.succeeded.get(name, 0) + 1

    def _end(self, pod: dict[str, Any], code: int, outcome: str | None) -> None:
        if outcome is not None:
            self._publish(pod["metadata"]["labels"]["podbook.dev/execution-uid"], pod["metadata"]["uid"], outcome)
        state = {"exitCode": code, "reason": "Completed", "startedAt": _now(), "finishedAt": _now()}
        self._say(pod, "Succeeded" if code == 0 else "Failed", {"terminated": state})

    def _publish(self, uid: str, attempt: str, outcome: str) -> None:
        data = b"{}"
        self._store.put(attempt_prefix(uid, attempt) + "notebook.ipynb", data)
        file = StoredFile("notebook.ipynb", len(data), sha256_hex(data), "application/x-ipynb+json")
        said = AttemptManifest(uid, attempt, outcome, "", None, _now(), _now(), 0.1, 2, 2, (file,), "0.1.0")
        self._store.put(result_key(uid, attempt), said.to_json())

    def _say(self, pod: dict[str, Any], phase: str, state: Mapping[str, Any]) -> None:
        name = pod["metadata"]["name"]
        container = {"name": "runner", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        self._api.patch(f"{self._api.pods}/{name}/status", {"status": {"phase": phase, "containerStatuses": [container]}})

    def _remove(self, pod: dict[str, Any]) -> None:
        path = f"{self._api.pods}/{pod['metadata']['name']}"
        self._api.client.request("DELETE", path, json={"gracePeriodSeconds": 0})


class OperatorProcess:
    """The operator as users run it, in a process that may be killed.

    Args:
        api: where its executions are.
        store: its bucket.
        folder: for its logs and its profiles.
        command: arguments of Python.
        **settings: more of its settings.
    """

    def __init__(
        self,
        api: ApiServer,
        store: S3Settings,
        folder: Path,
        *,
        command: Sequence[str] = ("-m", "podbook_operator"),
        **settings: str,
    ) -> None:
        self._folder, self._lives, self._command = folder, itertools.count(1), [sys.executable, *command]
        self._process: subprocess.Popen[bytes] | None = None
        profiles = folder / "profiles.yaml"
        offered = {"default": {}, "other": {}, "impossible": {"workingVolume": "big"}}
        profiles.write_text(yaml.safe_dump({name: {"image": "runner:1", **profile} for name, profile in offered.items()}))
        self.health_port, self.metrics_port = free_port(), free_port()
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(api.kubeconfig),
            "PODBOOK_NAMESPACE": api.namespace,
            "PODBOOK_S3__BUCKET": store.bucket,
            "PODBOOK_S3__ENDPOINT": store.endpoint or "",
            "PODBOOK_S3__ACCESS_KEY": store.access_key or "",
            "PODBOOK_S3__SECRET_KEY": store.secret_key or "",
            "PODBOOK_PROFILES_FILE": str(profiles),
            "PODBOOK_HOST": "127.0.0.1",
            "PODBOOK_HEALTH_PORT": str(self.health_port),
            "PODBOOK_METRICS_PORT": str(self.metrics_port),
            **{f"PODBOOK_{name.upper()}": value for name, value in settings.items()},
        }

    def start(self) -> None:
        """Begin a life."""
        with (self._folder / f"operator-{next(self._lives)}.log").open("wb") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def ended(self) -> int | None:
        """Its exit status, once it has ended by itself."""
        assert self._process is not None
        return self._process.poll()

    def stop(self) -> int:
        """End it politely. Returns its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(40)
        finally:
            self._process.kill()

    def metric(self, name: str) -> float:
        """A metric without labels, 0 while it is not served."""
        with suppress(httpx.HTTPError):
            for line in httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10).text.splitlines():
                if line.startswith(f"{name} "):
                    return float(line.split()[1])
        return 0.0

    def logs(self) -> str:
        """Everything it said in all its lives."""
        return "".join(path.read_text() for path in sorted(self._folder.glob("operator-*.log")))


@contextmanager
def running(operator: OperatorProcess) -> Iterator[OperatorProcess]:
    """An operator that is stopped at the end, whatever happens."""
    operator.start()
    try:
        yield operator
    finally:
        operator.stop()


def free_port() -> int:
    """A port nobody listens on at this moment."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
