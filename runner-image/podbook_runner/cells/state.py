"""The state of one run of the cells: what it needs, how far it is, and how much it has printed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from podbook_runner.cells.log import RunLog
from podbook_runner.cells.notebook import outputs_size
from podbook_runner.cells.output import OutputScraps
from podbook_runner.cells.reporter import Progress
from podbook_runner.kernel.process import Kernel
from podbook_runner.limits.stop import Cause, Stop
from podbook_runner.outcome import Outcome

__all__ = ["Execution"]

_LOOKS = 16
"""Near the limit, outputs are measured at most this many times for as many bytes as the limit has."""


@dataclass
class Execution:
    """One run of the cells: what is needed for it, and what is known of it so far. Read by other threads for progress."""

    kernel: Kernel
    stop: Stop
    log: RunLog
    out_of_memory: Callable[[], bool]
    """Whether the system has killed processes of this container because memory ran out."""
    limit: int
    """Largest number of bytes all messages of output may have, and the executed notebook."""
    published_cells: int
    """Cells of the notebook as it was published: the executed one may have one more, with the parameters."""
    scraps: OutputScraps = field(default_factory=OutputScraps)
    notebook: dict[str, Any] | None = None
    """The notebook as far as it was executed; None before papermill has loaded it."""
    cell: int | None = None
    """Index, in the published notebook, of the cell that is, or was last, executed; None for the one with the parameters."""
    current: dict[str, Any] | None = None
    """That cell itself."""
    completed: int = 0
    """Code cells of the published notebook that have ended."""
    total: int | None = None
    """Its code cells in all; None before the notebook was loaded."""
    outcome: Outcome | None = None
    """How the cells ended; None while they run."""
    traceback: str = ""
    """Of the exception that ended them, as plain text; empty where none did."""
    _received: int = 0
    _look_at: int | None = None

    def count(self, size: int) -> None:
        """Account for a message of output; too much of it ends the run, before it fills the runner's memory.

        What was cleared again does not count: the outputs are measured whenever enough has come in to reach the limit.
        """
        self._received += size
        if self._received <= (self.limit if self._look_at is None else self._look_at) or self.stop.cause is not None:
            return
        kept = size + (0 if self.notebook is None else outputs_size(self.notebook))
        if kept > self.limit:
            self.stop.trip(
                Cause.OUTPUT_LIMIT,
                f"the notebook's outputs have more than {self.limit} bytes; print less, or write to a file in $PODBOOK_OUTPUT_DIR",
            )
        self._look_at = self._received + max(self.limit - kept, self.limit // _LOOKS)

    def output_lost(self) -> None:
        """A message was too large to be taken in."""
        self.stop.trip(Cause.OUTPUT_LIMIT, f"a single output was larger than the limit of {self.limit} bytes")

    def progress(self) -> Progress | None:
        """How far it is; None before the notebook was loaded."""
        return None if self.total is None else (self.completed, self.total, self.cell)
