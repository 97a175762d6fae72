"""Blocking work away from the event loop, with bounds of its own for each kind."""

from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread

__all__ = ["Threads", "gather"]

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs blocking calls in at most ``limit`` threads at a time."""

    def __init__(self, limit: int) -> None:
        self._limiter = anyio.CapacityLimiter(limit)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call made in a thread. The call itself cannot be cancelled; its adapters have time-outs."""
        return await anyio.to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._limiter)


async def gather(calls: list[Callable[[], Any]], threads: Threads) -> list[Any]:
    """The results of many blocking calls, in their order, as parallel as the threads allow. The first error ends all."""
    results: list[Any] = [None] * len(calls)

    async def one(number: int, call: Callable[[], Any]) -> None:
        results[number] = await threads.run(call)

    try:
        async with anyio.create_task_group() as group:
            for number, call in enumerate(calls):
                group.start_soon(one, number, call)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return results
