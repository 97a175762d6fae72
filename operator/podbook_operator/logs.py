"""Log lines as JSON, one object a line, with the words that people search for."""

import json
import logging
import sys
from datetime import UTC, datetime

from typing_extensions import override

__all__ = ["JsonFormatter", "set_up_logging"]

_FIELDS = ("execution", "notebook", "reason", "cause")


class JsonFormatter(logging.Formatter):
    """One JSON object for each record: time, level, message, and execution, notebook and reason where they are known."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See :meth:`logging.Formatter.format`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
        }
        line.update({name: getattr(record, name) for name in _FIELDS if hasattr(record, name)})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logging(level: str) -> None:
    """Send every record to stdout as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line for each event of each object, and bodies at DEBUG: parameters do not belong into logs.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    for name in ("kopf", "aiohttp", "asyncio", "urllib3", "botocore", "boto3"):
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("kopf.activities").setLevel(logging.WARNING)
