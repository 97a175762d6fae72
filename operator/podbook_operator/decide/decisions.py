"""What the operator may do next about one execution: the closed set of answers that :func:`podbook_operator.decide.plan.plan` gives.

Each is carried out by one function of :mod:`podbook_operator.act.reconcile`, may be carried out twice without harm, and is followed by another
look at the facts.
"""

from dataclasses import dataclass
from datetime import datetime

from podbook_core.execution.transitions import Change
from podbook_core.execution.verdict import End

__all__ = [
    "Accept",
    "CloseRecord",
    "Confirm",
    "Decision",
    "DeleteResource",
    "Explain",
    "Finish",
    "ReadAttempts",
    "ReadManifest",
    "ReadProgress",
    "Start",
    "StopJob",
    "Update",
    "Wait",
]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something happens, or until a moment."""

    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """Look up the notebook's version, check the parameters, and fix what will run; or refuse."""


@dataclass(frozen=True, slots=True)
class Start:
    """Create the Secret with signed access, then the Job."""


@dataclass(frozen=True, slots=True)
class Update:
    """Tell the status what was learned."""

    change: Change


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask the API server itself for Job and pods: what a watch has not shown may still exist."""


@dataclass(frozen=True, slots=True)
class Explain:
    """Find out why the Job controller cannot create a pod."""

    since: datetime
    """Since when there is none: what was said before was about another one."""


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """Read what one attempt says it did."""

    attempt: str


@dataclass(frozen=True, slots=True)
class ReadAttempts:
    """Read every manifest there is, because a pod is gone before its end was seen."""

    seen: str
    """The name of the pod that is gone, to remember that this was done for it."""


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """Read how far the running attempt is."""

    attempt: str


@dataclass(frozen=True, slots=True)
class StopJob:
    """Delete the Job, and with it its pods (SIGTERM, then the grace period)."""

    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The execution has ended: commit the record and make the status terminal."""

    end: End
    attempt: str | None
    """The attempt whose manifest decided, or whose partial results are kept."""
    start_time: datetime | None = None
    """When the attempt began, where the status does not know."""
    completion_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class CloseRecord:
    """The status is terminal, the record is not yet in the store."""


@dataclass(frozen=True, slots=True)
class DeleteResource:
    """Its time after the end is over; the record stays in the store."""


Decision = (
    Wait
    | Accept
    | Start
    | Update
    | Confirm
    | Explain
    | ReadManifest
    | ReadAttempts
    | ReadProgress
    | StopJob
    | Finish
    | CloseRecord
    | DeleteResource
)
