"""Annotated cells under ``/http/<notebook>/…``: each request an execution of its own."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.server import running

from podbook_api.auth.keys import create_key
from podbook_api.clock import utc_now
from podbook_api.settings import ApiSettings
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import request_key
from podbook_core.upkeep.sweeping import StoreSweep

from .http_cases import ANSWERS, NOTEBOOK, Recorded, asked

STATE = [
    "count = 0",
    "# GET /count\ncount += 1\nprint(count)",
    "# GET /seen\nprint(REQUEST)",
    "# GET /die\nimport os; os._exit(7)",
    "# GET /header\nprint('x')",
    (
        "# ResponseInfo GET /header\nimport json\nprint(json.dumps({'headers': {'Set-Cookie': 'a=b', 'Content-Security-Policy': 'none', "
        "'Access-Control-Allow-Origin': '*', 'X-Fine': 'yes'}}))"
    ),
]


def served(folder: Path, *, keys: Path | None = None, name: str = "api") -> ApiSettings:
    """Settings of a server with the table's notebook and another one."""
    from tests.support.notebook_file import code_cell, notebook_document

    notebooks = folder / "notebooks"
    notebooks.mkdir()
    (notebooks / f"{name}.ipynb").write_bytes(NOTEBOOK)
    (notebooks / "state.ipynb").write_text(json.dumps(notebook_document(map(code_cell, STATE))))
    (notebooks / "plain.ipynb").write_text(json.dumps(notebook_document([code_cell("1")])))
    (notebooks / "state.config.json").write_text('{"input": {"required": ["never"]}, "output": {"type": "object"}}')
    return ApiSettings(data_dir=folder / "data", notebooks_dir=notebooks, keys_file=keys, max_concurrent=2)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server without keys."""
    with running(served(tmp_path_factory.mktemp("http"))) as server:
        yield server.url


@pytest.fixture
def client(address: str) -> Any:
    """A client of it."""
    with httpx.Client(base_url=address, timeout=60) as made:
        yield made


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: f"{case.method} {case.path}")
def test_a_request_is_answered_as_the_gateway_answers(client: httpx.Client, case: Recorded) -> None:
    asked(client, "/http/api", case)


def test_no_state_is_shared_and_the_contract_binds_nothing(client: httpx.Client) -> None:
    assert [client.get("/http/state/count").text for _ in range(2)] == ["1\n", "1\n"]


def test_a_request_is_an_execution_that_keeps_nothing_of_what_its_caller_said(client: httpx.Client) -> None:
    answer = client.post("/http/api/echo/a/in/b?secret=query", content=b"body-secret", headers={"X-Mine": "header-secret"})
    name = answer.headers["podbook-execution"]
    execution = client.get(f"/v1/executions/{name}").json()
    assert execution["spec"]["request"]["method"] == "POST"
    assert (execution["spec"]["request"]["route"], execution["spec"]["request"]["path"]) == (
        "/echo/:first/in/:second",
        "/echo/a/in/b",
    )
    assert execution["status"]["reason"] == "Succeeded"
    notebook = client.get(f"/v1/executions/{name}/notebook").json()
    sources = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert "# POST /echo/a/in/b" in sources
    assert not any("REQUEST = " in source for source in sources)
    assert "secret" not in json.dumps(execution)


def test_what_goes_wrong_is_told_in_the_gateways_shape(client: httpx.Client) -> None:
    died = client.get("/http/state/die")
    assert died.status_code == 500
    assert "KernelDied" in died.text
    for path in ("/http/absent/x", "/http/plain/x", "/http/api", "/http/", "/http/api%2Ftwo"):
        missing = client.get(path)
        assert (missing.status_code, missing.json()) == (404, {"reason": "Not Found", "message": ""}), path


def test_pages_are_untrusted_whatever_a_notebook_says(client: httpx.Client) -> None:
    answer = client.get("/http/state/header")
    assert answer.headers["x-fine"] == "yes"
    assert answer.headers["content-security-policy"] == "sandbox allow-scripts allow-forms"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not {"set-cookie", "access-control-allow-origin"} & set(answer.headers)
    log = client.get(f"/v1/executions/{answer.headers['podbook-execution']}/logs").text
    assert "Set-Cookie was left out" in log


def test_routes_stand_in_the_document(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]["/http/api/things/{id}"]) == {"get"}
    assert document["paths"]["/http/api/two"]["get"]["operationId"] == "http_api_get_two"
    assert not [path for path in document["paths"] if path.startswith("/http/plain")]


def test_the_same_key_is_the_same_execution(client: httpx.Client) -> None:
    first, again = (client.get("/http/state/count", headers={"Idempotency-Key": "one"}) for _ in range(2))
    assert first.headers["podbook-execution"] == again.headers["podbook-execution"]
    other = client.get("/http/state/count?other=1", headers={"Idempotency-Key": "one"})
    assert other.status_code == 422


def test_a_callers_key_is_taken_in_every_way_and_never_reaches_the_notebook(tmp_path: Path) -> None:
    plain, entry = create_key("one", ["notebooks/state/run"], expires=None, now=utc_now())
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [entry.model_dump(mode="json", exclude_none=True)]}))
    with running(served(tmp_path, keys=keys)) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        refused = client.get("/http/state/seen")
        assert (refused.status_code, refused.json()["reason"]) == (401, "Unauthorized")
        assert client.options("/http/state/seen").status_code == 200
        ways: list[dict[str, Any]] = [
            {"headers": {"Authorization": f"token {plain}"}},
            {"headers": {"Authorization": f"Bearer {plain}"}},
            {"headers": {"X-API-Key": plain}},
            {"params": {"token": plain, "q": "1"}},
        ]
        for sent in ways:
            seen = client.get("/http/state/seen", **sent)
            assert seen.status_code == 200, seen.text
            assert plain not in seen.text
        assert client.get("/http/api/two", **ways[0]).status_code == 404


def test_what_a_request_said_is_removed_after_an_hour(tmp_path: Path) -> None:
    store, now = DirectoryStore(tmp_path), utc_now()
    for digest in ("a" * 64, "b" * 64):
        store.put(request_key(digest), b"{}", media_type="application/json")
    assert StoreSweep(store, days=0, clock=lambda: now + timedelta(minutes=59)).remove_requests(set()) == 0
    assert StoreSweep(store, days=0, clock=lambda: now + timedelta(minutes=61)).remove_requests({"b" * 64}) == 1
    assert [store.head(request_key(digest * 64)) is None for digest in "ab"] == [True, False]
