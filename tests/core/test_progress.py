"""The runner's progress document, which a notebook could have written as well."""

import pytest

from podbook_core.execution.progress import parse_progress, progress_json


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"completed": 1}',
        b'{"completed": -1, "total": 2}',
        b'{"completed": 3, "total": 2}',
        b'{"completed": true, "total": 2}',
        b'{"completed": 1.0, "total": 2}',
        b'{"completed": 1, "total": 99999999}',
        b"[" * 4000,
    ],
)
def test_what_is_not_of_the_documented_form_says_nothing(data: bytes) -> None:
    assert parse_progress(data) is None


def test_what_the_runner_writes_is_read_and_unknown_members_are_passed_over() -> None:
    assert parse_progress(progress_json(1, 2, 7)) == (1, 2)
    assert parse_progress(b'{"completed": 2, "total": 2, "phase": "later"}') == (2, 2)
