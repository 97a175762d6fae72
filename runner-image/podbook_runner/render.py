"""The process that turns the executed notebook into HTML, with nbconvert.

A process of its own, because a document can keep a Markdown parser busy for hours and only a process can be killed; and because it
can import nbconvert and compile the templates on another core while the cells run. It reads one JSON request from standard input,
answers with one JSON line and ends; it also ends when standard input closes.
"""

import gc
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["main"]

_WARM_UP: dict[str, Any] = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"language_info": {"name": "python", "pygments_lexer": "ipython3"}},
    "cells": [
        {"id": "a", "cell_type": "markdown", "metadata": {}, "source": "# Title\n\ntext with `code`"},
        {
            "id": "b",
            "cell_type": "code",
            "metadata": {},
            "source": "x = 1",
            "execution_count": 1,
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": "text"},
                {"output_type": "execute_result", "data": {"text/plain": "1"}, "metadata": {}, "execution_count": 1},
                {"output_type": "error", "ename": "E", "evalue": "e", "traceback": ["\x1b[0;31mE\x1b[0m: e"]},
            ],
        },
    ],
}
_ADDRESSES = (
    "require_js_url",
    "mathjax_url",
    "mermaid_js_url",
    "mermaid_layout_elk_js_url",
    "jquery_url",
    "jupyter_widgets_base_url",
    "widget_renderer_url",
)
"""Where nbconvert's pages load scripts from; all emptied, so that a page needs nothing but itself."""


def main() -> None:
    """Warm up, wait for the request, render, answer."""
    warnings.simplefilter("ignore")
    gc.disable()
    from nbconvert.exporters.html import HTMLExporter  # noqa: PLC0415 - the import is the warming up
    from nbformat import NotebookNode  # noqa: PLC0415
    from nbformat import from_dict as untyped_from_dict  # noqa: PLC0415

    from_dict: Callable[[Any], NotebookNode] = untyped_from_dict
    exporter: Any = HTMLExporter(template_name="lab")  # type: ignore[no-untyped-call]
    for name in _ADDRESSES:
        if exporter.has_trait(name):
            setattr(exporter, name, "")
    exporter.from_notebook_node(from_dict(_WARM_UP))
    # What was imported and compiled stays; the collector need not look at it again.
    gc.freeze()
    gc.enable()
    line = sys.stdin.readline()
    if not line:
        return
    request = json.loads(line)
    try:
        _render(exporter, from_dict(json.loads(Path(request["notebook"]).read_bytes())), request)
        problem = None
    except Exception as error:  # noqa: BLE001 - whatever a notebook makes nbconvert raise is one answer
        problem = f"{type(error).__name__}: {error}"[:500]
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
