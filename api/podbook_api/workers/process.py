"""One worker process: started, asked, and ended with everything it started."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping

from podbook_core.http_notebook.messages import MAX_LINE_BYTES, Ran, Run, Start

__all__ = ["RequestTooLargeError", "WorkerProcess"]

_PROGRAM = "podbook_runner.shared.server"
_GOODBYE_SECONDS = 5.0
_PATIENCE_SECONDS = 15.0
"""How much later than the end of a run's own time an answer may come."""
_START_SECONDS = 150.0
"""How long a kernel may take to be ready, on top of its set-up."""


class RequestTooLargeError(Exception):
    """A request that no worker takes."""


class WorkerProcess:
    """A worker. Make one with :meth:`start`; it runs one thing at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.usable = False
        """Whether it takes another run."""

    @classmethod
    async def start(cls, start: Start, environment: Mapping[str, str]) -> tuple["WorkerProcess", Ran]:
        """Start a worker and its kernel, and run its set-up.

        Args:
            start: what it is told first.
            environment: of the worker, from which the kernel's is made.

        Returns:
            The worker, and what its set-up gave; it must be closed also where that failed.

        Raises:
            OSError: the system cannot start a process now.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            _PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is the server's: it ends its workers itself
        )
        worker = cls(process)
        try:
            ran = await worker._ask(start.line(), start.seconds + _START_SECONDS)
        except BaseException:
            await worker.close()
            raise
        worker.usable = ran.usable
        return worker, ran

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def run(self, run: Run) -> Ran:
        """Run sources one after the other; what follows one that raised is not run. Afterwards :attr:`usable` says whether it takes another.

        Raises:
            RequestTooLargeError: it is more than a worker takes; nothing was run.
        """
        line = run.line()
        if len(line) > MAX_LINE_BYTES:
            raise RequestTooLargeError(
                f"the request has {len(line)} bytes as a text of the kernel; at most {MAX_LINE_BYTES} are taken"
            )
        try:
            # The worker itself ends what takes too long; this is for one that cannot.
            ran = await self._ask(line, run.seconds + _PATIENCE_SECONDS)
        except BaseException:
            # Also when nobody waits for the answer any more: it would be taken for that of the next request.
            self.usable = False
            raise
        self.usable = ran.usable
        return ran

    def kill(self) -> None:
        """End it at once, for one that does not answer. Its kernel notices, and ends as well."""
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

    async def _ask(self, line: bytes, seconds: float) -> Ran:
        """The answer; where none comes, why, and that it is of no more use."""
        written, read = self._process.stdin, self._process.stdout
        if written is None or read is None:
            return Ran(lost="the worker has no pipes", usable=False)
        try:
            async with asyncio.timeout(seconds):
                written.write(line)
                await written.drain()
                answer = await read.readline()
            if not answer.endswith(b"\n"):
                return Ran(lost="the worker ended without a word", usable=False)
            return Ran.from_line(answer)
        except TimeoutError:
            return Ran(lost=f"the worker did not answer within {seconds:g} seconds", late=True, usable=False)
        except (OSError, ValueError) as error:  # a pipe that broke, a line longer than any may be, or one that is not an answer
            return Ran(lost=f"the worker cannot be understood ({type(error).__name__})", usable=False)
