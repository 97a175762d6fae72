"""Results: served as the record names them, sandboxed, and only if nobody has changed them."""

import json

import httpx
import pytest
from tests.support.notebook_file import SAVE, notebook_file
from tests.support.server import Server

from podbook_core.store.keys import record_key
from podbook_core.upkeep.reindex import rebuild_index

from .samples import PIXEL


@pytest.fixture(scope="module")
def mirrored(server: Server) -> str:
    """The id of an execution with every kind of result."""
    with server.client() as client:
        response = client.post("/v1/run/mirror", files={"picture": ("a.png", PIXEL, "image/png")})
        assert response.status_code == 200
        return response.headers["Podbook-Execution"]


@pytest.mark.parametrize("name", ["html", "report"])
def test_html_comes_sandboxed(client: httpx.Client, mirrored: str, name: str) -> None:
    response = client.get(f"/v1/executions/{mirrored}/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:"
    )
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"].startswith("private")
    assert response.headers["content-disposition"] == "inline"
    assert "set-cookie" not in response.headers
    assert ("PODBOOK_INPUT_DIR" in response.text) is (name == "html")


def test_the_executed_notebook_can_be_downloaded(client: httpx.Client, mirrored: str) -> None:
    response = client.get(f"/v1/executions/{mirrored}/notebook")
    assert response.headers["content-type"] == "application/x-ipynb+json"
    assert response.headers["content-disposition"] == f'attachment; filename="{mirrored}.ipynb"'
    assert response.json()["nbformat"] == 4


def test_output_and_log(client: httpx.Client, mirrored: str) -> None:
    assert client.get(f"/v1/executions/{mirrored}/output").json()["names"] == ["picture"]
    log = client.get(f"/v1/executions/{mirrored}/logs")
    assert (log.status_code, log.headers["content-type"]) == (200, "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "../output.json",
        "%2e%2e/output.json",
        "..%2foutput.json",
        "/etc/passwd",
        "a%00b",
        "x" * 600,
        "image.png/",
        "notes",
        "IMAGE.PNG",
    ],
)
def test_there_is_no_file_but_those_published(client: httpx.Client, mirrored: str, path: str) -> None:
    response = client.get(f"/v1/executions/{mirrored}/files/{path}")
    # "../output.json" is resolved by the client itself, to an address that does not exist.
    assert response.status_code in (404, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_changed_result_is_not_served(client: httpx.Client, server: Server) -> None:
    response = client.post("/v1/run/double", json={"x": 7})
    execution = client.get(f"/v1/executions/{response.headers['Podbook-Execution']}").json()
    results = execution["status"]["results"]
    server.store.put(results["output"], b'{"twice": 666}')
    changed = client.get(execution["links"]["output"])
    assert (changed.status_code, changed.json()["code"]) == (502, "ResultChanged")
    server.store.delete(results["html"])
    gone = client.get(execution["links"]["html"])
    assert (gone.status_code, gone.json()["code"]) == (502, "ResultChanged")
    record = json.loads(server.store.get(record_key(execution["metadata"]["uid"]), limit=2**30).data)
    assert record["execution"]["status"]["reason"] == "Succeeded"


def test_a_result_that_was_copied_is_served_again_once_it_is_pinned(client: httpx.Client, server: Server) -> None:
    body = {"parameters": {"x": 8}}
    execution = client.post("/v1/notebooks/double/executions", json=body, headers={"Prefer": "wait=60"}).json()
    key = record_key(execution["metadata"]["uid"])
    record = json.loads(server.store.get(key, limit=2**30).data)
    for item in record["objects"]:
        item["etag"] = "etag-of-another-store"
    server.store.put(key, json.dumps(record).encode())
    for name in ("output", "html"):
        assert client.get(execution["links"][name]).json()["code"] == "ResultChanged"
    rebuild_index(server.store, lambda _: None)
    assert client.get(execution["links"]["output"]).json() == {"twice": 16}
    assert client.get(execution["links"]["html"]).status_code == 200


def test_renderings_that_were_not_asked_for_are_not_there(client: httpx.Client) -> None:
    created = client.post(
        "/v1/notebooks/double/executions",
        json={"parameters": {"x": 1}, "outputs": {"html": False, "report": False}},
        headers={"Prefer": "wait=60"},
    )
    assert "html" not in created.json()["links"]
    missing = client.get(f"{created.headers['Location']}/html")
    assert (missing.status_code, missing.json()["code"]) == (404, "ResultNotFound")


def test_a_page_that_cannot_be_rendered_withholds_no_result(client: httpx.Client) -> None:
    cells = [
        "import os, pathlib; pathlib.Path(os.environ['PODBOOK_OUTPUT_DIR'], 'a.txt').write_text('kept')",
        SAVE + "save({'made': 'all the same'})",
        "from IPython.display import display\ndisplay({'text/markdown': '![x](attachment:nowhere.png)'}, raw=True)",
    ]
    torn = "/v1/notebooks/torn"
    client.put(torn, content=notebook_file(cells), headers={"Content-Type": "application/x-ipynb+json"}).raise_for_status()
    try:
        answer = client.post("/v1/run/torn")
        assert (answer.status_code, answer.json()) == (200, {"made": "all the same"})
        base = f"/v1/executions/{answer.headers['Podbook-Execution']}"
        status = client.get(base).json()["status"]
        told = next(item for item in status["conditions"] if item["type"] == "PagesRendered")
        assert (status["reason"], told["status"], told["reason"]) == ("Succeeded", "False", "RenderFailed")
        for page in ("html", "report"):
            problem = client.get(f"{base}/{page}")
            assert (problem.status_code, problem.json()["code"]) == (424, "RenderFailed")
            assert "missing attachment: nowhere.png" in problem.json()["detail"]
            assert {client.get(link).status_code for link in problem.json()["links"].values()} == {200}
        assert client.get(f"{base}/files/a.txt").text == "kept"
        assert client.get(f"{base}/notebook").json()["nbformat"] == 4
        rendered = client.post("/v1/notebooks/double/executions", json={"parameters": {"x": 1}}, headers={"Prefer": "wait=60"})
        told = next(item for item in rendered.json()["status"]["conditions"] if item["type"] == "PagesRendered")
        assert told["status"] == "True"
    finally:
        client.delete(torn)


def test_the_log_of_a_running_notebook_can_be_read(client: httpx.Client) -> None:
    created = client.post("/v1/notebooks/sleeper/executions", json={"parameters": {"seconds": 100}}, headers={"Prefer": "wait=1"})
    path = created.headers["Location"]
    assert client.get(f"{path}/logs").status_code == 200
    for name in ("html", "notebook", "files", "files/a.txt"):
        early = client.get(f"{path}/{name}")
        assert (early.status_code, early.json()["code"], early.json()["execution"]) == (409, "NotFinished", created.json()["id"])
    client.post(f"{path}/cancel")
