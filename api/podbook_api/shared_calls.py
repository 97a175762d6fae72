"""The same question of many callers, put once for all who have it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["SharedCalls"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedCalls(Generic[K, V]):
    """Puts a question about a key at most once at a time. Use it on one event loop only.

    Nobody gets an answer to a question that was put before they came: who comes while one is under way shares the next one. So a
    caller learns of everything that was true when it asked, as if it had asked alone.

    Args:
        ask: puts the question; what it raises is raised to all who share it.
    """

    def __init__(self, ask: Callable[[K], Awaitable[V]]) -> None:
        self._ask = ask
        self._asked: dict[K, asyncio.Task[V]] = {}
        self._next: dict[K, asyncio.Task[V]] = {}

    async def answer(self, key: K) -> V:
        """The answer for a key. A caller that gives up leaves the question to the others."""
        shared = self._next.get(key)
        if shared is None:
            shared = self._next[key] = asyncio.create_task(self._put(key, self._asked.get(key)))
            # Where all have given up, nobody is left to hear of an error.
            shared.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(shared)

    async def _put(self, key: K, earlier: asyncio.Task[V] | None) -> V:
        if earlier is not None:
            await asyncio.wait([earlier])
        mine = self._asked[key] = self._next.pop(key)
        try:
            return await self._ask(key)
        finally:
            if self._asked.get(key) is mine:
                del self._asked[key]
