"""The order of a sweep: what may go is looked for first, then who is alive, and only then something is removed.

What was created in between was not a candidate. Soon after the start, then every hour; what is interrupted is done the next time.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from podbook_core.store.base import ObjectStore, StoreError
from podbook_core.threads import Threads
from podbook_core.upkeep.sweeping import StoreSweep
from podbook_core.upkeep.unused_inputs import UnusedInputs

__all__ = ["Living", "Surroundings", "Sweeper"]

_LOG = logging.getLogger("podbook.sweeper")
_FIRST_SECONDS = 60.0
_EVERY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Living:
    """A present execution, as far as a sweep looks at it."""

    name: str
    uid: str
    inputs: frozenset[str] = frozenset()
    """SHA-256 of its input files."""
    request: str | None = None
    """SHA-256 of the HTTP request it answers; None where it answers none."""


class Surroundings(Protocol):
    """What a sweep cannot know from the store. Methods that are not ``async`` block."""

    async def alive(self) -> Collection[Living]:
        """Every execution that has not ended, asked for again."""
        ...

    def all_known(self) -> bool:
        """Whether every execution that may still want its results and inputs is among the living; else neither is touched."""
        ...

    def forgotten(self, uids: Collection[str]) -> set[str]:
        """Those of these executions, which have no record and are not alive, that have been so for long enough that none will come."""
        ...

    def leftovers(self) -> set[str]:
        """Executions that have left something outside of the store."""
        ...

    def remove_leftovers(self, uids: Collection[str]) -> int:
        """Remove what executions left outside of the store that are not alive. Returns how many did."""
        ...


class Sweeper:
    """Sweeps one store. What it does may be interrupted and repeated.

    Args:
        store: the store.
        surroundings: who is alive, and what lies outside of the store.
        days: how many days results are kept after the end; 0 keeps all.
        clock: the present, in UTC.
        put_off_by: errors that put a sweep off without being a surprise, besides the store's.
    """

    def __init__(
        self,
        store: ObjectStore,
        surroundings: Surroundings,
        *,
        days: int,
        clock: Callable[[], datetime],
        put_off_by: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        self._surroundings = surroundings
        self._sweep = StoreSweep(store, days=days, clock=clock)
        self._inputs = UnusedInputs(store, clock=clock)
        self._put_off_by: tuple[type[Exception], ...] = (StoreError, *put_off_by)
        self._threads = Threads(1, name="sweeper")

    async def run(self) -> None:
        """Sweep until cancelled."""
        await asyncio.sleep(_FIRST_SECONDS)
        while True:
            try:
                removed = await self.sweep()
                if removed:
                    _LOG.info("removed %d expired or unused objects from the store", removed)
            except self._put_off_by as error:
                _LOG.warning("sweeping the store failed, retrying in an hour: %s", error)
            except Exception:  # noqa: BLE001 - logged; sweeping is never worth the program
                _LOG.exception("sweeping the store failed, retrying in an hour")
            await asyncio.sleep(_EVERY_SECONDS)

    async def sweep(self) -> int:
        """Sweep once. Returns how many things were removed.

        Raises:
            StoreError: the store cannot be used; the rest is done the next time.
            Exception: what :meth:`Surroundings.alive` raises when it is unknown which executions exist.
        """
        there, run = self._surroundings, self._threads.run
        removed = await run(self._sweep.remove_expired)
        digests = await run(self._sweep.idempotency_digests)
        orphans = await run(self._sweep.unrecorded)
        leftovers = await run(there.leftovers)
        living = await there.alive()
        names, uids = {item.name for item in living}, {item.uid for item in living}
        removed += await run(self._sweep.remove_idempotency, digests, names)
        removed += await run(there.remove_leftovers, leftovers - uids)
        removed += await run(self._sweep.remove_requests, {item.request for item in living if item.request is not None})
        if not await run(there.all_known):
            return removed
        removed += await run(self._sweep.remove_unrecorded, await run(there.forgotten, orphans - uids))
        return removed + await run(self._inputs.remove, {digest for item in living for digest in item.inputs})
