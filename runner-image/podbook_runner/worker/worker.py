"""A kernel with its session, and the one way to run cells in it: sources in, what they gave out."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbclient.exceptions import DeadKernelError

from podbook_core.http_notebook.response import CellRun
from podbook_runner.cells.mime_bundle import valid_bundle
from podbook_runner.kernel.process import Kernel
from podbook_runner.kernel.session import KernelSession, close_session, open_session
from podbook_runner.kernel.spec import KernelSpec

__all__ = ["Worker", "WorkerLostError"]

START_SECONDS = 120
_WAIT_SECONDS = 5.0
_LONGEST_ERROR = 4096


class WorkerLostError(Exception):
    """The kernel has ended, or had to be ended. The message says how, in a sentence."""


class Worker:
    """One kernel.

    Args:
        spec: how it is started.
        runtime: a private folder with a short path, for its sockets.
        cwd: its working directory.
        environment: its environment, complete.
        limit: most bytes of output of one run.
    """

    def __init__(self, spec: KernelSpec, runtime: Path, cwd: Path, environment: Mapping[str, str], *, limit: int) -> None:
        self._kernel = Kernel(spec, runtime, cwd, environment)
        self._limit = limit
        self._received = 0
        self._session: KernelSession | None = None

    async def start(self) -> None:
        """Wait until the kernel is ready.

        Raises:
            WorkerLostError: it ended, or was not ready in time.
        """
        self._kernel.listen()
        try:
            self._session, _ = await open_session(
                self._kernel, seconds=START_SECONDS, largest_message=self._limit, received=self._count, lost=self._kernel.kill
            )
        except (DeadKernelError, TimeoutError) as error:
            raise WorkerLostError(self._end()) from error

    async def run(self, sources: Sequence[str]) -> list[CellRun]:
        """Run sources one after the other, and give what each of them gave; nothing follows one that raised.

        Raises:
            WorkerLostError: the kernel ended meanwhile, or wrote more than the limit.
        """
        session = self._session
        if session is None:
            raise WorkerLostError("the kernel has not been started")
        self._received = 0
        # All at once: the kernel takes one after the other, and drops what follows an error.
        requests = [session.execute(source, store_history=False, allow_stdin=False, stop_on_error=True) for source in sources]
        runs = []
        try:
            for request in requests:
                run = await self._collect(session, request)
                runs.append(run)
                if run.error is not None:
                    await self._skip(session, requests[len(runs) :])
                    break
        except DeadKernelError as error:
            raise WorkerLostError(self._end()) from error
        return runs

    async def close(self) -> None:
        """End the kernel, and everything it started."""
        if self._session is not None:
            with contextlib.suppress(Exception):
                await close_session(self._session)
            self._kernel.wait(_WAIT_SECONDS)
        self._kernel.kill()

    async def _collect(self, session: KernelSession, request: str) -> CellRun:
        """Everything the kernel says of one source, until it is idle again."""
        stdout: list[str] = []
        result: Mapping[str, Any] | None = None
        displayed: Mapping[str, Any] | None = None
        error: tuple[str, str] | None = None
        while True:
            message = await session.iopub_channel.get_msg()
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "status" if content.get("execution_state") == "idle":
                    return CellRun("".join(stdout), result, displayed, error)
                case "stream" if content.get("name", "stdout") == "stdout":
                    stdout.append(str(content.get("text", "")))
                case "execute_result":
                    result, _ = valid_bundle(content.get("data"))
                case "display_data" | "update_display_data":
                    displayed, _ = valid_bundle(content.get("data"))
                case "error":
                    error = (str(content.get("ename"))[:_LONGEST_ERROR], str(content.get("evalue"))[:_LONGEST_ERROR])
                case _:
                    pass

    async def _skip(self, session: KernelSession, requests: Sequence[str]) -> None:
        """Take in what the kernel says of sources that it drops."""
        for request in requests:
            await self._collect(session, request)

    def _count(self, size: int) -> None:
        self._received += size
        if self._received > self._limit:
            self._kernel.kill()

    def _end(self) -> str:
        if self._received > self._limit:
            return f"its output had more than {self._limit} bytes, so its kernel was ended"
        words = self._kernel.last_words().strip().splitlines()
        return f"the kernel {self._kernel.end()}" + (f": {words[-1][:500]}" if words else "")
