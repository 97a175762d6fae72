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
from podbook_core.schema.validation import ValidationBusyError, ValidatorNotStartedError
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
            return StoreAwayError("the object store is not available right now; retry later", retry_after=STORE_RETRY_AFTER)
        case MissingRightError():
            return MisconfiguredError(
                f"this server lacks a permission in the cluster: its account {error.right}; an administrator can grant it",
                retry_after=error.retry_after,
            )
        case BackendUnavailableError():
            return BackendAwayError(
                "running executions cannot be reached right now, so none can be started or reported; retry later. Executions that have "
                "ended can still be read by their id, and listed by the phase or reason of their end",
                retry_after=error.retry_after,
            )
        case QueueFullError():
            return TooManyError(f"{error}; retry later", retry_after=error.retry_after)
        case ValidatorNotStartedError():
            return ValidatorBusyError(f"{error}, so nothing can be checked right now; retry later", retry_after=error.retry_after)
        case ValidationBusyError():
            return ValidatorBusyError(
                "too many validations of parameters against this notebook's contract are in progress; retry later",
                retry_after=error.retry_after,
            )
        case InvalidExecutionError():
            return NotAcceptedError(f"the backend refuses the execution: {error}")
        case _:
            return None
