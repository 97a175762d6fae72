"""Executions over REST: created, waited for, read, cancelled, run again, removed."""

import httpx
import pytest
from tests.support.server import Server

from podbook_core.store.base import ObjectStore


def create(client: httpx.Client, notebook: str, wait: int = 60, **body: object) -> httpx.Response:
    """Create an execution without HTML, which takes longer than these cells."""
    body = {"outputs": {"html": False, "report": False}, **body}
    return client.post(f"/v1/notebooks/{notebook}/executions", json=body, headers={"Prefer": f"wait={wait}"})


@pytest.fixture(scope="module")
def ended(server: Server) -> str:
    """The id of an execution that succeeded."""
    with server.client() as client:
        response = create(client, "double", parameters={"x": 3}, labels={"team": "sales"})
        assert response.status_code == 200
        identifier: str = response.json()["id"]
        return identifier


def test_creation_answers_at_once_and_the_result_follows(client: httpx.Client) -> None:
    response = client.post("/v1/notebooks/double/executions", json={"parameters": {"x": 1}})
    assert response.status_code == 202
    document = response.json()
    assert response.headers["Location"] == f"/v1/executions/{document['id']}"
    assert document["id"] == document["metadata"]["name"]
    assert document["spec"]["parameters"] == {"x": 1}
    assert len(document["spec"]["notebook"]["version"]) == 64
    assert document["links"]["cancel"] == f"/v1/executions/{document['id']}/cancel"
    assert client.post(f"{response.headers['Location']}/cancel").status_code == 200


def test_waiting_gives_the_ended_execution(client: httpx.Client) -> None:
    response = create(client, "raising")
    assert (response.status_code, response.headers["Preference-Applied"]) == (200, "wait=60")
    status = response.json()["status"]
    assert (status["phase"], status["reason"], status["error"]["ename"]) == ("Failed", "CellFailed", "ValueError")


def test_a_dry_run_creates_nothing(client: httpx.Client) -> None:
    before = client.get("/v1/executions", params={"limit": 1}).json()["items"]
    good = client.post(
        "/v1/notebooks/double/executions", params={"dryRun": True}, json={"parameters": {"x": 1}, "timeoutSeconds": 5}
    )
    assert good.status_code == 200
    assert good.json()["valid"] is True
    assert good.json()["resolved"]["timeoutSeconds"] == 5
    bad = client.post("/v1/notebooks/double/executions", params={"dryRun": True}, json={"parameters": {}})
    assert (bad.status_code, bad.json()["code"]) == (422, "InvalidParameters")
    assert client.get("/v1/executions", params={"limit": 1}).json()["items"] == before


@pytest.mark.parametrize(
    ("body", "status", "code", "path"),
    [
        ({"parameter": {}}, 422, "InvalidRequest", "/parameter"),
        ({"parameters": []}, 422, "InvalidRequest", "/parameters"),
        ({"parameters": {"x": 1}, "timeoutSeconds": 0}, 422, "InvalidRequest", "/timeoutSeconds"),
        ({"parameters": {"x": 1}, "labels": {"a b": "c"}}, 422, "InvalidRequest", "/labels/a b"),
        ({"parameters": {"x": 1}, "labels": {"a..b/c": "d"}}, 422, "InvalidRequest", "/labels/a..b~1c"),
        ({"parameters": {"x": 1}, "labels": {"team": "not a value!"}}, 422, "InvalidRequest", "/labels/team"),
        ({"parameters": {"x": 1}, "labels": {"a" * 64: "b"}}, 422, "InvalidRequest", f"/labels/{'a' * 64}"),
        ({"parameters": {"x": 1}, "labels": {"podbook.dev/notebook": "c"}}, 422, "InvalidRequest", "/labels/podbook.dev~1notebook"),
        ({"parameters": {"x": 1}, "profile": "gpu"}, 422, "UnknownProfile", None),
        ({"parameters": {"x": 1}, "version": "0" * 64}, 404, "NotebookNotFound", None),
        ([], 422, "InvalidRequest", ""),
    ],
)
def test_bad_requests_are_named(client: httpx.Client, body: object, status: int, code: str, path: str | None) -> None:
    response = client.post("/v1/notebooks/double/executions", json=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    if path is not None:
        assert path in [error["path"] for error in response.json()["errors"]]


def test_other_media_types_are_input_files_and_unknown_ones_too(client: httpx.Client) -> None:
    response = client.post(
        "/v1/notebooks/mirror/executions", content=b"a,b\n", headers={"Content-Type": "text/csv", "Prefer": "respond-async"}
    )
    assert (response.status_code, response.headers["Preference-Applied"]) == (202, "respond-async")
    assert response.json()["spec"]["inputs"][0] == {
        "name": "input",
        "sha256": response.json()["spec"]["inputs"][0]["sha256"],
        "size": 4,
        "mediaType": "text/csv",
    }
    client.post(f"{response.headers['Location']}/cancel")


def test_reading_with_an_entity_tag(client: httpx.Client, ended: str) -> None:
    first = client.get(f"/v1/executions/{ended}")
    assert first.json()["status"]["reason"] == "Succeeded"
    again = client.get(f"/v1/executions/{ended}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/v1/executions/{ended}", headers={"If-None-Match": '"other"'}).status_code == 200


def test_head_is_get_without_the_content(client: httpx.Client, ended: str) -> None:
    got, head = client.get(f"/v1/executions/{ended}"), client.head(f"/v1/executions/{ended}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


def test_cancelling_ends_a_running_execution_and_is_repeatable(client: httpx.Client) -> None:
    created = create(client, "sleeper", wait=2, parameters={"seconds": 100})
    path = created.headers["Location"]
    assert client.post(f"{path}/cancel").status_code == 200
    with client.stream("GET", f"{path}/events") as stream:
        assert "event: end" in stream.read().decode()
    document = client.get(path).json()
    assert (document["status"]["phase"], document["status"]["reason"]) == ("Cancelled", "Cancelled")
    again = client.post(f"{path}/cancel")
    assert (again.status_code, again.json()["status"]["reason"]) == (200, "Cancelled")
    output = client.get(f"{path}/output")
    assert (output.status_code, output.json()["code"]) == (409, "Cancelled")


def test_an_ended_execution_stays_as_it_is_when_cancelled(client: httpx.Client, ended: str) -> None:
    before = client.get(f"/v1/executions/{ended}").json()
    assert client.post(f"/v1/executions/{ended}/cancel").json() == before


def test_running_again_makes_a_new_execution_of_the_same_version(client: httpx.Client, ended: str) -> None:
    earlier = client.get(f"/v1/executions/{ended}").json()
    response = client.post(f"/v1/executions/{ended}/rerun", headers={"Prefer": "wait=60"})
    again = response.json()
    assert response.status_code == 200
    assert again["id"] != ended
    assert again["spec"] == earlier["spec"]
    assert again["metadata"]["labels"] == earlier["metadata"]["labels"]
    assert client.get(f"/v1/executions/{again['id']}/output").json() == {"twice": 6}


def test_removing_takes_everything_away(client: httpx.Client, server: Server) -> None:
    document = create(client, "double", parameters={"x": 5}).json()
    path, uid = f"/v1/executions/{document['id']}", document["metadata"]["uid"]
    assert left(server.store, uid)
    assert client.delete(path).status_code == 204
    assert client.delete(path).status_code == 404
    assert client.get(path).json()["code"] == "ExecutionNotFound"
    assert left(server.store, uid) == []
    assert uid not in [item["metadata"]["uid"] for item in client.get("/v1/executions").json()["items"]]


def left(store: ObjectStore, uid: str) -> list[str]:
    """What the store holds of an execution."""
    return [*store.list(f"executions/{uid}/"), *(key for key in store.list("index/") if uid in key)]


def test_an_active_execution_cannot_be_removed(client: httpx.Client) -> None:
    created = create(client, "sleeper", wait=0, parameters={"seconds": 100})
    refused = client.delete(created.headers["Location"])
    assert (refused.status_code, refused.json()["code"]) == (409, "NotFinished")
    assert client.post(f"{created.headers['Location']}/cancel").status_code == 200


def test_lists_filter(client: httpx.Client, ended: str) -> None:
    def ids(**params: str) -> list[str]:
        return [item["id"] for item in client.get("/v1/executions", params={"limit": 200, **params}).json()["items"]]

    assert ended in ids()
    assert ended in ids(notebook="double", phase="Succeeded", reason="Succeeded", label="team=sales")
    assert ended not in ids(notebook="raising")
    assert ended not in ids(phase="Failed")
    assert ended not in ids(label="team=support")
    assert client.get("/v1/executions", params={"label": "team"}).status_code == 422
    assert client.get("/v1/executions", params={"phase": "Done"}).status_code == 422


@pytest.mark.parametrize("cursor", ["x", "WzEsMl0", "e30", "%00"])
def test_a_cursor_of_others_is_refused(client: httpx.Client, cursor: str) -> None:
    response = client.get("/v1/executions", params={"cursor": cursor})
    assert (response.status_code, response.json()["code"]) == (400, "InvalidCursor")


def test_lists_have_no_parameters_unless_asked_for(client: httpx.Client) -> None:
    body = {"parameters": {"x": 21, "note": "large, perhaps"}, "labels": {"view": "tested"}}
    made = client.post("/v1/notebooks/double/executions", json=body, headers={"Prefer": "wait=60"})
    assert made.status_code == 200
    waiting = client.post("/v1/notebooks/sleeper/executions", json={"parameters": {"seconds": 50}, "labels": {"view": "tested"}})
    path = "/v1/executions?label=view%3Dtested"
    summaries = {item["id"]: item for item in client.get(path).json()["items"]}
    assert set(summaries) == {made.json()["id"], waiting.json()["id"]}
    assert all("parameters" not in item["spec"] for item in summaries.values())
    whole = {item["id"]: item for item in client.get(f"{path}&view=full").json()["items"]}
    assert whole[made.json()["id"]] == client.get(made.headers["Location"]).json()
    assert whole[waiting.json()["id"]]["spec"]["parameters"] == {"seconds": 50}
    client.post(f"{waiting.headers['Location']}/cancel")


def test_whole_executions_come_in_small_pages(client: httpx.Client) -> None:
    refused = client.get("/v1/executions?view=full&limit=21")
    assert (refused.status_code, refused.json()["code"]) == (422, "InvalidRequest")
    assert "at most 20" in refused.json()["detail"]
    assert client.get("/v1/executions?view=full&limit=20").status_code == 200
    assert client.get("/v1/executions?view=everything").status_code == 422


def test_what_is_read_waited_for_cancelled_and_run_again_keeps_its_parameters(client: httpx.Client) -> None:
    made = client.post("/v1/notebooks/sleeper/executions", json={"parameters": {"seconds": 50}})
    path = made.headers["Location"]
    assert made.json()["spec"]["parameters"] == {"seconds": 50}
    assert client.get(path).json()["spec"]["parameters"] == {"seconds": 50}
    assert client.post(f"{path}/cancel").json()["spec"]["parameters"] == {"seconds": 50}
    again = client.post(f"{path}/rerun", headers={"Prefer": "wait=0"})
    assert again.json()["spec"]["parameters"] == {"seconds": 50}
    client.post(f"{again.headers['Location']}/cancel")
    quick = client.post("/v1/notebooks/double/executions", json={"parameters": {"x": 5}}, headers={"Prefer": "wait=60"})
    assert (quick.status_code, quick.json()["spec"]["parameters"]) == (200, {"x": 5})
