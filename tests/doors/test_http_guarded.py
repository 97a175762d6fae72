"""``/http/<notebook>/…`` where callers need keys: what notebooks must not learn, must not say, and must not be started by."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.support.gateway import write_notebook
from tests.support.server import Server, running

from podbook_api.auth.keys import create_key
from podbook_api.doors.http_notebooks import routes
from podbook_api.settings import ApiSettings

CELLS = [
    "import json, os\nstate = 0",
    "# POST /echo/:name\nstate += 1\nrequest = json.loads(REQUEST)\nprint(json.dumps([state, request]))",
    (
        '# ResponseInfo POST /echo/:name\nprint(json.dumps({"status": 201, "headers": {"Content-Type": "application/json", "X-Own": "1", '
        '"Set-Cookie": "a=1", "Content-Security-Policy": "none", "Podbook-Execution": "forged", "cache-control": "public", '
        '"WWW-Authenticate": "Basic"}}))'
    ),
    "# GET /error\nprint('partly')\nraise ValueError('nope')",
    "# GET /die\nimport signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "# GET /html\nfrom IPython.display import HTML\nHTML('<script>1</script>')",
    "# GET /environment\nprint(os.environ.get('KERNEL_GATEWAY'), sorted(name for name in os.environ if 'TOKEN' in name or 'KEY' in name))",
    (
        "# POST /upload\nrequest = json.loads(REQUEST)\nitem = request['files']['photo'][0]\n"
        "print(json.dumps([item['filename'], item['content_type'], open(item['path'], 'rb').read().decode('latin-1'), request['body']]))"
    ),
    "# POST /size\nprint(len(json.loads(REQUEST)['body']))",
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A keys file, and its keys by their ids."""
    now = datetime.now(UTC)
    scopes = {"runner": ["notebooks/*/run", "notebooks/*/read"], "other": ["notebooks/absent/run"]}
    made = {name: create_key(name, item, expires=None, now=now) for name, item in scopes.items()}
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_text(json.dumps({"keys": [entry.model_dump(mode="json", exclude_none=True) for _, entry in made.values()]}))
    return path, {name: key for name, (key, _) in made.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, dict[str, str]]) -> Iterator[Server]:
    """A server that asks for keys."""
    base = tmp_path_factory.mktemp("http")
    write_notebook(base / "notebooks" / "cells.ipynb", CELLS)
    write_notebook(base / "notebooks" / "sub" / "plain.ipynb", ["print('no endpoint')"])
    settings = ApiSettings(data_dir=base / "data", notebooks_dir=base / "notebooks", keys_file=keys[0], max_concurrent=2)
    with running(settings) as made:
        yield made


@pytest.fixture
def key(keys: tuple[Path, dict[str, str]]) -> str:
    return keys[1]["runner"]


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield made


def test_a_request_is_an_execution_of_its_own(client: httpx.Client, key: str) -> None:
    headers = {"Authorization": f"token {key}", "X-Mine": "yes", "Content-Type": "application/json"}
    for _ in range(2):
        answer = client.post("/http/cells/echo/a%2Fb?x=1&token=own", headers=headers, content=b'{"a": 1}')
        state, request = answer.json()
        assert (answer.status_code, state) == (201, 1)  # nothing is left of an earlier request
        assert (request["body"], request["path"], request["args"]) == ({"a": 1}, {"name": "a/b"}, {"x": ["1"]})
        assert request["headers"]["X-Mine"] == "yes"
    name = answer.headers["Podbook-Execution"]
    native = {"Authorization": f"Bearer {key}"}
    execution = client.get(f"/v1/executions/{name}", headers=native).json()
    assert (execution["spec"]["submittedBy"], execution["status"]["reason"]) == ("runner", "Succeeded")
    assert {name: execution["spec"]["request"][name] for name in ("method", "route", "path")} == {
        "method": "POST",
        "route": "/echo/:name",
        "path": "/echo/a%2Fb",
    }
    made = client.get("/http/cells/html?secret=in-the-query", headers={**native, "X-Mine": "private"})
    shown = client.get(f"/v1/executions/{made.headers['Podbook-Execution']}/notebook", headers=native).text
    assert "/html" in shown
    assert not [word for word in ("in-the-query", "private", "X-Mine", key) if word in shown]


def test_answers_are_untrusted_on_the_address_of_the_api(client: httpx.Client, key: str) -> None:
    answer = client.post("/http/cells/echo/x", headers={"X-API-Key": key})
    assert answer.headers["Content-Security-Policy"] == "sandbox allow-scripts allow-forms"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (answer.headers["X-Own"], answer.headers["Content-Type"]) == ("1", "application/json")
    assert answer.headers.get_list("Cache-Control") == ["no-store"]
    assert len(answer.headers.get_list("Podbook-Execution")) == 1
    assert answer.headers["Podbook-Execution"] != "forged"
    for name in ("Set-Cookie", "WWW-Authenticate"):
        assert name not in answer.headers
    html = client.get("/http/cells/html", headers={"X-API-Key": key})
    assert (html.headers["Content-Type"].partition(";")[0], html.text) == ("text/html", "<script>1</script>")
    assert html.headers["Content-Security-Policy"] == "sandbox allow-scripts allow-forms"


def ways(key: str) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Headers and query of each way to send a key."""
    basic = base64.b64encode(f"any:{key}".encode()).decode()
    return {
        "bearer": ({"Authorization": f"Bearer {key}"}, {}),
        "token": ({"Authorization": f"token {key}"}, {}),
        "header": ({"X-API-Key": key}, {}),
        "basic": ({"Authorization": f"Basic {basic}"}, {}),
        "query": ({}, {"token": key}),
        "twice": ({"Authorization": f"token {key}", "X-API-Key": key}, {"token": key}),
    }


@pytest.mark.parametrize("way", list(ways("")))
def test_no_way_to_send_a_key_shows_it_to_the_notebook(client: httpx.Client, key: str, way: str) -> None:
    headers, query = ways(key)[way]
    answer = client.post("/http/cells/echo/x", headers=headers, params=query)
    assert answer.status_code == 201
    _, request = answer.json()
    assert key not in answer.text
    assert not {"Authorization", "X-Api-Key"} & set(request["headers"])
    assert request["args"] == {}
    assert request["headers"]["Host"]


def test_what_goes_wrong_has_the_shape_of_the_gateway(client: httpx.Client, keys: tuple[Path, dict[str, str]]) -> None:
    runner, other = ({"X-API-Key": keys[1][name]} for name in ("runner", "other"))
    cases: list[tuple[str, str, dict[str, str], int, Any]] = [
        ("GET", "/http/cells/nope", runner, 404, {"reason": "Not Found", "message": ""}),
        ("GET", "/http/cells", runner, 404, {"reason": "Not Found", "message": ""}),
        ("GET", "/http/absent/x", runner, 404, {"reason": "Not Found", "message": ""}),
        ("GET", "/http/cells/error/", runner, 404, {"reason": "Not Found", "message": ""}),
        ("GET", "/http/cells//error", runner, 404, {"reason": "Not Found", "message": ""}),
        ("GET", "/http/sub.plain/x", runner, 404, {"reason": "Not Found", "message": ""}),
        ("GET", "/http/cells/error", {}, 401, {"reason": "Unauthorized", "message": ""}),
        ("GET", "/http/cells/error", other, 404, {"reason": "Not Found", "message": ""}),
        ("PATCH", "/http/cells/error", runner, 405, {"reason": "Method Not Allowed", "message": ""}),
        ("POST", "/http/cells/echo/%ff", runner, 400, None),
    ]
    for method, path, headers, status, said in cases:
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == status, (method, path, answer.text)
        assert set(answer.json()) == {"reason", "message"}
        assert said is None or answer.json() == said
    wrong = client.post("/http/cells/error", headers=runner)
    assert (wrong.status_code, wrong.text) == (405, "")
    assert client.options("/http/cells/error").status_code == 200


def test_no_method_but_those_of_the_cells_starts_anything(client: httpx.Client, key: str) -> None:
    headers = {"X-API-Key": key}
    before = len(client.get("/v1/executions", headers=headers).json()["items"])
    assert client.head("/http/cells/error", headers=headers).status_code == 405
    assert client.options("/http/cells/error", headers=headers).status_code == 200
    assert len(client.get("/v1/executions", headers=headers).json()["items"]) == before


def test_cells_that_fail_answer_500(client: httpx.Client, key: str) -> None:
    headers = {"X-API-Key": key}
    raised = client.get("/http/cells/error", headers=headers)
    assert (raised.status_code, raised.headers["Content-Type"].partition(";")[0]) == (500, "text/plain")
    assert raised.text == "Error ValueError: nope \n"
    died = client.get("/http/cells/die", headers=headers)
    assert died.status_code >= 500
    assert "SIGKILL" in died.text


def test_the_environment_is_that_of_the_gateway_without_keys(client: httpx.Client, key: str) -> None:
    assert client.get("/http/cells/environment", headers={"X-API-Key": key}).text == "1 []\n"


def test_uploaded_files_reach_the_cell(client: httpx.Client, key: str) -> None:
    files = {"photo": ("../p.png", b"\x89PNG", "image/png")}
    answer = client.post("/http/cells/upload", headers={"X-API-Key": key}, files=files, data={"a": "1"})
    assert json.loads(answer.text) == ["../p.png", "image/png", "\x89PNG", {"a": ["1"]}]


def test_an_idempotency_key_leads_to_the_same_execution(client: httpx.Client, key: str) -> None:
    headers = {"X-API-Key": key, "Idempotency-Key": "once"}
    first = client.post("/http/cells/size", headers=headers, content=b"abc")
    again = client.post("/http/cells/size", headers=headers, content=b"abc")
    assert (first.text, again.text) == ("3\n", "3\n")
    assert first.headers["Podbook-Execution"] == again.headers["Podbook-Execution"]
    other = client.post("/http/cells/size", headers=headers, content=b"abcd")
    assert other.status_code == 422
    assert set(other.json()) == {"reason", "message"}


def test_large_bodies_are_taken_or_refused(client: httpx.Client, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = client.post("/http/cells/size", headers={"X-API-Key": key}, content=b"x" * 3_000_000)
    assert (taken.status_code, taken.text) == (200, "3000000\n")
    # A small limit, so that the whole request has been sent when the connection is closed.
    monkeypatch.setattr(routes, "_MAX_TEXT", 4000)
    fields = {f"f{number}": "x" * 300 for number in range(20)}
    file = {"data": ("a.txt", b"1" * 5000, "text/plain")}
    for sent in ({"content": b"x" * 4001}, {"data": fields}, {"data": fields, "files": file}):
        refused = client.post("/http/cells/size", headers={"X-API-Key": key}, **sent)
        assert (refused.status_code, set(refused.json())) == (413, {"reason", "message"})
    assert client.post("/http/cells/size", headers={"X-API-Key": key}, data={"f": "x"}, files=file).status_code == 200


def test_the_document_has_the_routes(client: httpx.Client, key: str) -> None:
    document = client.get("/openapi.json", headers={"X-API-Key": key}).json()
    OpenAPIV31SpecValidator(document).validate()
    assert "/http/cells/echo/{name}" in document["paths"]
