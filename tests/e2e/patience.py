"""Waiting for something to become true, with an end and a word about what did not happen."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["until"]

T = TypeVar("T")


def until(what: str, probe: Callable[[], T | None], *, seconds: float = 60, every: float = 0.2) -> T:
    """Ask again and again until the answer is neither None nor False.

    Raises:
        AssertionError: it did not come; names what was waited for.
    """
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < end, f"gave up after {seconds:g} s waiting for {what}"
        time.sleep(every)
