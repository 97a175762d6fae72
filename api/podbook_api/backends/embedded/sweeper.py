"""Removes what has been kept long enough, and what nothing refers to any more: soon after the start, then every hour."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

from podbook_api.backends.embedded.attempt import AttemptFolder
from podbook_api.backends.embedded.data_dir import DataDir
from podbook_api.backends.embedded.process import is_held
from podbook_api.threads import Threads
from podbook_core.execution.model import NotebookExecution
from podbook_core.store.base import ObjectStore, StoreError
from podbook_core.store.keys import execution_prefix
from podbook_core.upkeep import retention
from podbook_core.upkeep.sweeping import StoreSweep
from podbook_core.upkeep.unused_inputs import UnusedInputs

__all__ = ["Sweeper"]

_LOG = logging.getLogger("podbook.sweeper")
_FIRST_SECONDS = 30.0
_EVERY_SECONDS = 3600.0


class Sweeper:
    """Sweeps one data directory.

    Args:
        store: the object store in it.
        data: the directory.
        live: gives the live executions.
        retention_days: how long ended executions are kept, counted from their end; 0 keeps all.
        clock: the present, in UTC.
    """

    def __init__(
        self,
        store: ObjectStore,
        data: DataDir,
        *,
        live: Callable[[], Awaitable[Collection[NotebookExecution]]],
        retention_days: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._data = data
        self._live = live
        self._clock = clock
        self._sweep = StoreSweep(store, days=retention_days, clock=clock)
        self._inputs = UnusedInputs(store, clock=clock)
        self._threads = Threads(1)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="sweeper")

    async def stop(self) -> None:
        """Stop, after what is just being removed."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def sweep(self) -> int:
        """Sweep once. Returns how many things were removed.

        Raises:
            StoreError: the store cannot be used; the rest is done the next time.
        """
        removed = await self._threads.run(self._sweep.remove_expired)
        # Candidates first, then who is alive: whoever comes to life in between was no candidate.
        digests = await self._threads.run(self._sweep.idempotency_digests)
        orphans = await self._threads.run(self._orphan_candidates)
        folders = await self._threads.run(self._work_folders)
        live = await self._live()
        names, uids = {item.name for item in live}, {item.uid for item in live}
        removed += await self._threads.run(self._sweep.remove_idempotency, digests, names)
        removed += await self._threads.run(self._sweep.remove_unrecorded, orphans - uids)
        removed += await self._threads.run(self._remove_work, folders - uids)
        if not await self._threads.run(self._damaged):
            removed += await self._threads.run(self._inputs.remove, {file.sha256 for item in live for file in item.spec.inputs})
        if removed:
            _LOG.info("removed %d expired or forgotten things", removed)
        return removed

    async def _run(self) -> None:
        await asyncio.sleep(_FIRST_SECONDS)
        while True:
            try:
                await self.sweep()
            except (StoreError, OSError) as error:
                _LOG.warning("sweeping failed: %s; trying again in an hour", error)
            except Exception:  # noqa: BLE001 - logged; sweeping is never worth the server
                _LOG.exception("sweeping failed; trying again in an hour")
            await asyncio.sleep(_EVERY_SECONDS)

    def _orphan_candidates(self) -> set[str]:
        if self._damaged():
            return set()
        limit = (self._clock() - retention.ORPHAN_AGE).timestamp()
        return {uid for uid in self._sweep.unrecorded() if self._changed(uid) < limit}

    def _damaged(self) -> bool:
        """Whether a document lies aside that a person may still mend, and want results and inputs of."""
        return any(self._data.live.glob("*.damaged"))

    def _changed(self, uid: str) -> float:
        folder = self._data.store / execution_prefix(uid)
        return max((path.stat().st_mtime for path in (folder, folder / "attempts") if path.exists()), default=0.0)

    def _work_folders(self) -> set[str]:
        return {path.name for path in self._data.work.iterdir()}

    def _remove_work(self, uids: Collection[str]) -> int:
        removed = 0
        for uid in uids:
            path = self._data.work / uid
            folders = [AttemptFolder(self._data.work, uid, attempt.name) for attempt in path.iterdir()] if path.is_dir() else []
            if not any(is_held(folder.lock) for folder in folders):
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        return removed
