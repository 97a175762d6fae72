"""A worker by itself, as a server holds it: several plans one after another, in one real kernel, without a task."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from nbformat import NotebookNode
from tests.support.notebook_file import code_cell, markdown_cell, notebook_document

from podbook_core.execution.reasons import INTERRUPTED, Reason
from podbook_core.notebook.plans import CellPlan, Injected, http_request, whole_notebook
from podbook_runner.cells.executed_notebook import load_notebook, plan_of_notebook
from podbook_runner.cells.plan_run import PlanRun
from podbook_runner.inputs.workspace import Workspace
from podbook_runner.kernel.spec import find_kernelspec
from podbook_runner.limits.stop import Cause, Stop
from podbook_runner.worker import Deadline, Worker

CELLS = [
    code_cell("import json\ncount = 0"),
    code_cell("# GET /count\ncount += json.loads(REQUEST)['by']\nprint(count)"),
    markdown_cell("text"),
    code_cell("# ResponseInfo GET /count\nprint(json.dumps({'status': 201}))"),
    code_cell("import sys"),
]


class Told(list[str]):
    """A log that remembers, and notices a cell that says it is up."""

    def __init__(self) -> None:
        super().__init__()
        self.up = asyncio.Event()

    def stream(self, text: str) -> None:
        self.append(text)
        if "up\n" in text:
            self.up.set()

    def line(self, text: str) -> None:
        self.append(text)


def request(by: object) -> Injected:
    return Injected(f"REQUEST = {json.dumps(json.dumps({'by': by}))}", tag="injected-request", shown="# GET /count")


def plan_of(by: object) -> CellPlan:
    return http_request(CELLS, setup=[0, 4], request=request(by), handlers=[1], response_info=[3])


class Bench:
    """A worker at work."""

    def __init__(self, folder: Path, *, memory_limit: int | None = None) -> None:
        self.space = Workspace(folder)
        self.worker = Worker(self.space, output_limit=1_000_000, memory_limit=memory_limit, alone=False)
        self.worker.start(find_kernelspec("python3", "python", []), os.environ, {"KERNEL_GATEWAY": "1"})
        self.stop, self.log = Stop(), Told()
        self.last: PlanRun | None = None

    def notebook(self, cells: Sequence[dict[str, Any]]) -> NotebookNode:
        file = self.space.private / "any name.ipynb"
        file.write_text(json.dumps(notebook_document(cells)))
        return load_notebook(file)

    async def run(self, plan: CellPlan, cells: Sequence[dict[str, Any]], seconds: float = 60) -> tuple[str, str, list[str]]:
        """How the plan ended, in words too, and what each of its cells printed or showed."""
        run = self.last = PlanRun(plan, self.notebook(cells), self.stop, self.log, 200_000)
        outcome = await self.worker.run(run, Deadline.after(seconds))
        assert run.outcome == outcome
        printed = ["".join(out.get("text", out.get("evalue", "")) for out in one.outputs) for one in run.outputs()]
        return outcome.outcome, outcome.message, printed

    async def run_sources(self, *sources: str, seconds: float = 60) -> tuple[str, str, list[str]]:
        cells = [code_cell(source) for source in sources]
        return await self.run(whole_notebook(cells, None), cells, seconds)


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.worker.stop()
    bench.stop.close()
    assert not psutil.pid_exists(bench.worker.kernel.pid)
    bench.space.remove()


async def test_set_up_runs_once_and_every_call_finds_what_the_last_one_left(bench: Bench) -> None:
    plan = plan_of(1)
    assert await bench.run(plan.setup(), CELLS) == (Reason.SUCCEEDED, "", ["", ""])
    for expected in ("1\n", "2\n"):
        told = await bench.run(plan.without_setup(), CELLS)
        assert told == (Reason.SUCCEEDED, "", ["", expected, '{"status": 201}\n'])
    assert bench.worker.reusable
    assert bench.last is not None
    assert bench.last.progress() == (2, 2, 3)


async def test_a_request_is_one_plan_and_its_secrets_are_not_in_the_notebook(bench: Bench) -> None:
    outcome, _, printed = await bench.run(plan_of(20), CELLS)
    assert (outcome, printed) == (Reason.SUCCEEDED, ["", "", "", "20\n", '{"status": 201}\n'])
    assert bench.last is not None
    document = bench.last.notebook
    assert [cell.source.partition("\n")[0] for cell in document.cells] == [
        "import json", "# GET /count", "# GET /count", "text", "# ResponseInfo GET /count", "import sys",
    ]  # fmt: skip
    assert "by" not in document.cells[1].source
    assert document.cells[1].metadata.tags == ["injected-request"]
    assert document.metadata.language_info.name == "python"


async def test_a_failed_handler_ends_the_plan_and_not_the_worker(bench: Bench) -> None:
    outcome, message, printed = await bench.run(plan_of("x"), CELLS)
    assert outcome == Reason.CELL_FAILED
    assert message.startswith("cell 1 (In [4]): TypeError: unsupported operand")
    assert len(printed) == 4
    assert bench.last is not None
    assert bench.last.outcome is not None
    assert bench.last.outcome.error is not None
    assert bench.last.outcome.error.cell == 1
    states = [cell.metadata.papermill.status for cell in bench.last.notebook.cells if "papermill" in cell.metadata]
    assert states == ["completed", "completed", "failed", "pending", "pending", "completed"]
    assert (await bench.run(plan_of(1).without_setup(), CELLS))[2] == ["", "1\n", '{"status": 201}\n']


async def test_parameters_come_in_the_language_of_the_notebook(bench: Bench) -> None:
    cells = [code_cell("x = 1", "parameters"), code_cell("print(x)")]
    notebook = bench.notebook(cells)
    plan = plan_of_notebook(notebook, {"x": "é\"'", "y": [None, True]}, kernel="python3", language="python", log=bench.log)
    assert bench.log == ["Passed unknown parameter: y"]
    assert (await bench.run(plan, cells))[2] == ["", "", "é\"'\n"]
    shell = plan_of_notebook(notebook, {"x": "a b"}, kernel="bash", language="bash", log=bench.log)
    assert shell.steps[1].injected == Injected("# Parameters\nx='a b'\n")


async def test_a_cell_is_interrupted_and_the_kernel_stays(bench: Bench) -> None:
    await bench.run_sources("kept = 7")
    running = asyncio.create_task(bench.run_sources("print('up', flush=True)\nimport time\ntime.sleep(600)"))
    await bench.log.up.wait()
    assert bench.worker.interrupt()
    assert (await running)[1].endswith("KeyboardInterrupt: ")
    assert bench.worker.reusable
    assert (await bench.run_sources("print(kept)"))[2] == ["7\n"]


async def test_one_plan_at_a_time(bench: Bench) -> None:
    running = asyncio.create_task(bench.run_sources("print('one')"))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="cannot run this plan"):
        await bench.run_sources("print('two')")
    assert (await running)[2] == ["one\n"]


@pytest.mark.parametrize(
    ("source", "seconds", "ends"),
    [
        ("while True: pass", 3, Reason.TIMED_OUT),
        ("import os; os._exit(3)", 60, Reason.KERNEL_DIED),
        ("print('x' * 5_000_000)", 60, Reason.CELL_FAILED),
        ("raise SystemExit", 60, Reason.SUCCEEDED),
        ("exit()", 60, Reason.SUCCEEDED),
    ],
)
async def test_what_costs_the_kernel_costs_the_worker(bench: Bench, source: str, seconds: float, ends: Reason) -> None:
    outcome, _, _ = await bench.run_sources(source, "raise ValueError", seconds=seconds)
    assert outcome == ends
    assert not bench.worker.reusable


async def test_a_stop_of_this_plan_ends_it(bench: Bench) -> None:
    running = asyncio.create_task(bench.run_sources("print('up', flush=True)\nwhile True: pass"))
    await bench.log.up.wait()
    bench.stop.trip(Cause.INTERRUPTED, "the caller has left")
    assert (await running)[0] == INTERRUPTED
    assert not bench.worker.reusable


async def test_workers_of_one_process_leave_each_other_and_other_children_alone(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other")
    child = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); print(p.pid)"
    mine = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        await bench.run_sources("kept = 1")
        pid = int((await other.run_sources(child))[2][0])
        await other.worker.stop()
        end = time.monotonic() + 30
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        assert mine.returncode is None
        assert (await bench.run_sources("print(kept)"))[2] == ["1\n"]
    finally:
        mine.kill()
        await mine.wait()
        await other.worker.stop()
        other.stop.close()
        other.space.remove()
