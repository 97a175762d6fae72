"""One worker process: started, asked, and ended with everything it started."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

from podbook_core.http_notebook.messages import MAX_LINE_BYTES, InvalidMessageError, Ran, Run, Start
from podbook_core.http_notebook.response import CellRun

__all__ = ["WorkerLostError", "WorkerProcess", "WorkerTimeoutError"]

_PROGRAM = "podbook_runner.worker.server"
_GOODBYE_SECONDS = 5.0


class WorkerLostError(Exception):
    """The worker is of no more use: its kernel ended. The message says how, in a sentence."""


class WorkerTimeoutError(WorkerLostError):
    """It did not answer in time, and was ended."""


class WorkerProcess:
    """A worker. Make one with :meth:`start`; it runs one thing at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, start: Start, *, seconds: float) -> tuple["WorkerProcess", Sequence[CellRun]]:
        """Start a worker and its kernel, and run its set-up.

        Returns:
            The worker, and what each source of the set-up gave.

        Raises:
            WorkerLostError: the kernel could not be started, or ended in its set-up.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            _PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is the server's: it ends its workers itself
        )
        worker = cls(process)
        try:
            return worker, await worker._ask(start.line(), seconds)
        except BaseException:
            worker.kill()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def run(self, sources: Sequence[str], *, seconds: float) -> Sequence[CellRun]:
        """Run sources one after the other; what follows one that raised is not run.

        Raises:
            WorkerTimeoutError: it took longer than that; the worker is gone.
            WorkerLostError: the kernel ended; the worker is gone.
        """
        try:
            return await self._ask(Run(sources).line(), seconds)
        except BaseException:
            # Also when nobody waits for the answer any more: it would be taken for that of the next request.
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once. Its kernel notices, and ends as well."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Let it end its kernel, and end; at once after some seconds."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    async def _ask(self, line: bytes, seconds: float) -> Sequence[CellRun]:
        written, read = self._process.stdin, self._process.stdout
        if written is None or read is None:
            raise WorkerLostError("the worker has no pipes")
        try:
            async with asyncio.timeout(seconds):
                written.write(line)
                await written.drain()
                answer = await read.readline()
        except TimeoutError:
            raise WorkerTimeoutError(f"the kernel did not answer within {seconds:g} seconds, and was ended") from None
        except (OSError, ValueError) as error:  # a pipe that broke, or a line longer than any may be
            raise WorkerLostError(f"the worker cannot be spoken to ({type(error).__name__})") from error
        if not answer.endswith(b"\n"):
            raise WorkerLostError("the worker ended without a word")
        try:
            ran = Ran.from_line(answer)
        except InvalidMessageError as error:
            raise WorkerLostError(f"the worker's answer cannot be read: {error}") from error
        if ran.lost is not None:
            raise WorkerLostError(ran.lost)
        return ran.runs
