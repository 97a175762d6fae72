"""From Kubernetes' objects to the few facts that decisions need. Pure; tolerant of every field that may be absent.

Only these facts are kept in memory, so that five thousand executions cost megabytes, not gigabytes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from podbook_core.execution.reasons import Reason
from podbook_core.text.clipping import clip

__all__ = [
    "JobFacts",
    "PodFacts",
    "TerminationMessage",
    "Waiting",
    "job_from_object",
    "pod_from_object",
    "rejection_from_events",
    "termination_message",
    "waiting_state",
]

CONTAINER = "runner"
"""Name of the one container in a runner pod."""
_PULLING = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError")
_MISCONFIGURED = ("InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_DISRUPTIONS = ("Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "Shutdown")
"""``status.reason`` of pods that a kubelet or a controller ended for reasons of the node."""
_TEXT = 512
_CLOCKS_DIFFER = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What matters of a Job."""

    name: str
    uid: str
    owner_uid: str | None
    """Unique id of the execution that controls it."""
    created: datetime
    start_time: datetime | None
    """When the Job controller began to work on it; None while it is suspended."""
    suspended: bool
    deleting: bool
    complete: bool
    failed: str | None
    """Why it failed (reason and message of its Failed condition), None while it has not."""
    retries: int
    """``spec.backoffLimit``: what was decided when it was created."""

    @property
    def finished(self) -> bool:
        """Whether it will start no further pod."""
        return self.complete or self.failed is not None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What matters of a runner pod: one attempt."""

    name: str
    uid: str
    created: datetime
    phase: str
    deletion: datetime | None
    """When it was to be gone (deletion time and grace), None when it is not being deleted."""
    disrupted: bool
    """It was ended from outside: DisruptionTarget, a deletion, an eviction, a node that refused it."""
    status_reason: str
    """``status.reason``, e.g. Evicted or DeadlineExceeded."""
    status_message: str
    unschedulable: str | None
    """Why no node can run it, None when one did or it is not known yet."""
    scheduled: bool
    waiting: tuple[str, str] | None
    """Reason and message of the waiting container."""
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    terminated: bool
    oom_killed: bool
    message: str
    """The termination message: untrusted."""

    @property
    def ended(self) -> bool:
        """Whether its container will not run again. Seen before the pod's phase changes."""
        return self.terminated or self.phase in ("Succeeded", "Failed")

    @property
    def running(self) -> bool:
        """Whether its container runs."""
        return not self.ended and self.started_at is not None and self.waiting is None


@dataclass(frozen=True, slots=True)
class TerminationMessage:
    """What the runner said last, as far as it can be understood."""

    message: str = ""
    cell: int | None = None
    ename: str = ""
    evalue: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why an attempt has not begun. ``end`` is what it ends by when that lasts."""

    reason: Reason
    message: str
    end: Reason
    misconfigured: bool = False
    """It will not heal by waiting; only a short grace is given."""


def job_from_object(body: Mapping[str, Any]) -> JobFacts:
    """The facts of a ``batch/v1`` Job."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions") or () if item.get("status") == "True"}
    # FailureTarget and SuccessCriteriaMet come first, while pods are still being ended: from then on no pod is started.
    failed = conditions.get("Failed") or conditions.get("FailureTarget")
    return JobFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=_controller(metadata),
        created=_time(metadata["creationTimestamp"]),
        start_time=_optional_time(status.get("startTime")),
        suspended=bool(spec.get("suspend")),
        deleting=metadata.get("deletionTimestamp") is not None,
        complete="Complete" in conditions or "SuccessCriteriaMet" in conditions,
        failed=None if failed is None else clip(f"{failed.get('reason', '')}: {failed.get('message', '')}", _TEXT),
        retries=int(spec.get("backoffLimit", 0)),
    )


def pod_from_object(body: Mapping[str, Any]) -> PodFacts:
    """The facts of a runner pod."""
    metadata, status = body["metadata"], body.get("status") or {}
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    container: Mapping[str, Any] = next(
        (item for item in status.get("containerStatuses") or () if item.get("name") == CONTAINER), {}
    )
    state: Mapping[str, Any] = container.get("state") or {}
    terminated, running, waiting = state.get("terminated"), state.get("running"), state.get("waiting")
    scheduled = conditions.get("PodScheduled") or {}
    disruption = conditions.get("DisruptionTarget") or {}
    phase, reason = status.get("phase") or "Pending", status.get("reason") or ""
    # A kubelet that refuses a pod (OutOfcpu, NodeAffinity …) fails it before any container exists.
    refused = phase == "Failed" and not container and reason != "DeadlineExceeded"
    deletion = _optional_time(metadata.get("deletionTimestamp"))
    return PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        created=_time(metadata["creationTimestamp"]),
        phase=phase,
        deletion=deletion,
        disrupted=deletion is not None or disruption.get("status") == "True" or reason in _DISRUPTIONS or refused,
        status_reason=reason,
        status_message=clip(status.get("message") or disruption.get("message") or "", _TEXT),
        unschedulable=clip(scheduled.get("message") or "no node can run it", _TEXT)
        if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
        else None,
        scheduled=scheduled.get("status") == "True",
        waiting=None if waiting is None else (waiting.get("reason") or "", clip(waiting.get("message") or "", _TEXT)),
        started_at=_optional_time((running or terminated or {}).get("startedAt")),
        finished_at=_optional_time((terminated or {}).get("finishedAt")),
        exit_code=None if terminated is None else int(terminated.get("exitCode", -1)),
        terminated=terminated is not None,
        oom_killed=terminated is not None and terminated.get("reason") == "OOMKilled",
        message=((terminated or {}).get("message") or "")[:4096],
    )


def waiting_state(pod: PodFacts) -> Waiting:
    """Why a pod that has not begun waits, most precise cause first."""
    if pod.unschedulable is not None:
        return Waiting(Reason.SCHEDULED, f"no node can run its pod: {pod.unschedulable}", Reason.UNSCHEDULABLE)
    reason, message = pod.waiting or ("", "")
    text = f"{reason}: {message}" if message else reason
    if reason in _PULLING:
        return Waiting(
            Reason.STARTING, f"the image cannot be pulled: {text}", Reason.IMAGE_PULL_FAILED, reason == "ErrImageNeverPull"
        )
    if reason in _MISCONFIGURED:
        return Waiting(Reason.STARTING, f"the container cannot be created: {text}", Reason.CONFIGURATION_ERROR, misconfigured=True)
    if pod.scheduled:
        return Waiting(Reason.STARTING, "its container is starting", Reason.START_TIMED_OUT)
    return Waiting(Reason.SCHEDULED, "its pod is being scheduled", Reason.START_TIMED_OUT)


def rejection_from_events(events: Iterable[Mapping[str, Any]], since: datetime) -> str:
    """Why the Job controller cannot create a pod, by its Events about the Job; empty when they do not say.

    Args:
        events: of the Job.
        since: since when there is no pod; what was said before that is about another one.
    """
    # The controller's clock may be a little behind, and what it writes has no fractions of seconds.
    earliest = since - _CLOCKS_DIFFER
    failed = [(_event_time(item), item) for item in events if item.get("reason") == "FailedCreate"]
    told = [(moment, item) for moment, item in failed if moment is not None and moment >= earliest]
    if not told:
        return ""
    _, newest = max(told, key=lambda pair: pair[0])
    return f"the cluster refuses its pod: {str(newest.get('message', ''))[:800]}"


def termination_message(text: str) -> TerminationMessage:
    """Read the runner's last words as the untrusted input they are; what is not understood is nothing."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return TerminationMessage()
    if not isinstance(raw, dict):
        return TerminationMessage()
    cell = raw.get("cell")
    return TerminationMessage(
        message=_word(raw.get("message"), 1024),
        cell=cell if isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell <= 1_000_000 else None,
        ename=_word(raw.get("ename"), 256),
        evalue=_word(raw.get("evalue"), 1024),
    )


def _event_time(event: Mapping[str, Any]) -> datetime | None:
    return _optional_time(event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp"))


def _word(value: Any, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else ""


def _controller(metadata: Mapping[str, Any]) -> str | None:
    return next((item["uid"] for item in metadata.get("ownerReferences") or () if item.get("controller")), None)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _optional_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
