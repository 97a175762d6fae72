"""Blocking work away from the event loop: bounded, in order, and never left half done by whoever is cancelled."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from functools import partial

import pytest

from podbook_core.threads import Threads


def test_no_more_calls_block_at_a_time_than_were_allowed() -> None:
    lock, together = threading.Lock(), threading.Barrier(2, timeout=30)
    now = most = 0

    def call() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1

    asyncio.run(_all(Threads(2), [call] * 6))
    assert most == 2


async def _all(threads: Threads, calls: list[Callable[[], None]]) -> None:
    await threads.gather(calls)


async def test_results_come_in_the_order_of_the_calls() -> None:
    first = threading.Event()

    def slow() -> str:
        first.wait(30)
        return "slow"

    def fast() -> str:
        first.set()
        return "fast"

    assert await Threads(2).gather([slow, fast]) == ["slow", "fast"]


async def test_the_first_error_ends_all() -> None:
    done: list[int] = []

    def fail() -> None:
        raise ValueError("the second")

    calls: list[Callable[[], None]] = [partial(done.append, 1), fail, partial(done.append, 3)]
    with pytest.raises(ValueError, match="the second"):
        await Threads(1).gather(calls)
    assert done in ([1], [1, 3])


async def test_whoever_is_cancelled_goes_on_when_the_call_has_ended_and_not_before() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        may_end.wait(30)
        ended.set()

    task = asyncio.create_task(Threads(1).run(write))
    await asyncio.to_thread(begun.wait, 30)
    for _ in range(3):  # a cancel scope cancels again and again
        task.cancel()
        await asyncio.sleep(0.01)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_call_that_waits_for_a_thread_is_given_up_when_nobody_wants_it() -> None:
    begun, may_end, called = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        may_end.wait(30)

    threads = Threads(1)
    holding = asyncio.create_task(threads.run(hold))
    await asyncio.to_thread(begun.wait, 30)
    waiting = asyncio.create_task(threads.run(called.set))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    await holding
    assert not called.is_set()


async def test_context_variables_are_seen_in_the_thread() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    variable.set("of the request")
    assert await Threads(1).run(variable.get) == "of the request"


def test_one_set_of_threads_serves_several_loops() -> None:
    threads = Threads(1)
    assert [asyncio.run(threads.run(abs, -number)) for number in (1, 2)] == [1, 2]
