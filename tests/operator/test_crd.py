"""The definition in the chart is the model, and a structural schema with bounds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from podbook_core.execution.model import Status
from podbook_core.execution.reasons import Phase, Reason
from podbook_operator.crd import build_crd

FILE = Path(__file__).parents[2] / "helm/podbook/files/crd.yaml"


def schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, f"{path}.{name}")
    if "items" in schema:
        yield from schemas(schema["items"], f"{path}[]")


def root() -> dict[str, Any]:
    found: dict[str, Any] = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def test_the_file_in_the_chart_is_what_the_model_gives() -> None:
    assert yaml.safe_load(FILE.read_text(encoding="utf-8")) == build_crd(), (
        "run: python -m podbook_operator.crd > helm/podbook/files/crd.yaml"
    )


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_typed_bounded_and_described(part: str) -> None:
    for path, schema in schemas(root()["properties"][part], part):
        assert "type" in schema, path
        assert schema.get("description"), path
        kind = schema["type"]
        if kind == "string":
            assert "maxLength" in schema or "enum" in schema or schema.get("format") == "date-time", path
        elif kind == "integer":
            assert "minimum" in schema, path
        elif kind == "array":
            assert "maxItems" in schema, path
        elif kind == "object":
            assert ("properties" in schema) != (path == "spec.parameters"), path


def test_no_default_holds_a_null_which_no_field_can_have() -> None:
    for path, schema in schemas(root()):
        assert "null" not in json.dumps(schema.get("default", "")), path


def test_kubectl_explain_shows_no_marks_of_another_program() -> None:
    assert [path for path, schema in schemas(root()) if "`" in schema.get("description", "")] == []


def test_only_parameters_are_free_form() -> None:
    free = [path for path, schema in schemas(root()) if schema.get("x-kubernetes-preserve-unknown-fields")]
    assert free == [".spec.parameters"]


def test_reasons_and_phases_are_the_cores() -> None:
    status = root()["properties"]["status"]["properties"]
    assert status["reason"]["enum"] == [str(reason) for reason in Reason]
    assert status["phase"]["enum"] == [str(phase) for phase in Phase]


def test_the_status_of_a_new_object_is_empty() -> None:
    assert not any("default" in schema for _, schema in schemas(root()["properties"]["status"]))


def test_conditions_are_merged_by_type() -> None:
    conditions = root()["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_status_is_a_subresource_and_the_columns_read_fields_that_exist() -> None:
    version = build_crd()["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    known = {path for path, _ in schemas(root())}
    for column in version["additionalPrinterColumns"]:
        assert column["jsonPath"] in known | {".metadata.creationTimestamp"}, column["name"]


def test_the_models_own_default_status_needs_no_field_of_the_definition() -> None:
    assert set(Status().document()) <= set(root()["properties"]["status"]["properties"])
