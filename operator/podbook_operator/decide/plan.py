"""The one decision about an execution, from the facts as they are now. Pure and level-triggered: no step remembers another.

Read it as a table, first match wins. What the reasons mean is in :mod:`podbook_core.execution.reasons`, what follows from the end of an attempt in
:mod:`podbook_core.execution.verdict`; here is what only a cluster knows: Jobs, pods, and deadlines by the API server's clock.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from podbook_core.execution.deadlines import (
    LONGEST_BACK_OFF,
    STOP_SLACK,
    pod_seconds,
    queue_deadline,
    start_deadline,
    start_timeout,
)
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change
from podbook_core.execution.verdict import Again, End
from podbook_operator.decide.attempts import attempts_begun, judge_pod, judge_vanished, last_manifest
from podbook_operator.decide.decisions import (
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
from podbook_operator.decide.situation import Policy, Situation
from podbook_operator.facts.observe import JobFacts, PodFacts, waiting_state

__all__ = ["plan"]

_STOP, _BACK_OFF = timedelta(seconds=STOP_SLACK), timedelta(seconds=LONGEST_BACK_OFF)
_MESSAGE = 1000
_PLACING = timedelta(seconds=2)
"""A pod that is placed sooner is not told of twice: each telling costs the API server as much as a pod's own."""
_EXPLAIN_AFTER = timedelta(seconds=5)
_EXPLAIN_EVERY = timedelta(seconds=60)


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


def _cancelled(attempt: str | None = None) -> Finish:
    return Finish(End(Reason.CANCELLED, "cancelled on request"), attempt)


def _in_the_queue(now: Situation) -> Decision:
    execution = now.execution
    if execution.spec.cancel:
        return _cancelled()
    deadline = queue_deadline(execution)
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
        verdict = judge_pod(now, pod, attempts_begun(status, now.pods) - (len(now.pods) - 1 - index))
        if isinstance(verdict, End):
            return _ended(now, verdict, pod)
        again = verdict
    vanished = status.pod_name if status.pod_name not in {pod.name for pod in now.pods} else None
    if vanished is not None and now.attempts_read_for != vanished:
        return ReadAttempts(vanished)
    gone = judge_vanished(now, active=bool(active))
    if isinstance(gone, Finish):
        return gone
    again = again or gone
    if job is None and not active:
        return _without_job(now)
    if now.execution.spec.cancel:
        return _cancelling(now, active)
    if lost is not None:
        return Finish(End(Reason.EVICTED, "its node stopped responding"), lost.uid)
    if job is not None and job.finished and not active:
        return _after_the_job(now, job, again)
    if active:
        return _attempt(now, policy, active[-1])
    # Without a pod: the Job waits for its queue, for its controller, or for the back-off before another attempt.
    return _without_pod(now, job, again) if job is not None else Wait()


def _ended(now: Situation, end: End, pod: PodFacts) -> Decision:
    # A pod that was told to go and still ends well is counted as a failure by some Job controllers, which then start another one
    # (kubernetes#115688). So the Job is stopped before the success is told, not after.
    if end.reason is Reason.SUCCEEDED and pod.disrupted and now.job is not None and not now.job.finished and not now.job.deleting:
        return StopJob(now.job.uid, "a pod that was told to terminate had already succeeded")
    seen = now.execution.status.start_time is not None
    attempt = pod.uid if now.manifests.get(pod.uid) is not None else None
    return Finish(end, attempt, None if seen else pod.started_at, None if seen else pod.finished_at)


def _without_job(now: Situation) -> Decision:
    if not now.confirmed:
        return Confirm()
    seen = now.execution.status.pod_name or ""
    if now.attempts_read_for != seen:
        return ReadAttempts(seen)
    kept = last_manifest(now)
    if now.execution.spec.cancel:
        return _cancelled(kept)
    return Finish(End(Reason.JOB_LOST, "its Job was deleted from outside before it ended"), kept)


def _cancelling(now: Situation, active: list[PodFacts]) -> Decision:
    if now.job is not None and not now.job.deleting:
        return StopJob(now.job.uid, "cancelled on request")
    overdue = [pod for pod in active if pod.deletion is not None and pod.deletion + _STOP <= now.now]
    if active and len(overdue) == len(active):
        return _cancelled()  # their node does not answer; what they still do has no effect
    reason = now.execution.status.reason
    change = Change(reason, "being cancelled")
    if now.execution.status.message != change.message:
        return Update(change)
    return Wait(min((pod.deletion + _STOP for pod in active if pod.deletion), default=None))


def _after_the_job(now: Situation, job: JobFacts, again: Again | None) -> Decision:
    if again is not None:
        return Finish(End(again.reason, again.message), last_manifest(now))
    if not now.confirmed:
        return Confirm()
    seen = now.execution.status.pod_name or ""
    if now.attempts_read_for != seen:
        return ReadAttempts(seen)
    return Finish(End(Reason.RUNNER_CRASHED, job.failed or "its pod no longer exists and left no result"), last_manifest(now))


def _without_pod(now: Situation, job: JobFacts, again: Again | None) -> Decision:
    if job.deleting:
        return Wait()  # it will be gone in a moment, and that is another event
    if job.suspended:
        deadline = queue_deadline(now.execution)
        if deadline <= now.now:
            return Finish(End(Reason.QUEUE_TIMED_OUT, "its Job was not admitted from the cluster's queue in time"), None)
        return _told(
            now, Change(Reason.QUEUED, "its Job is waiting in the cluster's queue", job_name=job.name, job_uid=job.uid), deadline
        )
    # By the API server's and the operator's clocks, never by a node's.
    since = max([job.start_time or job.created, *(pod.created for pod in now.pods), *filter(None, [now.attempt_over])])
    deadline = start_deadline(now.execution, since + (_BACK_OFF if again is not None else timedelta(0)))
    known = now.rejection if now.rejection is not None and now.rejection.since == since else None
    ask = _next_question(since, deadline, None if known is None else known.asked)
    if ask is not None and ask <= now.now:
        return Explain(since)
    why = "" if known is None else known.message
    if deadline <= now.now:
        if why:
            return Finish(End(Reason.POD_REJECTED, why), last_manifest(now))
        if again is not None:
            return Finish(End(again.reason, again.message), last_manifest(now))
        return Finish(End(Reason.POD_REJECTED, "no pod was created for its Job, for no reported reason"), None)
    message = why or (f"another attempt follows: {again.message}" if again is not None else "its Job is waiting for its pod")
    return _told(now, Change(Reason.SCHEDULED, message, job_name=job.name, job_uid=job.uid), ask or deadline)


def _next_question(since: datetime, deadline: datetime, asked: datetime | None) -> datetime | None:
    """When to ask why there is no pod: soon, then now and then, since a new cause may come up, and for the last time at the deadline."""
    if asked is None:
        return min(since + _EXPLAIN_AFTER, deadline)
    return min(asked + _EXPLAIN_EVERY, deadline) if asked < deadline else None


def _attempt(now: Situation, policy: Policy, pod: PodFacts) -> Decision:
    execution, job = now.execution, now.job
    resolved = execution.status.resolved
    known = {
        "attempts": attempts_begun(execution.status, now.pods),
        "pod_name": pod.name,
        "job_name": None if job is None else job.name,
        "job_uid": None if job is None else job.uid,
    }
    if pod.running:
        allowed = pod_seconds(
            start=start_timeout(execution.spec),
            timeout=resolved.timeout_seconds if resolved else 0,
            publish=policy.publish_timeout,
        )
        overdue = pod.created + timedelta(seconds=allowed) + _STOP
        if overdue <= now.now:
            return Finish(End(Reason.TIMED_OUT, "its pod exceeded every deadline"), None)
        fresh = execution.status.pod_name != pod.name or execution.status.reason not in (Reason.RUNNING, Reason.PUBLISHING)
        if fresh:
            return Update(Change(Reason.RUNNING, start_time=now.now, **known))  # type: ignore[arg-type] # names and types are above
        due = (now.progress_read or execution.status.start_time or now.now) + timedelta(seconds=policy.progress_interval)
        return ReadProgress(pod.uid) if due <= now.now else Wait(min(due, overdue))
    waiting = waiting_state(pod)
    deadline = start_deadline(execution, pod.created)
    placed = pod.created + _PLACING
    if waiting.reason is Reason.SCHEDULED and pod.unschedulable is None and now.now < placed:
        return Wait(placed)
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
    ended = status.completion_time or now.now
    deadlines: list[datetime] = []
    if job is not None and not job.deleting:
        # A Job that would go on is stopped at once, whether or not there is a store to keep the record: what it still did would count for
        # nothing. One that has ended stays a while, for the pods' logs. Completion trails the pod's end.
        over = all(pod.ended for pod in now.pods) and (job.finished or bool(now.pods))
        give = timedelta(seconds=(policy.job_ttl if job.finished else min(10, policy.job_ttl)) if over else 0)
        if ended + give <= now.now:
            return StopJob(job.uid, "its execution has ended")
        deadlines.append(ended + give)
    if not status.results_stored:
        return CloseRecord()
    default = policy.ttl_succeeded if status.reason is Reason.SUCCEEDED else policy.ttl_failed
    ttl = execution.spec.ttl_seconds_after_finished
    expiry = ended + timedelta(seconds=default if ttl is None else ttl)
    if expiry <= now.now:
        return DeleteResource()
    return Wait(min([*deadlines, expiry]))
