"""``podbook kernelgateway`` against the Jupyter Kernel Gateway: the same notebook, the same loop, side by side in one run.

Writes its part of docs/explanation/benchmark.md. Run it with ``make bench-doors``. The original is installed into a folder of its own, unless
``PODBOOK_KERNEL_GATEWAY_PYTHON`` names an interpreter that has it.

    python -m bench.doors [--rounds N] [--requests N] [--executions N]
"""

import argparse
import http.client
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import report

PAGE = Path(__file__).resolve().parent.parent / "docs/explanation/benchmark.md"
VERSION = "3.0.1"
MUST, AIM = 1.5, 1.0
CELLS = [
    "import json, math",
    "# GET /convert\nangle = int(json.loads(REQUEST)['args']['angle'][0])\nprint(json.dumps({'convertedAngle': math.radians(angle)}))",
    "# ResponseInfo GET /created\nprint(json.dumps({'status': 201}))",
    "# GET /created\nprint('made')",
]
TARGETS = {"one cell": "/convert?angle=180", "one cell and ResponseInfo": "/created"}


def main() -> int:
    """Measure, write the table, and say by the exit code whether the musts are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="rounds; in each both take their turn")
    parser.add_argument("--requests", type=int, default=200, help="requests of each in a round")
    parser.add_argument("--executions", type=int, default=15, help="requests that are executions of their own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        original = [_original(folder), "-m", "kernel_gateway"]
        with (
            _served(folder / "podbook", [sys.executable, "-m", "podbook", "kernelgateway"]) as ours,
            _served(folder / "original", original) as theirs,
        ):
            rows, kept = _compared(ours, theirs, options.rounds, options.requests)
        rows += _executions(folder, options.executions)
    machine = f"{os.cpu_count()} processors, Python {platform.python_version()}, {platform.system()}"
    text = (
        f"`podbook kernelgateway` against the Jupyter Kernel Gateway {VERSION}, one kernel each, one connection, on {machine}. "
        f"Repeat it with `make bench-doors`.\n\n{report.table(rows)}"
    )
    report.replace_between(PAGE, "doors", text)
    print(text)
    return 0 if kept else 1


def _compared(ours: int, theirs: int, rounds: int, requests: int) -> tuple[list[report.Row], bool]:
    rows, kept = [], True
    for what, target in TARGETS.items():
        for port in (ours, theirs):
            _timed(port, target, requests // 4)  # the first ones are slower for both
        mine: list[float] = []
        original: list[float] = []
        for _ in range(rounds):
            mine += _timed(ours, target, requests)
            original += _timed(theirs, target, requests)
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            here, there = report.percentile(mine, share), report.percentile(original, share)
            ratio = here / there
            kept = kept and ratio <= MUST
            details = f"{here * 1000:.1f} ms against {there * 1000:.1f} ms, n={len(mine)} each"
            rows.append(report.Row(f"a request, {what}, {name}", f"{ratio:.2f}", f"≤ {MUST}", f"≤ {AIM:.1f}", details))
    return rows, kept


def _timed(port: int, target: str, count: int) -> list[float]:
    """Seconds of each request, one after the other on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    found = []
    for _ in range(count):
        began = time.perf_counter()
        connection.request("GET", target)
        answer = connection.getresponse()
        answer.read()
        found.append(time.perf_counter() - began)
        if answer.status not in (200, 201):
            raise SystemExit(f"{target} was answered with {answer.status}")
    connection.close()
    return found


def _executions(folder: Path, count: int) -> list[report.Row]:
    """A request below /http/, an execution of its own, and beside it a run of the same notebook over the REST API."""
    home = folder / "serve"
    (home / "notebooks").mkdir(parents=True)
    _write(home / "notebooks/bench.ipynb")
    log = home / "log.txt"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "podbook", "serve", "--port", "0"]
        process = subprocess.Popen(command, cwd=home, stdout=output, stderr=output)
    try:
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())) is None:
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        port = int(found[1])
        targets = {"http": ("GET", "/http/bench/convert?angle=180"), "run": ("POST", "/v1/run/bench")}
        seconds: dict[str, list[float]] = {name: [] for name in targets}
        for number in range(count + 1):
            for name, (method, target) in targets.items():
                began = time.perf_counter()
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request(
                    method, target, body=b"{}" if method == "POST" else None, headers={"Content-Type": "application/json"}
                )
                connection.getresponse().read()
                connection.close()
                if number:  # the first one is slower for both
                    seconds[name].append(time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(30)
    here, there = (report.percentile(seconds[name], 0.5) for name in ("http", "run"))
    details = f"{report.spread(seconds['http'])}; a run over the REST API, which makes pages as well, took {there:.2f} s"
    return [
        report.Row(
            "a request below `/http/`, an execution of its own ÷ a run over the REST API, p50",
            f"{here / there:.2f}",
            details=details,
        )
    ]


def _write(notebook: Path) -> None:
    cells: list[dict[str, object]] = [
        {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": source} for source in CELLS
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    notebook.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": cells}))


@contextmanager
def _served(folder: Path, command: Sequence[str]) -> Iterator[int]:
    """A gateway on the notebook; its port."""
    folder.mkdir()
    notebook = folder / "bench.ipynb"
    _write(notebook)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--KernelGatewayApp.api=kernel_gateway.notebook_http", f"--KernelGatewayApp.seed_uri={notebook}"]
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *options, f"--KernelGatewayApp.port={port}"], cwd=folder, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 60
        while re.search(rf"at http://127\.0\.0\.1:{port}", log.read_text()) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _original(folder: Path) -> str:
    """An interpreter that has the original."""
    known = os.environ.get("PODBOOK_KERNEL_GATEWAY_PYTHON")
    if known:
        return known
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = str(folder / "venv/bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", f"jupyter_kernel_gateway=={VERSION}", "ipykernel"], check=True)
    return python


if __name__ == "__main__":
    sys.exit(main())
