"""The notebook as a document: checked before it runs, made presentable afterwards. Pure."""

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podbook_core.nesting import MAX_FILE_NESTING, nested_too_deeply
from podbook_core.reasons import Reason
from podbook_runner.outcome import AttemptError
from podbook_runner.redact import Redactor

__all__ = ["NotebookFacts", "check_parameter_names", "executed_bytes", "merge_streams", "outputs_size", "parse_notebook"]

_CELL_TYPES = ("code", "markdown", "raw")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_KEPT_TEXT = 64 * 1024
_OVERHEAD = 1024


@dataclass(frozen=True, slots=True)
class NotebookFacts:
    """What has to be known before the kernel starts."""

    kernel_name: str
    cells: int


def parse_notebook(data: bytes) -> NotebookFacts:
    """Read a notebook file as the untrusted input it is.

    Raises:
        AttemptError: ``InvalidNotebook``: it cannot be run; the message says what to do.
    """
    try:
        raw = json.loads(data)
        if nested_too_deeply(raw, MAX_FILE_NESTING):
            raise RecursionError
    except RecursionError:
        raise _invalid(
            f"the notebook is nested too deeply, at most {MAX_FILE_NESTING} levels are allowed; clear its outputs"
        ) from None
    except ValueError as error:
        raise _invalid(f"the notebook file is no JSON ({error}); publish the .ipynb file as Jupyter saves it") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("nbformat"), int):
        raise _invalid("the file is JSON, but no notebook: it has no nbformat; publish the .ipynb file as Jupyter saves it")
    if raw["nbformat"] < 4:
        raise _invalid(
            f"the notebook has the old format nbformat {raw['nbformat']}; "
            "convert it with `jupyter nbconvert --to notebook --nbformat 4` and publish it again"
        )
    if raw["nbformat"] > 4:
        raise _invalid(f"the notebook has the format nbformat {raw['nbformat']}; formats up to 4 are understood")
    metadata, cells = raw.get("metadata"), raw.get("cells")
    if not isinstance(metadata, dict) or not isinstance(cells, list):
        raise _invalid("the notebook has no list of cells, or no metadata; save it again in Jupyter")
    for number, cell in enumerate(cells):
        _check_cell(number, cell)
    kernelspec = metadata.get("kernelspec")
    name = kernelspec.get("name") if isinstance(kernelspec, dict) else None
    if not isinstance(name, str) or not name:
        raise _invalid(
            "the notebook does not say which kernel runs it (metadata.kernelspec.name is missing); "
            "open it in Jupyter, choose a kernel and save it"
        )
    return NotebookFacts(name, len(cells))


def check_parameter_names(names: Mapping[str, Any], language: str) -> None:
    """Refuse names that are no variable names: papermill writes them into code as they are.

    Raises:
        AttemptError: ``InvalidParameters``.
    """
    for name in names:
        plain = name.isidentifier() and not keyword.iskeyword(name) if language == "python" else _NAME.match(name)
        if not plain:
            raise AttemptError(
                Reason.INVALID_PARAMETERS,
                f"the parameter {name[:80]!r} is no variable name of {language}; use letters, digits and _",
            )


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
    # Lone surrogates, which JSON escapes can spell, are no UTF-8.
    return redactor.text(text).encode(errors="replace") + b"\n"


def _close(merged: list[Any], pieces: list[str]) -> None:
    if pieces:
        merged[-1]["text"] = "".join(pieces)
        pieces.clear()


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _check_cell(number: int, cell: Any) -> None:
    where = f"cell {number} of the notebook"
    if not isinstance(cell, dict) or cell.get("cell_type") not in _CELL_TYPES:
        raise _invalid(f"{where} is no code, markdown or raw cell; save the notebook again in Jupyter")
    source = cell.get("source")
    if not isinstance(source, str) and not (isinstance(source, list) and all(isinstance(line, str) for line in source)):
        raise _invalid(f"{where} has no source text; save the notebook again in Jupyter")
    metadata = cell.get("metadata")
    if not isinstance(metadata, dict):
        raise _invalid(f"{where} has no metadata; save the notebook again in Jupyter")
    tags = metadata.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise _invalid(f"{where} has tags that are no list of texts; save the notebook again in Jupyter")


def _invalid(message: str) -> AttemptError:
    return AttemptError(Reason.INVALID_NOTEBOOK, message)
