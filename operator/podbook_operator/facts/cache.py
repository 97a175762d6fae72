"""What the operator knows of the cluster, distilled.

Fed by the watches and by the operator's own writes, whichever is newer. It may lag behind the API server, and every decision that follows
from something being absent asks the API server first.
"""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any

from podbook_cluster.resource_versions import is_newer
from podbook_core.execution.idempotency import REQUEST_ANNOTATION
from podbook_core.execution.labels import EXECUTION_LABEL, UID_LABEL
from podbook_core.execution.profiles import Profiles
from podbook_core.execution.reasons import Reason, is_terminal, known_reason
from podbook_core.execution.stored import StoredExecution, read_execution
from podbook_operator.facts.observe import JobFacts, PodFacts, job_from_object, pod_from_object
from podbook_operator.facts.slots import Places

__all__ = ["Entry", "Facts", "distil"]

_METADATA = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "labels")
_SMALL = 1024
"""Most bytes of JSON that parameters may have to be kept: thousands of executions are known at a time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One execution, as small as it gets: the document without large parameters, and what lists need of it."""

    name: str
    uid: str
    resource_version: str
    document: bytes
    whole: bool
    """Whether the document holds the parameters, too. Large ones are read from the API server when they are needed."""
    reason: str
    terminal: bool
    accepted: bool
    job_recorded: bool
    submitter: str | None
    profile: str
    created: str

    def stored(self) -> StoredExecution:
        """The document as far as this version understands it, without parameters unless it is whole.

        Raises:
            pydantic.ValidationError: it is not of the model's shape.
        """
        return read_execution(self.document)


def distil(body: Mapping[str, Any]) -> Entry:
    """What is kept of a NotebookExecution. Takes whatever the API server let through."""
    metadata, status = body["metadata"], body.get("status") or {}
    spec = {key: value for key, value in (body.get("spec") or {}).items() if key != "parameters"}
    parameters = (body.get("spec") or {}).get("parameters")
    whole = parameters is None or len(json.dumps(parameters, separators=(",", ":"))) <= _SMALL
    annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key == REQUEST_ANNOTATION}
    kept = {
        # Not every annotation: that of kubectl apply holds the parameters again.
        "metadata": {**{key: metadata[key] for key in _METADATA if key in metadata}, "annotations": annotations},
        "spec": {**spec, "parameters": parameters} if whole and parameters is not None else spec,
        "status": status,
    }
    reason = known_reason(status.get("reason", Reason.PENDING), status.get("phase"))
    return Entry(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata.get("resourceVersion", ""),
        document=json.dumps(kept, separators=(",", ":")).encode(),
        whole=whole,
        reason=reason,
        terminal=is_terminal(reason),
        accepted=bool(status.get("resolved")),
        job_recorded=bool(status.get("jobUID")),
        submitter=spec.get("submittedBy"),
        profile=(status.get("resolved") or {}).get("profile", ""),
        created=metadata["creationTimestamp"],
    )


@dataclass(slots=True)
class Facts:
    """Everything known, by execution.

    Args:
        limit: how many executions of one profile may have a Job at a time.
        profiles: for the limits that a profile has of its own, instead.
    """

    limit: InitVar[int]
    profiles: InitVar[Profiles]
    places: Places = field(init=False)
    """Who may have a Job."""
    entries: dict[str, Entry] = field(default_factory=dict)
    """Executions by name."""
    jobs: dict[str, tuple[str, JobFacts]] = field(default_factory=dict)
    """Jobs, with their resource version, by the execution's unique id."""
    pods: dict[str, dict[str, PodFacts]] = field(default_factory=dict)
    """Pods by the execution's unique id, then by name."""
    ended: dict[str, float] = field(default_factory=dict)
    """When the newest pod of an execution was first seen to have ended, in monotonic seconds, by the execution's unique id."""

    def __post_init__(self, limit: int, profiles: Profiles) -> None:
        self.places = Places(limit, profiles)

    def knows(self, body: Mapping[str, Any]) -> bool:
        """Whether exactly this version of an execution is known already."""
        known = self.entries.get(body["metadata"]["name"])
        return known is not None and known.resource_version == body["metadata"].get("resourceVersion") != ""

    def put_execution(self, body: Mapping[str, Any]) -> Entry:
        """Learn of an execution; an older word than what is known is ignored. Returns what is known now."""
        entry = distil(body)
        known = self.entries.get(entry.name)
        if known is not None and known.uid != entry.uid:
            self.drop_execution(known.name, known.uid)
        elif known is not None and not is_newer(entry.resource_version, known.resource_version):
            return known
        self.entries[entry.name] = entry
        self._classify(entry)
        return entry

    def return_to_line(self, name: str) -> None:
        """Let an execution wait again whose place was given back; without effect on any other."""
        self._reclassify(name)

    def drop_execution(self, name: str, uid: str) -> None:
        """An execution is gone."""
        known = self.entries.get(name)
        if known is not None and known.uid == uid:
            del self.entries[name]
            self.places.leave(name)
            self.ended.pop(uid, None)

    def put_job(self, body: Mapping[str, Any]) -> str | None:
        """Learn of a Job. Returns the name of its execution, None when it is not one of ours."""
        name, uid = _owner(body)
        if name is None or uid is None:
            return None
        version = body["metadata"].get("resourceVersion", "")
        known = self.jobs.get(uid)
        if known is None or known[1].uid != body["metadata"]["uid"] or is_newer(version, known[0]):
            self.jobs[uid] = (version, job_from_object(body))
        self._reclassify(name)
        return name

    def drop_job(self, body: Mapping[str, Any]) -> str | None:
        """A Job is gone. Returns the name of its execution."""
        name, uid = _owner(body)
        known = self.jobs.get(uid or "")
        if uid is not None and known is not None and known[1].uid == body["metadata"]["uid"]:
            del self.jobs[uid]
        return name

    def put_pod(self, body: Mapping[str, Any]) -> str | None:
        """Learn of a pod. Returns the name of its execution, None when it is not one of ours."""
        name, uid = _owner(body)
        if name is None or uid is None:
            return None
        pod = pod_from_object(body)
        pods = self.pods.setdefault(uid, {})
        pods[pod.name] = pod
        if not all(known.ended for known in pods.values()):
            self.ended.pop(uid, None)  # there is another attempt
        elif uid not in self.ended:
            self.ended[uid] = time.monotonic()
        return name

    def drop_pod(self, body: Mapping[str, Any]) -> str | None:
        """A pod is gone. Returns the name of its execution."""
        name, uid = _owner(body)
        pods = self.pods.get(uid or "", {})
        pods.pop(body["metadata"]["name"], None)
        if uid is not None and not pods:
            self.pods.pop(uid, None)
        return name

    def replace_live(self, uid: str, job: Mapping[str, Any] | None, pods: list[Mapping[str, Any]]) -> None:
        """What the API server itself just said about one execution's Job and pods."""
        self.jobs.pop(uid, None)
        self.pods.pop(uid, None)
        if job is not None:
            self.put_job(job)
        for pod in pods:
            self.put_pod(pod)

    def job(self, uid: str) -> JobFacts | None:
        """The Job of an execution."""
        known = self.jobs.get(uid)
        return None if known is None else known[1]

    def pods_of(self, uid: str) -> tuple[PodFacts, ...]:
        """The pods of an execution, oldest first."""
        return tuple(sorted(self.pods.get(uid, {}).values(), key=lambda pod: (pod.created, pod.name)))

    def object_uids(self) -> set[str]:
        """Unique ids of the Jobs and pods that are known."""
        return {job.uid for _, job in self.jobs.values()} | {pod.uid for pods in self.pods.values() for pod in pods.values()}

    def drop_objects(self, uids: Collection[str]) -> None:
        """Jobs and pods are gone."""
        self.jobs = {owner: known for owner, known in self.jobs.items() if known[1].uid not in uids}
        left = {owner: {pod.name: pod for pod in pods.values() if pod.uid not in uids} for owner, pods in self.pods.items()}
        self.pods = {owner: pods for owner, pods in left.items() if pods}

    @property
    def running(self) -> tuple[Entry, ...]:
        """Executions that have a Job and have not ended."""
        return tuple(self.entries[name] for name in self.places.running)

    def _reclassify(self, name: str) -> None:
        entry = self.entries.get(name)
        if entry is not None:
            self._classify(entry)

    def _classify(self, entry: Entry) -> None:
        if entry.terminal:
            self.places.leave(entry.name)
        elif entry.job_recorded or entry.uid in self.jobs:
            self.places.hold(entry.name, profile=entry.profile, submitter=entry.submitter)
        elif entry.accepted:
            self.places.wait(entry.name, profile=entry.profile, submitter=entry.submitter, created=entry.created, uid=entry.uid)


def _owner(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    labels = body["metadata"].get("labels") or {}
    return labels.get(EXECUTION_LABEL), labels.get(UID_LABEL)
