"""Small notebooks with contracts, as data: what the API's tests publish and run."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAVE = (
    "import json\n"
    "from IPython.display import display\n"
    "def save(value):\n"
    "    data = {'name': 'nbschema_outputs', 'data': json.dumps(value), 'encoder': 'text', 'version': 1}\n"
    "    display({'application/scrapbook.scrap.text+json': data}, raw=True)\n"
)
MIRROR = """
import os, pathlib
folder, target = pathlib.Path(os.environ['PODBOOK_INPUT_DIR']), pathlib.Path(os.environ['PODBOOK_OUTPUT_DIR'])
names = sorted(path.name for path in folder.iterdir())
(target / 'image.png').write_bytes((folder / names[0]).read_bytes())
(target / 'notes').mkdir()
(target / 'notes' / 'page one.html').write_text('<script>alert(1)</script>')
"""
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
"""The smallest PNG image."""

NOTEBOOKS: Mapping[str, list[str]] = {
    "double": ["x = 1\nnote = ''", SAVE + "print('doubling', x)\nsave({'twice': 2 * x})"],
    "quiet": ["level = 0", "print('nothing to say')"],
    "sleeper": ["seconds = 60", "print('asleep', flush=True)\nimport time; time.sleep(seconds)", SAVE + "save({'slept': seconds})"],
    "raising": ["customer = 'nobody'", "raise ValueError(f'no such customer: {customer}')"],
    "mirror": [
        "caption = ''",
        MIRROR,
        SAVE + "save({'names': names, 'caption': caption})",
    ],
    "table": ["rows = []", SAVE + "save({'count': len(rows)})"],
}
CONTRACTS: Mapping[str, Mapping[str, Any]] = {
    "double": {
        "title": "Double a number",
        "description": "Twice as much.",
        "input": {
            "type": "object",
            "properties": {
                "x": {"type": "integer", "minimum": -1000, "maximum": 1000},
                "note": {"type": "string", "maxLength": 50},
            },
            "required": ["x"],
            "additionalProperties": False,
        },
        "output": {"type": "object", "properties": {"twice": {"type": "integer"}}, "required": ["twice"]},
    },
    "sleeper": {
        "input": {"type": "object", "properties": {"seconds": {"type": "number", "minimum": 0}}, "additionalProperties": False}
    },
    "raising": {"output": {"type": "object", "required": ["never"]}},
    "mirror": {
        "input": {"type": "object", "properties": {"caption": {"type": "string"}}, "additionalProperties": False},
        "output": {
            "type": "object",
            "properties": {"names": {"type": "array", "items": {"type": "string"}}, "caption": {"type": "string"}},
            "required": ["names"],
        },
    },
    "table": {
        "input": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "definitions": {
                "row": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "span": {"type": "array", "items": [{"type": "integer"}, {"type": "integer"}]},
                    },
                    "required": ["name"],
                }
            },
            "properties": {"rows": {"type": "array", "items": {"$ref": "#/definitions/row"}}},
            "required": ["rows"],
            "additionalProperties": False,
        },
        "output": {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]},
    },
}


def notebook(cells: list[str]) -> bytes:
    """A notebook file of code cells; the first one holds the parameters."""
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell-{number}",
                    "metadata": {"tags": ["parameters"]} if number == 0 else {},
                    "execution_count": None,
                    "outputs": [],
                    "source": source,
                }
                for number, source in enumerate(cells)
            ],
        }
    ).encode()


def write_folder(folder: Path) -> None:
    """Every sample as files of a notebooks folder, and one that is broken."""
    folder.mkdir()
    for name, cells in NOTEBOOKS.items():
        (folder / f"{name}.ipynb").write_bytes(notebook(cells))
        if name in CONTRACTS:
            (folder / f"{name}.config.json").write_text(json.dumps(CONTRACTS[name]))
    (folder / "broken.ipynb").write_text("{")
