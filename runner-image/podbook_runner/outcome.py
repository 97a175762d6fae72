"""How an attempt ends, as data: the outcome, its exit code and the termination message. Pure."""

import json
from dataclasses import dataclass

from podbook_core.execution.manifest import MAX_MESSAGE, CellError
from podbook_core.execution.reasons import INTERRUPTED, REASONS, ExitCode, Reason

__all__ = ["AttemptError", "Outcome", "exit_code_of", "termination_message"]

MAX_ENAME = 256
_TERMINATION_BYTES = 4096


class AttemptError(Exception):
    """The attempt ends here, with this reason, before or beside its cells.

    Args:
        reason: a terminal reason that has an exit code.
        message: one sentence for people: what was wrong, what would be right. Holds no secret.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of an attempt."""

    outcome: str
    """A terminal reason, or ``Interrupted``."""
    message: str
    error: CellError | None = None

    @property
    def succeeded(self) -> bool:
        """Whether every cell ran and the output keeps the contract."""
        return self.outcome == Reason.SUCCEEDED

    @property
    def cut_short(self) -> bool:
        """Whether somebody is waiting for the attempt to be gone, so that the manifest comes before the HTML."""
        return self.outcome in (INTERRUPTED, Reason.TIMED_OUT)

    def clipped(self) -> "Outcome":
        """The outcome with every text as short as a manifest takes it."""
        error = self.error
        if error is not None:
            error = CellError(error.cell, clip(error.ename, MAX_ENAME), clip(error.evalue, MAX_MESSAGE))
        return Outcome(self.outcome, clip(self.message, MAX_MESSAGE), error)


def exit_code_of(outcome: Outcome) -> ExitCode:
    """The exit code that says this outcome."""
    if outcome.outcome == INTERRUPTED:
        return ExitCode.INTERRUPTED
    code = REASONS[Reason(outcome.outcome)].exit_code
    return ExitCode.CONFIGURATION_ERROR if code is None else code


def termination_message(outcome: Outcome) -> bytes:
    """The JSON of ``/dev/termination-log``: ``reason``, ``message``, ``cell``, ``ename``, ``evalue``; at most 4 KiB.

    Kubernetes cuts longer messages, and half a JSON document is none.
    """
    for limit in (MAX_MESSAGE, 400, 100, 20):
        error = outcome.error
        document = {
            "reason": outcome.outcome,
            "message": clip(outcome.message, limit),
            "cell": None if error is None else error.cell,
            "ename": None if error is None else clip(error.ename, min(limit, MAX_ENAME)),
            "evalue": None if error is None else clip(error.evalue, limit),
        }
        encoded = json.dumps(document, ensure_ascii=False).encode(errors="replace")
        if len(encoded) <= _TERMINATION_BYTES:
            break
    return encoded


def clip(text: str, limit: int) -> str:
    """The text, cut to a number of characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
