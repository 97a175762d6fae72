"""The one engine: runs the cells of a plan on a kernel that is up, one after another.

Imported only after the kernel has started: nbclient and its dependencies take about as long to import as the kernel to be ready.
"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any, cast

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from podbook_core.execution.manifest import CellError
from podbook_core.execution.reasons import Reason
from podbook_runner.cells.client import CellClient
from podbook_runner.cells.ends import exited, killed, placed, raised
from podbook_runner.cells.executed_notebook import shown_errors
from podbook_runner.cells.plan_run import PlanRun
from podbook_runner.kernel.process import Kernel
from podbook_runner.kernel.session import KernelSession
from podbook_runner.limits.stop import Cause
from podbook_runner.outcome import Outcome

__all__ = ["end_plan", "run_plan"]

_DRAIN_SECONDS = 1.0
_MAY_RAISE = "raises-exception"
"""Jupyter's tag of a cell that is expected to fail."""


async def run_plan(run: PlanRun, kernel: Kernel, session: KernelSession) -> Outcome:
    """Run the cells of a plan and say how that ended. What they gave is in ``run``.

    Args:
        run: the plan's; used once.
        kernel: where they run.
        session: connected to it.
    """
    client = CellClient(run, session)
    outcome = await _run_steps(run, kernel, client)
    client.set_widgets_metadata()
    return end_plan(run, outcome)


def end_plan(run: PlanRun, outcome: Outcome) -> Outcome:
    """Finish the executed notebook, also that of a plan whose kernel was never ready."""
    run.executed.end(outcome, run.at)
    run.outcome = placed(run, outcome)
    return run.outcome


async def _run_steps(run: PlanRun, kernel: Kernel, client: CellClient) -> Outcome:
    for number in range(len(run.plan.steps)):
        run.at = number
        cell, index = run.executed.cells[number], run.executed.order[number]
        run.executed.cell_starts(number)
        try:
            ended = await _run_cell(run, kernel, client, cell, index)
        except DeadKernelError:
            await _drain(client, cell, index)
            ended = killed(run, kernel, index)
        except CellTimeoutError:
            message = "the kernel finished the cell, but the end of its output never arrived"
            ended = Outcome(Reason.CELL_FAILED, message, CellError(index, "OutputIncomplete", message))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            # nbclient takes the kernel's answers at their word, and the notebook can write them.
            message = f"the kernel's answer could not be understood ({type(error).__name__})"
            ended = Outcome(Reason.CELL_FAILED, message, CellError(index, "KernelProtocolError", message))
        finally:
            injected = run.plan.steps[number].injected
            if injected is not None and injected.shown is not None:
                cell.source = injected.shown
        failed = None if ended is None or ended.succeeded else ended
        run.executed.cell_ends(number, failed)
        if failed is None:
            run.complete(number)
        if ended is not None:
            return ended
    return Outcome(Reason.SUCCEEDED, "")


async def _run_cell(run: PlanRun, kernel: Kernel, client: CellClient, cell: NotebookNode, index: int) -> Outcome | None:
    """Run one cell; the end it puts to the plan, None to go on."""
    asked: list[Any] = []

    def executed(execute_reply: Mapping[str, Any], **_kwargs: Any) -> None:
        payload = execute_reply["content"].get("payload") or ()
        # IPython takes the argument of exit() for whether to keep the kernel, and tells it under that name.
        asked.extend(item.get("keepkernel") for item in payload if item.get("source") == "ask_exit")

    client.on_cell_executed = executed
    try:
        await client.async_execute_cell(cell, index)
    except CellExecutionError as error:
        return raised(run, cell, index, str(error.ename), str(error.evalue))
    if run.stop.cause is Cause.OUTPUT_LIMIT:
        # The cell was faster than the kill; its output is cut all the same.
        return killed(run, kernel, index)
    if asked:
        return exited(run, index, asked[-1])
    shown = shown_errors(cell)
    if shown and _MAY_RAISE not in cell.metadata.get("tags", ()):
        # A magic such as %%capture shows the exception and answers that all is well. To papermill, too, this is a failure.
        return raised(run, cell, index, str(shown[-1].ename), str(shown[-1].evalue))
    return None


async def _drain(client: CellClient, cell: NotebookNode, index: int) -> None:
    """Take in what the kernel still sent before it died."""
    session = cast("KernelSession", client.kc)
    end = time.monotonic() + _DRAIN_SECONDS
    with contextlib.suppress(Exception):
        while time.monotonic() < end and await session.iopub_channel.socket.poll(20):
            client.process_message(await session.iopub_channel.get_msg(), cell, index)
