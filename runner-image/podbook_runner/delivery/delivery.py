"""What comes after the last cell: the output is checked, the HTML rendered, everything stored, the manifest last.

An attempt that ended by itself stores all its files and then the manifest. One that was interrupted or timed out is about to be
killed: it stores notebook, output and log, then a first manifest, then HTML and files, then the manifest again with those in it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podbook_core.execution.manifest import MAX_MESSAGE, CellError, OutputCheck, Pages
from podbook_core.execution.progress import progress_json
from podbook_core.execution.reasons import Reason
from podbook_core.execution.task import Task
from podbook_core.http_notebook.response import HttpAnswer, answer_document, answer_of
from podbook_core.notebook.request_plan import accept_of, cell_runs
from podbook_core.store import keys
from podbook_runner.cells import notebook as document
from podbook_runner.cells.log import RunLog
from podbook_runner.cells.output import parse_output
from podbook_runner.delivery.artifacts import find_artifacts
from podbook_runner.delivery.results import Results
from podbook_runner.html.client import Renderer, RenderError
from podbook_runner.limits.stop import Stop
from podbook_runner.outcome import AttemptError, Outcome, clip
from podbook_runner.transfer.redact import Redactor

if TYPE_CHECKING:
    from podbook_runner.cells.plan_run import PlanRun
    from podbook_runner.worker import Worker

__all__ = ["Delivery", "PublishDeadline", "outcome_without"]

_GRACE_SECONDS = 25.0
"""A pod is killed 30 s after SIGTERM; what is not stored by then is lost."""
_RENDER_SECONDS = 120.0
_MANIFEST_SECONDS = 1.0
"""Left for the manifest when everything else has used its time."""


class PublishDeadline:
    """Until when results are stored, by the monotonic clock. SIGTERM brings it nearer, so it is asked again each time."""

    def __init__(self, seconds: float, stop: Stop) -> None:
        self._end = time.monotonic() + seconds
        self._stop = stop

    def __call__(self) -> float:
        """The moment."""
        signalled = self._stop.signalled_at
        return self._end if signalled is None else min(self._end, signalled + _GRACE_SECONDS)


def outcome_without(redactor: Redactor, outcome: Outcome) -> Outcome:
    """The outcome without secrets in its texts."""
    error = outcome.error
    if error is not None:
        error = CellError(error.cell, redactor.text(error.ename), redactor.text(error.evalue))
    return Outcome(outcome.outcome, redactor.text(outcome.message), error)


@dataclass
class Delivery:
    """Turns what the cells left into stored results.

    Args:
        task: the task.
        results: stores them.
        deadline: until when.
        redactor: knows the secrets.
        log: the log.
        source: the notebook as it was fetched, if it was.
        outputs: ``$PODBOOK_OUTPUT_DIR``.
        schema: what the contract says of the output; None for anything.
        request: what the HTTP request says that the cells answer; None where the whole notebook ran.
        cells: the run of the cells, if it came to that.
        worker: with kernel, renderer and validator, if it was started.
    """

    task: Task
    results: Results
    deadline: PublishDeadline
    redactor: Redactor
    log: RunLog
    source: Path
    outputs: Path
    schema: Any
    request: str | None
    cells: "PlanRun | None"
    worker: "Worker | None"

    def run(self, outcome: Outcome) -> Outcome:
        """Store everything.

        Args:
            outcome: how the cells ended.

        Returns:
            How the attempt ended.

        Raises:
            AttemptError: ``StorageFailed``: no manifest could be stored.
        """
        notebook, outcome = self._notebook(outcome)
        renderer = None if notebook is None or self.cells is None or self.worker is None else self.worker.renderer
        if renderer is not None and notebook is not None:
            pages = self._pages()
            renderer.request(
                notebook, title=self.task.notebook_name, html=pages.get(keys.HTML_FILE), report=pages.get(keys.REPORT_FILE)
            )
        if notebook is not None:
            self.results.notebook(notebook)
        outcome = self._store_output(outcome)
        if self.request is not None and self.cells is not None:
            self.results.response(*self._http_answer(self.cells, self.request))
        progress = None if self.cells is None else self.cells.progress()
        if progress is not None:
            self.results.progress(progress_json(*progress))
        cells = (0, 0) if progress is None else progress[:2]
        if not outcome.cut_short:
            return self._store_rest(outcome, renderer, cells)
        self.results.manifest(outcome_without(self.redactor, outcome), cells)
        try:
            return self._store_rest(outcome, renderer, cells)
        except AttemptError as error:
            # The first manifest stands, and it is true.
            self.log.line(error.message)
            return outcome

    def _store_rest(self, outcome: Outcome, renderer: Renderer | None, cells: tuple[int, int]) -> Outcome:
        pages = None if renderer is None else self._store_pages(renderer)
        outcome = self._store_artifacts(outcome)
        self.results.manifest(outcome_without(self.redactor, outcome), cells, pages)
        return outcome

    def _notebook(self, outcome: Outcome) -> tuple[Path | None, Outcome]:
        """The notebook to publish: as executed, or as it was fetched when no cell was reached."""
        if self.cells is None:
            return (self.source if self.source.exists() else None), outcome
        executed, limit = Path(keys.NOTEBOOK_FILE), self.task.max_notebook_bytes
        data, removed = document.executed_bytes(self.cells.notebook, self.redactor, limit)
        _write(executed, data)
        if removed and outcome.succeeded:
            message = (
                f"the executed notebook would have more than {limit} bytes; print less, or write to a file in $PODBOOK_OUTPUT_DIR"
            )
            outcome = Outcome(Reason.CELL_FAILED, message, CellError(None, "OutputLimitExceeded", message))
        return executed, outcome

    def _http_answer(self, cells: "PlanRun", request: str) -> tuple[bytes, bytes]:
        """The answer to the request: its document, and its body."""
        runs = cell_runs((item.step.role, item.outputs) for item in cells.outputs())
        answer = answer_of(*runs, accept=accept_of(request))
        limit = self.task.max_output_bytes
        if len(answer.body) > limit:
            problem = f"Error ResponseTooLarge: the response has {len(answer.body)} bytes, at most {limit} are allowed \n"
            answer = HttpAnswer(500, {"Content-Type": "text/plain"}, problem.encode())
        for name in answer.dropped:
            self.log.line(f"the response's header {name} was left out: a notebook cannot set it here")
        if answer.problem is not None:
            self.log.line(f"ResponseInfo: {answer.problem}")
        return answer_document(answer), self._redacted(answer.body)

    def _redacted(self, body: bytes) -> bytes:
        """The body without Podbook's own credentials; what is not text cannot hold them as they are."""
        try:
            return self.redactor.text(body.decode()).encode()
        except UnicodeDecodeError:
            return body

    def _store_output(self, outcome: Outcome) -> Outcome:
        """Store what ``save_output`` said, also that of a failed run; only a run that succeeded can break its contract."""
        text = None if self.cells is None else self.cells.scraps.text
        if text is None and not outcome.succeeded:
            return outcome
        try:
            value, encoded = parse_output(text if text is None else self.redactor.text(text), self.task.max_output_bytes)
            if outcome.succeeded:
                self._judge_output(text is not None, value)
        except AttemptError as error:
            return self._unless_failed(outcome, error)
        self.results.output(encoded)
        return outcome

    def _judge_output(self, saved: bool, value: Any) -> None:
        """Check the output; what is wrong with it fails the run, or is only told where the task says so."""
        try:
            self._check_output(saved, value)
        except AttemptError as error:
            if not self.task.report_violation:
                raise
            self.log.line(error.message)
            message = Outcome(error.reason, self.redactor.text(error.message)).clipped().message
            self.results.checked = OutputCheck(valid=False, message=message)
        else:
            if self.task.report_violation and self.schema is not None:
                self.results.checked = OutputCheck(valid=True)

    def _check_output(self, saved: bool, value: Any) -> None:
        if self.schema is None or self.schema is True:
            return
        if not saved:
            raise AttemptError(
                Reason.INVALID_OUTPUT,
                "the contract requires an output, but the notebook saved none: call save_output(value) from podbook in a cell",
            )
        from podbook_core.schema.validation import ContractValidator, ValidationStalledError, start_worker  # noqa: PLC0415 - only for contracts

        child = None if self.worker is None else self.worker.validator
        process = child if child is not None and child.poll() is None else start_worker()
        with ContractValidator(workers=1, start=lambda: process) as validator:
            try:
                violations = validator.violations(self.schema, value)
            except ValidationStalledError as error:
                problem = f"the output could not be checked: {error}; simplify the contract"
                raise AttemptError(Reason.INVALID_OUTPUT, problem) from None
        if violations:
            broken = "; ".join(item.sentence() for item in violations)
            raise AttemptError(Reason.INVALID_OUTPUT, f"the output violates the contract: {broken}")

    def _store_artifacts(self, outcome: Outcome) -> Outcome:
        if self.worker is not None:
            self.worker.end_kernel(patient=outcome.succeeded)
        try:
            artifacts, skipped = find_artifacts(self.outputs, max_files=self.task.max_files, max_bytes=self.task.max_files_bytes)
        except AttemptError as error:
            return self._unless_failed(outcome, error)
        for line in skipped:
            self.log.line(line)
        for artifact in artifacts:
            self.results.artifact(artifact)
        return outcome

    def _store_pages(self, renderer: Renderer) -> Pages:
        """Store the pages, or say why there are none: what the cells gave is never withheld for them."""
        end = time.monotonic() + _RENDER_SECONDS
        try:
            renderer.result(lambda: min(end, self.deadline() - _MANIFEST_SECONDS))
        except RenderError as error:
            problem = self.redactor.text(f"the HTML could not be rendered: {error}")
            self.log.line(problem)
            return Pages(False, clip(problem, MAX_MESSAGE))
        for name, path in self._pages().items():
            self.results.page(name, self.redactor.text(path.read_text()).encode())
        return Pages(True)

    def _unless_failed(self, outcome: Outcome, error: AttemptError) -> Outcome:
        """The error is the outcome, unless the cells had failed already: then it is a line in the log."""
        self.log.line(error.message)
        return Outcome(error.reason, error.message) if outcome.succeeded else outcome

    def _pages(self) -> Mapping[str, Path]:
        wanted = {keys.HTML_FILE: self.task.html, keys.REPORT_FILE: self.task.report}
        return {name: Path(name).absolute() for name, asked in wanted.items() if asked}


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        # Not the notebook's fault nor the set-up's: with room again, the same run succeeds.
        problem = f"the executed notebook cannot be written to the working directory: {error.strerror or error}"
        raise AttemptError(Reason.STORAGE_FAILED, problem) from error
