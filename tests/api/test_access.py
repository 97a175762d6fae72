"""Who may do what on a server that asks for keys."""

import json
import logging

import httpx
import pytest
from tests.support.notebook_file import notebook_file
from tests.support.server import Server

DRAFT = notebook_file(["x = 1"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/notebooks"),
        ("GET", "/v1/executions"),
        ("POST", "/v1/run/double"),
        ("PUT", "/v1/notebooks/draft-1"),
        ("DELETE", "/v1/notebooks/double"),
        ("GET", "/v1/executions/double-1/html"),
        ("POST", "/v1/executions/double-1/cancel"),
    ],
)
def test_without_a_key_nothing_is_told(guarded: Server, plain_keys: dict[str, str], method: str, path: str) -> None:
    for key in (None, "pbk_wrong", plain_keys["expired"]):
        with guarded.client(key) as client:
            response = client.request(method, path)
        assert (response.status_code, response.json()["code"]) == (401, "Unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/redoc", "/metrics", "/openapi.json"])
def test_some_pages_need_no_key(guarded: Server, path: str) -> None:
    with guarded.client() as client:
        assert client.get(path).status_code == 200


def test_the_key_may_come_as_a_header_of_its_own(guarded: Server, plain_keys: dict[str, str]) -> None:
    with guarded.client() as client:
        assert client.get("/v1/notebooks", headers={"X-API-Key": plain_keys["reader"]}).status_code == 200


def test_the_document_shows_what_the_caller_may_see(guarded: Server, plain_keys: dict[str, str]) -> None:
    def runnable(key: str | None) -> set[str]:
        with guarded.client(key) as client:
            return {path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/v1/run/")}

    assert runnable(None) == set()
    assert runnable(plain_keys["runner"]) == {"/v1/run/double", "/v1/run/sleeper"}
    assert "/v1/run/table" in runnable(plain_keys["reader"])


def test_a_missing_scope_is_named(guarded: Server, plain_keys: dict[str, str]) -> None:
    with guarded.client(plain_keys["reader"]) as reader:
        refused = reader.post("/v1/run/double", json={"x": 1})
        assert (refused.status_code, refused.json()["code"]) == (403, "Forbidden")
        assert "notebooks/double/run" in refused.json()["detail"]
        refused = reader.put("/v1/notebooks/draft-1", content=DRAFT, headers={"Content-Type": "application/x-ipynb+json"})
        assert "notebooks/draft-1/write" in refused.json()["detail"]
    with guarded.client(plain_keys["runner"]) as runner:
        assert runner.post("/v1/run/quiet").status_code == 403
        assert runner.get("/v1/notebooks/quiet").status_code == 404
        assert [item["name"] for item in runner.get("/v1/notebooks").json()["items"]] == ["double", "sleeper"]


def test_a_key_sees_its_own_executions_only(guarded: Server, plain_keys: dict[str, str]) -> None:
    with (
        guarded.client(plain_keys["runner"]) as owner,
        guarded.client(plain_keys["admin"]) as admin,
        guarded.client(plain_keys["auditor"]) as auditor,
        guarded.client(plain_keys["reader"]) as stranger,
    ):
        ran = owner.post("/v1/run/double", json={"x": 1})
        path = f"/v1/executions/{ran.headers['Podbook-Execution']}"
        assert owner.get(path).json()["spec"]["submittedBy"] == "runner"
        others = admin.post("/v1/run/double", json={"x": 1}).headers["Podbook-Execution"]

        def listed(client: httpx.Client) -> set[str]:
            return {item["id"] for item in client.get("/v1/executions", params={"limit": 200}).json()["items"]}

        assert path.rpartition("/")[2] in listed(owner)
        assert others not in listed(owner)
        assert others in listed(auditor)
        assert listed(stranger) == set()
        for request in ("", "/output", "/html", "/logs", "/events", "/files", "/files/a"):
            assert stranger.get(path + request).status_code == 404
        assert stranger.post(f"{path}/cancel").status_code == 404
        assert stranger.delete(path).status_code == 404
        assert auditor.get(f"{path}/output").json() == {"twice": 2}
        assert auditor.delete(path).status_code == 404
        assert auditor.post(f"{path}/rerun").status_code == 403
        assert owner.delete(path).status_code == 204


def test_idempotency_keys_of_two_callers_do_not_meet(guarded: Server, plain_keys: dict[str, str]) -> None:
    headers = {"Idempotency-Key": "same"}
    with guarded.client(plain_keys["runner"]) as one, guarded.client(plain_keys["admin"]) as other:
        first = one.post("/v1/notebooks/double/executions", json={"parameters": {"x": 1}}, headers=headers)
        second = other.post("/v1/notebooks/double/executions", json={"parameters": {"x": 2}}, headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]


def test_changes_are_audited_without_secrets(guarded: Server, plain_keys: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="podbook.audit"), guarded.client(plain_keys["author"]) as author:
        author.put("/v1/notebooks/draft-1", content=DRAFT, headers={"Content-Type": "application/x-ipynb+json"})
        author.post("/v1/run/double", json={"x": 4242})
        author.get("/v1/notebooks")
        author.delete("/v1/notebooks/draft-1")
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "podbook.audit"]
    assert [(line["key"], line["action"], line["target"], line["status"]) for line in lines] == [
        ("author", "PUT /v1/notebooks/{notebook}", {"notebook": "draft-1"}, 201),
        ("author", "POST /v1/run/{notebook}", {"notebook": "double"}, 403),
        ("author", "DELETE /v1/notebooks/{notebook}", {"notebook": "draft-1"}, 204),
    ]
    assert not any("4242" in record.getMessage() or plain_keys["author"] in record.getMessage() for record in caplog.records)
