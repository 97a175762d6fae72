"""nbconvert, set up for pages that need nothing but themselves, and warmed up."""

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from podbook_runner.lazy_import import imported_late

if TYPE_CHECKING:
    from jinja2 import BytecodeCache

__all__ = ["make_exporter", "notebook_of", "warm_up"]

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
    exporter.from_notebook_node(notebook_of(_WARM_UP))


def notebook_of(document: Any) -> Any:
    """A document as nbconvert takes it."""
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
