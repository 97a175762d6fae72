"""Both generations of jupyrest, as their clients see them."""

import json
from pathlib import Path

import httpx
import pytest
from tests.support.server import running

from podbook_api.auth.keys import create_key
from podbook_api.clock import utc_now
from podbook_api.settings import ApiSettings

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
        assert client.post(path, json=body).status_code == 401
        assert set(client.post(path, json=body).json()) == {"detail"}
        assert client.get("/api/notebooks").json()["code"] == "UNAUTHENTICATED"
        assert client.post(path, json=body, auth=("any", "wrong")).status_code == 401
        assert client.post(path, json=body, headers={"Authorization": "Basic %%%"}).status_code == 401
        ran = client.post(path, json=body, auth=("any", plain))
        assert ran.json()["status"] == "COMPLETED"
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
