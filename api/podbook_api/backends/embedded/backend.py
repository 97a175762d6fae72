"""The embedded implementation of :class:`~podbook_api.backends.base.ExecutionBackend`: documents in a directory, runners as processes."""

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol, TypeVar

from podbook_api.backends.base import AlreadyExistsError, BackendUnavailableError, QueueFullError, StillActiveError
from podbook_api.backends.embedded.data_dir import DataDir
from podbook_api.backends.embedded.documents import Documents
from podbook_api.backends.embedded.lifecycle import Lifecycle, Parts
from podbook_api.backends.embedded.live_executions import Row, Table
from podbook_api.backends.embedded.supervisor import StopReport, Supervisor
from podbook_api.clock import utc_now
from podbook_core.execution.acceptance import Accepted
from podbook_core.execution.accepting import Accepting
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.profiles import Profiles
from podbook_core.execution.reasons import Reason
from podbook_core.execution.stored import StoredExecution, needs_newer
from podbook_core.execution.transitions import Change, advanced
from podbook_core.results.record import RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import ObjectStore, StoreUnavailableError
from podbook_core.threads import Threads

__all__ = ["EmbeddedBackend"]

T = TypeVar("T")

_LOG = logging.getLogger("podbook.supervisor")
_THREADS = 16
_STOP_SECONDS = 20.0
_CANCEL_SECONDS = 5.0


class Companion(Protocol):
    """Something that works beside the backend for as long as it does."""

    async def start(self) -> None:
        """Begin."""
        ...

    async def stop(self) -> None:
        """End."""
        ...


class EmbeddedBackend:
    """Executions on this machine.

    Args:
        store: the object store; runners write to its directory by themselves.
        data: the opened data directory.
        validator: checks parameters against contracts.
        profiles: what executions may run as; times and memory count here.
        max_concurrent: how many run at once; one for each processor when None.
        max_queued: how many may wait.
        clock: the present, in UTC.
        environment: the server's environment, handed to runners without Podbook's settings.
        grace_seconds: from asking a runner to stop to killing it.
        on_stop: told what a stop has left for the next start.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        data: DataDir,
        validator: ContractValidator,
        profiles: Profiles,
        max_concurrent: int | None = None,
        max_queued: int = 1000,
        clock: Callable[[], datetime] = utc_now,
        environment: Mapping[str, str] | None = None,
        grace_seconds: float = 30.0,
        on_stop: Callable[[StopReport], None] | None = None,
    ) -> None:
        self._slots = max_concurrent or max(1, os.cpu_count() or 1)
        self._max_queued = max_queued
        self._clock = _in_milliseconds(clock)
        self._on_stop = on_stop
        self._threads = Threads(_THREADS)
        self._documents = Documents(data.live)
        self._table = Table(self._documents, self._threads)
        self._parts = Parts(
            store=store,
            accepting=Accepting(store, validator),
            profiles=profiles,
            data=data,
            threads=self._threads,
            clock=self._clock,
            environment=dict(os.environ if environment is None else environment),
            grace_seconds=grace_seconds,
        )
        self._records = RecordStore(store)
        self._lifecycle = Lifecycle(self._parts, self._table)
        self._supervisor = Supervisor(self._table, self._lifecycle, self._slots)
        self._companions: list[Companion] = []
        self._arriving: set[str] = set()
        self._changes: set[asyncio.Task[Any]] = set()
        self._accepting = False

    @property
    def max_concurrent(self) -> int:
        """How many executions run at once."""
        return self._slots

    def accompany(self, companion: Companion) -> None:
        """Start something after this backend, and stop it before."""
        self._companions.append(companion)

    async def start(self) -> None:
        """Take up every execution that an earlier server left.

        Raises:
            BackendUnavailableError: the data directory cannot be read.
        """
        try:
            found, damaged = await self._threads.run(self._documents.load)
        except StoreUnavailableError as error:
            raise BackendUnavailableError(str(error)) from error
        for item in damaged:
            _LOG.error("the document of an execution is damaged (%s); it was moved to %s", item.problem, item.file)
        for stored in found:
            self._adopt(stored)
        if found:
            _LOG.info("resuming %d executions of an earlier server", len(found))
        self._supervisor.start()
        self._accepting = True
        for companion in self._companions:
            await companion.start()

    def quiesce(self) -> None:
        """Take no more executions and end every watch, so that waiting callers are answered before the server stops."""
        self._accepting = False
        self._table.close()

    async def stop(self) -> None:
        """Stop taking executions, tell runners to stop, and wait for them up to 20 seconds; what has not ended goes on at the next start."""
        self.quiesce()
        for companion in reversed(self._companions):
            await companion.stop()
        report = await self._supervisor.stop(_STOP_SECONDS)
        if self._on_stop is not None:
            self._on_stop(report)

    async def create(self, execution: NotebookExecution) -> NotebookExecution:
        """See :meth:`ExecutionBackend.create <podbook_api.backends.base.ExecutionBackend.create>`."""
        return await self._uninterrupted(self._create(execution))

    async def get(self, name: str) -> NotebookExecution | None:
        """See :meth:`ExecutionBackend.get <podbook_api.backends.base.ExecutionBackend.get>`."""
        row = self._table.get(name)
        return None if row is None else await self._whole(row)

    async def live(self) -> list[NotebookExecution]:
        """See :meth:`ExecutionBackend.live <podbook_api.backends.base.ExecutionBackend.live>`."""
        return [row.execution for row in self._table]

    async def cancel(self, name: str) -> NotebookExecution | None:
        """See :meth:`ExecutionBackend.cancel <podbook_api.backends.base.ExecutionBackend.cancel>`.

        One that waits has ended when this returns, if the store can be written.
        """
        return await self._uninterrupted(self._cancel(name))

    async def remove(self, name: str, uid: str) -> None:
        """See :meth:`ExecutionBackend.remove <podbook_api.backends.base.ExecutionBackend.remove>`."""
        row = self._table.get(name)
        if row is None or row.execution.uid != uid:
            return
        if not row.ended:
            raise StillActiveError(f"{name} has not ended; cancel it first")
        self._table.drop(row)

    def watch(self, name: str) -> AbstractAsyncContextManager[AsyncIterator[NotebookExecution]]:
        """See :meth:`ExecutionBackend.watch <podbook_api.backends.base.ExecutionBackend.watch>`."""
        return self._table.watch(name)

    async def check(self) -> None:
        """See :meth:`ExecutionBackend.check <podbook_api.backends.base.ExecutionBackend.check>`."""
        self._check_accepting()
        if not self._supervisor.healthy():
            raise BackendUnavailableError("the supervisor has stopped; restart the server")
        try:
            await self._threads.run(self._documents.check)
        except StoreUnavailableError as error:
            raise BackendUnavailableError(str(error)) from error

    def _adopt(self, stored: StoredExecution) -> None:
        """Take up an execution of an earlier server; one of a newer version is shown, and waits for such a server."""
        execution = stored.execution
        if stored.newer and not execution.spec.cancel:
            message = needs_newer("Podbook", stored.newer)
            _LOG.warning("%s waits: it %s", execution.name, message)
            execution = execution.with_status(execution.status.model_copy(update={"message": message}))
        self._table.adopt(execution).newer = stored.newer

    async def _create(self, execution: NotebookExecution) -> NotebookExecution:
        self._check_accepting()
        name = execution.name
        known = self._table.get(name)
        if known is not None or name in self._arriving:
            raise AlreadyExistsError(None if known is None else await self._whole(known))
        self._check_room()
        self._arriving.add(name)
        try:
            new = _as_created(execution, self._clock())
            decision = await self._threads.run(self._parts.accepting.accept, new.spec, self._parts.profiles)
            if isinstance(decision, Accepted):
                new = advanced(new, Change(Reason.QUEUED, resolved=decision.resolved), self._clock())
            # One that is refused is taken in as it is, and ends with its reason, as it would in the cluster.
            row = await self._table.insert(new)
        except StoreUnavailableError as error:
            raise BackendUnavailableError(str(error)) from error
        finally:
            self._arriving.discard(name)
        self._supervisor.wake()
        return row.execution.with_parameters(execution.spec.parameters)

    async def _cancel(self, name: str) -> NotebookExecution | None:
        row = self._table.get(name)
        if row is None or row.ended:
            return None if row is None else await self._whole(row)
        if not row.execution.spec.cancel:
            try:
                await self._table.update(row, _as_cancelled)
            except StoreUnavailableError as error:
                raise BackendUnavailableError(str(error)) from error
        self._supervisor.wake()
        if not row.running:
            await asyncio.sleep(0)
            if row.task is not None:
                await asyncio.wait([row.task], timeout=_CANCEL_SECONDS)
        return await self._whole(row)

    async def _whole(self, row: Row) -> NotebookExecution | None:
        """The execution of a row with its parameters, from its document, or from its record once it has ended; None when both are gone."""
        try:
            found = await self._table.whole(row)
            if found is None:
                record = await self._threads.run(self._records.read, row.execution.uid)
                found = None if record is None else row.execution.with_parameters(record.execution.spec.parameters)
        except (StoreUnavailableError, ValueError) as error:
            raise BackendUnavailableError(str(error)) from error
        return found

    async def _uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry a change through even when its caller goes away: what was written must also be known here."""
        task = asyncio.create_task(work)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    def _check_accepting(self) -> None:
        if not self._accepting:
            raise BackendUnavailableError("the server is starting or stopping; try again in a moment")

    def _check_room(self) -> None:
        alive = len(self._arriving) + sum(1 for row in self._table if not row.ended)
        waiting = max(0, alive - self._slots)
        if alive >= self._slots + self._max_queued:
            raise QueueFullError(waiting, self._max_queued, retry_after=max(1, min(60, waiting // self._slots)))


def _in_milliseconds(clock: Callable[[], datetime]) -> Callable[[], datetime]:
    """A clock whose times are the same before and after they were written into a document."""

    def now() -> datetime:
        moment = clock()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    return now


def _as_created(execution: NotebookExecution, now: datetime) -> NotebookExecution:
    """A new execution with what a cluster would fill in."""
    metadata = execution.metadata.model_copy(update={"uid": str(uuid.uuid4()), "creation_timestamp": now, "generation": 1})
    return execution.model_copy(update={"metadata": metadata})


def _as_cancelled(execution: NotebookExecution) -> NotebookExecution:
    """The execution with its end asked for."""
    metadata = execution.metadata.model_copy(update={"generation": (execution.metadata.generation or 1) + 1})
    return execution.model_copy(update={"metadata": metadata, "spec": execution.spec.model_copy(update={"cancel": True})})
