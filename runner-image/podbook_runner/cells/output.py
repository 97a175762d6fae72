"""What the notebook returns: the value of the last ``save_output``, as the scrapbook messages carry it. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from podbook_core.execution.reasons import Reason
from podbook_core.text import strict_json
from podbook_core.text.json_depth import MAX_FILE_NESTING
from podbook_core.text.strict_json import InvalidJsonError
from podbook_runner.outcome import AttemptError

__all__ = ["OutputScraps", "parse_output"]

SCRAP_NAME = "nbschema_outputs"
_TEXT = "application/scrapbook.scrap.text+json"
_JSON = "application/scrapbook.scrap.json+json"


class OutputScraps:
    """Remembers the last output that came by in the kernel's display messages."""

    def __init__(self) -> None:
        self._last: str | None = None

    @property
    def text(self) -> str | None:
        """The last output as JSON text, None when none was saved."""
        return self._last

    def see(self, content: Mapping[str, Any]) -> None:
        """Look at the content of a ``display_data``, ``update_display_data`` or ``execute_result`` message."""
        data = content.get("data")
        if not isinstance(data, Mapping):
            return
        for media_type in (_TEXT, _JSON):
            scrap = data.get(media_type)
            if not isinstance(scrap, Mapping) or scrap.get("name") != SCRAP_NAME:
                continue
            value = scrap.get("data")
            if media_type == _TEXT and isinstance(value, str):
                self._last = value
            else:
                try:
                    self._last = json.dumps(value, ensure_ascii=False)
                except RecursionError:
                    self._last = ""  # no JSON, and refused as such


def parse_output(text: str | None, limit: int) -> tuple[Any, bytes]:
    """The output's value and the bytes of ``output.json``.

    Args:
        text: JSON text; None when nothing was saved, which is the value null.
        limit: largest number of bytes.

    Raises:
        AttemptError: ``InvalidOutput``: it is not valid JSON, or larger than the limit.
    """
    if text is None:
        return None, b"null"
    try:
        # The limit is for what is stored, which may be smaller than what was sent: without white space and escapes.
        value = strict_json.parse(text, limit=len(text), what="the saved output", depth=MAX_FILE_NESTING)
    except InvalidJsonError as error:
        raise AttemptError(
            Reason.INVALID_OUTPUT,
            f"{error}; call save_output with plain values (dict, list, str, int, float, bool, None)",
        ) from error
    encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if len(encoded) > limit:
        raise AttemptError(
            Reason.INVALID_OUTPUT,
            f"the saved output has {len(encoded)} bytes; at most {limit} are allowed; "
            "write large results to a file in $PODBOOK_OUTPUT_DIR",
        )
    return value, encoded
