"""Kubernetes documents for the operator's tests, as an API server would hand them out."""

from datetime import UTC, datetime, timedelta
from typing import Any

from podbook_core.execution.labels import EXECUTION_LABEL, UID_LABEL
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Resolved, Spec, Status
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_operator.decide.situation import Policy
from podbook_operator.facts.observe import JobFacts, PodFacts, job_from_object, pod_from_object

NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "0" * 64
POLICY = Policy(publish_timeout=300, ttl_succeeded=3600, ttl_failed=7200, job_ttl=300, configuration_grace=60, progress_interval=10)
UID, NAME = "u1", "analysis-1"
LABELS = {EXECUTION_LABEL: NAME, UID_LABEL: UID}


def rfc3339(moment: datetime) -> str:
    """As Kubernetes writes times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def execution(*changes: Change, created: datetime = NOW, **spec: Any) -> NotebookExecution:
    """An execution, and what happened to it since."""
    item = NotebookExecution(
        metadata=Metadata(name=NAME, namespace="runs", uid=UID, creation_timestamp=created, generation=1, resource_version="1"),
        spec=Spec(**{"notebook": NotebookRef(name="analysis"), **spec}),
    )
    status = Status()
    for change in changes:
        status = advance(status, change, generation=1, now=created)
    return item.with_status(status)


RESOLVED = Resolved(version=DIGEST, parameters_digest=DIGEST, image="runner:1", profile="default", timeout_seconds=600)
QUEUED = Change(Reason.QUEUED, resolved=RESOLVED)
SCHEDULED = Change(Reason.SCHEDULED, "its Job is waiting for its pod", job_name="nbx-1", job_uid="j1", resolved=RESOLVED)
RUNNING = Change(Reason.RUNNING, job_name="nbx-1", job_uid="j1", pod_name="pod-1", attempts=1, resolved=RESOLVED, start_time=NOW)


def job_object(*, created: datetime = NOW, started: bool = True, retries: int = 0, **changes: Any) -> dict[str, Any]:
    """A Job of the execution; ``conditions``, ``suspend``, ``deleting`` and ``owner`` as asked."""
    conditions = [
        {"type": kind, "status": "True", "reason": "Because", "message": "of this"} for kind in changes.pop("conditions", ())
    ]
    metadata: dict[str, Any] = {
        "name": "nbx-1",
        "uid": "j1",
        "resourceVersion": "1",
        "creationTimestamp": rfc3339(created),
        "labels": LABELS,
        "ownerReferences": [{"uid": changes.pop("owner", UID), "controller": True}],
    }
    if changes.pop("deleting", False):
        metadata["deletionTimestamp"] = rfc3339(created)
    status: dict[str, Any] = {"conditions": conditions}
    if started:
        status["startTime"] = rfc3339(created)
    return {"metadata": metadata, "spec": {"backoffLimit": retries, "suspend": changes.pop("suspend", False)}, "status": status}


def job(**changes: Any) -> JobFacts:
    """The facts of such a Job."""
    return job_from_object(job_object(**changes))


def pod_object(
    state: dict[str, Any] | None = None,
    *,
    name: str = "pod-1",
    uid: str = "p1",
    created: datetime = NOW,
    phase: str = "Pending",
    deleted: datetime | None = None,
    reason: str = "",
    message: str = "",
    conditions: tuple[dict[str, str], ...] = (),
) -> dict[str, Any]:
    """A runner pod whose container is in a state."""
    metadata: dict[str, Any] = {"name": name, "uid": uid, "creationTimestamp": rfc3339(created), "labels": LABELS}
    if deleted is not None:
        metadata["deletionTimestamp"] = rfc3339(deleted)
    status: dict[str, Any] = {"phase": phase, "conditions": list(conditions)}
    if state is not None:
        status["containerStatuses"] = [{"name": "runner", "state": state}]
    if reason:
        status["reason"] = reason
    if message:
        status["message"] = message
    return {"metadata": metadata, "status": status}


def pod(state: dict[str, Any] | None = None, **changes: Any) -> PodFacts:
    """The facts of such a pod."""
    return pod_from_object(pod_object(state, **changes))


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """A container that waits."""
    return {"waiting": {"reason": reason, "message": message}}


def running(since: datetime = NOW) -> dict[str, Any]:
    """A container that runs."""
    return {"running": {"startedAt": rfc3339(since)}}


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    """A container that ran for ten seconds."""
    finished = rfc3339(NOW + timedelta(seconds=10))
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "startedAt": rfc3339(NOW),
            "finishedAt": finished,
            "message": message,
        }
    }


def manifest(outcome: str = "Succeeded", attempt: str = "p1", message: str = "", uid: str = UID) -> AttemptManifest:
    """What an attempt says of itself."""
    return AttemptManifest(
        uid=uid,
        attempt=attempt,
        outcome=outcome,
        message=message,
        error=None,
        start_time="2025-03-01T12:00:00Z",
        end_time="2025-03-01T12:00:10Z",
        duration_seconds=10.0,
        cells_completed=2,
        cells_total=2,
        files=(),
        runner_version="0.1.0",
    )
