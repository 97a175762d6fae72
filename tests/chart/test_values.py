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

from podbook_core.execution.profiles import Profile

CHART = Path(__file__).parents[2] / "helm" / "podbook"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
OWN_STORE = {"minio": {"enabled": False}}


Place = tuple[str | int, ...]


def objects(schema: dict[str, Any], path: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every object of the schema whose names are fixed, with its place: names, and 0 for the first of a list."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        yield path, schema
        for name, child in schema["properties"].items():
            yield from objects(child, (*path, name))
    elif "items" in schema:
        yield from objects(schema["items"], (*path, 0))
    elif isinstance(child := schema.get("additionalProperties"), dict):
        yield from objects(child, (*path, "default"))


PLACES = dict(objects(SCHEMA))


def at(path: Place, leaf: Any) -> dict[str, Any]:
    """Values that hold one thing in one place."""
    for name in reversed(path):
        leaf = [leaf] if name == 0 else {name: leaf}
    return dict(leaf)


def dotted(path: Place) -> str:
    return ".".join(map(str, path)) or "values"


def test_lint_finds_nothing() -> None:
    report = lint(CHART, {}, strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("path", PLACES, ids=dotted)
def test_a_misspelt_name_is_refused_everywhere(chart: Chart, path: Place) -> None:
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
        (("profiles", "default", "resources", "limits", "memroy"), "1Gi"),
        (("profiles", "default", "resources", "limits", "memory"), "500m"),
        (("profiles", "default", "resources", "limits", "memory"), 512),
        (("profiles", "default", "resources", "limits", "memory"), "1GB"),
        (("profiles", "default", "resources", "requests", "cpu"), "half"),
        (("profiles", "default", "resources", "limits", "nvidia.com/gpu"), 0.5),
        (("profiles", "default", "workingVolume"), "500m"),
        (("profiles", "default", "tolerations", 0, "efect"), "NoSchedule"),
        (("profiles", "default", "tolerations", 0, "effect"), "NoExec"),
        (("runs", "quota", "limit.memory"), "64Gi"),
        (("minio", "persistence", "size"), "10"),
        (("networkPolicy", "apiFrom", 0, "podSelector", "app"), "gateway"),
        (("networkPolicy", "dnsNamespaces"), []),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(chart: Chart, path: Place, wrong: object) -> None:
    with pytest.raises(HelmValuesError, match=re.escape(str(path[-1]).replace("/", "~1"))):
        chart.validate_schema(at(path, wrong))


@pytest.mark.parametrize(
    ("path", "right"),
    [
        (
            ("profiles", "default", "resources", "limits"),
            {"cpu": 2, "memory": 2147483648, "nvidia.com/gpu": 1, "hugepages-2Mi": "80Mi"},
        ),
        (("profiles", "default", "resources", "requests"), {"cpu": "1500m", "memory": "1.5G", "ephemeral-storage": "1e9"}),
        (("profiles", "default", "workingVolume"), "20Gi"),
        (("profiles", "default", "tolerations"), [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]),
        (("operator", "tolerations"), [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]),
        (("runs", "quota"), {"pods": 100, "requests.cpu": "64", "limits.memory": "256Gi", "requests.nvidia.com/gpu": 4}),
        (("runs", "quota"), {"count/jobs.batch": "500", "fast.storageclass.storage.k8s.io/requests.storage": "1Ti"}),
        (("networkPolicy", "apiFrom"), [{"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}]),
        (("runs", "networkPolicy", "extraEgress"), [{"ports": [{"protocol": "TCP", "port": 5000, "endPort": 5010}]}]),
        (("api", "ingress", "tls"), [{"hosts": ["podbook.example.org"], "secretName": "tls"}]),
    ],
    ids=str,
)
def test_what_kubernetes_takes_is_taken(chart: Chart, path: Place, right: object) -> None:
    chart.validate_schema(at(path, right))


def shown_values() -> Iterator[tuple[str, dict[str, Any]]]:
    """Values that the documentation shows, by page and number; other YAML has other names."""
    for page in sorted(CHART.parents[1].glob("docs/**/*.md")):
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE), 1):
            for document in yaml.safe_load_all(block):
                if set(document) & set(VALUES):
                    yield f"{page.stem} {number}", document


@pytest.mark.parametrize("values", [pytest.param(values, id=name) for name, values in shown_values()])
def test_what_the_documentation_shows_is_taken(chart: Chart, values: dict[str, Any]) -> None:
    assert chart.render(values, name="podbook", namespace="podbook")


def test_without_a_cluster_nothing_is_made_by_chance(chart: Chart) -> None:
    (values,) = [values for _, values in shown_values() if "links" in values]
    assert chart.render(values, name="podbook", namespace="podbook") == chart.render(values, name="podbook", namespace="podbook")


OPEN = {"resources", "requests", "limits", "settings"}
"""Last names of the places of which values need not show every name."""


@pytest.mark.parametrize("path", [path for path in PLACES if not {"default", 0} & set(path)], ids=dotted)
def test_values_and_schema_know_the_same_names(path: Place) -> None:
    value: Any = VALUES
    for name in path:
        value = value[name]
    allowed = set(PLACES[path]["properties"])
    if len(path) > 1 and path[-1] in OPEN:
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
        ({"runs": {"namespace": "podbook"}}, "a separate namespace"),
        ({"api": {"ingress": {"enabled": True}}}, "set at least one host"),
        ({"examples": {"enabled": True}, "keys": {"existingSecret": "mine"}}, "examples.keySecret"),
    ],
    ids=["two stores", "half a key", "shared namespace", "ingress without host", "no key to publish with"],
)
def test_values_that_contradict_each_other_are_explained(chart: Chart, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmRenderError, match=re.escape(message)):
        chart.render(values, name="podbook", namespace="podbook")
