"""What notebooks hold that is not allowed, does no harm, and would cost the whole page: put right for the page only. Pure."""

import re
from typing import Any

__all__ = ["repaired"]

_ID = re.compile(r"[a-zA-Z0-9-_]{1,64}")


def repaired(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with what nbconvert can render of it.

    Colab leaves widget metadata without a state, which nbconvert takes for granted; other editors give cells ids that nbformat forbids.

    Args:
        notebook: a notebook document; it is changed.
    """
    widgets = notebook["metadata"].get("widgets")
    if widgets is not None:
        kept = {kind: entry for kind, entry in widgets.items() if _has_state(entry)} if isinstance(widgets, dict) else {}
        notebook["metadata"]["widgets"] = kept
        if not kept:
            del notebook["metadata"]["widgets"]
    taken: set[str] = set()
    for number, cell in enumerate(notebook["cells"]):
        if "id" in cell and (not isinstance(cell["id"], str) or not _ID.fullmatch(cell["id"]) or cell["id"] in taken):
            cell["id"] = f"podbook-{number}"
        taken.add(cell.get("id", ""))
    return notebook


def _has_state(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("state"), dict)
