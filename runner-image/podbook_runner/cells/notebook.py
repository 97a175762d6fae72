"""The notebook as a document: checked before it runs, made presentable afterwards. Pure, except for a file that is rewritten."""

import codecs
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podbook_core.execution.reasons import Reason
from podbook_core.notebook.file import InvalidNotebookError, NotebookInfo, inspect_notebook
from podbook_core.store.limits import MAX_NOTEBOOK_DOCUMENT_BYTES
from podbook_core.text.parameter_names import names_no_variable_can_have, variable_rule
from podbook_runner.cells.carriage_returns import as_shown
from podbook_runner.outcome import AttemptError
from podbook_runner.transfer.redact import Redactor

__all__ = ["check_parameter_names", "executed_bytes", "merge_streams", "outputs_size", "parse_notebook", "remove_byte_order_mark"]

_KEPT_TEXT = 64 * 1024
_OVERHEAD = 1024


def parse_notebook(data: bytes) -> NotebookInfo:
    """Read a notebook file as the untrusted input it is.

    Raises:
        AttemptError: ``InvalidNotebook``: it cannot be run; the message says what to do.
    """
    try:
        return inspect_notebook(data, limit=MAX_NOTEBOOK_DOCUMENT_BYTES)
    except InvalidNotebookError as error:
        raise AttemptError(Reason.INVALID_NOTEBOOK, str(error)) from None


def remove_byte_order_mark(file: Path) -> None:
    """Rewrite a notebook file that begins with one: papermill reads none."""
    data = file.read_bytes()
    if data.startswith(codecs.BOM_UTF8):
        file.write_bytes(data.removeprefix(codecs.BOM_UTF8))


def check_parameter_names(names: Mapping[str, Any], language: str) -> None:
    """Refuse names that no variable can have: papermill writes them into code as they are.

    Raises:
        AttemptError: ``InvalidParameters``.
    """
    for name in names_no_variable_can_have(names, language.lower()):
        rule = variable_rule(language.lower())
        raise AttemptError(Reason.INVALID_PARAMETERS, f"the parameter {name[:80]!r} cannot be the name of a variable; use {rule}")


def merge_streams(outputs: list[Any]) -> list[Any]:
    """Join stream outputs that follow one another: a kernel flushes often, and hundreds of pieces are one text to a reader."""
    merged: list[Any] = []
    pieces: list[str] = []
    for output in outputs:
        if output["output_type"] != "stream":
            _close(merged, pieces)
            merged.append(output)
        elif pieces and merged[-1]["name"] == output["name"]:
            pieces.append(_joined(output["text"]))
        else:
            _close(merged, pieces)
            merged.append(output)
            pieces.append(_joined(output["text"]))
    _close(merged, pieces)
    return merged


def outputs_size(notebook: Mapping[str, Any]) -> int:
    """About how many bytes the outputs of a notebook take in its file.

    Each is counted with a kilobyte on top, because that is what it takes in memory: a million empty outputs are a gigabyte.
    """
    return sum(_size(output) + _OVERHEAD for cell in notebook["cells"] for output in cell.get("outputs", ()))


def executed_bytes(notebook: dict[str, Any], redactor: Redactor, limit: int) -> tuple[bytes, int]:
    """The executed notebook as it is published: without paths and secrets, and within the limit.

    Where it is too large, the largest outputs make way, each leaving a note and the beginning of its text.

    Returns:
        The content of the file, and how many outputs made way.
    """
    papermill = notebook["metadata"].get("papermill")
    if isinstance(papermill, dict):
        # Paths of this container mean nothing elsewhere.
        papermill.pop("input_path", None)
        papermill.pop("output_path", None)
    for cell in notebook["cells"]:
        if cell.get("cell_type") == "code":
            cell["outputs"] = merge_streams(cell.get("outputs", []))
    data, removed = _encode(notebook, redactor), 0
    if len(data) > limit:
        removed = _shrink(notebook, len(data) - limit)
        data = _encode(notebook, redactor)
    return data, removed


def _size(output: Any) -> int:
    return len(json.dumps(output, ensure_ascii=False))


def _shrink(notebook: dict[str, Any], excess: int) -> int:
    removed = 0
    sized = [(_size(output), cell, place) for cell in notebook["cells"] for place, output in enumerate(cell.get("outputs", ()))]
    for size, cell, place in sorted(sized, key=lambda item: -item[0]):
        if excess <= 0:
            break
        output = cell["outputs"][place]
        text = _joined(output.get("text", ""))[:_KEPT_TEXT]
        note = f"[an output of {size} bytes was removed here: the notebook would exceed its size limit]\n"
        cell["outputs"][place] = {"output_type": "stream", "name": output.get("name", "stdout"), "text": text + "\n" + note}
        # Quotes and line ends take more room in the file than in memory; what was kept is at most a few times its length.
        excess -= size - 2 * len(text) - len(note)
        removed += 1
    return removed


def _encode(notebook: dict[str, Any], redactor: Redactor) -> bytes:
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True)
    # Lone surrogates, which JSON escapes can spell, are not UTF-8.
    return redactor.text(text).encode(errors="replace") + b"\n"


def _close(merged: list[Any], pieces: list[str]) -> None:
    if pieces:
        # A progress bar rewrites its line a thousand times; a reader wants the last state.
        merged[-1]["text"] = as_shown("".join(pieces))
        pieces.clear()


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)
