"""How cells end, and whose doing it was: an exception, an exit, a limit, or the death of their kernel."""

from typing import Any

from nbformat import NotebookNode

from podbook_core.execution.manifest import CellError
from podbook_core.execution.reasons import INTERRUPTED, Reason
from podbook_runner.cells.executed_notebook import shown_errors
from podbook_runner.cells.plain_traceback import plain_traceback
from podbook_runner.cells.plan_run import PlanRun
from podbook_runner.kernel.process import Kernel
from podbook_runner.limits.stop import Cause
from podbook_runner.outcome import Outcome

__all__ = ["exited", "is_clean_exit", "killed", "never_ready", "placed", "raised"]

_CLEAN_EXITS = ("", "0", "None", "False")


def raised(run: PlanRun, cell: NotebookNode, index: int, ename: str, evalue: str) -> Outcome:
    """The end that an exception puts to the plan: a clean one where it says so.

    Args:
        run: remembers the traceback.
        cell: that raised it.
        index: of the cell in the document.
        ename: the exception's type.
        evalue: its text.
    """
    if ename == "SystemExit" and evalue in _CLEAN_EXITS:
        run.exited = True
        run.log.line(f"cell {index} ended the notebook early with SystemExit")
        return Outcome(Reason.SUCCEEDED, "")
    shown = shown_errors(cell)
    run.traceback = plain_traceback("\n".join(map(str, shown[-1].traceback))) if shown else ""
    return Outcome(Reason.CELL_FAILED, f"{ename}: {evalue}", CellError(index, ename, evalue))


def exited(run: PlanRun, index: int, argument: Any) -> Outcome:
    """The end that ``exit(argument)`` puts to the plan."""
    run.exited = True
    if is_clean_exit(argument):
        run.log.line(f"cell {index} ended the notebook early with exit()")
        return Outcome(Reason.SUCCEEDED, "")
    # As sys.exit() does with the same argument.
    evalue = str(argument)
    return Outcome(Reason.CELL_FAILED, f"SystemExit: {evalue}", CellError(index, "SystemExit", evalue))


def is_clean_exit(argument: Any) -> bool:
    """Whether ``exit(argument)`` says that all is well: without one, with 0, and with True, IPython's word for keeping the kernel. Pure."""
    return argument is None or argument is True or argument in (0, False)


def killed(run: PlanRun, kernel: Kernel, index: int) -> Outcome:
    """Why the kernel is dead: the runner killed it, the system did, or it is the notebook's doing."""
    stop = run.stop
    match stop.cause:
        case Cause.INTERRUPTED:
            return Outcome(INTERRUPTED, stop.message, CellError(index, "Interrupted", stop.message))
        case Cause.TIMED_OUT:
            return Outcome(Reason.TIMED_OUT, stop.message, CellError(index, "TimedOut", stop.message))
        case Cause.OUT_OF_MEMORY:
            return Outcome(Reason.OUT_OF_MEMORY, stop.message, CellError(index, "OutOfMemory", stop.message))
        case Cause.OUTPUT_LIMIT:
            return Outcome(Reason.CELL_FAILED, stop.message, CellError(index, "OutputLimitExceeded", stop.message))
        case None:
            pass
    if run.out_of_memory():
        message = "the system killed the kernel because memory ran out"
        return Outcome(Reason.OUT_OF_MEMORY, message, CellError(index, "OutOfMemory", message))
    message = f"the kernel {kernel.end()}"
    if words := kernel.last_words().strip():
        run.log.line(f"the kernel's last words:\n{words}")
    return Outcome(Reason.KERNEL_DIED, message, CellError(index, "KernelDied", message))


def never_ready(run: PlanRun, kernel: Kernel, seconds: float) -> Outcome:
    """Why no cell was reached: the kernel died, or did not answer within that time."""
    if run.stop.cause is not None or run.out_of_memory():
        ended = killed(run, kernel, 0)
        error = ended.error and CellError(None, ended.error.ename, ended.error.evalue)
        return Outcome(ended.outcome, f"{ended.message} (the kernel was still starting)", error)
    words = kernel.last_words().strip()
    if words:
        run.log.line(f"the kernel's last words:\n{words}")
    problem = f"was not ready within {seconds:g} s" if kernel.is_alive() else kernel.end()
    last = f": {words.splitlines()[-1]}" if words else ""
    return Outcome(Reason.KERNEL_DIED, f"the kernel {problem} before the first cell{last}")


def placed(run: PlanRun, outcome: Outcome) -> Outcome:
    """The outcome with its cell counted as in the published notebook, and named in the message."""
    error = outcome.error
    if run.at is None or error is None or error.cell is None:
        return outcome
    count = run.executed.cells[run.at].get("execution_count")
    label = "the cell with the parameters" if run.cell is None else f"cell {run.cell}"
    label += "" if count is None else f" (In [{count}])"
    return Outcome(outcome.outcome, f"{label}: {outcome.message}", CellError(run.cell, error.ename, error.evalue))
