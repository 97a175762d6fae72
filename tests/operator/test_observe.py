"""Facts from Kubernetes' objects, field by field."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.reasons import Reason
from podbook_operator.facts.observe import job_from_object, pod_from_object, termination_message, waiting_state

from .documents import NOW, job, job_object, pod, pod_object, running, terminated, waiting

DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}


def test_a_pod_has_ended_when_its_container_has_even_while_its_phase_lags() -> None:
    facts = pod(terminated(0, "Completed"), phase="Running")
    assert facts.ended
    assert not facts.running
    assert (facts.exit_code, facts.finished_at) == (0, NOW + timedelta(seconds=10))


def test_a_running_pod_is_running_and_a_waiting_one_is_not() -> None:
    assert pod(running(), phase="Running").running
    assert not pod(waiting("ContainerCreating")).running
    assert not pod().ended


@pytest.mark.parametrize(
    "changes",
    [
        {"conditions": (DISRUPTED,)},
        {"deleted": NOW},
        {"reason": "Evicted", "phase": "Failed"},
        {"reason": "Preempting", "phase": "Failed"},
        {"reason": "NodeLost"},
        {"reason": "OutOfcpu", "phase": "Failed"},
        {"reason": "NodeAffinity", "phase": "Failed"},
    ],
)
def test_what_ends_a_pod_from_outside_is_a_disruption(changes: dict[str, Any]) -> None:
    assert pod(**changes).disrupted


def test_a_failure_and_a_deadline_are_no_disruption() -> None:
    assert not pod(terminated(10), phase="Failed").disrupted
    assert not pod(phase="Failed", reason="DeadlineExceeded").disrupted


def test_only_the_runners_container_counts() -> None:
    body = pod_object(terminated(10))
    body["status"]["containerStatuses"].insert(0, {"name": "injected-sidecar", "state": running()})
    assert pod_from_object(body).exit_code == 10


def test_an_out_of_memory_kill_is_noticed() -> None:
    assert pod(terminated(137, "OOMKilled")).oom_killed
    assert not pod(terminated(137)).oom_killed


@pytest.mark.parametrize(
    ("conditions", "complete", "failed"),
    [
        ((), False, False),
        (("Complete",), True, False),
        (("SuccessCriteriaMet",), True, False),
        (("Failed",), False, True),
        (("FailureTarget",), False, True),
    ],
)
def test_a_job_is_finished_when_it_will_start_no_further_pod(conditions: tuple[str, ...], complete: bool, failed: bool) -> None:
    facts = job(conditions=conditions)
    assert (facts.complete, facts.failed is not None) == (complete, failed)
    assert facts.finished == (complete or failed)


def test_the_owner_of_a_job_is_its_controller() -> None:
    assert job(owner="other").owner_uid == "other"
    body = job_object()
    body["metadata"]["ownerReferences"] = [{"uid": "u1", "controller": False}]
    assert job_from_object(body).owner_uid is None


def test_a_long_message_is_clipped() -> None:
    facts = pod(waiting("ErrImagePull", "x" * 100_000))
    assert len(waiting_state(facts).message) < 700


def test_the_runners_last_words_are_read() -> None:
    said = termination_message(
        json.dumps({"reason": "CellFailed", "message": "m", "cell": 3, "ename": "ValueError", "evalue": "v"})
    )
    assert (said.message, said.cell, said.ename, said.evalue) == ("m", 3, "ValueError", "v")


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ).map(json.dumps)
)
def test_last_words_are_untrusted_and_never_break_anything(text: str) -> None:
    said = termination_message(text)
    assert len(said.message) <= 1024
    assert len(said.ename) <= 256


def test_a_waiting_pod_names_its_most_precise_cause() -> None:
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
    state = waiting_state(pod(waiting("ContainerCreating"), conditions=(unschedulable,)))
    assert state.end is Reason.UNSCHEDULABLE
    assert "0/3 nodes" in state.message


@given(
    st.dictionaries(
        st.sampled_from(["phase", "reason", "message", "conditions", "containerStatuses", "startTime"]), st.just(None), max_size=6
    )
)
def test_absent_and_null_fields_are_the_same(nulls: dict[str, None]) -> None:
    body = pod_object()
    body["status"] = nulls
    assert not pod_from_object(body).ended
