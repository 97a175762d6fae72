"""A pool of workers that take requests in turn, each one at a time. A worker that is lost is replaced."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Mapping

from podbook_api.workers.process import WorkerProcess
from podbook_core.http_notebook.messages import Ran, Run, Start

__all__ = ["NoWorkerError", "SetUpError", "WorkerPool"]

_log = logging.getLogger(__name__)
_PAUSES = (1, 2, 4, 8, 16, 30)
"""Seconds before a worker that could not be replaced is tried again, and again."""
_LOOK_SECONDS = 0.2


class SetUpError(Exception):
    """A kernel cannot be made ready for requests. The message says why."""


class NoWorkerError(Exception):
    """No worker was idle in time, or the pool is closed."""


class WorkerPool:
    """Workers that are alike.

    Args:
        start: what each is told first.
        size: how many there are.
        environment: of the workers; this process's own when absent.
    """

    def __init__(self, start: Start, *, size: int, environment: Mapping[str, str] | None = None) -> None:
        self._start, self._size = start, size
        self._environment = os.environ if environment is None else environment
        self._idle: deque[WorkerProcess] = deque()
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._all: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._closed = False

    async def open(self) -> None:
        """Start every worker, and run its set-up.

        Raises:
            SetUpError: one of them could not be made ready; none is left.
        """
        made = await asyncio.gather(*(self._ready() for _ in range(self._size)), return_exceptions=True)
        failed = next((item for item in made if isinstance(item, BaseException)), None)
        if failed is not None:
            await self.close()
            raise failed
        for worker in made:
            if isinstance(worker, WorkerProcess):
                self._offer(worker)

    async def run(self, run: Run) -> Ran:
        """Run sources in the worker that has been idle for longest; waits for one as long as the run itself may take.

        Raises:
            NoWorkerError: no worker was idle in that time.
            RequestTooLargeError: it is more than a worker takes.
        """
        worker = await self._take(run.seconds)
        self._busy += 1
        try:
            return await worker.run(run)
        finally:
            self._busy -= 1
            if worker.usable:
                self._offer(worker)
            else:
                self._replace(worker)

    async def drain(self) -> None:
        """End every worker, when it has answered what was asked of it before."""
        while (self._busy or self._waiting) and not self._closed:  # noqa: ASYNC110 - nobody waits for this end
            await asyncio.sleep(_LOOK_SECONDS)
        await self.close()

    async def close(self) -> None:
        """End every worker."""
        self._closed = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(NoWorkerError("the notebook is served no longer"))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in list(self._all)), return_exceptions=True)
        self._all.clear()
        self._idle.clear()

    async def _take(self, seconds: float) -> WorkerProcess:
        if self._idle:
            return self._idle.popleft()
        waiting: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except TimeoutError:
            raise NoWorkerError(f"no kernel was idle within {seconds:g} seconds") from None
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._offer(waiting.result())  # it was given at the very moment in which nobody wanted it any more
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _offer(self, worker: WorkerProcess) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(worker)
                return
        self._idle.append(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        if not self._closed:
            task = asyncio.create_task(self._replaced(worker), name="replace a worker")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _replaced(self, lost: WorkerProcess) -> None:
        await lost.close()
        self._all.discard(lost)
        for attempt in range(10**6):
            try:
                self._offer(await self._ready())
            except SetUpError as error:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                _log.error("a kernel cannot be replaced: %s; trying again in %s s", error, pause)
                await asyncio.sleep(pause)
            else:
                return

    async def _ready(self) -> WorkerProcess:
        try:
            worker, ran = await WorkerProcess.start(self._start, self._environment)
        except OSError as error:
            raise SetUpError(f"no process can be started: {error.strerror or error}") from error
        failed = next((run.error for run in ran.runs if run.error is not None), None)
        problem = ran.lost if failed is None else f"a set-up cell raised {failed[0]}: {failed[1]}"
        if problem is None and not ran.usable:
            problem = "a set-up cell ended the kernel with exit()"
        if problem is not None:
            await worker.close()
            raise SetUpError(problem)
        self._all.add(worker)
        _log.info("Kernel started: %s", worker.pid)
        return worker
