"""What Helm says after an install: every command of it can be typed."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.chart.matrix import EVERYTHING, MATRIX

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]
Notes = Callable[[Mapping[str, Any]], str]

KINDS = {"deployment": "Deployment", "service": "Service", "secret": "Secret"}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_they_name_what_is_there(render: Render, notes: Notes, values: dict[str, Any]) -> None:
    text = notes(values)
    assert "<no value>" not in text
    there = {
        (item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
        for item in render(values)
        if item["kind"] in KINDS.values()
    }
    named = {
        (KINDS[kind], line[1], name)
        for line in re.finditer(r"kubectl -n (\S+) (.*)$", text, re.MULTILINE)
        for kind, name in re.findall(r"\b(deployment|service|secret)[/ ](\S+)", line[2])
    }
    assert {kind for kind, _, _ in named} >= {"Deployment"}
    assert named <= there


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_the_call_needs_no_new_curl(notes: Notes, values: dict[str, Any]) -> None:
    text = notes(values)
    assert "-H 'Content-Type: application/json'" in text
    assert "--json" not in text


def test_the_address_of_an_ingress_is_as_safe_as_it_is(notes: Notes) -> None:
    ingress = {"enabled": True, "hosts": ["podbook.example.org"]}
    assert "PODBOOK_URL=http://podbook.example.org\n" in notes({"api": {"ingress": ingress}})
    assert "PODBOOK_URL=https://podbook.example.org\n" in notes({"api": {"ingress": {**ingress, "tls": [{"secretName": "tls"}]}}})


@pytest.mark.parametrize(
    ("values", "warnings"),
    [
        ({}, ["image.registry is empty", "development MinIO"]),
        ({"image": {"registry": "registry.example.org"}, "minio": {"persistence": {"enabled": False}}}, ["lost when its pod ends"]),
        ({"image": {"registry": "r"}, "minio": {"enabled": False}}, ["every address on port 443,"]),
        (
            {
                "image": {"registry": "r"},
                "minio": {"enabled": False},
                "s3": {"endpoint": "http://s3:9000", "podEndpoint": "https://s3"},
            },
            ["every address on port 9000 and 443,"],
        ),
        ({"image": {"registry": "r"}, "minio": {"enabled": False}, "s3": {"cidrs": ["10.1.0.0/16"]}}, []),
        (
            {"image": {"registry": "r"}, "minio": {"enabled": False}, "runs": {"networkPolicy": {"enabled": False}}},
            ["runs.networkPolicy.enabled is false"],
        ),
        (EVERYTHING, []),
    ],
    ids=["as it comes", "nothing kept", "amazon", "two addresses", "narrow", "no policy", "everything"],
)
def test_they_warn_of_what_is_no_production(notes: Notes, values: dict[str, Any], warnings: list[str]) -> None:
    said = re.findall(r"^WARNING: (.*(?:\n.+)*)", notes(values), re.MULTILINE)
    assert len(said) == len(warnings)
    assert all(warning in text for warning, text in zip(warnings, said, strict=True)), said
