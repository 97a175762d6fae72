"""Errors as the command line shows them: one clear line on stderr, advice below it, and an exit code.

====  ==============================================================================================================
code  meaning
====  ==============================================================================================================
0     it worked; for ``run``: the notebook succeeded
1     any other error
2     the command line is wrong
10-20 the notebook's end, by the same numbers the runner uses (``podbook_core.execution.reasons.ExitCode``): 10 a cell failed, 11 the kernel
      died, 12 out of memory, 13 timed out, 14 invalid notebook, 15 invalid parameters, 16 invalid output, 17 notebook not found,
      18 HTML not rendered, 19 configuration error, 20 storage failed
30    cancelled
130   interrupted with Ctrl-C
====  ==============================================================================================================
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, Any

import click
from typing_extensions import override

from podbook.errors import (
    AccessDeniedError,
    ExecutionFailed,
    PodbookError,
    ProblemError,
    ServerUnreachableError,
    StillRunningError,
    UnavailableError,
    UnexpectedAnswerError,
)
from podbook_core.execution.reasons import REASONS, ExitCode, Reason
from podbook_core.notebook.folder import SourceError

__all__ = ["INTERRUPTED", "Failure", "exit_code_of", "failure_from", "printable"]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT."""
_CODES: Mapping[str, int] = MappingProxyType(
    {
        "InvalidParameters": ExitCode.INVALID_PARAMETERS,
        "ParametersTooLarge": ExitCode.INVALID_PARAMETERS,
        "InvalidInputs": ExitCode.INVALID_PARAMETERS,
        "NotebookNotFound": ExitCode.NOTEBOOK_NOT_FOUND,
        "NotebookBroken": ExitCode.INVALID_NOTEBOOK,
        "InvalidNotebook": ExitCode.INVALID_NOTEBOOK,
        "InvalidContract": ExitCode.INVALID_NOTEBOOK,
        "InvalidAssets": ExitCode.INVALID_NOTEBOOK,
    }
)
"""Exit codes for requests that are refused before anything runs, by the problem's code."""


class Failure(click.ClickException):
    """An error to show: what went wrong, then what to do."""

    def __init__(self, message: str, advice: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.advice = advice
        self.code = exit_code

    @override
    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"Error: {printable(self.message)}", err=True)
        if self.advice:
            click.echo(printable(self.advice), err=True)


def printable(text: str) -> str:
    """A text without characters that steer a terminal: messages may come from a notebook."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def exit_code_of(reason: str) -> int:
    """Exit code for the end of an execution."""
    try:
        known = Reason(reason)
    except ValueError:
        return 1  # of a newer server
    if known is Reason.CANCELLED:
        return ExitCode.INTERRUPTED
    code = REASONS[known].exit_code
    return 1 if code is None else int(code)


def failure_from(error: PodbookError | SourceError) -> Failure:
    """How an error is shown. Pure."""
    match error:
        case ExecutionFailed():
            return Failure(str(error), _advice_for(error.reason), exit_code_of(error.reason))
        case StillRunningError():
            return Failure(str(error), f"Follow it: podbook get {error.execution}   Stop it: podbook cancel {error.execution}")
        case ServerUnreachableError():
            return Failure(str(error), "Start one with `podbook serve`, or set another address with --url or PODBOOK_URL.")
        case UnexpectedAnswerError():
            return Failure(str(error), "Check --url or PODBOOK_URL.")
        case AccessDeniedError(status=401):
            return Failure(str(error), "Give a key with PODBOOK_API_KEY or --api-key-file; `podbook keys create` makes one.")
        case UnavailableError():
            return Failure(str(error), "Retry in a moment.")
        case ProblemError(code="InvalidParameters") if error.errors:
            lines = [f"  {item.path or '(all)'}: {item.problem}; expected {item.expected}" for item in error.errors]
            return Failure("the parameters violate the notebook's contract", "\n".join(lines), ExitCode.INVALID_PARAMETERS)
        case ProblemError():
            return Failure(str(error), _text(error.problem.get("advice")), _CODES.get(error.code, 1))
        case SourceError():
            return Failure(str(error))
        case _:
            return Failure(str(error))


def _advice_for(reason: str) -> str:
    return REASONS[Reason(reason)].advice if reason in set(Reason) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
