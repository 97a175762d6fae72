"""What the programs may do in the cluster, what they can reach, and the secrets they are given."""

import json
from collections.abc import Callable
from typing import Any

from podbook_api.auth.keys import KeyFile, key_hash

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

API_RIGHTS = {("podbook.dev", "notebookexecutions"): {"create", "delete", "get", "list", "patch", "watch"}}
OPERATOR_RIGHTS = {
    ("podbook.dev", "notebookexecutions"): {"delete", "get", "list", "watch"},
    ("podbook.dev", "notebookexecutions/status"): {"patch"},
    ("batch", "jobs"): {"create", "delete", "get", "list", "watch"},
    ("", "pods"): {"list", "watch"},
    ("", "secrets"): {"create", "delete", "patch"},
    ("", "events"): {"create", "list"},
}
METADATA_SERVICE = "169.254.0.0/16"


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def rights(role: Manifest) -> dict[tuple[str, str], set[str]]:
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_rights_are_these_and_no_others(render: Render) -> None:
    manifests = render()
    assert rights(named(manifests, "Role", "podbook-api")) == API_RIGHTS
    assert rights(named(manifests, "Role", "podbook-operator")) == OPERATOR_RIGHTS
    assert {item["kind"] for item in manifests} & {"ClusterRole", "ClusterRoleBinding"} == set()


def test_rights_end_at_the_namespace_of_the_runs(render: Render) -> None:
    manifests = render({"runs": {"namespace": "notebooks"}})
    for item in manifests:
        if item["kind"] in {"Role", "RoleBinding"}:
            assert item["metadata"]["namespace"] == "notebooks"
    subjects = {
        (item["roleRef"]["name"], subject["namespace"], subject["name"])
        for item in manifests
        if item["kind"] == "RoleBinding"
        for subject in item["subjects"]
    }
    assert subjects == {("podbook-api", "podbook", "podbook-api"), ("podbook-operator", "podbook", "podbook-operator")}


def test_tokens_are_mounted_only_where_they_are_needed(render: Render) -> None:
    manifests = render({"examples": {"enabled": True}})
    mounted = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["automountServiceAccountToken"]
        for item in manifests
        if item["kind"] in {"Deployment", "Job"}
    }
    assert mounted == {"podbook-api": True, "podbook-operator": True, "podbook-minio": False, "podbook-examples": False}
    accounts = [item for item in manifests if item["kind"] == "ServiceAccount"]
    assert {item["automountServiceAccountToken"] for item in accounts} == {False}


def test_notebooks_reach_dns_and_the_store_only(render: Render) -> None:
    policy = named(render(), "NetworkPolicy", "podbook-runs")
    assert policy["metadata"]["namespace"] == "podbook-runs"
    spec = policy["spec"]
    assert (spec["podSelector"], spec["policyTypes"], spec["ingress"]) == ({}, ["Ingress", "Egress"], [])
    dns, store = spec["egress"]
    assert {port["port"] for port in dns["ports"]} == {53, 5353}
    assert store["ports"] == [{"protocol": "TCP", "port": 9000}]
    assert store["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "minio"


def test_a_store_outside_is_reached_by_its_address_and_port(render: Render) -> None:
    own = {"minio": {"enabled": False}}

    def store_rule(s3: dict[str, Any]) -> Manifest:
        rule: Manifest = named(render({**own, "s3": s3}), "NetworkPolicy", "podbook-runs")["spec"]["egress"][1]
        return rule

    anywhere = store_rule({})
    assert anywhere == {
        "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [METADATA_SERVICE]}}],
        "ports": [{"protocol": "TCP", "port": 443}],
    }
    narrow = store_rule({"endpoint": "http://s3.example.org:9000", "podEndpoint": "http://s3.internal", "cidrs": ["10.1.0.0/16"]})
    assert narrow == {
        "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
        "ports": [{"protocol": "TCP", "port": 9000}, {"protocol": "TCP", "port": 80}],
    }


def test_policies_follow_the_cluster(render: Render) -> None:
    rule = {"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 8443}]}
    manifests = render({"networkPolicy": {"dnsNamespaces": ["openshift-dns", "dns"], "extraEgress": [rule]}})
    for name in ("podbook-api", "podbook-operator", "podbook-runs"):
        egress = named(manifests, "NetworkPolicy", name)["spec"]["egress"]
        spaces = [peer["namespaceSelector"]["matchLabels"] for peer in egress[0]["to"] if "namespaceSelector" in peer]
        assert spaces == [{"kubernetes.io/metadata.name": "openshift-dns"}, {"kubernetes.io/metadata.name": "dns"}]
        assert (rule in egress) == (name != "podbook-runs")


def test_the_metadata_service_is_left_out_of_everywhere(render: Render) -> None:
    values = {"minio": {"enabled": False}, "s3": {"cidrs": ["0.0.0.0/0", "::/0"]}}
    blocks = named(render(values), "NetworkPolicy", "podbook-runs")["spec"]["egress"][1]["to"]
    assert [block["ipBlock"]["except"] for block in blocks] == [[METADATA_SERVICE], ["fd00:ec2::254/128"]]


def test_the_examples_may_call_an_api_that_few_may(render: Render) -> None:
    (gateway,) = source = [{"namespaceSelector": {"matchLabels": {"team": "gateway"}}}]
    few = {"networkPolicy": {"apiFrom": source}}
    assert named(render(few), "NetworkPolicy", "podbook-api")["spec"]["ingress"][0]["from"] == source
    manifests = render({**few, "examples": {"enabled": True}})
    first, second = named(manifests, "NetworkPolicy", "podbook-api")["spec"]["ingress"][0]["from"]
    labels = named(manifests, "Job", "podbook-examples")["spec"]["template"]["metadata"]["labels"]
    assert first == gateway
    assert second["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_first_key_opens_the_api_and_is_nowhere_else(render: Render) -> None:
    manifests = render()
    key = named(manifests, "Secret", "podbook-first-key")["stringData"]["key"]
    file = KeyFile.model_validate(json.loads(named(manifests, "Secret", "podbook-keys")["stringData"]["keys.json"]))
    assert [(entry.id, entry.hash, entry.scopes) for entry in file.keys] == [("first", key_hash(key), ["*"])]
    elsewhere = [item for item in manifests if item["metadata"]["name"] != "podbook-first-key"]
    assert key not in json.dumps(elsewhere)
    assert named(render(), "Secret", "podbook-first-key")["stringData"]["key"] != key


def test_secrets_are_made_once_and_are_no_part_of_the_release(render: Render) -> None:
    secrets = {item["metadata"]["name"]: item for item in render() if item["kind"] == "Secret"}
    assert set(secrets) == {"podbook-first-key", "podbook-keys", "podbook-links", "podbook-minio"}
    for secret in secrets.values():
        assert secret["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert len(secrets["podbook-links"]["stringData"]["secret"]) >= 32


def test_secrets_of_ones_own_are_used_as_they_are(render: Render) -> None:
    manifests = render(
        {
            "minio": {"enabled": False},
            "s3": {"existingSecret": "bucket"},
            "keys": {"existingSecret": "api-keys"},
            "links": {"existingSecret": "link-secret"},
        }
    )
    assert [item for item in manifests if item["kind"] == "Secret"] == []
    pod = named(manifests, "Deployment", "podbook-api")["spec"]["template"]["spec"]
    assert {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume} == {"api-keys", "link-secret"}
    given = {item["name"]: item["valueFrom"]["secretKeyRef"] for item in pod["containers"][0]["env"] if "valueFrom" in item}
    assert given == {
        "PODBOOK_S3__ACCESS_KEY": {"name": "bucket", "key": "accessKey"},
        "PODBOOK_S3__SECRET_KEY": {"name": "bucket", "key": "secretKey"},
    }


def test_the_identity_of_the_pods_is_enough_for_amazon(render: Render) -> None:
    manifests = render({"minio": {"enabled": False}})
    for component in ("api", "operator"):
        (container,) = named(manifests, "Deployment", f"podbook-{component}")["spec"]["template"]["spec"]["containers"]
        names = {item["name"] for item in container["env"]}
        assert names & {"PODBOOK_S3__ACCESS_KEY", "PODBOOK_S3__SECRET_KEY", "PODBOOK_S3__ENDPOINT"} == set()
