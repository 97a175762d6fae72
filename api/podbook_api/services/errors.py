"""What can go wrong in the services, as plain data: no HTTP status, no address, no wording of one door.

Every error has a stable CamelCase ``code`` for programs and a sentence for people. Doors turn them into answers of their own shape.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Literal

from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import REASONS, Reason
from podbook_core.schema.violations import Violation


class ServiceError(Exception):
    """Base of all errors that doors answer.

    ServiceError
    ├── NotAuthenticatedError            a key is needed, and none that is known was presented
    ├── NotPermittedError                the caller lacks a scope
    │   ├── ProfileNotPermittedError     the notebook may not run on this profile
    │   ├── InvalidLinkError             a signed link that this service did not make
    │   └── LinkExpiredError             a signed link whose time is over
    ├── NotFoundError                    there is no such thing, or the caller may not know of it
    │   ├── NotebookNotFoundError        no notebook of that name is published
    │   │   └── VersionNotFoundError     the version that is named is not stored
    │   ├── ExecutionNotFoundError       no execution of that name, or it is another caller's
    │   └── ResultMissingError           the run left no such result
    ├── RefusedError                     what was asked for is not valid; ``violations`` say what and where
    │   ├── InvalidRequestError          labels, or how it was asked
    │   ├── InvalidParametersError       the contract does not allow these parameters
    │   ├── InvalidCursorError           a position in a list that no list gave
    │   ├── InvalidNotebookError         a notebook to be published that cannot run
    │   ├── InvalidContractError         its contract is not usable
    │   ├── InvalidAssetsError           its files are not usable
    │   ├── UnknownProfileError          there is no profile of that name
    │   ├── NotAcceptedError             the place where it would run refuses it
    │   └── KeyReusedError               the idempotency key belongs to another request
    ├── ConflictError                    not in this state
    │   ├── NotFinishedError             the execution has not ended, or its results are still being stored
    │   ├── NotebookBrokenError          the notebook is there and cannot be run
    │   ├── ManagedByFolderError         the notebook comes from a folder, and is changed there
    │   └── InputsGoneError              input files of the earlier run are no longer stored
    ├── PreconditionFailedError          something has changed since the caller read it
    ├── TooLargeError                    more than is allowed
    ├── TooManyError                     too many executions wait already
    ├── RunFailedError                   the run did not succeed; ``execution`` says why
    ├── PageMissingError                 a page of the run could not be rendered
    ├── ResultChangedError               a stored result is not what its record says
    ├── UnreadableError                  what is stored cannot be read: damaged, or written by a newer version
    └── UnavailableError                 not at the moment
        ├── StoreAwayError               the object store cannot be used
        ├── BackendAwayError             executions that have not ended cannot be reached
        ├── ValidatorBusyError           too many checks are running
        └── MisconfiguredError           the administrator must do something

    Args:
        message: what was wrong and what would be right.
        violations: each thing that is wrong with the input.
        execution: the execution it is about.
        retry_after: seconds after which it may be different; None when trying again does not help.
    """

    code: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        execution: NotebookExecution | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.violations = message, tuple(violations)
        self.execution, self.retry_after = execution, retry_after
        self.stable_code = self.code
        """The word for programs; of a failed run it is the run's reason."""

    @property
    def reason(self) -> Reason | None:
        """Where the execution is, or why it ended."""
        return None if self.execution is None else self.execution.status.reason


class NotAuthenticatedError(ServiceError):
    """A key is needed. ``presented`` says whether one was sent, which then is not known or has expired."""

    code = "Unauthenticated"

    def __init__(self, *, presented: bool) -> None:
        super().__init__("the API key is unknown or has expired" if presented else "send an API key")
        self.presented = presented


class NotPermittedError(ServiceError):
    """The caller lacks a scope."""

    code = "Forbidden"


class ProfileNotPermittedError(NotPermittedError):
    """The profile is not for this notebook."""

    code = "ProfileNotPermitted"


class InvalidLinkError(NotPermittedError):
    """The signature does not belong to this artifact."""

    code = "InvalidLink"

    def __init__(self, message: str = "this link was not signed by this service, or has been altered") -> None:
        super().__init__(message)


class LinkExpiredError(NotPermittedError):
    """The link was good and its time is over."""

    code = "ExpiredLink"

    def __init__(self) -> None:
        super().__init__("this link has expired")


class NotFoundError(ServiceError):
    """There is no such thing, or the caller may not know of it."""

    code = "NotFound"


class NotebookNotFoundError(NotFoundError):
    """No notebook of that name is published, as far as the caller may know."""

    code = "NotebookNotFound"

    def __init__(self, name: str, message: str | None = None) -> None:
        super().__init__(message or f"no notebook {name} is published")
        self.name = name


class VersionNotFoundError(NotebookNotFoundError):
    """The version that was named is not stored."""


class ExecutionNotFoundError(NotFoundError):
    """There is no execution of that name, as far as the caller may know."""

    code = "ExecutionNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no execution {name}")
        self.name = name


class ResultMissingError(NotFoundError):
    """The run has ended and left no such result."""

    code = "ResultNotFound"

    def __init__(self, execution: NotebookExecution, what: str) -> None:
        super().__init__(f"execution {execution.name} ({execution.status.reason}) has no {what}", execution=execution)
        self.what = what


class RefusedError(ServiceError):
    """What was asked for is not valid."""

    code = "InvalidRequest"


class InvalidRequestError(RefusedError):
    """Labels, or how it was asked."""


class InvalidParametersError(RefusedError):
    """The contract does not allow these parameters."""

    code = "InvalidParameters"


class InvalidCursorError(RefusedError):
    """A position in a list that no list gave."""

    code = "InvalidCursor"


class InvalidNotebookError(RefusedError):
    """A notebook to be published that cannot run."""

    code = "InvalidNotebook"


class InvalidContractError(RefusedError):
    """The contract of a notebook to be published is not usable."""

    code = "InvalidContract"


class InvalidAssetsError(RefusedError):
    """The files of a notebook to be published are not usable."""

    code = "InvalidAssets"


class UnknownProfileError(RefusedError):
    """There is no profile of that name."""

    code = "UnknownProfile"


class NotAcceptedError(RefusedError):
    """The place where the execution would run has rules of its own, which it breaks."""

    code = "InvalidExecution"


class KeyReusedError(RefusedError):
    """The idempotency key was first used at ``since``, with another request."""

    code = "IdempotencyKeyReused"

    def __init__(self, since: datetime) -> None:
        super().__init__(
            f"this Idempotency-Key was first used at {since.isoformat(timespec='seconds')} with another request; "
            "use a new key for a new request"
        )
        self.since = since


class ConflictError(ServiceError):
    """Not in this state."""

    code = "Conflict"


class NotFinishedError(ConflictError):
    """The execution has not ended, or its results are still being stored.

    Args:
        execution: the execution.
        remedy: what the caller can do: ``wait`` for its end, ``cancel`` it first, or try again in a ``moment``.
    """

    code = "NotFinished"

    def __init__(self, execution: NotebookExecution, remedy: Literal["wait", "cancel", "moment"]) -> None:
        status = execution.status
        state = f"has ended ({status.reason}), but its results are still being stored" if status.terminal else f"is {status.reason}"
        advice = {"wait": "wait for its end", "cancel": "cancel it first", "moment": "try again in a moment"}[remedy]
        super().__init__(f"execution {execution.name} {state}; {advice}", execution=execution, retry_after=1)
        self.remedy = remedy


class NotebookBrokenError(ConflictError):
    """The notebook is there and cannot be run."""

    code = "NotebookBroken"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"notebook {name} cannot be run: {why}")
        self.name, self.why = name, why


class ManagedByFolderError(ConflictError):
    """The notebook comes from the notebooks folder, and is changed there."""

    code = "ManagedByFolder"

    def __init__(self, name: str) -> None:
        super().__init__(f"notebook {name} comes from the notebooks folder; edit or delete the file there")


class InputsGoneError(ConflictError):
    """Input files of the earlier run are no longer stored."""

    code = "InvalidInputs"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the input files {', '.join(names)} are no longer stored; create a new execution with them")


class PreconditionFailedError(ServiceError):
    """Something has changed since the caller read it."""

    code = "PreconditionFailed"


class TooLargeError(ServiceError):
    """More than is allowed, whatever the contract says."""

    code = "ParametersTooLarge"


class TooManyError(ServiceError):
    """Too many executions wait already."""

    code = "QueueFull"


class RunFailedError(ServiceError):
    """The run did not succeed: ``execution`` says why, where, and which partial results there are."""

    code = "RunFailed"

    def __init__(self, execution: NotebookExecution) -> None:
        status = execution.status
        super().__init__(status.message or REASONS[status.reason].meaning, execution=execution)
        self.failed = execution
        self.advice = REASONS[status.reason].advice
        self.stable_code = str(status.reason)


class PageMissingError(ServiceError):
    """A page of the run could not be rendered; its output, notebook and files are there all the same."""

    code = str(Reason.RENDER_FAILED)

    def __init__(self, execution: NotebookExecution, why: str | None) -> None:
        super().__init__(why or REASONS[Reason.RENDER_FAILED].meaning, execution=execution)


class ResultChangedError(ServiceError):
    """A stored result is not what its record says."""

    code = "ResultChanged"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} does not match the record of this execution: it was altered or deleted in the store, so it is not served"
        )


class UnreadableError(ServiceError):
    """What is stored cannot be read: it is damaged, or a newer version wrote it."""

    code = "InternalError"


class UnavailableError(ServiceError):
    """Not at the moment; ``retry_after`` says when to try again."""

    code = "BackendUnavailable"


class StoreAwayError(UnavailableError):
    """The object store cannot be used."""

    code = "StoreUnavailable"


class BackendAwayError(UnavailableError):
    """Executions that have not ended cannot be reached."""


class ValidatorBusyError(UnavailableError):
    """Too many checks against this contract are running."""

    code = "ValidationBusy"


class MisconfiguredError(UnavailableError):
    """The administrator must do something."""

    code = "ConfigurationError"
