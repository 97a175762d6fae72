"""Moments as text: RFC 3339 in UTC, with ``Z``. Pure; standard library only, for the runner writes them too."""

from datetime import UTC, datetime

__all__ = ["rfc3339"]


def rfc3339(moment: datetime, *, milliseconds: bool | None = None) -> str:
    """A moment as RFC 3339 in UTC; one without a zone counts as UTC.

    Args:
        moment: the moment.
        milliseconds: whether they are written; where it has some when None.
    """
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    shown = bool(utc.microsecond) if milliseconds is None else milliseconds
    return utc.isoformat(timespec="milliseconds" if shown else "seconds").replace("+00:00", "Z")
