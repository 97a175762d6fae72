"""The data-science API's door: the table, the slow task, keys, and the root."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from tests.support.notebook_file import code_cell, notebook_document
from tests.support.server import Server, running

from podbook.cli.group import podbook
from podbook_api.auth.keys import create_key
from podbook_api.clock import utc_now
from podbook_api.settings import ApiSettings

from .dsapi_cases import NOTEBOOKS, asked, walk


def written(folder: Path) -> Path:
    """The table's notebooks, and one whose name is the beginning of other addresses."""
    folder.mkdir(parents=True)
    for name, (notebook, contract) in NOTEBOOKS.items():
        (folder / f"{name}.ipynb").write_bytes(notebook)
        if contract is not None:
            (folder / f"{name}.config.json").write_text(json.dumps(contract))
    (folder / "v1.ipynb").write_text(json.dumps(notebook_document([code_cell("1")])))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Without keys, with the door at the root, too."""
    base = tmp_path_factory.mktemp("dsapi")
    settings = ApiSettings(data_dir=base / "data", notebooks_dir=written(base / "notebooks"), max_concurrent=2, door_root="dsapi")
    with running(settings) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


@pytest.mark.parametrize("prefix", ["", "/dsapi"])
def test_requests_are_answered_as_recorded(client: httpx.Client, prefix: str) -> None:
    asked(client, prefix)


@pytest.mark.parametrize("prefix", ["", "/dsapi"])
def test_a_slow_task_is_redeemed_by_its_id(client: httpx.Client, prefix: str) -> None:
    walk(client, prefix)


def test_every_other_address_wins_at_the_root(client: httpx.Client) -> None:
    assert client.get("/").json()["message"] == "OK"
    assert client.get("/healthz").status_code == 200
    assert "html" in client.get("/docs").headers["content-type"]
    assert client.get("/docs-assets/redoc.standalone.js").status_code == 200
    assert client.get("/v1/executions").json()["items"] is not None
    for path in ("/v1", "/v1/x/1", "/v1/a/b/c", "/api/notebooks/x"):
        assert client.get(path).status_code == 404
        assert "error" not in client.get(path).json()  # in the shape of the door whose address it is
    warned = {item["name"]: item["warnings"] for item in client.get("/v1/notebooks").json()["items"]}
    assert warned["v1"] == ["at the root, /v1 belongs to another address, so this notebook cannot be called there"]
    assert warned["predict"] == []
    assert client.get("/dsapi/v1").status_code == 200  # it can be called here


def test_the_document_has_the_door_once(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {path for path in paths if "{rest}" in path} == {"/dsapi/{notebook}/{rest}"}
    assert paths["/dsapi/{notebook}"]["post"]["responses"].keys() >= {"202", "400", "401", "404"}


def test_without_a_root_door_the_root_is_as_it_was(tmp_path: Path) -> None:
    settings = ApiSettings(data_dir=tmp_path / "data", notebooks_dir=written(tmp_path / "notebooks"))
    with running(settings) as server, server.client() as client:
        assert client.get("/predict/feature_a/1/feature_b/1").json()["code"] == "NotFound"
        assert client.get("/v1/notebooks/v1").json()["warnings"] == []


def test_keys_of_its_database_move_over(tmp_path: Path) -> None:
    database, keys = tmp_path / "data.db", tmp_path / "keys.json"
    known = ["PE1tlZti1TXJ9nTIri30OnPcquDUpjVrayieAAzY", "4jp1YQZYB5q0Rgd6ddDdAqbhTVSrOkLscmSaXnnW"]
    with sqlite3.connect(database) as connection:
        connection.execute('CREATE TABLE api_keys ("index" BIGINT, "key" TEXT)')
        connection.executemany("INSERT INTO api_keys VALUES (?, ?)", enumerate([*known, "short", None, known[0]]))
    connection.close()
    command = ["keys", "import", "--file", str(keys), "--scope", "notebooks/*/run", str(database)]
    done = CliRunner().invoke(podbook, command)
    assert done.exit_code == 0, done.output
    assert "Imported 2 keys" in done.output
    assert "row 3" in done.output
    assert "fewer than 16 characters" in done.output
    assert not any(key in done.output + keys.read_text() for key in known)
    again = CliRunner().invoke(podbook, command)
    assert again.exit_code == 0
    assert "Imported 0 keys" in again.output

    with running(ApiSettings(data_dir=tmp_path / "data", notebooks_dir=written(tmp_path / "n"), keys_file=keys)) as server:
        for sent, status, message in (
            ({}, 401, "No API Key provided"),
            ({"X-API-Key": "invalid-key"}, 401, "Invalid API Key"),
            ({"X-API-Key": known[1]}, 200, None),
        ):
            for path in ("/dsapi/predict/feature_a/1.0/feature_b/1.0", "/dsapi/elsewhere"):
                got = httpx.get(server.url + path, headers=sent, timeout=60)
                if message is not None:
                    assert (got.status_code, got.json()) == (status, {"error": True, "message": message})
                elif path.endswith("elsewhere"):
                    assert got.status_code == 404
                else:
                    assert (got.status_code, got.json()["class"]) == (200, 1)


@pytest.mark.parametrize("content", [b"not a database at all", None])
def test_what_has_no_keys_to_import_is_named(tmp_path: Path, content: bytes | None) -> None:
    database = tmp_path / "data.db"
    if content is None:
        sqlite3.connect(database).close()
        database.touch()
    else:
        database.write_bytes(content)
    done = CliRunner().invoke(podbook, ["keys", "import", "--file", str(tmp_path / "k.json"), "--scope", "*", str(database)])
    assert done.exit_code == 1
    assert str(database) in done.output
    assert not (tmp_path / "k.json").exists()


def test_a_key_without_the_scope_is_refused_in_its_shape(tmp_path: Path) -> None:
    plain, entry = create_key("reader", ["notebooks/predict/read"], expires=utc_now() + timedelta(days=1), now=utc_now())
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [entry.model_dump(mode="json")]}))
    with running(ApiSettings(data_dir=tmp_path / "data", notebooks_dir=written(tmp_path / "n"), keys_file=keys)) as server:
        for path, status in (("/dsapi/predict/feature_a/1/feature_b/1", 403), ("/dsapi/label", 404)):
            got = httpx.get(server.url + path, headers={"X-API-Key": plain})
            assert (got.status_code, set(got.json())) == (status, {"error", "message"})
