"""What the client hands out: executions, notebooks, files and events as small frozen objects. Pure.

They are read leniently: a field a newer server adds is kept in ``document``, one it leaves out has its empty value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from podbook.errors import ExecutionFailed
from podbook_core.execution.reasons import Phase

__all__ = ["CellError", "Event", "Execution", "File", "Notebook", "Progress", "Published"]

_ENDED = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a notebook is, in code cells of the notebook as it was published."""

    completed: int
    total: int


@dataclass(frozen=True, slots=True)
class CellError:
    """Where a notebook failed. ``cell`` is counted from 0; None where no cell is to blame."""

    cell: int | None
    ename: str
    evalue: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a notebook, as it was when it was asked for."""

    id: str
    notebook: str
    version: str | None
    """Which version of the notebook runs; None before that is settled."""
    phase: str
    """Pending, Running, Succeeded, Failed or Cancelled."""
    reason: str
    """Where it is, or why it ended: one CamelCase word."""
    message: str
    parameters: Mapping[str, Any]
    progress: Progress | None
    error: CellError | None
    created: datetime | None
    started: datetime | None
    ended: datetime | None
    duration: float | None
    """Seconds from start to end."""
    attempts: int
    stored: bool
    """Whether the results can be read: condition ``ResultsStored``."""
    document: Mapping[str, Any] = field(repr=False)
    """The whole resource, as the server sent it."""

    @property
    def finished(self) -> bool:
        """Whether it has ended for good, well or not."""
        return self.phase in _ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.phase == Phase.SUCCEEDED

    def failure(self) -> ExecutionFailed:
        """The error that stands for its end."""
        error = self.error
        return ExecutionFailed(
            self.id,
            self.reason,
            self.message,
            cell=error.cell if error else None,
            ename=error.ename if error else None,
            evalue=error.evalue if error else None,
        )

    def after(self, event: "Event") -> "Execution":
        """The execution as an event of it tells; an event that tells nothing new changes nothing."""
        if "status" in event.data:
            return Execution.from_document({**self.document, **event.data})
        progress = _progress(event.data) or _progress(_mapping(event.data, "progress"))
        return self if progress is None else replace(self, progress=progress)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Execution":
        """Read the REST resource ``{id, metadata, spec, status}``."""
        metadata, spec, status = (_mapping(document, key) for key in ("metadata", "spec", "status"))
        notebook, error = _mapping(spec, "notebook"), _mapping(status, "error")
        conditions = status.get("conditions")
        return cls(
            id=str(document.get("id") or metadata.get("name") or ""),
            notebook=str(notebook.get("name") or ""),
            version=_mapping(status, "resolved").get("version") or notebook.get("version"),
            phase=str(status.get("phase") or Phase.PENDING),
            reason=str(status.get("reason") or "Pending"),
            message=str(status.get("message") or ""),
            parameters=_mapping(spec, "parameters"),
            progress=_progress(_mapping(status, "progress")),
            error=CellError(error.get("cell"), str(error.get("ename", "")), str(error.get("evalue", ""))) if error else None,
            created=_time(metadata.get("creationTimestamp")),
            started=_time(status.get("startTime")),
            ended=_time(status.get("completionTime")),
            duration=status.get("durationSeconds"),
            attempts=int(status.get("attempts") or 0),
            stored=any(
                item.get("type") == "ResultsStored" and item.get("status") == "True"
                for item in (conditions if isinstance(conditions, list) else ())
                if isinstance(item, dict)
            ),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class Notebook:
    """A published notebook. ``status`` is ``ready`` or ``broken``; ``message`` says why it is broken."""

    name: str
    version: str | None
    title: str | None
    description: str | None
    status: str
    message: str | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Notebook":
        """Read one entry of the catalogue."""
        return cls(
            name=str(document.get("name", "")),
            version=document.get("version"),
            title=document.get("title"),
            description=document.get("description"),
            status=str(document.get("status", "ready")),
            message=document.get("message"),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did. ``created`` is false when the name was published before."""

    name: str
    version: str
    created: bool


@dataclass(frozen=True, slots=True)
class File:
    """A file the notebook wrote. ``path`` is relative to its output directory, ``size`` in bytes."""

    path: str
    size: int
    media_type: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One Server-Sent Event of an execution. ``id`` is opaque and resumes the stream."""

    kind: str
    """``status``, ``progress``, or what a newer server may add."""
    id: str | None
    data: Mapping[str, Any]


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _progress(raw: Mapping[str, Any]) -> Progress | None:
    return Progress(int(raw["completed"]), int(raw["total"])) if "completed" in raw and "total" in raw else None


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
