"""Terminal is sticky, conditions are complete, times and counts only move forward."""

import itertools
import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.manifest import AttemptManifest, Pages
from podbook_core.execution.model import ErrorInfo, Progress, Resolved, Results, Status
from podbook_core.execution.reasons import Phase, Reason, is_terminal, phase_of
from podbook_core.execution.transitions import CONDITION_TYPES, Change, advance, change_at_end, mark_stored
from podbook_core.execution.verdict import End

from .builders import DIGEST, NOW

MOMENTS = st.integers(0, 10**6).map(lambda seconds: NOW + timedelta(seconds=seconds))
CHANGES = st.builds(
    Change,
    reason=st.sampled_from(Reason),
    message=st.text(max_size=2000),
    attempts=st.none() | st.integers(0, 9),
    job_name=st.none() | st.sampled_from(["nbx-1", "nbx-2"]),
    pod_name=st.none() | st.just("pod"),
    start_time=st.none() | MOMENTS,
    completion_time=st.none() | MOMENTS,
    progress=st.none() | st.just(Progress(completed=1, total=2)),
    error=st.none() | st.just(ErrorInfo(cell=1, ename="E", evalue="e")),
)


def after(changes: list[Change]) -> list[Status]:
    """Every status on the way."""
    statuses = [Status()]
    for number, change in enumerate(changes):
        statuses.append(advance(statuses[-1], change, generation=1, now=NOW + timedelta(seconds=number)))
    return statuses


@given(st.lists(CHANGES, max_size=8))
def test_what_has_ended_never_changes(changes: list[Change]) -> None:
    statuses = after(changes)
    for before, next_one in itertools.pairwise(statuses):
        if before.terminal:
            assert next_one == before


@given(st.lists(CHANGES, max_size=4), CHANGES, MOMENTS)
def test_the_same_change_twice_is_one(changes: list[Change], last: Change, later: datetime) -> None:
    once = advance(after(changes)[-1], last, generation=1, now=NOW + timedelta(seconds=10))
    assert advance(once, last, generation=1, now=later) == once


@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_conditions_are_complete_and_follow_the_reason(changes: list[Change]) -> None:
    for status in after(changes)[1:]:
        assert tuple(condition.type for condition in status.conditions) == CONDITION_TYPES
        values = {condition.type: condition.status for condition in status.conditions}
        assert status.phase == phase_of(status.reason)
        assert values["Finished"] == ("True" if is_terminal(status.reason) else "False")
        expected = "Unknown" if not status.terminal else "True" if status.reason is Reason.SUCCEEDED else "False"
        assert values["Succeeded"] == expected
        assert values["Started"] == ("True" if status.start_time else "False" if status.terminal else "Unknown")
        assert values["ResultsStored"] == "False"
        assert all(condition.observed_generation == 1 for condition in status.conditions)
        assert (status.error is None) or status.terminal


@given(st.lists(CHANGES, max_size=8))
def test_counts_and_known_things_only_grow(changes: list[Change]) -> None:
    statuses = after(changes)
    for before, next_one in itertools.pairwise(statuses):
        assert next_one.attempts >= before.attempts
        for known in ("job_name", "pod_name", "queued_time", "start_time", "progress"):
            assert getattr(before, known) is None or getattr(next_one, known) is not None
        if next_one.terminal:
            assert next_one.completion_time is not None
            assert next_one.start_time is None or next_one.completion_time >= next_one.start_time
            assert (next_one.duration_seconds is None) == (next_one.start_time is None)
        else:
            assert next_one.completion_time is None


@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_a_condition_is_dated_by_its_last_change(changes: list[Change]) -> None:
    statuses = after(changes)[1:]
    for before, next_one in itertools.pairwise(statuses):
        for old, new in zip(before.conditions, next_one.conditions, strict=True):
            assert (old.last_transition_time == new.last_transition_time) or old.status != new.status


@pytest.mark.parametrize(
    ("reason", "accepted"),
    [
        (Reason.PENDING, "Unknown"),
        (Reason.QUEUED, "True"),
        (Reason.RUNNING, "True"),
        (Reason.INVALID_PARAMETERS, "False"),
        (Reason.NOTEBOOK_NOT_FOUND, "False"),
        (Reason.CANCELLED, "True"),
    ],
)
def test_accepted(reason: Reason, accepted: str) -> None:
    condition = advance(Status(), Change(reason), generation=1, now=NOW).condition("Accepted")
    assert condition is not None
    assert condition.status == accepted


def test_stored_results_are_marked_once_it_has_ended() -> None:
    results = Results(notebook="executions/u1/attempts/p1/notebook.ipynb")
    with pytest.raises(ValueError, match="at the end"):
        mark_stored(Status(reason=Reason.RUNNING, phase=Phase.RUNNING), results, now=NOW)
    finished = advance(Status(), Change(Reason.SUCCEEDED), generation=1, now=NOW)
    stored = mark_stored(finished, results, now=NOW + timedelta(seconds=1))
    condition = stored.condition("ResultsStored")
    assert condition is not None
    assert (condition.status, condition.last_transition_time) == ("True", NOW + timedelta(seconds=1))
    assert stored.results == results
    assert mark_stored(stored, results, now=NOW + timedelta(seconds=9)) == stored
    assert advance(stored, Change(Reason.CELL_FAILED), generation=2, now=NOW) == stored


@pytest.mark.parametrize(
    ("pages", "status", "reason"), [(Pages(True), "True", "Rendered"), (Pages(False, "no such picture"), "False", "RenderFailed")]
)
def test_the_pages_have_a_condition_of_their_own_and_change_no_end(pages: Pages, status: str, reason: str) -> None:
    ended = change_at_end(End(Reason.SUCCEEDED, ""), manifest(pages))
    finished = advance(Status(), ended, generation=1, now=NOW)
    stored = mark_stored(finished, Results(output="key"), now=NOW + timedelta(seconds=1))
    for state in (finished, stored):
        condition = state.condition("PagesRendered")
        assert condition is not None
        assert (condition.status, condition.reason, condition.message) == (status, reason, pages.message)
        assert condition.last_transition_time == NOW
        assert (state.phase, state.reason) == (Phase.SUCCEEDED, Reason.SUCCEEDED)


def test_without_pages_there_is_no_condition_of_pages() -> None:
    for left in (None, manifest(None)):
        finished = advance(Status(), change_at_end(End(Reason.SUCCEEDED, ""), left), generation=1, now=NOW)
        assert finished.condition("PagesRendered") is None


def test_a_manifest_that_counts_more_cells_than_there_are_shows_no_more_than_all() -> None:
    for completed, total, shown in ((3, 2, (2, 2)), (1, 2, (1, 2))):
        progress = change_at_end(
            End(Reason.SUCCEEDED, ""), replace(manifest(None), cells_completed=completed, cells_total=total)
        ).progress
        assert progress is not None
        assert (progress.completed, progress.total) == shown


def manifest(pages: Pages | None) -> AttemptManifest:
    return AttemptManifest("u", "a", "Succeeded", "", None, "", "", 1.0, 0, 0, (), "0.2.0", pages)


def test_the_largest_status_stays_within_sixteen_kibibytes() -> None:
    wide = "\U0001f600"  # four bytes of UTF-8
    key = "executions/" + "u" * 36 + "/attempts/" + "p" * 36 + "/report-no-input.html"
    change = Change(
        Reason.CELL_FAILED,
        message=wide * 5000,
        attempts=5,
        job_name="j" * 63,
        job_uid="u" * 36,
        pod_name="p" * 63,
        start_time=NOW,
        progress=Progress(completed=1000000, total=1000000),
        resolved=Resolved(version=DIGEST, parameters_digest=DIGEST, image="i" * 512, profile="p" * 63, timeout_seconds=1),
        error=ErrorInfo(cell=1, ename="E" * 256, evalue=wide * 1024),
        pages=Pages(False, wide * 1024),
    )
    status = advance(Status(), change, generation=1, now=NOW)
    stored = mark_stored(status, Results(notebook=key, html=key, report=key, output=key, log=key, record=key), now=NOW)
    assert len(json.dumps(stored.document(), ensure_ascii=False).encode()) <= 16 * 1024
    assert len(stored.message) == 1024
