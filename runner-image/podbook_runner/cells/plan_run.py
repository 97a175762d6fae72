"""One run of a plan: what it needs, how far it is, and how much it has printed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from podbook_core.notebook.plans import CellPlan, Step
from podbook_runner.cells.executed_notebook import CellLog, ExecutedNotebook, is_code
from podbook_runner.cells.notebook import outputs_size
from podbook_runner.cells.output import OutputScraps
from podbook_runner.cells.reporter import Progress
from podbook_runner.limits.stop import Cause, Stop
from podbook_runner.outcome import Outcome

__all__ = ["PlanRun", "StepOutputs"]

_LOOKS = 16
"""Near the limit, outputs are measured at most this many times for as many bytes as the limit has."""


@dataclass(frozen=True, slots=True)
class StepOutputs:
    """What one cell of a plan gave."""

    step: Step
    outputs: list[dict[str, Any]]
    """As nbformat has them, stream pieces as they came. All of a plan's together keep its limit."""


@dataclass
class PlanRun:
    """One run of a plan: what is needed for it, and what is known of it so far. Read by other threads for progress.

    Raises:
        AttemptError: ``InvalidNotebook``: the notebook's metadata is not what papermill takes.
    """

    plan: CellPlan
    published: NotebookNode
    """As :func:`podbook_runner.cells.executed_notebook.load_notebook` gives it; it stays as it is, for the next run."""
    stop: Stop
    """Says that, and why, the run is to end early; no other run's."""
    log: CellLog
    limit: int
    """Largest number of bytes all messages of output may have, and the executed notebook."""
    out_of_memory: Callable[[], bool] = lambda: False
    """Whether the system has killed processes of this container because memory ran out."""
    scraps: OutputScraps = field(default_factory=OutputScraps)
    at: int | None = None
    """The step that is, or was last, executed."""
    completed: int = 0
    """Code cells of the published notebook that have ended."""
    outcome: Outcome | None = None
    """How the cells ended; None while they run."""
    traceback: str = ""
    """Of the exception that ended them, as plain text; empty where none did."""
    exited: bool = False
    """Whether a cell ended the plan early, and with it maybe the kernel."""
    _received: int = 0
    _look_at: int | None = None

    def __post_init__(self) -> None:
        self.executed = ExecutedNotebook(self.published, self.plan)
        """What is run, and filled."""
        self.total = sum(self._counts(step) for step in range(len(self.plan.steps)))
        """Code cells of the published notebook in all."""

    @property
    def notebook(self) -> NotebookNode:
        """The notebook as far as it was executed."""
        return self.executed.document

    @property
    def cell(self) -> int | None:
        """Index, in the published notebook, of the cell that is, or was last, executed; None for one that was added, and for none."""
        return None if self.at is None else self.plan.steps[self.at].cell

    def complete(self, step: int) -> None:
        """A step has ended well."""
        self.completed += self._counts(step)

    def outputs(self) -> list[StepOutputs]:
        """What each cell gave that was reached, in the order they ran."""
        reached = 0 if self.at is None else self.at + 1
        pairs = zip(self.plan.steps[:reached], self.executed.cells, strict=False)
        return [StepOutputs(step, list(cell.get("outputs", ()))) for step, cell in pairs]

    def count(self, size: int) -> None:
        """Account for a message of output; too much of it ends the run, before it fills the runner's memory.

        What was cleared again does not count: the outputs are measured whenever enough has come in to reach the limit.
        """
        self._received += size
        if self._received <= (self.limit if self._look_at is None else self._look_at) or self.stop.cause is not None:
            return
        kept = size + outputs_size(self.notebook)
        if kept > self.limit:
            self.stop.trip(
                Cause.OUTPUT_LIMIT,
                f"the notebook's outputs have more than {self.limit} bytes; print less, or write to a file in $PODBOOK_OUTPUT_DIR",
            )
        self._look_at = self._received + max(self.limit - kept, self.limit // _LOOKS)

    def output_lost(self) -> None:
        """A message was too large to be taken in."""
        self.stop.trip(Cause.OUTPUT_LIMIT, f"a single output was larger than the limit of {self.limit} bytes")

    def progress(self) -> Progress:
        """How far it is."""
        return self.completed, self.total, self.cell

    def _counts(self, step: int) -> bool:
        return self.plan.steps[step].cell is not None and is_code(self.executed.cells[step])
