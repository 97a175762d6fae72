"""What ``podbook serve`` says at its start."""

import json
import shlex
from typing import Any

import pytest

from podbook_api.serve.banner import Listed, banner
from podbook_core.schema.examples import example_parameters


def text(*notebooks: Listed, keys: bool = False, everywhere: bool = False) -> str:
    return banner(
        "http://127.0.0.1:8000",
        notebooks,
        folder="notebooks",
        data_dir=".podbook",
        max_concurrent=2,
        keys_required=keys,
        anonymous_everywhere=everywhere,
    )


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, {}),
        (True, {}),
        ({"type": "object", "examples": [{"a": 1}]}, {"a": 1}),
        ({"properties": {"a": {"examples": ["x"]}, "b": {"default": 3}}}, {"a": "x"}),
        ({"required": ["b"], "properties": {"a": {"type": "string"}, "b": {"default": 3}}}, {"b": 3}),
        ({"required": ["n"], "properties": {"n": {"type": "integer", "minimum": 7}}}, {"n": 7}),
        ({"required": ["e"], "properties": {"e": {"enum": ["red", "blue"]}}}, {"e": "red"}),
        ({"required": ["r"], "properties": {"r": {"$ref": "#/$defs/r"}}, "$defs": {"r": {"const": 5}}}, {"r": 5}),
        ({"properties": {"a": {"type": ["string", "null"]}}}, {"a": "text"}),
        ({"$ref": "#"}, {}),
    ],
)
def test_an_example_call_is_made_from_the_contract(schema: Any, expected: dict[str, Any]) -> None:
    assert example_parameters(schema) == expected


def test_the_curl_line_survives_a_shell() -> None:
    schema = {"properties": {"name": {"examples": ["O'Neill & sons"]}}}
    line = next(line for line in text(Listed("report", input=schema)).splitlines() if "curl " in line)
    words = shlex.split(line)
    assert words[:2] == ["curl", "http://127.0.0.1:8000/v1/run/report"]
    assert json.loads(words[-1]) == {"name": "O'Neill & sons"}


def test_ready_and_broken_notebooks_are_told_apart() -> None:
    shown = text(Listed("good", title="Good one"), Listed("bad", problem="bad.ipynb: is not valid JSON"))
    assert any(line.split() == ["ready", "good", "Good", "one"] for line in shown.splitlines())
    assert any("BROKEN" in line and "bad.ipynb: is not valid JSON" in line for line in shown.splitlines())


def test_it_says_what_this_mode_does_not_isolate_and_who_may_call() -> None:
    assert "not isolated" in text()
    assert "only this machine is served" in text()
    assert "anyone who can reach this address can run code as you" in text(everywhere=True)
    with_keys = text(Listed("good"), keys=True)
    assert "$PODBOOK_API_KEY" in with_keys
    assert "need no key" not in with_keys
