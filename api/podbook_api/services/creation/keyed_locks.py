"""A lock for each of many keys, kept only while it is in use."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from podbook_core.schema.validation import ValidationBusyError

__all__ = ["KeyedLocks"]

K = TypeVar("K", bound=Hashable)


class KeyedLocks(Generic[K]):
    """Lets a few at a time in for each key, in the order they came. Use it on one event loop only.

    Args:
        places: how many may be in at once, for each key.
        patience: how long one may wait, in seconds; None: without limit.
    """

    def __init__(self, *, places: int = 1, patience: float | None = None) -> None:
        self._places, self._patience = places, patience
        self._known: dict[K, tuple[asyncio.Semaphore, int]] = {}
        """The semaphore of each key, and how many hold it or wait for it."""

    @asynccontextmanager
    async def turn(self, key: K) -> AsyncIterator[None]:
        """Wait for a place, and hold it.

        Raises:
            ValidationBusyError: none became free in time.
        """
        semaphore, users = self._known.get(key, (asyncio.Semaphore(self._places), 0))
        self._known[key] = (semaphore, users + 1)
        try:
            try:
                async with asyncio.timeout(self._patience):
                    await semaphore.acquire()
            except TimeoutError:
                raise ValidationBusyError from None
            try:
                yield
            finally:
                semaphore.release()
        finally:
            semaphore, users = self._known.pop(key)
            if users > 1:
                self._known[key] = (semaphore, users - 1)
