"""Executions followed live: events whose ids derive from the state, so that any replica resumes any stream.

The hub follows an execution once, however many watch it, and only while it is watched. Watchers get the newest state; what came and
went between two looks is not told.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import Gauge

from podbook_api.backends.base import BackendUnavailableError, ExecutionBackend
from podbook_api.services.errors import ExecutionNotFoundError
from podbook_api.services.executions import ExecutionService
from podbook_api.services.results import ResultService
from podbook_core.execution.model import NotebookExecution, Progress
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import is_settled
from podbook_core.store.base import StoreUnavailableError
from podbook_core.text.digests import digest_json

__all__ = ["Event", "EventHub", "State", "state_events", "state_id"]

_log = logging.getLogger(__name__)
PROGRESS_SECONDS = 1.0
"""How often the progress of a watched execution is read from the store."""
_RETRY_SECONDS = 2.0
_RECHECK_SECONDS = 2.0
"""How often a stream asks whether its watcher may still read it."""


@dataclass(frozen=True, slots=True)
class State:
    """What watchers are told."""

    execution: NotebookExecution
    progress: Progress | None

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return is_settled(self.execution)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing a watcher is told."""

    kind: str
    """``status``, ``progress``, ``end`` (the last one) or ``gone`` (the execution is no longer there)."""
    data: Mapping[str, Any]
    id: str
    """Names the state, so that a stream resumes after it."""


def state_id(state: State) -> str:
    """The event id of a state: the same on every replica. The part before the dot is the status without its progress. Pure."""
    status = state.execution.status.document()
    status.pop("progress", None)
    progress = state.progress
    steps = "0-0" if progress is None else f"{progress.completed}-{progress.total}"
    return f"{digest_json(status)[:24]}.{steps}"


def state_events(state: State, last_id: str | None) -> list[Event]:
    """The events that bring a watcher from the state of ``last_id`` to this one. Pure."""
    new_id = state_id(state)
    if new_id == last_id:
        return []
    known_status, _, known_steps = (last_id or "").partition(".")
    status, _, steps = new_id.partition(".")
    events = []
    if steps != known_steps and state.progress is not None and status == known_status:
        events.append(Event("progress", state.progress.document(), new_id))
    if status != known_status:
        document = state.execution.status.document()
        if state.progress is not None:
            document["progress"] = state.progress.document()
        events.append(Event("status", {"id": state.execution.name, "status": document}, new_id))
    return events


class _Follower:
    """One execution that is being followed for all who watch it."""

    def __init__(self, execution: NotebookExecution) -> None:
        self.state = State(execution, execution.status.progress)
        self.ended = False
        self.failed = False
        self.watchers = 0
        self.changed = asyncio.Condition()
        self.task: asyncio.Task[None] | None = None

    async def differs_from(self, seen: State, *, seconds: float) -> None:
        """Wait until there is something a watcher of ``seen`` does not know, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.changed:
                await self.changed.wait_for(lambda: self.state is not seen or self.ended or self.failed)

    async def tell(
        self, *, execution: NotebookExecution | None = None, progress: Progress | None = None, ended: bool = False
    ) -> None:
        async with self.changed:
            newest = execution or self.state.execution
            # The store's progress is never older than what the status says, so the further one counts.
            steps = max(
                (item for item in (progress, self.state.progress, newest.status.progress) if item is not None),
                key=lambda item: (item.completed, item.total),
                default=None,
            )
            self.state = State(newest, newest.status.progress if newest.status.terminal and newest.status.progress else steps)
            self.ended = self.ended or ended
            self.changed.notify_all()


class EventHub:
    """Follows executions for their watchers. ``open_streams`` counts the watchers."""

    def __init__(
        self, backend: ExecutionBackend, executions: ExecutionService, results: ResultService, *, open_streams: Gauge
    ) -> None:
        self._backend = backend
        self._open_streams = open_streams
        self._executions = executions
        self._results = results
        self._followers: dict[str, _Follower] = {}
        self._places: Counter[str] = Counter()

    def take_place(self, holder: str, *, most: int) -> Callable[[], None] | None:
        """A place for one more stream of a holder, to be given back by calling it once; None where ``most`` are taken."""
        if self._places[holder] >= most:
            return None
        self._places[holder] += 1

        def give_back() -> None:
            self._places[holder] -= 1
            if self._places[holder] <= 0:
                del self._places[holder]

        return give_back

    async def stream(
        self, execution: NotebookExecution, last_id: str | None, *, allowed: Callable[[NotebookExecution], bool]
    ) -> AsyncIterator[Event]:
        """Events from the present state to the end; the present state first, unless ``last_id`` says it is known.

        The last event is ``end``, with the reason as data; a stream that breaks off without it can be resumed.

        Args:
            execution: what is followed.
            last_id: id of the last event the watcher has seen.
            allowed: whether the watcher may still read the execution; asked before anything is told, and every few seconds. The stream
                breaks off where it may not.
        """
        async with self._following(execution) as follower:
            while True:
                if follower.failed:
                    # The hub has stopped following: the stream breaks off without its last event, and the client reconnects.
                    raise RuntimeError(f"execution {execution.name} could not be followed")
                if not allowed(execution):
                    return
                state, ended = follower.state, follower.ended
                for event in state_events(state, last_id):
                    yield event
                last_id = state_id(state)
                if state.final:
                    status = state.execution.status
                    data = {"id": state.execution.name, "phase": str(status.phase), "reason": str(status.reason)}
                    yield Event("end", data, last_id)
                    return
                if ended:
                    data = {"id": state.execution.name, "code": ExecutionNotFoundError.code}
                    yield Event("gone", data, last_id)
                    return
                await follower.differs_from(state, seconds=_RECHECK_SECONDS)

    async def close(self) -> None:
        """Stop following."""
        for follower in list(self._followers.values()):
            if follower.task is not None:
                follower.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await follower.task

    @asynccontextmanager
    async def _following(self, execution: NotebookExecution) -> AsyncIterator[_Follower]:
        follower = self._followers.get(execution.uid)
        if follower is None:
            follower = self._followers[execution.uid] = _Follower(execution)
            if not follower.state.final:
                follower.task = asyncio.create_task(self._follow(follower), name=f"follow {execution.name}")
        follower.watchers += 1
        self._open_streams.inc()
        try:
            yield follower
        finally:
            follower.watchers -= 1
            self._open_streams.dec()
            if follower.watchers == 0:
                self._followers.pop(execution.uid, None)
                if follower.task is not None:
                    follower.task.cancel()

    async def _follow(self, follower: _Follower) -> None:
        poller = asyncio.create_task(self._poll_progress(follower))
        try:
            while True:
                try:
                    if await self._watch(follower):
                        return
                except (BackendUnavailableError, StoreUnavailableError):
                    await asyncio.sleep(_RETRY_SECONDS)  # watchers keep the last state and the heartbeat meanwhile
        except Exception:  # noqa: BLE001 - watchers must learn of it, whatever it is, or they would wait forever
            _log.exception("execution %s cannot be followed", follower.state.execution.name)
            async with follower.changed:
                follower.failed = True
                follower.changed.notify_all()
        finally:
            poller.cancel()

    async def _watch(self, follower: _Follower) -> bool:
        """Follow until the end. Returns False when the watch ended although the execution is alive."""
        name, uid = follower.state.execution.name, follower.state.execution.uid
        async with self._backend.watch(name) as changes:
            async for execution in changes:
                if execution.uid != uid:
                    break
                await follower.tell(execution=execution)
                if is_settled(execution):
                    return True
        record = await self._executions.record_of(follower.state.execution)
        if record is not None:
            await follower.tell(execution=record.execution)
            return True
        live = await self._backend.get(name)
        if live is None or live.uid != uid:
            await follower.tell(ended=True)
            return True
        await asyncio.sleep(_RETRY_SECONDS)
        return False

    async def _poll_progress(self, follower: _Follower) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            if follower.state.execution.status.reason is not Reason.RUNNING:
                continue
            with contextlib.suppress(StoreUnavailableError):
                progress = await self._results.progress(follower.state.execution)
                if progress is not None and progress != follower.state.progress:
                    await follower.tell(progress=progress)
