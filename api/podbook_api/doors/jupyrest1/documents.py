"""The documents of this door, for the OpenAPI document."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from podbook_api.doors.answers.outcomes import OutputValidation

__all__ = ["Jupyrest1Accepted", "Jupyrest1Details", "Jupyrest1Executed", "Jupyrest1Request"]


class Jupyrest1Request(BaseModel):
    """Which notebook runs, and with what."""

    notebook: Annotated[str, Field(description="Path of the notebook below the notebooks folder, without `.ipynb`.")]
    parameters: Annotated[dict[str, Any], Field(description="Its parameters.")]


class Jupyrest1Status(StrEnum):
    """How an execution ended."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Jupyrest1Executed(BaseModel):
    """An execution that has ended."""

    id: Annotated[str, Field(description="Id of the execution, a UUID.")]
    status: Jupyrest1Status
    notebook: str
    parameters: dict[str, Any]


class Jupyrest1Accepted(BaseModel):
    """An execution that has not ended."""

    id: Annotated[str, Field(description="Id of the execution, a UUID.")]
    status: Annotated[str, Field(pattern="^ACCEPTED$")]
    notebook: str
    parameters: dict[str, Any]


class Jupyrest1Details(BaseModel):
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
