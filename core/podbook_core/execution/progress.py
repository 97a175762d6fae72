"""How far an attempt is: ``attempts/<attempt>/progress.json``, written by the runner while cells run.

The kernel runs as the runner's user and could write the file as well, so readers take it for what it is: untrusted, and only progress.
Standard library only: the runner writes it.
"""

import json

__all__ = ["MAX_CELLS", "parse_progress", "progress_json"]

MAX_CELLS = 1_000_000
"""Most cells that progress counts."""


def progress_json(completed: int, total: int, cell: int | None = None) -> bytes:
    """The document: code cells that have ended, code cells in all, and the index of the cell that runs, if one does."""
    return json.dumps({"completed": completed, "total": total, "cell": cell}).encode()


def parse_progress(data: bytes) -> tuple[int, int] | None:
    """Completed and total cells; None when the document is not valid, which says nothing. Pure."""
    try:
        raw = json.loads(data)
        completed, total = raw["completed"], raw["total"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if type(completed) is not int or type(total) is not int or not 0 <= completed <= total <= MAX_CELLS:
        return None
    return completed, total
