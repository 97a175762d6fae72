"""Figures of a benchmark and the page they are written to."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Row", "percentile", "replace_between", "spread", "table"]


@dataclass(frozen=True)
class Row:
    """One line of the table. ``must`` and ``aim`` are limits, empty where the figure is only recorded."""

    figure: str
    measured: str
    must: str = ""
    aim: str = ""
    details: str = ""


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| figure | measured | must | aim | details |", "|---|---|---|---|---|"]
    lines += [f"| {row.figure} | {row.measured} | {row.must} | {row.aim} | {row.details} |" for row in rows]
    return "\n".join(lines)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def spread(values: Sequence[float]) -> str:
    """Median and range, in seconds."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f}, n={len(values)})"


def replace_between(page: Path, name: str, text: str) -> None:
    """Put a text between ``<!-- name:begin -->`` and ``<!-- name:end -->`` of a page; both are added where they are missing."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    known = page.read_text(encoding="utf-8") if page.exists() else "# Benchmark\n"
    if begin not in known:
        known = f"{known.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = known.partition(begin)
    _, _, after = rest.partition(end)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
