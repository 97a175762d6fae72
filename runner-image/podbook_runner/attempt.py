"""One attempt from task to exit code: the order of the steps, and what is still done when one of them fails."""

import gc
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podbook_core.reasons import INTERRUPTED, Reason
from podbook_core.store import keys
from podbook_core.task import Source, Task

from podbook_runner import document, workspace
from podbook_runner.artifacts import find_artifacts
from podbook_runner.fetch import fetch
from podbook_runner.kernel import Kernel
from podbook_runner.kernelspec import find_kernelspec, kernel_folders
from podbook_runner.log import RunLog
from podbook_runner.outcome import AttemptError, Outcome
from podbook_runner.output import parse_output
from podbook_runner.processes import become_subreaper
from podbook_runner.progress import Progress, Reporter, progress_json
from podbook_runner.publish import Publisher, open_destination
from podbook_runner.redact import Redactor, secrets_of
from podbook_runner.renderer import Renderer, RenderError
from podbook_runner.results import Clock, Results
from podbook_runner.stop import InterruptedFetchError, Stop

if TYPE_CHECKING:
    from podbook_core.validation import ContractValidator

    from podbook_runner.execute import Execution

__all__ = ["Attempt"]

_SOURCE = Path("source.ipynb")
_GRACE_SECONDS = 25.0
"""A pod is killed 30 s after SIGTERM; what is not stored by then is lost."""
_EXIT_SECONDS = 3.0
"""How long the kernel may take for its exit handlers."""
_RENDER_SECONDS = 120.0


@dataclass
class Attempt:
    """One attempt of one execution.

    Args:
        task: what to do.
        attempt: the attempt's id.
        work_dir: where its directories go; None for the system's place for temporary files.
        stop: already handles SIGTERM.
    """

    task: Task
    attempt: str
    work_dir: Path | None
    stop: Stop

    def __post_init__(self) -> None:
        self._clock = Clock()
        self._run_deadline = self._clock.monotonic + self.task.timeout_seconds
        self._redactor = Redactor(secrets_of(self.task))
        self._log = RunLog(self._redactor)
        self._kernel: Kernel | None = None
        self._renderer: Renderer | None = None
        self._validator: ContractValidator | None = None
        self._execution: Execution | None = None
        self._schema: Any = None
        self._publish_deadline: float | None = None

    def run(self) -> Outcome:
        """Do it all.

        Returns:
            How the attempt ended. Its manifest is stored, unless the outcome is ``StorageFailed`` or ``ConfigurationError``.
        """
        self._log.line(f"attempt {self.attempt} of {self.task.execution}: notebook {self.task.notebook_name}")
        space: workspace.Workspace | None = None
        try:
            space = workspace.Workspace(self.work_dir)
            os.chdir(space.private)
            return self._redacted(self._run_in(space))
        except AttemptError as error:
            return self._redacted(Outcome(error.reason, error.message))
        finally:
            if self._kernel is not None:
                self._kernel.kill()
            if self._renderer is not None:
                self._renderer.close()
            if self._validator is not None:
                self._validator.close()
            if space is not None:
                os.chdir("/")
                space.remove()

    def _run_in(self, space: workspace.Workspace) -> Outcome:
        reporter: Reporter | None = None
        try:
            self._prepare(space)
            reporter = Reporter(self._publisher, self._progress, self._log)
            outcome = self._execute()
        except AttemptError as error:
            outcome = Outcome(error.reason, error.message)
        except InterruptedFetchError:
            outcome = Outcome(INTERRUPTED, "the runner was told to stop (SIGTERM) before the first cell")
        finally:
            if reporter is not None:
                reporter.close()
        return self._publish(space, outcome)

    # What comes before the first cell ---------------------------------------------------------------------------------------------

    def _prepare(self, space: workspace.Workspace) -> None:
        task = self.task
        with self.stop.raising():
            self._fetch(task.notebook, _SOURCE, "the notebook")
        facts = document.parse_notebook(_SOURCE.read_bytes())
        spec = find_kernelspec(facts.kernel_name, kernel_folders())
        document.check_parameter_names(task.parameters, spec.language)
        environment = workspace.kernel_environment(os.environ, space, task)
        workspace.seed_font_cache(os.environ, space)
        # From here on the kernel works beside us: all that follows is free until it is ready.
        self._kernel = Kernel(spec, space.runtime, space.cwd, environment)
        become_subreaper()
        if task.html or task.report:
            own = {name: value for name, value in os.environ.items() if not name.startswith("PODBOOK_")}
            self._renderer = Renderer(own, space.private, space.private / "renderer.err")
            self._kernel.spare(self._renderer.pid)
        with self.stop.raising():
            self._fetch_rest(space)

    def _fetch_rest(self, space: workspace.Workspace) -> None:
        task = self.task
        if task.assets is not None:
            archive = Path("assets.tar")
            self._fetch(task.assets, archive, "the assets")
            workspace.unpack_assets(archive, space.cwd)
            archive.unlink()
        for item in task.inputs:
            target = space.inputs / _file_name(item.name)
            what = f"the input file {item.name!r}"
            fetch(item.url, item.sha256, target, what=what, size=item.size, deadline=self._run_deadline)
        if task.contract is not None:
            contract = Path("contract.json")
            self._fetch(task.contract, contract, "the contract")
            self._schema = _output_schema(contract.read_bytes())

    def _fetch(self, source: Source, target: Path, what: str) -> None:
        """Fetch a part of the published notebook."""
        missing = Reason.NOTEBOOK_NOT_FOUND
        fetch(source.url, source.sha256, target, what=what, missing=missing, deadline=self._run_deadline)

    # The cells --------------------------------------------------------------------------------------------------------------------

    def _execute(self) -> Outcome:
        from podbook_runner.limits import Watch  # noqa: PLC0415
        from podbook_runner.memory import find_control_group  # noqa: PLC0415

        task, kernel = self.task, self._kernel
        if kernel is None:
            raise RuntimeError("there is no kernel")
        watch = Watch(
            kernel,
            self.stop,
            deadline=self._run_deadline,
            timeout_seconds=task.timeout_seconds,
            memory_limit_bytes=task.memory_limit_bytes,
            group=find_control_group(),
        )
        try:
            from podbook_runner.execute import Execution, execute  # noqa: PLC0415 - heavy, beside the starting kernel

            # What was imported stays; the collector need not look at it again.
            gc.freeze()
            gc.enable()
            self._execution = Execution(kernel, self.stop, self._log, watch.system_killed, task.max_notebook_bytes)
            outcome = execute(self._execution, _SOURCE, task.parameters)
        finally:
            watch.close()
        self._log.line("the cells ended: " + outcome.outcome)
        return outcome

    def _progress(self) -> Progress | None:
        execution = self._execution
        return None if execution is None or not execution.total else (execution.completed, execution.total, execution.cell)

    # What comes after the last cell -----------------------------------------------------------------------------------------------

    def _publish(self, space: workspace.Workspace, outcome: Outcome) -> Outcome:
        self._publish_deadline = time.monotonic() + self.task.publish_timeout_seconds
        publisher = self._publisher()
        results = Results(self.task, self.attempt, publisher, self._deadline, self._log, self._clock)
        try:
            return self._store(space, results, outcome)
        except AttemptError as error:
            self._log.line(error.message)
            return Outcome(error.reason, f"{error.message} (the cells ended: {outcome.outcome})", outcome.error)
        finally:
            publisher.close()

    def _store(self, space: workspace.Workspace, results: Results, outcome: Outcome) -> Outcome:
        notebook = self._notebook_file()
        rendering = notebook is not None and self._execution is not None and self._renderer is not None
        if rendering and notebook is not None and self._renderer is not None:
            pages = self._pages()
            self._renderer.request(
                notebook, title=self.task.notebook_name, html=pages.get(keys.HTML_FILE), report=pages.get(keys.REPORT_FILE)
            )
        if notebook is not None:
            results.notebook(notebook)
        outcome = self._store_output(results, outcome)
        progress = self._progress()
        if progress is not None:
            results.progress(progress_json(progress))
        cells = (0, 0) if progress is None else progress[:2]
        if outcome.cut_short:
            results.manifest(self._redacted(outcome), cells)
        if rendering:
            outcome = self._store_pages(results, outcome)
        outcome = self._store_artifacts(space, results, outcome)
        results.manifest(self._redacted(outcome), cells)
        return outcome

    def _notebook_file(self) -> Path | None:
        """The notebook to publish: as executed, or as it was fetched when no cell was reached."""
        execution = self._execution
        if execution is None or execution.notebook is None:
            return _SOURCE if _SOURCE.exists() else None
        executed = Path(keys.NOTEBOOK_FILE)
        data = document.executed_bytes(execution.notebook, self._redactor, self.task.max_notebook_bytes)
        _write(executed, data)
        return executed

    def _store_output(self, results: Results, outcome: Outcome) -> Outcome:
        """Store what ``save_output`` said, also that of a failed run; only a run that succeeded can break its contract."""
        execution = self._execution
        text = None if execution is None else execution.scraps.text
        if text is None and not outcome.succeeded:
            return outcome
        try:
            value, encoded = parse_output(text if text is None else self._redactor.text(text), self.task.max_output_bytes)
            if outcome.succeeded:
                self._check_output(text is not None, value)
        except AttemptError as error:
            self._log.line(error.message)
            return Outcome(error.reason, error.message) if outcome.succeeded else outcome
        results.output(encoded)
        return outcome

    def _check_output(self, saved: bool, value: Any) -> None:
        if self._schema is None or self._schema is True:
            return
        if not saved:
            raise AttemptError(
                Reason.INVALID_OUTPUT,
                "the contract promises an output and the notebook saved none: call save_output(value) from podbook in a cell",
            )
        from podbook_core.validation import ContractValidator, ValidationStalledError  # noqa: PLC0415

        self._validator = ContractValidator(workers=1)
        try:
            violations = self._validator.violations(self._schema, value)
        except ValidationStalledError as error:
            raise AttemptError(Reason.INVALID_OUTPUT, f"the output could not be checked: {error}; simplify the contract") from None
        if violations:
            raise AttemptError(
                Reason.INVALID_OUTPUT, "the output breaks the contract: " + "; ".join(item.sentence() for item in violations)
            )

    def _store_artifacts(self, space: workspace.Workspace, results: Results, outcome: Outcome) -> Outcome:
        if self._kernel is not None:
            if outcome.succeeded:
                self._kernel.wait(_EXIT_SECONDS)
            self._kernel.kill()
        try:
            artifacts, skipped = find_artifacts(space.outputs, max_files=self.task.max_files, max_bytes=self.task.max_files_bytes)
        except AttemptError as error:
            self._log.line(error.message)
            return Outcome(error.reason, error.message) if outcome.succeeded else outcome
        for line in skipped:
            self._log.line(line)
        for artifact in artifacts:
            results.artifact(artifact)
        return outcome

    def _store_pages(self, results: Results, outcome: Outcome) -> Outcome:
        renderer = self._renderer
        if renderer is None:
            return outcome
        end = time.monotonic() + _RENDER_SECONDS
        try:
            renderer.result(lambda: min(end, self._deadline() - 1))
        except RenderError as error:
            self._log.line(f"no HTML: {error}")
            return Outcome(Reason.RENDER_FAILED, f"the HTML could not be rendered: {error}") if outcome.succeeded else outcome
        for name, path in self._pages().items():
            results.page(name, self._redactor.text(path.read_text()).encode())
        return outcome

    def _pages(self) -> Mapping[str, Path]:
        wanted = {keys.HTML_FILE: self.task.html, keys.REPORT_FILE: self.task.report}
        return {name: Path(name).absolute() for name, asked in wanted.items() if asked}

    def _publisher(self) -> Publisher:
        return Publisher(open_destination(self.task.destination), f"{self.task.destination.prefix}{self.attempt}/")

    def _deadline(self) -> float:
        """Until when results are stored; SIGTERM brings it nearer."""
        deadline = self._publish_deadline or time.monotonic()
        signalled = self.stop.signalled_at
        return deadline if signalled is None else min(deadline, signalled + _GRACE_SECONDS)

    def _redacted(self, outcome: Outcome) -> Outcome:
        text, error = self._redactor.text, outcome.error
        if error is not None:
            error = type(error)(error.cell, text(error.ename), text(error.evalue))
        return Outcome(outcome.outcome, text(outcome.message), error)


def _file_name(name: str) -> str:
    if not name or "/" in name or "\x00" in name or name in (".", ".."):
        raise AttemptError(Reason.CONFIGURATION_ERROR, f"an input file is named {name[:80]!r}, which is no plain file name")
    return name


def _output_schema(data: bytes) -> Any:
    try:
        return json.loads(data).get("output")
    except (ValueError, AttributeError, RecursionError):
        raise AttemptError(Reason.STORAGE_FAILED, "the stored contract is no JSON object") from None


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise AttemptError(
            Reason.CONFIGURATION_ERROR,
            f"the executed notebook cannot be written to {path.parent.absolute()}: {error.strerror or error}; give it more space",
        ) from error


def say(text: str) -> None:
    """One plain line for whoever reads the runner's own output."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the program's output
