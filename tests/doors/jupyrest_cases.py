"""What jupyrest answers, request by request, and what Podbook's doors must answer: one table for both backends.

The answers were recorded from jupyrest 0.2.0; those of the first generation follow its documentation. Members that differ in every run
are compared by shape.
"""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from tests.support.notebook_file import code_cell, markdown_cell, notebook_document

__all__ = ["FIRST", "MODELS", "NOTEBOOKS", "OWN", "SECOND", "Answer", "walk_first", "walk_second", "write_notebooks"]

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NAIVE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
SAVE = "from jupyrest import save_output\n"
ANALYSIS = {
    "input": {"type": "object", "properties": {"customer_name": {"type": "string"}}, "required": ["customer_name"]},
    "output": {"type": "object", "properties": {"needs_discount": {"type": "boolean"}}, "required": ["needs_discount"]},
}


def _notebook(*sources: str) -> bytes:
    first, *rest = sources
    cells = [markdown_cell("# About"), code_cell(first, "parameters"), *map(code_cell, rest)]
    return json.dumps(notebook_document(cells)).encode()


NOTEBOOKS: Mapping[str, tuple[bytes, Mapping[str, Any] | None]] = {
    "analysis": (
        _notebook(
            "customer_name = 'nobody'",
            "print('looking at', customer_name)",
            SAVE + "save_output(data='{\"needs_discount\": false}')",
            "if customer_name == 'contoso': raise ValueError('no such customer')",
        ),
        ANALYSIS,
    ),
    "free": (_notebook("a = 1", SAVE + "save_output({'a': a})"), None),
    "silent": (_notebook("seconds = 0", "import time; time.sleep(seconds)"), {"id": "quiet-one"}),
    "wrong": (_notebook("x = 1", SAVE + "save_output({'x': 'text'})"), {"output": {"properties": {"x": {"type": "integer"}}}}),
    "typed": (
        _notebook(
            "from jupyrest.nbschema import NbSchemaBase\nimport datetime\nclass Stay(NbSchemaBase):\n"
            "    start: datetime.datetime\n    title: str\n",
            SAVE + "first = stays[0]\nsave_output({'kind': type(first).__name__, 'stay': first, 'year': first.start.year})",
        ),
        {"input": {"type": "object", "properties": {"stays": {"type": "array", "items": {"$ref": "nbschema://stay"}}}}},
    ),
}
"""By name: the file and the contract, None where there is none."""

MODELS: Mapping[str, Mapping[str, Any]] = {
    "stay": {
        "title": "Stay",
        "type": "object",
        "properties": {
            "start": {"title": "Start", "type": "string", "format": "date-time"},
            "title": {"title": "Title", "type": "string"},
        },
        "required": ["start", "title"],
    }
}
"""Schemas in ``models/``, by alias: what pydantic 1 makes of the class in the notebook."""


def write_notebooks(folder: Path) -> None:
    """A notebooks folder with all of these, and one in a folder below it."""
    (folder / "models").mkdir(parents=True)
    for alias, schema in MODELS.items():
        (folder / "models" / f"{alias}.json").write_text(json.dumps(schema))
    nested: dict[str, tuple[bytes, Mapping[str, Any] | None]] = {"sub/nested": (NOTEBOOKS["free"][0], {})}
    for name, (notebook, contract) in {**NOTEBOOKS, **nested}.items():
        path = folder / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(notebook)
        if contract is not None:
            path.with_suffix(".config.json").write_text(json.dumps(contract))


Answer = tuple[str, str, bytes | None, int, Any]
"""Method, address, JSON body, status, and the whole answer."""


def _missing(*place: str) -> dict[str, Any]:
    return {"detail": [{"loc": list(place), "msg": "field required", "type": "value_error.missing"}]}


def _no_dict(*place: str) -> dict[str, Any]:
    return {"detail": [{"loc": list(place), "msg": "value is not a valid dict", "type": "type_error.dict"}]}


_BROKEN_JSON = {
    "detail": [
        {
            "type": "json_invalid",
            "loc": ["body", 1],
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": "Unterminated string starting at"},
        }
    ]
}
_OLD = "/api/NotebookExecutions"
FIRST: tuple[Answer, ...] = (
    ("POST", _OLD, b'{"notebook": "analysis"}', 422, _missing("body", "parameters")),
    ("POST", _OLD, b'{"parameters": {}}', 422, _missing("body", "notebook")),
    ("POST", _OLD, b"", 422, _missing("body")),
    ("POST", _OLD, b"[1]", 422, _no_dict("body")),
    ("POST", _OLD, b'{"a', 422, _BROKEN_JSON),
    ("POST", _OLD, b'{"notebook": "analysis", "parameters": 3}', 422, _no_dict("body", "parameters")),
    ("POST", _OLD, b"null", 422, _missing("body")),
    ("POST", _OLD, b'{"notebook": 1, "parameters": []}', 404, {"detail": "Notebook 1 not found."}),
    (
        "POST",
        _OLD,
        b'{"notebook": [1], "parameters": null}',
        422,
        {
            "detail": [
                {"loc": ["body", "notebook"], "msg": "str type expected", "type": "type_error.str"},
                {"loc": ["body", "parameters"], "msg": "none is not an allowed value", "type": "type_error.none.not_allowed"},
            ]
        },
    ),
    (
        "POST",
        _OLD,
        b'{"notebook": "analysis", "parameters": {}}',
        400,
        {"detail": "Input schema validation error: /customer_name: is missing; expected a string"},
    ),
    ("POST", _OLD, b'{"notebook": "nothing", "parameters": {}}', 404, {"detail": "Notebook nothing not found."}),
    ("POST", _OLD, b'{"notebook": "../analysis", "parameters": {}}', 404, {"detail": "Notebook ../analysis not found."}),
    ("POST", _OLD, b'{"notebook": "free", "parameters": {"1x": 1}}', 400, None),
    ("POST", _OLD, b'{"notebook": "free", "parameters": {"a": NaN}}', 400, None),
    ("GET", _OLD, None, 422, _missing("query", "executionId")),
    ("GET", f"{_OLD}?executionId=none", None, 404, {"detail": "Execution none not found."}),
    ("GET", f"{_OLD}?executionId=../../x", None, 404, {"detail": "Execution ../../x not found."}),
    (
        "GET",
        f"{_OLD}?executionId=none&html=perhaps",
        None,
        422,
        {"detail": [{"loc": ["query", "html"], "msg": "value could not be parsed to a boolean", "type": "type_error.bool"}]},
    ),
    ("DELETE", _OLD, None, 405, {"detail": "Method Not Allowed"}),
)
"""Of the first generation. None: any answer with a ``detail``."""


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "data": {}}


_PERMITTED = ["html", "ipynb", "html_report", "output", "exception"]
SECOND: tuple[Answer, ...] = (
    (
        "GET",
        "/api/notebooks/analysis",
        None,
        200,
        {"notebook_id": "analysis", "input_schema": ANALYSIS["input"], "output_schema": ANALYSIS["output"]},
    ),
    (
        "GET",
        "/api/notebooks/typed",
        None,
        200,
        {
            "notebook_id": "typed",
            "input_schema": {
                "type": "object",
                "properties": {"stays": {"type": "array", "items": {"$ref": "#/definitions/stay"}}},
                "definitions": MODELS,
            },
            "output_schema": {},
        },
    ),
    ("GET", "/api/notebooks/quiet-one", None, 200, {"notebook_id": "quiet-one", "input_schema": {}, "output_schema": {}}),
    ("GET", "/api/notebooks/none", None, 404, _error("NOTEBOOK_NOT_FOUND", "Notebook none not found.")),
    ("GET", "/api/notebooks/free", None, 404, _error("NOTEBOOK_NOT_FOUND", "Notebook free not found.")),
    ("POST", "/api/notebooks/none/execute", b'{"parameters": {}}', 404, _error("NOTEBOOK_NOT_FOUND", "Notebook none not found.")),
    ("POST", "/api/notebooks/analysis/execute", b"{}", 422, _missing("body", "parameters")),
    ("POST", "/api/notebooks/analysis/execute", b"", 422, _missing("body")),
    ("POST", "/api/notebooks/analysis/execute", b'{"a', 422, _BROKEN_JSON),
    ("POST", "/api/notebooks/analysis/execute", b'{"parameters": 3}', 422, _no_dict("body", "parameters")),
    ("POST", "/api/notebooks/analysis/execute", b"[1]", 422, _no_dict("body")),
    ("POST", "/api/notebooks/analysis/execute", b"null", 422, _missing("body")),
    (
        "POST",
        "/api/notebooks/analysis/execute",
        b'{"parameters": null}',
        422,
        {
            "detail": [
                {"loc": ["body", "parameters"], "msg": "none is not an allowed value", "type": "type_error.none.not_allowed"},
            ]
        },
    ),
    (
        "POST",
        "/api/notebooks/analysis/execute",
        b'{"parameters": {"customer_name": 1}}',
        400,
        _error(
            "INVALID_INPUT_SCHEMA",
            "The input parameters do not match the schema for the notebook. "
            "Details: /customer_name: is a number (1); expected a string",
        ),
    ),
    (
        "GET",
        "/api/notebook_executions/abc",
        None,
        404,
        _error("NOTEBOOK_EXECUTION_NOT_FOUND", "Notebook execution abc not found."),
    ),
    (
        "GET",
        "/api/notebook_executions/abc/artifacts/html",
        None,
        404,
        _error("NOTEBOOK_EXECUTION_NOT_FOUND", "Notebook execution abc not found."),
    ),
    (
        "GET",
        "/api/notebook_executions/abc/artifacts/zip",
        None,
        422,
        {
            "detail": [
                {
                    "loc": ["path", "artifact_type"],
                    "msg": "value is not a valid enumeration member; permitted: " + ", ".join(f"'{item}'" for item in _PERMITTED),
                    "type": "type_error.enum",
                    "ctx": {"enum_values": _PERMITTED},
                }
            ]
        },
    ),
    ("PUT", "/api/notebooks", None, 405, {"detail": "Method Not Allowed"}),
)
"""Of 0.2."""

OWN: Mapping[tuple[str, str, bytes | None], str] = {
    (
        "POST",
        "/api/notebooks/analysis/execute",
        b'{"parameters": {"customer_name": 1}}',
    ): "what is wrong with the parameters is said in Podbook's words, and not in those of the jsonschema package",
}
"""Requests of :data:`SECOND` that 0.2.0 itself answers with the same status and another text, with the reason."""


def walk_first(client: httpx.Client) -> None:
    """The walk of the first generation's README, and what became of a notebook that raises."""
    parameters = {"customer_name": "microsoft"}
    made = client.post(_OLD, json={"notebook": "analysis", "parameters": parameters})
    assert made.status_code == 200, made.text
    identity = made.json()["id"]
    assert UUID.fullmatch(identity)
    known = {"id": identity, "status": "COMPLETED", "notebook": "analysis", "parameters": parameters}
    assert made.json() == known

    def read(**flags: str) -> Any:
        answer = client.get(_OLD, params={"executionId": identity, **flags})
        assert answer.status_code == 200, answer.text
        return answer

    assert read().json() == {**known, "exception": None}
    assert read(output="true").json() == {**known, "exception": None, "output": {"needs_discount": False}}
    page, report = read(html="true").json()["html"], read(html="true", report="true").json()["html"]
    assert "looking at microsoft" in page
    assert "print(" in page.replace("</span>", "").replace('<span class="nb">', "").replace('<span class="p">', "")
    assert "looking at microsoft" in report
    assert "customer_name" not in report
    notebook = read(ipynb="true").json()["ipynb"]
    assert isinstance(notebook, str)
    assert json.loads(notebook)["nbformat"] == 4
    viewed = read(view_html="true")
    assert viewed.headers["content-type"].startswith("text/html")
    assert "sandbox" in viewed.headers["content-security-policy"]
    assert viewed.text == page
    assert read(view_html="1", report="1").text == report

    failed = client.post(_OLD, json={"notebook": "analysis", "parameters": {"customer_name": "contoso"}})
    assert (failed.status_code, failed.json()["status"]) == (200, "FAILED")
    identity = failed.json()["id"]
    told = read(output="true", html="true").json()
    assert told["exception"].startswith(
        "An error occurred while executing the following cell:\n------------------\nif customer_name"
    )
    assert "no such customer" in told["exception"]
    assert told["output"] == {"needs_discount": False}
    assert "no such customer" in told["html"]

    free = client.post(_OLD, json={"notebook": "free", "parameters": {"a": [1, {"b": None}]}})
    assert free.json()["status"] == "COMPLETED"
    identity = free.json()["id"]
    assert read(output="true").json()["output"] == {"a": [1, {"b": None}]}
    silent = client.post(_OLD, json={"notebook": "silent", "parameters": {}})
    identity = silent.json()["id"]
    assert read(output="true").json()["output"] is None
    wrong = client.post(_OLD, json={"notebook": "wrong", "parameters": {}})
    assert wrong.json()["status"] == "COMPLETED"
    identity = wrong.json()["id"]
    told = read(output="true").json()
    assert told["output"] == {"x": "text"}
    assert told["output_validation"]["is_valid"] is False
    assert "/x" in told["output_validation"]["error"]


def walk_second(client: httpx.Client, *, original: bool = False) -> None:
    """What 0.2's own client does, step by step.

    Args:
        client: of the server.
        original: whether that is jupyrest itself, which sandboxes no page and passes over outputs that break their schema.
    """
    ids = client.get("/api/notebooks").json()["notebooks"]
    assert {"analysis", "quiet-one", "wrong", "typed"} <= set(ids)
    assert "free" not in ids

    done = _executed(client, "analysis", {"customer_name": "microsoft"})
    base = f"/api/notebook_executions/{done['execution_id']}"
    assert done["execution_completion_status"] == "SUCCEEDED"
    assert (done["has_output"], done["has_exception"]) == (True, False)
    assert done["artifacts"] == {kind: f"{base}/artifacts/{kind}" for kind in ("output", "html", "ipynb", "html_report")}
    output, page, report, notebook = (client.get(done["artifacts"][kind]) for kind in ("output", "html", "html_report", "ipynb"))
    assert output.json() == {"needs_discount": False}
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert original or "sandbox" in report.headers["content-security-policy"]
    assert "customer_name" not in report.text
    assert notebook.headers["content-type"] == "application/json"
    assert notebook.json()["nbformat"] == 4
    none = client.get(f"{base}/artifacts/exception")
    assert none.status_code == 404
    told = "ExecutionArtifactType.EXCEPTION" if original else "exception"
    assert none.json() == _error("NOTEBOOK_EXECUTION_ARTIFACT_NOT_FOUND", f"Notebook execution artifact {told} not found.")

    failed = _executed(client, "analysis", {"customer_name": "contoso"})
    assert failed["execution_completion_status"] == "FAILED"
    assert (failed["has_output"], failed["has_exception"]) == (True, True)
    exception = client.get(failed["artifacts"]["exception"])
    assert exception.headers["content-type"] == "text/plain; charset=utf-8"
    assert exception.text.startswith(
        "An error occurred while executing the following cell:\n------------------\n"
        "if customer_name == 'contoso': raise ValueError('no such customer')\n------------------\n\n\n\x1b[31m"
    )
    assert exception.text.endswith("\x1b[31mValueError\x1b[39m: no such customer\n")

    quiet = _executed(client, "quiet-one", {"seconds": 0})
    assert (quiet["has_output"], quiet["has_exception"], quiet["notebook_id"]) == (False, False, "quiet-one")
    assert set(quiet["artifacts"]) == {"html", "ipynb", "html_report"}

    wrong = _executed(client, "wrong", {})
    assert (wrong["execution_completion_status"], wrong["has_output"], wrong["has_exception"]) == ("SUCCEEDED", True, False)
    assert original or wrong["output_validation"]["is_valid"] is False

    typed = _executed(client, "typed", {"stays": [{"start": "2021-01-01T00:00:00", "title": "one"}]})
    assert client.get(typed["artifacts"]["output"]).json() == {
        "kind": "Stay",
        "stay": {"start": "2021-01-01T00:00:00", "title": "one"},
        "year": 2021,
    }

    # As FastAPI with pydantic 1: an empty list is an empty object, JSON needs no media type, and a slash too many is taken away.
    lenient = client.post("/api/notebooks/quiet-one/execute", content=b'{"parameters": [], "more": 1}')
    assert (lenient.status_code, lenient.json()["status"]) == (202, "ACCEPTED")
    moved = client.post("/api/notebooks/quiet-one/execute/", json={"parameters": {}})
    assert moved.status_code == 307
    assert moved.headers["location"].endswith("/api/notebooks/quiet-one/execute")

    slow = client.post("/api/notebooks/quiet-one/execute", json={"parameters": {"seconds": 5}}).json()
    early = client.get(f"/api/notebook_executions/{slow['execution_id']}/artifacts/html")
    assert early.status_code == 400
    assert early.json()["code"] == "INVALID_EXECUTION_STATE"
    assert early.json()["message"].startswith(
        "The notebook execution is not in a valid state to perform this action. Current status: "
    )
    assert early.json()["message"].endswith("Expected status: ['COMPLETED']")
    waiting = client.get(f"/api/notebook_executions/{slow['execution_id']}").json()
    assert waiting["status"] in ("ACCEPTED", "EXECUTING")
    assert all(waiting[name] is None for name in ("execution_end_ts", "has_output", "has_exception", "artifacts"))


def _executed(client: httpx.Client, notebook: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run it and poll, as the client does."""
    accepted = client.post(f"/api/notebooks/{notebook}/execute", json={"parameters": parameters})
    assert accepted.status_code == 202, accepted.text
    assert set(accepted.json()) == {"execution_id", "status", "notebook_id"}
    assert (accepted.json()["status"], accepted.json()["notebook_id"]) == ("ACCEPTED", notebook)
    identity = accepted.json()["execution_id"]
    assert UUID.fullmatch(identity)
    for _ in range(240):
        answer = client.get(f"/api/notebook_executions/{identity}")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        if told["status"] == "COMPLETED":
            times = [told[f"execution_{name}_ts"] for name in ("accepted", "start", "end")]
            assert all(NAIVE.fullmatch(moment) for moment in times)
            assert times[1] <= times[2]  # Kubernetes tells seconds
            assert told["parameters"] == parameters
            return told
        time.sleep(0.5)
    raise AssertionError(f"{notebook} did not end: {told}")
