"""Executions that another version of Podbook may have written: resources of the cluster, and documents of the embedded mode.

What a caller sends is read strictly, by the model itself. What is stored already may be newer than its reader, and is read without the
fields that this version does not know; their names say that this version must not run it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from podbook_core.execution.model import NotebookExecution

__all__ = ["StoredExecution", "needs_newer", "read_execution"]

_SHOWN = 5
_LENGTH = 80


@dataclass(frozen=True, slots=True)
class StoredExecution:
    """An execution as far as this version understands it."""

    execution: NotebookExecution
    newer: tuple[str, ...] = ()
    """Places of the fields that this version does not know, such as ``spec.request``; it must not be run without them."""


def read_execution(document: bytes | str | Mapping[str, Any]) -> StoredExecution:
    """Read a stored execution: JSON, or plain data.

    Raises:
        pydantic.ValidationError: it is malformed, not only newer.
    """
    try:
        return StoredExecution(_validate(document, tolerant=False))
    except ValidationError as error:
        newer = unknown_fields(error)
        if not newer:
            raise
    return StoredExecution(_validate(document, tolerant=True), newer)


def needs_newer(who: str, newer: tuple[str, ...]) -> str:
    """The message of an execution that waits for a newer version of ``who`` (operator or server)."""
    more = f" and {len(newer) - _SHOWN} more" if len(newer) > _SHOWN else ""
    return f"needs a newer {who}: {', '.join(newer[:_SHOWN])}{more} unknown to this version"


def unknown_fields(error: ValidationError) -> tuple[str, ...]:
    """Places of the fields that are not known, where nothing else is wrong; empty when something is. No value is in them."""
    found = [item for item in error.errors(include_input=False, include_url=False) if item["type"] == "extra_forbidden"]
    if len(found) != error.error_count():
        return ()
    return tuple(ascii(".".join(map(str, item["loc"])))[1:-1][:_LENGTH] for item in found)


def _validate(document: bytes | str | Mapping[str, Any], *, tolerant: bool) -> NotebookExecution:
    extra = "ignore" if tolerant else None
    if isinstance(document, bytes | str):
        return NotebookExecution.model_validate_json(document, extra=extra)  # type: ignore[arg-type] # a literal
    return NotebookExecution.model_validate(document, extra=extra)  # type: ignore[arg-type] # as above
