"""From facts to status: pure. A terminal status is sticky, conditions follow from the reason, times only move forward."""

from dataclasses import dataclass
from datetime import datetime

from podbook_core.execution.manifest import AttemptManifest, OutputCheck, Pages
from podbook_core.execution.model import Condition, ErrorInfo, NotebookExecution, Progress, Resolved, Results, Status
from podbook_core.execution.progress import MAX_CELLS
from podbook_core.execution.reasons import Phase, Reason, is_terminal, phase_of
from podbook_core.execution.verdict import End
from podbook_core.text.clipping import clip

__all__ = ["CONDITION_TYPES", "Change", "advance", "advanced", "change_at_end", "change_of_progress", "is_settled", "mark_stored"]

CONDITION_TYPES = ("Accepted", "Started", "ResultsStored", "Finished", "Succeeded")
_REFUSED = (Reason.INVALID_PARAMETERS, Reason.NOTEBOOK_NOT_FOUND, Reason.CONFIGURATION_ERROR)
_STARTED = (Reason.RUNNING, Reason.PUBLISHING)
_MESSAGE_LIMIT = 1024
_PAGES_MESSAGE_LIMIT = 180
"""Shorter than others: with all of them at their longest, a status still stays below 16 KiB."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was learned. None means: nothing new about this."""

    reason: Reason
    message: str = ""
    attempts: int | None = None
    job_name: str | None = None
    job_uid: str | None = None
    pod_name: str | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    progress: Progress | None = None
    resolved: Resolved | None = None
    results: Results | None = None
    error: ErrorInfo | None = None
    pages: Pages | None = None
    """Whether the HTML pages were rendered; told by the condition ``PagesRendered``."""
    output: OutputCheck | None = None
    """Whether the output keeps its contract, where that fails nothing; told by the condition ``OutputValid``."""


def change_at_end(end: End, manifest: AttemptManifest | None) -> Change:
    """The change that ends an execution: what was decided, and what the attempt that decided it says of itself. Pure."""
    if manifest is None:
        return Change(end.reason, end.message, error=end.error)
    total = min(manifest.cells_total, MAX_CELLS)
    # A notebook could have written the manifest: more than all is all. Without cells the run never came to them.
    progress = Progress(completed=min(manifest.cells_completed, total), total=total) if total else None
    return Change(end.reason, end.message, error=end.error, progress=progress, pages=manifest.pages, output=manifest.output)


def change_of_progress(progress: Progress) -> Change:
    """The change that an attempt's progress makes: it runs, or it stores its results once every cell has ended. Pure."""
    done = 0 < progress.total <= progress.completed
    return Change(Reason.PUBLISHING if done else Reason.RUNNING, progress=progress)


def advance(status: Status, change: Change, *, generation: int | None, now: datetime) -> Status:
    """The status after a change.

    A terminal status is returned as it is, whatever the change says: nothing that has ended is told a second end. The same change
    twice gives the same status, whenever it comes.
    """
    if status.terminal:
        return status
    terminal = is_terminal(change.reason)
    start = change.start_time or status.start_time
    if start is None and change.reason in _STARTED:
        start = now
    completion = max(change.completion_time or now, start or now) if terminal else None
    # A field once known (job, resolved …) stays known; a new attempt brings new values for what belongs to an attempt.
    updated = status.model_copy(
        update={
            "observed_generation": generation,
            "phase": phase_of(change.reason),
            "reason": change.reason,
            "message": clip(change.message, _MESSAGE_LIMIT),
            "attempts": max(status.attempts, change.attempts or 0),
            "job_name": change.job_name or status.job_name,
            "job_uid": change.job_uid or status.job_uid,
            "pod_name": change.pod_name or status.pod_name,
            "queued_time": status.queued_time or (now if change.reason is not Reason.PENDING else None),
            "start_time": start,
            "completion_time": completion,
            "duration_seconds": round((completion - start).total_seconds(), 3) if completion and start else None,
            "progress": change.progress or status.progress,
            "resolved": change.resolved or status.resolved,
            "results": change.results or status.results,
            "error": change.error if terminal else None,
        }
    )
    return updated.model_copy(update={"conditions": _conditions(status, updated, now, pages=change.pages, output=change.output)})


def advanced(execution: NotebookExecution, change: Change, now: datetime) -> NotebookExecution:
    """The execution after a change, as :func:`advance`."""
    return execution.with_status(advance(execution.status, change, generation=execution.metadata.generation, now=now))


def is_settled(execution: NotebookExecution) -> bool:
    """Whether nothing more will happen to it: it has ended and its results are stored."""
    return execution.status.terminal and execution.status.results_stored


def mark_stored(status: Status, results: Results, *, now: datetime) -> Status:
    """The status of an ended execution once its record is in the store.

    Raises:
        ValueError: the execution has not ended.
    """
    if not status.terminal:
        raise ValueError("results are stored only at the end")
    updated = status.model_copy(update={"results": results})
    return updated.model_copy(update={"conditions": _conditions(status, updated, now, stored=True)})


def _conditions(
    before: Status,
    after: Status,
    now: datetime,
    *,
    stored: bool = False,
    pages: Pages | None = None,
    output: OutputCheck | None = None,
) -> list[Condition]:
    reason, started = after.reason, after.start_time is not None
    stored = stored or before.results_stored
    statuses = {
        "Accepted": "False" if reason in _REFUSED and not started else "Unknown" if reason is Reason.PENDING else "True",
        "Started": "True" if started else "False" if after.terminal else "Unknown",
        "ResultsStored": "True" if stored else "False",
        "Finished": "True" if after.terminal else "False",
        "Succeeded": "Unknown" if not after.terminal else "True" if after.phase is Phase.SUCCEEDED else "False",
    }
    conditions = []
    for kind in CONDITION_TYPES:
        known = before.condition(kind)
        changed = known is None or known.status != statuses[kind]
        conditions.append(
            Condition.model_validate(
                {
                    "type": kind,
                    "status": statuses[kind],
                    "reason": str(reason),
                    "message": after.message if kind == "Succeeded" else "",
                    "last_transition_time": now if changed or known is None else known.last_transition_time,
                    "observed_generation": after.observed_generation,
                }
            )
        )
    told = (
        before.condition("PagesRendered")
        if pages is None
        else _extra_condition("PagesRendered", pages.rendered, ("Rendered", str(Reason.RENDER_FAILED)), pages.message, after, now),
        before.condition("OutputValid")
        if output is None
        else _extra_condition("OutputValid", output.valid, ("Valid", str(Reason.INVALID_OUTPUT)), output.message, after, now),
    )
    return [*conditions, *(item for item in told if item is not None)]


def _extra_condition(  # noqa: PLR0917 - all of them are its content
    kind: str, holds: bool, reasons: tuple[str, str], message: str, after: Status, now: datetime
) -> Condition:
    """A condition about results that withholds nothing: what the cells gave is served whatever it says."""
    return Condition(
        type=kind,
        status="True" if holds else "False",
        reason=reasons[0] if holds else reasons[1],
        message=clip(message, _PAGES_MESSAGE_LIMIT),
        last_transition_time=now,
        observed_generation=after.observed_generation,
    )
