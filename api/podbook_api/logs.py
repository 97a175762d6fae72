"""Log lines as JSON, one object a line, for a cluster's log collection."""

import json
import logging
import sys
from datetime import UTC, datetime

from typing_extensions import override

__all__ = ["JsonFormatter", "set_up_logging"]


class JsonFormatter(logging.Formatter):
    """One JSON object for each record; a message that is itself a JSON object (as in the audit log) becomes part of the line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See :meth:`logging.Formatter.format`."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        message = record.getMessage()
        if record.name == "podbook.audit":
            line.update(json.loads(message))
        else:
            line["message"] = message
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logging(level: str) -> None:
    """Send every record of ``level`` (or above) to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("boto3", "botocore", "urllib3", "kubernetes", "asyncio"):
        # At DEBUG these write request bodies and signatures.
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
