"""The answer to a document that the API server let through and the model does not understand. Pure."""

import json

from pydantic import ValidationError

from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Reason
from podbook_core.execution.verdict import End
from podbook_core.text.model_errors import problems

__all__ = ["refusal", "understood"]

_SHOWN = 5


def refusal(error: ValidationError) -> End:
    """The end that says so. No value of the document is repeated."""
    errors = error.errors(include_input=False)
    # What the schema cannot express about parameters is for their author to fix; anything else says that definition and program differ.
    parameters = all(item["loc"][:2] == ("spec", "parameters") for item in errors)
    reason = Reason.INVALID_PARAMETERS if parameters else Reason.CONFIGURATION_ERROR
    return End(reason, "this operator cannot read the resource: " + problems(error, most=_SHOWN, separator="."))


def understood(document: bytes, error: ValidationError) -> NotebookExecution | None:
    """The document without the fields of spec and status that are not understood, so that its end can be told and recorded like any other.

    Args:
        document: JSON of the whole resource.
        error: what is wrong with it.

    Returns:
        None when what is left is not an execution: not even its notebook is known.
    """
    raw = json.loads(document)
    for item in error.errors(include_input=False):
        part, *inner = item["loc"]
        if inner and isinstance(raw.get(part), dict):
            raw[part].pop(inner[0], None)
    try:
        return NotebookExecution.model_validate(raw)
    except ValidationError:
        return None
