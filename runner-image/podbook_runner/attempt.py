"""One attempt from task to exit code: the order of the steps, and what is still done when one of them fails."""

import gc
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podbook_core.execution.reasons import INTERRUPTED, Reason
from podbook_core.execution.task import HttpCallSource, Source, Task
from podbook_core.http_notebook.plan import plan_for_request, with_input_paths
from podbook_runner.cells import notebook as document
from podbook_runner.cells.log import RunLog
from podbook_runner.cells.reporter import Progress, Reporter
from podbook_runner.delivery.delivery import Delivery, PublishDeadline, outcome_without
from podbook_runner.delivery.results import Clock, Results
from podbook_runner.html.client import Renderer
from podbook_runner.inputs import workspace
from podbook_runner.inputs.fetch import fetch
from podbook_runner.kernel.process import Kernel
from podbook_runner.kernel.spec import find_kernelspec, kernel_folders
from podbook_runner.limits.memory import OomScore, find_control_group
from podbook_runner.limits.processes import become_subreaper
from podbook_runner.limits.stop import InterruptedFetchError, Stop
from podbook_runner.outcome import AttemptError, Outcome
from podbook_runner.transfer.publish import Publisher
from podbook_runner.transfer.redact import Redactor
from podbook_runner.transfer.renewed_access import Access

if TYPE_CHECKING:
    from podbook_runner.cells.state import Execution
    from podbook_runner.children import Child

__all__ = ["Attempt"]

_SOURCE = Path("source.ipynb")


@dataclass
class Attempt:
    """One attempt of one execution.

    Args:
        task: what to do.
        task_file: where the task came from; its access is renewed there.
        attempt: the attempt's id.
        work_dir: where its directories go; None for the system's place for temporary files.
        stop: already handles SIGTERM.
    """

    task: Task
    task_file: Path
    attempt: str
    work_dir: Path | None
    stop: Stop

    def __post_init__(self) -> None:
        self._clock = Clock()
        self._run_deadline = self._clock.monotonic + self.task.timeout_seconds
        self._access = Access(self.task, self.task_file)
        self._redactor = Redactor(self._access.secrets)
        self._log = RunLog(self._redactor)
        self._kernel: Kernel | None = None
        self._renderer: Renderer | None = None
        self._validator: Child | None = None
        self._execution: Execution | None = None
        self._input_schema: Any = None
        self._schema: Any = None
        self._published_cells = 0
        self._language = ""
        self._request: str | None = None
        """What a request says that cells answer; None where the whole notebook runs."""

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
            return outcome_without(self._redactor, self._run_in(space))
        except AttemptError as error:
            return outcome_without(self._redactor, Outcome(error.reason, error.message))
        finally:
            if self._kernel is not None:
                self._kernel.kill()
            if self._renderer is not None:
                self._renderer.close()
            if self._validator is not None:
                self._validator.kill()
                self._validator.wait()
            if space is not None:
                os.chdir("/")
                space.remove()

    def _run_in(self, space: workspace.Workspace) -> Outcome:
        reporter: Reporter | None = None
        try:
            self._prepare(space)
            reporter = Reporter(self._publisher, self._progress, self._log, self._access.look)
            outcome = self._execute()
        except AttemptError as error:
            outcome = Outcome(error.reason, error.message)
        except InterruptedFetchError:
            outcome = Outcome(INTERRUPTED, "the runner was told to stop (SIGTERM) before the first cell")
        finally:
            if reporter is not None:
                reporter.close()
        return self._deliver(space, outcome)

    # What comes before the first cell ---------------------------------------------------------------------------------------------

    def _prepare(self, space: workspace.Workspace) -> None:
        task = self.task
        with self.stop.raising():
            self._fetch(task.notebook, _SOURCE, "the notebook")
        facts = document.parse_notebook(_SOURCE.read_bytes())
        document.remove_byte_order_mark(_SOURCE)
        self._published_cells = facts.cells
        spec = find_kernelspec(facts.kernel, facts.language, kernel_folders())
        if (facts.kernel or "").lower() != spec.name.lower():
            named = "names no kernel" if facts.kernel is None else f"names the kernel {facts.kernel!r}, which is not installed here"
            self._log.line(f"warning: the notebook {named}; its cells run on {spec.name}")
        document.check_parameter_names(task.parameters, spec.language)
        self._language = facts.language
        environment = workspace.kernel_environment(os.environ, space, task)
        workspace.seed_font_cache(os.environ, space)
        score = OomScore()
        # From here on the kernel works beside us: all that follows is free until it is ready.
        kernel = self._kernel = Kernel(spec, space.runtime, space.cwd, environment)
        become_subreaper()
        self._start_children(kernel, space, score)
        kernel.listen()
        with self.stop.raising():
            self._fetch_rest(space)

    def _start_children(self, kernel: Kernel, space: workspace.Workspace, score: OomScore) -> None:
        """Start what renders and what validates, after all has been imported that they need as well and before there are threads."""
        from nbformat.validator import get_validator  # noqa: PLC0415

        import podbook_runner.cells.engine  # noqa: F401, PLC0415 - heavy, beside the starting kernel
        from podbook_runner.children import start_child  # noqa: PLC0415

        get_validator(4, 5)  # type: ignore[no-untyped-call] # compiled once, for papermill here and for nbconvert in the fork
        # What was imported stays; the collector need not look at it again, here nor in the children.
        gc.freeze()
        if self.task.contract is not None:
            from podbook_core.schema import worker as validation_worker  # noqa: PLC0415

            self._validator = start_child(validation_worker.main, Path(os.devnull), score)
            kernel.spare(self._validator.pid)
        if self.task.html or self.task.report:
            from podbook_runner.html import worker as render  # noqa: PLC0415

            errors = space.private / "renderer.err"
            child = start_child(render.main, errors, score)
            kernel.spare(child.pid)

            def another() -> "Child":
                # Started as a program: by then there are threads, and a fork would not survive their locks.
                return start_child(render.main, errors, score, forking=False)

            self._renderer = Renderer(child, errors, another)
        gc.enable()

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
        if task.request is not None:
            self._plan_request(task.request, space)
        if task.contract is not None:
            contract = Path("contract.json")
            self._fetch(task.contract, contract, "the contract")
            if task.request is None:
                self._input_schema, self._schema = _schemas(contract.read_bytes())

    def _plan_request(self, call: HttpCallSource, space: workspace.Workspace) -> None:
        """Put the cells that answer a request in place of the whole notebook."""
        file = Path("request.json")
        fetch(call.url, call.sha256, file, what="the request", deadline=self._run_deadline)
        self._request = with_input_paths(file.read_text(), str(space.inputs))
        file.unlink()
        notebook = json.loads(_SOURCE.read_bytes())
        cells = plan_for_request(notebook["cells"], call.method, call.route, self._request, language=self._language)
        if cells is None:
            raise AttemptError(Reason.INVALID_NOTEBOOK, f"no cell answers {call.method} {call.route}")
        _SOURCE.write_text(json.dumps({**notebook, "cells": cells}))

    def _fetch(self, source: Source, target: Path, what: str) -> None:
        """Fetch a part of the published notebook."""
        missing = Reason.NOTEBOOK_NOT_FOUND
        fetch(source.url, source.sha256, target, what=what, missing=missing, deadline=self._run_deadline)

    # The cells --------------------------------------------------------------------------------------------------------------------

    def _execute(self) -> Outcome:
        from podbook_runner.limits.watch import Watch  # noqa: PLC0415

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
            from podbook_runner.cells.engine import execute  # noqa: PLC0415
            from podbook_runner.cells.state import Execution  # noqa: PLC0415

            self._execution = Execution(
                kernel, self.stop, self._log, watch.system_killed, task.max_notebook_bytes, self._published_cells
            )
            outcome = execute(self._execution, _SOURCE, task.parameters, schema=self._input_schema)
        finally:
            watch.close()
        self._log.line("\n".join(filter(None, ["the cells ended: " + outcome.outcome, self._execution.traceback])))
        return outcome

    def _progress(self) -> Progress | None:
        return None if self._execution is None else self._execution.progress()

    def _publisher(self) -> Publisher:
        return Publisher(self._access.destination, f"{self.task.destination.prefix}{self.attempt}/")

    # What comes after the last cell -----------------------------------------------------------------------------------------------

    def _deliver(self, space: workspace.Workspace, outcome: Outcome) -> Outcome:
        publisher = self._publisher()
        deadline = PublishDeadline(self.task.publish_timeout_seconds, self.stop)
        delivery = Delivery(
            task=self.task,
            results=Results(self.task, self.attempt, publisher, deadline, self._log, self._clock),
            deadline=deadline,
            redactor=self._redactor,
            log=self._log,
            source=_SOURCE,
            outputs=space.outputs,
            schema=self._schema,
            request=self._request,
            execution=self._execution,
            kernel=self._kernel,
            renderer=self._renderer,
            validator=self._validator,
        )
        try:
            return delivery.run(outcome)
        except AttemptError as error:
            return Outcome(error.reason, f"{error.message} (the cells ended: {outcome.outcome})", outcome.error)
        finally:
            publisher.close()


def _file_name(name: str) -> str:
    if not name or "/" in name or "\x00" in name or name in (".", ".."):
        raise AttemptError(Reason.CONFIGURATION_ERROR, f"an input file is named {name[:80]!r}, which is no plain file name")
    return name


def _schemas(data: bytes) -> tuple[Any, Any]:
    """The schemas of input and output in a stored contract."""
    try:
        contract = json.loads(data)
        return contract.get("input"), contract.get("output")
    except (ValueError, AttributeError, RecursionError):
        raise AttemptError(Reason.STORAGE_FAILED, "the stored contract is not a JSON object") from None


def say(text: str) -> None:
    """One plain line for whoever reads the runner's own output."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the program's output
