"""Forms: files, parameters and options in one request."""

import json
from typing import Any

import httpx
import pytest

from .samples import PIXEL

ADDRESSES = ["/v1/run/mirror", "/v1/notebooks/mirror/executions"]
OPTIONS: dict[str, Any] = {
    "profile": "default",
    "timeoutSeconds": 120,
    "queueTimeoutSeconds": 600,
    "startTimeoutSeconds": 60,
    "retries": 1,
    "ttlSecondsAfterFinished": 3600,
    "outputs": {"html": False, "report": False},
}


def send(client: httpx.Client, path: str, *, options: str, **more: str) -> httpx.Response:
    """Send the picture with options."""
    return client.post(
        path, files={"picture": ("a.png", PIXEL, "image/png")}, data={"options": options, **more}, headers={"Prefer": "wait=60"}
    )


@pytest.mark.parametrize("path", ADDRESSES)
def test_files_come_with_options(client: httpx.Client, path: str) -> None:
    response = send(client, path, options=json.dumps({**OPTIONS, "labels": {"team": "sales"}}), caption="sea")
    assert response.status_code == 200
    execution = client.get(f"/v1/executions/{response.headers['Podbook-Execution']}").json()
    assert {key: execution["spec"][key] for key in OPTIONS} == OPTIONS
    assert execution["metadata"]["labels"]["team"] == "sales"
    assert execution["status"]["resolved"]["timeoutSeconds"] == 120
    assert [item["name"] for item in execution["spec"]["inputs"]] == ["picture"]
    assert execution["spec"]["parameters"] == {"caption": "sea"}
    assert "html" not in execution["status"]["results"]


def test_options_may_be_sent_as_a_json_file_and_name_a_version(client: httpx.Client) -> None:
    def check(version: str) -> httpx.Response:
        options = ("o.json", json.dumps({"version": version}).encode(), "application/json")
        files = {"picture": ("a.png", PIXEL, "image/png"), "options": options}
        return client.post(ADDRESSES[1], params={"dryRun": True}, files=files, data={"caption": "sea"})

    version = client.get("/v1/notebooks/mirror").json()["version"]
    assert check(version).json()["resolved"]["version"] == version
    assert check("0" * 64).status_code == 404


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize(
    ("options", "status", "code", "says"),
    [
        ('{"timeout": 5}', 422, "InvalidRequest", "the part options is not valid: /timeout"),
        ('{"parameters": {}}', 422, "InvalidRequest", "/parameters"),
        ('{"timeoutSeconds": 0}', 422, "InvalidRequest", "/timeoutSeconds"),
        ('{"outputs": {"pdf": true}}', 422, "InvalidRequest", "/outputs/pdf"),
        ('{"labels": {"team": "a b"}}', 422, "InvalidRequest", "/labels/team"),
        ('{"profile": "gpu"}', 422, "UnknownProfile", "gpu"),
        ("[]", 422, "InvalidRequest", "the part options is not valid"),
        ("null", 422, "InvalidRequest", "the part options is not valid"),
        ("{", 400, "InvalidJson", "the part options is not valid JSON"),
    ],
)
def test_bad_options_are_named_before_anything_starts(
    client: httpx.Client, *, path: str, options: str, status: int, code: str, says: str
) -> None:
    before = client.get("/v1/executions", params={"notebook": "mirror", "limit": 1}).json()["items"]
    response = send(client, path, options=options)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert says in response.json()["detail"]
    assert client.get("/v1/executions", params={"notebook": "mirror", "limit": 1}).json()["items"] == before


def test_a_part_is_sent_once(client: httpx.Client) -> None:
    response = client.post(ADDRESSES[0], files=[("options", (None, "{}")), ("options", (None, "{}"))])
    assert (response.status_code, response.json()["code"]) == (422, "InvalidRequest")
    assert "options was sent twice" in response.json()["detail"]


def test_the_same_key_with_other_options_is_another_request(client: httpx.Client) -> None:
    def again(seconds: int) -> httpx.Response:
        files, options = {"picture": ("a.png", PIXEL, "image/png")}, {"options": json.dumps({"timeoutSeconds": seconds})}
        return client.post(ADDRESSES[1], files=files, data=options, headers={"Idempotency-Key": "form-with-options"})

    first, same, other = again(100), again(100), again(101)
    assert first.json()["id"] == same.json()["id"]
    assert (other.status_code, other.json()["code"]) == (422, "IdempotencyKeyReused")


def test_deep_values_of_fields_are_refused_as_the_callers(client: httpx.Client) -> None:
    response = client.post("/v1/run/table", data={"rows": "[" * 100 + "]" * 100})
    assert response.status_code == 422


def test_the_document_describes_the_form(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path in ("/v1/run/mirror", "/v1/notebooks/{notebook}/executions"):
        form = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]
        assert form["schema"]["properties"]["options"] == {"$ref": "#/components/schemas/ExecutionOptions"}
        assert form["encoding"]["options"] == {"contentType": "application/json"}
    assert set(OPTIONS) < set(document["components"]["schemas"]["ExecutionOptions"]["properties"])
    assert document["components"]["schemas"]["ExecutionOptions"]["additionalProperties"] is False
    one = client.get("/v1/notebooks/mirror/openapi.json").json()
    assert "ExecutionOptions" in one["components"]["schemas"]


@pytest.mark.parametrize("path", ADDRESSES)
def test_places_in_options_are_pointers(client: httpx.Client, path: str) -> None:
    response = send(client, path, options=json.dumps({"odd/na~me": 1}))
    assert [error["path"] for error in response.json()["errors"]] == ["/odd~1na~0me"]
