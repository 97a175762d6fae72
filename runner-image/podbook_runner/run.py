"""One run of one task, from the task to how it ended: the order of the steps, and what is still done when one of them fails."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podbook_core.execution.reasons import INTERRUPTED, Reason
from podbook_core.execution.task import HttpCallSource, Source, Task
from podbook_core.notebook.plans import CellPlan
from podbook_core.notebook.request_plan import plan_for_request, with_input_paths
from podbook_runner.cells import notebook as document
from podbook_runner.cells.log import RunLog
from podbook_runner.cells.reporter import Progress, Reporter
from podbook_runner.delivery.delivery import Delivery, PublishDeadline, outcome_without
from podbook_runner.delivery.results import Clock, Results
from podbook_runner.inputs.fetch import fetch
from podbook_runner.inputs.workspace import Workspace, unpack_assets
from podbook_runner.kernel.spec import KernelSpec, find_kernelspec, kernel_folders
from podbook_runner.limits.stop import InterruptedFetchError, Stop
from podbook_runner.outcome import AttemptError, Outcome
from podbook_runner.transfer.redact import Redactor
from podbook_runner.transfer.renewed_access import Access
from podbook_runner.transfer.upload import Publisher
from podbook_runner.worker import Deadline, Worker

if TYPE_CHECKING:
    from podbook_runner.cells.plan_run import PlanRun

__all__ = ["Run", "say"]

_SOURCE = Path("source.ipynb")


@dataclass
class Run:
    """One attempt of one execution: its clock, its worker, its results.

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
        self._worker: Worker | None = None
        self._cells: PlanRun | None = None
        self._input_schema: Any = None
        self._language = ""
        self._schema: Any = None
        self._request: str | None = None
        """What an HTTP request says that cells answer; None where the whole notebook runs."""

    def run(self) -> Outcome:
        """Do it all.

        Returns:
            How the attempt ended. Its manifest is stored, unless the outcome is ``StorageFailed`` or ``ConfigurationError``.
        """
        self._log.line(f"attempt {self.attempt} of {self.task.execution}: notebook {self.task.notebook_name}")
        space: Workspace | None = None
        try:
            space = Workspace(self.work_dir)
            os.chdir(space.private)
            return outcome_without(self._redactor, self._run_in(space))
        except AttemptError as error:
            return outcome_without(self._redactor, Outcome(error.reason, error.message))
        finally:
            if self._worker is not None:
                self._worker.close()
            if space is not None:
                os.chdir("/")
                space.remove()

    def _run_in(self, space: Workspace) -> Outcome:
        reporter: Reporter | None = None
        try:
            worker, spec = self._prepare(space)
            reporter = Reporter(self._publisher, self._progress, self._log, self._access.look)
            outcome = self._execute(worker, spec)
        except AttemptError as error:
            outcome = Outcome(error.reason, error.message)
        except InterruptedFetchError:
            outcome = Outcome(INTERRUPTED, "the runner was told to stop (SIGTERM) before the first cell")
        finally:
            if reporter is not None:
                reporter.close()
        return self._deliver(space, outcome)

    # What comes before the first cell ---------------------------------------------------------------------------------------------

    def _prepare(self, space: Workspace) -> tuple[Worker, KernelSpec]:
        """Fetch everything, and start the worker as soon as it is known which kernel it needs."""
        task = self.task
        with self.stop.raising():
            self._fetch(task.notebook, _SOURCE, "the notebook")
        facts = document.parse_notebook(_SOURCE.read_bytes())
        document.remove_byte_order_mark(_SOURCE)
        spec = find_kernelspec(facts.kernel, facts.language, kernel_folders())
        if (facts.kernel or "").lower() != spec.name.lower():
            named = "names no kernel" if facts.kernel is None else f"names the kernel {facts.kernel!r}, which is not installed here"
            self._log.line(f"warning: the notebook {named}; its cells run on {spec.name}")
        document.check_parameter_names(task.parameters, spec.language)
        self._language = facts.language
        worker = self._worker = Worker(space, output_limit=task.max_notebook_bytes, memory_limit=task.memory_limit_bytes)
        worker.start(
            spec,
            os.environ,
            {
                "PODBOOK_EXECUTION": task.execution,
                "PODBOOK_UID": task.uid,
                **({} if task.request is None else {"KERNEL_GATEWAY": "1"}),  # as the notebooks of the gateway expect it
            },
            renders=task.html or task.report,
            validates=task.contract is not None and task.request is None,
        )
        with self.stop.raising():
            self._fetch_rest(space)
        return worker, spec

    def _fetch_rest(self, space: Workspace) -> None:
        task = self.task
        if task.assets is not None:
            archive = Path("assets.tar")
            self._fetch(task.assets, archive, "the assets")
            unpack_assets(archive, space.cwd)
            archive.unlink()
        for item in task.inputs:
            target = space.inputs / _file_name(item.name)
            what = f"the input file {item.name!r}"
            fetch(item.url, item.sha256, target, what=what, size=item.size, deadline=self._run_deadline)
        if task.request is not None:
            request = Path("request.json")
            fetch(task.request.url, task.request.sha256, request, what="the request", deadline=self._run_deadline)
            self._request = with_input_paths(request.read_text(), str(space.inputs))
            request.unlink()
        elif task.contract is not None:
            contract = Path("contract.json")
            self._fetch(task.contract, contract, "the contract")
            self._input_schema, self._schema = _schemas(contract.read_bytes())

    def _fetch(self, source: Source, target: Path, what: str) -> None:
        """Fetch a part of the published notebook."""
        missing = Reason.NOTEBOOK_NOT_FOUND
        fetch(source.url, source.sha256, target, what=what, missing=missing, deadline=self._run_deadline)

    # The cells --------------------------------------------------------------------------------------------------------------------

    def _execute(self, worker: Worker, spec: KernelSpec) -> Outcome:
        import asyncio  # noqa: PLC0415 - heavy

        from podbook_runner.cells.executed_notebook import load_notebook, log_warnings, plan_of_notebook  # noqa: PLC0415 - heavy
        from podbook_runner.cells.plan_run import PlanRun  # noqa: PLC0415

        task = self.task
        log_warnings(self._log)
        published = load_notebook(_SOURCE)
        if task.request is not None:
            plan = self._plan_request(published.cells, task.request)
        else:
            plan = plan_of_notebook(
                published, task.parameters, kernel=spec.name, language=spec.language, log=self._log, schema=self._input_schema
            )
        cells = self._cells = PlanRun(plan, published, self.stop, self._log, task.max_notebook_bytes)
        outcome = asyncio.run(_run_once(worker, cells, Deadline(self._run_deadline, task.timeout_seconds)))
        self._log.line("\n".join(filter(None, ["the cells ended: " + outcome.outcome, cells.traceback])))
        return outcome

    def _plan_request(self, cells: Sequence[Mapping[str, Any]], call: HttpCallSource) -> CellPlan:
        shown = f"# {call.method} {call.path}"
        plan = plan_for_request(cells, call.method, call.route, self._request or "", language=self._language, shown=shown)
        if plan is None:
            raise AttemptError(Reason.INVALID_NOTEBOOK, f"no cell answers {call.method} {call.route}")
        return plan

    def _progress(self) -> Progress | None:
        return None if self._cells is None else self._cells.progress()

    def _publisher(self) -> Publisher:
        return Publisher(self._access.destination, f"{self.task.destination.prefix}{self.attempt}/")

    # What comes after the last cell -----------------------------------------------------------------------------------------------

    def _deliver(self, space: Workspace, outcome: Outcome) -> Outcome:
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
            cells=self._cells,
            worker=self._worker,
        )
        try:
            return delivery.run(outcome)
        except AttemptError as error:
            return Outcome(error.reason, f"{error.message} (the cells ended: {outcome.outcome})", outcome.error)
        finally:
            publisher.close()


async def _run_once(worker: Worker, cells: "PlanRun", deadline: Deadline) -> Outcome:
    try:
        return await worker.run(cells, deadline)
    finally:
        await worker.let_go()


def _file_name(name: str) -> str:
    if not name or "/" in name or "\x00" in name or name in (".", ".."):
        raise AttemptError(Reason.CONFIGURATION_ERROR, f"an input file is named {name[:80]!r}, which is not a plain file name")
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
