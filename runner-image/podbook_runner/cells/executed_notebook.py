"""The executed notebook, as papermill makes it: the published one with the parameters, times and states of its cells, and a mark at a failed one.

Imported only after the kernel has started: papermill and its dependencies take about as long to import as the kernel to be ready.
"""

import contextlib
import copy
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

from podbook_core.execution.reasons import Reason
from podbook_core.notebook.injection import (
    INJECTED,
    TAGGED,
    classes_before_parameters,
    parameters_source,
    tags_of,
    typed_parameters,
)
from podbook_core.notebook.plans import CellPlan, Place, whole_notebook
from podbook_runner.lazy_import import imported_late
from podbook_runner.outcome import AttemptError, Outcome

# papermill wants it for notebooks at web addresses, which never come here.
with imported_late("requests"):
    from papermill.engines import NotebookExecutionManager
    from papermill.exceptions import PapermillException, PapermillExecutionError
    from papermill.execute import raise_for_execution_errors, remove_error_markers
    from papermill.iorw import load_notebook_node
    from papermill.translators import PythonTranslator, papermill_translators

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

__all__ = ["CellLog", "ExecutedNotebook", "is_code", "load_notebook", "log_warnings", "plan_of_notebook", "shown_errors"]

_UNREADABLE = (PapermillException, ValueError, TypeError, KeyError, AttributeError)
"""What papermill and nbformat raise for notebooks that they do not understand."""


class CellLog(Protocol):
    """Where what happens while cells run is told. Called from several threads."""

    def stream(self, text: str) -> None:
        """What a cell printed, as it came."""

    def line(self, text: str) -> None:
        """A line of the runner's own."""


def load_notebook(file: Path) -> NotebookNode:
    """The published notebook, brought to the newest nbformat 4.

    Raises:
        AttemptError: ``InvalidNotebook``: papermill cannot read it.
    """
    try:
        notebook: NotebookNode = load_notebook_node(str(file.absolute()))  # type: ignore[no-untyped-call]
    except _UNREADABLE as error:
        raise _unprepared(error) from error
    return notebook


def plan_of_notebook(
    notebook: NotebookNode, parameters: Mapping[str, Any], *, kernel: str, language: str, log: CellLog, schema: Any = None
) -> CellPlan:
    """The plan of a whole notebook, with its parameters in its own language.

    Args:
        notebook: as :func:`load_notebook` gives it; records the parameters.
        parameters: by names that variables of the language can have; none are injected where there are none.
        kernel: name of the kernel.
        language: of the kernel; empty where it does not say, then what the notebook says.
        log: is told of parameters that the notebook does not declare.
        schema: the contract's of the input, for parameters that become instances of classes of the notebook.

    Raises:
        AttemptError: ``InvalidNotebook``: papermill cannot write parameters in this language.
    """
    try:
        source = (
            _parameters_source(notebook, parameters, kernel=kernel, language=language, log=log, schema=schema)
            if parameters
            else None
        )
        return whole_notebook(notebook.cells, source)
    except _UNREADABLE as error:
        raise _unprepared(error) from error


class ExecutedNotebook:
    """The document of one run of a plan.

    Args:
        published: as :func:`load_notebook` gives it; it stays as it is, for the next run.
        plan: what is run.

    Raises:
        AttemptError: ``InvalidNotebook``: the notebook's metadata is not what papermill takes.
    """

    def __init__(self, published: NotebookNode, plan: CellPlan) -> None:
        places = plan.places(len(published.cells))
        self.document = NotebookNode({**published, "metadata": copy.deepcopy(published.metadata)})  # type: ignore[no-untyped-call]
        """The notebook itself."""
        self.document.cells = [_cell(published, plan, place) for place in places]
        self._all: list[NotebookNode] = list(self.document.cells)
        at = {place.step: number for number, place in enumerate(places) if place.step is not None}
        self.order = [at[number] for number in range(len(plan.steps))]
        """For each step of the plan the index of its cell in the document, before a failed cell is marked."""
        self.cells: list[NotebookNode] = [self.document.cells[number] for number in self.order]
        """For each step its cell."""
        try:
            self._manager = NotebookExecutionManager(self.document, progress_bar=False)  # type: ignore[no-untyped-call]
            self._manager.notebook_start()
        except _UNREADABLE as error:
            raise _unprepared(error) from error

    def cell_starts(self, step: int) -> None:
        """Note when."""
        self._manager.cell_start(self.cells[step], self.order[step])

    def cell_ends(self, step: int, failed: Outcome | None) -> None:
        """Note when, and show in the cell itself why the notebook stops here, where no traceback does."""
        cell = self.cells[step]
        if failed is not None:
            error = failed.error
            if is_code(cell) and error is not None and not shown_errors(cell):
                line = f"{error.ename}: {error.evalue}"
                cell.outputs.append(new_output("error", ename=error.ename, evalue=error.evalue, traceback=[line]))  # type: ignore[no-untyped-call]
            self._manager.cell_exception(cell, cell_index=self.order[step])
        self._manager.cell_complete(cell, cell_index=self.order[step])

    def end(self, outcome: Outcome, last: int | None) -> None:
        """The plan has ended: mark the failed cell, and those that were never run.

        Args:
            outcome: how.
            last: the step that was run last; None for none.
        """
        self._manager.notebook_complete()
        # What we know is more exact: papermill also counts cells that are expected to fail.
        with contextlib.suppress(PapermillExecutionError):
            raise_for_execution_errors(self.document, None)  # type: ignore[no-untyped-call]
        if outcome.succeeded:
            remove_error_markers(self.document)  # type: ignore[no-untyped-call]
        ran = {id(cell) for cell in self.cells[: 0 if last is None else last + 1]}
        for cell in self._all:
            # papermill calls cells that never ran completed.
            if id(cell) not in ran:
                cell.metadata.papermill["status"] = "pending"


def is_code(cell: NotebookNode) -> bool:
    """Whether a kernel runs it."""
    return bool(cell.cell_type == "code")


def shown_errors(cell: NotebookNode) -> list[NotebookNode]:
    """The exceptions among its outputs."""
    return [output for output in cell.get("outputs", ()) if output.output_type == "error"]


def log_warnings(log: CellLog) -> None:
    """Send the warnings of papermill and Jupyter's libraries to a run's log, and no line of theirs anywhere else: they may hold paths.

    For the runner, whose process has one run; a server keeps its own loggers.
    """

    class _Handler(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            log.line(record.getMessage())

    for name in ("papermill", "traitlets"):
        logger = logging.getLogger(name)
        logger.handlers = [_Handler(logging.WARNING)]
        logger.propagate = False
    # What a killed kernel leaves unread ends tasks with errors that tell nothing new.
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    logging.getLogger("asyncio").propagate = False


def _unprepared(error: Exception) -> AttemptError:
    return AttemptError(Reason.INVALID_NOTEBOOK, f"papermill cannot prepare the notebook: {error}")


def _cell(published: NotebookNode, plan: CellPlan, place: Place) -> NotebookNode:
    injected = None if place.step is None else plan.steps[place.step].injected
    if injected is not None:
        added: NotebookNode = new_code_cell(source=injected.source, metadata={"tags": [injected.tag]})  # type: ignore[no-untyped-call]
        return added
    cell = published.cells[place.cell]
    kept: NotebookNode = NotebookNode({**cell, "metadata": copy.deepcopy(cell.metadata)})  # type: ignore[no-untyped-call]
    if is_code(kept):
        kept.outputs = []
    return kept


def _parameters_source(
    notebook: NotebookNode, parameters: Mapping[str, Any], *, kernel: str, language: str, log: CellLog, schema: Any
) -> str:
    wanted = language or _language(notebook)
    translator = papermill_translators.find_translator(kernel, wanted)  # type: ignore[no-untyped-call]
    own = next((cell for cell in notebook.cells if TAGGED in tags_of(cell)), None)
    try:
        declared = set() if own is None else {parameter.name for parameter in translator.inspect(own)}
    except NotImplementedError:
        log.line(f"Translator for '{wanted}' language does not support parameter introspection.")
        declared = set()
    for name in parameters:
        if name not in declared:
            log.line(f"Passed unknown parameter: {name}")
    if translator is PythonTranslator:
        source = parameters_source(typed_parameters(parameters, schema, classes_before_parameters(notebook.cells)))
    else:
        source = str(translator.codify(parameters, "Parameters"))
    if own is None and not any(INJECTED in tags_of(cell) for cell in notebook.cells):
        log.line("Input notebook does not contain a cell with tag 'parameters'")
    notebook.metadata.papermill["parameters"] = dict(parameters)
    return source


def _language(notebook: NotebookNode) -> str:
    """What the notebook says of itself; raises ValueError where it says nothing."""
    metadata = notebook.metadata
    said = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
    if not said:
        raise ValueError("No language found in notebook and no override provided.")
    return str(said)
