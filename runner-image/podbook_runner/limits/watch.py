"""What watches over a run: its deadline, its memory, and the signal to stop. One thread, from kernel start to the last cell."""

import threading
import time
from typing import Protocol

from podbook_runner.limits.memory import ControlGroup, MemoryReading
from podbook_runner.limits.process_tree import memory_of
from podbook_runner.limits.stop import Cause, Stop

__all__ = ["Watch", "Watched", "group_is_full", "seconds_to_next_look"]

_LONGEST_SECONDS = 0.25
_SHORTEST_SECONDS = 0.02
_GROWTH = 5 * 1024**3
"""Bytes a second that processes can take; the next look comes before such a growth would reach the limit."""
_AFTER_KILL_SECONDS = 0.1
_MARGIN = 0.03
_MARGIN_MIN = 8 * 1024 * 1024
_MARGIN_MAX = 128 * 1024 * 1024


def group_is_full(reading: MemoryReading) -> bool:
    """Whether a control group is so near its limit that the system may kill at any moment."""
    margin = min(max(int(reading.limit * _MARGIN), _MARGIN_MIN), _MARGIN_MAX)
    return reading.used >= reading.limit - margin


def seconds_to_next_look(free: float) -> float:
    """How long memory may be left alone.

    Args:
        free: bytes left up to the limit.
    """
    return min(max(free / _GROWTH, _SHORTEST_SECONDS), _LONGEST_SECONDS)


class Watched(Protocol):
    """What is watched: a kernel with all it has started."""

    def processes(self) -> set[int]:
        """Ids of its processes."""

    def kill(self) -> None:
        """End them all."""


class Watch:
    """Trips ``stop`` when a limit is reached, and kills the kernel when anything tripped it.

    Args:
        kernel: what to watch.
        stop: where causes are recorded; causes recorded by others are carried out, too.
        deadline: when the run is over, by the monotonic clock.
        timeout_seconds: what the deadline came from, for the message.
        memory_limit_bytes: the runner's own limit for the kernel and everything below it.
        group: the control group that bounds this container, if there is one.
    """

    def __init__(
        self,
        kernel: Watched,
        stop: Stop,
        *,
        deadline: float,
        timeout_seconds: float,
        memory_limit_bytes: int | None,
        group: ControlGroup | None,
    ) -> None:
        self._kernel = kernel
        self._stop = stop
        self._deadline = deadline
        self._timeout_seconds = timeout_seconds
        self._memory_limit = memory_limit_bytes
        self._group = group
        self._kills_before = group.kills() if group is not None else 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; what happens later does not concern the run."""
        self._closed = True
        self._stop.wake()
        self._thread.join(5)

    def system_killed(self) -> bool:
        """Whether the system has killed a process of this container because memory ran out since the watch began."""
        return self._group is not None and self._group.kills() > self._kills_before

    def _run(self) -> None:
        while not self._closed:
            pause = self._look()
            if self._stop.cause is not None:
                # Again and again until closed: a process may have been forked while the others were killed.
                self._kernel.kill()
            self._stop.wait(pause)

    def _look(self) -> float:
        """Check every limit; in how many seconds to look again."""
        if self._stop.cause is not None:
            return _AFTER_KILL_SECONDS
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._stop.trip(Cause.TIMED_OUT, f"the run did not end within {self._timeout_seconds:g} s")
            return _AFTER_KILL_SECONDS
        free = float("inf")
        if self._group is not None and (reading := self._group.reading()) is not None:
            free = reading.limit - reading.used
            if group_is_full(reading):
                self._stop.trip(Cause.OUT_OF_MEMORY, _full(reading.used, reading.limit))
                return _AFTER_KILL_SECONDS
        if self._memory_limit is not None:
            used = memory_of(self._kernel.processes(), self._memory_limit)
            free = min(free, self._memory_limit - used)
            if used > self._memory_limit:
                self._stop.trip(Cause.OUT_OF_MEMORY, _full(used, self._memory_limit))
        return min(left, seconds_to_next_look(free))


def _full(used: int, limit: int) -> str:
    mebi = 1024 * 1024
    return f"the notebook used {used // mebi} MiB of memory, its limit is {limit // mebi} MiB"
