"""Plain data for the core's tests."""

from datetime import UTC, datetime
from typing import Any

from podbook_core.execution.manifest import AttemptManifest, CellError, StoredFile
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec, Status
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import Version

NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "0" * 64


def execution(uid: str = "u1", name: str = "analysis-1", *, created: datetime = NOW, **spec: Any) -> NotebookExecution:
    """An execution that was just created."""
    return NotebookExecution(
        metadata=Metadata(name=name, uid=uid, creation_timestamp=created),
        spec=Spec(**{"notebook": NotebookRef(name="analysis"), **spec}),
    )


def ended(
    reason: Reason = Reason.SUCCEEDED, uid: str = "u1", name: str = "analysis-1", *, created: datetime = NOW, **spec: Any
) -> NotebookExecution:
    """An execution that has ended."""
    item = execution(uid, name, created=created, **spec)
    return item.with_status(advance(item.status, Change(reason, message=f"ended as {reason}"), generation=1, now=NOW))


def manifest(
    outcome: str = "Succeeded", *files: StoredFile, error: CellError | None = None, attempt: str = "p1"
) -> AttemptManifest:
    """What an attempt says of itself."""
    return AttemptManifest(
        uid="u1",
        attempt=attempt,
        outcome=outcome,
        message="as the runner says",
        error=error,
        start_time="2025-03-01T12:00:00Z",
        end_time="2025-03-01T12:00:02Z",
        duration_seconds=2.0,
        cells_completed=2,
        cells_total=2,
        files=files,
        runner_version="0.1.0",
    )


def version(contract: Contract | None = None, name: str = "analysis") -> Version:
    """A published version."""
    return Version(name, DIGEST, "2025-03-01T12:00:00Z", contract or Contract(), DIGEST, None, None, ())


def status_of(reason: Reason) -> Status:
    """A status that came to a reason in one step."""
    return advance(Status(), Change(reason), generation=1, now=NOW)
