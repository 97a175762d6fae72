"""Podbook installed with its chart, and both of its doors: REST and kubectl."""

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from podbook_core.store.s3 import S3Settings, S3Store

from .environment import Environment
from .kubectl import Kubectl, KubectlError
from .patience import until
from .samples import Sample
from .tunnel import Tunnel

__all__ = ["MAX_ACTIVE", "NO_RUNTIME", "OWN_IMAGE", "Installation", "merged"]

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/podbook"
MAX_ACTIVE = 8
NO_RUNTIME = "podbook-not-there"
"""A RuntimeClass that names a runtime no node has."""
OWN_IMAGE = "localhost/podbook-own:dev"
"""An image that only one test makes."""
ENDED = ("Succeeded", "Failed", "Cancelled")

Document = dict[str, Any]


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Document:
    """Chart values with changes, merged as helm does it. Pure."""
    result = dict(base)
    for key, value in changes.items():
        known = result.get(key)
        result[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def _profiles() -> Document:
    small = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    lean = {"runner": "lean", "resources": small}
    return {
        # As in the chart, except its memory: what it asks for must fit the node many times.
        "default": {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}},
        "lean": lean,
        "tight": {**lean, "resources": {**small, "limits": {"memory": "320Mi"}}},
        "no-image": {**lean, "image": "localhost/podbook-not-there:1"},
        "bad-image": {**lean, "image": "NOT AN IMAGE"},
        "no-secret": {**lean, "envFromSecrets": ["not-there"]},
        "no-node": {**lean, "resources": {"requests": {"cpu": "900", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}},
        "no-quota": {**lean, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "900Gi"}}},
        "no-runtime": {**lean, "runtimeClassName": NO_RUNTIME},
        "single": {**lean, "maxActive": 1},
        "own": {**lean, "image": OWN_IMAGE},
    }


class Installation:
    """One release of the chart. Use as a context: it is uninstalled on leaving.

    Args:
        environment: the cluster.
        release: name of the release, and of its namespace.
        changes: chart values on top of those of every test.
        own_minio: with the chart's own MinIO, also where one runs beside the cluster.
    """

    def __init__(
        self, environment: Environment, release: str, changes: Mapping[str, Any] | None = None, *, own_minio: bool = False
    ) -> None:
        self.environment = environment
        self.own_minio = own_minio or environment.s3_endpoint is None
        self.release = release
        self.kubectl = Kubectl(release)
        self.runs = Kubectl(f"{release}-runs")
        self._changes = dict(changes or {})
        self._tunnels: list[Tunnel] = []
        self._http: httpx.Client | None = None

    # -- the release --------------------------------------------------------------------------------------------------------------

    @property
    def values(self) -> Document:
        """What it is installed with."""
        values: Document = {
            "image": {"registry": self.environment.image_registry, "tag": self.environment.image_tag},
            "runs": {"quota": {"limits.memory": "800Gi"}},
            "limits": {"maxActive": MAX_ACTIVE, "maxQueued": 1000},
            "profiles": _profiles(),
            "operator": {"settings": {"CONFIGURATION_GRACE_SECONDS": "4"}},
        }
        if self.own_minio:
            values["minio"] = {"persistence": {"enabled": True, "size": "2Gi"}}
            if self.environment.native:
                values["minio"]["image"] = "localhost/minio:dev"  # a native cluster pulls no images
        else:
            values["minio"] = {"enabled": False}
            values["s3"] = {
                "endpoint": self.environment.s3_endpoint,
                "bucket": self.release,
                "accessKey": self.environment.s3_access_key,
                "secretKey": self.environment.s3_secret_key,
            }
        return merged(values, self._changes)

    def helm(self, *arguments: str, values: Mapping[str, Any] | None = None, timeout: float = 360) -> str:
        """Run helm for this release's namespace; ``values`` go to its standard input."""
        command = ["helm", "--namespace", self.release, *arguments, *(["--values", "-"] if values is not None else [])]
        text = None if values is None else json.dumps(values)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def install(self, changes: Mapping[str, Any] | None = None) -> str:
        """Install or upgrade, and wait until everything is ready. Returns what helm said.

        Args:
            changes: values on top of the installation's own, for this revision.
        """
        values = merged(self.values, changes or {})
        arguments = ("upgrade", "--install", self.release, str(CHART), "--create-namespace", "--wait", "--timeout", "5m")
        return self.helm(*arguments, values=values)

    @contextmanager
    def changed(self, changes: Mapping[str, Any]) -> Iterator[None]:
        """With other values for a while."""
        self.install(changes)
        try:
            yield
        finally:
            self.install()

    def uninstall(self) -> None:
        """``helm uninstall``; what the chart keeps is kept."""
        self.helm("uninstall", self.release, "--wait", "--timeout", "3m")

    def remove(self) -> None:
        """Leave nothing of it in the cluster but the definition."""
        self.close()
        self.uninstall()
        self.kubectl("delete", "namespace", self.release, f"{self.release}-runs", "--ignore-not-found", timeout=180)

    def close(self) -> None:
        """Close connections and tunnels."""
        if self._http is not None:
            self._http.close()
            self._http = None
        for tunnel in self._tunnels:
            tunnel.__exit__(None, None, None)
        self._tunnels.clear()
        for address in ("url", "store", "_store_url"):
            self.__dict__.pop(address, None)

    # -- REST ---------------------------------------------------------------------------------------------------------------------

    @cached_property
    def url(self) -> str:
        """Address of the API. On a native cluster this machine reaches the Service itself."""
        service = self.kubectl.get("service", self.fullname("api"))
        if self.environment.native:
            return f"http://{service['spec']['clusterIP']}"
        return self._tunnel(f"service/{self.fullname('api')}", 80)

    @cached_property
    def key(self) -> str:
        """The first API key, as NOTES say to read it."""
        return self.secret(self.fullname("first-key"), "key")

    @property
    def http(self) -> httpx.Client:
        """A client with the key. Connections that break while a server is being replaced are tried again."""
        if self._http is None:
            self._http = httpx.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {self.key}"},
                timeout=60,
                transport=httpx.HTTPTransport(retries=5),
            )
        return self._http

    @contextmanager
    def replicas(self) -> Iterator[list[httpx.Client]]:
        """A client with the key for each replica of the API that is there: what a Service spreads by chance is chosen here."""
        with ExitStack() as stack:
            clients = []
            for pod in self.pods("api"):
                if self.environment.native:
                    url = f"http://{pod['status']['podIP']}:8000"
                else:
                    url = stack.enter_context(Tunnel(self.kubectl, f"pod/{pod['metadata']['name']}", 8000)).url
                headers = {"Authorization": f"Bearer {self.key}"}
                clients.append(stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=60)))
            yield clients

    def to_store(self, method: str, url: str, **request: Any) -> httpx.Response:
        """Send a request to an address of the store as pods have it, signed for the name by which they reach it."""
        parts = urlsplit(url)
        if not self.own_minio:
            return httpx.request(method, url, timeout=10, **request)
        # From outside by another way, and still under the name that was signed.
        here = urlsplit(self._store_url)._replace(path=parts.path, query=parts.query)
        return httpx.request(method, urlunsplit(here), headers={"Host": parts.netloc}, timeout=10, **request)

    def publish(self, name: str, sample: Sample) -> str:
        """Publish a sample; returns its version."""
        parts: list[tuple[str, tuple[str, bytes, str]]] = [
            ("notebook", (f"{name}.ipynb", sample.ipynb(), "application/x-ipynb+json"))
        ]
        if sample.contract:
            parts.append(("contract", (f"{name}.config.json", json.dumps(dict(sample.contract)).encode(), "application/json")))
        answer = self.http.put(f"/v1/notebooks/{name}", files=parts)
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["version"])

    def submit(self, notebook: str, parameters: Mapping[str, Any] | None = None, **body: Any) -> Document:
        """Start a notebook; returns the execution as REST answered."""
        answer = self.http.post(f"/v1/notebooks/{notebook}/executions", json={"parameters": dict(parameters or {}), **body})
        assert answer.status_code == 202, answer.text
        document: Document = answer.json()
        assert answer.headers["Location"] == f"/v1/executions/{document['id']}"
        return document

    def execution(self, name: str) -> Document:
        """An execution as REST shows it."""
        answer = self.http.get(f"/v1/executions/{name}")
        assert answer.status_code == 200, answer.text
        document: Document = answer.json()
        return document

    def until_reason(self, name: str, *reasons: str, seconds: float = 60) -> Document:
        """Wait until an execution has one of these reasons; one that ends otherwise fails the test at once."""

        def probe() -> Document | None:
            document = self.execution(name)
            status = document["status"]
            if status["reason"] in reasons:
                return document
            assert status["phase"] not in ENDED, f"{name} ended: {status['reason']}: {status.get('message')}"
            return None

        return until(f"{name} to be {' or '.join(reasons)}", probe, seconds=seconds)

    def ended(self, name: str, seconds: float = 120) -> Document:
        """Wait until an execution has ended and its results are stored."""

        def probe() -> Document | None:
            document = self.execution(name)
            return document if document["status"]["phase"] in ENDED and condition(document, "ResultsStored") == "True" else None

        return until(f"the end of {name}", probe, seconds=seconds)

    # -- the cluster --------------------------------------------------------------------------------------------------------------

    def fullname(self, component: str) -> str:
        """Name of a part of the release."""
        prefix = self.release if "podbook" in self.release else f"{self.release}-podbook"
        return f"{prefix}-{component}"

    def secret(self, name: str, key: str) -> str:
        """One value of a Secret in the release's namespace."""
        return base64.b64decode(self.kubectl.get("secret", name)["data"][key]).decode()

    def pods(self, component: str) -> list[Document]:
        """Pods of a component: api, operator, minio."""
        return self.kubectl.list("pods", f"app.kubernetes.io/instance={self.release},app.kubernetes.io/component={component}")

    def restarts(self, component: str) -> int:
        """How often containers of a component were started again, in the pods that are there."""
        return sum(status["restartCount"] for pod in self.pods(component) for status in pod["status"].get("containerStatuses", []))

    def custom_resource(self, name: str) -> Document:
        """An execution as kubectl shows it."""
        return self.runs.get("notebookexecution", name)

    def run_pods(self, name: str) -> list[Document]:
        """The pods of an execution."""
        job = self.custom_resource(name).get("status", {}).get("jobName")
        return self.runs.list("pods", f"batch.kubernetes.io/job-name={job}") if job else []

    def resource(self, notebook: str, parameters: Mapping[str, Any] | None = None, /, **spec: Any) -> Document:
        """A NotebookExecution as a person would write it."""
        return {
            "apiVersion": "podbook.dev/v1alpha1",
            "kind": "NotebookExecution",
            "metadata": {"name": f"{notebook}-{secrets.token_hex(4)}", "namespace": self.runs.namespace},
            "spec": {"notebook": {"name": notebook}, "parameters": dict(parameters or {}), "profile": "lean", **spec},
        }

    def discard(self, *names: str) -> None:
        """Cancel what still runs, so that it is not in the way of the next test."""
        for name in names:
            try:
                self.runs("patch", "notebookexecution", name, "--type=merge", "--patch", '{"spec":{"cancel":true}}')
            except KubectlError as error:
                assert "NotFound" in str(error)  # noqa: PT017 - anything else is a failure

    @cached_property
    def store(self) -> S3Store:
        """The bucket, with the release's own keys."""
        environment = self.environment
        if not self.own_minio:
            access = (environment.s3_endpoint or "", environment.s3_access_key, environment.s3_secret_key)
            bucket = self.values["s3"]["bucket"]
        else:
            secret = self.fullname("minio")
            access = (self._store_url, self.secret(secret, "accessKey"), self.secret(secret, "secretKey"))
            bucket = "podbook"
        endpoint, access_key, secret_key = access
        return S3Store(S3Settings(bucket=bucket, endpoint=endpoint, access_key=access_key, secret_key=secret_key))

    @cached_property
    def _store_url(self) -> str:
        """Where this machine reaches the chart's own MinIO."""
        return self._tunnel(f"service/{self.fullname('minio')}", 9000)

    def _tunnel(self, target: str, port: int) -> str:
        """Address of a new tunnel, which stays until :meth:`close`."""
        tunnel = Tunnel(self.kubectl, target, port).__enter__()
        self._tunnels.append(tunnel)
        return tunnel.url


def condition(document: Mapping[str, Any], kind: str) -> str | None:
    """Status of a condition of an execution, None where it has no such condition."""
    conditions = document.get("status", {}).get("conditions", [])
    return next((item["status"] for item in conditions if item["type"] == kind), None)
