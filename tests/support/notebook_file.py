"""Notebook files (nbformat 4.5) as tests write them: from the sources of their cells."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["PYTHON", "SAVE", "code_cell", "markdown_cell", "notebook_document", "notebook_file"]

PYTHON: Mapping[str, Any] = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
"""Metadata of a notebook for the Python kernel."""
SAVE = (
    "import json\n"
    "from IPython.display import display\n"
    "def save(value):\n"
    "    data = {'name': 'nbschema_outputs', 'data': json.dumps(value), 'encoder': 'text', 'version': 1}\n"
    "    display({'application/scrapbook.scrap.text+json': data}, raw=True)\n"
)
"""Source that defines ``save``, which saves an output as ``save_output`` does and needs nothing but the kernel."""


def code_cell(source: str, *tags: str) -> dict[str, Any]:
    """A code cell that has not run; the tag ``parameters`` marks the cell of parameters."""
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "metadata": metadata, "execution_count": None, "outputs": [], "source": source}


def markdown_cell(source: str) -> dict[str, Any]:
    """A Markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def notebook_document(cells: Iterable[Mapping[str, Any]], metadata: Mapping[str, Any] = PYTHON) -> dict[str, Any]:
    """A notebook; its cells get their ids here, by their place."""
    numbered = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells)]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": dict(metadata), "cells": numbered}


def notebook_file(sources: Iterable[str]) -> bytes:
    """The file of a notebook of code cells; the first one holds the parameters."""
    cells = [code_cell(source, *(["parameters"] if number == 0 else [])) for number, source in enumerate(sources)]
    return json.dumps(notebook_document(cells)).encode()
