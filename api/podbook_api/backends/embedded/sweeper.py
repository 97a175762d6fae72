"""What a sweep has to know of a data directory: who is alive there, how old a folder is, and which working directories are left."""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

from podbook_api.backends.embedded.attempt import AttemptFolder
from podbook_api.backends.embedded.data_dir import DataDir
from podbook_api.backends.embedded.process import is_held
from podbook_core.execution.model import NotebookExecution
from podbook_core.store.base import ObjectStore
from podbook_core.store.keys import execution_prefix
from podbook_core.upkeep import retention, sweeper
from podbook_core.upkeep.sweeper import Living

__all__ = ["Sweeper"]


class _DataDirectory:
    """The :class:`~podbook_core.upkeep.sweeper.Surroundings` of a store whose executions live in the same data directory."""

    def __init__(
        self, data: DataDir, live: Callable[[], Awaitable[Collection[NotebookExecution]]], clock: Callable[[], datetime]
    ) -> None:
        self._data, self._live, self._clock = data, live, clock

    async def alive(self) -> Collection[Living]:
        return [
            Living(
                item.name,
                item.uid,
                frozenset(file.sha256 for file in item.spec.inputs),
                None if item.spec.request is None else item.spec.request.sha256,
            )
            for item in await self._live()
        ]

    def all_known(self) -> bool:
        # A document that lies aside may still be repaired by a person, and want results and inputs of its execution.
        return not any(self._data.live.glob("*.damaged"))

    def forgotten(self, uids: Collection[str]) -> set[str]:
        limit = (self._clock() - retention.ORPHAN_AGE).timestamp()
        return {uid for uid in uids if self._changed(uid) < limit}

    def leftovers(self) -> set[str]:
        return {path.name for path in self._data.work.iterdir()}

    def remove_leftovers(self, uids: Collection[str]) -> int:
        removed = 0
        for uid in uids:
            path = self._data.work / uid
            folders = [AttemptFolder(self._data.work, uid, attempt.name) for attempt in path.iterdir()] if path.is_dir() else []
            if not any(is_held(folder.lock) for folder in folders):
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        return removed

    def _changed(self, uid: str) -> float:
        folder = self._data.store / execution_prefix(uid)
        return max((path.stat().st_mtime for path in (folder, folder / "attempts") if path.exists()), default=0.0)


class Sweeper(sweeper.Sweeper):
    """Sweeps one data directory, beside the backend.

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
        super().__init__(store, _DataDirectory(data, live, clock), days=retention_days, clock=clock)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self.run(), name="sweeper")

    async def stop(self) -> None:
        """Stop, after what is just being removed."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
