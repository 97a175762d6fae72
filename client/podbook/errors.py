"""What can go wrong between a caller and Podbook, as one tree.

PodbookError
├── ServerUnreachableError      no server answers at the address
├── UnexpectedAnswerError       something answers, but not as Podbook does
├── StillRunningError           it had not ended within the time-out given; it goes on
├── ExecutionFailed             it ended, and not well: reason, cell, ename, evalue
└── ProblemError                the server refused the request (RFC 9457 problem)
    ├── AccessDeniedError       401, 403: no key, an unknown one, or one without the scope
    ├── NotFoundError           404: no such notebook, execution or artifact
    ├── NotFinishedError        409, code NotFinished: a result was asked for too early
    ├── InvalidRequestError     413, 422: parameters or notebook break a contract or a limit
    └── UnavailableError        429, 502, 503, 504: busy or down, still so after all retries
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AccessDeniedError",
    "ExecutionFailed",
    "InvalidRequestError",
    "NotFinishedError",
    "NotFoundError",
    "PodbookError",
    "ProblemError",
    "ServerUnreachableError",
    "StillRunningError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "Violation",
    "problem_error",
]


class PodbookError(Exception):
    """Base of all errors of the client."""


class ServerUnreachableError(PodbookError):
    """No server answers, although it was tried again for a while. ``url`` is the address that was tried."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"no Podbook server can be reached at {url}: {why}")
        self.url = url


class UnexpectedAnswerError(PodbookError):
    """The answer is not one of Podbook's: is the address right?"""


class StillRunningError(PodbookError):
    """The execution had not ended within the time-out the caller set. It goes on; wait again or cancel it."""

    def __init__(self, execution: str, timeout: float) -> None:
        super().__init__(f"execution {execution} has not ended within {timeout:g} s; it continues")
        self.execution = execution


class ExecutionFailed(PodbookError):  # noqa: N818 - what a caller catches by this name is an outcome, not a mistake in the call
    """An execution ended without success.

    Attributes:
        execution: its id.
        reason: why, one CamelCase word (see the reasons table), such as ``CellFailed``.
        message: the reason in a sentence.
        cell: index of the cell that failed in the notebook as it was published, counted from 0; None where none of its cells did.
        ename: name of the exception, as ``ValueError``; None where there was none.
        evalue: its message.
    """

    def __init__(
        self,
        execution: str,
        reason: str,
        message: str,
        *,
        cell: int | None = None,
        ename: str | None = None,
        evalue: str | None = None,
    ) -> None:
        raised = f"{ename}: {evalue}" if ename else ""
        where = "" if cell is None else f" in cell {cell}"
        what = message or f"{raised}{where}".strip()
        super().__init__(f"execution {execution} ended as {reason}{': ' if what else ''}{what}")
        self.execution, self.reason, self.message = execution, reason, message
        self.cell, self.ename, self.evalue = cell, ename, evalue


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request."""

    path: str
    """JSON pointer (RFC 6901) to the value, such as ``/customer_name``."""
    problem: str
    expected: str


class ProblemError(PodbookError):
    """The server refused a request.

    Attributes:
        status: HTTP status.
        code: stable CamelCase word for programs; empty when the answer had none.
        title: short text for people.
        detail: what was wrong, and what would be right.
        errors: each violation, where the problem lists them.
        problem: the whole problem document.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = _text(problem, "code")
        self.title = _text(problem, "title")
        self.detail = _text(problem, "detail")
        self.errors = tuple(_violations(problem.get("errors")))
        super().__init__(self.detail or self.title or f"the server answered with status {status}")


class AccessDeniedError(ProblemError):
    """No key, an unknown or expired key, or a key without the scope this needs."""


class NotFoundError(ProblemError):
    """There is no such notebook, execution or artifact, or the key may not see it."""


class NotFinishedError(ProblemError):
    """A result was asked for before the execution had ended."""


class InvalidRequestError(ProblemError):
    """The request breaks the notebook's contract or a limit; ``errors`` says where."""


class UnavailableError(ProblemError):
    """The server is too busy or cannot work at present, and still so after all retries."""


def _text(problem: Mapping[str, Any], key: str) -> str:
    value = problem.get(key)
    return value if isinstance(value, str) else ""


def _violations(raw: Any) -> list[Violation]:
    items = raw if isinstance(raw, list) else []
    return [
        Violation(_text(item, "path"), _text(item, "problem"), _text(item, "expected")) for item in items if isinstance(item, dict)
    ]


def problem_error(status: int, problem: Mapping[str, Any]) -> ProblemError:
    """The error that stands for a problem document."""
    match status:
        case 401 | 403:
            return AccessDeniedError(status, problem)
        case 404:
            return NotFoundError(status, problem)
        case 409 if problem.get("code") == "NotFinished":
            return NotFinishedError(status, problem)
        case 413 | 422:
            return InvalidRequestError(status, problem)
        case 429 | 502 | 503 | 504:
            return UnavailableError(status, problem)
        case _:
            return ProblemError(status, problem)
