"""How deep JSON may be nested. Kubernetes' API server takes documents 10,000 levels deep; most programs cannot write half of that again."""

import sys
from typing import Any

__all__ = ["MAX_NESTING", "expect_deep_documents", "nested_too_deeply"]

MAX_NESTING = 100
"""Deepest parameters. pydantic, papermill and most clients stop between 200 and 1,000 levels."""
_API_SERVER_NESTING = 10_000


def nested_too_deeply(value: Any, limit: int = MAX_NESTING) -> bool:
    """Whether plain data holds lists and objects nested deeper than that. Does not recurse itself."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def expect_deep_documents() -> None:
    """Let this process read whatever an API server may hand it, so that one odd object cannot end a watch of all of them.

    For the entry points of programs that watch. 3.11 honours the limit for its JSON parser; newer Pythons have a fixed one of their own.
    """
    sys.setrecursionlimit(10 * _API_SERVER_NESTING)
