"""The runner, cold, against doing the same by hand: ``papermill`` and then ``jupyter nbconvert --to html``.

Both run a two-cell notebook and end with its HTML, alternating, in one session on one machine; the figure is the ratio of the
medians. Prints a row of a Markdown table. Run it with ``make bench``.

    python -m bench.runner [--runs N] [--must RATIO]
"""

import argparse
import compileall
import hashlib
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import podbook_core
import podbook_runner
from podbook_core.execution.task import Destination, Source, Task

NOTEBOOK: dict[str, Any] = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    },
    "cells": [
        {
            "cell_type": "code",
            "id": "parameters",
            "metadata": {"tags": ["parameters"]},
            "source": "x = 1",
            "outputs": [],
            "execution_count": None,
        },
        {
            "cell_type": "code",
            "id": "sum",
            "metadata": {},
            "source": "print(x + 1)",
            "outputs": [],
            "execution_count": None,
        },
    ],
}


def main() -> int:
    """Measure, print the row, and say by the exit code whether the ratio is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="runs of each kind (at least 5)")
    parser.add_argument("--must", type=float, default=0.7, help="highest ratio that passes")
    options = parser.parse_args()
    compile_bytecode()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runner, by_hand = runner_command(folder), commands_by_hand(folder)
        seconds(folder, by_hand)
        seconds(folder, [runner])
        ours, theirs = [], []
        for _ in range(max(5, options.runs)):
            theirs.append(seconds(folder, by_hand))
            ours.append(seconds(folder, [runner]))
    mine, pair = statistics.median(ours), statistics.median(theirs)
    ratio = mine / pair
    print("| figure | runner | by hand | ratio | must | aim |")
    print("|---|---|---|---|---|---|")
    print(
        f"| runner, cold, two-cell notebook, HTML included ÷ `papermill` then `jupyter nbconvert --to html` "
        f"| {mine:.2f} s | {pair:.2f} s | {ratio:.2f} | ≤ {options.must:g} | ≤ 0.45 |"
    )
    return 0 if ratio <= options.must else 1


def compile_bytecode() -> None:
    """Let both sides find compiled bytecode, as they do in an image."""
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    for code in (*installed, *podbook_runner.__path__, *podbook_core.__path__):
        compileall.compile_dir(code, quiet=2, workers=0)


def runner_command(folder: Path) -> list[str]:
    """A task for the notebook in a folder, and the command that carries it out."""
    content = json.dumps(NOTEBOOK).encode()
    source = folder / "in.ipynb"
    source.write_bytes(content)
    task = Task(
        execution="bench",
        uid="bench",
        notebook_name="two-cells",
        version="0" * 64,
        notebook=Source(source.as_uri(), hashlib.sha256(content).hexdigest()),
        contract=None,
        assets=None,
        inputs=(),
        parameters={"x": 41},
        destination=Destination("directory", (folder / "store").as_uri(), "executions/bench/attempts/"),
        timeout_seconds=120,
    )
    (folder / "task.json").write_bytes(task.to_json())
    return [sys.executable, "-m", "podbook_runner", "--task", str(folder / "task.json"), "--attempt", "1"]


def commands_by_hand(folder: Path) -> list[list[str]]:
    """The two commands that do the same, on the notebook that :func:`runner_command` has put there."""
    programs = Path(sys.executable).parent
    source, executed = folder / "in.ipynb", folder / "out.ipynb"
    return [
        [str(programs / "papermill"), str(source), str(executed), "-p", "x", "41"],
        [str(programs / "jupyter"), "nbconvert", "--to", "html", str(executed)],
    ]


def seconds(folder: Path, commands: Sequence[Sequence[str]]) -> float:
    """Wall time of commands, one after the other."""
    begin = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, cwd=folder, capture_output=True, env=os.environ)
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
