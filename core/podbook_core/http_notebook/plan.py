"""A cell plan: which cells of a notebook run to answer one request, in which order, and what runs before the handler. Plain data; pure.

A whole notebook is the plan that changes nothing. To answer a request, its set-up cells run, then the cell that assigns REQUEST, the handler's
cells, and those that say how the response is to be.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from podbook_core.http_notebook.annotations import annotation_of, comment_prefix
from podbook_core.http_notebook.request import request_source
from podbook_core.http_notebook.response import CellRun

__all__ = [
    "Role",
    "accept_of",
    "cell_runs",
    "hide_request",
    "original_place",
    "plan_for_request",
    "role_of",
    "with_input_paths",
]

_MARK = "podbook"
"""Member of a cell's metadata that holds where the cell stands in the notebook as it was published, and what it is for."""


class Role(StrEnum):
    """What a cell of a plan is for."""

    SET_UP = "set-up"
    REQUEST = "request"
    HANDLER = "handler"
    RESPONSE_INFO = "response-info"


def plan_for_request(
    cells: Sequence[Mapping[str, Any]], method: str, route: str, request: str, *, language: str
) -> list[dict[str, Any]] | None:
    """The cells to run for a request; None where no cell answers it.

    Args:
        cells: of the notebook.
        method: of the request.
        route: the path as the notebook writes it.
        request: REQUEST, the text that the handler reads.
        language: of the notebook (``metadata.language_info.name``), in lower case.
    """
    prefix = comment_prefix(language)
    parts: dict[Role, list[dict[str, Any]]] = {role: [] for role in Role}
    for place, cell in enumerate(cells):
        if cell.get("cell_type") != "code":
            parts[Role.SET_UP].append(_marked(cell, place, Role.SET_UP))
            continue
        found = annotation_of(_source(cell), prefix)
        if found is None:
            parts[Role.SET_UP].append(_marked(cell, place, Role.SET_UP))
        elif (found.method, found.path) == (method, route):
            role = Role.RESPONSE_INFO if found.info else Role.HANDLER
            parts[role].append(_marked(cell, place, role))
    if not parts[Role.HANDLER]:
        return None
    parts[Role.REQUEST].append(
        {
            "cell_type": "code",
            "id": "podbook-request",
            "metadata": {_MARK: {"role": Role.REQUEST}},
            "execution_count": None,
            "outputs": [],
            "source": request_source(request, language),
        }
    )
    return [cell for role in Role for cell in parts[role]]


def original_place(cell: Mapping[str, Any]) -> int | None:
    """Where a cell of a plan stands in the notebook as it was published; None for one that the plan added."""
    place = _mark(cell).get("cell")
    return place if isinstance(place, int) and not isinstance(place, bool) else None


def role_of(cell: Mapping[str, Any]) -> Role | None:
    """What a cell of a plan is for; None for a cell of a whole notebook."""
    role = _mark(cell).get("role")
    return Role(role) if role in {str(item) for item in Role} else None


def hide_request(cells: Sequence[dict[str, Any]], method: str, path: str) -> None:
    """Put method and path in place of REQUEST, in the notebook that is kept: headers and bodies are their caller's."""
    for cell in cells:
        if role_of(cell) is Role.REQUEST:
            cell["source"] = f"# {method} {path}"
            cell["outputs"] = []


def cell_runs(cells: Sequence[Mapping[str, Any]]) -> tuple[CellRun, CellRun | None]:
    """What the handler gave, and what the ResponseInfo cells gave (None where there are none, or they were not reached).

    Args:
        cells: of the plan, as they were executed. Their outputs are the notebook's own words.
    """
    handler = [_run(cell) for cell in cells if role_of(cell) is Role.HANDLER]
    told = [cell for cell in cells if role_of(cell) is Role.RESPONSE_INFO]
    whole = _joined(handler)
    # A cell that failed before the handler is its failure, too: the caller gets no other answer.
    early = next((run.error for cell in cells if role_of(cell) in (Role.SET_UP, Role.REQUEST) and (run := _run(cell)).error), None)
    if early is not None:
        whole = CellRun(error=early)
    return whole, _joined([_run(cell) for cell in told]) if told and whole.error is None else None


def with_input_paths(request: str, folder: str) -> str:
    """REQUEST with the paths of uploaded files below the folder of input files; as it is where it holds none."""
    try:
        document = json.loads(request)
        files = document.get("files")
        if not isinstance(files, dict):
            return request
        for items in files.values():
            for item in items:
                item["path"] = f"{folder}/{item['path']}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return request
    return json.dumps(document)


def accept_of(request: str) -> str:
    """The Accept header in REQUEST."""
    try:
        value = json.loads(request)["headers"].get("Accept", "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def _marked(cell: Mapping[str, Any], place: int, role: Role) -> dict[str, Any]:
    metadata = cell.get("metadata")
    return {**cell, "metadata": {**(metadata if isinstance(metadata, Mapping) else {}), _MARK: {"cell": place, "role": role}}}


def _mark(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = cell.get("metadata")
    mark = metadata.get(_MARK) if isinstance(metadata, Mapping) else None
    return mark if isinstance(mark, Mapping) else {}


def _run(cell: Mapping[str, Any]) -> CellRun:
    outputs = cell.get("outputs")
    stdout: list[str] = []
    result = displayed = None
    error = None
    for output in outputs if isinstance(outputs, list) else ():
        match output.get("output_type"):
            case "stream" if output.get("name") == "stdout":
                stdout.append(_text(output.get("text")))
            case "execute_result":
                result = _bundle(output)
            case "display_data":
                displayed = _bundle(output)
            case "error":
                error = (_text(output.get("ename")), _text(output.get("evalue")))
            case _:
                pass
    return CellRun("".join(stdout), result, displayed, error)


def _bundle(output: Mapping[str, Any]) -> dict[str, Any]:
    data = output.get("data")
    return (
        {name: _text(value) if isinstance(value, list) else value for name, value in data.items()}
        if isinstance(data, Mapping)
        else {}
    )


def _joined(runs: Sequence[CellRun]) -> CellRun:
    return CellRun(
        "".join(run.stdout for run in runs),
        next((run.result for run in reversed(runs) if run.result is not None), None),
        next((run.displayed for run in reversed(runs) if run.displayed is not None), None),
        next((run.error for run in runs if run.error is not None), None),
    )


def _source(cell: Mapping[str, Any]) -> str:
    return _text(cell.get("source"))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""
