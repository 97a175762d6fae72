"""What one source gives out, gathered from the kernel's messages and bounded. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from podbook_core.http_notebook.response import CellRun
from podbook_core.text.json_depth import MAX_FILE_NESTING, nested_too_deeply
from podbook_runner.cells.mime_bundle import valid_bundle

__all__ = ["Gathered"]

_LONGEST_NAME = 1000
_LONGEST_ERROR = 64 * 1024


class Gathered:
    """The output of one source.

    Args:
        limit: most bytes that are kept, give or take.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._printed: list[str] = []
        self._result: Mapping[str, Any] | None = None
        self._displayed: Mapping[str, Any] | None = None
        self._error: tuple[str, str] | None = None

    @property
    def too_large(self) -> bool:
        """Whether there was more than is kept."""
        return self._size > self._limit

    @property
    def run(self) -> CellRun:
        """All of it."""
        return CellRun("".join(self._printed), self._result, self._displayed, self._error)

    def take(self, kind: str, content: Mapping[str, Any]) -> None:
        """Take in one message; only what counts for an answer is kept."""
        if kind == "stream" and content.get("name", "stdout") == "stdout":
            text = str(content.get("text", ""))
            self._size += len(text)
            if not self.too_large:
                self._printed.append(text)
        elif kind == "execute_result":
            self._result = self._bundle(content)
        elif kind in ("display_data", "update_display_data"):
            self._displayed = self._bundle(content)
        elif kind == "error":
            name, text = str(content.get("ename", "")), str(content.get("evalue", ""))
            self._error = name[:_LONGEST_NAME], text[:_LONGEST_ERROR]

    def _bundle(self, content: Mapping[str, Any]) -> Mapping[str, Any] | None:
        kept, _dropped = valid_bundle(content.get("data"))
        if nested_too_deeply(kept, MAX_FILE_NESTING):
            return None
        self._size += len(json.dumps(kept))
        return None if self.too_large else kept
