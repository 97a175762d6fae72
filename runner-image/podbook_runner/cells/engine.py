"""The cells: papermill parameterises the notebook and drives an engine of ours, which runs nbclient on the kernel that is already up.

Imported only after the kernel has started: papermill and its dependencies take about as long to import as the kernel to be ready.
"""

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete, CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output

from podbook_core.execution.manifest import CellError
from podbook_core.execution.reasons import INTERRUPTED, Reason
from podbook_core.http_notebook.plan import original_place, role_of
from podbook_core.notebook.injection import classes_before_parameters, parameters_source, typed_parameters
from podbook_core.text.json_depth import MAX_FILE_NESTING, nested_too_deeply
from podbook_runner.cells.log import RunLog
from podbook_runner.cells.mime_bundle import valid_bundle
from podbook_runner.cells.plain_traceback import plain_traceback
from podbook_runner.cells.state import Execution
from podbook_runner.kernel.session import KernelSession, close_session, open_session
from podbook_runner.lazy_import import imported_late
from podbook_runner.limits.stop import Cause
from podbook_runner.outcome import AttemptError, Outcome

# papermill wants it for notebooks at web addresses, which never come here.
with imported_late("requests"):
    from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
    from papermill.exceptions import PapermillException, PapermillExecutionError
    from papermill.execute import execute_notebook, remove_error_markers
    from papermill.translators import PythonTranslator, papermill_translators

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

__all__ = ["execute"]

_ENGINE = "podbook"
_START_SECONDS = 120
_IOPUB_SECONDS = 60
_DRAIN_SECONDS = 1.0
_MESSAGE_NESTING = MAX_FILE_NESTING - 10
"""So that the executed notebook, whose cells hold it, is none that could not be published again."""
_CLEAN_EXITS = ("", "0", "None", "False")
_MAY_RAISE = "raises-exception"
"""Jupyter's tag of a cell that is expected to fail."""


class _Client(NotebookClient):  # type: ignore[misc,unused-ignore] # a traitlets class
    """nbclient, with an eye on the messages."""

    def __init__(self, execution: Execution, notebook: NotebookNode) -> None:
        super().__init__(notebook, km=cast("Any", _Attached()), iopub_timeout=_IOPUB_SECONDS, raise_on_iopub_timeout=True)
        self._execution = execution

    @override
    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        kind, content = msg["msg_type"], msg["content"]
        if kind == "stream":
            self._execution.log.stream(str(content.get("text", "")))
        elif kind in ("display_data", "update_display_data", "execute_result"):
            self._execution.scraps.see(content)
            kept, dropped = valid_bundle(content.get("data"))
            for media_type in dropped:
                self._execution.log.line(
                    f"cell {cell_index} sent {media_type} in a form that a notebook cannot hold; it was left out"
                )
            content = {**content, "data": kept}
            msg = {**msg, "content": content}
        if nested_too_deeply(content, _MESSAGE_NESTING):
            self._execution.log.line(
                f"cell {cell_index} sent a message nested deeper than {_MESSAGE_NESTING} levels; it was left out of the notebook"
            )
            return None
        try:
            return super().process_message(msg, cell, cell_index)
        except CellExecutionComplete:
            raise
        except Exception as error:  # noqa: BLE001 - a notebook can send any message; the others still count
            self._execution.log.line(
                f"cell {cell_index} sent a message that is no valid output ({type(error).__name__}); it was left out"
            )
            return None


class _Attached:
    """Stands where nbclient keeps its kernel manager: the kernel is somebody else's to start and to end."""

    has_kernel = True


class _PodbookEngine(Engine):  # type: ignore[misc,unused-ignore]
    """papermill's door for engines."""

    @classmethod
    @override
    def execute_managed_notebook(  # type: ignore[override] # papermill passes what execute_notebook was given
        cls, nb_man: NotebookExecutionManager, kernel_name: str, *, execution: Execution, **_kwargs: Any
    ) -> None:
        execution.notebook = nb_man.nb
        places = published_places(nb_man.nb.cells, execution.published_cells)
        execution.total = sum(place is not None and _is_code(cell) for place, cell in zip(places, nb_man.nb.cells, strict=True))
        asyncio.run(_run(execution, nb_man, places))


class _PythonCell(PythonTranslator):
    """papermill's door for those who write the cell with the parameters."""

    @classmethod
    @override
    def codify(cls, parameters: Mapping[str, Any], comment: str = "Parameters") -> str:  # type: ignore[override,unused-ignore]
        return parameters_source(parameters, comment=comment)


def execute(execution: Execution, notebook: Path, parameters: Mapping[str, Any], *, schema: Any = None) -> Outcome:
    """Run the cells of a notebook and say how that ended. What ran is in ``execution.notebook``.

    Args:
        execution: the kernel and everything that watches it.
        notebook: a path relative to the current directory: papermill formats paths with the parameters and records them.
        parameters: go into the cell after the one tagged ``parameters``, or on top.
        schema: the contract's of the input, for parameters that become instances of classes of the notebook.

    Raises:
        AttemptError: ``InvalidNotebook``: papermill cannot read it, or cannot write parameters in its language.
    """
    _listen(execution.log)
    papermill_engines.register(_ENGINE, _PodbookEngine)  # type: ignore[no-untyped-call]
    papermill_translators.register("python", _PythonCell)  # type: ignore[no-untyped-call]
    if (execution.kernel.spec.language or "").lower() == "python" and isinstance(schema, Mapping):
        parameters = typed_parameters(parameters, schema, classes_before_parameters(_cells(notebook)))
    try:
        execute_notebook(  # type: ignore[no-untyped-call]
            str(notebook),
            None,
            parameters=dict(parameters),
            engine_name=_ENGINE,
            kernel_name=execution.kernel.spec.name,
            language=execution.kernel.spec.language or None,
            progress_bar=False,
            execution=execution,
        )
    except PapermillExecutionError:
        # It has marked the failed cell. What we know is more exact: it also counts cells that are expected to fail.
        pass
    except (PapermillException, ValueError, TypeError, KeyError, AttributeError) as error:
        if execution.notebook is None:
            raise AttemptError(Reason.INVALID_NOTEBOOK, f"papermill cannot prepare the notebook: {error}") from error
        raise
    outcome = execution.outcome
    if outcome is None or execution.notebook is None:
        raise RuntimeError("papermill returned without having run its engine")
    return _finish(execution, execution.notebook, outcome)


def _cells(notebook: Path) -> list[Mapping[str, Any]]:
    """The cells of a notebook file that was parsed before."""
    found = json.loads(notebook.read_bytes())
    return [cell for cell in found.get("cells", ()) if isinstance(cell, dict)]


async def _run(execution: Execution, manager: NotebookExecutionManager, places: Sequence[int | None]) -> None:
    notebook = manager.nb
    try:
        session, info = await open_session(
            execution.kernel,
            seconds=_START_SECONDS,
            largest_message=execution.limit,
            received=execution.count,
            lost=execution.output_lost,
        )
    except (DeadKernelError, TimeoutError):
        execution.outcome = _never_ready(execution)
        return
    if isinstance(info.get("language_info"), dict):
        notebook.metadata["language_info"] = info["language_info"]
    client = _Client(execution, notebook)
    client.kc = session
    try:
        execution.outcome = await _run_cells(execution, manager, client, places)
        client.set_widgets_metadata()
    finally:
        await close_session(session)


def published_places(cells: Sequence[NotebookNode], published: int) -> list[int | None]:
    """For each cell its index in the notebook as it was published; None for the one that papermill added for the parameters. Pure.

    Where a notebook brings a cell of an earlier injection, papermill writes that one anew and adds none.
    """
    if any(role_of(cell) is not None for cell in cells):
        return [original_place(cell) for cell in cells]  # a plan that says itself where its cells come from
    added = len(cells) > published
    places: list[int | None] = []
    for cell in cells:
        if added and "injected-parameters" in cell.metadata.get("tags", ()):
            places.append(None)
            added = False
        else:
            places.append(sum(place is not None for place in places))
    return places


def _is_code(cell: NotebookNode) -> bool:
    return bool(cell.cell_type == "code")


async def _run_cells(
    execution: Execution, manager: NotebookExecutionManager, client: _Client, places: Sequence[int | None]
) -> Outcome:
    for index, (cell, place) in enumerate(zip(manager.nb.cells, places, strict=True)):
        execution.cell, execution.current = place, cell
        manager.cell_start(cell, index)
        try:
            ended = await _run_cell(execution, client, cell, index)
        except DeadKernelError:
            await _drain(client, cell, index)
            ended = _killed(execution, index)
        except CellTimeoutError:
            message = "the kernel finished the cell, but the end of its output never arrived"
            ended = Outcome(Reason.CELL_FAILED, message, CellError(index, "OutputIncomplete", message))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            # nbclient takes the kernel's answers at their word, and the notebook can write them.
            message = f"the kernel's answer could not be understood ({type(error).__name__})"
            ended = Outcome(Reason.CELL_FAILED, message, CellError(index, "KernelProtocolError", message))
        if ended is None or ended.succeeded:
            manager.cell_complete(cell, cell_index=index)
            execution.completed += place is not None and _is_code(cell)
        else:
            _mark(cell, ended)
            manager.cell_exception(cell, cell_index=index)
            manager.cell_complete(cell, cell_index=index)
        if ended is not None:
            return ended
    return Outcome(Reason.SUCCEEDED, "")


async def _run_cell(execution: Execution, client: _Client, cell: NotebookNode, index: int) -> Outcome | None:
    """Run one cell; the end it puts to the run, None to go on."""
    asked: list[Any] = []

    def executed(execute_reply: Mapping[str, Any], **_kwargs: Any) -> None:
        payload = execute_reply["content"].get("payload") or ()
        # IPython takes the argument of exit() for whether to keep the kernel, and tells it under that name.
        asked.extend(item.get("keepkernel") for item in payload if item.get("source") == "ask_exit")

    client.on_cell_executed = executed
    try:
        await client.async_execute_cell(cell, index)
    except CellExecutionError as error:
        return _raised(execution, cell, index, str(error.ename), str(error.evalue))
    if execution.stop.cause is Cause.OUTPUT_LIMIT:
        # The cell was faster than the kill; its output is cut all the same.
        return _killed(execution, index)
    if asked and not is_clean_exit(asked[-1]):
        # As sys.exit() does with the same argument.
        evalue = str(asked[-1])
        return Outcome(Reason.CELL_FAILED, f"SystemExit: {evalue}", CellError(index, "SystemExit", evalue))
    if asked:
        execution.log.line(f"cell {index} ended the notebook early with exit()")
        return Outcome(Reason.SUCCEEDED, "")
    shown = _shown_errors(cell)
    if shown and _MAY_RAISE not in cell.metadata.get("tags", ()):
        # A magic such as %%capture shows the exception and answers that all is well. To papermill, too, this is a failure.
        return _raised(execution, cell, index, str(shown[-1].ename), str(shown[-1].evalue))
    return None


def _raised(execution: Execution, cell: NotebookNode, index: int, ename: str, evalue: str) -> Outcome:
    """The end that an exception puts to the run: a clean one where it says so."""
    if ename == "SystemExit" and evalue in _CLEAN_EXITS:
        execution.log.line(f"cell {index} ended the notebook early with SystemExit")
        return Outcome(Reason.SUCCEEDED, "")
    shown = _shown_errors(cell)
    execution.traceback = plain_traceback("\n".join(map(str, shown[-1].traceback))) if shown else ""
    return Outcome(Reason.CELL_FAILED, f"{ename}: {evalue}", CellError(index, ename, evalue))


def _shown_errors(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.get("outputs", ()) if output.output_type == "error"]


def is_clean_exit(argument: Any) -> bool:
    """Whether ``exit(argument)`` says that all is well: without one, with 0, and with True, IPython's word for keeping the kernel. Pure."""
    return argument is None or argument is True or argument in (0, False)


def _killed(execution: Execution, index: int) -> Outcome:
    """Why the kernel is dead: the runner killed it, the system did, or it is the notebook's doing."""
    stop, kernel = execution.stop, execution.kernel
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
    if execution.out_of_memory():
        message = "the system killed the kernel because memory ran out"
        return Outcome(Reason.OUT_OF_MEMORY, message, CellError(index, "OutOfMemory", message))
    message = f"the kernel {kernel.end()}"
    if words := kernel.last_words().strip():
        execution.log.line(f"the kernel's last words:\n{words}")
    return Outcome(Reason.KERNEL_DIED, message, CellError(index, "KernelDied", message))


def _never_ready(execution: Execution) -> Outcome:
    if execution.stop.cause is not None or execution.out_of_memory():
        ended = _killed(execution, 0)
        error = ended.error and CellError(None, ended.error.ename, ended.error.evalue)
        return Outcome(ended.outcome, f"{ended.message} (the kernel was still starting)", error)
    words = execution.kernel.last_words().strip()
    if words:
        execution.log.line(f"the kernel's last words:\n{words}")
    problem = f"was not ready within {_START_SECONDS} s" if execution.kernel.is_alive() else execution.kernel.end()
    last = f": {words.splitlines()[-1]}" if words else ""
    return Outcome(Reason.KERNEL_DIED, f"the kernel {problem} before the first cell{last}")


async def _drain(client: _Client, cell: NotebookNode, index: int) -> None:
    """Take in what the kernel still sent before it died."""
    session = cast("KernelSession", client.kc)
    end = time.monotonic() + _DRAIN_SECONDS
    with contextlib.suppress(Exception):
        while time.monotonic() < end and await session.iopub_channel.socket.poll(20):
            client.process_message(await session.iopub_channel.get_msg(), cell, index)


def _mark(cell: NotebookNode, ended: Outcome) -> None:
    """Show in the cell itself why the notebook stops here, where no traceback does."""
    error = ended.error
    if cell.cell_type == "code" and error is not None and not any(out.output_type == "error" for out in cell.outputs):
        line = f"{error.ename}: {error.evalue}"
        cell.outputs.append(new_output("error", ename=error.ename, evalue=error.evalue, traceback=[line]))  # type: ignore[no-untyped-call]


def _finish(execution: Execution, notebook: Any, outcome: Outcome) -> Outcome:
    """The outcome with its cell's place in the notebook as papermill leaves it: it puts markers before a failed cell."""
    if outcome.succeeded:
        remove_error_markers(notebook)  # type: ignore[no-untyped-call]
    current = execution.current
    place = next((number for number, cell in enumerate(notebook.cells) if cell is current), None)
    if place is None or current is None:
        return outcome
    for cell in notebook.cells[place + 1 :]:
        # papermill calls cells that never ran completed.
        cell.metadata.setdefault("papermill", {})["status"] = "pending"
    error = outcome.error
    if error is None or error.cell is None:
        return outcome
    count = current.get("execution_count")
    label = "the cell with the parameters" if execution.cell is None else f"cell {execution.cell}"
    label += "" if count is None else f" (In [{count}])"
    return Outcome(outcome.outcome, f"{label}: {outcome.message}", CellError(execution.cell, error.ename, error.evalue))


def _listen(log: RunLog) -> None:
    """Send papermill's warnings to the run's log, and no line of it anywhere else: its messages may hold paths."""

    class _Handler(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            log.line(record.getMessage())

    for name in ("papermill", "traitlets"):
        logger = logging.getLogger(name)
        logger.handlers = [_Handler(logging.WARNING)]
        logger.propagate = False
    # What a killed kernel leaves unread ends tasks with errors that are no news.
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    logging.getLogger("asyncio").propagate = False
