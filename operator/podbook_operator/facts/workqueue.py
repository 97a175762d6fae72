"""A queue of keys: each at most once, worked on by one worker at a time, later where asked, and slower after each failure.

The pattern of Kubernetes' own controllers. It holds names, never events: what is to be done is read from the facts when its turn comes.
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable

__all__ = ["WorkQueue"]

_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0


class WorkQueue:
    """Keys that wait for a worker. Use from one event loop.

    Args:
        clock: monotonic seconds; tests pass their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: deque[str] = deque()
        self._since: dict[str, float] = {}
        """When each ready key became ready."""
        self._working: set[str] = set()
        self._again: dict[str, float] = {}
        """Keys that were added while they were worked on, and when."""
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys are ready."""
        return len(self._ready)

    def add(self, key: str) -> None:
        """Let a key be worked on as soon as possible; without effect when it waits already."""
        if key in self._working:
            self._again.setdefault(key, self._clock())
        elif key not in self._since:
            self._since[key] = self._clock()
            self._ready.append(key)
            self._changed.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Let a key be worked on after some time. There is one such moment for each key; the last one said counts."""
        if seconds <= 0:
            self._due.pop(key, None)
            self.add(key)
            return
        due = self._clock() + seconds
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        self._changed.set()

    def retry(self, key: str, at_least: float = 0.0) -> float:
        """Let a key be worked on later, because it failed: after 1 s, doubled with each failure up to 60 s.

        Returns:
            After how many seconds.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(at_least, min(_FIRST_DELAY * (1 << min(failures, 10)), _LONGEST_DELAY))
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: str) -> None:
        """Forget a key's failures."""
        self._failures.pop(key, None)

    def forget(self, key: str) -> None:
        """Forget everything about a key that is gone; it may be added again."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    def take(self) -> str | None:
        """The next key, which from now on is worked on; None when none is ready."""
        self._promote()
        if not self._ready:
            return None
        key = self._ready.popleft()
        del self._since[key]
        self._working.add(key)
        return key

    async def get(self) -> str:
        """The next key, as soon as there is one."""
        while True:
            key = self.take()
            if key is not None:
                return key
            self._changed.clear()
            seconds = None if not self._heap else max(0.0, self._heap[0][0] - self._clock())
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: str) -> None:
        """The worker is done with a key; it is ready at once when it was added meanwhile."""
        self._working.discard(key)
        added = self._again.pop(key, None)
        if added is not None:
            self._since[key] = added
            self._ready.append(key)
            self._changed.set()

    def oldest(self) -> float:
        """For how many seconds the longest waiting ready key has been waiting."""
        return self._clock() - min(self._since.values()) if self._since else 0.0

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            # An entry that was replaced by a later word stays in the heap; it counts only if it is the key's own.
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
