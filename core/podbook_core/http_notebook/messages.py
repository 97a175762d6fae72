"""What a server and one of its workers say to each other: one line of JSON each, over the worker's standard input and output.

Standard library only: the worker reads its first line before anything else is imported. Everything a worker says may be a notebook's word.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from podbook_core.http_notebook.response import CellRun

__all__ = ["MAX_LINE_BYTES", "InvalidMessageError", "Ran", "Run", "Start"]

MAX_LINE_BYTES = 128 * 1024 * 1024
"""Longest line: the outputs of one request, and what its encoding adds."""


class InvalidMessageError(ValueError):
    """A line that is not one of these messages."""


@dataclass(frozen=True, slots=True)
class Start:
    """The first line to a worker: which kernel it starts, and what runs in it before the first request."""

    kernel: str | None
    """Name of the kernel specification; None for the notebook's language."""
    language: str
    cwd: str
    set_up: tuple[str, ...] = ()
    limit: int = 64 * 1024 * 1024
    """Most bytes of output of one run."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of the worker's own."""
    seconds: float = 600
    """How long the set-up may take."""

    def line(self) -> bytes:
        """The message as a line."""
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> "Start":
        """Read the line. Raises InvalidMessageError."""
        raw = _object(line)
        try:
            return cls(**{**raw, "set_up": tuple(raw.get("set_up", ()))})
        except TypeError as error:
            raise InvalidMessageError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Run:
    """Sources to run one after the other; what follows one that raises is not run."""

    sources: Sequence[str]
    seconds: float
    """How long all of them may take."""
    quiet: int = 0
    """So many at the beginning only bring values: what they give out counts for nothing."""

    def line(self) -> bytes:
        """The message as a line."""
        return _line({"sources": list(self.sources), "seconds": self.seconds, "quiet": self.quiet})

    @classmethod
    def from_line(cls, line: bytes) -> "Run":
        """Read the line. Raises InvalidMessageError."""
        raw = _object(line)
        sources, seconds, quiet = raw.get("sources"), raw.get("seconds"), raw.get("quiet")
        if not isinstance(sources, list) or not all(isinstance(item, str) for item in sources):
            raise InvalidMessageError("sources must be a list of texts")
        if not isinstance(seconds, int | float) or not isinstance(quiet, int):
            raise InvalidMessageError("seconds and quiet must be numbers")
        return cls(sources, seconds, quiet)


@dataclass(frozen=True, slots=True)
class Ran:
    """The answer of a worker: what each source gave, as far as they ran; or why they gave nothing."""

    runs: Sequence[CellRun] = ()
    lost: str | None = None
    """Why there is nothing, in a sentence: the kernel has ended, or the sources took too long."""
    late: bool = False
    """Whether they took too long."""
    usable: bool = True
    """Whether the kernel takes another run; else the worker ends after it has said so."""

    def line(self) -> bytes:
        """The message as a line."""
        return _line({"runs": [asdict(item) for item in self.runs], "lost": self.lost, "late": self.late, "usable": self.usable})

    @classmethod
    def from_line(cls, line: bytes) -> "Ran":
        """Read the line. Raises InvalidMessageError."""
        raw = _object(line)
        runs, lost = raw.get("runs"), raw.get("lost")
        if not isinstance(runs, list) or not (lost is None or isinstance(lost, str)):
            raise InvalidMessageError("runs must be a list, and lost a text or null")
        return cls([_cell_run(item) for item in runs], lost, raw.get("late") is True, raw.get("usable") is True)


def _cell_run(raw: Any) -> CellRun:
    if not isinstance(raw, dict):
        raise InvalidMessageError("a run must be an object")
    stdout, result, displayed, error = (raw.get(name) for name in ("stdout", "result", "displayed", "error"))
    if not isinstance(stdout, str) or not all(item is None or isinstance(item, dict) for item in (result, displayed)):
        raise InvalidMessageError("a run's stdout must be a text, its result and displayed objects or null")
    if error is None:
        return CellRun(stdout, result, displayed)
    if not (isinstance(error, list) and len(error) == 2 and all(isinstance(item, str) for item in error)):
        raise InvalidMessageError("a run's error must be two texts")
    return CellRun(stdout, result, displayed, (error[0], error[1]))


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidMessageError("the line is not JSON") from error
    if not isinstance(raw, dict):
        raise InvalidMessageError("the line is not a JSON object")
    return raw
