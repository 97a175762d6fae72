"""The services' names for :mod:`podbook_core.threads`."""

from collections.abc import Callable
from typing import Any

from podbook_core.threads import Threads

__all__ = ["Threads", "gather"]


async def gather(calls: list[Callable[[], Any]], threads: Threads) -> list[Any]:
    """See :meth:`podbook_core.threads.Threads.gather`."""
    return await threads.gather(calls)
