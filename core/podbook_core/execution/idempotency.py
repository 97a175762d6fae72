"""Idempotency keys: the same key of the same caller for the same notebook leads to one execution, until a day after its end. Pure.

The entry of a key says which request it was first used with, and the execution's name. The name is derived from the key, so that the
execution itself is the lock; and the execution says which request made it, so that it is never taken for another one's.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from podbook_core.execution.model import NotebookExecution, NotebookRef, Spec
from podbook_core.text.names import execution_name_for_key

__all__ = ["REQUEST_ANNOTATION", "Create", "Decision", "Entry", "Replay", "Reused", "Take", "decide", "expired", "idempotency_over"]

REQUEST_ANNOTATION = "podbook.dev/request-digest"
"""Annotation of an execution that an idempotency key made: digest of the request."""
KEPT_AFTER_END = timedelta(hours=24)
"""How long after the end of its execution an idempotency key leads to it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What an idempotency key stands for."""

    body_digest: str
    """SHA-256 of the canonical JSON of what was asked for."""
    name: str
    """Name of the execution."""
    time: datetime
    """When the key was first used."""
    released: bool = False
    """Whether nothing came of it: the request was refused after the key had been taken, so that another one may have it."""

    def to_json(self) -> bytes:
        """The document in the store."""
        document: dict[str, Any] = {"bodyDigest": self.body_digest, "name": self.name, "time": self.time.isoformat()}
        return json.dumps({**document, "released": True} if self.released else document).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the document.

        Raises:
            ValueError: it is not one.
        """
        try:
            raw = json.loads(data)
            body, name, time = raw["bodyDigest"], raw["name"], datetime.fromisoformat(raw["time"])
            if time.tzinfo is None or not isinstance(body, str) or not isinstance(name, str):
                raise ValueError("the entry is malformed (a member has another type)")
            return cls(body, name, time, raw.get("released") is True)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"the entry is malformed ({type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class Replay:
    """The execution that is there is the answer."""

    execution: NotebookExecution


@dataclass(frozen=True, slots=True)
class Reused:
    """The key belongs to another request."""

    since: datetime


@dataclass(frozen=True, slots=True)
class Take:
    """Write this entry, unless another request is faster, and decide again."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Create:
    """The key is this request's, and the execution is missing."""

    name: str


Decision = Replay | Reused | Take | Create


def decide(
    entry: Entry | None, execution: NotebookExecution | None, wanted: NotebookExecution, *, digest: str, now: datetime
) -> Decision:
    """What to do about a request with an idempotency key.

    Args:
        entry: what is stored of the key.
        execution: the newest one of the entry's name, alive or from its record, of any caller.
        wanted: what the request would create, with its digest as :data:`REQUEST_ANNOTATION`.
        digest: what the key stands for.
        now: the present.
    """
    body, notebook = wanted.metadata.annotations[REQUEST_ANNOTATION], wanted.spec.notebook.name
    if entry is None:
        return Take(Entry(body, execution_name_for_key(notebook, digest), now))
    renewed = Take(Entry(body, execution_name_for_key(notebook, digest, renewed=now), now))
    if execution is None:
        if entry.released:
            return Take(replace(entry, body_digest=body, time=now, released=False))
        if expired(entry, None, now=now):
            return renewed
        return Create(entry.name) if entry.body_digest == body else Reused(entry.time)
    being_deleted = execution.metadata.deletion_timestamp is not None
    if being_deleted or not _same_caller(execution, wanted) or expired(entry, execution, now=now):
        return renewed
    return Replay(execution) if _same_request(execution, wanted, entry) else Reused(entry.time)


def expired(entry: Entry, execution: NotebookExecution | None, *, now: datetime) -> bool:
    """Whether a key may be used for something new: a day after the end, or after the first use when there is no such execution."""
    if execution is None:
        return idempotency_over(None, entry.time, alive=False, now=now)
    return idempotency_over(execution.status.completion_time, entry.time, alive=not execution.status.terminal, now=now)


def _same_caller(execution: NotebookExecution, wanted: NotebookExecution) -> bool:
    return (execution.spec.submitted_by, execution.spec.notebook.name) == (wanted.spec.submitted_by, wanted.spec.notebook.name)


def _same_request(execution: NotebookExecution, wanted: NotebookExecution, entry: Entry) -> bool:
    body = wanted.metadata.annotations[REQUEST_ANNOTATION]
    made_by = execution.metadata.annotations.get(REQUEST_ANNOTATION)
    if made_by is not None:
        return made_by == body
    # Made by a version that noted no digest. The entry alone does not say it: it may be newer than the execution.
    versions = (execution.spec.notebook.version, wanted.spec.notebook.version)
    if _fixed(execution.spec) != _fixed(wanted.spec) or (None not in versions and versions[0] != versions[1]):
        return False
    return entry.body_digest == body or execution.metadata.labels == wanted.metadata.labels


def _fixed(spec: Spec) -> Spec:
    """What of a spec cannot change, without the version, which is settled when the execution is created."""
    return spec.model_copy(
        update={"notebook": NotebookRef(name=spec.notebook.name), "cancel": False, "ttl_seconds_after_finished": None}
    )


def idempotency_over(ended: datetime | None, used: datetime, *, alive: bool, now: datetime) -> bool:
    """Whether an idempotency key may be used for something else.

    Args:
        ended: when its execution ended; None when there is no record of one.
        used: when the key was first used.
        alive: its execution has not ended.
        now: the present.
    """
    if alive:
        return False
    return (ended or used) + KEPT_AFTER_END <= now
