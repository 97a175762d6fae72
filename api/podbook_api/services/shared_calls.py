"""The same question of many callers, put once for all of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["SharedCalls"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedCalls(Generic[K, V]):
    """Puts a question about a key at most once at a time. Use it on one event loop only.

    Callers that come while the question is being answered share the next one: its answer may be older than the caller. So everybody learns of
    what was true when they asked, or ``lasts`` seconds before that.

    Args:
        ask: puts the question; what it raises is raised to all who share it.
        lasts: how long an answer holds, in seconds from when the question was put. None, for nothing, means that answers are not kept.
    """

    def __init__(self, ask: Callable[[K], Awaitable[V]], *, lasts: float = 0.0) -> None:
        self._ask = ask
        self._lasts = lasts
        self._asked: dict[K, asyncio.Task[V]] = {}
        self._next: dict[K, asyncio.Task[V]] = {}
        self._kept: dict[K, tuple[float, V]] = {}
        """Answers, and until when they hold."""

    async def answer(self, key: K) -> V:
        """The answer for a key. A caller that gives up leaves the question to the others."""
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        shared = self._next.get(key)
        if shared is None:
            shared = self._next[key] = asyncio.create_task(self._put(key, self._asked.get(key)))
            # When all callers have given up, an error has no receiver.
            shared.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(shared)

    async def _put(self, key: K, earlier: asyncio.Task[V] | None) -> V:
        if earlier is not None:
            await asyncio.wait([earlier])
        mine = self._asked[key] = self._next.pop(key)
        until = time.monotonic() + self._lasts
        try:
            answer = await self._ask(key)
        finally:
            if self._asked.get(key) is mine:
                del self._asked[key]
        if answer is not None and time.monotonic() < until:
            self._kept[key] = (until, answer)
            asyncio.get_running_loop().call_later(self._lasts, self._forget, key)
        return answer

    def _forget(self, key: K) -> None:
        if key in self._kept and self._kept[key][0] <= time.monotonic():
            del self._kept[key]
