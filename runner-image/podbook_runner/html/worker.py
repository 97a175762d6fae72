"""The process that turns the executed notebook into HTML, with nbconvert.

A process of its own, because a document can keep a Markdown parser busy for hours and only a process can be killed; and because it
can import nbconvert and compile the templates on another core while the cells run. It reads one JSON request from standard input,
answers with one JSON line and ends; it also ends when standard input closes.
"""

import contextlib
import gc
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podbook_runner.html.repair import repaired
from podbook_runner.lazy_import import imported_late

if TYPE_CHECKING:
    from jinja2 import BytecodeCache

__all__ = ["main", "make_exporter", "warm_up"]

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


_SIMPLE: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "img:not([alt])": ("img", {"alt": False}, None),
    ".jp-Notebook div.jp-Cell-inputWrapper": ("div", {"class": "jp-Cell-inputWrapper"}, "jp-Notebook"),
    ".jp-Notebook div.jp-OutputArea-output": ("div", {"class": "jp-OutputArea-output"}, "jp-Notebook"),
}
"""The selectors nbconvert asks for, as element, attributes and class of an ancestor."""


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
        _render(exporter, _notebook(repaired(json.loads(Path(request["notebook"]).read_bytes()))), request)
        problem = None
    except Exception as error:  # noqa: BLE001 - whatever a notebook makes nbconvert raise is one answer
        # What follows the first line repeats parts of the document.
        problem = f"{type(error).__name__}: {error}".partition("\n")[0][:500]
    print(json.dumps({"error": problem}), flush=True)  # noqa: T201 - standard output is the answer channel


def make_exporter(templates: "BytecodeCache | None") -> Any:
    """An exporter of nbconvert's, for pages that need nothing but themselves.

    Args:
        templates: holds compiled templates; None to compile them.
    """
    # Compiling soupsieve's grammar of CSS takes longer than rendering most notebooks; _Soup does without it.
    with imported_late("soupsieve"):
        from nbconvert.exporters import html  # noqa: PLC0415
    # nbconvert would import all of IPython for its lexers, which IPython has from a package of their own.
    with contextlib.suppress(ImportError):
        import ipython_pygments_lexers  # noqa: PLC0415

        sys.modules.setdefault("IPython.lib.lexers", ipython_pygments_lexers)
    module: Any = html
    module.BeautifulSoup = _quick_soup(module.BeautifulSoup)
    exporter = module.HTMLExporter(template_name="lab")
    for name in _ADDRESSES:
        if exporter.has_trait(name):
            setattr(exporter, name, "")
    exporter.environment.bytecode_cache = templates
    return exporter


def warm_up(exporter: Any) -> None:
    """Render a small notebook, so that the next one finds everything loaded."""
    exporter.from_notebook_node(_notebook(_WARM_UP))


def _notebook(document: Any) -> Any:
    from nbformat import from_dict  # noqa: PLC0415

    untyped_from_dict: Callable[[Any], Any] = from_dict
    return untyped_from_dict(document)


def _quick_soup(soup: type[Any]) -> type[Any]:
    """A kind of document that finds by itself what nbconvert selects, and the same as soupsieve would."""

    class _Soup(soup):  # type: ignore[misc]
        def select(self, selector: str, *rest: Any, **options: Any) -> Any:
            if selector not in _SIMPLE or rest or options:
                return super().select(selector, *rest, **options)
            name, attributes, above = _SIMPLE[selector]
            found = self.find_all(name, attributes)
            return found if above is None else [element for element in found if element.find_parent(class_=above) is not None]

    return _Soup


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
