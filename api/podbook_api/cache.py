"""A bounded cache of things that never change."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

__all__ = ["LruCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Keeps the entries used last; safe for several threads.

    Args:
        size: how much is kept, in all: entries, or bytes where ``cost`` counts those.
        cost: what an entry takes of that; one that takes more than all of it is not kept. Bound a cache by bytes wherever callers
            choose the size of what is in it.
    """

    def __init__(self, size: int, *, cost: Callable[[V], int] | None = None) -> None:
        self._entries: LRUCache[K, V] = LRUCache(size, cost)
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The entry of a key, None when it is not kept."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep an entry; those unused for longest go when there is no room."""
        with self._lock:
            self._entries.pop(key, None)
            try:
                self._entries[key] = value
            except ValueError:
                return  # larger than the cache

    def drop(self, key: K) -> None:
        """Forget an entry."""
        with self._lock:
            self._entries.pop(key, None)
