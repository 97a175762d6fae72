"""Every combination of what an attempt's end can look like, against the rules in words."""

from itertools import product

import pytest

from podbook_core.execution.manifest import AttemptManifest, CellError
from podbook_core.execution.model import ATTEMPTS_LIMIT, ErrorInfo
from podbook_core.execution.reasons import INTERRUPTED, REASONS, ExitCode, Reason, Retry, is_terminal
from podbook_core.execution.verdict import Again, AttemptEnd, End, judge

from .builders import manifest

REPORTED = [str(reason) for reason, info in REASONS.items() if info.exit_code is not None]
EXIT_CODES = (None, *ExitCode, 1, 137, -9)
COMBINATIONS = list(
    product(EXIT_CODES, (None, INTERRUPTED, *REPORTED), (False, True), (False, True), range(1, ATTEMPTS_LIMIT + 1), (0, 1, 4))
)


def end(
    exit_code: int | None = None,
    outcome: str | None = None,
    *,
    cancel: bool = False,
    disrupted: bool = False,
    attempts: int = 1,
    retries: int = 0,
    out_of_memory: bool = False,
    message: str = "",
) -> AttemptEnd:
    """The end of an attempt."""
    said: AttemptManifest | None = None if outcome is None else manifest(outcome)
    return AttemptEnd(exit_code, said, cancel, disrupted, attempts, retries, out_of_memory, message)


def test_the_rules_hold_for_every_combination() -> None:
    for code, outcome, cancel, disrupted, attempts, retries in COMBINATIONS:
        case = end(code, outcome, cancel=cancel, disrupted=disrupted, attempts=attempts, retries=retries)
        verdict = judge(case)
        where = repr(case)
        if isinstance(verdict, End):
            assert is_terminal(verdict.reason), where
        else:
            assert attempts < ATTEMPTS_LIMIT, where
            assert not cancel, where
            assert REASONS[verdict.reason].retry is not Retry.NEVER, where
            assert REASONS[verdict.reason].retry is Retry.DISRUPTION or attempts <= retries, where
        if verdict.reason is Reason.SUCCEEDED:
            assert isinstance(verdict, End), where
            assert outcome == "Succeeded", where
            assert code in (None, 0) or (disrupted and code in (137, -9)), where
        if outcome == "Succeeded" and code in (None, 0):
            assert verdict == End(Reason.SUCCEEDED, ""), where
        if verdict.reason is Reason.CANCELLED:
            assert cancel, where
        if outcome is not None and outcome not in (INTERRUPTED, "Succeeded"):
            assert verdict.reason == outcome, where
        if verdict.reason is Reason.EVICTED:
            assert disrupted or outcome == INTERRUPTED or code == ExitCode.INTERRUPTED, where


@pytest.mark.parametrize("disrupted", [False, True])
def test_success_beats_a_cancel(disrupted: bool) -> None:
    assert judge(end(0, "Succeeded", cancel=True, disrupted=disrupted)) == End(Reason.SUCCEEDED, "")


def test_killed_from_outside_after_its_last_word_is_success_once() -> None:
    assert judge(end(137, "Succeeded", disrupted=True)).reason is Reason.SUCCEEDED


@pytest.mark.parametrize("code", [1, 10, 20, 137, -9])
def test_a_success_the_exit_code_denies_is_none(code: int) -> None:
    assert judge(end(code, "Succeeded")).reason is not Reason.SUCCEEDED


def test_exit_code_zero_alone_is_no_success() -> None:
    verdict = judge(end(0))
    assert verdict == End(Reason.RUNNER_CRASHED, "the runner ended without a result (exit code 0)")


def test_an_interrupted_attempt_is_tried_again_until_there_were_five() -> None:
    for attempts in range(1, ATTEMPTS_LIMIT):
        assert isinstance(judge(end(30, INTERRUPTED, attempts=attempts, disrupted=True)), Again)
    last = judge(end(30, INTERRUPTED, attempts=ATTEMPTS_LIMIT, disrupted=True))
    assert last == End(Reason.EVICTED, "interrupted from outside 5 times")


def test_a_notebook_that_stops_its_own_runner_is_to_blame() -> None:
    once = judge(end(30, INTERRUPTED, attempts=1))
    assert isinstance(once, Again)
    twice = judge(end(30, INTERRUPTED, attempts=2))
    assert twice == End(Reason.KERNEL_DIED, "2 times the runner was told to stop, each time by its own notebook")


def test_a_notebook_that_kills_its_own_runner_is_to_blame() -> None:
    for code, name in ((-9, "SIGKILL"), (137, "SIGKILL"), (139, "SIGSEGV"), (-6, "SIGABRT")):
        killed = judge(end(code))
        assert isinstance(killed, End)
        assert killed.reason is Reason.KERNEL_DIED
        assert name in killed.message
        assert isinstance(judge(end(code, retries=1)), Again)
    assert judge(end(137, disrupted=True)).reason is Reason.EVICTED
    assert judge(end(137, out_of_memory=True)).reason is Reason.OUT_OF_MEMORY


def test_an_interruption_that_was_asked_for_is_cancelled() -> None:
    assert judge(end(30, INTERRUPTED, cancel=True)) == End(Reason.CANCELLED, "cancelled on request")
    assert judge(end(137, cancel=True, disrupted=True)).reason is Reason.CANCELLED


def test_a_failure_of_the_notebook_is_never_tried_again_and_keeps_its_error() -> None:
    failed = AttemptEnd(10, manifest("CellFailed", error=CellError(3, "KeyError", "'x'")), True, True, 1, 4)
    assert judge(failed) == End(Reason.CELL_FAILED, "as the runner says", ErrorInfo(cell=3, ename="KeyError", evalue="'x'"))


def test_a_failure_of_the_platform_is_tried_again_within_its_budget() -> None:
    assert judge(end(20, "StorageFailed", attempts=1, retries=1)) == Again(Reason.STORAGE_FAILED, "as the runner says")
    assert judge(end(20, "StorageFailed", attempts=2, retries=1)).reason is Reason.STORAGE_FAILED
    assert isinstance(judge(end(20, "StorageFailed", attempts=2, retries=1)), End)
    assert isinstance(judge(end(1, attempts=5, retries=4)), End)


def test_memory_only_explains_a_failure() -> None:
    assert judge(end(0, "Succeeded", out_of_memory=True)).reason is Reason.SUCCEEDED
    assert judge(end(10, "CellFailed", out_of_memory=True)).reason is Reason.CELL_FAILED
    assert judge(end(137, out_of_memory=True)) == End(Reason.OUT_OF_MEMORY, "the container was killed because it ran out of memory")


def test_every_exit_code_means_its_reason_where_there_is_no_manifest() -> None:
    for code in ExitCode:
        if code not in (ExitCode.SUCCEEDED, ExitCode.INTERRUPTED):
            reason = judge(end(code)).reason
            assert REASONS[reason].exit_code == code
    assert judge(end(1)) == End(Reason.RUNNER_CRASHED, "the runner ended without a result (exit code 1)")
    assert judge(end(None)) == End(Reason.RUNNER_CRASHED, "the runner ended without a result")
    assert judge(end(1, message="killed")).message == "killed"
