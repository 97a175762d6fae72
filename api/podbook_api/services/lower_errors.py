"""What the errors of store, backend and validator mean to a caller. They pass through the services as they are, which tell them apart."""

from podbook_api.backends.base import BackendUnavailableError, InvalidExecutionError, MissingRightError, QueueFullError
from podbook_api.services.errors import (
    BackendAwayError,
    MisconfiguredError,
    NotAcceptedError,
    ServiceError,
    StoreAwayError,
    TooManyError,
    ValidatorBusyError,
)
from podbook_core.schema.validation import ValidationBusyError
from podbook_core.store.base import StoreUnavailableError

__all__ = ["LOWER_ERRORS", "service_error"]

STORE_RETRY_AFTER = 5
"""Seconds after which a caller may try again when the store is away."""
LOWER_ERRORS: tuple[type[Exception], ...] = (
    StoreUnavailableError,
    BackendUnavailableError,
    MissingRightError,
    QueueFullError,
    ValidationBusyError,
    InvalidExecutionError,
)
"""Every class that :func:`service_error` knows besides the services' own."""


def service_error(error: Exception) -> ServiceError | None:
    """What an error of :data:`LOWER_ERRORS` means to a caller, itself when it is a service error already, None for any other. Pure.

    Messages of store and backend may name folders or addresses of the installation, so callers do not get those.
    """
    match error:
        case ServiceError():
            return error
        case StoreUnavailableError():
            return StoreAwayError("the object store cannot be used at the moment; try again", retry_after=STORE_RETRY_AFTER)
        case MissingRightError():
            return MisconfiguredError(
                f"the cluster does not let this server do what it has to: its account {error.right}; whoever installed it can grant that",
                retry_after=error.retry_after,
            )
        case BackendUnavailableError():
            return BackendAwayError(
                "what has not ended cannot be reached at the moment, so nothing can be begun or said of it; try again. Executions that have "
                "ended can still be read by their id, and listed by the phase or reason of their end",
                retry_after=error.retry_after,
            )
        case QueueFullError():
            return TooManyError(f"{error}; try again later", retry_after=error.retry_after)
        case ValidationBusyError():
            return ValidatorBusyError(
                "too many checks of parameters against this notebook's contract are under way, so yours did not get its turn; try again",
                retry_after=error.retry_after,
            )
        case InvalidExecutionError():
            return NotAcceptedError(f"the execution is refused where it would run: {error}")
        case _:
            return None
