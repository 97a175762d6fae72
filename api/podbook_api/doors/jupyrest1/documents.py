"""The documents of this door, for the OpenAPI document."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

__all__ = ["Accepted", "Executed", "ExecutedDetails", "ExecutionRequest"]


class ExecutionRequest(BaseModel):
    """Which notebook runs, and with what."""

    notebook: Annotated[str, Field(description="Path of the notebook below the notebooks folder, without `.ipynb`.")]
    parameters: Annotated[dict[str, Any], Field(description="Its parameters.")]


class EndStatus(StrEnum):
    """How an execution ended."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Executed(BaseModel):
    """An execution that has ended."""

    id: Annotated[str, Field(description="Id of the execution, a UUID.")]
    status: EndStatus
    notebook: str
    parameters: dict[str, Any]


class Accepted(BaseModel):
    """An execution that has not ended."""

    id: Annotated[str, Field(description="Id of the execution, a UUID.")]
    status: Annotated[str, Field(pattern="^ACCEPTED$")]
    notebook: str
    parameters: dict[str, Any]


class OutputValidation(BaseModel):
    """What is wrong with an output."""

    is_valid: bool
    error: str


class ExecutedDetails(BaseModel):
    """An execution, with what the flags ask for."""

    id: str
    status: Annotated[str, Field(pattern="^(ACCEPTED|COMPLETED|FAILED)$")]
    notebook: str
    parameters: dict[str, Any]
    exception: Annotated[str | None, Field(description="Why it failed; null when it did not.")]
    output_validation: Annotated[
        OutputValidation | None, Field(description="Only where the output breaks its schema, which fails nothing here.")
    ] = None
    html: Annotated[str | None, Field(description="The executed notebook as a page.")] = None
    output: Annotated[Any, Field(description="What the notebook saved.")] = None
    ipynb: Annotated[str | None, Field(description="The executed notebook, JSON as text.")] = None
