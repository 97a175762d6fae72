"""Executions: found where they live or in the record, waited for, listed, cancelled, run again, removed."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import anyio

from podbook_api.auth.keys import Caller
from podbook_api.backends.base import BackendUnavailableError, StillActiveError
from podbook_api.cache import LruCache
from podbook_api.services.context import Context
from podbook_api.services.errors import ExecutionNotFoundError, InvalidCursorError, NotFinishedError
from podbook_api.services.records import ReadableRecords
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Phase, Reason, is_terminal
from podbook_core.execution.transitions import is_settled
from podbook_core.results import index
from podbook_core.results.index import (
    Cursor,
    Entry,
    merge,
    milliseconds,
    parse_index_key,
    scope_prefix,
    start_after,
)
from podbook_core.results.record import Record, RecordStore
from podbook_core.store.base import StoreUnavailableError
from podbook_core.text.names import is_execution_name
from podbook_core.threads import Threads

__all__ = ["ExecutionService", "Filters", "Page"]

_log = logging.getLogger(__name__)
SCANNED_PER_PAGE = 2000
"""Index entries one page may look at; a page may be short, or even empty, and still have a next one."""
_CHUNK = 200
_ENDS = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)
_KEPT_BYTES = 32 * 1024**2
"""Memory for what is remembered of records."""
_MEMORY_PER_BYTE = 8
"""Bytes of memory that a byte of a record's JSON takes once it is read, without parameters (measured: 4 to 7)."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which executions a list shall hold. None and empty mean any."""

    notebook: str | None = None
    phase: Phase | None = None
    reason: Reason | None = None
    labels: Mapping[str, str] | None = None

    @property
    def only_ended(self) -> bool:
        """Whether nothing that has not ended can be in the list."""
        return (self.phase is not None and self.phase in _ENDS) or (self.reason is not None and is_terminal(self.reason))

    def match_entry(self, entry: Entry) -> bool:
        """What an index entry alone can tell."""
        return (self.phase is None or entry.phase is self.phase) and (self.reason is None or entry.reason is self.reason)

    def match(self, execution: NotebookExecution) -> bool:
        """Whether an execution belongs into the list."""
        status, labels = execution.status, execution.metadata.labels
        return (
            (self.notebook is None or execution.spec.notebook.name == self.notebook)
            and (self.phase is None or status.phase is self.phase)
            and (self.reason is None or status.reason is self.reason)
            and all(labels.get(key) == value for key, value in (self.labels or {}).items())
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, without parameters. ``next_cursor`` is None on the last page."""

    items: Sequence[NotebookExecution]
    next_cursor: str | None


class ExecutionService:
    """What can be done with executions that exist."""

    def __init__(self, context: Context, *, threads: Threads) -> None:
        self._context = context
        self._records = RecordStore(context.store)
        self._readable = ReadableRecords(context.store)
        self._threads = threads
        self._kept: LruCache[str, Record] = LruCache(_KEPT_BYTES, cost=_memory_of)

    async def find(self, caller: Caller, name: str, action: str = "read") -> NotebookExecution:
        """An execution by its name, alive or from its record.

        Raises:
            ExecutionNotFoundError: there is none; the same when it is another caller's.
        """
        execution = await self.lookup(name)
        if execution is None or not visible(caller, execution, action):
            raise ExecutionNotFoundError(name)
        return execution

    async def lookup(self, name: str) -> NotebookExecution | None:
        """The newest execution of a name, of any caller, running or from its record; None when there is none.

        Raises:
            BackendUnavailableError: the backend is away, and no record tells of an end, which would hold without it.
        """
        if not is_execution_name(name):
            return None  # doors take ids as they come: nothing else may become part of an address or a key
        try:
            execution = await self._context.backend.get(name)
        except BackendUnavailableError:
            record = await self.record(name)
            if record is None:
                raise
            return record.execution
        if execution is not None:
            return execution
        record = await self.record(name)
        return None if record is None else record.execution

    async def record(self, name: str) -> Record | None:
        """The record of the newest ended execution of a name."""
        return await self._threads.run(self._readable.read_by_name, name)

    async def record_of(self, execution: NotebookExecution) -> Record | None:
        """The record of one execution, without its parameters; None while it has none."""
        return await self._threads.run(self._read, execution.uid)

    async def record_again(self, execution: NotebookExecution) -> Record | None:
        """The same, from the store: where a result is not what the record says, ``reindex`` may have written that again."""
        self._kept.drop(execution.uid)
        return await self.record_of(execution)

    async def wait(self, execution: NotebookExecution, seconds: float) -> NotebookExecution:
        """The execution once it is settled, or as it is when the time is over.

        An outage ends the wait, too: the execution was accepted, and an error would make its caller submit it again.
        """
        if is_settled(execution):
            return execution
        latest = execution
        try:
            with anyio.move_on_after(seconds):
                async with self._context.backend.watch(execution.name) as changes:
                    async for state in changes:
                        if state.uid != execution.uid:
                            break  # its name is another one's by now
                        latest = state.with_parameters(execution.spec.parameters)
                        if is_settled(latest):
                            return latest
            if is_settled(latest):
                return latest
            # The watch ended or the time is over: an execution that has left the backend has a record.
            record = await self.record_of(execution)
        except (BackendUnavailableError, StoreUnavailableError) as error:
            _log.warning("execution %s cannot be waited for: %s", execution.name, error)
            return latest
        return latest if record is None else record.execution.with_parameters(execution.spec.parameters)

    async def whole(self, listed: NotebookExecution) -> NotebookExecution | None:
        """An execution of a :class:`Page` with its parameters, None when it has gone since."""
        if is_settled(listed):
            record = await self._threads.run(self._readable.read, listed.uid)
            if record is not None:
                return listed.with_parameters(record.execution.spec.parameters)
        found = await self.lookup(listed.name)
        return None if found is None or found.uid != listed.uid else listed.with_parameters(found.spec.parameters)

    async def page(self, caller: Caller, filters: Filters, *, limit: int, cursor: str | None) -> Page:
        """One page of executions, newest first, live and past in one list.

        While the backend is away, a list of nothing but ends is told from the records alone; one whose record is still being written
        is missing there.

        Raises:
            BackendUnavailableError: the backend is away, and the list would have to hold what has not ended.
            InvalidCursorError: the cursor is none.
        """
        try:
            position = None if cursor is None else Cursor.parse(cursor)
        except index.InvalidCursorError as error:
            raise InvalidCursorError(str(error)) from None
        # Live ones first: an execution that ends in between is then in both lists, where the other way round it would be in none.
        live = {
            execution.uid: execution
            for execution in await self._live(filters)
            if visible(caller, execution, "read") and filters.match(execution)
        }
        live_entries = sorted((_entry(item) for item in live.values()), key=lambda entry: entry.order)
        if position is not None:
            live_entries = [entry for entry in live_entries if entry.order > position.order]
        past, records, reached = await self._past(caller, filters, limit=limit, position=position)
        if reached is not None:
            live_entries = [entry for entry in live_entries if entry.order <= reached.order]
        joined = merge(live_entries, past, limit=limit + 1)
        shown = joined[:limit]
        items = [live[entry.uid] if entry.uid in live else records[entry.uid].execution for entry in shown]
        if len(joined) > limit:
            return Page(items, Cursor(shown[-1].created_ms, shown[-1].uid).text())
        return Page(items, None if reached is None else Cursor(reached.created_ms, reached.uid).text())

    async def cancel(self, caller: Caller, name: str) -> NotebookExecution:
        """Ask for the end of an execution; one that has ended is returned as it is.

        Raises:
            ExecutionNotFoundError: there is none.
        """
        execution = await self.find(caller, name, "cancel")
        if execution.status.terminal:
            return execution
        changed = await self._context.backend.cancel(name)
        return changed if changed is not None else await self.find(caller, name, "cancel")

    async def remove(self, caller: Caller, name: str) -> None:
        """Remove an ended execution and everything it left; repeatable until it is done.

        Raises:
            ExecutionNotFoundError: there is none.
            NotFinishedError: it runs, or its results are being stored.
        """
        execution = await self.find(caller, name, "delete")
        if not is_settled(execution):
            raise NotFinishedError(execution, "moment" if execution.status.terminal else "cancel")
        # The resource is deleted first: otherwise the record of a live execution could be written again when it is closed.
        try:
            await self._context.backend.remove(name, execution.uid)
        except StillActiveError:
            raise NotFinishedError(execution, "cancel") from None
        record = await self.record_of(execution)
        self._kept.drop(execution.uid)
        if record is not None:
            await self._threads.run(self._records.forget, record)

    async def _live(self, filters: Filters) -> list[NotebookExecution]:
        try:
            return await self._context.backend.live()
        except BackendUnavailableError:
            if filters.only_ended:
                return []
            raise

    async def _past(
        self, caller: Caller, filters: Filters, *, limit: int, position: Cursor | None
    ) -> tuple[list[Entry], dict[str, Record], Entry | None]:
        """Ended executions of one page.

        Returns:
            The entries, their records, and where the search stopped: None when the index is exhausted.
        """
        everyone = caller.sees_all_executions
        prefix = scope_prefix(notebook=filters.notebook) if everyone else scope_prefix(submitter=caller.id or "")
        after, scanned = start_after(prefix, position), 0
        entries: list[Entry] = []
        records: dict[str, Record] = {}
        while True:
            keys = await self._threads.run(self._context.store.list, prefix, start_after=after, limit=_CHUNK)
            parsed = [entry for key in keys if (entry := parse_index_key(key)) is not None]
            for batch in _batches([entry for entry in parsed if filters.match_entry(entry)], limit):
                for entry, record in await self._load(batch):
                    # An entry whose record is gone belongs to an execution that is being removed.
                    if record is None or not filters.match(record.execution) or not visible(caller, record.execution, "read"):
                        continue
                    entries.append(entry)
                    records[entry.uid] = record
                if len(entries) > limit:
                    return entries, records, entries[-1]
            scanned += len(keys)
            if len(keys) < _CHUNK:
                return entries, records, None
            if scanned >= SCANNED_PER_PAGE and parsed:
                return entries, records, parsed[-1]
            after = keys[-1]

    async def _load(self, entries: Sequence[Entry]) -> list[tuple[Entry, Record | None]]:
        calls: list[Callable[[], Record | None]] = [partial(self._read, entry.uid) for entry in entries]
        return list(zip(entries, await self._threads.gather(calls), strict=True))

    def _read(self, uid: str) -> Record | None:
        """A record without parameters, which does not change once it is there, but by ``reindex``: see :meth:`record_again`."""
        known = self._kept.get(uid)
        if known is not None:
            return known
        found = self._readable.read_summary(uid)
        if found is not None:
            self._kept.put(uid, found)
        return found


def visible(caller: Caller, execution: NotebookExecution, action: str) -> bool:
    """Whether a caller may do something with an execution: everything with its own, else what its scopes say. Pure."""
    owned = caller.id is not None and execution.spec.submitted_by == caller.id
    return owned or caller.may("executions", execution.name, action)


def _memory_of(record: Record) -> int:
    """Bytes that a record without parameters takes."""
    return _MEMORY_PER_BYTE * len(record.model_dump_json(exclude_none=True))


def _entry(execution: NotebookExecution) -> Entry:
    return Entry(milliseconds(execution.created), execution.uid, execution.status.reason)


def _batches(entries: Sequence[Entry], limit: int) -> list[Sequence[Entry]]:
    """Pieces that are read at once: enough for a page, so that a page without filters reads no record in vain."""
    size = limit + 1
    return [entries[start : start + size] for start in range(0, len(entries), size)]
