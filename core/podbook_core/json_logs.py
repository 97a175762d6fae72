"""Log lines as JSON, one object a line, with the words that people search for: for a cluster's log collection."""

import json
import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from typing_extensions import override

from podbook_core.text.times import rfc3339

__all__ = ["AUDIT_LOGGER", "FIELDS", "JsonFormatter", "set_up_json_logs"]

AUDIT_LOGGER = "podbook.audit"
"""Name of the logger whose messages are JSON objects themselves."""
FIELDS: Mapping[str, str] = {
    "execution": "Name of the execution that the line is about.",
    "notebook": "Name of its notebook.",
    "reason": "The reason it reached.",
    "cause": "Kind of the error for which it was requeued, as in the metric `podbook_operator_reconcile_errors_total`.",
}
"""Members that a line has where it is about an execution, and what they say."""


class JsonFormatter(logging.Formatter):
    """One JSON object for each record: time, level, logger, message, and execution, notebook, reason and cause where they are given.

    The members of an audit message become members of the line.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        """See :meth:`logging.Formatter.format`."""
        line: dict[str, object] = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC), milliseconds=True),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        message = record.getMessage()
        if record.name == AUDIT_LOGGER:
            line.update(json.loads(message))
        else:
            line["message"] = message
        line.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_json_logs(level: str, *, never_debug: Iterable[str]) -> None:
    """Send every record of a level or above to standard output.

    Args:
        level: name of the level, in any case.
        never_debug: loggers that write bodies, signatures or parameters at DEBUG, which do not belong into logs.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in never_debug:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
