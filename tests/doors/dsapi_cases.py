"""What the data-science API's clients ask and get: one table and one walk for both backends, by the document and the source of the original."""

import json
import time
import uuid
from typing import Any

import httpx
from tests.support.notebook_file import code_cell, notebook_document

__all__ = ["CASES", "NOTEBOOKS", "asked", "walk"]

_FEATURES = {
    "type": "object",
    "properties": {"feature_a": {"type": "number"}, "feature_b": {"type": "number"}},
    "required": ["feature_a", "feature_b"],
    "additionalProperties": False,
}


def _notebook(*sources: str) -> bytes:
    first = code_cell(sources[0], "parameters")
    return json.dumps(notebook_document([first, *map(code_cell, sources[1:])])).encode()


NOTEBOOKS: dict[str, tuple[bytes, dict[str, Any] | None]] = {
    "predict": (
        _notebook(
            "feature_a = feature_b = 0.0",
            "from podbook import save_output\nodds = feature_a + feature_b\n"
            "if odds > 100:\n    raise ValueError('out of range')\n"
            "save_output({'class': int(odds > 0), 'class_probabilities': [0.25, 0.75]})",
        ),
        {"input": _FEATURES},
    ),
    "label": (
        _notebook("text = ''", "from podbook import save_output\nsave_output({'text': text})"),
        {"input": {"properties": {"text": {"type": "string"}}}},
    ),
    "rates-slow": (_notebook("n = 1", "from podbook import save_output\nsave_output(n)"), None),
}
"""Notebook and contract by name."""

_NOT_FOUND = {
    "error": True,
    "message": "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.",
}
CASES: list[tuple[str, str, str | None, int, Any]] = [
    ("GET", "/predict/feature_a/1.0/feature_b/1.0", None, 200, {"class": 1, "class_probabilities": [0.25, 0.75]}),
    ("GET", "/predict/feature_b/-3/feature_a/1", None, 200, {"class": 0, "class_probabilities": [0.25, 0.75]}),
    ("GET", "/label", None, 200, {"text": ""}),
    ("GET", "/label/text/a%2Fb%20c", None, 200, {"text": "a/b c"}),
    ("GET", "/label/text/", None, 200, {"text": ""}),
    ("GET", "/rates-slow", None, 200, 1),
    ("GET", "/predict/feature_a/x/feature_b/1.0", None, 400, None),
    ("GET", "/predict/feature_a/1.0", None, 400, None),
    ("GET", "/predict/feature_a/1/feature_b/1/more/1", None, 400, None),
    ("GET", "/predict/feature_a", None, 404, _NOT_FOUND),
    ("GET", "/label/text/%ff", None, 400, {"error": True, "message": "The address must be UTF-8"}),
    ("GET", "/no-such-notebook", None, 404, _NOT_FOUND),
    ("GET", "/predict-slow", None, 404, _NOT_FOUND),
    ("GET", "/predict-slow/none", None, 404, _NOT_FOUND),
    ("GET", f"/predict-slow/{uuid.UUID(int=5)}", None, 404, _NOT_FOUND),
    ("GET", "/predict/feature_a/60/feature_b/60", None, 500, {"error": True, "message": "ValueError: out of range"}),
    ("POST", "/predict-slow", '{"feature_a": "x"', 400, {"error": True, "message": "Invalid request body"}),
    ("POST", "/predict-slow", "[1]", 400, {"error": True, "message": "Invalid request body"}),
    ("POST", "/predict-slow", '{"feature_a": "x", "feature_b": 1}', 400, None),
    ("POST", "/nothing-slow", "{}", 404, _NOT_FOUND),
    ("POST", "/predict", "{}", 405, {"error": True, "message": "The method is not allowed for the requested URL."}),
]
"""Method, path, body, status and answer; None for an answer whose text is Podbook's own."""


def asked(client: httpx.Client, prefix: str) -> None:
    """Ask all of the table."""
    for method, path, body, status, expected in CASES:
        got = client.request(method, prefix + path, content=body)
        assert got.status_code == status, (method, path, got.text)
        answer = got.json()
        assert expected is None or answer == expected
        if status >= 400:
            assert set(answer) == {"error", "message"}
            assert answer["error"] is True
            assert answer["message"]


def walk(client: httpx.Client, prefix: str) -> None:
    """The document's slow task: 202 with an id, 404 until it is there, then 200; a failed one ends as 500."""
    task = _submitted(client, f"{prefix}/predict-slow", {"feature_a": 1.3, "feature_b": -3.2})
    assert _redeemed(client, f"{prefix}/predict-slow/{task}").json() == {"class": 0, "class_probabilities": [0.25, 0.75]}
    assert client.get(f"{prefix}/rates-slow/{task}").status_code == 404  # another notebook's
    assert client.get(f"/v1/executions/{task}").json()["spec"]["notebook"]["name"] == "predict"
    named = _submitted(client, f"{prefix}/rates-slow", {"n": 7})
    assert _redeemed(client, f"{prefix}/rates-slow/{named}").json() == 7
    failed = _submitted(client, f"{prefix}/predict-slow", {"feature_a": 99, "feature_b": 99})
    got = _redeemed(client, f"{prefix}/predict-slow/{failed}")
    assert (got.status_code, got.json()) == (500, {"error": True, "message": "ValueError: out of range"})


def _submitted(client: httpx.Client, address: str, features: dict[str, Any]) -> str:
    got = client.post(address, json=features)
    assert got.status_code == 202, got.text
    assert list(got.json()) == ["id"]
    return str(uuid.UUID(got.json()["id"]))


def _redeemed(client: httpx.Client, address: str) -> httpx.Response:
    """Ask as its clients do, as long as it is not there."""
    for _ in range(600):
        got = client.get(address)
        if got.status_code != 404:
            return got
        assert got.json()["error"] is True
        time.sleep(0.2)
    raise AssertionError(f"{address} stayed 404")
