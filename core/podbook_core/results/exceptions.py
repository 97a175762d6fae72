"""What went wrong in a cell, as nbclient tells it: the code of the cell, what it printed, and the traceback. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cell_exception"]

_LINE = "------------------"


def cell_exception(notebook: Any) -> str | None:
    """The exception that ended an executed notebook, with the code of its cell; None where no cell has one.

    Args:
        notebook: the executed notebook as parsed JSON. A run may have written anything there: what has another shape is passed over.
    """
    cells = notebook.get("cells") if isinstance(notebook, Mapping) else None
    for cell in reversed(_mappings(cells)):
        outputs = _mappings(cell.get("outputs"))
        errors = [item for item in outputs if item.get("output_type") == "error"]
        tags = cell.get("metadata")
        allowed = isinstance(tags, Mapping) and isinstance(tags.get("tags"), list) and "raises-exception" in tags["tags"]
        if errors and not allowed:
            return _told(cell, outputs, errors[-1])
    return None


def _told(cell: Mapping[str, Any], outputs: Sequence[Mapping[str, Any]], error: Mapping[str, Any]) -> str:
    lines = ["An error occurred while executing the following cell:", _LINE, _text(cell.get("source")), _LINE]
    printed = [item for item in outputs if item.get("output_type") == "stream"]
    if printed:
        lines += ["", *(f"----- {_text(item.get('name'))} -----\n{_text(item.get('text')).rstrip()}" for item in printed), _LINE]
    else:
        lines.append("")
    traceback = error.get("traceback")
    told = "\n".join(_text(line) for line in traceback) if isinstance(traceback, list) else ""
    lines += ["", told or f"{_text(error.get('ename'))}: {_text(error.get('evalue'))}", ""]
    return "\n".join(lines)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Text of a notebook, which may be a list of lines."""
    if isinstance(value, list):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""
