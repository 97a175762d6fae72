"""The alerts that the page on operating shows are about metrics, labels and reasons that exist."""

import re
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase
from tests.docs.conftest import ROOT

from podbook_api.metrics import Metrics as ApiMetrics
from podbook_core.execution.reasons import REASONS, Fault, is_terminal
from podbook_operator.metrics import Metrics as OperatorMetrics

_SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}


def exposed() -> dict[str, set[str]]:
    """The labels of every name that Prometheus sees."""
    found: dict[str, set[str]] = {}
    for metrics in (OperatorMetrics(), ApiMetrics()):
        for item in vars(metrics).values():
            if isinstance(item, MetricWrapperBase):
                (about,) = item.describe()
                for suffix in _SUFFIXES[about.type]:
                    found[about.name + suffix] = {*item._labelnames, *(["le"] if suffix == "_bucket" else [])}
    return found


def rules() -> list[dict[str, Any]]:
    """The rules on the page."""
    page = (ROOT / "docs/how-to/operate.md").read_text()
    (document,) = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)]
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_alerts_ask_for_what_there_is() -> None:
    names = exposed()
    for rule in rules():
        expression = rule["expr"]
        used = re.findall(r"podbook_\w+", expression)
        assert used, rule["alert"]
        assert set(used) <= names.keys(), rule["alert"]
        labels = re.findall(r"(\w+)=~?\"", expression) + re.findall(r"by \((\w+)\)", expression)
        assert all(label in names[name] for name in used for label in labels), rule["alert"]
        shown = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert set(shown) <= set(re.findall(r"by \((\w+)\)", expression)), rule["alert"]


def test_the_alert_about_the_platform_names_every_reason_that_is_its_fault() -> None:
    (rule,) = [rule for rule in rules() if rule["alert"] == "PodbookPlatformFaults"]
    (listed,) = re.findall(r'reason=~"([^"]*)"', rule["expr"])
    faults = [reason for reason, info in REASONS.items() if info.fault is Fault.PLATFORM and is_terminal(reason)]
    assert sorted(listed.split("|")) == sorted(faults)


def test_the_reference_lists_every_metric() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text()
    listed = set(re.findall(r"^\| `(podbook_\w+)`", page, re.MULTILINE))
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed()} == listed
