"""The present, as everything that is not told otherwise takes it."""

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)
