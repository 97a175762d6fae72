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
    places = [
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors(include_input=False)[:_SHOWN]
    ]
    message = "this operator does not understand the resource: " + "; ".join(places)
    return advance(Status(), Change(Reason.CONFIGURATION_ERROR, message), generation=None, now=now).document()
