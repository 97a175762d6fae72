"""The work queue, by a clock that the test winds."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_operator.facts.workqueue import WorkQueue


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock)


def test_a_key_waits_once_however_often_it_is_added(queue: WorkQueue) -> None:
    for _ in range(3):
        queue.add("a")
    assert (queue.take(), queue.take()) == ("a", None)


def test_a_key_is_never_worked_on_twice_at_a_time(queue: WorkQueue) -> None:
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"
    queue.done("a")
    assert queue.take() is None


def test_keys_come_in_the_order_they_became_due(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after("late", 5)
    queue.add("first")
    queue.add("second")
    clock.now = 5
    assert [queue.take(), queue.take(), queue.take()] == ["first", "second", "late"]


def test_of_two_moments_the_last_one_said_counts(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    clock.now = 6
    assert queue.take() is None
    clock.now = 20
    assert queue.take() == "a"


def test_failures_slow_a_key_down_and_success_forgets_them(queue: WorkQueue) -> None:
    assert [queue.retry("a") for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    queue.succeeded("a")
    assert queue.retry("a") == 1
    assert queue.retry("b", at_least=30) == 30


def test_an_event_wakes_a_key_that_is_put_off(queue: WorkQueue) -> None:
    queue.retry("a")
    queue.add("a")
    assert queue.take() == "a"


def test_the_longest_wait_is_known(queue: WorkQueue, clock: Clock) -> None:
    assert queue.oldest() == 0
    queue.add("a")
    clock.now = 3
    queue.add("b")
    assert queue.oldest() == 3
    queue.take()
    assert queue.oldest() == 0


def test_a_forgotten_key_is_not_due_any_more(queue: WorkQueue, clock: Clock) -> None:
    queue.add_after("a", 1)
    queue.forget("a")
    clock.now = 2
    assert queue.take() is None


async def test_a_waiting_worker_gets_the_key_when_it_comes() -> None:
    queue = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add_after("b", 0.01)
    queue.add_after("c", 0.02)
    async with asyncio.timeout(10):
        assert set(await asyncio.gather(*workers)) == {"a", "b", "c"}


@given(st.lists(st.tuples(st.sampled_from(["add", "take", "done"]), st.sampled_from("abc"))))
def test_no_key_is_lost_and_none_is_worked_on_twice(steps: list[tuple[str, str]]) -> None:
    queue, working, wanted = WorkQueue(Clock()), set[str](), set[str]()
    for step, key in steps:
        if step == "add":
            queue.add(key)
            wanted.add(key)
        elif step == "take":
            taken = queue.take()
            if taken is not None:
                assert taken not in working
                working.add(taken)
                wanted.discard(taken)
        elif key in working:
            queue.done(key)
            working.discard(key)
    for key in list(working):
        queue.done(key)
    left = set()
    while (taken := queue.take()) is not None:
        left.add(taken)
        queue.done(taken)
    assert left == wanted
