"""What the API needs of the place where executions live: a Kubernetes cluster, or the embedded supervisor.

The backend owns what is alive; everything that has ended is in the store. Both implementations pass one contract test suite.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from podbook_core.execution.model import NotebookExecution

__all__ = [
    "AlreadyExistsError",
    "BackendError",
    "BackendUnavailableError",
    "ExecutionBackend",
    "InvalidExecutionError",
    "MissingRightError",
    "QueueFullError",
    "QuotaExceededError",
    "StillActiveError",
]


class BackendError(Exception):
    """Base of the backends' errors.

    BackendError
    ├── AlreadyExistsError        an execution of that name is alive
    ├── QueueFullError            too many wait already
    │   └── QuotaExceededError    a quota of the place where executions live is used up
    ├── InvalidExecutionError     it will not take this execution, now or later
    ├── StillActiveError          it has not ended, so it cannot be removed
    └── BackendUnavailableError   the backend cannot be reached or has stopped
        └── MissingRightError     it answers, and does not let this server do what it has to
    """


class AlreadyExistsError(BackendError):
    """An execution of this name is alive; it is left as it is."""

    def __init__(self, existing: NotebookExecution | None) -> None:
        super().__init__("an execution of this name exists")
        self.existing = existing


class QueueFullError(BackendError):
    """More executions wait than may. ``retry_after`` is in seconds."""

    def __init__(self, waiting: int, limit: int, retry_after: int) -> None:
        super().__init__(f"{waiting} executions are waiting, the limit is {limit}")
        self.waiting, self.limit, self.retry_after = waiting, limit, retry_after


class QuotaExceededError(QueueFullError):
    """A quota leaves no room for another execution. The message is the quota's own."""

    def __init__(self, message: str, retry_after: int = 30) -> None:
        Exception.__init__(self, message)
        self.retry_after = retry_after


class InvalidExecutionError(BackendError):
    """The backend has rules of its own, for labels for instance, which this execution breaks. The message says which."""


class StillActiveError(BackendError):
    """The execution has not ended."""


class BackendUnavailableError(BackendError):
    """The backend cannot be reached. ``retry_after`` is in seconds."""

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class MissingRightError(BackendUnavailableError):
    """The backend denies this server a permission that it needs; the administrator has to grant it. ``right`` says which."""

    def __init__(self, right: str, retry_after: int = 30) -> None:
        super().__init__(f"a permission is missing: {right}", retry_after)
        self.right = right


class ExecutionBackend(Protocol):
    """Executions that are alive: created, waiting, running, or ended and not yet gone.

    Every method may raise :class:`BackendUnavailableError`.
    """

    async def start(self) -> None:
        """Begin to work; called once, before anything else."""
        ...

    async def stop(self) -> None:
        """Stop cleanly; nothing accepted is lost."""
        ...

    async def create(self, execution: NotebookExecution) -> NotebookExecution:
        """Accept an execution durably: when this returns, it survives every crash.

        The backend fills in uid, creation time and resource version. The caller has checked the contract; the backend's worker checks
        it again.

        Raises:
            AlreadyExistsError: the name is taken by a live execution.
            QueueFullError: too many wait.
            InvalidExecutionError: it breaks a rule of the backend.
        """
        ...

    async def get(self, name: str) -> NotebookExecution | None:
        """The live execution of a name, as new as anything this client has been told; None when there is none alive."""
        ...

    async def live(self) -> list[NotebookExecution]:
        """Every live execution, in no particular order, without parameters: those of all would not fit into memory."""
        ...

    async def cancel(self, name: str) -> NotebookExecution | None:
        """Ask for the end of an execution; repeatable, and without effect on an ended one. None when none is alive."""
        ...

    async def remove(self, name: str, uid: str) -> None:
        """Remove an ended execution from what is alive; no error when it is not there.

        Raises:
            StillActiveError: it has not ended.
        """
        ...

    def watch(self, name: str) -> AbstractAsyncContextManager[AsyncIterator[NotebookExecution]]:
        """Follow one execution: first its present state, then every change, coalesced; without parameters.

        The iterator ends after a state that is terminal with its results stored, or when the execution is not (or no longer) alive.
        """
        ...

    async def check(self) -> None:
        """Prove that executions can be created and followed."""
        ...
