"""The OpenAPI document: contracts become components that every tool understands."""

from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from podbook_api.doors.native.door import NATIVE
from podbook_api.doors.openapi import NotebookSchema, OpenApiDocuments, build_document, schema_components

BASE: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/v1/run/{notebook}": {
            "post": {
                "operationId": "run",
                "parameters": [
                    {"name": "notebook", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "prefer", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {"200": {"description": "output"}},
            }
        }
    },
}


def schema(name: str, version: str = "1", **contract: Any) -> NotebookSchema:
    """A notebook of the catalogue."""
    return NotebookSchema(name, version, None, None, contract.get("input"), contract.get("output"))


def test_definitions_become_components_and_references_follow() -> None:
    contract = {
        "type": "object",
        "$defs": {"point": {"type": "object", "properties": {"next": {"$ref": "#/$defs/point"}}}},
        "definitions": {"a/b": {"type": "string"}},
        "properties": {"at": {"$ref": "#/$defs/point"}, "tag": {"$ref": "#/definitions/a~1b"}, "self": {"$ref": "#"}},
    }
    components = schema_components("PlotInput", contract, taken={"PlotInputPoint": {}})
    assert components == {
        "PlotInput": {
            "type": "object",
            "properties": {
                "at": {"$ref": "#/components/schemas/PlotInputPoint2"},
                "tag": {"$ref": "#/components/schemas/PlotInputAB"},
                "self": {"$ref": "#/components/schemas/PlotInput"},
            },
        },
        "PlotInputPoint2": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/PlotInputPoint2"}}},
        "PlotInputAB": {"type": "string"},
    }


def test_draft_07_becomes_2020_12() -> None:
    contract = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "http://example.com/x",
        "items": [{"type": "integer"}, {"type": "string"}],
        "additionalItems": False,
        "dependencies": {"a": ["b"], "c": {"required": ["d"]}},
        "default": {"items": [1]},
    }
    assert schema_components("XOutput", contract, taken={})["XOutput"] == {
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "items": False,
        "dependentRequired": {"a": ["b"]},
        "dependentSchemas": {"c": {"required": ["d"]}},
        "default": {"items": [1]},
    }


@pytest.mark.parametrize(
    ("contract", "component"), [(None, {"type": "object", "additionalProperties": True}), (False, {"not": {}})]
)
def test_contracts_without_a_schema(contract: bool | None, component: object) -> None:
    assert schema_components("XInput", contract, taken={}) == {"XInput": component}


def test_names_that_look_alike_stay_apart() -> None:
    document = build_document(BASE, [schema("a.b"), schema("a-b"), schema("c")], anonymous=True, parts=[NATIVE.part])
    operations = {path: item["post"]["operationId"] for path, item in document["paths"].items()}
    assert set(operations) == {"/v1/run/a.b", "/v1/run/a-b", "/v1/run/c"}
    assert len(set(operations.values())) == 3
    assert operations["/v1/run/c"] == "run_c"
    assert [parameter["in"] for parameter in document["paths"]["/v1/run/c"]["post"]["parameters"]] == ["header"]
    assert "/v1/run/{notebook}" in BASE["paths"]


def test_documents_are_kept_until_the_catalogue_changes() -> None:
    built = []

    def base() -> dict[str, Any]:
        built.append(1)
        return BASE

    documents = OpenApiDocuments(base, anonymous=False)
    first = documents.whole([schema("a")])
    assert documents.whole([schema("a")]) is first
    assert documents.whole([schema("a", version="2")]) is not first
    assert len(built) == 2


def test_the_served_document_is_valid_and_typed(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    operation = document["paths"]["/v1/run/double"]["post"]
    assert operation["operationId"] == "run_double"
    body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert document["components"]["schemas"][body.rpartition("/")[2]]["required"] == ["x"]
    assert "/v1/run/broken" not in document["paths"]
    assert "/v1/run/{notebook}" not in document["paths"]
    assert {"200", "202", "400", "401", "403", "404", "409", "413", "415", "422", "424", "429", "502", "503", "504"} <= set(
        operation["responses"]
    )


def test_one_notebook_has_a_document_of_its_own(client: httpx.Client) -> None:
    document = client.get("/v1/notebooks/table/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"]["title"] == "table"
    assert [path for path in document["paths"] if path.startswith("/v1/run/")] == ["/v1/run/table"]
    assert "DoubleInput" not in document["components"]["schemas"]
    assert client.get("/v1/notebooks/broken/openapi.json").status_code == 409
