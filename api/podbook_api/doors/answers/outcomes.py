"""The end of a run in the words of systems that know one way to succeed and one to fail: a text for everything that is not a success."""

from typing import Any

import anyio.to_thread
from pydantic import BaseModel

from podbook_api.services.bundle import Services
from podbook_api.services.errors import ResultMissingError
from podbook_api.services.results import Artifact, closed, whole
from podbook_core.execution.model import NotebookExecution, OnViolation, Outputs
from podbook_core.execution.reasons import Reason
from podbook_core.results.exceptions import cell_exception
from podbook_core.text.json_depth import parse_document

__all__ = ["REPORTED", "OutputValidation", "exception_text", "output_validation", "short_exception"]

REPORTED = Outputs(violation=OnViolation.REPORT)
"""For systems in which an output that breaks its schema fails nothing."""

_LARGEST_NOTEBOOK = 16 * 1024 * 1024
"""Bytes of an executed notebook that is read to find the traceback in it; of a larger one the short form is told."""


class OutputValidation(BaseModel):
    """That an output breaks its schema, and how; told only where it does, and where that fails nothing."""

    is_valid: bool
    error: str


def output_validation(execution: NotebookExecution) -> dict[str, Any] | None:
    """That the output breaks its schema, and how; None where it does not, or was not checked. Pure."""
    found = execution.status.condition("OutputValid")
    return None if found is None or found.status != "False" else {"is_valid": False, "error": found.message}


def short_exception(execution: NotebookExecution) -> str | None:
    """Why an ended execution did not succeed, in one sentence; None of a success. Pure."""
    status = execution.status
    if status.reason is Reason.SUCCEEDED:
        return None
    return f"{status.error.ename}: {status.error.evalue}" if status.error is not None else f"{status.reason}: {status.message}"


async def exception_text(services: Services, execution: NotebookExecution) -> str | None:
    """Why an ended execution did not succeed: the failed cell with its traceback, else the reason in a sentence. None of a success."""
    short = short_exception(execution)
    if execution.status.reason is not Reason.CELL_FAILED:
        return short
    try:
        notebook = await services.results.artifact(execution, "notebook")
    except ResultMissingError:
        return short
    if notebook.recorded.size > _LARGEST_NOTEBOOK:
        await closed(notebook)
        return short
    return await _traceback(notebook) or short


async def _traceback(notebook: Artifact) -> str | None:
    data = await whole(notebook)
    try:
        found = await anyio.to_thread.run_sync(lambda: cell_exception(parse_document(data)))
    except ValueError:
        return None
    # Halves of surrogate pairs may stand in a notebook, and in no answer.
    return None if found is None else found.encode(errors="replace").decode()
