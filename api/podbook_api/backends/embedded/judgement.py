"""What the supervisor concludes from what it sees. Pure."""

from collections.abc import Callable
from datetime import datetime, timedelta

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution, Progress, Status
from podbook_core.execution.reasons import INTERRUPTED, Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.execution.verdict import Again, AttemptEnd, End, judge

__all__ = ["advanced", "queue_deadline", "showing", "verdict_on"]

_QUEUE_SECONDS = 86_400


def verdict_on(
    manifest: AttemptManifest | None,
    *,
    exit_code: int | None,
    late: bool,
    cancel_requested: bool,
    stopping: bool,
    status: Status,
    retries: int,
    message: str,
) -> End | Again:
    """What follows from the end of an attempt.

    Args:
        manifest: what the attempt left.
        exit_code: the runner's exit code, negative for a signal; None when nobody saw it.
        late: it was killed because it had run past every clock of its own.
        cancel_requested: the execution's end was asked for.
        stopping: the server stops, and had told the runner to.
        status: the execution's status, this attempt counted.
        retries: further attempts it may have.
        message: the runner's last words.
    """
    succeeded = manifest is not None and manifest.outcome == Reason.SUCCEEDED
    if late and (manifest is None or manifest.outcome == INTERRUPTED):
        seconds = status.resolved.timeout_seconds if status.resolved else 0
        return End(Reason.TIMED_OUT, f"the run did not end within {seconds} s, and its runner had to be killed")
    return judge(
        AttemptEnd(
            # Success was stored before the runner ended, so how it ended after that denies nothing.
            exit_code=None if succeeded else exit_code,
            manifest=manifest,
            cancel_requested=cancel_requested,
            disrupted=stopping or exit_code is None,
            attempts=status.attempts,
            retries=retries,
            message=message,
        )
    )


def queue_deadline(execution: NotebookExecution) -> datetime | None:
    """Until when an execution may wait for its first attempt; None once it had one."""
    if execution.status.attempts:
        return None
    since = execution.status.queued_time or execution.created
    return since + timedelta(seconds=execution.spec.queue_timeout_seconds or _QUEUE_SECONDS)


def advanced(execution: NotebookExecution, change: Change, now: datetime) -> NotebookExecution:
    """The execution after a change."""
    return execution.with_status(advance(execution.status, change, generation=execution.metadata.generation, now=now))


def showing(progress: Progress, now: datetime) -> Callable[[NotebookExecution], NotebookExecution]:
    """Makes the state in which an execution shows this progress."""
    done = progress.completed == progress.total > 0
    change = Change(Reason.PUBLISHING if done else Reason.RUNNING, progress=progress)
    return lambda known: advanced(known, change, now)
