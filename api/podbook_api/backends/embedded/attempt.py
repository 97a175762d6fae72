"""One attempt of an embedded execution: its id in the document, where its files lie, and what follows from its end."""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution, Status
from podbook_core.execution.reasons import INTERRUPTED, Reason
from podbook_core.execution.task import Destination, Task
from podbook_core.execution.verdict import Again, AttemptEnd, End, judge

__all__ = ["ATTEMPT_ANNOTATION", "AttemptFolder", "DirectoryPlaces", "attempt_of", "verdict_on", "with_attempt"]

ATTEMPT_ANNOTATION = "embedded.podbook.dev/attempt"
"""Annotation that names the running attempt; written before its runner is started."""
_MESSAGE_BYTES = 64 * 1024
_PRINTED_BYTES = 64 * 1024


def attempt_of(execution: NotebookExecution) -> str | None:
    """Id of the running attempt, None when there is none. Pure."""
    return execution.metadata.annotations.get(ATTEMPT_ANNOTATION)


def with_attempt(execution: NotebookExecution, attempt: str | None) -> NotebookExecution:
    """The execution with another running attempt, or none. Pure."""
    annotations = {key: value for key, value in execution.metadata.annotations.items() if key != ATTEMPT_ANNOTATION}
    if attempt is not None:
        annotations[ATTEMPT_ANNOTATION] = attempt
    return execution.model_copy(update={"metadata": execution.metadata.model_copy(update={"annotations": annotations})})


class DirectoryPlaces:
    """The directory store as a runner on this machine reaches it.

    Args:
        store: the store's root, absolute.
    """

    def __init__(self, store: Path) -> None:
        self._store = store

    def url(self, key: str) -> str:
        """See :class:`podbook_core.execution.task_building.Places`."""
        return (self._store / key).as_uri()

    def destination(self, prefix: str) -> Destination:
        """See :class:`podbook_core.execution.task_building.Places`."""
        return Destination("directory", self._store.as_uri(), prefix)


def verdict_on(
    manifest: AttemptManifest | None,
    *,
    exit_code: int | None,
    late: bool,
    cancel_requested: bool,
    stopping: bool,
    status: Status,
    retries: int,
    message: str,
) -> End | Again:
    """What follows from the end of an attempt.

    Args:
        manifest: what the attempt left.
        exit_code: the runner's exit code, negative for a signal; None when it was not observed.
        late: it was killed because it had run past every clock of its own.
        cancel_requested: the execution's end was asked for.
        stopping: the server stops, and had told the runner to.
        status: the execution's status, this attempt counted.
        retries: further attempts it may have.
        message: the runner's last words.
    """
    succeeded = manifest is not None and manifest.outcome == Reason.SUCCEEDED
    if late and (manifest is None or manifest.outcome == INTERRUPTED):
        seconds = status.resolved.timeout_seconds if status.resolved else 0
        return End(Reason.TIMED_OUT, f"the run did not end within {seconds} s, and its runner had to be killed")
    return judge(
        AttemptEnd(
            # Success was stored before the runner ended, so how it ended after that denies nothing.
            exit_code=None if succeeded else exit_code,
            manifest=manifest,
            cancel_requested=cancel_requested,
            disrupted=stopping or exit_code is None,
            attempts=status.attempts,
            retries=retries,
            message=message,
        )
    )


@dataclass(frozen=True, slots=True)
class AttemptFolder:
    """Where an attempt's files lie: ``<work>/<uid>/<attempt>/``, private to this user."""

    work: Path
    uid: str
    attempt: str

    @property
    def path(self) -> Path:
        """The folder."""
        return self.work / self.uid / self.attempt

    @property
    def lock(self) -> Path:
        """Locked by the runner for its whole life."""
        return self.path / "lock"

    @property
    def log(self) -> Path:
        """What the runner printed."""
        return self.path / "runner.log"

    def prepare(self, task: Task) -> None:
        """Create the folder with the task in it.

        Raises:
            OSError: there is no room, or no permission.
        """
        self.path.mkdir(mode=0o700, parents=True)
        descriptor = os.open(self.path / "task.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(task.to_json())

    def command(self) -> list[str]:
        """How the runner is started. ``-P`` keeps the working directory out of its import path."""
        return [
            *(sys.executable, "-P", "-m", "podbook_runner"),
            *("--task", str(self.path / "task.json")),
            *("--attempt", self.attempt),
            *("--work-dir", str(self.path / "work")),
            *("--lock-file", str(self.lock)),
            *("--termination-log", str(self.path / "termination")),
        ]

    def last_message(self) -> str:
        """What the runner said when it ended, empty when it said nothing. Written beside the notebook's processes: not to be trusted."""
        try:
            with (self.path / "termination").open("rb") as file:
                said = json.loads(file.read(_MESSAGE_BYTES))
            message = said["message"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""
        return message[:1024] if isinstance(message, str) else ""

    def printed(self) -> bytes:
        """The end of what the runner itself printed."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _PRINTED_BYTES))
                return file.read()
        except OSError:
            return b""

    def remove(self) -> None:
        """Delete the folder, as far as possible."""
        shutil.rmtree(self.path, ignore_errors=True)

    def remove_all(self) -> None:
        """Delete the folders of all attempts of this execution, as far as possible."""
        shutil.rmtree(self.work / self.uid, ignore_errors=True)
