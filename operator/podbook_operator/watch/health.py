"""Whether the operator still does its work: what the liveness probe asks.

A watch can die while the process lives on, so it is looked for by name among the running tasks. The names are kopf's own; a test notices when
they change.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

__all__ = ["Health", "live_watchers"]

_STUCK = 120.0
"""Longest time a due execution may wait for a worker, in seconds."""


def live_watchers(watched: Iterable[str], tasks: Iterable[str]) -> list[str]:
    """Which of the watched kinds have a watcher among the names of the running tasks. Pure."""
    running = {name.removeprefix("watcher for ").partition("@")[0] for name in tasks if name.startswith("watcher for ")}
    return [kind for kind in watched if kind in running]


class Health:
    """Collects what is needed to say whether all is well.

    Args:
        watched: the kinds that must have a watcher, as kopf names them.
        oldest: seconds that the longest waiting due execution has waited.
        grace: seconds after the start in which watchers may still be missing.
        clock: monotonic seconds; tests pass their own.
    """

    def __init__(
        self,
        watched: Iterable[str],
        oldest: Callable[[], float],
        *,
        grace: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watched, self._oldest, self._grace, self._clock = tuple(watched), oldest, grace, clock
        self._started = clock()
        self._workers: list[asyncio.Task[None]] = []

    def expect(self, workers: Iterable[asyncio.Task[None]]) -> None:
        """These tasks must live from now on."""
        self._workers.extend(workers)

    def problems(self, tasks: Iterable[str]) -> list[str]:
        """Everything that is wrong; empty when all is well.

        Args:
            tasks: names of the running tasks.
        """
        found = [f"{task.get_name()} has ended" for task in self._workers if task.done()]
        watching = live_watchers(self._watched, tasks)
        missing = [kind for kind in self._watched if kind not in watching]
        if missing and self._clock() - self._started > self._grace:
            found.append(f"no watch is running for {', '.join(missing)}")
        if self._oldest() > _STUCK:
            found.append(f"an execution has been due for {self._oldest():.0f} s")
        return found
