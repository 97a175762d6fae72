"""The Secret and the Job of an execution, as Kubernetes documents. Pure.

A pod meets the ``restricted`` Pod Security Standard, holds no service-account token, and gets what it needs from one Secret, mounted
read-only. Callers never reach into the template: they pick a profile, and an administrator wrote that.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from podbook_core import API_GROUP, API_VERSION, KIND
from podbook_core.execution.deadlines import pod_seconds
from podbook_core.execution.labels import EXECUTION_LABEL, MANAGED_BY, NOTEBOOK_LABEL, QUEUE_LABEL, UID_LABEL
from podbook_core.execution.model import Metadata
from podbook_core.execution.profiles import Profile
from podbook_core.execution.reasons import ExitCode
from podbook_core.text.names import job_name, label_value, secret_name
from podbook_operator.decide.attempts import FINAL_EXIT_CODES
from podbook_operator.facts.observe import CONTAINER

__all__ = ["WORK_DIR", "build_job", "build_secret"]

TASK_DIR = "/etc/podbook"
TASK_FILE = "task.json"
WORK_DIR = "/work"
USER = 10001
"""User and group in the runner's image."""
GRACE_SECONDS = 30
"""Between SIGTERM and SIGKILL: enough to publish the partial notebook."""
_TMP_SIZE = "256Mi"
_LOG_BYTES = 64 * 1024**2
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def build_secret(metadata: Metadata, task: bytes) -> dict[str, Any]:
    """The Secret with one execution's task, owned by the execution."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(metadata.uid),
            "labels": _labels(metadata),
            "ownerReferences": [_owner(metadata)],
        },
        "type": "Opaque",
        "data": {TASK_FILE: base64.b64encode(task).decode()},
    }


def build_job(
    metadata: Metadata,
    *,
    notebook: str,
    profile: Profile,
    image: str,
    retries: int,
    start_timeout: int,
    timeout: int,
    publish_timeout: int,
) -> dict[str, Any]:
    """The one Job of an execution. Times in seconds.

    It has no time to live: a Job that were collected while the operator is away would look like one that was lost. The pod's own deadline
    is a backstop to the runner's clock, and begins when the kubelet sees the pod.
    """
    labels = {**_labels(metadata), NOTEBOOK_LABEL: label_value(notebook)}
    deadline = pod_seconds(start=start_timeout, timeout=timeout, publish=publish_timeout)
    job_labels = {**labels, QUEUE_LABEL: profile.queue} if profile.queue else labels
    spec = {
        "suspend": bool(profile.queue),
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": retries,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        "template": {
            "metadata": {"labels": labels},
            "spec": _pod(metadata, profile, image, deadline=deadline),
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(metadata.uid), "labels": job_labels, "ownerReferences": [_owner(metadata)]},
        "spec": spec,
    }


def _failure_rules() -> list[dict[str, Any]]:
    def codes(action: str, values: list[int]) -> dict[str, Any]:
        return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": values}}

    # First match wins; what no rule matches (storage, a runner that died) counts against backoffLimit.
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        codes("FailJob", sorted(FINAL_EXIT_CODES)),
        codes("Ignore", [int(ExitCode.INTERRUPTED)]),
    ]


def _pod(metadata: Metadata, profile: Profile, image: str, *, deadline: int) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "activeDeadlineSeconds": deadline,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(profile, image)],
        "volumes": [
            # The kubelet adds read access for fsGroup: the runner reads the file, and cannot change it.
            {"name": "task", "secret": {"secretName": secret_name(metadata.uid), "defaultMode": 0o400}},
            {"name": "work", "emptyDir": {"sizeLimit": profile.working_volume}},
            {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_SIZE}},
        ],
    }
    optional: dict[str, Any] = {
        "nodeSelector": profile.node_selector,
        "tolerations": profile.tolerations,
        "imagePullSecrets": [{"name": name} for name in profile.image_pull_secrets],
        "runtimeClassName": profile.runtime_class_name,
        "priorityClassName": profile.priority_class_name,
        "serviceAccountName": profile.service_account_name,
    }
    pod.update({key: value for key, value in optional.items() if value})
    return pod


def _container(profile: Profile, image: str) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": profile.image_pull_policy,
        "args": ["--task", f"{TASK_DIR}/{TASK_FILE}", "--work-dir", WORK_DIR],
        "env": [{"name": "PODBOOK_ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
        "envFrom": [{"secretRef": {"name": name}} for name in profile.env_from_secrets],
        "resources": _resources(profile),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            # The folder, never the file by subPath: the kubelet keeps only a folder up to date when the access in it is renewed.
            {"name": "task", "mountPath": TASK_DIR, "readOnly": True},
            {"name": "work", "mountPath": WORK_DIR},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
        ],
    }


def _resources(profile: Profile) -> dict[str, Any]:
    """The profile's, with a bound on what the container may write to the node's disk where the profile sets none."""
    requests, limits = dict(profile.resources.get("requests", {})), dict(profile.resources.get("limits", {}))
    if "ephemeral-storage" not in limits:
        total = quantity(profile.working_volume) + quantity(_TMP_SIZE) + _LOG_BYTES
        limits["ephemeral-storage"] = str(total)
        # Without a request the limit would be one, and small nodes would take no pod.
        requests.setdefault("ephemeral-storage", str(_LOG_BYTES))
    return {"requests": requests, "limits": limits}


def quantity(text: str) -> int:
    """A Kubernetes quantity in bytes, rounded down.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", text)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} must be a quantity such as 2Gi or 500M")
    return int(float(match[1]) * _UNITS[match[2]])


def _labels(metadata: Metadata) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "podbook",
        "app.kubernetes.io/component": "runner",
        "app.kubernetes.io/managed-by": MANAGED_BY,
        EXECUTION_LABEL: metadata.name,
        UID_LABEL: metadata.uid,
    }


def _owner(metadata: Metadata) -> Mapping[str, Any]:
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": KIND,
        "name": metadata.name,
        "uid": metadata.uid,
        "controller": True,
        # True would need a permission on finalizers where the cluster guards it.
        "blockOwnerDeletion": False,
    }
