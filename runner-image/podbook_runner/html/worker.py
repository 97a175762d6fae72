"""The process that turns the executed notebook into HTML, with nbconvert.

A process of its own, because a document can keep a Markdown parser busy for hours and only a process can be killed; and because it
can import nbconvert and compile the templates on another core while the cells run. It reads one JSON request from standard input,
answers with one JSON line and ends; it also ends when standard input closes.
"""

import gc
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from podbook_runner.html.exporter import make_exporter, notebook_of, warm_up
from podbook_runner.html.repair import repaired

__all__ = ["main"]


def main() -> None:
    """Warm up, wait for the request, render, answer."""
    warnings.simplefilter("ignore")
    gc.disable()
    from podbook_runner.html.templates import FOLDER, CompiledTemplates  # noqa: PLC0415 - the imports are the warming up

    exporter = make_exporter(CompiledTemplates(str(FOLDER)) if FOLDER.is_dir() else None)
    warm_up(exporter)
    # What was imported and compiled stays; the collector need not examine it.
    gc.freeze()
    gc.enable()
    line = sys.stdin.readline()
    if not line:
        return
    request = json.loads(line)
    try:
        _render(exporter, notebook_of(repaired(json.loads(Path(request["notebook"]).read_bytes()))), request)
        problem = None
    except Exception as error:  # noqa: BLE001 - whatever a notebook makes nbconvert raise is one answer
        # What follows the first line repeats parts of the document.
        problem = f"{type(error).__name__}: {error}".partition("\n")[0][:500]
    print(json.dumps({"error": problem}), flush=True)  # noqa: T201 - standard output is the answer channel


def _render(exporter: Any, notebook: Any, request: dict[str, Any]) -> None:
    resources = {"metadata": {"name": request["title"], "path": ""}}
    if request["html"] is not None:
        Path(request["html"]).write_text(exporter.from_notebook_node(notebook, dict(resources))[0], errors="replace")
    if request["report"] is not None:
        # The same exporter keeps its compiled templates: the second page costs milliseconds.
        exporter.exclude_input = exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
        Path(request["report"]).write_text(exporter.from_notebook_node(notebook, dict(resources))[0], errors="replace")


if __name__ == "__main__":
    main()
