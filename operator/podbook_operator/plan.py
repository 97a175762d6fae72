"""The one decision about an execution, from the facts as they are now. Pure and level-triggered: no step remembers another.

Read it as a table, first match wins. What the reasons mean is in :mod:`podbook_core.reasons`, what follows from the end of an attempt in
:mod:`podbook_core.verdict`; here is what only a cluster knows: Jobs, pods, and deadlines by the API server's clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from podbook_core.attempt import AttemptManifest
from podbook_core.model import ATTEMPTS_LIMIT, NotebookExecution
from podbook_core.reasons import INTERRUPTED, ExitCode, Reason
from podbook_core.transitions import Change
from podbook_core.verdict import Again, AttemptEnd, End, judge
from podbook_operator.decisions import (
    Accept,
    CloseRecord,
    Confirm,
    Decision,
    DeleteResource,
    Explain,
    Finish,
    ReadAttempts,
    ReadManifest,
    ReadProgress,
    Start,
    StopJob,
    Update,
    Wait,
)
from podbook_operator.observe import JobFacts, PodFacts, termination_message, waiting_state

__all__ = ["FINAL_EXIT_CODES", "Policy", "Situation", "plan", "start_deadline"]

DEFAULT_QUEUE_TIMEOUT = 86_400
DEFAULT_START_TIMEOUT = 300
STOP_SLACK = timedelta(seconds=60)
"""How long after its deadline a pod may still be ending (kubelet, publishing) before it counts as lost."""
_MESSAGE = 1000
_EXPLAIN_AFTER = timedelta(seconds=5)
FINAL_EXIT_CODES = tuple(
    int(code) for code in ExitCode if code not in (ExitCode.SUCCEEDED, ExitCode.STORAGE_FAILED, ExitCode.INTERRUPTED)
)
"""Exit codes after which the Job fails at once: the same input would end the same way."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decisions depend on. Times in seconds."""

    publish_timeout: int
    ttl_succeeded: int
    ttl_failed: int
    job_ttl: int
    configuration_grace: int
    progress_interval: int


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything known about one execution."""

    execution: NotebookExecution
    """With or without its parameters, which no decision depends on."""
    job: JobFacts | None
    pods: tuple[PodFacts, ...]
    """Oldest first."""
    slot: bool
    """Admission grants it a place."""
    now: datetime
    confirmed: bool = False
    """Job and pods were just read from the API server, not from a watch."""
    manifests: Mapping[str, AttemptManifest | None] = field(default_factory=dict)
    """By attempt (pod uid); None where it was looked for and there is none that counts."""
    attempts_read_for: str | None = None
    """The vanished pod for which every attempt in the store was read."""
    rejection: str | None = None
    """Why the Job controller cannot create a pod; empty when it does not say."""
    progress_read: datetime | None = None
    """When progress was read last."""


def plan(now: Situation, policy: Policy) -> Decision:
    """Decide what to do next."""
    execution, status = now.execution, now.execution.status
    if execution.metadata.deletion_timestamp is not None:
        return Wait()  # garbage collection takes Job, pods and Secret along
    if status.terminal:
        return _after_the_end(now, policy)
    if status.resolved is None:
        return _cancelled() if execution.spec.cancel else Accept()
    if now.job is None and status.job_uid is None:
        return _in_the_queue(now)
    return _under_way(now, policy)


def start_deadline(execution: NotebookExecution, since: datetime) -> datetime:
    """Until when something must have begun that could begin at ``since``."""
    return since + timedelta(seconds=execution.spec.start_timeout_seconds or DEFAULT_START_TIMEOUT)


def _queue_deadline(execution: NotebookExecution) -> datetime:
    since = execution.status.queued_time or execution.created
    return since + timedelta(seconds=execution.spec.queue_timeout_seconds or DEFAULT_QUEUE_TIMEOUT)


def _cancelled(attempt: str | None = None) -> Finish:
    return Finish(End(Reason.CANCELLED, "cancelled on request"), attempt)


def _in_the_queue(now: Situation) -> Decision:
    execution = now.execution
    if execution.spec.cancel:
        return _cancelled()
    deadline = _queue_deadline(execution)
    if deadline <= now.now:
        return Finish(End(Reason.QUEUE_TIMED_OUT, "no slot became free in time"), None)
    return Start() if now.slot else Wait(deadline)


def _under_way(now: Situation, policy: Policy) -> Decision:
    status, job = now.execution.status, now.job
    lost = _lost(now)
    active = [pod for pod in now.pods if not pod.ended and pod is not lost]
    again: Again | None = None
    # Every attempt that has ended is judged, oldest first: an earlier one that says the end has said it for all.
    for index, pod in enumerate(now.pods):
        if not pod.ended:
            continue
        if pod.uid not in now.manifests:
            return ReadManifest(pod.uid)
        verdict = _judge(now, pod, _attempts(now) - (len(now.pods) - 1 - index))
        if isinstance(verdict, End):
            return _ended(now, verdict, pod)
        again = verdict
    vanished = status.pod_name if status.pod_name not in {pod.name for pod in now.pods} else None
    if vanished is not None and now.attempts_read_for != vanished:
        return ReadAttempts(vanished)
    gone = _judge_vanished(now, active=bool(active))
    if isinstance(gone, Finish):
        return gone
    again = again or gone
    if job is None and not active:
        return _without_job(now)
    if now.execution.spec.cancel:
        return _cancelling(now, active)
    if lost is not None:
        return Finish(End(Reason.EVICTED, "its node stopped answering"), lost.uid)
    if job is not None and job.finished and not active:
        return _after_the_job(now, job, again)
    if active:
        return _attempt(now, policy, active[-1])
    # Without a pod: the Job waits for its queue, for its controller, or for the back-off before another attempt.
    return _without_pod(now, job, again) if job is not None else Wait()


def _attempts(now: Situation) -> int:
    """Attempts begun so far: those that are there, or one more than the status knew when a new one came."""
    status = now.execution.status
    newest = now.pods[-1].name if now.pods else None
    return max(len(now.pods), status.attempts + (1 if newest is not None and newest != status.pod_name else 0))


def _judge(now: Situation, pod: PodFacts, attempts: int) -> End | Again:
    manifest = now.manifests[pod.uid]
    cancel = now.execution.spec.cancel
    undecided = manifest is None or manifest.outcome == INTERRUPTED
    if pod.status_reason == "DeadlineExceeded" and undecided and not cancel:
        if pod.started_at is None and not pod.terminated:
            return End(Reason.START_TIMED_OUT, "its pod did not start before the pod's deadline")
        return End(Reason.TIMED_OUT, "the pod's deadline ended it; the runner had not kept its own")
    said = termination_message(pod.message)
    return judge(
        AttemptEnd(
            exit_code=pod.exit_code,
            manifest=manifest,
            cancel_requested=cancel,
            disrupted=pod.disrupted,
            attempts=attempts,
            retries=now.job.retries if now.job is not None else now.execution.spec.retries or 0,
            out_of_memory=pod.oom_killed,
            message=said.message or pod.status_message,
        )
    )


def _judge_vanished(now: Situation, *, active: bool) -> Finish | Again | None:
    """What attempts say whose pods are gone: nobody saw their exit codes, so their manifests alone speak."""
    present = {pod.uid for pod in now.pods}
    again: Again | None = None
    total = _attempts(now)
    # Nobody knows which attempt of how many it was. While the Job goes on, the Job has decided that it was not the last one.
    going_on = active or (now.job is not None and not now.job.finished and total < ATTEMPTS_LIMIT)
    for attempt, manifest in now.manifests.items():
        if attempt in present or manifest is None:
            continue
        end = AttemptEnd(
            exit_code=None,
            manifest=manifest,
            cancel_requested=now.execution.spec.cancel and not now.pods,
            disrupted=True,
            attempts=1 if going_on else total,
            retries=now.job.retries if now.job is not None else now.execution.spec.retries or 0,
        )
        verdict = judge(end)
        if isinstance(verdict, End):
            return Finish(verdict, attempt)
        again = verdict
    if now.attempts_read_for is not None and again is None:
        again = Again(Reason.EVICTED, "its pod was taken away")
        if total >= ATTEMPTS_LIMIT and not active and not now.execution.spec.cancel:
            return Finish(End(Reason.EVICTED, f"its pod was taken away {total} times"), None)
    return again


def _ended(now: Situation, end: End, pod: PodFacts) -> Decision:
    # A pod that was told to go and still ends well is counted as a failure by some Job controllers, which then start another one
    # (kubernetes#115688). So the Job is stopped before the success is told, not after.
    if end.reason is Reason.SUCCEEDED and pod.disrupted and now.job is not None and not now.job.finished and not now.job.deleting:
        return StopJob(now.job.uid, "a pod that was told to go had already succeeded")
    seen = now.execution.status.start_time is not None
    attempt = pod.uid if now.manifests.get(pod.uid) is not None else None
    return Finish(end, attempt, None if seen else pod.started_at, None if seen else pod.finished_at)


def _without_job(now: Situation) -> Decision:
    if not now.confirmed:
        return Confirm()
    seen = now.execution.status.pod_name or ""
    if now.attempts_read_for != seen:
        return ReadAttempts(seen)
    kept = _last_manifest(now)
    if now.execution.spec.cancel:
        return _cancelled(kept)
    return Finish(End(Reason.JOB_LOST, "its Job was deleted from outside before it ended"), kept)


def _cancelling(now: Situation, active: list[PodFacts]) -> Decision:
    if now.job is not None and not now.job.deleting:
        return StopJob(now.job.uid, "cancelled on request")
    overdue = [pod for pod in active if pod.deletion is not None and pod.deletion + STOP_SLACK <= now.now]
    if active and len(overdue) == len(active):
        return _cancelled()  # their node does not answer; what they still do has no effect
    reason = now.execution.status.reason
    change = Change(reason, "being cancelled")
    if now.execution.status.message != change.message:
        return Update(change)
    return Wait(min((pod.deletion + STOP_SLACK for pod in active if pod.deletion), default=None))


def _after_the_job(now: Situation, job: JobFacts, again: Again | None) -> Decision:
    if again is not None:
        return Finish(End(again.reason, again.message), _last_manifest(now))
    if not now.confirmed:
        return Confirm()
    seen = now.execution.status.pod_name or ""
    if now.attempts_read_for != seen:
        return ReadAttempts(seen)
    return Finish(End(Reason.RUNNER_CRASHED, job.failed or "its pod is gone and has left no result"), _last_manifest(now))


def _last_manifest(now: Situation) -> str | None:
    return next((uid for uid, manifest in reversed(list(now.manifests.items())) if manifest is not None), None)


def _without_pod(now: Situation, job: JobFacts, again: Again | None) -> Decision:
    if job.deleting:
        return Wait()  # it will be gone in a moment, and that is another event
    if job.suspended:
        deadline = _queue_deadline(now.execution)
        if deadline <= now.now:
            return Finish(End(Reason.QUEUE_TIMED_OUT, "its Job was not let out of the queue in time"), None)
        return _told(
            now, Change(Reason.QUEUED, "its Job waits in the cluster's queue", job_name=job.name, job_uid=job.uid), deadline
        )
    since = max([job.start_time or job.created, *(pod.finished_at or pod.created for pod in now.pods)])
    if again is not None:
        # The controller waits longer after each attempt, up to six minutes (Kubernetes, "Pod backoff failure policy").
        since += timedelta(minutes=6)
    deadline = start_deadline(now.execution, since)
    if now.rejection is None and since + _EXPLAIN_AFTER <= now.now:
        return Explain()
    if deadline <= now.now:
        if now.rejection:
            return Finish(End(Reason.POD_REJECTED, now.rejection), _last_manifest(now))
        if again is not None:
            return Finish(End(again.reason, again.message), _last_manifest(now))
        return Finish(End(Reason.POD_REJECTED, "no pod was created for its Job, and the cluster does not say why"), None)
    message = now.rejection or (f"another attempt follows: {again.message}" if again is not None else "its Job waits for its pod")
    change = Change(Reason.SCHEDULED, message, job_name=job.name, job_uid=job.uid)
    return _told(now, change, deadline if now.rejection is not None else min(deadline, since + _EXPLAIN_AFTER))


def _attempt(now: Situation, policy: Policy, pod: PodFacts) -> Decision:
    execution, job = now.execution, now.job
    resolved = execution.status.resolved
    known = {
        "attempts": _attempts(now),
        "pod_name": pod.name,
        "job_name": None if job is None else job.name,
        "job_uid": None if job is None else job.uid,
    }
    if pod.running:
        allowed = (resolved.timeout_seconds if resolved else 0) + policy.publish_timeout
        overdue = start_deadline(execution, pod.created) + timedelta(seconds=allowed + 60) + STOP_SLACK
        if overdue <= now.now:
            return Finish(End(Reason.TIMED_OUT, "its pod outlived every deadline"), None)
        fresh = execution.status.pod_name != pod.name or execution.status.reason not in (Reason.RUNNING, Reason.PUBLISHING)
        if fresh:
            return Update(Change(Reason.RUNNING, start_time=now.now, **known))  # type: ignore[arg-type] # names and types are above
        due = (now.progress_read or execution.status.start_time or now.now) + timedelta(seconds=policy.progress_interval)
        return ReadProgress(pod.uid) if due <= now.now else Wait(min(due, overdue))
    waiting = waiting_state(pod)
    deadline = start_deadline(execution, pod.created)
    if waiting.misconfigured:
        deadline = min(deadline, pod.created + timedelta(seconds=policy.configuration_grace))
    if deadline <= now.now:
        return Finish(End(waiting.end, waiting.message), None)
    return _told(now, Change(waiting.reason, waiting.message, **known), deadline)  # type: ignore[arg-type] # as above


def _told(now: Situation, change: Change, until: datetime) -> Decision:
    """Update the status unless it says so already, then wait."""
    status = now.execution.status
    change = replace(change, message=change.message[:_MESSAGE])
    same = (
        status.reason is change.reason
        and status.message == change.message
        and change.job_uid in (None, status.job_uid)
        and change.pod_name in (None, status.pod_name)
        and (change.attempts or 0) <= status.attempts
    )
    return Wait(until) if same else Update(change)


def _lost(now: Situation) -> PodFacts | None:
    """A pod that should be gone and is not: its node does not answer. It is given as long as a start may take."""
    for pod in now.pods:
        if not pod.ended and pod.deletion is not None and start_deadline(now.execution, pod.deletion) <= now.now:
            return pod
    return None


def _after_the_end(now: Situation, policy: Policy) -> Decision:
    execution, status, job = now.execution, now.execution.status, now.job
    stored = status.condition("ResultsStored")
    if stored is None or stored.status != "True":
        return CloseRecord()
    ended = status.completion_time or now.now
    deadlines: list[datetime] = []
    if job is not None and not job.deleting:
        # A Job that would go on is stopped at once; one that has ended stays a while, for the pods' logs. Completion trails the pod's end.
        busy = any(not pod.ended for pod in now.pods)
        give = timedelta(0) if busy else timedelta(seconds=policy.job_ttl if job.finished else min(10, policy.job_ttl))
        if ended + give <= now.now:
            return StopJob(job.uid, "its execution has ended")
        deadlines.append(ended + give)
    default = policy.ttl_succeeded if status.reason is Reason.SUCCEEDED else policy.ttl_failed
    ttl = execution.spec.ttl_seconds_after_finished
    expiry = ended + timedelta(seconds=default if ttl is None else ttl)
    if expiry <= now.now:
        return DeleteResource()
    return Wait(min([*deadlines, expiry]))
