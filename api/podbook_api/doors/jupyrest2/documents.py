"""The documents of this door: what its client sends and reads."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from podbook_api.doors.answers.outcomes import OutputValidation, output_validation
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import is_settled

__all__ = [
    "ExecutionArtifactType",
    "JupyrestError",
    "NotebookExecutionAsyncResponse",
    "NotebookExecutionRequest",
    "NotebookExecutionResponse",
    "NotebookExecutionStatus",
    "NotebookIdList",
    "NotebookResponse",
    "execution_document",
    "execution_status",
]


class ExecutionArtifactType(StrEnum):
    """What an execution leaves."""

    HTML = "html"
    IPYNB = "ipynb"
    HTML_REPORT = "html_report"
    OUTPUT = "output"
    EXCEPTION = "exception"


class NotebookExecutionStatus(StrEnum):
    """Where an execution is. Every end is ``COMPLETED``: the client waits for nothing else."""

    ACCEPTED = "ACCEPTED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"


class NotebookExecutionCompletionStatus(StrEnum):
    """How an execution ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class NotebookIdList(BaseModel):
    """The notebooks there are."""

    notebooks: Annotated[list[str], Field(description="Ids: of the contract, else the path below the notebooks folder.")]


class NotebookResponse(BaseModel):
    """What a notebook takes and gives."""

    notebook_id: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


class NotebookExecutionRequest(BaseModel):
    """What a notebook runs with."""

    parameters: dict[str, Any]


class NotebookExecutionAsyncResponse(BaseModel):
    """An execution that was accepted."""

    execution_id: Annotated[str, Field(description="A UUID.")]
    status: NotebookExecutionStatus
    notebook_id: str


class NotebookExecutionResponse(BaseModel):
    """An execution. Times are in UTC, without a zone; what is not known yet is null."""

    execution_id: str
    status: NotebookExecutionStatus
    notebook_id: str
    parameters: dict[str, Any]
    execution_accepted_ts: str
    execution_start_ts: str | None = None
    execution_end_ts: str | None = None
    execution_completion_status: NotebookExecutionCompletionStatus | None = None
    has_output: bool | None = None
    has_exception: bool | None = None
    artifacts: Annotated[dict[str, str] | None, Field(description="Paths of the artifacts there are, by type.")] = None
    output_validation: Annotated[
        OutputValidation | None, Field(description="Only where the output breaks its schema, which fails nothing here.")
    ] = None


class JupyrestError(BaseModel):
    """What was wrong."""

    code: str
    message: str
    data: dict[str, Any]


def execution_status(execution: NotebookExecution) -> NotebookExecutionStatus:
    """Where an execution is, in the words of this door. Pure."""
    if is_settled(execution):
        return NotebookExecutionStatus.COMPLETED
    return NotebookExecutionStatus.ACCEPTED if execution.status.start_time is None else NotebookExecutionStatus.EXECUTING


def execution_document(execution: NotebookExecution, notebook_id: str, artifacts: frozenset[str], *, base: str) -> dict[str, Any]:
    """An execution as this door tells it. Pure.

    Args:
        execution: with its parameters.
        notebook_id: of the notebook that ran.
        artifacts: which of output, html, report and notebook an ended execution left.
        base: path of the execution.
    """
    status = execution.status
    ended = is_settled(execution)
    failed = status.reason is not Reason.SUCCEEDED
    there = {
        ExecutionArtifactType.OUTPUT: "output" in artifacts,
        ExecutionArtifactType.EXCEPTION: failed,
        ExecutionArtifactType.HTML: "html" in artifacts,
        ExecutionArtifactType.IPYNB: "notebook" in artifacts,
        ExecutionArtifactType.HTML_REPORT: "report" in artifacts,
    }
    broken = output_validation(execution)
    completion = NotebookExecutionCompletionStatus.FAILED if failed else NotebookExecutionCompletionStatus.SUCCEEDED
    return {
        "execution_id": execution.name,
        "status": str(execution_status(execution)),
        "notebook_id": notebook_id,
        "parameters": execution.spec.parameters,
        "execution_accepted_ts": _naive(execution.metadata.creation_timestamp or status.queued_time),
        "execution_start_ts": _naive(status.start_time),
        "execution_end_ts": _naive(status.completion_time) if ended else None,
        "execution_completion_status": str(completion) if ended else None,
        "has_output": there[ExecutionArtifactType.OUTPUT] if ended else None,
        "has_exception": failed if ended else None,
        "artifacts": {str(kind): f"{base}/artifacts/{kind}" for kind, found in there.items() if found} if ended else None,
        **({} if broken is None else {"output_validation": broken}),
    }


def _naive(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()
