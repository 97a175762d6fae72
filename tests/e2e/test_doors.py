"""The older systems' doors on a cluster: the same tables as on the embedded server."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from tests.doors import dsapi_cases
from tests.doors.http_cases import ANSWERS as HTTP_ANSWERS
from tests.doors.http_cases import NOTEBOOK as HTTP_NOTEBOOK
from tests.doors.http_cases import asked
from tests.doors.jupyrest_cases import FIRST, MODELS, NOTEBOOKS, SECOND, walk_first, walk_second

from podbook_core.text.names import is_execution_name

from .installation import Installation

pytestmark = pytest.mark.cluster


def publish(
    client: httpx.Client, notebooks: Mapping[str, tuple[bytes, Any]], models: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Publish a table's notebooks, with their contracts and the models that these name."""
    for name, (notebook, contract) in notebooks.items():
        parts = [("notebook", (f"{name}.ipynb", notebook))]
        if contract is not None:
            parts.append(("contract", (f"{name}.config.json", json.dumps(contract).encode())))
            parts += [("models", (f"{alias}.json", json.dumps(schema).encode())) for alias, schema in models.items()]
        client.put(f"/v1/notebooks/{name}", files=parts).raise_for_status()


@pytest.fixture(scope="module")
def client(podbook: Installation) -> httpx.Client:
    """A client with a key, and jupyrest's notebooks published."""
    publish(podbook.http, NOTEBOOKS, MODELS)
    return podbook.http


def test_jupyrests_requests_are_answered_as_recorded(client: httpx.Client) -> None:
    for method, address, body, status, expected in (*FIRST, *SECOND):
        headers = {} if body is None else {"Content-Type": "application/json"}
        got = client.request(method, address, content=body, headers=headers)
        assert got.status_code == status, (method, address, body, got.text)
        assert expected is None or got.json() == expected


def test_the_walks_of_jupyrest(client: httpx.Client, podbook: Installation) -> None:
    walk_first(client)
    walk_second(client)
    names = [item["id"] for item in client.get("/v1/executions", params={"notebook": "analysis"}).json()["items"]]
    assert names
    assert all(is_execution_name(name) for name in names)
    listed = podbook.runs("get", "notebookexecutions", "-o", "name")
    assert all(f"notebookexecution.podbook.dev/{name}" in listed for name in names)


def test_annotated_cells_answer_on_a_cluster(podbook: Installation) -> None:
    podbook.http.put("/v1/notebooks/httpapi", files={"notebook": ("httpapi.ipynb", HTTP_NOTEBOOK)}).raise_for_status()
    for case in HTTP_ANSWERS:
        if case.path in ("/convert?angle=180", "/created", "/image", "/upload", "/raises", "/things/7", "/elsewhere"):
            asked(podbook.http, "/http/httpapi", case)
    listed = list(podbook.http.get("/v1/executions", params={"notebook": "httpapi"}).json()["items"])
    assert {item["spec"]["request"]["route"] for item in listed} >= {"/convert", "/upload", "/things/:id"}
    name = next(item["id"] for item in listed if item["spec"]["request"]["route"] == "/convert")
    resource = podbook.runs.get("notebookexecution", name)
    assert "angle" not in json.dumps(resource)


def test_the_data_science_api_answers_on_a_cluster(podbook: Installation) -> None:
    publish(podbook.http, dsapi_cases.NOTEBOOKS)
    dsapi_cases.asked(podbook.http, "/dsapi")
    dsapi_cases.walk(podbook.http, "/dsapi")
