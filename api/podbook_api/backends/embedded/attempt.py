"""One attempt of an embedded execution: its id in the document, its folder, and the task its runner reads."""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from podbook_core.execution.acceptance import Accepted
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.task import Destination, InputSource, Source, Task
from podbook_core.store.keys import attempts_prefix, input_key

__all__ = ["ATTEMPT_ANNOTATION", "PUBLISH_SECONDS", "AttemptFolder", "attempt_of", "build_task", "with_attempt"]

ATTEMPT_ANNOTATION = "embedded.podbook.dev/attempt"
"""Annotation that names the attempt under way; written before its runner is started."""
PUBLISH_SECONDS = 300.0
"""How long a runner may try to publish its results."""
_MESSAGE_BYTES = 64 * 1024
_PRINTED_BYTES = 64 * 1024


def attempt_of(execution: NotebookExecution) -> str | None:
    """Id of the attempt under way, None when none is. Pure."""
    return execution.metadata.annotations.get(ATTEMPT_ANNOTATION)


def with_attempt(execution: NotebookExecution, attempt: str | None) -> NotebookExecution:
    """The execution with another attempt under way, or none. Pure."""
    annotations = {key: value for key, value in execution.metadata.annotations.items() if key != ATTEMPT_ANNOTATION}
    if attempt is not None:
        annotations[ATTEMPT_ANNOTATION] = attempt
    return execution.model_copy(update={"metadata": execution.metadata.model_copy(update={"annotations": annotations})})


def build_task(execution: NotebookExecution, accepted: Accepted, store: Path) -> Task:
    """What the runner is told, with every source and the destination in the directory store. Pure.

    Args:
        execution: accepted, with ``status.resolved``.
        accepted: what it runs as.
        store: the store's root, absolute.
    """
    version, resolved = accepted.version, execution.status.resolved or accepted.resolved
    files = store / version.prefix
    return Task(
        execution=execution.name,
        uid=execution.uid,
        notebook_name=version.name,
        version=version.version,
        notebook=Source((files / "notebook.ipynb").as_uri(), version.notebook_sha256),
        contract=None if version.contract_sha256 is None else Source((files / "contract.json").as_uri(), version.contract_sha256),
        assets=None if version.assets_sha256 is None else Source((files / "assets.tar").as_uri(), version.assets_sha256),
        inputs=tuple(
            InputSource(item.name, (store / input_key(item.sha256)).as_uri(), item.sha256, item.size)
            for item in execution.spec.inputs
        ),
        parameters=execution.spec.parameters,
        destination=Destination("directory", store.as_uri(), attempts_prefix(execution.uid)),
        timeout_seconds=resolved.timeout_seconds,
        publish_timeout_seconds=PUBLISH_SECONDS,
        html=execution.spec.outputs.html,
        report=execution.spec.outputs.report,
        memory_limit_bytes=accepted.profile.memory_limit_bytes,
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
