"""A kernel with its session, and the way to run sources in it: texts in, what they gave out."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbclient.exceptions import DeadKernelError

from podbook_core.http_notebook.messages import Ran
from podbook_runner.kernel.process import Kernel
from podbook_runner.kernel.session import KernelSession, close_session, open_session
from podbook_runner.kernel.spec import KernelSpec
from podbook_runner.shared.output import Gathered

__all__ = ["SharedKernel"]

START_SECONDS = 120
_INTERRUPT_SECONDS = 3.0
"""How long a source may take to end after it was interrupted, before its kernel is killed."""
_GOODBYE_SECONDS = 1.0
_LONGEST_WORD = 500
_LAST_WORDS = 2000


class _TooLongError(Exception):
    """A source did not end in its time."""


class _TooLargeError(Exception):
    """A source gave more than is taken."""


class SharedKernel:
    """One kernel.

    Args:
        spec: how it is started.
        runtime: a private folder with a short path, for its sockets.
        cwd: its working directory.
        environment: its environment, complete.
        limit: most bytes of output of one source.

    Raises:
        AttemptError: its program cannot be started.
    """

    def __init__(self, spec: KernelSpec, runtime: Path, cwd: Path, environment: Mapping[str, str], *, limit: int) -> None:
        self._kernel = Kernel(spec, runtime, cwd, environment)
        self._limit = limit
        self._session: KernelSession | None = None
        self._reading: asyncio.Task[None] | None = None
        self._gathering: dict[str, tuple[Gathered, asyncio.Future[None]]] = {}
        self._too_much = False
        self._asked_to_exit = False
        self._killed = False
        """Whether it was ended here. The process may still count as alive for a moment, and must get no other request."""

    @property
    def usable(self) -> bool:
        """Whether it takes another run."""
        return self._kernel.is_alive() and not self._asked_to_exit and not self._killed

    async def start(self) -> Ran | None:
        """Wait until the kernel is ready; why it is not, or None."""
        self._kernel.listen()
        try:
            self._session, _ = await open_session(
                self._kernel,
                seconds=START_SECONDS,
                largest_message=self._limit,
                lost=self._end_for_too_much,
            )
        except (DeadKernelError, TimeoutError):
            return Ran(lost=self._how_it_ended())
        self._reading = asyncio.create_task(self._read_output(self._session), name="output of the kernel")
        return None

    async def run(self, sources: Sequence[str], *, seconds: float, quiet: int = 0) -> Ran:
        """Run sources one after the other, and give what each of them gave; nothing follows one that raised.

        Args:
            sources: their texts.
            seconds: how long all of them may take. Then the one that runs is interrupted, and its kernel killed when that does not help.
            quiet: so many at the beginning bring nothing but a value, and are sent together with the one behind them.
        """
        end = time.monotonic() + seconds
        gathered: list[Gathered] = []
        try:
            for number, source in enumerate(sources):
                gathered.append(Gathered(self._limit))
                if number < quiet < len(sources):
                    self._connected.execute(source, silent=True, store_history=False, allow_stdin=False, stop_on_error=False)
                    continue
                await self._run_source(source, gathered[-1], end)
                if gathered[-1].run.error is not None:
                    break
        except _TooLongError:
            return Ran(late=True, usable=self.usable, lost=f"the cells did not end within {seconds:g} seconds")
        except (DeadKernelError, _TooLargeError):
            return Ran(usable=False, lost=self._how_it_ended())
        return Ran([item.run for item in gathered], usable=self.usable)

    async def close(self) -> None:
        """End the kernel, and everything it started."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self._session is not None:
            with contextlib.suppress(Exception):
                await close_session(self._session)
            self._kernel.wait(_GOODBYE_SECONDS)
        self._kernel.kill()

    @property
    def _connected(self) -> KernelSession:
        if self._session is None:
            raise RuntimeError("the kernel was not started")
        return self._session

    async def _run_source(self, source: str, gathered: Gathered, end: float) -> None:
        session = self._connected
        # An error does not stop what comes later: that would also be the first source of the next request.
        request = session.execute(source, store_history=False, allow_stdin=False, stop_on_error=False)
        idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gathering[request] = gathered, idle
        replied = asyncio.ensure_future(self._reply_to(session, request))
        both: asyncio.Future[Any] = asyncio.gather(idle, replied)
        try:
            await self._until_done(both, end - time.monotonic())
        finally:
            del self._gathering[request]
            both.cancel()
            with contextlib.suppress(asyncio.CancelledError, DeadKernelError):
                await both
        if gathered.too_large:
            raise _TooLargeError

    async def _until_done(self, done: "asyncio.Future[Any]", seconds: float) -> None:
        """Wait for the end of a source.

        Raises:
            _TooLongError: it took longer, and was interrupted or killed.
            DeadKernelError: the kernel ended.
        """
        if await _is_done(done, seconds):
            await done
            return
        # Interrupted, the kernel keeps what it holds. One that does not listen is killed, with all that it has started.
        if self._interrupted() and await _is_done(done, _INTERRUPT_SECONDS):
            raise _TooLongError
        self._kill()
        raise _TooLongError

    def _interrupted(self) -> bool:
        """Send what Ctrl-C sends; whether the kernel can be expected to listen."""
        if not (self._kernel.spec.is_ipykernel and self._kernel.is_alive()):
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._kernel.pid, signal.SIGINT)
        return True

    async def _reply_to(self, session: KernelSession, request: str) -> None:
        """Wait for the reply to a request. Those to quiet ones come before it, and are read with it."""
        while True:
            reply = await session.shell_channel.get_msg()
            if reply["parent_header"].get("msg_id") == request:
                payload = reply["content"].get("payload")
                told = payload if isinstance(payload, list) else []
                self._asked_to_exit |= any(isinstance(item, dict) and item.get("source") == "ask_exit" for item in told)
                return

    async def _read_output(self, session: KernelSession) -> None:
        """Read everything the kernel says, between runs as well: threads of a notebook may print at any time."""
        try:
            while True:
                message = await session.iopub_channel.get_msg()
                found = self._gathering.get(message["parent_header"].get("msg_id", ""))
                if found is None:
                    continue
                gathered, idle = found
                if message["msg_type"] == "status":
                    if message["content"].get("execution_state") == "idle" and not idle.done():
                        idle.set_result(None)
                    continue
                gathered.take(message["msg_type"], message["content"])
                if gathered.too_large and self._kernel.is_alive():
                    self._end_for_too_much()
        except DeadKernelError as error:
            for _, idle in self._gathering.values():
                if not idle.done():
                    idle.set_exception(error)

    def _end_for_too_much(self) -> None:
        self._too_much = True
        self._kill()

    def _kill(self) -> None:
        self._killed = True
        self._kernel.kill()

    def _how_it_ended(self) -> str:
        if self._too_much:
            return f"its output had more than {self._limit} bytes, so its kernel was ended"
        if self._kernel.is_alive():
            return f"the kernel was not ready within {START_SECONDS} seconds"
        words = self._kernel.last_words().strip()[-_LAST_WORDS:].splitlines()
        return f"the kernel {self._kernel.end()}" + (f": {words[-1][:_LONGEST_WORD]}" if words else "")


async def _is_done(done: "asyncio.Future[Any]", seconds: float) -> bool:
    finished, _ = await asyncio.wait([done], timeout=max(0.0, seconds))
    return bool(finished)
