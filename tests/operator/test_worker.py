"""An execution that cannot be dealt with is requeued, ever later, and keeps nobody from a place meanwhile."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from podbook_core.execution.profiles import Profile
from podbook_core.store.base import StoreUnavailableError
from podbook_operator.act.worker import Worker
from podbook_operator.facts.cache import Facts
from podbook_operator.facts.workqueue import WorkQueue
from podbook_operator.metrics import Metrics

from .documents import DIGEST, NOW, rfc3339


def accepted(name: str, age: int) -> dict[str, Any]:
    """An execution that waits for its place."""
    created = rfc3339(NOW.replace(second=age))
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", "creationTimestamp": created},
        "spec": {"notebook": {"name": "analysis"}},
        "status": {"reason": "Queued", "resolved": {"profile": "default", "version": DIGEST}},
    }


class Visits:
    """Raises for one name once it has its place; the others start."""

    def __init__(self, facts: Facts, error: Exception) -> None:
        self._facts, self._error = facts, error
        self.started: list[str] = []
        self.failed = 0

    async def visit(self, name: str) -> float | None:
        if name in self._facts.places.granted:
            if name == "odd":
                self.failed += 1
                raise self._error
            self.started.append(name)
            self._facts.places.leave(name)
            self._facts.entries.pop(name)
        return None


class Time:
    """The queue's clock."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def drain(worker: Worker, queue: WorkQueue) -> None:
    """Work until nothing is due."""
    while len(queue):
        await worker.step()


async def play(error: Exception) -> tuple[Visits, Facts, list[float]]:
    """One place and three executions, the oldest of which fails again and again; with the pauses between its failures."""
    facts, clock = Facts(1, {"default": Profile()}), Time()
    queue = WorkQueue(clock)
    visits = Visits(facts, error)
    worker = Worker(queue, facts, visits, Metrics())
    for age, name in enumerate(("odd", "first", "second")):
        facts.put_execution(accepted(name, age))
        queue.add(name)
    await drain(worker, queue)
    failures: list[float] = []
    for _ in range(200):
        before = visits.failed
        clock.now += 1
        queue._promote()
        await drain(worker, queue)
        if visits.failed > before:
            failures.append(clock.now)
    return visits, facts, [later - earlier for earlier, later in pairwise(failures)]


def test_an_unexpected_error_keeps_no_place_and_is_tried_ever_more_rarely() -> None:
    visits, facts, pauses = asyncio.run(play(RuntimeError("a mistake of ours")))
    assert visits.started == ["first", "second"]
    assert facts.places.taken == 0
    assert pauses[:5] == [2, 4, 8, 16, 32]
    assert max(pauses) == 60


@pytest.mark.parametrize("error", [StoreUnavailableError("away")])
def test_what_may_have_created_its_job_keeps_its_place(error: Exception) -> None:
    visits, facts, pauses = asyncio.run(play(error))
    assert (visits.started, facts.places.granted) == ([], {"odd"})
    assert pauses[:5] == [2, 4, 8, 16, 32]
