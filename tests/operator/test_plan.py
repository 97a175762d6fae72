"""The decision table: one row for each situation an execution can be in."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution, Results
from podbook_core.execution.reasons import ExitCode, Reason
from podbook_core.execution.transitions import Change, mark_stored
from podbook_operator.decide.attempts import FINAL_EXIT_CODES
from podbook_operator.decide.decisions import (
    Accept,
    CloseRecord,
    Confirm,
    Decision,
    DeleteResource,
    Explain,
    Finish,
    ReadAttempts,
    ReadManifest,
    ReadProgress,
    Start,
    StopJob,
    Update,
    Wait,
)
from podbook_operator.decide.plan import plan
from podbook_operator.decide.situation import Rejection, Situation
from podbook_operator.facts.observe import JobFacts, PodFacts

from .documents import NOW, POLICY, QUEUED, RUNNING, SCHEDULED, execution, job, manifest, pod, running, terminated, waiting


def decide(
    item: NotebookExecution,
    *pods: PodFacts,
    job: JobFacts | None = None,
    after: float = 1,
    **known: Any,
) -> Decision:
    situation = Situation(execution=item, job=job, pods=pods, now=NOW + timedelta(seconds=after), **{"slot": False, **known})
    return plan(situation, POLICY)


def end_of(decision: Decision) -> Reason:
    assert isinstance(decision, Finish), decision
    return decision.end.reason


def stored(reason: Reason, *, stored: bool = True, **spec: Any) -> NotebookExecution:
    item = execution(RUNNING, Change(reason), **spec)
    return item.with_status(mark_stored(item.status, Results(record="r"), now=NOW)) if stored else item


# --- before it runs


def test_a_new_execution_is_checked_first() -> None:
    assert decide(execution(), slot=True) == Accept()


def test_an_accepted_one_waits_for_a_place_until_its_queue_time_is_over() -> None:
    item = execution(QUEUED, queue_timeout_seconds=60)
    assert decide(item) == Wait(NOW + timedelta(seconds=60))
    assert decide(item, slot=True) == Start()
    assert end_of(decide(item, after=60, slot=True)) is Reason.QUEUE_TIMED_OUT


@pytest.mark.parametrize("changes", [(), (QUEUED,)])
def test_what_is_cancelled_before_it_has_a_job_ends_at_once(changes: tuple[Change, ...]) -> None:
    assert end_of(decide(execution(*changes, cancel=True), slot=True)) is Reason.CANCELLED


def test_a_job_that_exists_and_was_not_recorded_is_recorded_and_not_created_again() -> None:
    decision = decide(execution(QUEUED), job=job(), slot=True)
    assert isinstance(decision, Update)
    assert (decision.change.job_uid, decision.change.reason) == ("j1", Reason.SCHEDULED)


def test_a_suspended_job_is_in_the_queue_and_its_start_clock_stands_still() -> None:
    item, suspended = execution(SCHEDULED, queue_timeout_seconds=5000), job(suspend=True, started=False)
    decision = decide(item, job=suspended, after=4000)
    assert isinstance(decision, Update)
    assert decision.change.reason is Reason.QUEUED
    assert end_of(decide(item, job=suspended, after=5000)) is Reason.QUEUE_TIMED_OUT


# --- while it starts


QUOTA = "the cluster refuses its pod: exceeded quota"


def said(message: str, after: float, since: datetime = NOW) -> Rejection:
    return Rejection(since, NOW + timedelta(seconds=after), message)


def test_a_job_without_pod_is_asked_why_and_ends_as_rejected() -> None:
    item = execution(SCHEDULED, start_timeout_seconds=30)
    assert decide(item, job=job()) == Wait(NOW + timedelta(seconds=5))
    assert decide(item, job=job(), after=5) == Explain(NOW)
    told = decide(item, job=job(), after=6, rejection=said(QUOTA, 6))
    assert isinstance(told, Update)
    assert "exceeded quota" in told.change.message
    final = decide(item, job=job(), after=30, rejection=said(QUOTA, 30))
    assert end_of(final) is Reason.POD_REJECTED


def test_a_cause_that_comes_later_is_found_as_well() -> None:
    """A quota may be used up only after the first question."""
    item = execution(SCHEDULED)
    assert decide(item, job=job(), after=6, rejection=said("", 6)) == Wait(NOW + timedelta(seconds=66))
    assert decide(item, job=job(), after=66, rejection=said("", 6)) == Explain(NOW)
    late = said("", 290)
    assert decide(item, job=job(), after=291, rejection=late) == Wait(NOW + timedelta(seconds=300))
    assert decide(item, job=job(), after=300, rejection=late) == Explain(NOW)
    final = decide(item, job=job(), after=300, rejection=said(QUOTA, 300))
    assert isinstance(final, Finish)
    assert final.end.message == QUOTA
    silent = decide(item, job=job(), after=300, rejection=said("", 300))
    assert end_of(silent) is Reason.POD_REJECTED


def test_what_was_said_about_an_earlier_attempt_is_not_told_about_the_next() -> None:
    failed, over = pod(terminated(20)), NOW + timedelta(seconds=60)
    known = {"p1": None}
    decision = decide(
        execution(RUNNING, retries=1),
        failed,
        job=job(retries=1),
        after=61,
        manifests=known,
        attempt_over=over,
        rejection=said(QUOTA, 6),
    )
    assert isinstance(decision, Update)
    assert QUOTA not in decision.change.message
    asked = decide(
        execution(RUNNING, decision.change, retries=1),
        failed,
        job=job(retries=1),
        after=66,
        manifests=known,
        attempt_over=over,
        rejection=said(QUOTA, 6),
    )
    assert asked == Explain(over)


@pytest.mark.parametrize(
    ("state", "conditions", "early", "end", "after"),
    [
        (None, (), Reason.SCHEDULED, Reason.START_TIMED_OUT, 300),
        (
            None,
            ({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},),
            Reason.SCHEDULED,
            Reason.UNSCHEDULABLE,
            300,
        ),
        (waiting("ContainerCreating"), ({"type": "PodScheduled", "status": "True"},), Reason.STARTING, Reason.START_TIMED_OUT, 300),
        (waiting("ErrImagePull", "no such image"), (), Reason.STARTING, Reason.IMAGE_PULL_FAILED, 300),
        (waiting("ImagePullBackOff"), (), Reason.STARTING, Reason.IMAGE_PULL_FAILED, 300),
        (waiting("ErrImageNeverPull"), (), Reason.STARTING, Reason.IMAGE_PULL_FAILED, 60),
        (waiting("InvalidImageName"), (), Reason.STARTING, Reason.CONFIGURATION_ERROR, 60),
        (waiting("CreateContainerConfigError", "no secret"), (), Reason.STARTING, Reason.CONFIGURATION_ERROR, 60),
        (waiting("CreateContainerError"), (), Reason.STARTING, Reason.CONFIGURATION_ERROR, 60),
    ],
)
def test_a_pod_that_does_not_begin_says_why_and_ends_in_time(
    state: dict[str, Any] | None, conditions: tuple[dict[str, str], ...], early: Reason, end: Reason, after: int
) -> None:
    item, waits = execution(SCHEDULED), pod(state, conditions=conditions)
    first = decide(item, waits, job=job(), after=2)
    assert isinstance(first, Update)
    assert (first.change.reason, first.change.pod_name, first.change.attempts) == (early, "pod-1", 1)
    told = execution(SCHEDULED, first.change)
    assert decide(told, waits, job=job(), after=2) == Wait(NOW + timedelta(seconds=after))
    assert isinstance(decide(told, waits, job=job(), after=after - 1), Wait)
    assert end_of(decide(told, waits, job=job(), after=after)) is end


def test_a_pod_that_is_being_placed_is_told_of_only_when_that_takes_long() -> None:
    item, placed = execution(SCHEDULED), ({"type": "PodScheduled", "status": "True"},)
    refused = ({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},)
    assert decide(item, pod(None), job=job(), after=0.5) == Wait(NOW + timedelta(seconds=2))
    assert isinstance(decide(item, pod(None, conditions=placed), job=job(), after=0.5), Update)
    assert isinstance(decide(item, pod(None, conditions=refused), job=job(), after=0.5), Update)
    assert isinstance(decide(item, pod(None), job=job(), after=2), Update)


# --- while it runs


def test_a_running_pod_is_told_once_and_its_progress_is_read_every_ten_seconds() -> None:
    decision = decide(execution(SCHEDULED), pod(running()), job=job(), after=3)
    assert isinstance(decision, Update)
    assert (decision.change.reason, decision.change.start_time) == (Reason.RUNNING, NOW + timedelta(seconds=3))
    item = execution(RUNNING)
    assert decide(item, pod(running()), job=job(), after=4) == Wait(NOW + timedelta(seconds=10))
    assert decide(item, pod(running()), job=job(), after=10) == ReadProgress("p1")
    again = decide(item, pod(running()), job=job(), after=15, progress_read=NOW + timedelta(seconds=10))
    assert again == Wait(NOW + timedelta(seconds=20))


def test_a_pod_that_outlives_every_deadline_is_given_up() -> None:
    assert end_of(decide(execution(RUNNING), pod(running()), job=job(), after=300 + 600 + 300 + 60 + 60)) is Reason.TIMED_OUT


# --- when an attempt ends


def test_the_manifest_of_an_ended_attempt_is_read_before_anything_is_said() -> None:
    assert decide(execution(RUNNING), pod(terminated(0)), job=job()) == ReadManifest("p1")


def test_success_is_told_from_the_pod_and_does_not_wait_for_the_job() -> None:
    decision = decide(execution(RUNNING), pod(terminated(0)), job=job(), manifests={"p1": manifest()})
    assert end_of(decision) is Reason.SUCCEEDED
    assert isinstance(decision, Finish)
    assert decision.attempt == "p1"


def test_success_of_a_pod_that_was_told_to_go_stops_the_job_before_it_is_told() -> None:
    gone = pod(terminated(0), deleted=NOW)
    known = {"p1": manifest()}
    assert isinstance(decide(execution(RUNNING), gone, job=job(), manifests=known), StopJob)
    assert end_of(decide(execution(RUNNING), gone, job=job(deleting=True), manifests=known)) is Reason.SUCCEEDED


def test_success_beats_a_cancel_that_came_too_late() -> None:
    decision = decide(execution(RUNNING, cancel=True), pod(terminated(0)), job=job(), manifests={"p1": manifest()})
    assert end_of(decision) is Reason.SUCCEEDED


@pytest.mark.parametrize(
    ("code", "said", "end"),
    [
        (ExitCode.CELL_FAILED, manifest("CellFailed"), Reason.CELL_FAILED),
        (ExitCode.CELL_FAILED, None, Reason.CELL_FAILED),
        (ExitCode.KERNEL_DIED, manifest("KernelDied"), Reason.KERNEL_DIED),
        (ExitCode.OUT_OF_MEMORY, manifest("OutOfMemory"), Reason.OUT_OF_MEMORY),
        (ExitCode.TIMED_OUT, manifest("TimedOut"), Reason.TIMED_OUT),
        (ExitCode.INVALID_OUTPUT, manifest("InvalidOutput"), Reason.INVALID_OUTPUT),
        (ExitCode.STORAGE_FAILED, None, Reason.STORAGE_FAILED),
        (0, None, Reason.RUNNER_CRASHED),
        (137, None, Reason.KERNEL_DIED),
        (1, manifest("Succeeded"), Reason.RUNNER_CRASHED),
    ],
)
def test_an_attempt_ends_the_execution_by_manifest_and_exit_code(code: int, said: AttemptManifest | None, end: Reason) -> None:
    assert end_of(decide(execution(RUNNING), pod(terminated(code)), job=job(), manifests={"p1": said})) is end


def test_an_out_of_memory_kill_explains_a_failure_and_never_makes_one() -> None:
    item, killed = execution(RUNNING), terminated(137, "OOMKilled")
    assert end_of(decide(item, pod(killed), job=job(), manifests={"p1": None})) is Reason.OUT_OF_MEMORY
    fine = pod(terminated(0, "OOMKilled"))
    assert end_of(decide(item, fine, job=job(), manifests={"p1": manifest()})) is Reason.SUCCEEDED


def test_the_pods_own_deadline_is_a_time_out_and_not_a_disruption() -> None:
    late = pod(terminated(30), phase="Failed", reason="DeadlineExceeded")
    assert end_of(decide(execution(RUNNING), late, job=job(), manifests={"p1": manifest("Interrupted")})) is Reason.TIMED_OUT
    never = pod(phase="Failed", reason="DeadlineExceeded")
    assert end_of(decide(execution(SCHEDULED), never, job=job(), manifests={"p1": None})) is Reason.START_TIMED_OUT


# --- disruptions and retries


def test_an_interrupted_attempt_is_followed_by_another_until_there_were_five() -> None:
    gone = pod(terminated(30), deleted=NOW)
    known = {"p1": manifest("Interrupted")}
    assert isinstance(decide(execution(RUNNING), gone, job=job(), manifests=known), Wait | Update)
    fifth = execution(Change(Reason.RUNNING, job_uid="j1", pod_name="pod-1", attempts=5, resolved=RUNNING.resolved))
    assert end_of(decide(fifth, gone, job=job(), manifests=known)) is Reason.EVICTED


def test_the_next_attempt_counts_and_starts_the_clock_again() -> None:
    first, second = pod(terminated(30), deleted=NOW), pod(running(), name="pod-2", uid="p2", created=NOW + timedelta(seconds=5))
    decision = decide(execution(RUNNING), first, second, job=job(), after=7, manifests={"p1": manifest("Interrupted")})
    assert isinstance(decision, Update)
    assert (decision.change.attempts, decision.change.pod_name) == (2, "pod-2")
    assert decision.change.start_time == NOW + timedelta(seconds=7)


def test_a_fault_of_the_platform_is_retried_within_its_budget() -> None:
    failed = pod(terminated(20))
    going_on = decide(execution(RUNNING, retries=1), failed, job=job(retries=1), manifests={"p1": None})
    assert isinstance(going_on, Wait | Update)
    over = decide(execution(RUNNING, retries=1), failed, job=job(retries=1, conditions=["Failed"]), manifests={"p1": None})
    assert end_of(over) is Reason.STORAGE_FAILED


def test_a_pod_that_vanished_is_looked_up_in_the_store() -> None:
    item = execution(RUNNING)
    assert decide(item, job=job()) == ReadAttempts("pod-1")
    won = decide(item, job=job(), attempts_read_for="pod-1", manifests={"p1": manifest()})
    assert end_of(won) is Reason.SUCCEEDED
    lost = decide(item, job=job(), attempts_read_for="pod-1")
    assert isinstance(lost, Wait | Update)


def test_a_pod_that_vanishes_late_in_a_long_run_leaves_as_much_time_for_the_next_as_one_that_vanishes_early() -> None:
    over = NOW + timedelta(hours=2)
    known = {"attempts_read_for": "pod-1", "attempt_over": over}
    early = decide(execution(RUNNING), job=job(), after=7203, **known)
    assert isinstance(early, Update)
    deadline = 7200 + 360 + 300
    assert isinstance(decide(execution(RUNNING), job=job(), after=deadline - 1, **known), Update | Explain)
    asked = said("", deadline, since=over)
    assert end_of(decide(execution(RUNNING), job=job(), after=deadline, rejection=asked, **known)) is Reason.EVICTED


def test_a_nodes_clock_makes_no_deadline_for_the_next_attempt() -> None:
    ended = terminated(20)
    ended["terminated"]["finishedAt"] = "2035-01-01T00:00:00Z"
    decision = decide(
        execution(RUNNING, retries=1),
        pod(ended),
        job=job(retries=1),
        after=700,
        manifests={"p1": None},
        attempt_over=NOW + timedelta(seconds=10),
        rejection=said("", 700, since=NOW + timedelta(seconds=10)),
    )
    assert end_of(decision) is Reason.STORAGE_FAILED


def test_a_vanished_attempt_whose_fault_is_retried_does_not_end_a_job_that_goes_on() -> None:
    second = pod(running(), name="pod-2", uid="p2")
    item = execution(RUNNING, retries=1)
    known = {"p1": manifest("StorageFailed")}
    decision = decide(item, second, job=job(retries=1), attempts_read_for="pod-1", manifests=known)
    assert isinstance(decision, Update)
    assert decision.change.attempts == 2


def test_a_node_that_does_not_answer_ends_it_after_the_start_time_out() -> None:
    stuck = pod(running(), deleted=NOW)
    assert not isinstance(decide(execution(RUNNING), stuck, job=job(), after=299), Finish)
    assert end_of(decide(execution(RUNNING), stuck, job=job(), after=300)) is Reason.EVICTED


# --- cancel


def test_a_cancel_deletes_the_job_waits_for_the_pods_and_keeps_what_had_run() -> None:
    item = execution(RUNNING, cancel=True)
    alive = pod(running())
    assert isinstance(decide(item, alive, job=job()), StopJob)
    told = decide(item, pod(running(), deleted=NOW + timedelta(seconds=30)), job=job(deleting=True))
    assert isinstance(told, Update)
    assert told.change.message == "being cancelled"
    ended = pod(terminated(30), deleted=NOW)
    decision = decide(item, ended, job=job(deleting=True), manifests={"p1": manifest("Interrupted")})
    assert end_of(decision) is Reason.CANCELLED
    assert isinstance(decision, Finish)
    assert decision.attempt == "p1"


def test_a_cancelled_pod_on_a_dead_node_does_not_hold_the_end_for_ever() -> None:
    stuck = pod(running(), deleted=NOW + timedelta(seconds=30))
    item = execution(RUNNING, cancel=True)
    assert not isinstance(decide(item, stuck, job=job(deleting=True), after=89), Finish)
    assert end_of(decide(item, stuck, job=job(deleting=True), after=90)) is Reason.CANCELLED


def test_after_a_cancel_the_job_is_missing_and_that_is_no_loss() -> None:
    item = execution(RUNNING, cancel=True)
    assert decide(item) == ReadAttempts("pod-1")
    assert decide(item, attempts_read_for="pod-1") == Confirm()
    assert end_of(decide(item, attempts_read_for="pod-1", confirmed=True)) is Reason.CANCELLED


# --- a Job that is gone


def test_a_recorded_job_that_is_gone_is_lost_only_when_the_api_server_says_so() -> None:
    item = execution(SCHEDULED)
    assert decide(item) == Confirm()
    assert decide(item, confirmed=True) == ReadAttempts("")
    assert end_of(decide(item, confirmed=True, attempts_read_for="")) is Reason.JOB_LOST


def test_a_lost_job_whose_attempt_had_succeeded_is_a_success() -> None:
    item = execution(RUNNING)
    decision = decide(item, confirmed=True, attempts_read_for="pod-1", manifests={"p1": manifest()})
    assert end_of(decision) is Reason.SUCCEEDED


def test_a_pod_that_outlived_its_job_may_still_end_well() -> None:
    assert isinstance(decide(execution(RUNNING), pod(running())), Wait)


# --- after the end


def test_after_the_end_nothing_is_deleted_before_the_record() -> None:
    assert decide(stored(Reason.CELL_FAILED, stored=False), after=10**6) == CloseRecord()


@pytest.mark.parametrize("kept", [True, False], ids=["recorded", "while the store is away"])
@pytest.mark.parametrize("pods", [(), (pod(),), (pod(running()),)], ids=["no pod yet", "a pod that starts", "a pod that runs"])
def test_a_job_that_would_go_on_after_the_end_is_stopped_at_once(kept: bool, pods: tuple[PodFacts, ...]) -> None:
    assert isinstance(decide(stored(Reason.START_TIMED_OUT, stored=kept), *pods, job=job(), after=1), StopJob)
    afterwards = decide(stored(Reason.START_TIMED_OUT, stored=kept), *pods, job=job(deleting=True), after=1)
    assert isinstance(afterwards, Wait if kept else CloseRecord)


def test_an_ended_job_stays_for_its_logs_and_goes_then() -> None:
    done = job(conditions=["Complete"])
    item = stored(Reason.SUCCEEDED)
    assert decide(item, pod(terminated(0)), job=done) == Wait(NOW + timedelta(seconds=300))
    assert isinstance(decide(item, pod(terminated(0)), job=done, after=300), StopJob)


@pytest.mark.parametrize(
    ("reason", "spec", "seconds"),
    [
        (Reason.SUCCEEDED, {}, 3600),
        (Reason.CELL_FAILED, {}, 7200),
        (Reason.CANCELLED, {}, 7200),
        (Reason.SUCCEEDED, {"ttl_seconds_after_finished": 5}, 5),
        (Reason.CELL_FAILED, {"ttl_seconds_after_finished": 0}, 0),
    ],
)
def test_the_resource_is_deleted_after_its_time(reason: Reason, spec: dict[str, Any], seconds: int) -> None:
    item = stored(reason, **spec)
    if seconds:
        assert decide(item, after=seconds - 1) == Wait(NOW + timedelta(seconds=seconds))
    assert decide(item, after=seconds) == DeleteResource()


def test_a_resource_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    item = execution(RUNNING)
    going = item.model_copy(update={"metadata": item.metadata.model_copy(update={"deletion_timestamp": NOW})})
    assert decide(going, pod(running()), job=job()) == Wait()


def test_final_exit_codes_are_those_that_no_retry_could_change() -> None:
    assert 0 not in FINAL_EXIT_CODES
    assert ExitCode.STORAGE_FAILED not in FINAL_EXIT_CODES
    assert ExitCode.INTERRUPTED not in FINAL_EXIT_CODES
    assert ExitCode.CELL_FAILED in FINAL_EXIT_CODES


def test_times_are_compared_by_the_api_servers_clock_only() -> None:
    """A node whose clock is a year ahead changes no deadline."""
    ahead = pod(running(datetime(2026, 3, 1, tzinfo=NOW.tzinfo)))
    assert decide(execution(RUNNING), ahead, job=job(), after=4) == Wait(NOW + timedelta(seconds=10))
