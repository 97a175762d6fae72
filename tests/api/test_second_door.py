"""A door needs no more than a router over the services: the ledger of ``ledger_door.py`` beside Podbook's own, over real runs."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from podbook_api.doors.door import Door, door_at
from podbook_api.doors.native.door import NATIVE
from podbook_api.doors.openapi import build_document
from podbook_api.doors.problems import Code, status_of
from podbook_api.doors.registry import DOORS, UnknownDoorError, doors_named
from podbook_api.doors.service import SERVICE
from podbook_api.serve.app import build_embedded
from podbook_api.services import errors
from podbook_api.settings import ApiSettings
from podbook_core.json_logs import AUDIT_LOGGER
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.directory import DirectoryStore

from .ledger_door import LEDGER
from .samples import write_folder

URL = "http://localhost"


@pytest_asyncio.fixture
async def client(tmp_path: Path, keys: tuple[Path, dict[str, str]]) -> AsyncIterator[httpx.AsyncClient]:
    """A client, without a key, of a server with keys and both doors."""
    write_folder(tmp_path / "notebooks")
    settings = ApiSettings(data_dir=tmp_path / "data", notebooks_dir=tmp_path / "notebooks", keys_file=keys[0], max_concurrent=1)
    embedded = build_embedded(settings, doors=[NATIVE, LEDGER])
    try:
        async with (
            embedded.app.router.lifespan_context(embedded.app),
            httpx.AsyncClient(transport=httpx.ASGITransport(embedded.app), base_url=URL, timeout=60) as made,
        ):
            yield made
    finally:
        embedded.close()


async def test_it_runs_notebooks_for_the_same_callers(client: httpx.AsyncClient, plain_keys: dict[str, str]) -> None:
    runner = {"Authorization": f"token {plain_keys['runner']}"}
    answer = await client.post("/ledger/sums/double", params={"x": "21"}, headers=runner)
    assert (answer.status_code, answer.json()) == (200, {"twice": 42})
    native = {"Authorization": f"Bearer {plain_keys['runner']}"}
    execution = (await client.get(f"/v1/executions/{answer.headers['Ledger-Entry']}", headers=native)).json()
    assert execution["spec"]["submittedBy"] == "runner"
    assert execution["spec"]["parameters"] == {"x": 21}


@pytest.mark.parametrize("way", ["token", "user and key", "query"])
async def test_each_way_to_present_a_key_is_the_same_caller(
    client: httpx.AsyncClient, plain_keys: dict[str, str], way: str
) -> None:
    key = plain_keys["runner"]
    headers = {"token": {"Authorization": f"token {key}"}, "user and key": {"Authorization": f"ApiKey ann:{key}"}, "query": {}}[way]
    query = {"token": key} if way == "query" else {}
    created = await client.post("/ledger/sums/sleeper", params={"wait": "0", "seconds": "0", **query}, headers=headers)
    assert (created.status_code, created.json()["error"]) == (404, True)  # its word for what has not ended
    listed = (await client.get("/v1/executions", headers={"X-API-Key": key})).json()["items"]
    assert [item["spec"]["submittedBy"] for item in listed] == ["runner"]
    refused = await client.post("/ledger/sums/table", params=query, headers=headers)
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        "this key lacks the scope notebooks/table/run (whether such a notebook exists is not disclosed)",
    )
    entry = await client.get(f"/ledger/old/entries/{listed[0]['id']}", params=query, headers=headers)
    assert (entry.status_code, entry.json()["by"]) == (200, "runner")
    events = await client.get(f"/v1/executions/{listed[0]['id']}/events", headers={"X-API-Key": key})
    assert '"reason": "Succeeded"' in events.text


async def test_a_door_takes_its_own_credentials_only(client: httpx.AsyncClient, plain_keys: dict[str, str]) -> None:
    key = plain_keys["admin"]
    for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}, {}):
        refused = await client.get("/ledger/old/entries/none", headers=headers)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'token realm="podbook", ApiKey realm="podbook"')
    for headers in ({"Authorization": f"token {key}"}, {"Authorization": f"ApiKey ann:{key}"}):
        assert (await client.get("/v1/notebooks", headers=headers)).status_code == 401
    assert (await client.get("/v1/notebooks", params={"token": key})).status_code == 401


async def test_errors_have_the_shape_of_their_door(client: httpx.AsyncClient, plain_keys: dict[str, str]) -> None:
    admin = {"Authorization": f"token {plain_keys['admin']}"}
    for method, path, status, said in (
        ("GET", "/ledger/nothing", 404, "this path does not exist"),
        ("PUT", "/ledger/sums/double", 405, "PUT is not allowed here"),
        ("POST", "/ledger/sums/double?wait=long", 422, "/query/wait"),
        ("POST", "/ledger/sums/double?x=many", 422, "/x"),
        ("POST", "/ledger/sums/absent", 404, "no notebook absent is published"),
        ("POST", "/ledger/sums/broken", 409, "notebook broken cannot be run"),
        ("POST", "/ledger/sums/raising", 424, "no such customer: nobody"),
        ("GET", "/ledger/old/entries/none", 404, "there is no execution none"),
        ("GET", "/ledger/old/nothing", 404, "this path does not exist"),
        ("GET", "/ledger/fault", 500, "an internal error occurred"),
    ):
        answer = await client.request(method, path, headers=admin)
        assert answer.status_code == status, (path, answer.text)
        assert set(answer.json()) == {"error", "message"}
        assert said in answer.json()["message"]
        assert "/v1" not in answer.text
    for path in ("/v1/nothing", "/nothing", "/ledgers", "/v1/notebooks"):
        answer = await client.get(path, headers=admin)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code


async def test_an_outage_has_the_shape_of_the_door(
    client: httpx.AsyncClient, plain_keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_self: DirectoryStore, key: str, **_kwargs: object) -> None:
        raise StoreUnavailableError(f"/secret/folder/{key}")

    monkeypatch.setattr(DirectoryStore, "get", away)
    answer = await client.get("/ledger/old/entries/none", headers={"Authorization": f"token {plain_keys['admin']}"})
    assert (answer.status_code, set(answer.json())) == (503, {"error", "message"})
    assert "secret" not in answer.text
    native = await client.get("/v1/executions/none", headers={"Authorization": f"Bearer {plain_keys['admin']}"})
    assert (native.status_code, native.json()["code"]) == (503, "StoreUnavailable")


async def test_its_runs_are_counted_and_audited(
    client: httpx.AsyncClient, plain_keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=AUDIT_LOGGER)
    runner = {"Authorization": f"token {plain_keys['runner']}"}
    name = (await client.post("/ledger/sums/double", params={"x": "1"}, headers=runner)).headers["Ledger-Entry"]
    await client.post("/ledger/sums/double", params={"x": "5000"}, headers=runner)
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == AUDIT_LOGGER]
    assert [(line["key"], line.get("execution"), line["status"]) for line in lines] == [
        ("runner", name, 200),
        ("runner", None, 422),
    ]
    metrics = (await client.get("/metrics")).text
    assert "podbook_api_executions_submitted_total 1.0" in metrics
    assert 'podbook_api_executions_refused_total{code="InvalidParameters"} 1.0' in metrics


async def test_the_document_has_the_parts_of_both_doors(client: httpx.AsyncClient, plain_keys: dict[str, str]) -> None:
    document = (await client.get("/openapi.json", headers={"X-API-Key": plain_keys["admin"]})).json()
    OpenAPIV31SpecValidator(document).validate()
    operation = document["paths"]["/ledger/sums/{notebook}"]["post"]
    assert operation["security"] == [{"token": []}, {"apikey": []}, {"tokenInQuery": []}]
    assert document["components"]["securitySchemes"]["tokenInQuery"] == {"type": "apiKey", "in": "query", "name": "token"}
    assert document["security"] == [{"bearer": []}, {"apiKey": []}]
    assert "security" not in document["paths"]["/v1/run/double"]["post"]
    assert "/ledger/fault" not in document["paths"]


def test_the_document_names_the_credentials_of_the_door_that_answers() -> None:
    everything = Door(name="everything", paths=("",), problem=LEDGER.problem, credentials=LEDGER.credentials[:1])
    operations: dict[str, Any] = {path: {"get": {"responses": {}}} for path in ("/v1/executions", "/other")}
    parts = [replace(NATIVE.part, complete=None), everything.part]
    document = build_document({"paths": operations}, [], anonymous=True, parts=parts)
    assert document["security"] == [{"bearer": []}, {"apiKey": []}, {}]
    assert "security" not in document["paths"]["/v1/executions"]["get"]
    assert document["paths"]["/other"]["get"]["security"] == [{"token": []}, {}]


def test_the_longest_path_tells_the_door_by_whole_segments() -> None:
    whole = Door(name="whole", paths=("",), problem=LEDGER.problem, credentials=())
    inner = Door(name="inner", paths=("/ledger/old", "/api"), problem=LEDGER.problem, credentials=())
    doors = [NATIVE, LEDGER, inner]
    for path, name in (
        ("/v1", "native"),
        ("/v1/run/x", "native"),
        ("/v10", "service"),
        ("/ledger/sums/x", "ledger"),
        ("/ledger/old/entries", "inner"),
        ("/ledger/older", "ledger"),
        ("/api/v1", "inner"),
        ("/", "service"),
    ):
        assert door_at(doors, path, otherwise=SERVICE).name == name
    assert door_at([whole, SERVICE], "/anything", otherwise=SERVICE) is whole
    assert door_at([whole, SERVICE], "/healthz", otherwise=SERVICE) is SERVICE
    for path in ("ledger", "/ledger/"):
        with pytest.raises(ValueError, match="must start with a slash"):
            Door(name="wrong", paths=(path,), problem=LEDGER.problem, credentials=())


def test_doors_are_chosen_by_name() -> None:
    assert doors_named(["native", "native"]) == (NATIVE,)
    assert all(name == door.name for name, door in DOORS.items())
    with pytest.raises(UnknownDoorError, match="there is no door 'ledger'; there are native"):
        doors_named(["ledger"])


def _kinds(kind: type[errors.ServiceError]) -> set[type[errors.ServiceError]]:
    return {kind}.union(*(_kinds(item) for item in kind.__subclasses__()))


def test_every_error_of_the_services_has_a_documented_code_and_a_status() -> None:
    # A failed run has its reason as code, and these are bases that are never raised themselves.
    elsewhere = {errors.ServiceError, errors.ConflictError, errors.RunFailedError, errors.PageMissingError}
    drawn = errors.ServiceError.__doc__ or ""
    for kind in _kinds(errors.ServiceError):
        assert kind.__name__ in drawn
        if kind not in elsewhere:
            assert kind.code in set(Code)
            plain = kind.__new__(kind)
            assert (status_of(plain) == 500) == (kind is errors.UnreadableError)
