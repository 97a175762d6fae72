"""A real API server with etcd, on free ports, which the tests may kill; and a player of the operator's part."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from podbook_api.backends.cluster.backend import KubernetesBackend
from podbook_core.execution.model import NotebookExecution, Results
from podbook_core.execution.reasons import Phase, Reason
from podbook_core.execution.transitions import Change, advance, mark_stored
from podbook_core.store.keys import record_key

ROOT = Path(__file__).resolve().parents[3]
CRD = ROOT / "helm/podbook/files/crd.yaml"
NAMESPACE = "default"
EXECUTIONS = f"/apis/podbook.dev/v1alpha1/namespaces/{NAMESPACE}/notebookexecutions"
TOKEN = secrets.token_hex(16)


def program(name: str) -> str:
    """A program of the test cluster."""
    home = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache/podbook-cluster"))
    found = shutil.which(name, path=f"{home / 'bin'}:{os.environ['PATH']}")
    if found is None:
        pytest.fail(f"{name} is not built: run tests/cluster/build --control-plane")
    return found


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on at this moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class ControlPlane:
    """etcd and an API server; no controllers, no nodes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._etcd_port, self._peer_port, self.port = free_ports(3)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._data = folder / "etcd"
        self.kubeconfig = folder / "kubeconfig"

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """The certificate the API server shows, which it has signed itself."""
        return self._folder / "certificates/apiserver.crt"

    def start(self) -> None:
        """Start both, and teach the API server what a NotebookExecution is."""
        subprocess.run(["openssl", "genrsa", "-out", self._folder / "sa.key", "2048"], check=True, capture_output=True)
        (self._folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        self.kubeconfig.write_text(
            f"""apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{self.url}", insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: {TOKEN}}}}}]
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
current-context: test
"""
        )
        self._start_etcd()
        self.start_api_server()
        kubectl = [program("kubectl"), f"--kubeconfig={self.kubeconfig}"]
        subprocess.run([*kubectl, "apply", "-f", CRD], check=True, capture_output=True)
        subprocess.run(
            [*kubectl, "wait", "--for=condition=Established", "--timeout=60s", "-f", CRD], check=True, capture_output=True
        )
        # Right after that the storage of a new resource still answers 429 for a moment.
        self._until(EXECUTIONS)

    def _start_etcd(self) -> None:
        etcd, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        self._run(
            "etcd",
            f"--data-dir={self._data}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )

    def back_up(self, folder: Path) -> None:
        """Copy everything the cluster knows into a new folder; both programs are started again for that."""
        self.stop()
        shutil.copytree(self._data, folder)
        self._start_etcd()
        self.start_api_server()

    def restore(self, folder: Path) -> None:
        """Set the cluster back to a copy; what happened since has never happened."""
        self.stop()
        shutil.rmtree(self._data)
        shutil.copytree(folder, self._data)
        self._start_etcd()
        self.start_api_server()

    def start_api_server(self) -> None:
        """Start the API server, and wait until it serves."""
        key = self._folder / "sa.key"
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self._folder / 'certificates'}",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16",
        )
        self._until("/readyz")

    def kill_api_server(self) -> None:
        """End the API server without a word."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End what runs."""
        while self._processes:
            _, process = self._processes.popitem()
            process.kill()
            process.wait()

    def _run(self, name: str, *arguments: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen([program(name), *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _until(self, path: str) -> None:
        deadline = time.monotonic() + 90
        with httpx.Client(verify=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:  # noqa: S501 - its own certificate
            while time.monotonic() < deadline:
                for name, process in self._processes.items():
                    assert process.poll() is None, f"{name} ended: {(self._folder / f'{name}.log').read_text()[-2000:]}"
                with suppress(httpx.HTTPError):
                    if client.get(self.url + path).status_code == 200:
                        return
                time.sleep(0.1)
        pytest.fail(f"{path} is not served")


class Player:
    """Plays the operator: what has ``x`` of text is refused, ``long`` runs until it is cancelled, everything else succeeds."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def play(self) -> None:
        """Until it is cancelled; an API server that is away is waited for."""
        while True:
            with suppress(httpx.HTTPError, KeyError):
                for raw in (await self._client.get(EXECUTIONS)).json()["items"]:
                    await self._move(raw)
            await asyncio.sleep(0.05)

    async def _move(self, raw: dict[str, Any]) -> None:
        execution = NotebookExecution.model_validate({"apiVersion": "podbook.dev/v1alpha1", "kind": "NotebookExecution", **raw})
        now = datetime.now(UTC)
        status = execution.status
        if status.terminal:
            return
        if isinstance(execution.spec.parameters.get("x"), str):
            moved = advance(status, Change(Reason.INVALID_PARAMETERS, "/x: is a string"), generation=1, now=now)
        elif execution.spec.cancel:
            moved = advance(status, Change(Reason.CANCELLED), generation=1, now=now)
        elif status.phase is Phase.PENDING:
            moved = advance(status, Change(Reason.RUNNING, attempts=1), generation=1, now=now)
        elif execution.spec.notebook.name == "long":
            return
        else:
            moved = advance(status, Change(Reason.SUCCEEDED), generation=1, now=now)
        if moved.terminal:
            moved = mark_stored(moved, Results(record=record_key(execution.uid)), now=now)
        if moved != status:
            await self._client.patch(
                f"{EXECUTIONS}/{execution.name}/status",
                json={"metadata": {"resourceVersion": execution.metadata.resource_version}, "status": moved.document()},
                headers={"Content-Type": "application/merge-patch+json"},
            )


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One for all tests."""
    made = ControlPlane(tmp_path_factory.mktemp("control-plane"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest_asyncio.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client of the API server."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=control_plane.url, verify=False, headers=headers, timeout=10) as made:  # noqa: S501
        yield made


@pytest_asyncio.fixture
async def player(client: httpx.AsyncClient) -> AsyncIterator[None]:
    """Somebody plays the operator."""
    playing = asyncio.create_task(Player(client).play())
    yield
    playing.cancel()
    with suppress(asyncio.CancelledError):
        await playing


@pytest_asyncio.fixture
async def start_backend(
    control_plane: ControlPlane, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Starts replicas on an empty namespace; they are stopped at the end of the test."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    await client.delete(EXECUTIONS)
    started: list[KubernetesBackend] = []

    async def start(**options: Any) -> KubernetesBackend:
        backend = KubernetesBackend(NAMESPACE, **options)
        await backend.start()
        started.append(backend)
        return backend

    yield start
    for backend in started:
        await backend.stop()
