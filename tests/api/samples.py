"""Small notebooks with contracts, as data: what the API's tests publish and run."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.notebook_file import SAVE, notebook_file

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


def write_folder(folder: Path) -> None:
    """Every sample as files of a notebooks folder, and one that is broken."""
    folder.mkdir()
    for name, cells in NOTEBOOKS.items():
        (folder / f"{name}.ipynb").write_bytes(notebook_file(cells))
        if name in CONTRACTS:
            (folder / f"{name}.config.json").write_text(json.dumps(CONTRACTS[name]))
    (folder / "broken.ipynb").write_text("{")
