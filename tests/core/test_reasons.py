"""The reasons table is total and agrees with itself."""

import pytest

from podbook_core.execution.reasons import (
    INTERRUPTED,
    REASONS,
    ExitCode,
    Fault,
    Phase,
    Reason,
    Retry,
    is_terminal,
    outcome_of_exit_code,
    phase_of,
)


def test_every_reason_has_a_row_with_words() -> None:
    assert set(REASONS) == set(Reason)
    for info in REASONS.values():
        assert info.meaning.endswith(".")
        assert info.advice.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_a_row_agrees_with_itself(reason: Reason) -> None:
    info = REASONS[reason]
    assert phase_of(reason) is info.phase
    assert reason.value.isalnum()
    assert reason.value[0].isupper()
    if not is_terminal(reason):
        assert (info.fault, info.retry, info.http_status, info.exit_code) == (Fault.NOBODY, Retry.NEVER, 409, None)
    elif reason is Reason.SUCCEEDED:
        assert (info.phase, info.http_status) == (Phase.SUCCEEDED, 200)
    elif reason is Reason.CANCELLED:
        assert (info.phase, info.http_status) == (Phase.CANCELLED, 409)
    else:
        assert info.phase is Phase.FAILED
        expected = {Fault.NOTEBOOK: {424, 504}, Fault.PLATFORM: {503}, Fault.CALLER: {422, 424}}
        assert info.http_status in expected[info.fault]
    if info.retry is not Retry.NEVER:
        assert info.fault is Fault.PLATFORM


def test_every_exit_code_means_one_thing() -> None:
    by_code = {code: [reason for reason, info in REASONS.items() if info.exit_code is code] for code in ExitCode}
    assert by_code.pop(ExitCode.INTERRUPTED) == []
    for code, reasons in by_code.items():
        assert len(reasons) == 1
        assert outcome_of_exit_code(code) is reasons[0]
    assert outcome_of_exit_code(ExitCode.INTERRUPTED) is None
    assert INTERRUPTED not in set(Reason)


@pytest.mark.parametrize("code", [1, 2, 99, 126, 127, 137, 143, -9, 255])
def test_other_exit_codes_mean_a_crash(code: int) -> None:
    assert outcome_of_exit_code(code) is Reason.RUNNER_CRASHED


def test_exit_codes_are_an_interface() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "SUCCEEDED": 0,
        "CELL_FAILED": 10,
        "KERNEL_DIED": 11,
        "OUT_OF_MEMORY": 12,
        "TIMED_OUT": 13,
        "INVALID_NOTEBOOK": 14,
        "INVALID_PARAMETERS": 15,
        "INVALID_OUTPUT": 16,
        "NOTEBOOK_NOT_FOUND": 17,
        "RENDER_FAILED": 18,
        "CONFIGURATION_ERROR": 19,
        "STORAGE_FAILED": 20,
        "INTERRUPTED": 30,
    }
