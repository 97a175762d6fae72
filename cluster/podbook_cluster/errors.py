"""What can go wrong with a request to the API server."""

from podbook_cluster.answers import Meaning, classify, message_of, missing_right

__all__ = [
    "AnsweredError",
    "ClusterError",
    "ClusterUnavailableError",
    "ConflictError",
    "MissingRightError",
    "NoClusterError",
    "NotFoundError",
    "QuotaUsedUpError",
    "RefusedError",
    "error_from_answer",
]

_LONGEST_MESSAGE = 1000


class ClusterError(Exception):
    """Base of all.

    ClusterError
    ├── AnsweredError               the API server says no; trying the same again does not help
    │   ├── NotFoundError           the object is not there (404)
    │   ├── ConflictError           it exists already, or has changed since it was read (409)
    │   └── RefusedError            the API server does not accept it (other 4xx)
    │       └── QuotaUsedUpError    a ResourceQuota is used up; there is room again once something has gone
    └── ClusterUnavailableError     the API server cannot be reached, is overloaded, or has an error of its own
        ├── MissingRightError       it does not allow this account to do so, or does not know yet that it does
        └── NoClusterError          there is no usable configuration for a cluster
    """


class AnsweredError(ClusterError):
    """An answer that is not a success. ``status`` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotFoundError(AnsweredError):
    """The object is not there."""

    def __init__(self, message: str = "not found") -> None:
        super().__init__(404, message)


class ConflictError(AnsweredError):
    """It exists already, or has changed since it was read."""

    def __init__(self, message: str = "conflict") -> None:
        super().__init__(409, message)


class RefusedError(AnsweredError):
    """The API server does not accept it."""


class QuotaUsedUpError(RefusedError):
    """A ResourceQuota is used up. ``quota`` is what the API server says of it; ``retry_after`` is in seconds, where it said so."""

    def __init__(self, message: str, quota: str, retry_after: float | None = None) -> None:
        super().__init__(403, message)
        self.quota = quota
        self.retry_after = retry_after


class ClusterUnavailableError(ClusterError):
    """Trying again later may help. ``retry_after`` is in seconds, where the server said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MissingRightError(ClusterUnavailableError):
    """This account lacks a permission; the administrator has to grant it. ``right`` says which."""

    def __init__(self, message: str, right: str, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after)
        self.right = right


class NoClusterError(ClusterUnavailableError):
    """There is no usable configuration for a cluster."""


def error_from_answer(status: int, data: bytes, retry_after: str | None = None) -> ClusterError:
    """What an answer that is not a success means: its HTTP status, its body, and its Retry-After header (seconds). Pure."""
    reason, said = message_of(data)
    message = said[:_LONGEST_MESSAGE] or f"HTTP {status}"
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
    match classify(status, reason, message):
        case Meaning.NOT_FOUND:
            return NotFoundError(message)
        case Meaning.CONFLICT:
            return ConflictError(message)
        case Meaning.UNAVAILABLE:
            return ClusterUnavailableError(f"the API server answers {status}: {message}", wait)
        case Meaning.NO_RIGHT:
            return MissingRightError(message, missing_right(message), wait)
        case Meaning.QUOTA:
            return QuotaUsedUpError(message, message.partition(" is forbidden: ")[2], wait)
        case _:
            return RefusedError(status, message)
