"""The objects an attempt stores, each with its media type, and the manifest that lists them."""

import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import podbook_core
from podbook_core.execution.manifest import AttemptManifest, OutputCheck, Pages, StoredFile
from podbook_core.execution.reasons import Reason
from podbook_core.execution.task import Task
from podbook_core.store import keys
from podbook_runner.cells.log import RunLog
from podbook_runner.delivery.artifacts import Artifact
from podbook_runner.outcome import AttemptError, Outcome
from podbook_runner.transfer.upload import Publisher

__all__ = ["Clock", "Results"]

_JSON = "application/json"
_HTML = "text/html; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_NOTEBOOK = "application/x-ipynb+json"


@dataclass(frozen=True, slots=True)
class Clock:
    """When the attempt began, by two clocks: one for people, one for durations."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    monotonic: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds since the attempt began."""
        return time.monotonic() - self.monotonic


@dataclass
class Results:
    """Stores the results of one attempt.

    Args:
        task: the task.
        attempt: the attempt's id.
        publisher: where to.
        deadline: until when storing is tried again, by the monotonic clock; asked again each time.
        log: the log, stored with the manifest.
        clock: when it began.
    """

    task: Task
    attempt: str
    publisher: Publisher
    deadline: Callable[[], float]
    log: RunLog
    clock: Clock
    files: dict[str, StoredFile] = field(default_factory=dict)
    """What is stored, by name."""
    checked: OutputCheck | None = None
    """What the manifest says of the output's contract."""

    def notebook(self, content: bytes | Path) -> None:
        """Store the executed notebook."""
        self._put(keys.NOTEBOOK_FILE, content, _NOTEBOOK)

    def output(self, content: bytes) -> None:
        """Store the output."""
        self._put(keys.OUTPUT_FILE, content, _JSON)

    def response(self, document: bytes, body: bytes) -> None:
        """Store the answer to an HTTP request: the body first, so that a document without one is never there."""
        self._put(keys.RESPONSE_BODY_FILE, body, "application/octet-stream")
        self._put(keys.RESPONSE_FILE, document, _JSON)

    def progress(self, content: bytes) -> None:
        """Store the last progress."""
        self._put(keys.PROGRESS_FILE, content, _JSON)

    def page(self, name: str, content: bytes) -> None:
        """Store one of the HTML pages."""
        self._put(name, content, _HTML)

    def artifact(self, artifact: Artifact) -> None:
        """Store a file of the notebook's."""
        media_type = mimetypes.guess_type(artifact.name)[0] or "application/octet-stream"
        self._put(artifact.name, artifact.path, media_type)

    def manifest(self, outcome: Outcome, cells: tuple[int, int], pages: Pages | None = None) -> None:
        """Store the log, then the manifest: the attempt's last word.

        Args:
            outcome: how it ended.
            cells: code cells completed, and in all.
            pages: whether the HTML pages could be rendered; None where none was asked for, or they are still to come.
        """
        self._put(keys.LOG_FILE, self.log.tail(), _TEXT)
        ended = outcome.clipped()
        document = AttemptManifest(
            uid=self.task.uid,
            attempt=self.attempt,
            outcome=ended.outcome,
            message=ended.message,
            error=ended.error,
            start_time=_rfc3339(self.clock.started),
            end_time=_rfc3339(datetime.now(UTC)),
            duration_seconds=round(self.clock.elapsed(), 3),
            cells_completed=cells[0],
            cells_total=cells[1],
            files=tuple(sorted(self.files.values(), key=lambda file: file.name)),
            runner_version=podbook_core.__version__,
            pages=pages,
            output=self.checked,
        )
        self.publisher.put(keys.RESULT_FILE, document.to_json(), _JSON, self.deadline)

    def _put(self, name: str, content: bytes | Path, media_type: str) -> None:
        if time.monotonic() > self.deadline():
            raise AttemptError(Reason.STORAGE_FAILED, f"there was no time left to store {name}")
        self.files[name] = self.publisher.put(name, content, media_type, self.deadline)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
