"""What a notebook file says of itself, and whether it can run at all. Pure.

The one check of publishing, API and runner, so that what is published is what the runner takes: nbformat 4, with cells, metadata and tags
in the shapes Jupyter writes. Which kernels there are, only the image knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podbook_core.http_notebook.annotations import comment_prefix, read_cells
from podbook_core.text import strict_json
from podbook_core.text.json_depth import MAX_FILE_NESTING
from podbook_core.text.strict_json import InvalidJsonError

__all__ = ["MAX_NOTEBOOK_BYTES", "InvalidNotebookError", "NotebookInfo", "inspect_notebook", "language_of"]

MAX_NOTEBOOK_BYTES = 20 * 1024 * 1024
"""Largest notebook file that can be published."""
PYTHON = "python"
_CELL_TYPES = ("code", "markdown", "raw")
_PYTHON_KERNELS = ("python3", "python")
_TITLE = 200


class InvalidNotebookError(Exception):
    """The file is not a notebook that Podbook can run; says what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class NotebookInfo:
    """What is known of a notebook without running it."""

    kernel: str | None
    """Name of its kernelspec; None when it names none."""
    language: str
    """Language of its code cells in lower case: what the notebook says, else Python."""
    code_cells: int
    cells: int
    """Cells in all, Markdown and raw ones included."""
    title: str | None
    """Its first Markdown heading."""
    warnings: tuple[str, ...] = ()
    """What its author should know, one sentence each; none of it keeps the notebook from running."""
    endpoints: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Paths that its annotated cells answer, each with its methods, in the order in which they are tried."""


def inspect_notebook(data: bytes, *, limit: int = MAX_NOTEBOOK_BYTES) -> NotebookInfo:
    """Read a notebook file as the untrusted input it is.

    Args:
        data: the file.
        limit: largest size in bytes.

    Raises:
        InvalidNotebookError: it is too large or nested too deeply, not JSON, not a notebook, of another major format, or damaged.
    """
    if len(data) > limit:
        raise InvalidNotebookError(f"the notebook is {len(data)} bytes; at most {limit} are allowed (clear its outputs)")
    raw = _document(data)
    metadata, cells = raw.get("metadata"), raw.get("cells")
    if not isinstance(metadata, dict) or not isinstance(cells, list):
        raise InvalidNotebookError("the notebook has no list of cells, or no metadata; save it again in Jupyter")
    for number, cell in enumerate(cells):
        _check_cell(number, cell)
    kernel, language = _text(metadata, "kernelspec", "name") or None, language_of(metadata)
    http = read_cells([_source(cell) for cell in cells if cell["cell_type"] == "code"], comment_prefix(language))
    return NotebookInfo(
        kernel=kernel,
        language=language,
        code_cells=sum(cell["cell_type"] == "code" for cell in cells),
        cells=len(cells),
        title=_heading(cells),
        warnings=(*_warnings(kernel, language), *(http.warnings if http.endpoints else ())),
        endpoints=tuple((item.path, tuple(item.handlers)) for item in http.endpoints),
    )


def language_of(metadata: Mapping[str, Any]) -> str:
    """The language of a notebook's code cells, by its metadata, in lower case; Python where it does not say."""
    said = _text(metadata, "kernelspec", "language") or _text(metadata, "language_info", "name")
    return said.lower() if said else PYTHON


def _document(data: bytes) -> dict[str, Any]:
    try:
        raw = strict_json.parse(data, limit=len(data), what="the notebook", depth=MAX_FILE_NESTING, as_jupyter_writes=True)
    except InvalidJsonError as error:
        raise InvalidNotebookError(f"{error}; publish the .ipynb file as Jupyter saves it, without large outputs") from None
    version = raw.get("nbformat") if isinstance(raw, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise InvalidNotebookError("the file is not a notebook: it has no nbformat; publish the .ipynb file as Jupyter saves it")
    if version < 4:
        raise InvalidNotebookError(
            f"the notebook is nbformat {version}; 4 is needed: convert it with `jupyter nbconvert --to notebook --nbformat 4`"
        )
    if version > 4:
        raise InvalidNotebookError(f"the notebook is nbformat {version}; formats up to 4 are supported")
    document: dict[str, Any] = raw
    return document


def _check_cell(number: int, cell: Any) -> None:
    where = f"cell {number} of the notebook"
    if not isinstance(cell, dict) or cell.get("cell_type") not in _CELL_TYPES:
        raise InvalidNotebookError(f"{where} is not a code, markdown or raw cell; save the notebook again in Jupyter")
    source = cell.get("source")
    if not isinstance(source, str) and not (isinstance(source, list) and all(isinstance(line, str) for line in source)):
        raise InvalidNotebookError(f"{where} has no source text; save the notebook again in Jupyter")
    metadata = cell.get("metadata")
    if not isinstance(metadata, dict):
        raise InvalidNotebookError(f"{where} has no metadata; save the notebook again in Jupyter")
    tags = metadata.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidNotebookError(f"{where} has tags that are not a list of strings; save the notebook again in Jupyter")


def _warnings(kernel: str | None, language: str) -> tuple[str, ...]:
    if language != PYTHON:
        return (f"its cells are {language}: its profile's image must have the kernel {(kernel or language)!r}",)
    if kernel is None:
        return ("it does not name a kernel: its cells run on python3",)
    if kernel.lower() not in _PYTHON_KERNELS:
        return (f"it names the kernel {kernel!r}: where the image does not have it, its cells run on python3",)
    return ()


def _text(metadata: Mapping[str, Any], part: str, key: str) -> str | None:
    inner = metadata.get(part)
    value = inner.get(key) if isinstance(inner, dict) else None
    return _printable(value[:_TITLE]) if isinstance(value, str) else None


def _source(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return "".join(source) if isinstance(source, list) else str(source)


def _heading(cells: list[dict[str, Any]]) -> str | None:
    for cell in cells:
        if cell["cell_type"] == "markdown":
            for line in _source(cell).splitlines():
                if line.startswith("#"):
                    return _printable(line.lstrip("#").strip()[:_TITLE]) or None
    return None


def _printable(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can represent and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()
