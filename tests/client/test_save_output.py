"""What ``save_output`` accepts, refuses and emits."""

import json
import math
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel
from tests.support.notebook_file import code_cell, notebook_document

from podbook import save_output
from podbook.output import OUTPUT_MIME, OUTPUT_NAME


class Colour(Enum):
    RED = "red"


class Grade(IntEnum):
    TOP = 1


@dataclass
class Point:
    x: float
    when: date


class Place(BaseModel):
    name: str
    opened: date


def saved(value: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """The output that was saved, in a process without a kernel."""
    save_output(value)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ({"a": [1, (2, 3)], "é": None}, {"a": [1, [2, 3]], "é": None}),
        ('{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        ('"a text"', "a text"),
        ("17", 17),
        ({1: "a", False: "b", None: "c", 2.5: "d"}, {"1": "a", "false": "b", "null": "c", "2.5": "d"}),
        (OrderedDict(z=1, a=2), {"z": 1, "a": 2}),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        ([date(2026, 1, 2), time(3, 4)], ["2026-01-02", "03:04:00"]),
        (Colour.RED, "red"),
        ({Colour.RED: Grade.TOP}, {"red": 1}),
        (Point(1.5, date(2026, 1, 2)), {"x": 1.5, "when": "2026-01-02"}),
        ([Place(name="x", opened=date(2026, 1, 2))], [{"name": "x", "opened": "2026-01-02"}]),
    ],
)
def test_values_become_json(value: Any, expected: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert saved(value, capsys) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.bool_(True), True),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(5), 5),
        ({np.int64(4): np.str_("x")}, {"4": "x"}),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Timestamp("2026-01-02T03:04"), "2026-01-02T03:04:00"),
        (pd.Series(pd.to_datetime(["2026-01-02"])), ["2026-01-02T00:00:00"]),
        (pd.DataFrame({"a": [1, 2]}).to_dict(), {"a": {"0": 1, "1": 2}}),
        (pd.DataFrame({"a": [1]}).to_dict("records"), [{"a": 1}]),
    ],
)
def test_numpy_and_pandas_values_become_json(value: Any, expected: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert saved(value, capsys) == expected


def circle() -> list[Any]:
    inner: list[Any] = []
    inner.append({"back": inner})
    return inner


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("microsoft", "'microsoft' is not valid JSON"),
        ("{'a': 1}", "Pass the value itself"),
        ("", "Pass the value itself"),
        ("[" * 100_000, "nested too deeply"),
        ({"prices": [1.0, 2.0, math.nan]}, r"nan at \$\.prices\[2\]"),
        ({"a": {"b": math.inf}}, r"inf at \$\.a\.b"),
        ('{"a": NaN}', r"nan at \$\.a"),
        ('{"a": 1e999}', r"inf at \$\.a"),
        (np.array([1.0, np.nan]), r"nan at \$\[1\]"),
        ([pd.NaT], r"NaT .* at \$\[0\]"),
        ({math.nan: 1}, "nan at .*in a key"),
        ({1: "a", "1": "b"}, r"two keys of the object at \$ both become '1'"),
        (circle(), r"contains itself at \$\[0\]\.back"),
        (deep(), "nested too deeply"),
        ({"a": "\ud800"}, r"the text at \$\.a is not valid Unicode"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_place(value: Any, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=problem):
        save_output(value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": object()}, r"type object at \$\.a, which JSON cannot represent"),
        ({"a": {1}}, r"type set at \$\.a, which has no order"),
        (b"x", "PODBOOK_OUTPUT_DIR"),
        (pd.DataFrame({"a": [1]}), r"to_dict\(orient='records'\)"),
        ([pd.NA], r"\$\[0\]"),
        (Place, r"type .* at \$"),
        (np.datetime64("2026-01-02T00:00:00.000000001"), r"numpy\.datetime64 at \$"),
        (np.array(["2026-01-02"], dtype="datetime64[ns]"), r"numpy\.ndarray at \$"),
        (np.longdouble(1), r"numpy\.longdouble at \$"),
        ({(1, 2): 3}, r"a key of the object at \$ is of type tuple"),
    ],
)
def test_values_json_cannot_say_are_refused_by_type(value: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        save_output(value)


def test_the_same_object_twice_is_no_circle(capsys: pytest.CaptureFixture[str]) -> None:
    shared = [1]
    assert saved({"a": shared, "b": shared}, capsys) == {"a": [1], "b": [1]}


def test_in_a_kernel_the_output_is_a_scrap(tmp_path: Path) -> None:
    sources = [
        "from podbook import save_output\nsave_output({'customer': 'é', 'n': 1})",
        "save_output('{\"a\": [1.5, null]}')",
        "from jupyrest import save_output as old_name\nold_name(data=[1], display=False)",
    ]
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    source.write_text(json.dumps(notebook_document(code_cell(text) for text in sources)))
    subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", source, target], check=True, cwd=tmp_path)

    executed = json.loads(target.read_text())
    outputs = [cell["outputs"] for cell in executed["cells"]]
    expected = ['{"customer": "é", "n": 1}', '{"a": [1.5, null]}', "[1]"]
    assert outputs == [
        [
            {
                "output_type": "display_data",
                "data": {
                    OUTPUT_MIME: {"name": OUTPUT_NAME, "data": text, "encoder": "text", "version": 1},
                },
                "metadata": {"scrapbook": {"name": OUTPUT_NAME, "data": True, "display": False}},
            }
        ]
        for text in expected
    ]
    assert OUTPUT_MIME == "application/scrapbook.scrap.text+json"
    assert OUTPUT_NAME == "nbschema_outputs"


def test_in_a_terminal_ipython_the_output_is_printed(tmp_path: Path) -> None:
    code = "from podbook import save_output; save_output({'a': 1})"
    run = subprocess.run(
        [sys.executable, "-m", "IPython", "--quick", "--no-banner", "--ipython-dir", tmp_path, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert json.loads(run.stdout) == {"a": 1}
