"""Thousands of executions against a real API server and real controllers, with pods that this program plays: what the operator can handle.

No kubelet runs. A played pod begins to run as soon as it is seen, leaves an output and a manifest in the store, as the runner does, and ends.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from bench.kubernetes_api import Connection
from bench.report import Row
from tests.e2e.samples import SAMPLES

from podbook_core.execution.manifest import AttemptManifest, StoredFile
from podbook_core.notebook.contract import parse_contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.store.keys import attempt_prefix, result_key
from podbook_core.store.s3 import S3Settings, S3Store
from podbook_core.text.digests import sha256_hex

__all__ = ["simulate"]

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "tests/cluster"
IN_FLIGHT = 16
PLAYERS = 32
MAX_ACTIVE = 200
PATIENCE_SECONDS = 1800
PODS = "/api/v1/namespaces/default/pods"
EXECUTIONS = "/apis/podbook.dev/v1alpha1/namespaces/default/notebookexecutions"
OUTPUT = b'{"doubled": 2}'

Document = dict[str, Any]


def simulate(count: int) -> list[Row]:
    """Start a control plane, run so many executions through the operator, stop it again.

    Returns:
        How many it handled per minute, with its memory.
    """
    environment = {**os.environ, "CLUSTER_MODE": "control-plane"}
    for name in ("CLUSTER_STATE", "KUBECONFIG"):
        environment.pop(name, None)
    subprocess.run([SCRIPTS / "down", "--wipe"], env=environment, check=True, capture_output=True)
    try:
        environment["KUBECONFIG"] = _script("up", environment).strip()
        given = dict(line.split("=", 1) for line in _script("minio", environment, "start").splitlines())
        settings = S3Settings("podbook", given["S3_ENDPOINT"], access_key=given["S3_ACCESS_KEY"], secret_key=given["S3_SECRET_KEY"])
        store = S3Store(settings)
        store.ensure_bucket()
        _publish(store)
        definition = ["kubectl", "apply", "--filename", str(ROOT / "helm/podbook/files/crd.yaml")]
        subprocess.run(definition, env=environment, check=True, capture_output=True)
        wait = ["kubectl", "wait", "--for=condition=Established", "crd/notebookexecutions.podbook.dev", "--timeout=60s"]
        subprocess.run(wait, env=environment, check=True, capture_output=True)
        return asyncio.run(_measure(count, environment, settings, store))
    finally:
        subprocess.run([SCRIPTS / "down", "--wipe"], env=environment, check=True, capture_output=True)


def _script(name: str, environment: Mapping[str, str], *arguments: str) -> str:
    return subprocess.run([SCRIPTS / name, *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _publish(store: S3Store) -> None:
    sample = SAMPLES["quick"]
    contract = parse_contract(json.dumps(dict(sample.contract)).encode(), models=lambda _: None)
    VersionStore(store).publish(build_bundle("quick", sample.ipynb(), contract, ()), now=datetime.now(UTC))


async def _measure(count: int, environment: Mapping[str, str], settings: S3Settings, store: S3Store) -> list[Row]:
    connection = Connection.from_kubeconfig(environment["KUBECONFIG"])
    async with connection.async_client(PLAYERS + IN_FLIGHT) as client:
        await _create(client, count)
        player = _Player(client, store)
        playing = asyncio.create_task(player.play())
        state = Path(environment["KUBECONFIG"]).parent
        try:
            with _operator(environment, settings) as process:
                started, before = time.monotonic(), _processor_seconds(state)
                peak = await _all_ended(client, count, process, player)
                seconds = time.monotonic() - started
                others = {name: spent - before.get(name, 0.0) for name, spent in _processor_seconds(state).items()}
                spent = process.cpu_times()
                reasons = Counter([item["status"]["reason"] for item in await _list(client, EXECUTIONS)])
        finally:
            playing.cancel()
    if reasons != {"Succeeded": count} or len(player.jobs) != count:
        raise RuntimeError(f"something was lost or done twice: {dict(reasons)}, {len(player.jobs)} Jobs with a pod")
    rate = count / seconds * 60
    figure = f"{count} executions with played pods, handled per minute · operator's memory at its peak"
    each = (spent.user + spent.system) / count * 1000
    shares = ", ".join(f"{name} {seconds / count * 1000:.0f}" for name, seconds in sorted(others.items()))
    details = (
        f"{seconds:.0f} s from the operator's start to the last record, {MAX_ACTIVE} at a time; one Job each, none lost; "
        f"processor time for each in ms: operator {each:.0f}, {shares}"
    )
    return [Row(figure, f"{rate:.0f}/min · {peak / 2**20:.0f} MiB", "≥ 600/min · ≤ 300 MiB", "≥ 1,500/min · ≤ 200 MiB", details)]


def _processor_seconds(state: Path) -> dict[str, float]:
    """What everything else of the cluster that lives in a folder has used of the processors, by program, with this player of pods."""
    used = {"player": sum(os.times()[:2])}
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(state) or any(str(state) in argument for argument in process.cmdline()):
                times = process.cpu_times()
                used[process.name()] = used.get(process.name(), 0.0) + times.user + times.system
        except psutil.Error:
            continue  # it has ended, or is none of ours
    return used


async def _create(client: httpx.AsyncClient, count: int) -> None:
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        body = {
            "apiVersion": "podbook.dev/v1alpha1",
            "kind": "NotebookExecution",
            "metadata": {"name": f"quick-{number:05}"},
            "spec": {"notebook": {"name": "quick"}, "parameters": {"number": number}, "submittedBy": f"key-{number % 7}"},
        }
        async with gate:
            (await client.post(EXECUTIONS, json=body)).raise_for_status()

    await asyncio.gather(*(one(number) for number in range(count)))


@contextmanager
def _operator(environment: Mapping[str, str], settings: S3Settings) -> Iterator[psutil.Process]:
    """The operator as a process of its own, as in its pod."""
    own = {
        **environment,
        "PODBOOK_NAMESPACE": "default",
        "PODBOOK_RUNNER_IMAGE": "played",
        "PODBOOK_MAX_ACTIVE": str(MAX_ACTIVE),
        "PODBOOK_S3__BUCKET": settings.bucket,
        "PODBOOK_S3__ENDPOINT": settings.endpoint or "",
        "PODBOOK_S3__ACCESS_KEY": settings.access_key or "",
        "PODBOOK_S3__SECRET_KEY": settings.secret_key or "",
        "PODBOOK_HOST": "127.0.0.1",
        "PODBOOK_HEALTH_PORT": "28080",
        "PODBOOK_METRICS_PORT": "29090",
        "PODBOOK_LOG_LEVEL": "WARNING",
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", "podbook_operator"], env=own, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield psutil.Process(process.pid)
        finally:
            ended = process.poll()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=40)
            if ended is not None:
                log.seek(0)
                print(log.read().decode(errors="replace")[-4000:], file=sys.stderr)


async def _all_ended(client: httpx.AsyncClient, count: int, process: psutil.Process, player: "_Player") -> int:
    """Wait until every execution has its record. Returns the largest resident memory seen, in bytes."""
    peak, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while True:
        with process.oneshot():
            peak = max(peak, process.memory_info().rss + sum(child.memory_info().rss for child in process.children()))
        if player.ended >= count and all(_stored(item) for item in await _list(client, EXECUTIONS)):
            return peak
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {PATIENCE_SECONDS} s only {player.ended} pods had been played")
        await asyncio.sleep(1)


def _stored(item: Document) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(condition["type"] == "ResultsStored" and condition["status"] == "True" for condition in conditions)


async def _list(client: httpx.AsyncClient, path: str) -> list[Document]:
    items: list[Document] = []
    token = ""
    while True:
        page = (await client.get(path, params={"limit": 500, **({"continue": token} if token else {})})).raise_for_status().json()
        items += page["items"]
        token = page["metadata"].get("continue", "")
        if not token:
            return items


class _Player:
    """Kubelet and runner in one: every pod runs, publishes and ends well."""

    def __init__(self, client: httpx.AsyncClient, store: S3Store) -> None:
        self._client, self._store = client, store
        self._gate = asyncio.Semaphore(PLAYERS)
        self._threads = ThreadPoolExecutor(PLAYERS)
        self._begun: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.jobs: set[str] = set()
        self.ended = 0

    async def play(self) -> None:
        """Until cancelled."""
        version = ""
        while True:
            query = {"watch": "1", "timeoutSeconds": "3600", **({"resourceVersion": version} if version else {})}
            async with self._client.stream("GET", PODS, params=query, timeout=None) as stream:
                async for line in stream.aiter_lines():
                    event = json.loads(line)
                    version = event["object"]["metadata"].get("resourceVersion", "")
                    if event["type"] == "ADDED" and event["object"]["metadata"]["uid"] not in self._begun:
                        self._begun.add(event["object"]["metadata"]["uid"])
                        task = asyncio.create_task(self._run(event["object"]["metadata"]))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)

    async def _run(self, metadata: Document) -> None:
        async with self._gate:
            await self._state(metadata, "Running", {"running": {"startedAt": _now()}})
            await asyncio.get_running_loop().run_in_executor(self._threads, self._publish, metadata)
            ended = {"exitCode": 0, "reason": "Completed", "startedAt": _now(), "finishedAt": _now()}
            await self._state(metadata, "Succeeded", {"terminated": ended})
            self.jobs.add(metadata["labels"]["batch.kubernetes.io/controller-uid"])
            self.ended += 1

    async def _state(self, metadata: Document, phase: str, state: Document) -> None:
        container = {"name": "runner", "image": "played", "imageID": "played", "ready": False, "restartCount": 0, "state": state}
        patch = {"status": {"phase": phase, "startTime": _now(), "containerStatuses": [container]}}
        headers = {"Content-Type": "application/merge-patch+json"}
        url = f"{PODS}/{metadata['name']}/status"
        (await self._client.patch(url, content=json.dumps(patch), headers=headers)).raise_for_status()

    def _publish(self, metadata: Document) -> None:
        uid, attempt = metadata["labels"]["podbook.dev/execution-uid"], metadata["uid"]
        self._store.put(attempt_prefix(uid, attempt) + "output.json", OUTPUT, media_type="application/json")
        file = StoredFile("output.json", len(OUTPUT), sha256_hex(OUTPUT), "application/json")
        manifest = AttemptManifest(uid, attempt, "Succeeded", "", None, _now(), _now(), 0.1, 2, 2, (file,), "played")
        self._store.put(result_key(uid, attempt), manifest.to_json(), media_type="application/json")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
