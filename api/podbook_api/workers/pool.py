"""A pool of workers that take requests in turn, each one at a time. A worker that is lost is replaced."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from podbook_api.workers.process import WorkerLostError, WorkerProcess
from podbook_core.http_notebook.messages import Start
from podbook_core.http_notebook.response import CellRun

__all__ = ["SetUpError", "WorkerPool"]

_log = logging.getLogger(__name__)
_START_SECONDS = 600
"""How long a kernel may take to start and to run its set-up."""
_PAUSES = (1, 2, 4, 8, 16, 30)
"""Seconds before a worker that could not be replaced is tried again, and again."""


class SetUpError(Exception):
    """A kernel cannot be made ready for requests. The message says why."""


class WorkerPool:
    """Workers that are alike.

    Args:
        start: what each is told first.
        size: how many there are.
    """

    def __init__(self, start: Start, *, size: int) -> None:
        self._start, self._size = start, size
        self._idle: asyncio.Queue[WorkerProcess] = asyncio.Queue()
        self._all: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
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
                self._idle.put_nowait(worker)

    async def run(self, sources: Sequence[str], *, seconds: float) -> Sequence[CellRun]:
        """Run sources in the worker that has been idle for longest; waits for one.

        Raises:
            WorkerTimeoutError: the worker took longer than ``seconds``, which begin when it begins.
            WorkerLostError: the kernel ended.
            TimeoutError: no worker was idle within ``seconds``.
        """
        async with self._borrowed(seconds) as worker:
            return await worker.run(sources, seconds=seconds)

    async def close(self) -> None:
        """End every worker."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in list(self._all)), return_exceptions=True)
        self._all.clear()

    @asynccontextmanager
    async def _borrowed(self, seconds: float) -> AsyncIterator[WorkerProcess]:
        async with asyncio.timeout(seconds):
            worker = await self._idle.get()
        kept = False
        try:
            yield worker
            kept = True
        finally:
            if kept:
                self._idle.put_nowait(worker)
            else:
                self._all.discard(worker)
                worker.kill()
                self._replace()

    def _replace(self) -> None:
        if not self._closed:
            task = asyncio.create_task(self._replaced(), name="replace a worker")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _replaced(self) -> None:
        for attempt in range(10**6):
            try:
                worker = await self._ready()
            except SetUpError as error:
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                _log.error("a kernel cannot be replaced: %s; trying again in %s s", error, pause)
                await asyncio.sleep(pause)
            else:
                self._idle.put_nowait(worker)
                return

    async def _ready(self) -> WorkerProcess:
        try:
            worker, runs = await WorkerProcess.start(self._start, seconds=_START_SECONDS)
        except WorkerLostError as error:
            raise SetUpError(str(error)) from error
        self._all.add(worker)
        failed = next((run.error for run in runs if run.error is not None), None)
        if failed is not None:
            self._all.discard(worker)
            with contextlib.suppress(Exception):
                await worker.close()
            raise SetUpError(f"a set-up cell raised {failed[0]}: {failed[1]}")
        _log.info("Kernel started: %s", worker.pid)
        return worker
