"""What the chart puts into a cluster, for every kind of values."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.matrix import EVERYTHING, MATRIX

from podbook_api.__main__ import DRAIN_SECONDS
from podbook_api.settings import ApiSettings
from podbook_core.execution.profiles import parse_profiles
from podbook_operator.settings import Settings as OperatorSettings

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

CLUSTER_WIDE = {"CustomResourceDefinition", "Namespace"}


def kinds(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [manifest for manifest in kinds(manifests, kind) if manifest["metadata"]["name"] == name]
    return found


def identity(manifest: Manifest) -> tuple[str, str | None, str]:
    return manifest["kind"], manifest["metadata"].get("namespace"), manifest["metadata"]["name"]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "Job"}:
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def breaches_of_restricted(pod: Manifest) -> list[str]:
    """What the `restricted` Pod Security Standard would refuse, and what this chart wants beyond it."""
    found = []
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or security.get("runAsUser", 0) == 0:
        found.append("runs as root")
    if security.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        found.append("no seccomp profile")
    found += [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    found += [f"volume {volume['name']}" for volume in pod.get("volumes", []) if not set(volume) - {"name"} <= allowed]
    if pod.get("enableServiceLinks") is not False:
        found.append("service links would leak into the settings")
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append(f"{container['name']} may gain privileges")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            found.append(f"{container['name']} has capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append(f"{container['name']} can write its root")
        if "memory" not in container.get("resources", {}).get("limits", {}):
            found.append(f"{container['name']} has no memory limit")
        found += [f"{container['name']} uses host port" for port in container.get("ports", []) if "hostPort" in port]
    return found


def test_the_checker_finds_every_breach() -> None:
    bare = {
        "hostPID": True,
        "volumes": [{"name": "host", "hostPath": {}}],
        "containers": [{"name": "c", "ports": [{"hostPort": 1}]}],
    }
    assert len(breaches_of_restricted(bare)) == 10


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_every_pod_is_restricted(render: Render, values: dict[str, Any]) -> None:
    manifests = render(values)
    assert len(list(pods(manifests))) >= 2
    assert [(name, breach) for name, pod in pods(manifests) for breach in breaches_of_restricted(pod)] == []


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_every_manifest_is_in_its_place(render: Render, values: dict[str, Any]) -> None:
    manifests = render(values)
    assert len({identity(manifest) for manifest in manifests}) == len(manifests)
    places = {"podbook", values.get("runs", {}).get("namespace", "podbook-runs")}
    for manifest in manifests:
        assert "app.kubernetes.io/component" in manifest["metadata"]["labels"]
        if manifest["kind"] not in CLUSTER_WIDE:
            assert manifest["metadata"]["namespace"] in places


def test_a_second_release_shares_nothing_with_the_first(render: Render) -> None:
    first = {identity(manifest) for manifest in render(release="podbook")}
    second = {identity(manifest) for manifest in render({"crds": {"enabled": False}}, release="team-b")}
    assert first & second == set()


def test_what_uninstalling_keeps(render: Render) -> None:
    kept = {
        manifest["kind"]
        for manifest in render()
        if manifest["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {"CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"}


def test_the_namespace_of_the_runs_enforces_restricted(render: Render) -> None:
    (namespace,) = kinds(render(), "Namespace")
    assert namespace["metadata"]["name"] == "podbook-runs"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_definition_is_the_generated_one(render: Render, chart_folder: Path) -> None:
    (definition,) = kinds(render(), "CustomResourceDefinition")
    generated = yaml.safe_load((chart_folder / "files" / "crd.yaml").read_text())
    assert definition["spec"] == generated["spec"]
    assert kinds(render({"crds": {"enabled": False}}), "CustomResourceDefinition") == []


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
@pytest.mark.parametrize(("component", "settings"), [("api", ApiSettings), ("operator", OperatorSettings)], ids=["api", "operator"])
def test_every_variable_is_a_setting_of_its_program(
    render: Render,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    component: str,
    settings: type[ApiSettings | OperatorSettings],
) -> None:
    (container,) = one(render(values), "Deployment", f"podbook-{component}")["spec"]["template"]["spec"]["containers"]
    variables = {item["name"]: item.get("value", "from a secret") for item in container["env"]}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    known = {f"PODBOOK_{field.upper()}" for field in settings.model_fields}
    assert {name.partition("__")[0] for name in variables} <= known
    read = settings()  # nested names are refused here when they are unknown
    assert read.namespace == values.get("runs", {}).get("namespace", "podbook-runs")


def test_profiles_reach_the_programs(render: Render) -> None:
    values = {**EVERYTHING, "image": {"registry": "registry.example.org/podbook", "tag": "1.2.3", "pullSecrets": ["pull"]}}
    profiles = parse_profiles(json.loads(one(render(values), "ConfigMap", "podbook-profiles")["data"]["profiles.json"]))
    assert profiles["default"].image == "registry.example.org/podbook/podbook-runner:1.2.3"
    assert profiles["default"].image_pull_secrets == ["pull"]
    assert profiles["default"].service_account_name == "podbook-runner"
    big = profiles["big"]
    assert (big.image, big.queue, big.env_from_secrets) == ("registry.example.org/big:1", "batch", ["database"])
    assert big.permits(key_id="ci", notebook="analysis")
    assert not big.permits(key_id="other", notebook="analysis")


def test_images_are_pinned_by_their_digests(render: Render) -> None:
    digests = {name: f"sha256:{number:064x}" for number, name in enumerate(("api", "operator", "runner", "runner-scientific"))}
    values = {"image": {"registry": "r", "tag": "1", "digests": digests}, "profiles": {"lean": {"runner": "lean"}}}
    manifests = render(values)
    profiles = parse_profiles(json.loads(one(manifests, "ConfigMap", "podbook-profiles")["data"]["profiles.json"]))
    operator = one(manifests, "Deployment", "podbook-operator")["spec"]["template"]["spec"]["containers"][0]
    api = one(manifests, "Deployment", "podbook-api")["spec"]["template"]["spec"]["containers"][0]
    assert api["image"] == f"r/podbook-api:1@{digests['api']}"
    assert operator["image"] == f"r/podbook-operator:1@{digests['operator']}"
    assert profiles["default"].image == f"r/podbook-runner-scientific:1@{digests['runner-scientific']}"
    assert profiles["lean"].image == f"r/podbook-runner:1@{digests['runner']}"


def test_amounts_may_be_numbers(render: Render) -> None:
    amounts = {"cpu": 2, "memory": 2147483648, "ephemeral-storage": "2Gi", "nvidia.com/gpu": 1}
    values = {"profiles": {"default": {"resources": {"requests": {"cpu": 0.5}, "limits": amounts}}}}
    profiles = parse_profiles(json.loads(one(render(values), "ConfigMap", "podbook-profiles")["data"]["profiles.json"]))
    assert profiles["default"].resources == {
        "requests": {"cpu": "0.5", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "2147483648", "ephemeral-storage": "2Gi", "nvidia.com/gpu": "1"},
    }


def test_profiles_default_to_the_scientific_runner(render: Render) -> None:
    profiles = parse_profiles(json.loads(one(render(), "ConfigMap", "podbook-profiles")["data"]["profiles.json"]))
    assert profiles["default"].image == "podbook-runner-scientific:0.2.0"
    assert profiles["default"].resources["limits"] == {"memory": "1Gi"}


def test_a_change_of_profiles_restarts_who_reads_them(render: Render) -> None:
    def checksum(values: dict[str, Any], component: str) -> str:
        deployment = one(render(values), "Deployment", f"podbook-{component}")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/profiles"])

    changed = {"profiles": {"default": {"timeoutSeconds": 5}}}
    for component in ("api", "operator"):
        assert checksum({}, component) == checksum({}, component)
        assert checksum({}, component) != checksum(changed, component)


def test_the_operator_is_alone_and_leaves_a_lost_node_soon(render: Render) -> None:
    spec = one(render(), "Deployment", "podbook-operator")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    seconds = {item["key"]: item["tolerationSeconds"] for item in spec["template"]["spec"]["tolerations"]}
    assert seconds == {"node.kubernetes.io/not-ready": 30, "node.kubernetes.io/unreachable": 30}


def test_an_upgrade_leaves_minio_running(render: Render) -> None:
    template = one(render({"image": {"tag": "2"}}), "Deployment", "podbook-minio")["spec"]["template"]
    assert template == one(render(), "Deployment", "podbook-minio")["spec"]["template"]
    assert "app.kubernetes.io/version" not in template["metadata"]["labels"]


def test_an_outage_of_the_store_leaves_the_api_in_service(render: Render) -> None:
    (container,) = one(render(), "Deployment", "podbook-api")["spec"]["template"]["spec"]["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/healthz", "liveness": "/healthz"}


def patience(probe: Manifest) -> int:
    """Seconds until a probe that fails has its way."""
    return int(probe["periodSeconds"] * probe["failureThreshold"])


def test_an_operator_that_cannot_start_is_never_ready_and_one_that_is_slow_stays(render: Render) -> None:
    (container,) = one(render(), "Deployment", "podbook-operator")["spec"]["template"]["spec"]["containers"]
    readiness, liveness = container["readinessProbe"], container["livenessProbe"]
    assert readiness["httpGet"] == liveness["httpGet"] == {"path": "/healthz", "port": "health"}
    assert patience(readiness) >= patience(liveness)
    assert one(render(), "Service", "podbook-operator")["spec"]["publishNotReadyAddresses"] is True


def test_a_replica_that_ends_serves_what_is_still_sent_to_it(render: Render) -> None:
    pod = one(render(), "Deployment", "podbook-api")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    # A `sleep` of the kubelet's own, since Kubernetes 1.30: an image without a shell needs none.
    seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert seconds >= 5
    assert pod["terminationGracePeriodSeconds"] > seconds + DRAIN_SECONDS


def test_a_replica_waits_for_its_store(render: Render) -> None:
    (container,) = one(render(), "Deployment", "podbook-api")["spec"]["template"]["spec"]["containers"]
    assert patience(container["startupProbe"]) == 300


def test_metrics_of_both_programs_are_scraped(render: Render) -> None:
    monitors = kinds(render({"metrics": {"serviceMonitor": {"enabled": True}}}), "ServiceMonitor")
    services = kinds(render(), "Service")
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (service,) = [service for service in services if wanted <= service["metadata"]["labels"].items()]
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports
    assert [monitor["metadata"]["name"] for monitor in monitors] == ["podbook-api", "podbook-operator"]
