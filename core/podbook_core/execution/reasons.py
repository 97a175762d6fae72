"""Why an execution is where it is: one enum, one table, one set of exit codes, for every part and for the docs.

The table answers, for each reason: whose fault it is, whether it is tried again, which HTTP status a request for the output of
such a run gets, and what to do. Reasons are an interface: adding one is a feature, renaming one is a breaking change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType

__all__ = [
    "INTERRUPTED",
    "REASONS",
    "ExitCode",
    "Fault",
    "Phase",
    "Reason",
    "ReasonInfo",
    "Retry",
    "is_terminal",
    "known_reason",
    "outcome_of_exit_code",
    "phase_of",
]


class Phase(StrEnum):
    """The coarse state of an execution, derived from its reason: for columns and filters, never a source of truth."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class Fault(StrEnum):
    """Who has to act when an execution ends this way."""

    NOBODY = "nobody"
    CALLER = "caller"
    NOTEBOOK = "notebook"
    PLATFORM = "platform"


class Retry(StrEnum):
    """Whether another attempt follows by itself."""

    NEVER = "never"
    """The same input would end the same way."""
    BUDGET = "retries"
    """As often as ``spec.retries`` allows."""
    DISRUPTION = "disruption"
    """Always, up to five attempts in all: the attempt was interrupted from outside and proved nothing."""


class Reason(StrEnum):
    """One CamelCase word for the state or the end of an execution (Kubernetes API conventions, `reason`)."""

    PENDING = "Pending"
    QUEUED = "Queued"
    SCHEDULED = "Scheduled"
    STARTING = "Starting"
    RUNNING = "Running"
    PUBLISHING = "Publishing"
    SUCCEEDED = "Succeeded"
    CELL_FAILED = "CellFailed"
    KERNEL_DIED = "KernelDied"
    OUT_OF_MEMORY = "OutOfMemory"
    TIMED_OUT = "TimedOut"
    QUEUE_TIMED_OUT = "QueueTimedOut"
    START_TIMED_OUT = "StartTimedOut"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    POD_REJECTED = "PodRejected"
    CONFIGURATION_ERROR = "ConfigurationError"
    EVICTED = "Evicted"
    INVALID_NOTEBOOK = "InvalidNotebook"
    NOTEBOOK_NOT_FOUND = "NotebookNotFound"
    INVALID_PARAMETERS = "InvalidParameters"
    INVALID_OUTPUT = "InvalidOutput"
    STORAGE_FAILED = "StorageFailed"
    RENDER_FAILED = "RenderFailed"
    CANCELLED = "Cancelled"
    JOB_LOST = "JobLost"
    RUNNER_CRASHED = "RunnerCrashed"


INTERRUPTED = "Interrupted"
"""The outcome of an attempt that was told to stop (SIGTERM). Never the reason of an execution: what follows from it, another
attempt, ``Cancelled`` or ``Evicted``, is decided where it is known why it was told to stop."""


class ExitCode(IntEnum):
    """The runner's exit codes: its interface to operator and supervisor. Anything else means the runner itself died."""

    SUCCEEDED = 0
    CELL_FAILED = 10
    KERNEL_DIED = 11
    OUT_OF_MEMORY = 12
    TIMED_OUT = 13
    INVALID_NOTEBOOK = 14
    INVALID_PARAMETERS = 15
    INVALID_OUTPUT = 16
    NOTEBOOK_NOT_FOUND = 17
    RENDER_FAILED = 18
    CONFIGURATION_ERROR = 19
    STORAGE_FAILED = 20
    INTERRUPTED = 30


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """One row of the reasons table."""

    phase: Phase
    fault: Fault
    retry: Retry
    http_status: int
    """Status of a request for the output of an execution in this state (409 while it is not finished)."""
    meaning: str
    advice: str
    exit_code: ExitCode | None = None


def _active(phase: Phase, meaning: str, advice: str) -> ReasonInfo:
    return ReasonInfo(phase, Fault.NOBODY, Retry.NEVER, 409, meaning, advice)


_P, _F, _R = Phase.PENDING, Phase.FAILED, Phase.RUNNING

REASONS: Mapping[Reason, ReasonInfo] = MappingProxyType(
    {
        Reason.PENDING: _active(_P, "Created, not yet reconciled.", "Wait; if it persists, check that the operator is running."),
        Reason.QUEUED: _active(
            _P,
            "Accepted and waiting for a free slot.",
            "Wait, or raise the concurrency limit; queueTimeoutSeconds bounds it.",
        ),
        Reason.SCHEDULED: _active(_P, "Its Job exists, its pod is being scheduled.", "Wait; startTimeoutSeconds bounds it."),
        Reason.STARTING: _active(_P, "Its container is starting.", "Wait; startTimeoutSeconds bounds it."),
        Reason.RUNNING: _active(_R, "Cells are being executed.", "Follow it at /events, or cancel it."),
        Reason.PUBLISHING: _active(_R, "The cells have run; results are being stored.", "Wait a moment."),
        Reason.SUCCEEDED: ReasonInfo(
            Phase.SUCCEEDED,
            Fault.NOBODY,
            Retry.NEVER,
            200,
            "Every cell ran and the output satisfies the contract.",
            "Read the output.",
            ExitCode.SUCCEEDED,
        ),
        Reason.CELL_FAILED: ReasonInfo(
            _F,
            Fault.NOTEBOOK,
            Retry.NEVER,
            424,
            "A cell raised an exception.",
            "Read error.cell, error.ename and error.evalue; the HTML shows the traceback.",
            ExitCode.CELL_FAILED,
        ),
        Reason.KERNEL_DIED: ReasonInfo(
            _F,
            Fault.NOTEBOOK,
            Retry.NEVER,
            424,
            "The kernel ended while a cell was running, or a signal ended the runner, and no time-out, memory or disruption explains it: "
            "what runs beside the runner is the notebook. The latter is retried as often as retries allow.",
            "Look at the last cell of the partial notebook: native code, os._exit, or a signal to another process.",
            ExitCode.KERNEL_DIED,
        ),
        Reason.OUT_OF_MEMORY: ReasonInfo(
            _F,
            Fault.NOTEBOOK,
            Retry.NEVER,
            424,
            "The notebook reached its memory limit.",
            "Use less memory, or a profile with more memory.",
            ExitCode.OUT_OF_MEMORY,
        ),
        Reason.TIMED_OUT: ReasonInfo(
            _F,
            Fault.NOTEBOOK,
            Retry.NEVER,
            504,
            "The run did not end within timeoutSeconds.",
            "Raise timeoutSeconds in the contract or the request, or make the notebook faster.",
            ExitCode.TIMED_OUT,
        ),
        Reason.QUEUE_TIMED_OUT: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.NEVER,
            503,
            "It waited in the queue longer than queueTimeoutSeconds.",
            "Try again later; raise the concurrency limit or queueTimeoutSeconds.",
        ),
        Reason.START_TIMED_OUT: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.NEVER,
            503,
            "Its pod did not start within startTimeoutSeconds, and no more specific reason is known.",
            "Look at the pod's events; raise startTimeoutSeconds if nodes are added on demand.",
        ),
        Reason.IMAGE_PULL_FAILED: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.NEVER,
            503,
            "The profile's image could not be pulled.",
            "Check the image's name, its registry and the pull secret of the profile.",
        ),
        Reason.UNSCHEDULABLE: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.NEVER,
            503,
            "No node could take the pod within startTimeoutSeconds.",
            "Lower the profile's requests, add nodes, or check nodeSelector and tolerations.",
        ),
        Reason.POD_REJECTED: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.NEVER,
            503,
            "The cluster refused to create the pod (quota, limit range, Pod Security).",
            "Read the message: raise the quota or fix the profile.",
        ),
        Reason.CONFIGURATION_ERROR: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.NEVER,
            503,
            "The platform is misconfigured: an unknown profile, a bad image name, a missing secret, a bad task, a runner that cannot be "
            "started.",
            "Read the message and fix the profile or the installation.",
            ExitCode.CONFIGURATION_ERROR,
        ),
        Reason.EVICTED: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.DISRUPTION,
            503,
            "The cluster took the pod away too often (drain, preemption, node pressure, deletion by hand).",
            "Run it again; if it recurs, check the nodes and the pod's requests.",
        ),
        Reason.INVALID_NOTEBOOK: ReasonInfo(
            _F,
            Fault.NOTEBOOK,
            Retry.NEVER,
            424,
            "The file is not a notebook of nbformat 4, its assets clash, or it needs a kernel of another language that is not installed.",
            "Fix the notebook as the message says and publish it again.",
            ExitCode.INVALID_NOTEBOOK,
        ),
        Reason.NOTEBOOK_NOT_FOUND: ReasonInfo(
            _F,
            Fault.CALLER,
            Retry.NEVER,
            424,
            "No notebook of that name and version is published.",
            "Check the name, or publish the notebook first.",
            ExitCode.NOTEBOOK_NOT_FOUND,
        ),
        Reason.INVALID_PARAMETERS: ReasonInfo(
            _F,
            Fault.CALLER,
            Retry.NEVER,
            422,
            "The parameters violate the notebook's input contract.",
            "The message names each parameter, its problem and what was expected.",
            ExitCode.INVALID_PARAMETERS,
        ),
        Reason.INVALID_OUTPUT: ReasonInfo(
            _F,
            Fault.NOTEBOOK,
            Retry.NEVER,
            424,
            "The output violates the notebook's output contract, or is missing or too large.",
            "Fix the notebook's save_output call or the contract.",
            ExitCode.INVALID_OUTPUT,
        ),
        Reason.STORAGE_FAILED: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.BUDGET,
            503,
            "Input could not be fetched or results could not be stored.",
            "Check the object store; then run it again.",
            ExitCode.STORAGE_FAILED,
        ),
        Reason.RENDER_FAILED: ReasonInfo(
            _F,
            Fault.NOTEBOOK,
            Retry.NEVER,
            424,
            "The HTML could not be rendered. A final reason only with runner images before 0.2.",
            "The output is available: since 0.2 such a run succeeds, and the condition PagesRendered says why there are no pages.",
            ExitCode.RENDER_FAILED,
        ),
        Reason.CANCELLED: ReasonInfo(
            Phase.CANCELLED,
            Fault.CALLER,
            Retry.NEVER,
            409,
            "It was cancelled; partial results are kept.",
            "Run it again if that was not intended.",
        ),
        Reason.JOB_LOST: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.NEVER,
            503,
            "Its Job was deleted from outside before it ended.",
            "Run it again.",
        ),
        Reason.RUNNER_CRASHED: ReasonInfo(
            _F,
            Fault.PLATFORM,
            Retry.BUDGET,
            503,
            "The runner exited by itself without a result.",
            "Read the log; run it again.",
        ),
    }
)
"""Every reason's row. Total: a test asserts that no reason is missing."""


_STAND_INS: Mapping[str, Reason] = {
    Phase.PENDING: Reason.PENDING,
    Phase.RUNNING: Reason.RUNNING,
    Phase.SUCCEEDED: Reason.SUCCEEDED,
    Phase.CANCELLED: Reason.CANCELLED,
    # The cause is not known; that this version and what it reads do not fit together is.
    Phase.FAILED: Reason.CONFIGURATION_ERROR,
}


def phase_of(reason: Reason) -> Phase:
    """The phase a reason belongs to."""
    return REASONS[reason].phase


def is_terminal(reason: Reason) -> bool:
    """Whether an execution with this reason has ended for good."""
    return phase_of(reason) not in (Phase.PENDING, Phase.RUNNING)


def known_reason(reason: str, phase: str | None) -> Reason:
    """A stored reason as this version knows it; one of a newer version becomes the one that says most of what its phase says. Pure.

    An end stays an end, so that a rollback neither runs anything again nor waits for what is over.
    """
    try:
        return Reason(reason)
    except ValueError:
        return _STAND_INS.get(phase or "", Reason.PENDING)


def outcome_of_exit_code(code: int) -> Reason | None:
    """The reason a runner's exit code stands for.

    Returns:
        None for ``Interrupted``, which does not decide a reason; ``RunnerCrashed`` for every code the runner never uses.
    """
    if code == ExitCode.INTERRUPTED:
        return None
    for reason, info in REASONS.items():
        if info.exit_code is not None and info.exit_code == code:
            return reason
    return Reason.RUNNER_CRASHED
