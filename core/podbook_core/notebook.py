"""A light look at a notebook file, enough to refuse what can never run. Pure; the runner does the thorough validation."""

import json
from dataclasses import dataclass
from typing import Any

from podbook_core.nesting import MAX_FILE_NESTING, nested_too_deeply

__all__ = ["MAX_NOTEBOOK_BYTES", "InvalidNotebookError", "NotebookInfo", "inspect_notebook"]

MAX_NOTEBOOK_BYTES = 20 * 1024 * 1024


class InvalidNotebookError(Exception):
    """The file is no notebook Podbook can run; says what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class NotebookInfo:
    """What a catalogue wants to know of a notebook."""

    kernel: str | None
    """Name of its kernelspec."""
    language: str | None
    code_cells: int
    title: str | None
    """Its first Markdown heading."""


def inspect_notebook(data: bytes) -> NotebookInfo:
    """Look at a notebook file (nbformat 4).

    Raises:
        InvalidNotebookError: it is too large or too deep, no JSON, no notebook, or of another major format.
    """
    if len(data) > MAX_NOTEBOOK_BYTES:
        raise InvalidNotebookError(
            f"the notebook is {len(data)} bytes; at most {MAX_NOTEBOOK_BYTES} are allowed (clear its outputs)"
        )
    try:
        raw = json.loads(data)
        if nested_too_deeply(raw, MAX_FILE_NESTING):
            raise RecursionError
    except RecursionError as error:
        raise InvalidNotebookError(
            f"the notebook is nested too deeply; at most {MAX_FILE_NESTING} levels are allowed (clear its outputs)"
        ) from error
    except ValueError as error:
        raise InvalidNotebookError("the notebook is no JSON") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("nbformat"), int):
        raise InvalidNotebookError("the file is no notebook: it has no nbformat")
    if raw["nbformat"] != 4:
        raise InvalidNotebookError(
            f"the notebook is nbformat {raw['nbformat']}; 4 is needed: convert it with `jupyter nbconvert --to notebook --nbformat 4`"
        )
    cells = raw.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) and "cell_type" in cell for cell in cells):
        raise InvalidNotebookError("the notebook has no list of cells")
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return NotebookInfo(
        kernel=_text(metadata, "kernelspec", "name"),
        language=_text(metadata, "language_info", "name") or _text(metadata, "kernelspec", "language"),
        code_cells=sum(cell["cell_type"] == "code" for cell in cells),
        title=_heading(cells),
    )


def _text(metadata: dict[str, Any], part: str, key: str) -> str | None:
    inner = metadata.get(part)
    value = inner.get(key) if isinstance(inner, dict) else None
    return _printable(value) if isinstance(value, str) else None


def _heading(cells: list[dict[str, Any]]) -> str | None:
    for cell in cells:
        if cell["cell_type"] == "markdown":
            source = cell.get("source", "")
            text = "".join(source) if isinstance(source, list) else str(source)
            for line in text.splitlines():
                if line.startswith("#"):
                    return _printable(line.lstrip("#").strip()[:200]) or None
    return None


def _printable(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can say and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()
