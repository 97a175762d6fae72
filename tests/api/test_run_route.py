"""POST /v1/run/{name}: the notebook as a function."""

import httpx
import pytest

from .samples import PIXEL


def test_the_response_is_the_output(client: httpx.Client) -> None:
    response = client.post("/v1/run/double", json={"x": 21})
    assert (response.status_code, response.json()) == (200, {"twice": 42})
    execution = response.headers["Podbook-Execution"]
    assert execution.startswith("double-")
    assert f'</v1/executions/{execution}/html>; rel="alternate"; type="text/html"' in response.headers["Link"]
    assert client.get(f"/v1/executions/{execution}").json()["status"]["phase"] == "Succeeded"


def test_a_notebook_that_saves_nothing_returns_null(client: httpx.Client) -> None:
    response = client.post("/v1/run/quiet")
    assert (response.status_code, response.json()) == (200, None)


def test_a_failed_run_says_where_and_how(client: httpx.Client) -> None:
    response = client.post("/v1/run/raising", json={"customer": "acme"})
    problem = response.json()
    assert response.status_code == 424
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["code"] == problem["reason"] == "CellFailed"
    assert (problem["ename"], problem["evalue"]) == ("ValueError", "no such customer: acme")
    assert isinstance(problem["cell"], int)
    page = client.get(problem["links"]["html"])
    assert page.status_code == 200
    assert "no such customer: acme" in page.text
    again = client.get(f"/v1/executions/{problem['execution']}/output")
    assert (again.status_code, again.json()["code"]) == (424, "CellFailed")


@pytest.mark.parametrize(
    ("body", "path", "problem"),
    [
        ({}, "/x", "is missing"),
        ({"x": "two"}, "/x", 'is a string ("two")'),
        ({"x": 1, "y": 2}, "/y", "is not a known name"),
        ([1], "", "must be an object"),
        ("text", "", "must be an object"),
    ],
)
def test_bad_parameters_are_named_before_anything_starts(client: httpx.Client, body: object, path: str, problem: str) -> None:
    before = client.get("/v1/executions", params={"notebook": "double", "limit": 1}).json()["items"]
    response = client.post("/v1/run/double", json=body)
    assert response.status_code == 422
    document = response.json()
    assert document["code"] == "InvalidParameters"
    assert (path, problem) in [(error["path"], error["problem"]) for error in document["errors"]]
    assert all(error["expected"] for error in document["errors"])
    assert client.get("/v1/executions", params={"notebook": "double", "limit": 1}).json()["items"] == before


@pytest.mark.parametrize(
    "body", [b"{", b'{"x": NaN}', b'{"x": 1e999}', b'{"x": "\\ud800"}', b"\xff", b"[" * 200_000, b'{"x": ' + b"9" * 5000 + b"}"]
)
def test_what_is_no_json_is_refused(client: httpx.Client, body: bytes) -> None:
    response = client.post("/v1/run/double", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "InvalidJson")


def test_what_takes_longer_goes_on_and_is_found_later(client: httpx.Client) -> None:
    response = client.post("/v1/run/sleeper", json={"seconds": 60}, headers={"Prefer": "wait=1"})
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=1"
    assert response.headers["Location"] == f"/v1/executions/{response.json()['id']}"
    early = client.get(f"{response.headers['Location']}/output")
    assert (early.status_code, early.json()["code"]) == (409, "NotFinished")
    assert client.post(f"{response.headers['Location']}/cancel").status_code == 200


def test_an_image_in_a_form_goes_in_and_comes_out(client: httpx.Client) -> None:
    files = {"picture": ("holiday.png", PIXEL, "image/png")}
    response = client.post("/v1/run/mirror", files=files, data={"caption": "sea"}, headers={"Accept": "image/png"})
    assert (response.status_code, response.content) == (200, PIXEL)
    assert response.headers["content-type"] == "image/png"
    assert "sandbox" in response.headers["content-security-policy"]
    execution = response.headers["Podbook-Execution"]
    assert client.get(f"/v1/executions/{execution}/output").json() == {"names": ["picture"], "caption": "sea"}
    assert client.get(f"/v1/executions/{execution}").json()["spec"]["inputs"][0]["mediaType"] == "image/png"


def test_a_binary_body_is_one_input_file(client: httpx.Client) -> None:
    response = client.post("/v1/run/mirror", params={"input": "scan"}, content=PIXEL, headers={"Content-Type": "image/png"})
    assert (response.status_code, response.json()) == (200, {"names": ["scan"], "caption": ""})
    listed = client.get(f"/v1/executions/{response.headers['Podbook-Execution']}/files").json()["items"]
    assert [item["path"] for item in listed] == ["image.png", "notes/page one.html"]
    assert client.get(listed[0]["href"]).content == PIXEL
    page = client.get(listed[1]["href"])
    assert page.text == "<script>alert(1)</script>"
    assert page.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert page.headers["content-disposition"].startswith("attachment")


def test_form_fields_become_typed_parameters(client: httpx.Client) -> None:
    assert client.post("/v1/run/double", data={"x": "8", "note": "12"}).json() == {"twice": 16}
    wrong = client.post("/v1/run/double", data={"x": "eight"})
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "/x")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b", ".hidden", "x" * 300])
def test_input_files_have_plain_names(client: httpx.Client, name: str) -> None:
    response = client.post("/v1/run/mirror", files={name: ("a.png", PIXEL, "image/png")})
    assert (response.status_code, response.json()["code"]) == (422, "InvalidInputs")


def test_a_broken_notebook_says_why(client: httpx.Client) -> None:
    response = client.post("/v1/run/broken", json={})
    assert (response.status_code, response.json()["code"]) == (409, "NotebookBroken")
    assert "not valid JSON" in response.json()["detail"]


def test_an_unknown_notebook_is_not_found(client: httpx.Client) -> None:
    response = client.post("/v1/run/nothing", json={})
    assert (response.status_code, response.json()["code"]) == (404, "NotebookNotFound")
