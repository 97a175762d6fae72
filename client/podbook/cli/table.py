"""Text tables as kubectl prints them: plain columns that people read and programs cut. Pure."""

from collections.abc import Sequence
from datetime import datetime

from podbook.cli.failure import printable
from podbook.execution import Execution

__all__ = ["age", "execution_rows", "table"]

EXECUTION_COLUMNS = ("ID", "NOTEBOOK", "PHASE", "REASON", "PROGRESS", "DURATION", "AGE")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest value, three spaces apart, the last one as it comes."""
    lines = [list(header), *([printable(value).replace("\n", " ") for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join("   ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def execution_rows(executions: Sequence[Execution], now: datetime) -> list[list[str]]:
    """Rows for :data:`EXECUTION_COLUMNS`."""
    return [
        [
            item.id,
            item.notebook,
            item.phase,
            item.reason,
            "" if item.progress is None else f"{item.progress.completed}/{item.progress.total}",
            "" if item.duration is None else f"{item.duration:.1f}s",
            "" if item.created is None else age((now - item.created).total_seconds()),
        ]
        for item in executions
    ]


def age(seconds: float) -> str:
    """A span of time in its largest unit: ``12s``, ``5m``, ``3h``, ``9d``."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
