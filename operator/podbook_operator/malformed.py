"""The answer to a document that the API server let through and the model does not understand. Pure."""

from datetime import datetime

from pydantic import ValidationError

from podbook_core.model import Status
from podbook_core.reasons import Reason
from podbook_core.transitions import Change, advance

__all__ = ["refusal"]

_SHOWN = 5


def refusal(error: ValidationError, *, now: datetime) -> dict[str, object]:
    """The status that says so, as plain data. No value of the document is repeated."""
    errors = error.errors(include_input=False)
    places = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in errors[:_SHOWN]]
    # What the schema cannot say about parameters is their author's to mend; anything else says that definition and program differ.
    parameters = all(item["loc"][:2] == ("spec", "parameters") for item in errors)
    reason = Reason.INVALID_PARAMETERS if parameters else Reason.CONFIGURATION_ERROR
    message = "this operator does not understand the resource: " + "; ".join(places)
    return advance(Status(), Change(reason, message), generation=None, now=now).document()
