"""Which executions run now: slots, the queue, recovery after a crash, and the stop that loses nothing. Lives on one event loop."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from podbook_api.backends.embedded.attempt import attempt_of
from podbook_api.backends.embedded.lifecycle import Lifecycle
from podbook_api.backends.embedded.live_executions import Row, Table
from podbook_core.execution.admission import Waiting, next_to_start
from podbook_core.execution.reasons import Reason
from podbook_core.execution.verdict import End

__all__ = ["StopReport", "Supervisor"]

_LOG = logging.getLogger("podbook.supervisor")
_KEEP_ENDED_SECONDS = 30.0
"""How long an ended execution is still answered from memory, so that a caller who reads it just then does not get 404."""
_UNEXPECTED_SECONDS = 5.0
_LONGEST_UNEXPECTED_SECONDS = 300.0
_TICK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StopReport:
    """What a stop left for the next start."""

    running: int
    """Runs that were told to stop."""
    waiting: int
    """Executions that had not begun."""
    left_alive: int
    """Runs that had not ended in time; the next start takes them over."""


class Supervisor:
    """Gives slots to executions and drives those that have one.

    Args:
        table: the live executions.
        lifecycle: what is done with each.
        max_concurrent: how many run at once.
    """

    def __init__(self, table: Table, lifecycle: Lifecycle, max_concurrent: int) -> None:
        self._table = table
        self._lifecycle = lifecycle
        self._limit = max_concurrent
        self._changed = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._ended: list[tuple[float, Row]] = []

    def start(self) -> None:
        """Begin: recover what is in the table, then run what waits."""
        for row in self._table:
            if not _waits_for_newer(row):
                self._launch(row, holds_slot=attempt_of(row.execution) is not None, recover=True)
        self._loop = asyncio.create_task(self._run(), name="podbook supervisor")

    def wake(self) -> None:
        """Look again: something was created, cancelled or has ended."""
        self._changed.set()

    def healthy(self) -> bool:
        """Whether the loop that starts executions is alive."""
        return self._loop is not None and not self._loop.done()

    async def stop(self, seconds: float) -> StopReport:
        """Tell runs to stop, and wait for them at most so long. Their executions stay, and go on with the next start."""
        self._lifecycle.stopping = True
        await self._cancel(self._loop)
        waiting = sum(1 for row in self._table if row.task is None and not row.ended)
        running = self._lifecycle.terminate_all()
        busy = [row.task for row in self._table if row.task is not None]
        if busy:
            await asyncio.wait(busy, timeout=seconds)
        left = [task for task in busy if not task.done()]
        for task in left:
            await self._cancel(task)
        return StopReport(running=running, waiting=waiting, left_alive=len(left))

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            pause = self._look()
            # Not wait_for: before Python 3.12 it may swallow a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    def _look(self) -> float:
        """Start whatever can be started. Returns after how many seconds to look again by itself."""
        now = time.monotonic()
        self._forget_ended(now)
        pause = _TICK_SECONDS
        waiting: dict[str, Row] = {}
        for row in self._table:
            if row.task is not None or row.ended or _waits_for_newer(row):
                continue
            if row.set_aside_until > now:
                pause = min(pause, row.set_aside_until - now)
            elif attempt_of(row.execution) is not None:
                self._launch(row, holds_slot=True, recover=True)
            elif row.cancel.is_set():
                self._launch_end(row, End(Reason.CANCELLED, "cancelled before it started"))
            elif self._lifecycle.seconds_to_deadline(row) <= 0:
                self._launch_end(row, End(Reason.QUEUE_TIMED_OUT, "no slot became free in time"))
            elif row.not_before > now:
                pause = min(pause, row.not_before - now)
            else:
                waiting[row.execution.name] = row
        running = [row.execution.spec.submitted_by for row in self._table if row.running]
        candidates = [
            Waiting(name, row.execution.spec.submitted_by, row.execution.created, row.execution.uid)
            for name, row in waiting.items()
        ]
        for chosen in next_to_start(candidates, running, self._limit):
            self._launch(waiting.pop(chosen.name), holds_slot=True, recover=False)
        for row in waiting.values():
            pause = min(pause, self._lifecycle.seconds_to_deadline(row))
        if self._ended:
            pause = min(pause, self._ended[0][0] - now)
        return max(0.05, pause)

    def _launch(self, row: Row, *, holds_slot: bool, recover: bool) -> None:
        row.running = holds_slot
        row.task = asyncio.create_task(self._drive(row, recover), name=f"execution {row.execution.name}")

    def _launch_end(self, row: Row, end: End) -> None:
        row.task = asyncio.create_task(self._finish(row, end), name=f"end of {row.execution.name}")

    async def _drive(self, row: Row, recover: bool) -> None:
        with self._released(row):
            if recover and (await self._lifecycle.recover(row) or attempt_of(row.execution) is None):
                return
            await self._lifecycle.drive(row)

    async def _finish(self, row: Row, end: End) -> None:
        with self._released(row):
            await self._lifecycle.finish(row, end)

    @contextlib.contextmanager
    def _released(self, row: Row) -> Iterator[None]:
        """Around everything done for an execution: gives its slot back, whatever happened."""
        try:
            yield
            row.unexpected = 0
        except Exception:  # noqa: BLE001 - logged with its traceback, and bounded below
            # A mistake of ours must neither lose the execution nor stop the others: what is recorded of it is looked at again.
            pause = min(_UNEXPECTED_SECONDS * 2.0 ** min(row.unexpected, 10), _LONGEST_UNEXPECTED_SECONDS)
            row.unexpected += 1
            _LOG.exception("%s: unexpected error; requeued for %g s", row.execution.name, pause)
            row.set_aside_until = time.monotonic() + pause
        finally:
            row.running, row.task = False, None
            if row.ended:
                self._ended.append((time.monotonic() + _KEEP_ENDED_SECONDS, row))
            self.wake()

    def _forget_ended(self, now: float) -> None:
        while self._ended and self._ended[0][0] <= now:
            self._table.drop(self._ended.pop(0)[1])

    @staticmethod
    async def _cancel(task: asyncio.Task[None] | None) -> None:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _waits_for_newer(row: Row) -> bool:
    """Whether an execution holds what only a newer version knows. It can be cancelled, but neither run nor judged by this one."""
    return bool(row.newer) and not row.cancel.is_set()
