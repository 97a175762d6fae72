"""Blocking work away from the event loop: the one way in which a program that lives on one reaches the store and the contract checks.

Each kind of work has threads of its own, so that what is slow in one kind keeps nothing else waiting.
"""

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

__all__ = ["Threads"]

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs blocking calls in at most ``limit`` threads at a time; bound to no loop. Threads are started when they are needed.

    Args:
        limit: how many calls may block at a time; further ones wait their turn.
        name: what the threads are called.
    """

    def __init__(self, limit: int, *, name: str = "blocking") -> None:
        self._executor = ThreadPoolExecutor(limit, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call made in a thread.

        A call that has begun cannot be interrupted; its adapters have time-outs. A caller that is cancelled meanwhile continues when the call
        has ended and not before: a file that is just being written must not be taken for one that is not. A call that still waits for
        a thread is given up.
        """
        call = partial(contextvars.copy_context().run, partial(function, *args, **kwargs))
        begun = self._executor.submit(call)
        ended = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if not begun.cancel():
                await _end_of(ended)
            raise

    async def gather(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results of many calls, in their order, as parallel as the threads allow. The first error ends all."""
        tasks = [asyncio.ensure_future(self.run(call)) for call in calls]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def close(self) -> None:
        """Let the threads end once their calls have; calls that wait are given up."""
        self._executor.shutdown(wait=False, cancel_futures=True)


async def _end_of(call: "asyncio.Future[T]") -> None:
    """Wait for the end of a call, however often this is cancelled meanwhile. Its error is dropped."""
    while not call.done():
        try:
            await asyncio.wait([call])
        except asyncio.CancelledError:
            continue
    if not call.cancelled():
        call.exception()
