"""What the supervisor concludes, without any process."""

from datetime import UTC, datetime, timedelta

from tests.backends.embedded.samples import new_execution

from podbook_api.backends.embedded.attempt import verdict_on
from podbook_core.execution.deadlines import first_attempt_deadline
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import Progress, Resolved, Status
from podbook_core.execution.reasons import INTERRUPTED, ExitCode, Reason
from podbook_core.execution.transitions import Change, advanced, change_of_progress
from podbook_core.execution.verdict import Again, End

NOW = datetime(2030, 1, 1, tzinfo=UTC)
RESOLVED = Resolved(version="0" * 64, parameters_digest="0" * 64, profile="default", timeout_seconds=60)


def manifest(outcome: str) -> AttemptManifest:
    return AttemptManifest("uid", "attempt", outcome, "message", None, "", "", 1.0, 1, 2, (), "0")


def verdict(
    left: AttemptManifest | None,
    *,
    exit_code: int | None = 0,
    late: bool = False,
    cancel: bool = False,
    stopping: bool = False,
    attempts: int = 1,
    retries: int = 0,
) -> End | Again:
    return verdict_on(
        left,
        exit_code=exit_code,
        late=late,
        cancel_requested=cancel,
        stopping=stopping,
        status=Status(attempts=attempts, resolved=RESOLVED),
        retries=retries,
        message="",
    )


def test_a_stored_success_stands_however_its_runner_ended() -> None:
    for exit_code in (0, None, -9, 1):
        assert verdict(manifest(Reason.SUCCEEDED), exit_code=exit_code, cancel=True, late=True) == End(Reason.SUCCEEDED, "")


def test_an_end_nobody_saw_is_tried_again_up_to_five_times() -> None:
    for attempts in range(1, 5):
        assert isinstance(verdict(None, exit_code=None, attempts=attempts), Again)
    last = verdict(None, exit_code=None, attempts=5)
    assert isinstance(last, End)
    assert last.reason is Reason.EVICTED


def test_an_end_before_our_eyes_without_a_word_is_runner_crashed() -> None:
    crashed = verdict(None, exit_code=1)
    assert isinstance(crashed, End)
    assert crashed.reason is Reason.RUNNER_CRASHED
    assert isinstance(verdict(None, exit_code=1, retries=1), Again)


def test_a_runner_killed_before_our_eyes_by_nobody_we_know_was_killed_by_its_notebook() -> None:
    killed = verdict(None, exit_code=-9)
    assert isinstance(killed, End)
    assert killed.reason is Reason.KERNEL_DIED
    assert "SIGKILL" in killed.message
    assert isinstance(verdict(None, exit_code=-9, retries=1), Again)


def test_a_run_past_every_clock_has_timed_out() -> None:
    for left in (None, manifest(INTERRUPTED)):
        late = verdict(left, exit_code=-9, late=True)
        assert isinstance(late, End)
        assert late.reason is Reason.TIMED_OUT
        assert "60 s" in late.message


def test_an_interrupted_attempt_is_cancelled_only_when_that_was_asked_for() -> None:
    assert isinstance(verdict(manifest(INTERRUPTED), exit_code=ExitCode.INTERRUPTED), Again)
    cancelled = verdict(manifest(INTERRUPTED), exit_code=ExitCode.INTERRUPTED, cancel=True)
    assert isinstance(cancelled, End)
    assert cancelled.reason is Reason.CANCELLED


def test_a_stopping_server_is_to_blame_for_the_end_of_its_runners() -> None:
    assert isinstance(verdict(None, exit_code=-15, stopping=True), Again)


def test_progress_shows_running_and_then_publishing() -> None:
    execution = new_execution("double")
    running = advanced(execution, change_of_progress(Progress(completed=1, total=2)), NOW)
    assert running.status.reason is Reason.RUNNING
    done = advanced(running, change_of_progress(Progress(completed=2, total=2)), NOW)
    assert done.status.reason is Reason.PUBLISHING


def test_only_the_first_attempt_has_a_queue_deadline() -> None:
    queued = advanced(new_execution("double", queue_timeout_seconds=90), Change(Reason.QUEUED), NOW)
    assert first_attempt_deadline(queued) == NOW + timedelta(seconds=90)
    begun = advanced(queued, Change(Reason.STARTING, attempts=1), NOW)
    assert first_attempt_deadline(begun) is None
