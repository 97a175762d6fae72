"""The plan that answers one HTTP request with annotated cells, and what its cells gave. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from podbook_core.http_notebook.annotations import annotation_of, comment_prefix
from podbook_core.http_notebook.request import request_source
from podbook_core.http_notebook.response import CellRun
from podbook_core.notebook.plans import CellPlan, Injected, Role, http_request

__all__ = ["REQUEST_TAG", "accept_of", "cell_runs", "plan_for_request", "with_input_paths"]

REQUEST_TAG = "injected-request"
"""Tag of the cell that assigns REQUEST."""


def plan_for_request(
    cells: Sequence[Mapping[str, Any]], method: str, route: str, request: str, *, language: str, shown: str
) -> CellPlan | None:
    """The plan of a request; None where no cell answers it.

    Args:
        cells: of the published notebook, as :func:`podbook_core.notebook.file.inspect_notebook` accepts them.
        method: of the request.
        route: the path as the notebook writes it.
        request: REQUEST, the text that the handler reads.
        language: of the cells, in lower case.
        shown: what the executed notebook has in place of REQUEST: headers and bodies are their caller's.
    """
    prefix = comment_prefix(language)
    setup: list[int] = []
    handlers: list[int] = []
    info: list[int] = []
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        found = annotation_of(_text(cell["source"]), prefix)
        if found is None:
            setup.append(number)
        elif (found.method, found.path) == (method, route):
            (info if found.info else handlers).append(number)
    if not handlers:
        return None
    injected = Injected(request_source(request, language), REQUEST_TAG, shown)
    return http_request(cells, setup=setup, request=injected, handlers=handlers, response_info=info)


def cell_runs(steps: Iterable[tuple[Role, Sequence[Mapping[str, Any]]]]) -> tuple[CellRun, CellRun | None]:
    """What the handler gave, and what the cells gave that describe the response (None where there are none, or they were not reached).

    Args:
        steps: role and outputs of every cell that was reached, in their order. The outputs are the notebook's own words.
    """
    runs = [(role, _run(outputs)) for role, outputs in steps]
    # A cell that failed before the handler is its failure, too: the caller gets no other answer.
    early = next((run.error for role, run in runs if role in (Role.SETUP, Role.INJECTED) and run.error is not None), None)
    if early is not None:
        return CellRun(error=early), None
    handler = _joined([run for role, run in runs if role is Role.HANDLER])
    told = [run for role, run in runs if role is Role.RESPONSE_INFO]
    return handler, _joined(told) if told and handler.error is None else None


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


def _run(outputs: Sequence[Mapping[str, Any]]) -> CellRun:
    stdout: list[str] = []
    result = displayed = None
    error = None
    for output in outputs:
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
    """Cells that belong together, as if they were one: only the last of them has a result."""
    return CellRun(
        "".join(run.stdout for run in runs),
        runs[-1].result if runs else None,
        next((run.displayed for run in reversed(runs) if run.displayed is not None), None),
        next((run.error for run in runs if run.error is not None), None),
    )


def _text(value: Any) -> str:
    """Text of a notebook, which may be a list of lines."""
    if isinstance(value, list):
        return "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""
