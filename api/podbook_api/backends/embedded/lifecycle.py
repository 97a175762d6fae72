"""The life of one embedded execution: accepted, attempted, judged, and tried again or closed.

Whatever is decided is written before it is shown or acted upon, so that a server killed at any moment leaves enough for the next one:
the record decides, else the attempt's lock says whether its runner lives, else its manifest says what it did.
"""

import asyncio
import contextlib
import logging
import math
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, repeat
from typing import TypeVar

from pydantic import ValidationError

from podbook_api.backends.embedded.attempt import AttemptFolder, DirectoryPlaces, attempt_of, verdict_on, with_attempt
from podbook_api.backends.embedded.crashed_attempt import salvage
from podbook_api.backends.embedded.data_dir import DataDir
from podbook_api.backends.embedded.live_executions import Row, Table
from podbook_api.backends.embedded.process import AdoptedRunner, OwnRunner, Runner, abandon, kill_marked, runner_environment
from podbook_core.execution.acceptance import Accepted, Refused
from podbook_core.execution.accepting import Accepting
from podbook_core.execution.deadlines import DEFAULT_PUBLISH_TIMEOUT, first_attempt_deadline, run_seconds
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import ATTEMPTS_LIMIT, NotebookExecution
from podbook_core.execution.profiles import Profiles
from podbook_core.execution.reasons import ExitCode, Reason
from podbook_core.execution.task_building import build_task
from podbook_core.execution.transitions import Change, advanced, change_at_end, change_of_progress
from podbook_core.execution.verdict import Again, End
from podbook_core.results.attempts import Attempts
from podbook_core.results.record import RecordStore
from podbook_core.store.base import ObjectStore, StoreUnavailableError
from podbook_core.threads import Threads

__all__ = ["Lifecycle", "Parts"]

T = TypeVar("T")

_LOG = logging.getLogger("podbook.supervisor")
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an execution's life needs."""

    store: ObjectStore
    accepting: Accepting
    profiles: Profiles
    data: DataDir
    threads: Threads
    clock: Callable[[], datetime]
    environment: Mapping[str, str]
    """The server's environment; runners get it without Podbook's settings."""
    grace_seconds: float = 30.0
    """From SIGTERM to SIGKILL."""


class Lifecycle:
    """Drives executions from one state to the next. Lives on one event loop."""

    def __init__(self, parts: Parts, table: Table) -> None:
        self._parts = parts
        self._table = table
        self._records = RecordStore(parts.store)
        self._attempts = Attempts(parts.store)
        self._runners: dict[str, Runner] = {}
        self.stopping = False
        """Whether the server stops: then an attempt's end is not anyone's fault."""

    async def drive(self, row: Row) -> None:
        """Take an execution as far as it goes now: to its end, or back to waiting for another attempt."""
        if attempt_of(row.execution) is None:
            folder = await self._insist(row, lambda: self._begin(row))
            if folder is None:
                return
            try:
                runner = await self._start(row, folder)
            except OSError as error:
                await self._could_not_start(row, folder, error)
                return
        else:
            folder = AttemptFolder(self._parts.data.work, row.execution.uid, attempt_of(row.execution) or "")
            runner = await self._insist(row, lambda: self._find(folder))
        exit_code, late = None, False
        if runner is not None:
            self._runners[row.execution.uid] = runner
            if self.stopping:
                # It was being started when the others were told.
                runner.signal(signal.SIGTERM)
            try:
                exit_code, late = await self._follow(row, folder, runner)
            finally:
                self._runners.pop(row.execution.uid, None)
        if exit_code is None or exit_code not in set(ExitCode):
            # Nothing cleaned up after this runner: its kernel has its own session, and may still be alive.
            await self._parts.threads.run(kill_marked, _marker(row.execution))
        manifest = await self._insist(row, lambda: self._parts.threads.run(self._attempts.manifest, folder.uid, folder.attempt))
        verdict = verdict_on(
            manifest,
            exit_code=exit_code,
            late=late,
            cancel_requested=row.execution.spec.cancel,
            stopping=self.stopping,
            status=row.execution.status,
            retries=await self._insist(row, lambda: self._parts.threads.run(self._parts.accepting.retries, row.execution)),
            message=folder.last_message(),
        )
        if isinstance(verdict, End):
            if manifest is None:
                known = verdict  # for the closure below
                manifest = await self._insist(row, lambda: self._parts.threads.run(salvage, self._parts.store, folder, known))
            await self.finish(row, verdict, manifest)
        else:
            await self._insist(row, lambda: self._wait_again(row, folder, verdict))

    async def finish(self, row: Row, end: End, manifest: AttemptManifest | None = None) -> None:
        """Close an execution, trying until the store takes it."""
        await self._insist(row, lambda: self._close(row, end, manifest))

    async def recover(self, row: Row) -> bool:
        """Look for the record of an execution whose server was killed; whether it had one, and now has ended here, too."""
        try:
            record = await self._insist(row, lambda: self._parts.threads.run(self._records.read, row.execution.uid))
        except ValidationError:
            # It goes on from its document and its attempts; the record is written again at the end.
            _LOG.error("the record of %s cannot be read: it is damaged", row.execution.name)
            return False
        if record is None:
            return False
        # The index may lack it still; closing again writes it and leaves the record as it is.
        await self._insist(row, lambda: self._parts.threads.run(self._records.close, record.execution, None))
        await self._clear(row)
        await self._insist(row, lambda: self._table.end(row, record.execution))
        return True

    def seconds_to_deadline(self, row: Row) -> float:
        """How long an execution may still wait for its first attempt; infinite once it had one, negative when that time is over."""
        deadline = first_attempt_deadline(row.execution)
        return math.inf if deadline is None else (deadline - self._parts.clock()).total_seconds()

    def terminate_all(self) -> int:
        """Ask every runner to stop; returns how many there are."""
        for runner in self._runners.values():
            runner.signal(signal.SIGTERM)
        return len(self._runners)

    async def _begin(self, row: Row) -> AttemptFolder | None:
        """Record an attempt, or the end of an execution that may have none."""
        if row.cancel.is_set():
            await self._close(row, End(Reason.CANCELLED, "cancelled before it started"), None)
            return None
        whole = await self._whole(row)
        decision = await self._parts.threads.run(self._accepted, whole)
        if isinstance(decision, Refused):
            await self._close(row, End(decision.reason, decision.message), None)
            return None
        folder = AttemptFolder(self._parts.data.work, row.execution.uid, uuid.uuid4().hex)
        task = build_task(
            whole,
            decision.version,
            DirectoryPlaces(self._parts.data.store),
            timeout=decision.resolved.timeout_seconds,
            publish_timeout=DEFAULT_PUBLISH_TIMEOUT,
            memory_limit_bytes=decision.profile.memory_limit_bytes,
        )
        try:
            await self._parts.threads.run(folder.prepare, task)
        except OSError as error:
            raise StoreUnavailableError(f"cannot prepare an attempt: {error.strerror or error}") from error
        attempts, now = row.execution.status.attempts + 1, self._parts.clock()
        change = Change(Reason.STARTING, attempts=attempts, start_time=now, resolved=decision.resolved)
        await self._table.update(row, lambda known: advanced(with_attempt(known, folder.attempt), change, now))
        return folder

    def _accepted(self, execution: NotebookExecution) -> Accepted | Refused:
        """What was accepted when the execution was created; one that was refused then is refused again, and ends by that."""
        accepting, profiles = self._parts.accepting, self._parts.profiles
        if execution.status.resolved is None:
            return accepting.accept(execution.spec, profiles)
        return accepting.confirm(execution, profiles)

    async def _start(self, row: Row, folder: AttemptFolder) -> Runner | None:
        """Start the runner of a recorded attempt; None when it is no longer wanted.

        Raises:
            OSError: the system starts no such process now: no permission, no memory, no more processes or files.
        """
        if row.cancel.is_set():
            return None
        environment = runner_environment(self._parts.environment)
        return await self._parts.threads.run(OwnRunner, folder.command(), environment, folder.path, folder.log)

    async def _could_not_start(self, row: Row, folder: AttemptFolder, error: OSError) -> None:
        """Try again for a while, since memory and processes may be there in a moment; then end it with the cause."""
        message = f"the runner could not be started: {error.strerror or error}"
        _LOG.warning("%s: %s", row.execution.name, message)
        if row.execution.status.attempts < ATTEMPTS_LIMIT:
            await self._insist(row, lambda: self._wait_again(row, folder, Again(Reason.CONFIGURATION_ERROR, message)))
        else:
            await self.finish(row, End(Reason.CONFIGURATION_ERROR, message))

    async def _find(self, folder: AttemptFolder) -> Runner | None:
        """The living runner of an attempt that an earlier server recorded; None, for good, when there is none."""
        try:
            dead = await self._parts.threads.run(abandon, folder.lock)
        except OSError as error:
            raise StoreUnavailableError(f"cannot read the lock of an attempt: {error.strerror or error}") from error
        if dead:
            return None
        _LOG.info("attempt %s still runs; following it", folder.attempt)
        return AdoptedRunner(folder.lock)

    async def _follow(self, row: Row, folder: AttemptFolder, runner: Runner) -> tuple[int | None, bool]:
        """Wait for a runner's end, keeping its clocks and showing its progress. Returns its exit code, and whether it was too late."""
        ended = asyncio.ensure_future(runner.wait())
        cancelled = asyncio.ensure_future(row.cancel.wait())
        backstop = time.monotonic() + self._seconds_left(row.execution)
        kill_at, asked, late = backstop, False, False
        pause = 0.1
        try:
            while not ended.done():
                if row.cancel.is_set() and not asked:
                    asked = runner.signal(signal.SIGTERM)
                    kill_at = min(kill_at, time.monotonic() + self._parts.grace_seconds)
                if time.monotonic() >= kill_at:
                    late = late or time.monotonic() >= backstop
                    runner.signal(signal.SIGKILL)
                    await self._parts.threads.run(kill_marked, _marker(row.execution))
                    kill_at = time.monotonic() + 5.0
                watched = {ended} if row.cancel.is_set() else {ended, cancelled}
                await asyncio.wait(watched, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                pause = min(1.0, pause * 1.5)
                if not ended.done():
                    await self._show_progress(row, folder)
            return ended.result(), late
        finally:
            for task in (ended, cancelled):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _seconds_left(self, execution: NotebookExecution) -> float:
        status = execution.status
        allowed = status.resolved.timeout_seconds if status.resolved else 0
        begun = status.start_time or self._parts.clock()
        spent = max(timedelta(0), self._parts.clock() - begun).total_seconds()
        return run_seconds(timeout=allowed, publish=DEFAULT_PUBLISH_TIMEOUT) - spent

    async def _show_progress(self, row: Row, folder: AttemptFolder) -> None:
        try:
            progress = await self._parts.threads.run(self._attempts.progress, folder.uid, folder.attempt)
        except StoreUnavailableError:
            return
        known = row.execution.status
        if progress is not None and (progress != known.progress or known.reason is Reason.STARTING):
            change, now = change_of_progress(progress), self._parts.clock()
            self._table.show(row, lambda known: advanced(known, change, now))

    async def _wait_again(self, row: Row, folder: AttemptFolder, verdict: Again) -> None:
        now = self._parts.clock()
        message = f"attempt {row.execution.status.attempts} ended: {verdict.message or verdict.reason}; retrying"
        await self._table.update(row, lambda known: advanced(with_attempt(known, None), Change(Reason.QUEUED, message), now))
        await self._parts.threads.run(folder.remove)
        row.not_before = time.monotonic() + 2.0 ** (row.execution.status.attempts - 1)

    async def _close(self, row: Row, end: End, manifest: AttemptManifest | None) -> None:
        now = self._parts.clock()
        change = change_at_end(end, manifest)
        final = self._table.stamp(advanced(with_attempt(await self._whole(row), None), change, now))
        record = await self._parts.threads.run(self._records.close, final, manifest)
        await self._clear(row)
        await self._table.end(row, record.execution)
        _LOG.info("%s ended: %s", row.execution.name, record.execution.status.reason)

    async def _whole(self, row: Row) -> NotebookExecution:
        """The execution with its parameters. If its document was removed from outside, it ends without them rather than never."""
        found = await self._table.whole(row)
        if found is None:
            _LOG.error("the document of %s no longer exists, nor do its parameters", row.execution.name)
        return found or row.execution

    async def _clear(self, row: Row) -> None:
        await self._parts.threads.run(AttemptFolder(self._parts.data.work, row.execution.uid, "-").remove_all)

    async def _insist(self, row: Row, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call, tried until the store takes it. The execution says meanwhile what it waits for."""
        for pause in chain(_RETRY_SECONDS, repeat(_RETRY_SECONDS[-1])):
            try:
                return await call()
            except StoreUnavailableError as error:
                message = f"{error}; retrying"
                if row.execution.status.message != message:
                    _LOG.warning("%s: %s", row.execution.name, message)
                    change = Change(row.execution.status.reason, message)
                    self._table.show(row, lambda known, change=change: advanced(known, change, self._parts.clock()))  # type: ignore[misc] # mypy infers no type for a default
                await asyncio.sleep(pause)
        raise AssertionError("repeat() never ends")


def _marker(execution: NotebookExecution) -> str:
    """What the processes of an execution's notebook carry in their environment."""
    return f"PODBOOK_UID={execution.uid}"
