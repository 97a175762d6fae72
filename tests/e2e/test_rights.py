"""The rights of the chart are the rights that are used: compared with the API server's audit log of the whole session. Runs last."""

import json
from typing import Any

import pytest

from .installation import Installation

pytestmark = [pytest.mark.cluster]

Right = tuple[str, str, str]
"""API group, resource with its subresource, verb."""


def _granted(podbook: Installation, component: str) -> set[Right]:
    role = podbook.runs.get("role", podbook.fullname(component))
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _requests(podbook: Installation, component: str) -> list[dict[str, Any]]:
    """What a component's service account asked of the API server, from the audit log."""
    state = podbook.environment.state
    if state is None:
        pytest.skip("only a native cluster's audit log can be read; CLUSTER=native proves it")
    user = f"system:serviceaccount:{podbook.kubectl.namespace}:{podbook.fullname(component)}"
    with (state / "log/audit.log").open(encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines if user in line]
    return [entry for entry in entries if entry["user"]["username"] == user and "objectRef" in entry]


def _right(entry: dict[str, Any]) -> Right:
    target = entry["objectRef"]
    resource = target["resource"] + (f"/{target['subresource']}" if target.get("subresource") else "")
    return (target.get("apiGroup", ""), resource, entry["verb"])


@pytest.mark.parametrize("component", ["api", "operator"])
def test_granted_is_used_and_used_is_granted(podbook: Installation, component: str) -> None:
    requests = _requests(podbook, component)
    assert requests
    granted = _granted(podbook, component)
    # An API server that has just been started refuses everything for a moment, until it has read the roles.
    refused = {_right(entry) for entry in requests if entry["responseStatus"]["code"] == 403}
    assert refused - granted == set(), "asked for and not granted"
    used = {_right(entry) for entry in requests if entry["objectRef"].get("namespace") == podbook.runs.namespace}
    assert used == granted


def test_rights_end_at_the_namespace_of_the_runs(podbook: Installation) -> None:
    for component in ("api", "operator"):
        account = f"--as=system:serviceaccount:{podbook.kubectl.namespace}:{podbook.fullname(component)}"
        allowed = podbook.kubectl("auth", "can-i", "--list", "--no-headers", account)
        granted = [line.split()[0] for line in allowed.splitlines() if line.strip()]
        assert not {"secrets", "pods", "jobs.batch", "notebookexecutions.podbook.dev"} & set(granted)
    assert not podbook.runs.list("rolebindings", "app.kubernetes.io/component=runner")
