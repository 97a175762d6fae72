"""What HTTP itself promises: methods, HEAD, conditions, headers beside any answer, and a document that says all of it."""

import json

import httpx
import pytest
from tests.support.server import Server

from .samples import PIXEL


@pytest.fixture(scope="module")
def mirrored(server: Server) -> str:
    """The path of an execution with every kind of result."""
    with server.client() as client:
        response = client.post("/v1/run/mirror", files={"picture": ("a.png", PIXEL, "image/png")})
        return f"/v1/executions/{response.headers['Podbook-Execution']}"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v1/notebooks/double", "DELETE, GET, HEAD, PUT"),
        ("DELETE", "/v1/notebooks", "GET, HEAD"),
        ("PATCH", "/v1/executions/double-1", "DELETE, GET, HEAD"),
        ("GET", "/v1/run/double", "POST"),
        ("HEAD", "/v1/executions/double-1/events", "GET"),
        ("POST", "/v1/executions/double-1/files/events", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_possible_is_told_all_that_are(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("artifact", ["output", "html", "report", "notebook", "logs", "files/image.png"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_artifacts_are_read_on_conditions(client: httpx.Client, mirrored: str, artifact: str, method: str) -> None:
    path = f"{mirrored}/{artifact}"
    etag = client.get(path).headers["etag"]

    def ask(**headers: str) -> httpx.Response:
        return client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = ask(If_None_Match=known)
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
        assert unchanged.headers["cache-control"] == "private, no-cache"
    for state in ('"nope"', f"W/{etag}"):
        refused = ask(If_Match=state)
        assert (refused.status_code, refused.headers["content-type"]) == (412, "application/problem+json")
    assert ask(If_Match='"nope"', If_None_Match=etag).status_code == 412
    for headers in ({}, {"If_Match": etag}, {"If_Match": "*"}, {"If_None_Match": '"nope"'}):
        assert ask(**headers).status_code == 200


@pytest.mark.parametrize("of", ["", "notebook"])
def test_resources_are_read_on_conditions_too(client: httpx.Client, mirrored: str, of: str) -> None:
    path = "/v1/notebooks/mirror" if of else mirrored
    etag = client.get(path).headers["etag"]
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(path, headers={"If-Match": '"nope"'}).json()["code"] == "PreconditionFailed"


def test_a_large_file_that_is_not_sent_is_closed(client: httpx.Client) -> None:
    large = {"picture": ("a.png", b"x" * 3 * 1024 * 1024, "image/png")}
    path = f"/v1/executions/{client.post('/v1/run/mirror', files=large).headers['Podbook-Execution']}/files/image.png"
    etag = client.head(path).headers["etag"]

    def open_files() -> int:
        return int(
            next(line for line in client.get("/metrics").text.splitlines() if line.startswith("process_open_fds")).split()[1][:-2]
        )

    before = open_files()
    for _ in range(20):
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
        assert client.get(path, headers={"If-Match": '"nope"'}).status_code == 412
    assert open_files() < before + 20


def test_a_published_file_may_be_called_events(client: httpx.Client) -> None:
    assert client.head("/v1/executions/none/files/events").status_code == 404
    assert client.head("/v1/executions/none/files/v1/executions/a/events").status_code == 404


def test_a_failed_run_says_what_was_done_beside_it(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "a run that fails", "Prefer": "wait=60"}
    first = client.post("/v1/run/raising", json={}, headers=headers)
    again = client.post("/v1/run/raising", json={}, headers=headers)
    assert (first.status_code, again.status_code) == (424, 424)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    for response in (first, again):
        assert response.headers["preference-applied"] == "wait=60"
        assert response.headers.get_list("podbook-execution") == [response.json()["execution"]]


def test_the_document_says_what_headers_and_labels_look_like(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()

    def schema(path: str, method: str, name: str) -> str:
        parameters = document["paths"][path][method]["parameters"]
        return json.dumps(next(item["schema"] for item in parameters if item["name"].lower() == name))

    key = schema("/v1/notebooks/{notebook}/executions", "post", "idempotency-key")
    assert '"minLength": 1' in key
    assert '"maxLength": 200' in key
    assert '"pattern": "^[^=]+="' in schema("/v1/executions", "get", "label")
    notebook = document["paths"]["/v1/executions/{execution_id}/notebook"]["get"]["responses"]
    assert notebook["200"]["content"]["application/x-ipynb+json"]["schema"] == {"type": "object"}
    assert {"304", "412"} <= set(notebook)
    page = document["paths"]["/v1/executions/{execution_id}/html"]["get"]["responses"]["200"]
    assert page["content"]["text/html"]["schema"] == {"type": "string", "format": "binary"}
