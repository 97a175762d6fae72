"""What the operator knows, and who gets a place."""

import copy
from datetime import timedelta
from typing import Any

from podbook_cluster.resource_versions import is_newer
from podbook_core.execution.profiles import Profile
from podbook_operator.facts.cache import Facts, distil

from .documents import LABELS, NAME, NOW, UID, job_object, pod_object, rfc3339, running, terminated


def body(name: str = NAME, uid: str = UID, *, version: int = 1, reason: str = "Queued", **more: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"reason": reason}
    if more.get("accepted", True):
        status["resolved"] = {
            "profile": more.get("profile", "default"),
            "version": "0" * 64,
            "parametersDigest": "0" * 64,
            "timeoutSeconds": 60,
        }
    if more.get("job"):
        status["jobUID"] = more["job"]
    spec: dict[str, Any] = {"notebook": {"name": "analysis"}, "parameters": {"large": "x" * 1000}}
    if "submitter" in more:
        spec["submittedBy"] = more["submitter"]
    created = NOW + timedelta(seconds=more.get("age", 0))
    return {
        "apiVersion": "podbook.dev/v1alpha1",
        "kind": "NotebookExecution",
        "metadata": {
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "creationTimestamp": rfc3339(created),
            "managedFields": [{"manager": "kubectl"}] * 50,
        },
        "spec": spec,
        "status": status,
    }


def facts(limit: int = 2, **profiles: Profile) -> Facts:
    return Facts(limit, {"default": Profile(), **profiles})


def test_large_parameters_and_managed_fields_are_not_kept() -> None:
    given = body()
    small = distil(given)
    assert small.whole
    assert small.stored().execution.spec.parameters == {"large": "x" * 1000}
    given["spec"]["parameters"]["large"] *= 2
    entry = distil(given)
    assert not entry.whole
    assert b"large" not in entry.document
    assert b"managedFields" not in entry.document
    assert entry.stored().execution.spec.notebook.name == "analysis"


def test_an_older_word_does_not_overwrite_a_newer_one() -> None:
    known = facts()
    known.put_execution(body(version=10, reason="Running"))
    known.put_execution(body(version=9, reason="Queued"))
    assert known.entries[NAME].reason == "Running"
    known.put_execution(body(version=100, reason="Succeeded"))
    assert known.entries[NAME].terminal


def test_versions_that_are_no_numbers_are_believed() -> None:
    assert is_newer("a", "b")
    assert is_newer("10", "9")
    assert not is_newer("9", "10")


def test_a_name_that_is_used_again_is_another_execution() -> None:
    known = facts()
    known.put_execution(body(version=10))
    known.put_execution(body(uid="u2", version=11))
    assert known.entries[NAME].uid == "u2"
    known.drop_execution(NAME, UID)
    assert NAME in known.entries


def test_pods_and_jobs_lead_to_their_execution() -> None:
    known = facts()
    assert known.put_job(job_object()) == NAME
    assert known.put_pod(pod_object(running())) == NAME
    assert known.job(UID) is not None
    assert [pod.name for pod in known.pods_of(UID)] == ["pod-1"]
    assert known.drop_pod(pod_object()) == NAME
    assert known.drop_job(job_object()) == NAME
    assert known.job(UID) is None
    assert known.pods_of(UID) == ()


def test_what_is_not_ours_is_ignored() -> None:
    stranger = pod_object()
    del stranger["metadata"]["labels"]
    assert facts().put_pod(stranger) is None


def test_the_deletion_of_an_earlier_job_does_not_remove_the_present_one() -> None:
    known, earlier = facts(), copy.deepcopy(job_object())
    earlier["metadata"]["uid"] = "j0"
    known.put_job(job_object())
    known.drop_job(earlier)
    assert known.job(UID) is not None


def test_the_moment_a_pod_was_first_seen_to_have_ended_is_kept() -> None:
    known = facts()
    known.put_pod(pod_object(running()))
    assert UID not in known.ended
    known.put_pod(pod_object(terminated(0)))
    first = known.ended[UID]
    known.put_pod(pod_object(terminated(0), phase="Succeeded"))
    assert known.ended[UID] == first


def test_another_attempt_has_a_moment_of_its_own() -> None:
    known = facts()
    known.put_pod(pod_object(terminated(20)))
    known.ended[UID] -= 1000
    first = known.ended[UID]
    known.put_pod(pod_object(name="pod-2", uid="p2"))
    known.put_pod(pod_object(terminated(20), phase="Failed"))
    assert UID not in known.ended
    known.put_pod(pod_object(terminated(0), name="pod-2", uid="p2"))
    assert known.ended[UID] > first + 900


def test_places_are_given_oldest_first_and_no_more_than_there_are() -> None:
    known = facts(2)
    for number in range(4):
        known.put_execution(body(f"run-{number}", f"u{number}", age=number))
    assert known.places.grant() == ["run-0", "run-1"]
    assert known.places.grant() == []
    assert (known.places.taken, known.places.waiting) == (2, 2)


def test_a_place_is_free_again_at_the_end_and_when_the_resource_is_gone() -> None:
    known = facts(1)
    for number in range(3):
        known.put_execution(body(f"run-{number}", f"u{number}", age=number))
    assert known.places.grant() == ["run-0"]
    known.put_execution(body("run-0", "u0", version=2, reason="Succeeded"))
    assert known.places.grant() == ["run-1"]
    known.drop_execution("run-1", "u1")
    assert known.places.grant() == ["run-2"]


def test_a_job_holds_a_place_even_when_its_record_was_lost_in_a_crash() -> None:
    known = facts(1)
    known.put_execution(body())
    known.put_job({**job_object(), "metadata": {**job_object()["metadata"], "labels": LABELS}})
    known.put_execution(body("other", "u9", age=1))
    assert known.places.grant() == []


def test_one_submitter_does_not_take_every_place() -> None:
    known = facts(2)
    for number in range(5):
        known.put_execution(body(f"many-{number}", f"m{number}", age=number, submitter="greedy"))
    known.put_execution(body("single", "s", age=9, submitter="modest"))
    assert known.places.grant() == ["many-0", "single"]


def test_a_profile_may_have_a_limit_of_its_own() -> None:
    known = facts(5, scarce=Profile(max_active=1))
    for number in range(3):
        known.put_execution(body(f"scarce-{number}", f"s{number}", age=number, profile="scarce"))
    known.put_execution(body("plain", "p", age=9))
    assert sorted(known.places.grant()) == ["plain", "scarce-0"]


def test_what_is_not_accepted_waits_for_no_place() -> None:
    known = facts()
    known.put_execution(body(reason="Pending", accepted=False))
    assert known.places.waiting == 0
