"""What follows from the end of an attempt: the end of the execution, or another attempt. Pure, for operator and supervisor alike."""

import signal
from dataclasses import dataclass

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import ATTEMPTS_LIMIT, ErrorInfo
from podbook_core.execution.reasons import INTERRUPTED, REASONS, ExitCode, Reason, Retry, outcome_of_exit_code

__all__ = ["Again", "AttemptEnd", "End", "judge"]


_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""SIGKILL, as Python and as container runtimes report it."""
_SIGNALLED = 128
"""Container runtimes report death by a signal as this and the signal's number."""
_UNEXPLAINED = 1
"""Attempts that may end by a signal to stop that is not known to come from outside."""


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """Everything known about an attempt that has ended."""

    exit_code: int | None
    """The runner's exit code; None when it was not observed."""
    manifest: AttemptManifest | None
    cancel_requested: bool
    disrupted: bool
    """It was ended from outside (drain, preemption, deletion, restart), or its end was not observed."""
    attempts: int
    """Attempts begun so far, this one included."""
    retries: int
    """``spec.retries``."""
    out_of_memory: bool = False
    """The kernel's or container's death was an out-of-memory kill. Only ever explains a failure."""
    message: str = ""
    """What the runner or the platform said, for people."""


@dataclass(frozen=True, slots=True)
class End:
    """The execution has ended."""

    reason: Reason
    message: str
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt follows. The reason says why."""

    reason: Reason
    message: str


def judge(end: AttemptEnd) -> End | Again:
    """Decide, from the manifest first, then the exit code, then the circumstances.

    Success needs a Succeeded manifest and an exit code that does not deny it, and beats a cancel. Cancelled needs a cancel. An
    interrupted attempt proves nothing: it is another attempt, until there were five.
    """
    manifest = end.manifest
    # Killed from outside after its last word: the work is done. Without a disruption its own notebook may have killed it.
    undenied = end.exit_code in (None, 0) or (end.disrupted and end.exit_code in _KILLED)
    if manifest is not None and manifest.outcome == Reason.SUCCEEDED and undenied:
        return End(Reason.SUCCEEDED, "")
    if manifest is not None and manifest.outcome not in (INTERRUPTED, Reason.SUCCEEDED):
        return _ended(Reason(manifest.outcome), manifest.message, end, _error(manifest))
    if end.cancel_requested:
        return End(Reason.CANCELLED, "cancelled on request")
    interrupted = (manifest is not None and manifest.outcome == INTERRUPTED) or end.exit_code == ExitCode.INTERRUPTED
    if interrupted and not end.disrupted and end.attempts > _UNEXPLAINED:
        # A pod that is drained, preempted or deleted says so, and a supervisor knows whom it told to stop. Once is given to chance.
        return End(Reason.KERNEL_DIED, f"{end.attempts} times the runner was told to stop, each time by its own notebook")
    if interrupted or end.disrupted:
        if end.attempts < ATTEMPTS_LIMIT:
            return Again(Reason.EVICTED, end.message or "the attempt was interrupted from outside")
        return End(Reason.EVICTED, f"interrupted from outside {end.attempts} times" + (f": {end.message}" if end.message else ""))
    if end.out_of_memory:
        return _ended(Reason.OUT_OF_MEMORY, end.message or "the container was killed because it ran out of memory", end, None)
    if end.exit_code is not None and _killed(end.exit_code):
        # The platform's kills are known by now: memory, deadlines, disruptions. What is left runs beside the runner: the notebook.
        message = (
            f"the runner was killed by {_signal_name(end.exit_code)} while the notebook ran, and nothing from outside explains it"
        )
        again = _ended(Reason.RUNNER_CRASHED, message, end, None)
        return again if isinstance(again, Again) else End(Reason.KERNEL_DIED, message)
    reason = Reason.RUNNER_CRASHED if end.exit_code is None else outcome_of_exit_code(end.exit_code)
    if reason is None or reason is Reason.SUCCEEDED:
        # Exit code 0 without a manifest that says so: the notebook ended the runner from within.
        reason = Reason.RUNNER_CRASHED
    message = end.message
    if not message and reason is Reason.RUNNER_CRASHED:
        message = "the runner ended without a result" + ("" if end.exit_code is None else f" (exit code {end.exit_code})")
    return _ended(reason, message, end, None)


def _killed(exit_code: int) -> bool:
    """Whether a signal ended the process, as Python (negative) and as container runtimes (128 and more) report it."""
    return exit_code < 0 or exit_code > _SIGNALLED


def _signal_name(exit_code: int) -> str:
    number = -exit_code if exit_code < 0 else exit_code - _SIGNALLED
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _error(manifest: AttemptManifest) -> ErrorInfo | None:
    error = manifest.error
    return None if error is None else ErrorInfo(cell=error.cell, ename=error.ename, evalue=error.evalue)


def _ended(reason: Reason, message: str, end: AttemptEnd, error: ErrorInfo | None) -> End | Again:
    if REASONS[reason].retry is Retry.BUDGET and not end.cancel_requested and end.attempts <= min(end.retries, ATTEMPTS_LIMIT - 1):
        return Again(reason, message)
    return End(reason, message or REASONS[reason].meaning, error)
