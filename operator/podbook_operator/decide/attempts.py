"""What the attempts of an execution say about it: those whose pods are there, and those that left no more than a manifest. Pure.

What follows from the end of one attempt is in :mod:`podbook_core.execution.verdict`; here is which attempt of how many it was, and what a pod adds.
"""

from collections.abc import Sequence

from podbook_core.execution.model import ATTEMPTS_LIMIT, Status
from podbook_core.execution.reasons import INTERRUPTED, ExitCode, Reason
from podbook_core.execution.verdict import Again, AttemptEnd, End, judge
from podbook_operator.decide.decisions import Finish
from podbook_operator.decide.situation import Situation
from podbook_operator.facts.observe import PodFacts, termination_message

__all__ = ["FINAL_EXIT_CODES", "attempts_begun", "judge_pod", "judge_vanished", "last_manifest"]

FINAL_EXIT_CODES = tuple(
    int(code) for code in ExitCode if code not in (ExitCode.SUCCEEDED, ExitCode.STORAGE_FAILED, ExitCode.INTERRUPTED)
)
"""Exit codes after which the Job fails at once: the same input would end the same way."""


def attempts_begun(status: Status, pods: Sequence[PodFacts]) -> int:
    """Attempts begun so far: those that are there, or one more than the status knew when a new one came. Pods oldest first."""
    newest = pods[-1].name if pods else None
    return max(len(pods), status.attempts + (1 if newest is not None and newest != status.pod_name else 0))


def judge_pod(now: Situation, pod: PodFacts, attempts: int) -> End | Again:
    """What follows from a pod that has ended, whose manifest was looked for. ``attempts`` counts those begun up to it, itself included."""
    manifest = now.manifests[pod.uid]
    cancel = now.execution.spec.cancel
    undecided = manifest is None or manifest.outcome == INTERRUPTED
    if pod.status_reason == "DeadlineExceeded" and undecided and not cancel:
        if pod.started_at is None and not pod.terminated:
            return End(Reason.START_TIMED_OUT, "its pod did not start before the pod's deadline")
        return End(Reason.TIMED_OUT, "the pod's deadline ended it; the runner had exceeded its own")
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


def judge_vanished(now: Situation, *, active: bool) -> Finish | Again | None:
    """What attempts report whose pods no longer exist: their exit codes were not observed, so only their manifests count."""
    present = {pod.uid for pod in now.pods}
    again: Again | None = None
    total = attempts_begun(now.execution.status, now.pods)
    # It is unknown which attempt of how many it was. While the Job goes on, the Job has decided that it was not the last one.
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
        again = Again(Reason.EVICTED, "its pod was removed")
        if total >= ATTEMPTS_LIMIT and not active and not now.execution.spec.cancel:
            return Finish(End(Reason.EVICTED, f"its pod was removed {total} times"), None)
    return again


def last_manifest(now: Situation) -> str | None:
    """The newest attempt that left a manifest, whose partial results are kept."""
    return next((uid for uid, manifest in reversed(list(now.manifests.items())) if manifest is not None), None)
