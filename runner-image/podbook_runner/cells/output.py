"""What the notebook returns: the value of the last ``save_output``, as the scrapbook messages carry it. Pure."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from podbook_core.execution.reasons import Reason
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
        AttemptError: ``InvalidOutput``: it is no JSON, or larger than the limit.
    """
    if text is None:
        return None, b"null"
    try:
        value = json.loads(text, parse_constant=_refuse)
        encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except AttemptError:
        raise
    except (ValueError, RecursionError) as error:
        raise AttemptError(
            Reason.INVALID_OUTPUT,
            f"the saved output is no JSON text: {error}; call save_output with plain values (dict, list, str, int, float, bool, None)",
        ) from error
    if len(encoded) > limit:
        raise AttemptError(
            Reason.INVALID_OUTPUT,
            f"the saved output has {len(encoded)} bytes, at most {limit} are allowed; "
            "write large results to a file in $PODBOOK_OUTPUT_DIR",
        )
    return value, encoded


def _refuse(constant: str) -> NoReturn:
    raise AttemptError(
        Reason.INVALID_OUTPUT, f"the saved output holds {constant}, which JSON cannot say; replace it by null or a text"
    )
