"""The operator's log lines: JSON on standard output."""

import logging

from podbook_core.json_logs import set_up_json_logs

__all__ = ["set_up_logging"]


def set_up_logging(level: str) -> None:
    """Send every record of ``level`` (or above) to standard output."""
    set_up_json_logs(level, never_debug=("kopf", "aiohttp", "asyncio", "urllib3", "botocore", "boto3"))
    for name in ("kopf.objects", "kopf.activities", "aiohttp.access"):
        # One line for each event of each object, and for each probe.
        logging.getLogger(name).setLevel(logging.WARNING)
