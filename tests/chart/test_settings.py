"""Settings that values give to operator and API by name: those that have an effect, and no others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helm_python.chart import Chart
from helm_python.errors import HelmValuesError
from pydantic_settings import BaseSettings
from tests.chart.matrix import MATRIX

from podbook_api.settings import ApiSettings
from podbook_operator.settings import Settings as OperatorSettings

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "helm" / "podbook" / "values.schema.json").read_text())["$defs"]
PROGRAMS: dict[str, type[BaseSettings]] = {"api": ApiSettings, "operator": OperatorSettings}
WITHOUT_EFFECT: dict[str, dict[str, str]] = {
    "api": {
        "ALLOW_ANONYMOUS": "the chart always has a keys file, and the two are mutually exclusive",
        "DATA_DIR": "embedded mode",
        "NOTEBOOKS_DIR": "embedded mode",
        "MAX_CONCURRENT": "embedded mode",
        "RETENTION_DAYS": "embedded mode; the operator removes what is old",
    },
    "operator": {
        "RUNNER_IMAGE": "the chart gives every profile an image",
        "HOST": "the probes and the Service reach it at the pod's address",
        "HEALTH_PORT": "the probes ask this port",
        "METRICS_PORT": "the Service leads to this port",
    },
}


def listed(component: str) -> dict[str, Any]:
    """The settings that the schema lists."""
    found: dict[str, Any] = SCHEMA[f"{component}Settings"]["properties"]
    return found


def set_by_the_chart(render: Render, component: str) -> set[str]:
    return {
        item["name"].removeprefix("PODBOOK_").partition("__")[0]
        for values in MATRIX.values()
        for manifest in render({**values, component: {}})
        if (manifest["kind"], manifest["metadata"]["name"]) == ("Deployment", f"podbook-{component}")
        for item in manifest["spec"]["template"]["spec"]["containers"][0]["env"]
    }


@pytest.mark.parametrize("component", PROGRAMS)
def test_the_schema_lists_every_setting_that_has_an_effect(render: Render, component: str) -> None:
    known = {name.upper() for name in PROGRAMS[component].model_fields}
    assert set(WITHOUT_EFFECT[component]) <= known
    assert set(listed(component)) == known - set_by_the_chart(render, component) - set(WITHOUT_EFFECT[component])


@pytest.mark.parametrize("component", PROGRAMS)
def test_the_schema_has_the_programs_bounds(component: str) -> None:
    own = PROGRAMS[component].model_json_schema()["properties"]
    numbers = {name: rule for name, rule in listed(component).items() if own[name.lower()]["type"] == "integer"}
    for name, rule in numbers.items():
        bounds = {word: own[name.lower()][word] for word in ("minimum", "maximum") if word in own[name.lower()]}
        assert {word: rule[word] for word in ("minimum", "maximum") if word in rule} == bounds, name
    assert set(numbers) == set(listed(component)) - {"LOG_LEVEL", "CORS_ORIGINS", "DOORS", "DOOR_ROOT"}


@pytest.mark.parametrize("level", SCHEMA["level"]["enum"])
@pytest.mark.parametrize("component", PROGRAMS)
def test_every_level_is_understood(monkeypatch: pytest.MonkeyPatch, component: str, level: str) -> None:
    monkeypatch.setenv("PODBOOK_LOG_LEVEL", level)
    assert PROGRAMS[component]().model_dump()["log_level"].lower() == level.lower()


def test_values_arrive_as_they_were_meant(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    origins = ["https://app.example.org", "https://example.org"]
    values = {
        "api": {"settings": {"CORS_ORIGINS": origins, "DOORS": ["native"], "DOOR_ROOT": "dsapi"}},
        "operator": {"settings": {"RESYNC_SECONDS": 86_400_000, "PROGRESS_SECONDS": "20"}},
    }
    for manifest in render(values):
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] != "podbook-minio":
            for item in manifest["spec"]["template"]["spec"]["containers"][0]["env"]:
                if item["name"].removeprefix("PODBOOK_") in {*listed("api"), *listed("operator")}:
                    monkeypatch.setenv(item["name"], item["value"])
    assert ApiSettings().cors_origins == tuple(origins)
    assert ApiSettings().doors == ("native",)
    assert ApiSettings().door_root == "dsapi"
    operator = OperatorSettings()
    assert (operator.resync_seconds, operator.progress_seconds) == (86_400_000, 20)


@pytest.mark.parametrize(
    ("component", "settings"),
    [
        ("operator", {"RESYNC_SECOND": 60}),
        ("operator", {"MAX_ACTIVE": 3}),
        ("operator", {"METRICS_PORT": 9091}),
        ("operator", {"WORKERS": 0}),
        ("operator", {"WORKERS": 257}),
        ("operator", {"RESYNC_SECONDS": "5m"}),
        ("operator", {"LOG_LEVEL": "loud"}),
        ("operator", {"S3__BUCKET": "other"}),
        ("api", {"ALLOW_ANONYMOUS": True}),
        ("api", {"CORS_ORIGINS": "https://app.example.org"}),
        ("api", {"DOORS": "native"}),
        ("api", {"DOOR_ROOT": "native"}),
    ],
    ids=str,
)
def test_what_has_no_effect_or_cannot_work_is_refused(chart: Chart, component: str, settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(HelmValuesError, match=name):
        chart.validate_schema({component: {"settings": settings}})
