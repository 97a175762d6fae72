"""The signed access of a run as it is now: the operator replaces it in the mounted task before it ends.

Standard library only: it is there before the kernel starts.
"""

import threading
from pathlib import Path

from podbook_core.execution.task import Destination, InvalidTaskError, Task
from podbook_runner.outcome import AttemptError
from podbook_runner.transfer.redact import secrets_of
from podbook_runner.transfer.upload import open_destination

__all__ = ["Access"]


class Access:
    """Looks at the task document again whenever it is asked, and reads it when it is another one. Safe for several threads.

    A document that cannot be read, cannot be understood, or is about something else changes nothing: what was there before is used
    for as long as it lasts. A destination in a directory needs no access, and its task is read once.

    Args:
        task: as it was when the attempt began.
        path: where it is mounted. Never resolved: the kubelet replaces a whole folder by turning a link.
    """

    def __init__(self, task: Task, path: Path) -> None:
        self._task, self._path = task, path.absolute()
        self._destination = task.destination
        self._secrets = secrets_of(task)
        self._seen: tuple[int, int, int] | None = None
        self._lock = threading.Lock()

    def destination(self) -> Destination:
        """Where results may go now; the same object until it is replaced."""
        self.look()
        return self._destination

    def secrets(self) -> frozenset[str]:
        """Every credential there was, from the first to the present; the same object until there are more."""
        self.look()
        return self._secrets

    def look(self) -> None:
        """Take up what has changed. Costs one question to the file system when nothing has."""
        if self._task.destination.kind == "directory":
            return
        with self._lock:
            try:
                status = self._path.stat()
                seen = (status.st_ino, status.st_mtime_ns, status.st_size)
                if seen == self._seen:
                    return
                data = self._path.read_bytes()
            except OSError:
                return
            self._seen = seen
            try:
                task = Task.from_json(data)
                if not _same_run(task, self._task):
                    return
                secrets = secrets_of(task)
                open_destination(task.destination)
            except (InvalidTaskError, AttemptError, ValueError, TypeError, AttributeError):
                return
            if not secrets <= self._secrets:
                self._secrets |= secrets
            if task.destination != self._destination:
                self._destination = task.destination


def _same_run(task: Task, known: Task) -> bool:
    new, old = task.destination, known.destination
    return (task.uid, new.kind, new.prefix) == (known.uid, old.kind, old.prefix)
