"""The embedded server: a call against doing the same by hand, and what it costs with 5,000 executions behind it.

Writes its part of docs/explanation/benchmark.md. Run it with ``make bench``. Ratios are of medians, taken side by side in one run.

    python -m bench.embedded [--runs N] [--finished N]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
from bench import report, runner

from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.record import RecordStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.text.names import execution_name

PAGE = Path(__file__).resolve().parent.parent / "docs/explanation/benchmark.md"
PROGRAMS = {
    "runner": "podbook_runner.__main__",
    "embedded server": "podbook_api.serve.app",
    "API": "podbook_api.__main__",
    "operator": "podbook_operator.wiring",
    "`from podbook import save_output`": "podbook",
}


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: psutil.Process

    @property
    def memory(self) -> float:
        """Resident memory of the server and its helpers, in MiB."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family) / 1024**2


def main() -> int:
    """Measure, write the table, and say by the exit code whether the musts are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="runs of each kind (at least 5)")
    parser.add_argument("--finished", type=int, default=5000, help="ended executions behind the server")
    options = parser.parse_args()
    runner.compile_bytecode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, kept = _calls(folder, max(5, options.runs))
        rows += _imports()
        rows += _history(folder, options.finished)
    machine = f"{os.cpu_count()} processors, Python {platform.python_version()}, {platform.system()}"
    text = f"Measured on {machine}. Repeat it with `make bench`.\n\n{report.table(rows)}"
    report.replace_between(PAGE, "embedded", text)
    print(text)
    return 0 if kept else 1


def _calls(folder: Path, runs: int) -> tuple[list[report.Row], bool]:
    """The runner alone and a call over REST, each against the pair by hand, one after the other in every round."""
    cold, by_hand = runner.runner_command(folder), runner.commands_by_hand(folder)
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    (notebooks / "two-cells.ipynb").write_text(json.dumps(runner.NOTEBOOK))
    with _server(folder / "calls", notebooks) as server, httpx.Client(base_url=server.url, timeout=120) as client:

        def call() -> None:
            client.post("/v1/run/two-cells", json={"x": 41}, headers={"Prefer": "wait=100"}).raise_for_status()

        kinds: dict[str, Callable[[], object]] = {
            "pair": lambda: runner.seconds(folder, by_hand),
            "runner": lambda: runner.seconds(folder, [cold]),
            "call": call,
        }
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(runs + 1):
            for kind, work in kinds.items():
                begin = time.perf_counter()
                work()
                if number > 0:  # the first round warms the file system's cache for all of them
                    taken[kind].append(time.perf_counter() - begin)
    pair = statistics.median(taken["pair"])
    ratios = {kind: statistics.median(values) / pair for kind, values in taken.items()}
    hand = f"by hand {report.spread(taken['pair'])}"
    rows = [
        report.Row(
            "runner, cold, two-cell notebook, HTML included ÷ `papermill` then `jupyter nbconvert --to html` by hand",
            f"{ratios['runner']:.2f}",
            "≤ 0.7",
            "≤ 0.45",
            f"{report.spread(taken['runner'])}; {hand}",
        ),
        report.Row(
            "embedded POST → result ÷ the same pair", f"{ratios['call']:.2f}", "≤ 0.75", "≤ 0.5", report.spread(taken["call"])
        ),
    ]
    return rows, ratios["runner"] <= 0.7 and ratios["call"] <= 0.75


def _imports() -> list[report.Row]:
    rows = []
    for title, module in PROGRAMS.items():
        taken = []
        for _ in range(5):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True, capture_output=True)
            taken.append(time.perf_counter() - begin)
        rows.append(report.Row(f"start of Python and import: {title}", f"{statistics.median(taken):.2f} s"))
    return rows


def _history(folder: Path, finished: int) -> list[report.Row]:
    """Memory at rest, and memory and lists with many ended executions in the store."""
    data, empty = folder / "history", folder / "none"
    empty.mkdir()
    with _server(data, empty) as server:
        at_rest = server.memory
    begin = time.perf_counter()
    _fill(DirectoryStore(data / "store"), finished)
    filled = time.perf_counter() - begin
    with _server(data, empty) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        first = [_list(client, {})[0] for _ in range(20)]
        deep, cursor = [], ""
        for _ in range(20):
            taken, cursor = _list(client, {"cursor": cursor} if cursor else {})
            deep.append(taken)
        filtered = [_list(client, {"reason": "CellFailed"})[0] for _ in range(20)]
        memory = server.memory
    return [
        report.Row("memory of the server at rest, its contract checker included", f"{at_rest:.0f} MiB"),
        report.Row(f"memory with {finished:,} ended executions, after listing", f"{memory:.0f} MiB"),
        report.Row(f"first page of 50 of {finished:,}", _milliseconds(first)),
        report.Row("pages 1 to 20 by cursor", _milliseconds(deep)),
        report.Row("first page by reason", _milliseconds(filtered)),
        report.Row(f"closing {finished:,} executions durably (record, index, name)", f"{finished / filled:.0f} per second"),
    ]


def _fill(store: DirectoryStore, finished: int) -> None:
    records = RecordStore(store)
    start = datetime.now(UTC) - timedelta(days=1)
    for number in range(finished):
        created = start + timedelta(seconds=number)
        execution = NotebookExecution(
            metadata=Metadata(name=execution_name("analysis"), uid=str(uuid4()), creation_timestamp=created),
            spec=Spec(notebook=NotebookRef(name="analysis"), parameters={"customer_name": "microsoft"}),
        )
        reason = Reason.CELL_FAILED if number % 10 == 0 else Reason.SUCCEEDED
        status = advance(execution.status, Change(reason=reason), generation=1, now=created)
        records.close(execution.with_status(status), None)


def _list(client: httpx.Client, parameters: dict[str, str]) -> tuple[float, str]:
    begin = time.perf_counter()
    answer = client.get("/v1/executions", params={"limit": "50", **parameters}).raise_for_status()
    taken = time.perf_counter() - begin
    return taken, answer.json().get("nextCursor") or ""


def _milliseconds(values: list[float]) -> str:
    return f"{statistics.median(values) * 1000:.0f} ms ({min(values) * 1000:.0f} to {max(values) * 1000:.0f})"


@contextmanager
def _server(data: Path, notebooks: Path) -> Iterator[Server]:
    log = data.with_suffix(".log")
    command = [sys.executable, "-m", "podbook", "serve", "--port", "0", "--data-dir", str(data), "--notebooks-dir", str(notebooks)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = ""
        while not url:
            if process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
            words = log.read_text().split()
            url = next((word for word in words if word.startswith("http://127.0.0.1:")), "").rstrip("/")
        while not _answers(url):
            time.sleep(0.05)
        yield Server(url.split("/v1", maxsplit=1)[0], psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url.split('/v1', maxsplit=1)[0]}/readyz", timeout=10).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
