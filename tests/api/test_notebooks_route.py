"""The catalogue over REST: listed, published, replaced, removed; hostile contracts are refused."""

import json
from collections.abc import Iterator

import httpx
import pytest
from tests.support.notebook_file import SAVE, code_cell, notebook_document, notebook_file

IPYNB = {"Content-Type": "application/x-ipynb+json"}
SUM = notebook_file(["a = 1\nb = 2", SAVE + "import helper\nsave({'sum': helper.add(a, b)})"])


@pytest.fixture
def draft(client: httpx.Client) -> Iterator[str]:
    """The address of a notebook that is gone after the test."""
    yield "/v1/notebooks/draft"
    client.delete("/v1/notebooks/draft")


def test_the_list_tells_what_notebooks_take_and_give(client: httpx.Client) -> None:
    items = {item["name"]: item for item in client.get("/v1/notebooks").json()["items"]}
    double = items["double"]
    assert (double["status"], double["title"], double["kernel"], double["codeCells"]) == ("ready", "Double a number", "python3", 2)
    assert double["inputSchema"]["required"] == ["x"]
    assert double["links"]["run"] == "/v1/run/double"
    assert items["broken"]["status"] == "broken"
    assert "not valid JSON" in items["broken"]["message"]
    assert list(items) == sorted(items)


def test_one_notebook_has_its_version_as_entity_tag(client: httpx.Client) -> None:
    first = client.get("/v1/notebooks/double")
    assert first.headers["ETag"] == f'"{first.json()["version"]}"'
    assert client.get("/v1/notebooks/double", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert client.get("/v1/notebooks/broken").json()["status"] == "broken"
    assert client.get("/v1/notebooks/nothing").json()["code"] == "NotebookNotFound"


def test_publishing_replacing_and_removing(client: httpx.Client, draft: str) -> None:
    first = client.put(draft, content=notebook_file(["x = 1"]), headers=IPYNB)
    assert (first.status_code, first.headers["Location"]) == (201, draft)
    same = client.put(draft, content=notebook_file(["x = 1"]), headers=IPYNB)
    assert (same.status_code, same.json()["version"]) == (200, first.json()["version"])
    second = client.put(draft, content=notebook_file(["x = 2"]), headers=IPYNB)
    assert second.status_code == 200
    versions = client.get(f"{draft}/versions").json()["items"]
    assert {item["version"]: item["current"] for item in versions} == {
        first.json()["version"]: False,
        second.json()["version"]: True,
    }
    pinned = client.post(f"{draft}/executions", params={"dryRun": True}, json={"version": first.json()["version"]})
    assert pinned.json()["resolved"]["version"] == first.json()["version"]
    assert client.delete(draft).status_code == 204
    assert client.delete(draft).status_code == 404
    assert client.post("/v1/run/draft").status_code == 404


def test_versions_come_in_pages(client: httpx.Client, draft: str) -> None:
    published = [
        client.put(draft, content=notebook_file([f"x = {number}"]), headers=IPYNB).json()["version"] for number in range(5)
    ]
    whole = client.get(f"{draft}/versions").json()
    assert "nextCursor" not in whole
    assert {item["version"] for item in whole["items"]} == {*published}
    found, cursor = [], None
    while True:
        page = client.get(f"{draft}/versions", params={"limit": 2} if cursor is None else {"limit": 2, "cursor": cursor}).json()
        assert len(page["items"]) <= 2
        found += page["items"]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert found == whole["items"]
    assert [item["current"] for item in found] == [item["version"] == published[-1] for item in found]
    for wrong in ("nothing", "0" * 64):
        refused = client.get(f"{draft}/versions", params={"cursor": wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, "InvalidCursor")
    assert client.get(f"{draft}/versions", params={"limit": 0}).status_code == 422


def test_conditions_keep_two_authors_apart(client: httpx.Client, draft: str) -> None:
    only_new = {**IPYNB, "If-None-Match": "*"}
    assert client.put(draft, content=notebook_file(["x = 1"]), headers={**IPYNB, "If-Match": "*"}).status_code == 412
    first = client.put(draft, content=notebook_file(["x = 1"]), headers=only_new)
    assert first.status_code == 201
    assert client.put(draft, content=notebook_file(["x = 2"]), headers=only_new).json()["code"] == "PreconditionFailed"
    replaced = client.put(draft, content=notebook_file(["x = 2"]), headers={**IPYNB, "If-Match": first.headers["ETag"]})
    assert replaced.status_code == 200
    late = client.put(draft, content=notebook_file(["x = 3"]), headers={**IPYNB, "If-Match": first.headers["ETag"]})
    assert (late.status_code, late.json()["code"]) == (412, "PreconditionFailed")
    assert client.get(draft).json()["version"] == replaced.json()["version"]


def test_a_notebook_with_contract_assets_and_models_runs(client: httpx.Client, draft: str) -> None:
    contract = {
        "input": {"type": "object", "properties": {"a": {"$ref": "nbschema://amount"}, "b": {"type": "integer"}}},
        "assets": ["*.py", "data/**"],
    }
    files = [
        ("notebook", ("draft.ipynb", SUM, "application/x-ipynb+json")),
        ("contract", ("draft.config.json", json.dumps(contract).encode(), "application/json")),
        ("models", ("amount.json", b'{"type": "integer", "minimum": 1}', "application/json")),
        ("assets", ("helper.py", b"def add(a, b):\n    return a + b\n", "text/x-python")),
        ("assets", ("data/deep/table.csv", b"1,2\n", "text/csv")),
    ]
    published = client.put(draft, files=files)
    assert published.status_code == 201, published.text
    assert published.json()["assets"] == ["data/deep/table.csv", "helper.py"]
    assert client.post("/v1/run/draft", json={"a": 40}).json() == {"sum": 42}
    assert client.post("/v1/run/draft", json={"a": 0}).json()["errors"][0]["path"] == "/a"


@pytest.mark.parametrize(
    ("contract", "place"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b'{"inputs": {}}', "/inputs"),
        (b'{"schedule": "daily"}', "/schedule"),
        (b'{"input": {"type": "objekt"}}', "/input/type"),
        (b'{"input": {"$ref": "http://127.0.0.1:9/x.json"}}', "/input/$ref"),
        (b'{"input": {"$ref": "nbschema://none"}}', "/input/$ref"),
        (b'{"input": {"$ref": "#/$defs/none"}}', "/input/$ref"),
        (b'{"input": {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}}', "/input"),
        (b'{"input": {"properties": {"a": {"pattern": "("}}}}', "/input/properties/a/pattern"),
        (b'{"input": ' + b'{"items": ' * 500 + b"{}" + b"}" * 500 + b"}", None),
        (b'{"input": {"default": ' + b"[" * 900 + b"]" * 900 + b"}}", ""),
        (b'{"input": {"default": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}", ""),
        (b'{"profile": "gpu"}', "/profile"),
        (b'{"assets": ["../secret"]}', "/assets/0"),
        (b'{"title": "' + b"x" * 300_000 + b'"}', ""),
    ],
)
def test_hostile_contracts_are_refused_with_their_place(
    client: httpx.Client, draft: str, contract: bytes, place: str | None
) -> None:
    files = [("notebook", ("draft.ipynb", SUM)), ("contract", ("draft.config.json", contract))]
    response = client.put(draft, files=files)
    assert (response.status_code, response.json()["code"]) == (422, "InvalidContract")
    if place is not None:
        assert response.json()["errors"][0]["path"] == place
    assert client.get(draft).status_code == 404


@pytest.mark.parametrize("name", ["class", "from", "a.b", "start-date", "2nd", ""])
@pytest.mark.parametrize("schema", ["properties", "required"])
def test_a_name_that_no_variable_can_have_is_refused_before_anything_starts(
    client: httpx.Client, draft: str, name: str, schema: str
) -> None:
    named = {name: {}} if schema == "properties" else [name]
    contract = json.dumps({"input": {"type": "object", schema: named}}).encode()
    refused = client.put(draft, files=[("notebook", ("n.ipynb", SUM)), ("contract", ("c.json", contract))])
    assert (refused.status_code, refused.json()["code"]) == (422, "InvalidContract")
    assert refused.json()["errors"][0]["path"] == f"/input/properties/{name}"
    assert "name of a variable" in refused.json()["errors"][0]["problem"]
    client.put(draft, content=SUM, headers=IPYNB).raise_for_status()
    call = client.post("/v1/run/draft", json={name: 1})
    assert (call.status_code, call.json()["code"]) == (422, "InvalidParameters")
    assert "Podbook-Execution" not in call.headers


def test_a_notebook_of_another_language_has_the_names_of_that_language(client: httpx.Client, draft: str) -> None:
    metadata = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    contract = b'{"input": {"properties": {"start.date": {}, "class": {}}}}'
    document = json.dumps(notebook_document([code_cell("1")], metadata)).encode()
    published = client.put(draft, files=[("notebook", ("n.ipynb", document)), ("contract", ("c.json", contract))])
    assert published.status_code == 201, published.text
    dry = client.post(f"{draft}/executions", params={"dryRun": True}, json={"parameters": {"start.date": 1, "class": 2}})
    assert dry.status_code == 200, dry.text


@pytest.mark.parametrize(
    "name", ["myenv", "pythonjvsc74a57bd0e7370f93d1d0cde622a1f8e1c04877d8463912d04d973331ad4851f04de6915a", None]
)
def test_the_kernel_of_somebody_elses_editor_is_told_and_runs(client: httpx.Client, draft: str, name: str | None) -> None:
    metadata = {} if name is None else {"kernelspec": {"name": name, "display_name": "mine"}}
    published = client.put(draft, content=json.dumps(notebook_document([code_cell(SAVE + "save(7)")], metadata)), headers=IPYNB)
    assert published.status_code == 201, published.text
    listed = next(item for item in client.get("/v1/notebooks").json()["items"] if item["name"] == "draft")
    for shown in (published.json(), listed, client.get(draft).json()):
        assert len(shown["warnings"]) == 1
        assert (name or "does not name a kernel") in shown["warnings"][0]
        assert "python3" in shown["warnings"][0]
    assert client.post("/v1/run/draft").json() == 7


@pytest.mark.parametrize(
    ("paths", "globs", "problem"),
    [
        (["helper.py"], [], "is not matched by the contract's assets"),
        ([], ["*.csv"], "matches no file that was sent"),
        (["../helper.py"], ["**"], "is not a valid file name"),
        (["/etc/passwd"], ["**"], "is not a valid file name"),
        (["a.py", "a.py"], ["*.py"], "was sent twice"),
        (["a", "a/b"], ["**"], "needs a folder where a is a file"),
        (["a/b/c", "a/b", "x"], ["**"], "needs a folder where a/b is a file"),
    ],
)
def test_assets_and_contract_must_agree(client: httpx.Client, draft: str, paths: list[str], globs: list[str], problem: str) -> None:
    files = [("notebook", ("n.ipynb", SUM)), ("contract", ("c.json", json.dumps({"assets": globs}).encode()))]
    files += [("assets", (path, b"x")) for path in paths]
    response = client.put(draft, files=files)
    assert (response.status_code, response.json()["code"]) == (422, "InvalidAssets")
    assert problem in [error["problem"] for error in response.json()["errors"]]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "not valid JSON"),
        (b"{}", "no nbformat"),
        (b"[" * 10_000 + b"]" * 10_000, "too deeply"),
        (b'{"nbformat": 3, "cells": []}', "nbformat 3"),
        (b"", "not valid JSON"),
    ],
)
def test_what_is_no_notebook_is_refused(client: httpx.Client, draft: str, content: bytes, why: str) -> None:
    response = client.put(draft, content=content, headers=IPYNB)
    assert (response.status_code, response.json()["code"]) == (422, "InvalidNotebook")
    assert why in response.json()["detail"]


def test_forms_are_checked(client: httpx.Client, draft: str) -> None:
    assert "no part notebook" in client.put(draft, files={"contract": ("c", b"{}")}).json()["detail"]
    assert "unknown parts" in client.put(draft, files={"notebook": ("n", SUM), "extra": ("e", b"")}).json()["detail"]
    assert client.put(draft, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


def test_notebooks_of_the_folder_are_changed_there(client: httpx.Client) -> None:
    for response in (client.put("/v1/notebooks/double", content=SUM, headers=IPYNB), client.delete("/v1/notebooks/double")):
        assert (response.status_code, response.json()["code"]) == (409, "ManagedByFolder")
