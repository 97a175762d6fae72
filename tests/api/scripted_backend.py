"""A backend for what the real ones do seldom: outages, full queues, and executions alive at chosen times."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from podbook_core.execution.model import NotebookExecution


class ScriptedBackend:
    """Knows a few executions, and fails every call while it has an ``error``."""

    def __init__(self, executions: Sequence[NotebookExecution] = (), *, error: Exception | None = None) -> None:
        self._executions = {item.name: item for item in executions}
        self.error = error
        self.created: list[NotebookExecution] = []
        self.removed: list[tuple[str, str]] = []

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def create(self, execution: NotebookExecution) -> NotebookExecution:
        """Keep it."""
        self._fail()
        self.created.append(execution)
        return execution

    async def get(self, name: str) -> NotebookExecution | None:
        """The one of that name."""
        self._fail()
        return self._executions.get(name)

    async def live(self) -> list[NotebookExecution]:
        """All."""
        self._fail()
        return list(self._executions.values())

    async def cancel(self, name: str) -> NotebookExecution | None:
        """The one of that name, as it is."""
        return await self.get(name)

    async def remove(self, name: str, uid: str) -> None:
        """Note it."""
        self._fail()
        self.removed.append((name, uid))

    @asynccontextmanager
    async def watch(self, name: str) -> AsyncIterator[AsyncIterator[NotebookExecution]]:
        """The present state, and no more."""
        self._fail()

        async def states() -> AsyncIterator[NotebookExecution]:
            if name in self._executions:
                yield self._executions[name]

        yield states()

    async def check(self) -> None:
        """Ready, unless it fails."""
        self._fail()
