"""Log lines as JSON."""

import json
import logging
import sys

from podbook_core.json_logs import AUDIT_LOGGER, JsonFormatter


def record(name: str, message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, message, arguments, None)


def test_a_line_is_one_object() -> None:
    line = JsonFormatter().format(record("podbook.x", "two\nlines: %s", "é"))
    assert "\n" not in line
    document = json.loads(line)
    assert (document["message"], document["level"], document["logger"]) == ("two\nlines: é", "warning", "podbook.x")
    assert document["time"].endswith("Z")


def test_an_audit_message_becomes_part_of_the_line() -> None:
    document = json.loads(JsonFormatter().format(record(AUDIT_LOGGER, "%s", json.dumps({"caller": "ci", "status": 202}))))
    assert (document["caller"], document["status"]) == ("ci", 202)
    assert "message" not in document


def test_a_traceback_is_a_member() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        failed = record("podbook.x", "it failed")
        failed.exc_info = sys.exc_info()
    document = json.loads(JsonFormatter().format(failed))
    assert document["exception"].endswith("ValueError: broken")
