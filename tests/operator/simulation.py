"""A small world for the operator: an API server that keeps objects, a Job controller, a kubelet, and a store that may be away.

It follows the real API server where the operator depends on it: 409 for names that are taken and versions that have passed, merge patches
on the status only, generations, owner references. Any write can be made the last one of this life: before it happens, or after it happened and
before the answer arrived.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from typing_extensions import override

from podbook_cluster.errors import ClusterError, ConflictError, NotFoundError
from podbook_core.execution.manifest import AttemptManifest, StoredFile
from podbook_core.execution.profiles import Profile
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import ObjectInfo, StoreUnavailableError
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import attempt_prefix, result_key
from podbook_core.text.digests import sha256_hex
from podbook_operator.act.kube_events import EventRecorder
from podbook_operator.act.launch import Launcher
from podbook_operator.act.reconcile import Reconciler
from podbook_operator.act.storage import Storage
from podbook_operator.facts.cache import Facts
from podbook_operator.metrics import Metrics

from .documents import NOW, POLICY, rfc3339


class CrashError(BaseException):
    """The operator's process ends here. No handler of the operator sees it."""


class Fuse:
    """Counts writes, and ends the process at one of them."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.blow_at: int | None = None
        self.after = False
        self.refusals: dict[str, list[ClusterError]] = {}
        """What the API server answers to the next writes of a kind, instead of doing them."""

    def guard(self, what: str, write: Callable[[], Any]) -> Any:
        """Carry out one write, or crash before or after it."""
        if self.refusals.get(what):
            raise self.refusals[what].pop(0)
        self.writes.append(what)
        blows = self.blow_at is not None and len(self.writes) == self.blow_at
        if blows and not self.after:
            raise CrashError(what)
        result = write()
        if blows:
            raise CrashError(what)
        return result


class World:
    """Everything outside the operator."""

    def __init__(self, folder: Path) -> None:
        self.fuse = Fuse()
        self.now = NOW
        self.version = 1
        self.executions: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, dict[str, Any]] = {}
        self.events: list[Mapping[str, Any]] = []
        self.jobs_created: list[str] = []
        self.pods_created = 0
        self.quota = ""
        """Why no pod can be created; empty while one can."""
        self.job_complaints: list[dict[str, Any]] = []
        self.store = DirectoryStore(folder)
        self.store_away = False

    # --- the cluster's side

    def create_execution(self, name: str, **spec: Any) -> None:
        """What ``kubectl create`` does."""
        self.executions[name] = self._stamp(
            {
                "apiVersion": "podbook.dev/v1alpha1",
                "kind": "NotebookExecution",
                "metadata": {"name": name, "namespace": "runs", "uid": f"uid-{name}", "generation": 1},
                "spec": {"notebook": {"name": "analysis"}, "parameters": {}, **spec},
            }
        )

    def change_spec(self, name: str, **changes: Any) -> None:
        """What ``kubectl patch`` does."""
        body = self.executions[name]
        body["spec"].update(changes)
        body["metadata"]["generation"] += 1
        self._stamp(body)

    def run_controllers(self) -> None:
        """One round of Job controller and garbage collector."""
        for name, job in list(self.jobs.items()):
            pods = [pod for pod in self.pods.values() if pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]]
            if job["metadata"].get("deletionTimestamp"):
                for pod in pods:
                    self._delete_pod(pod)
                if not [pod for pod in self.pods.values() if pod in pods]:
                    del self.jobs[name]
                continue
            self._run_job(job, pods)

    def delete_pod(self, name: str) -> None:
        """What ``kubectl delete pod`` does."""
        self._delete_pod(self.pods[name])

    def end_pod(self, pod: dict[str, Any], code: int, outcome: str | None, *, phase: bool = True) -> None:
        """The runner ends: manifest first, then the exit code."""
        uid, attempt = pod["metadata"]["labels"]["podbook.dev/execution-uid"], pod["metadata"]["uid"]
        if outcome is not None:
            self.publish(uid, attempt, outcome)
        moment = rfc3339(self.now)
        state = {"terminated": {"exitCode": code, "startedAt": moment, "finishedAt": moment, "reason": "Completed"}}
        pod["status"]["containerStatuses"] = [{"name": "runner", "state": state}]
        if phase:
            pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        self._stamp(pod)

    def start_pod(self, pod: dict[str, Any]) -> None:
        """The kubelet starts the container."""
        pod["status"] = {
            "phase": "Running",
            "containerStatuses": [{"name": "runner", "state": {"running": {"startedAt": rfc3339(self.now)}}}],
        }
        self._stamp(pod)

    def publish(self, uid: str, attempt: str, outcome: str) -> None:
        """What a runner leaves in the store."""
        data = f"result of {attempt}".encode()
        self.store.put(attempt_prefix(uid, attempt) + "notebook.ipynb", data)
        said = AttemptManifest(
            uid=uid,
            attempt=attempt,
            outcome=outcome,
            message="",
            error=None,
            start_time="2025-03-01T12:00:00Z",
            end_time="2025-03-01T12:00:10Z",
            duration_seconds=10.0,
            cells_completed=2,
            cells_total=2,
            files=(StoredFile("notebook.ipynb", len(data), sha256_hex(data), "application/x-ipynb+json"),),
            runner_version="0.1.0",
        )
        self.store.put(result_key(uid, attempt), said.to_json())

    def _run_job(self, job: dict[str, Any], pods: list[dict[str, Any]]) -> None:
        finished = {item["type"] for item in job["status"].get("conditions", [])}
        if finished or job["spec"]["suspend"]:
            return
        job["status"]["startTime"] = job["status"].get("startTime") or rfc3339(self.now)
        for pod in [pod for pod in pods if pod["metadata"].get("deletionTimestamp") and _ended(pod)]:
            # Gone before the count, as with kubernetes#115688: even a success of a pod that was told to go does not count.
            del self.pods[pod["metadata"]["name"]]
            pods.remove(pod)
        codes = [_exit_code(pod) for pod in pods if _ended(pod)]
        failures = [code for code in codes if code not in (0, 30)]
        if 0 in codes:
            self._finish_job(job, "Complete")
        elif any(10 <= code < 20 for code in failures) or len(failures) > job["spec"]["backoffLimit"]:
            self._finish_job(job, "Failed")
        elif all(_ended(pod) for pod in pods):
            self._create_pod(job)

    def _finish_job(self, job: dict[str, Any], kind: str) -> None:
        job["status"]["conditions"] = [{"type": kind, "status": "True", "reason": "Because", "message": ""}]
        self._stamp(job)

    def _create_pod(self, job: dict[str, Any]) -> None:
        if self.quota:
            said = {"reason": "FailedCreate", "message": self.quota, "lastTimestamp": rfc3339(self.now)}
            self.job_complaints.append({"involvedObject": {"uid": job["metadata"]["uid"]}, **said})
            return
        self.pods_created += 1
        name = f"{job['metadata']['name']}-{self.pods_created}"
        template = job["spec"]["template"]["metadata"]
        self.pods[name] = self._stamp(
            {
                "metadata": {
                    "name": name,
                    "uid": f"pod-{self.pods_created}",
                    "labels": template["labels"],
                    "ownerReferences": [{"uid": job["metadata"]["uid"], "controller": True}],
                },
                "spec": {},
                "status": {"phase": "Pending"},
            }
        )

    def _delete_pod(self, pod: dict[str, Any]) -> None:
        if _ended(pod) or pod["status"]["phase"] == "Pending":
            self.pods.pop(pod["metadata"]["name"], None)
        elif not pod["metadata"].get("deletionTimestamp"):
            pod["metadata"]["deletionTimestamp"] = rfc3339(self.now + timedelta(seconds=30))
            self._stamp(pod)

    def _stamp(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        body["metadata"].setdefault("creationTimestamp", rfc3339(self.now))
        return body

    # --- the Cluster protocol

    async def get_execution(self, name: str) -> dict[str, Any]:
        return copy.deepcopy(_found(self.executions, name))

    async def list_executions(self) -> list[dict[str, Any]]:
        return copy.deepcopy(list(self.executions.values()))

    async def patch_status(self, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            body = _found(self.executions, name)
            expected = patch.get("metadata", {}).get("resourceVersion")
            if expected not in (None, body["metadata"]["resourceVersion"]):
                raise ConflictError("the object has been modified")
            body["status"] = _merged(body.get("status", {}), patch["status"])
            return copy.deepcopy(self._stamp(body))

        return dict(self.fuse.guard("status", write))

    async def delete_execution(self, name: str, uid: str) -> None:
        def write() -> None:
            if _found(self.executions, name)["metadata"]["uid"] != uid:
                raise ConflictError("another uid")
            del self.executions[name]

        self.fuse.guard("delete execution", write)

    async def apply_secret(self, body: Mapping[str, Any]) -> None:
        self.fuse.guard("secret", lambda: self.secrets.__setitem__(body["metadata"]["name"], dict(body)))

    async def replace_secret(self, body: Mapping[str, Any]) -> None:
        def write() -> None:
            _found(self.secrets, body["metadata"]["name"])["data"] = body["data"]

        self.fuse.guard("replace secret", write)

    async def delete_secret(self, name: str) -> None:
        self.fuse.guard("delete secret", lambda: self.secrets.pop(name, None))

    async def create_job(self, body: Mapping[str, Any]) -> dict[str, Any]:
        def write() -> dict[str, Any]:
            name = body["metadata"]["name"]
            if name in self.jobs:
                raise ConflictError("already exists")
            job = copy.deepcopy(dict(body)) | {"status": {}}
            job["metadata"]["uid"] = f"job-{len(self.jobs_created)}"
            self.jobs[name] = self._stamp(job)
            self.jobs_created.append(name)
            return copy.deepcopy(self.jobs[name])

        return dict(self.fuse.guard("job", write))

    async def get_job(self, name: str) -> dict[str, Any]:
        return copy.deepcopy(_found(self.jobs, name))

    async def delete_job(self, name: str, uid: str) -> None:
        def write() -> None:
            job = self.jobs.get(name)
            if job is not None and job["metadata"]["uid"] == uid:
                job["metadata"]["deletionTimestamp"] = rfc3339(self.now)
                self._stamp(job)

        self.fuse.guard("delete job", write)

    async def list_pods(self, selector: str) -> list[dict[str, Any]]:
        key, _, value = selector.partition("=")
        return copy.deepcopy([pod for pod in self.pods.values() if pod["metadata"]["labels"].get(key) == value])

    async def job_uids(self, selector: str) -> set[str]:
        return _uids(self.jobs.values(), selector)

    async def pod_uids(self, selector: str) -> set[str]:
        return _uids(self.pods.values(), selector)

    async def job_events(self, job_uid: str) -> list[dict[str, Any]]:
        return [item for item in self.job_complaints if item["involvedObject"]["uid"] == job_uid]

    async def create_event(self, body: Mapping[str, Any]) -> None:
        self.events.append(body)


class FusedStore(DirectoryStore):
    """The store, whose writes may be the operator's last, and which may be away."""

    def __init__(self, folder: Path, world: World) -> None:
        super().__init__(folder)
        self._world = world

    @override
    def put(self, key: str, data: bytes | Path, **options: Any) -> ObjectInfo:
        self._reach()
        result: ObjectInfo = self._world.fuse.guard(
            f"put {key.split('/', maxsplit=1)[0]}", lambda: super(FusedStore, self).put(key, data, **options)
        )
        return result

    @override
    def get(self, key: str, **options: Any) -> Any:
        self._reach()
        return super().get(key, **options)

    def _reach(self) -> None:
        if self._world.store_away:
            raise StoreUnavailableError("the store is away")


class FakeSigner:
    """Signs nothing; signing is tested with the store. Its credentials end when a test says so."""

    def __init__(self) -> None:
        self.end: datetime | None = None

    @property
    def renewed_credentials(self) -> bool:
        return self.end is not None

    def credentials_end(self) -> datetime | None:
        return self.end

    def presign_get(self, key: str, seconds: int) -> str:
        return f"http://store/{key}?seconds={seconds}"

    def presign_post(self, prefix: str, max_bytes: int, seconds: int) -> tuple[str, dict[str, str]]:
        return "http://store/", {"prefix": prefix, "max": str(max_bytes), "seconds": str(seconds), "until": str(self.end)}


class Life:
    """One life of the operator's process: everything it knows is what it has seen since it began."""

    def __init__(self, world: World, folder: Path, validator: ContractValidator, *, limit: int = 10) -> None:
        self.world = world
        profiles = {"default": Profile(image="runner:1")}
        self.facts, self.metrics = Facts(limit, profiles), Metrics()
        self.events = EventRecorder(world)
        self.storage = Storage(FusedStore(folder, world), validator, threads=1)
        self.signer = FakeSigner()
        self.launcher = Launcher(world, self.storage, self.signer, profiles, POLICY.publish_timeout, clock=lambda: world.now)
        self.reconciler = Reconciler(
            facts=self.facts,
            cluster=world,
            storage=self.storage,
            launcher=self.launcher,
            profiles=profiles,
            policy=POLICY,
            events=self.events,
            metrics=self.metrics,
            clock=lambda: world.now,
        )

    def watch(self) -> None:
        """See everything that is there, as after a list."""
        self.facts.jobs.clear()
        self.facts.pods.clear()
        for name, entry in list(self.facts.entries.items()):
            if name not in self.world.executions:
                self.facts.drop_execution(name, entry.uid)
        for body in self.world.executions.values():
            self.facts.put_execution(copy.deepcopy(body))
        for job in self.world.jobs.values():
            self.facts.put_job(copy.deepcopy(job))
        for pod in self.world.pods.values():
            self.facts.put_pod(copy.deepcopy(pod))

    async def work(self) -> None:
        """Look at everything once, and again at what got a place."""
        self.watch()
        for name in list(self.facts.entries):
            await self.reconciler.visit(name)
        for name in self.facts.places.grant():
            await self.reconciler.visit(name)

    def end(self) -> None:
        """The process is gone."""
        self.storage.close()


def _uids(objects: Iterable[Mapping[str, Any]], selector: str) -> set[str]:
    key, _, value = selector.partition("=")
    return {item["metadata"]["uid"] for item in objects if item["metadata"]["labels"].get(key) == value}


def _found(objects: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in objects:
        raise NotFoundError(f"{name} not found")
    return objects[name]


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    after = dict(before)
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, Mapping):
            known = after.get(key)
            after[key] = _merged(known if isinstance(known, Mapping) else {}, value)
        else:
            after[key] = value
    return after


def _state(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = pod["status"].get("containerStatuses") or [{"state": {}}]
    found: Mapping[str, Any] = containers[0]["state"]
    return found


def _ended(pod: Mapping[str, Any]) -> bool:
    return "terminated" in _state(pod)


def _exit_code(pod: Mapping[str, Any]) -> int:
    return int(_state(pod)["terminated"]["exitCode"])


def moment_after(world: World, seconds: float) -> datetime:
    """Let time pass."""
    world.now += timedelta(seconds=seconds)
    return world.now
