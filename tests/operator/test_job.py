"""The Job and its pod: what they must hold, and what they must never hold."""

import base64
import json
from typing import Any

import pytest

from podbook_core.execution.profiles import Profile
from podbook_core.execution.reasons import ExitCode
from podbook_core.text.names import job_name, secret_name
from podbook_operator.act.job import build_job, build_secret, quantity

from .documents import NAME, UID, execution

METADATA = execution().metadata


def build(profile: Profile | None = None, **changes: Any) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "notebook": "Sales Report",
        "profile": profile or Profile(),
        "image": "runner:1",
        "retries": 1,
        "start_timeout": 300,
        "timeout": 600,
        "publish_timeout": 120,
    }
    return build_job(METADATA, **{**chosen, **changes})


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def test_name_and_owner_are_the_lock() -> None:
    job = build()
    assert job["metadata"]["name"] == job_name(UID)
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["name"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (NAME, UID, True, False)


def test_the_job_makes_one_pod_at_a_time_and_stays_until_it_is_removed() -> None:
    spec = build()["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"], spec["podReplacementPolicy"]) == (1, 1, 1, "Failed")
    assert "ttlSecondsAfterFinished" not in spec
    assert not spec["suspend"]


def test_exit_codes_decide_about_another_attempt() -> None:
    rules = build()["spec"]["podFailurePolicy"]["rules"]
    assert rules[0] == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    by_code = {code: rule["action"] for rule in rules[1:] for code in rule["onExitCodes"]["values"]}
    assert by_code[ExitCode.CELL_FAILED] == "FailJob"
    assert by_code[ExitCode.TIMED_OUT] == "FailJob"
    assert by_code[ExitCode.INTERRUPTED] == "Ignore"
    assert ExitCode.STORAGE_FAILED not in by_code  # counted, so spec.retries decides
    assert 0 not in by_code  # Kubernetes refuses a rule for success


def test_the_pod_meets_the_restricted_standard() -> None:
    pod = pod_of(build())
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"] > 0, context["seccompProfile"]) == (
        True,
        True,
        {"type": "RuntimeDefault"},
    )
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} == {"secret", "emptyDir"}


def test_the_pod_has_no_token_and_learns_of_no_service() -> None:
    pod = pod_of(build())
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"], pod["restartPolicy"]) == (False, False, "Never")


def test_every_place_the_pod_may_write_to_is_bounded() -> None:
    pod = pod_of(build(Profile(working_volume="1Gi")))
    sizes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if "emptyDir" in volume}
    assert sizes["work"] == "1Gi"
    limits = pod["containers"][0]["resources"]["limits"]
    assert int(limits["ephemeral-storage"]) == quantity("1Gi") + quantity("256Mi") + quantity("64Mi")


def test_the_task_is_mounted_read_only_and_its_secret_holds_nothing_else() -> None:
    secret = build_secret(METADATA, b'{"a": 1}')
    assert secret["metadata"]["name"] == secret_name(UID)
    assert {name: json.loads(base64.b64decode(data)) for name, data in secret["data"].items()} == {"task.json": {"a": 1}}
    pod = pod_of(build())
    (volume,) = [item for item in pod["volumes"] if "secret" in item]
    assert volume["secret"] == {"secretName": secret_name(UID), "defaultMode": 0o400}
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == "task"]
    assert mount["readOnly"]
    assert "subPath" not in mount, "a file that is mounted alone is never renewed"


def test_the_attempt_is_the_pods_unique_id() -> None:
    (variable,) = pod_of(build())["containers"][0]["env"]
    assert variable == {"name": "PODBOOK_ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}


def test_the_pods_deadline_is_behind_every_clock_of_the_runner() -> None:
    assert pod_of(build(start_timeout=10, timeout=20, publish_timeout=30))["activeDeadlineSeconds"] == 10 + 20 + 30 + 60


def test_a_profile_is_copied_into_the_pod() -> None:
    profile = Profile(
        resources={"limits": {"memory": "1Gi", "ephemeral-storage": "9Gi"}, "requests": {"cpu": "1"}},
        node_selector={"pool": "gpu"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        env_from_secrets=["database"],
        image_pull_secrets=["registry"],
        runtime_class_name="gvisor",
        priority_class_name="low",
        service_account_name="runner",
    )
    pod = pod_of(build(profile))
    container = pod["containers"][0]
    assert container["resources"] == profile.resources
    assert container["envFrom"] == [{"secretRef": {"name": "database"}}]
    assert (pod["nodeSelector"], pod["tolerations"]) == (profile.node_selector, profile.tolerations)
    assert (pod["imagePullSecrets"], pod["runtimeClassName"]) == ([{"name": "registry"}], "gvisor")
    assert (pod["priorityClassName"], pod["serviceAccountName"]) == ("low", "runner")


def test_a_queue_gets_a_suspended_job() -> None:
    job = build(Profile(queue="team-a"))
    assert job["spec"]["suspend"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"


def test_labels_lead_back_to_the_execution_and_fit_kubernetes() -> None:
    labels = build()["spec"]["template"]["metadata"]["labels"]
    assert (labels["podbook.dev/execution"], labels["podbook.dev/execution-uid"]) == (NAME, UID)
    assert " " not in labels["podbook.dev/notebook"]
    assert all(len(value) <= 63 for value in labels.values())


@pytest.mark.parametrize(("text", "size"), [("2Gi", 2**31), ("500M", 500_000_000), ("1.5Ki", 1536), ("7", 7)])
def test_quantities(text: str, size: int) -> None:
    assert quantity(text) == size


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "-1", "1Pb", "1e3x"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a quantity"):
        quantity(text)
