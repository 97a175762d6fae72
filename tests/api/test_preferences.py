"""Prefer, Accept and entity tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_api.doors.requests.preferences import accepted_types, chosen_file, etag_matches, preferred_wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (['respond-async, wait="5"'], 0),
        (["wait=99999"], 300),
        (["WAIT = 7; foo=bar"], 7),
        (["wait=-1"], None),
        (["wait=soon"], None),
        (["handling=lenient", "wait=3"], 3),
    ],
)
def test_waits(headers: list[str], seconds: int | None) -> None:
    assert preferred_wait(headers) == seconds


@given(st.text())
def test_no_header_is_too_strange(text: str) -> None:
    wait = preferred_wait([text])
    assert wait is None or 0 <= wait <= 300
    assert all("/" in item for item in accepted_types(text))
    chosen = chosen_file(text, ["image/png", "text/html"])
    assert chosen in (None, 0, 1)


@pytest.mark.parametrize(
    ("accept", "position"),
    [
        ("image/png", 0),
        ("image/*", None),
        ("text/*", 2),
        ("text/csv; charset=utf-8", 2),
        ("application/json, text/csv", None),
        ("application/json;q=0.5, text/csv", 2),
        ("text/csv;q=0", None),
        ("*/*", None),
        ("image/gif, image/jpeg", 1),
        ("", None),
    ],
)
def test_a_file_is_chosen_only_when_it_is_the_only_one(accept: str, position: int | None) -> None:
    assert chosen_file(accept, ["image/png", "image/jpeg", "text/csv; charset=utf-8"]) == position


def test_entity_tags() -> None:
    assert etag_matches("*", '"a"')
    assert etag_matches('"b", W/"a"', '"a"')
    assert not etag_matches('"b"', '"a"')
    assert not etag_matches("", '"a"')
