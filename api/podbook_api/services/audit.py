"""What the services have to say for the audit log. The server of a request opens a note; what is added to it becomes part of the request's line.

A context variable, since the services know nothing of requests: HTTP, gRPC and whatever else there is notes the same facts.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["note", "noting"]

_NOTES: ContextVar[MutableMapping[str, Any] | None] = ContextVar("podbook_audit_notes", default=None)


@contextmanager
def noting(notes: MutableMapping[str, Any]) -> Iterator[None]:
    """Collect what is noted in this context, and in tasks that are started from it, in ``notes``."""
    token = _NOTES.set(notes)
    try:
        yield
    finally:
        _NOTES.reset(token)


def note(**facts: Any) -> None:
    """Add facts, such as ``execution``: never bodies, parameters or keys. Without effect when they are not collected."""
    notes = _NOTES.get()
    if notes is not None:
        notes.update(facts)
