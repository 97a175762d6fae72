"""Both generations of jupyrest, as their clients see them."""

import hashlib
import json
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.support.server import Server, running

from podbook_api.auth.keys import create_key
from podbook_api.clock import utc_now
from podbook_api.doors.jupyrest1 import executions
from podbook_api.settings import ApiSettings
from podbook_core.store.keys import record_key

from .jupyrest_cases import FIRST, NOTEBOOKS, SECOND, Answer, walk_first, walk_second


@pytest.mark.parametrize("answer", [*FIRST, *SECOND], ids=lambda answer: f"{answer[0]} {answer[1]} {answer[2]!r:.60}")
def test_a_request_is_answered_as_recorded(client: httpx.Client, answer: Answer) -> None:
    method, address, body, status, expected = answer
    headers = {} if body is None else {"Content-Type": "application/json"}
    got = client.request(method, address, content=body, headers=headers)
    assert got.status_code == status, got.text
    if expected is None:
        assert list(got.json()) == ["detail"]
    else:
        assert got.json() == expected


def test_the_walk_of_the_first_generation(client: httpx.Client) -> None:
    walk_first(client)


def test_the_walk_of_0_2(client: httpx.Client) -> None:
    walk_second(client)


def test_a_notebook_in_a_folder_is_called_by_its_path(client: httpx.Client) -> None:
    ran = client.post("/api/NotebookExecutions", json={"notebook": "sub/nested", "parameters": {"a": 2}})
    assert (ran.json()["status"], ran.json()["notebook"]) == ("COMPLETED", "sub/nested")
    read = client.get("/api/NotebookExecutions", params={"executionId": ran.json()["id"]}).json()
    assert read["notebook"] == "sub/nested"
    assert "sub/nested" in client.get("/api/notebooks").json()["notebooks"]
    assert client.get("/api/notebooks/sub/nested").json()["notebook_id"] == "sub/nested"
    accepted = client.post("/api/notebooks/sub/nested/execute", json={"parameters": {}})
    assert accepted.json()["notebook_id"] == "sub/nested"


def test_executions_are_the_same_ones_everywhere(client: httpx.Client) -> None:
    ran = client.post("/api/NotebookExecutions", json={"notebook": "free", "parameters": {"a": 1}}).json()
    assert client.get(f"/v1/executions/{ran['id']}/output").json() == {"a": 1}
    second = client.get(f"/api/notebook_executions/{ran['id']}").json()
    assert (second["status"], second["notebook_id"]) == ("COMPLETED", "free")
    assert ran["id"] in [item["id"] for item in client.get("/v1/executions").json()["items"]]


def test_a_caller_is_not_held_for_ever(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executions, "HOLD_SECONDS", 0.2)
    path, body = "/api/NotebookExecutions", {"notebook": "silent", "parameters": {"seconds": 4}}
    ran = client.post(path, json=body)
    assert (ran.status_code, ran.json()) == (202, {"id": ran.json()["id"], "status": "ACCEPTED", **body})
    asked = {"executionId": ran.json()["id"]}
    early = client.get(path, params={**asked, "output": "1", "html": "1", "ipynb": "1"})
    nothing = {"exception": None, "output": None, "html": None, "ipynb": None}
    assert (early.status_code, early.json()) == (200, {**ran.json(), **nothing})
    page = client.get(path, params={**asked, "view_html": "1"})
    assert (page.status_code, set(page.json())) == (409, {"detail"})
    client.get(f"/v1/executions/{ran.json()['id']}/events")  # ends with the execution
    assert client.get(path, params=asked).json() == {**ran.json(), "status": "COMPLETED", "exception": None}


def test_an_output_that_breaks_its_schema_fails_nothing_here_and_fails_under_v1(client: httpx.Client) -> None:
    ran = client.post("/api/NotebookExecutions", json={"notebook": "wrong", "parameters": {}}).json()
    status = client.get(f"/v1/executions/{ran['id']}").json()["status"]
    told = next(item for item in status["conditions"] if item["type"] == "OutputValid")
    assert (status["reason"], told["status"], told["reason"]) == ("Succeeded", "False", "InvalidOutput")
    assert client.post("/v1/run/wrong", json={}).json()["code"] == "InvalidOutput"


def test_both_generations_stand_in_the_document(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]["/api/NotebookExecutions"]) == {"get", "post"}
    typed = document["paths"]["/api/notebooks/quiet-one/execute"]["post"]
    assert typed["operationId"] == "jupyrest2_execute_silent"
    schema = document["paths"]["/api/notebooks/analysis/execute"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["parameters"] == {"$ref": "#/components/schemas/AnalysisInput"}
    assert document["components"]["schemas"]["AnalysisInput"]["required"] == ["customer_name"]
    assert "/api/notebooks/{notebook}/execute" not in document["paths"]
    assert "/api/notebooks/free/execute" not in document["paths"]


def _stored(server: Server, identity: str, name: str, data: bytes) -> None:
    """Put this in place of a result, as a pod could have done."""
    key = record_key(identity)
    record = json.loads(server.store.get(key, limit=2**30).data)
    item = next(item for item in record["objects"] if item["name"] == name)
    item["etag"] = server.store.put(item["key"], data).etag
    item["size"], item["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    server.store.put(key, json.dumps(record).encode())


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"[" * 200_000, 500, "cannot be read"),
        (b'{"x": NaN}', 500, "cannot be read"),
        (b'"\\ud800"', 500, "cannot be read"),
        (b"\xff", 500, "cannot be read"),
        (b"[" + b" " * 33 * 2**20 + b"]", 413, "output has 34603010 bytes"),
    ],
    ids=["deep", "no number", "half a character", "no text", "large"],
)
def test_what_a_pod_stored_in_place_of_an_output_breaks_nothing(
    client: httpx.Client, server: Server, data: bytes, status: int, said: str
) -> None:
    ran = client.post("/api/NotebookExecutions", json={"notebook": "free", "parameters": {}}).json()
    uid = client.get(f"/v1/executions/{ran['id']}").json()["metadata"]["uid"]
    _stored(server, uid, "output.json", data)
    answer = client.get("/api/NotebookExecutions", params={"executionId": ran["id"], "output": "true"})
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}
    assert said in answer.json()["detail"]
    assert client.get("/api/NotebookExecutions", params={"executionId": ran["id"]}).json()["status"] == "COMPLETED"
    assert client.get(f"/api/notebook_executions/{ran['id']}/artifacts/output").content == data


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b"\xff",
        b'{"cells": 3}',
        b'{"cells": [{"outputs": [{"output_type": "error"}]}]}',
        b'{"cells": [{"source": "x", "outputs": [{"output_type": "error", "traceback": ["\\ud800"]}]}]}',
    ],
    ids=["deep", "no text", "no cells", "no error", "half a character"],
)
def test_what_a_pod_stored_in_place_of_its_notebook_breaks_nothing(client: httpx.Client, server: Server, data: bytes) -> None:
    body = {"notebook": "analysis", "parameters": {"customer_name": "contoso"}}
    ran = client.post("/api/NotebookExecutions", json=body).json()
    uid = client.get(f"/v1/executions/{ran['id']}").json()["metadata"]["uid"]
    _stored(server, uid, "notebook.ipynb", data)
    told = client.get("/api/NotebookExecutions", params={"executionId": ran["id"], "ipynb": "true"})
    assert told.status_code == 200
    assert isinstance(told.json()["exception"], str)
    exception = client.get(f"/api/notebook_executions/{ran['id']}/artifacts/exception")
    assert (exception.status_code, exception.text) == (200, told.json()["exception"])


def test_an_id_may_hold_anything(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    ids = ["a{b}c", "{notebook}", "x?y#z", "with blank", "ümlaut", "../up", "%2e", "x/execute", "twice", "twice"]
    for number, identity in enumerate(ids):
        (folder / f"n{number}.ipynb").write_bytes(NOTEBOOKS["silent"][0])
        (folder / f"n{number}.config.json").write_text(json.dumps({"id": identity}))
    with running(ApiSettings(data_dir=tmp_path / "data", notebooks_dir=folder)) as server, server.client() as client:
        document = client.get("/openapi.json").json()
        OpenAPIV31SpecValidator(document).validate()
        for identity in ids:
            path = f"/api/notebooks/{quote(identity)}"
            assert set(document["paths"][f"{path}/execute"]) == {"post"}
            address = f"/api/notebooks/{quote(identity, safe='')}"
            assert client.get(address).json()["notebook_id"] == identity
            assert client.post(f"{address}/execute", content=b"{}").json() == {
                "detail": [{"loc": ["body", "parameters"], "msg": "field required", "type": "value_error.missing"}]
            }
        known = [item for item in document["paths"] if item.startswith("/api/notebooks/") and item.endswith("/execute")]
        assert len(known) == len(set(ids))
        assert document["paths"]["/api/notebooks/twice/execute"]["post"]["operationId"] == "jupyrest2_execute_n8"
        assert client.get("/api/notebooks").json()["notebooks"] == ids[:-1]


def test_keys_hold_in_every_way_they_are_sent(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "free.ipynb").write_bytes(NOTEBOOKS["free"][0])
    (folder / "free.config.json").write_text("{}")
    (folder / "silent.ipynb").write_bytes(NOTEBOOKS["silent"][0])
    plain, entry = create_key("one", ["notebooks/free/run"], expires=None, now=utc_now())
    other, second = create_key("two", ["notebooks/free/run"], expires=None, now=utc_now())
    (tmp_path / "keys.json").write_text(
        json.dumps({"keys": [item.model_dump(mode="json", exclude_none=True) for item in (entry, second)]})
    )
    settings = ApiSettings(data_dir=tmp_path / "data", notebooks_dir=folder, keys_file=tmp_path / "keys.json")
    with running(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        path, body = "/api/NotebookExecutions", {"notebook": "free", "parameters": {}}
        refused = client.post(path, json=body)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (
            401,
            'Bearer realm="podbook", Basic realm="podbook", charset="UTF-8"',
        )
        assert set(client.post(path, json=body).json()) == {"detail"}
        assert client.get("/api/notebooks").json()["code"] == "UNAUTHENTICATED"
        assert client.post(path, json=body, auth=("any", "wrong")).status_code == 401
        assert client.post(path, json=body, headers={"Authorization": "Basic %%%"}).status_code == 401
        ran = client.post(path, json=body, auth=("any", plain))
        assert ran.json()["status"] == "COMPLETED"
        # A browser adds the password it knows to whatever any page asks for.
        foreign = {"Origin": "https://elsewhere.example"}
        assert client.post(path, json=body, auth=("any", plain), headers=foreign).status_code == 401
        assert client.post(path, json=body, auth=("any", plain), headers={"Origin": server.url}).status_code == 200
        assert client.get("/api/notebooks", auth=("any", plain), headers=foreign).status_code == 200
        for headers in ({"Authorization": f"Bearer {plain}"}, {"X-API-Key": plain}):
            assert client.get(path, params={"executionId": ran.json()["id"]}, headers=headers).status_code == 200
        # Another key's execution is not there, nor is a notebook that may not be seen.
        assert client.get(path, params={"executionId": ran.json()["id"]}, auth=("", other)).status_code == 404
        assert client.get(f"/api/notebook_executions/{ran.json()['id']}", auth=("", other)).status_code == 404
        hidden = client.post(path, json={"notebook": "silent", "parameters": {}}, auth=("", plain))
        absent = client.post(path, json={"notebook": "absent", "parameters": {}}, auth=("", plain))
        assert (hidden.status_code, absent.status_code) == (404, 404)
        assert client.get("/api/notebooks", auth=("", plain)).json() == {"notebooks": ["free"]}


def test_a_door_can_be_left_shut(tmp_path: Path) -> None:
    with running(ApiSettings(data_dir=tmp_path / "data", doors=("native", "jupyrest2"))) as server, server.client() as client:
        assert client.get("/api/notebooks").json() == {"notebooks": []}
        assert client.get("/api/NotebookExecutions").status_code == 404
        assert "/api/NotebookExecutions" not in client.get("/openapi.json").json()["paths"]
