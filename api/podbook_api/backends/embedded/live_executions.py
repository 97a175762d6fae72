"""Live executions in memory, as their documents say, with everyone who follows them. Lives on one event loop.

Parameters stay in the documents: those of a thousand executions would not fit into memory.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from podbook_api.backends.embedded.documents import Documents
from podbook_core.execution.model import NotebookExecution
from podbook_core.threads import Threads

__all__ = ["Row", "Table"]

Change = Callable[[NotebookExecution], NotebookExecution]


class Row:
    """One live execution."""

    def __init__(self, execution: NotebookExecution) -> None:
        self.execution = execution
        """Without parameters; :meth:`Table.whole` has them."""
        self.writing = asyncio.Lock()
        """Held while its document is written: writes of one document keep their order."""
        self.cancel = asyncio.Event()
        """Set once its end has been asked for."""
        self.task: asyncio.Task[None] | None = None
        """What is being done about it now; None while it waits."""
        self.running = False
        """Whether it holds one of the slots."""
        self.not_before = 0.0
        """When (monotonic clock) its next attempt may start."""
        self.set_aside_until = 0.0
        """Until when (monotonic clock) it is left alone after an unexpected error."""
        self.unexpected = 0
        """How many unexpected errors in a row were met while something was done about it."""
        self.newer: tuple[str, ...] = ()
        """What its document holds that only a newer version knows: it waits for one, and can only be cancelled."""
        if execution.spec.cancel:
            self.cancel.set()

    @property
    def ended(self) -> bool:
        """Whether it has ended and its record is in the store."""
        return self.execution.status.terminal


class _Follower:
    """One open watch: the newest state not yet delivered."""

    def __init__(self) -> None:
        self.pending: NotebookExecution | None = None
        self.closed = False
        self.changed = asyncio.Event()


class Table:
    """Live executions by name. Every state that is shown durably was written first; progress alone is kept in memory only."""

    def __init__(self, documents: Documents, threads: Threads) -> None:
        self._documents = documents
        self._threads = threads
        self._rows: dict[str, Row] = {}
        self._followers: dict[str, set[_Follower]] = {}
        # From the clock, so that resource versions also rise across restarts, without being stored.
        self._version = time.time_ns() // 1_000_000

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, name: str) -> Row | None:
        """The row of a name."""
        return self._rows.get(name)

    def stamp(self, execution: NotebookExecution) -> NotebookExecution:
        """The execution with a new resource version."""
        self._version += 1
        return execution.model_copy(
            update={"metadata": execution.metadata.model_copy(update={"resource_version": str(self._version)})}
        )

    def adopt(self, execution: NotebookExecution) -> Row:
        """Take in an execution whose document is written already."""
        execution = execution.without_parameters()
        known = int(execution.metadata.resource_version or 0)
        self._version = max(self._version, known)
        row = Row(execution)
        self._rows[execution.name] = row
        self._tell(execution.name, execution)
        return row

    async def insert(self, execution: NotebookExecution) -> Row:
        """Write a new execution's document and take it in.

        Raises:
            StoreUnavailableError: it could not be written; then nothing remains of it.
        """
        stamped = self.stamp(execution)
        await self._threads.run(self._documents.write, stamped)
        return self.adopt(stamped)

    async def update(self, row: Row, change: Change) -> NotebookExecution:
        """Write an execution's next state, then show it.

        Args:
            row: which.
            change: makes the next state from the present one; called again if progress came meanwhile, so it must be pure.

        Raises:
            StoreUnavailableError: it could not be written; the present state stays.
        """
        async with row.writing:
            if row.ended:
                return row.execution  # its document is gone, and must not come back
            await self._threads.run(self._documents.rewrite, self.stamp(change(row.execution)))
            return self.show(row, change)

    async def whole(self, row: Row) -> NotebookExecution | None:
        """The present state with its parameters, None when its document is gone: then there is a record.

        Raises:
            StoreUnavailableError: the document cannot be read.
        """
        found = await self._threads.run(self._documents.whole, row.execution)
        # Progress may have come meanwhile.
        return None if found is None else row.execution.with_parameters(found.spec.parameters)

    def show(self, row: Row, change: Change) -> NotebookExecution:
        """Show a next state without writing it: for progress, which a restart may forget."""
        row.execution = self.stamp(change(row.execution))
        if row.execution.spec.cancel:
            row.cancel.set()
        self._tell(row.execution.name, row.execution)
        return row.execution

    async def end(self, row: Row, final: NotebookExecution) -> None:
        """Remove the document of an execution whose record is in the store, then show its final state to everyone.

        Raises:
            StoreUnavailableError: the document could not be removed. It must be gone first: were the record deleted while the document
                stayed, the next start would run the execution again.
        """
        async with row.writing:
            await self._threads.run(self._documents.delete, final.name)
            row.execution = final.without_parameters()
            self._tell(final.name, row.execution)
            for follower in self._followers.get(final.name, set()):
                follower.closed = True

    def drop(self, row: Row) -> None:
        """Forget an ended execution."""
        name = row.execution.name
        if self._rows.get(name) is row:
            del self._rows[name]
            for follower in self._followers.get(name, set()):
                follower.closed = True
                follower.changed.set()

    @asynccontextmanager
    async def watch(self, name: str) -> AsyncIterator[AsyncIterator[NotebookExecution]]:
        """See :meth:`ExecutionBackend.watch <podbook_api.backends.base.ExecutionBackend.watch>`."""
        follower = _Follower()
        row = self._rows.get(name)
        if row is None:
            follower.closed = True
        else:
            follower.pending = row.execution
            follower.closed = row.ended
        follower.changed.set()
        self._followers.setdefault(name, set()).add(follower)
        try:
            yield self._follow(follower)
        finally:
            remaining = self._followers[name]
            remaining.discard(follower)
            if not remaining:
                del self._followers[name]

    def close(self) -> None:
        """End every watch."""
        for followers in self._followers.values():
            for follower in followers:
                follower.closed = True
                follower.changed.set()

    async def _follow(self, follower: _Follower) -> AsyncIterator[NotebookExecution]:
        while True:
            await follower.changed.wait()
            follower.changed.clear()
            state, follower.pending = follower.pending, None
            if state is not None:
                yield state
            elif follower.closed:
                return
            if follower.closed:
                follower.changed.set()

    def _tell(self, name: str, execution: NotebookExecution) -> None:
        for follower in self._followers.get(name, ()):
            follower.pending = execution
            follower.changed.set()
