"""The API's log lines: JSON on standard output."""

from podbook_core.json_logs import set_up_json_logs

__all__ = ["set_up_logging"]


def set_up_logging(level: str) -> None:
    """Send every record of ``level`` (or above) to standard output."""
    set_up_json_logs(level, never_debug=("boto3", "botocore", "urllib3", "kubernetes", "asyncio"))
