"""What an answer of a Kubernetes API server that is not a success means. Pure: API and operator decide by it alike."""

from enum import Enum

from podbook_core.text.json_depth import parse_document

__all__ = ["Meaning", "classify", "message_of", "missing_right"]

_FORBIDDEN = " is forbidden: "
_USER = 'User "'
_NOT_READY = ("not yet ready to handle request", "status unknown for quota")
"""How a 403 goes on that says nothing about the object: an API server that has just started refuses every object until its admission
plugins have read what they need; so does a quota that has not been counted yet."""
_QUOTA = ("exceeded quota: ", "exceeded quota ")


class Meaning(Enum):
    """What follows from an answer."""

    NOT_FOUND = "the object does not exist"
    CONFLICT = "it already exists, or has changed since it was read"
    QUOTA = "a ResourceQuota is exhausted; retry once something has been deleted"
    NO_RIGHT = "this client's account is not allowed to do this, or the server has just started and does not know its rights yet"
    UNAVAILABLE = "the server is overloaded, failed internally, or did not authenticate this client; retrying may help"
    REFUSED = "the server rejects it; retrying does not help"


def classify(status: int, reason: str, message: str) -> Meaning:
    """What an answer means.

    Args:
        status: its HTTP status, 400 or more.
        reason: ``reason`` of its ``Status`` object, empty where there is none.
        message: ``message`` of the same.
    """
    if status == 404:
        return Meaning.NOT_FOUND
    if status == 409:
        return Meaning.CONFLICT
    if status in (401, 408, 429) or status >= 500:
        return Meaning.UNAVAILABLE
    if status == 403 and reason in ("", "Forbidden"):
        why = message.partition(_FORBIDDEN)[2]
        if why.startswith(_USER):
            return Meaning.NO_RIGHT
        if why.startswith(_NOT_READY):
            return Meaning.UNAVAILABLE
        if why.startswith(_QUOTA):
            return Meaning.QUOTA
    return Meaning.REFUSED


def missing_right(message: str) -> str:
    """Which right is missing, from the message of :attr:`Meaning.NO_RIGHT`: ``cannot create resource "pods" in …``, without the account."""
    why = message.partition(_FORBIDDEN)[2]
    found = why.find('" cannot ')
    return why[found + 2 :] if found >= 0 else "(the API server does not say which)"


def message_of(data: bytes) -> tuple[str, str]:
    """``reason`` and ``message`` of an answer's body; the body's start as message if it is not a ``Status`` object."""
    try:
        raw = parse_document(data)
        return str(raw.get("reason") or ""), str(raw.get("message") or "")
    except (ValueError, AttributeError):
        return "", data[:200].decode(errors="replace")
