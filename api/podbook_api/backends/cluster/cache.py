"""What one API replica knows of the live executions of a cluster: a cache that one watch feeds, and those who wait for changes in it.

Knows nothing of Kubernetes but its resource versions, which grow with every change and are compared as numbers (KEP-5504).
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

from podbook_cluster.resource_versions import version_number
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Phase
from podbook_core.execution.transitions import is_settled

__all__ = ["LiveExecutions"]


class LiveExecutions:
    """The cache. Use it on one event loop only; no method blocks.

    It keeps no parameters: those of a thousand executions would not fit into memory. What it hands out is without them.
    """

    def __init__(self) -> None:
        self._items: dict[str, NotebookExecution] = {}
        self._waiting: set[str] = set()
        """Names of those that have not begun to run, so that they need not be counted one by one."""
        self._newest = 0
        self._gone: dict[str, int] = {}
        """Uids of what was removed, with the number it was last seen at: late events of these are ignored."""
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    def get(self, name: str) -> NotebookExecution | None:
        """The newest known state."""
        return self._items.get(name)

    def all(self) -> list[NotebookExecution]:
        """The newest known state of every execution."""
        return list(self._items.values())

    def waiting(self) -> int:
        """How many have not begun to run."""
        return len(self._waiting)

    @property
    def newest(self) -> int:
        """The highest resource version heard of, as a number."""
        return self._newest

    def is_current(self, name: str, uid: str, version: str) -> bool:
        """Whether exactly this state of an execution is the one that is known."""
        known = self._items.get(name)
        return known is not None and known.metadata.resource_version == version and known.uid == uid

    def learn(self, execution: NotebookExecution) -> NotebookExecution:
        """Take a state from the watch, or from an answer to this replica; what is older than what is known is ignored.

        Returns:
            The newest known state, without parameters.
        """
        execution = execution.without_parameters()
        known, number = self._items.get(execution.name), _number(execution)
        self._newest = max(self._newest, number)
        if execution.uid in self._gone:
            return known or execution
        if known is not None and _number(known) > number:
            return known
        self._items[execution.name] = execution
        if execution.status.phase is Phase.PENDING:
            self._waiting.add(execution.name)
        else:
            self._waiting.discard(execution.name)
        if known is None or known.metadata.resource_version != execution.metadata.resource_version:
            self._tell(execution.name)
        return execution

    def forget(self, name: str, uid: str, number: int) -> None:
        """An execution is gone, as of a resource version."""
        self._newest = max(self._newest, number)
        self._gone[uid] = number
        known = self._items.get(name)
        if known is not None and known.uid == uid:
            self._drop(name)

    def replace(self, executions: Iterable[NotebookExecution], number: int, *, asked_at: int = 0) -> None:
        """Take a complete list as of a resource version. What this replica created later than that stays.

        Args:
            executions: the list.
            number: the resource version it is of.
            asked_at: :attr:`newest` when it was asked for. A list from before that comes of a cluster that was set back to an earlier
                state: what was heard until then has not happened, and goes, however new it looks.
        """
        listed = {item.name: item for item in executions}
        set_back = number < asked_at
        self._newest = number if set_back else max(self._newest, number)
        # No event about something older than this list can come any more.
        self._gone = {} if set_back else {uid: seen for uid, seen in self._gone.items() if seen > number}
        for name, known in list(self._items.items()):
            if set_back or (name not in listed and _number(known) <= number):
                self._drop(name)
        for item in listed.values():
            self.learn(item)

    def close(self) -> None:
        """End every follower."""
        self._closed = True
        for name in list(self._followers):
            self._tell(name)

    @contextmanager
    def following(self, name: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the execution of that name changes."""
        changed = asyncio.Event()
        self._followers.setdefault(name, set()).add(changed)
        try:
            yield changed
        finally:
            self._followers[name].discard(changed)
            if not self._followers[name]:
                del self._followers[name]

    async def states(self, name: str, changed: asyncio.Event) -> AsyncIterator[NotebookExecution]:
        """The present state, then every change, coalesced; ends when it is settled or gone, or the cache is closed."""
        seen: str | None = None
        while not self._closed:
            changed.clear()
            known = self._items.get(name)
            if known is None:
                return
            if known.metadata.resource_version != seen:
                seen = known.metadata.resource_version
                yield known
                if is_settled(known):
                    return
            else:
                await changed.wait()

    def _drop(self, name: str) -> None:
        del self._items[name]
        self._waiting.discard(name)
        self._tell(name)

    def _tell(self, name: str) -> None:
        for changed in self._followers.get(name, ()):
            changed.set()


def _number(execution: NotebookExecution) -> int:
    return version_number(execution.metadata.resource_version)
