"""The chart, rendered without a cluster by Helm's own library."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from helm_python.chart import Chart

CHART = Path(__file__).parents[2] / "helm" / "podbook"

Manifest = dict[str, Any]


class Render(Protocol):
    """Renders the chart with values laid over its own."""

    def __call__(
        self, values: Mapping[str, Any] | None = None, *, release: str = "podbook", namespace: str = "podbook"
    ) -> list[Manifest]:
        """Every manifest of a fresh install."""
        ...


@pytest.fixture(scope="session")
def chart_folder() -> Path:
    return CHART


@pytest.fixture(scope="session")
def chart() -> Chart:
    return Chart.load(CHART)


@pytest.fixture(scope="session")
def notes(chart: Chart) -> Callable[[Mapping[str, Any]], str]:
    """What Helm says after an install with these values."""
    return lambda values: chart.render(dict(values), name="podbook", namespace="podbook")["podbook/templates/NOTES.txt"]


@pytest.fixture(scope="session")
def render(chart: Chart) -> Render:
    def rendered(
        values: Mapping[str, Any] | None = None, *, release: str = "podbook", namespace: str = "podbook"
    ) -> list[Manifest]:
        files = chart.render(dict(values or {}), name=release, namespace=namespace)
        return [
            manifest
            for path, text in sorted(files.items())
            if not path.endswith("NOTES.txt")
            for manifest in yaml.safe_load_all(text)
            if manifest
        ]

    return rendered
