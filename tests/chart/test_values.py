"""What an administrator may write into values, and what is refused."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmRenderError, HelmValuesError

from podbook_core.profiles import Profile

CHART = Path(__file__).parents[2] / "helm" / "podbook"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
OWN_STORE = {"minio": {"enabled": False}}


def objects(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every object of the schema whose names are fixed, with its place."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        yield path, schema
        for name, child in schema["properties"].items():
            yield from objects(child, (*path, name))
    elif isinstance(child := schema.get("additionalProperties"), dict):
        yield from objects(child, (*path, "default"))


PLACES = dict(objects(SCHEMA))


def at(path: tuple[str, ...], leaf: Any) -> dict[str, Any]:
    """Values that hold one thing in one place."""
    for name in reversed(path):
        leaf = {name: leaf}
    return dict(leaf)


def test_lint_finds_nothing() -> None:
    report = lint(CHART, {}, strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(path) or "values")
def test_a_misspelt_name_is_refused_everywhere(chart: Chart, path: tuple[str, ...]) -> None:
    assert PLACES[path]["additionalProperties"] is False
    with pytest.raises(HelmValuesError, match="misspelt"):
        chart.validate_schema(at((*path, "misspelt"), 1))


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("api", "replicas"), "two"),
        (("api", "service", "type"), "Nodeport"),
        (("limits", "maxActive"), 0),
        (("s3", "endpoint"), "minio:9000"),
        (("s3", "cidrs"), []),
        (("runs", "namespace"), "Runs_1"),
        (("profiles", "Big"), {}),
        (("profiles", "default", "runner"), "scientfic"),
        (("operator", "settings", "resync_seconds"), 60),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(chart: Chart, path: tuple[str, ...], wrong: object) -> None:
    with pytest.raises(HelmValuesError, match=path[-1]):
        chart.validate_schema(at(path, wrong))


@pytest.mark.parametrize("path", [path for path in PLACES if "default" not in path], ids=lambda path: ".".join(path) or "values")
def test_values_and_schema_know_the_same_names(path: tuple[str, ...]) -> None:
    value: Any = VALUES
    for name in path:
        value = value[name]
    allowed = set(PLACES[path]["properties"])
    if allowed == {"requests", "limits"}:
        assert set(value) <= allowed
    else:
        assert set(value) == allowed


def test_every_value_is_documented() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    undocumented = []
    in_profiles = False
    for number, line in enumerate(lines):
        in_profiles = line.startswith("profiles:") or (in_profiles and line.startswith(" "))
        leaf = re.match(r"\s*[A-Za-z0-9]+: \S", line) or (re.match(r"\s*resources:$", line) is not None)
        if not leaf or in_profiles or re.match(r"\s*(requests|limits): \{", line):
            continue
        above = number - 1
        while lines[above].lstrip().startswith("#") and not lines[above].lstrip().startswith("# --"):
            above -= 1
        if not lines[above].lstrip().startswith("# --"):
            undocumented.append(line)
    assert undocumented == []


def test_a_profile_of_the_values_is_a_profile_of_the_programs() -> None:
    fields = {field.alias or name for name, field in Profile.model_fields.items()}
    assert set(SCHEMA["$defs"]["profile"]["properties"]) == fields | {"runner"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"s3": {"endpoint": "https://s3.example.org"}}, "minio.enabled=false"),
        ({"s3": {"accessKey": "a"}, **OWN_STORE}, "s3.secretKey"),
        ({"runs": {"namespace": "podbook"}}, "a namespace of their own"),
        ({"api": {"ingress": {"enabled": True}}}, "name at least one host"),
        ({"examples": {"enabled": True}, "keys": {"existingSecret": "mine"}}, "examples.keySecret"),
    ],
    ids=["two stores", "half a key", "shared namespace", "ingress without host", "no key to publish with"],
)
def test_values_that_contradict_each_other_are_explained(chart: Chart, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmRenderError, match=re.escape(message)):
        chart.render(values, name="podbook", namespace="podbook")
