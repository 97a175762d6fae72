"""Lists: order, cursors and pages, against plain sorting."""

import base64
import json
import uuid
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podbook_core.execution.reasons import Phase, Reason
from podbook_core.results.index import (
    Cursor,
    Entry,
    InvalidCursorError,
    index_keys,
    merge,
    milliseconds,
    parse_index_key,
    scope_prefix,
    start_after,
)
from podbook_core.store.directory import DirectoryStore

from .builders import NOW

ENTRIES = st.builds(
    Entry,
    created_ms=st.sampled_from([0, 1, 999, 1_740_000_000_000, 1_740_000_000_001, 9_999_999_999_999]),
    uid=st.uuids().map(str),
    reason=st.sampled_from(list(Reason)),
)
HISTORIES = st.lists(ENTRIES, max_size=12, unique_by=lambda entry: entry.uid)


def key_of(entry: Entry) -> str:
    """Its key in the list of all."""
    return index_keys(entry, notebook="analysis", submitter=None)[0]


@given(HISTORIES)
def test_keys_sort_as_entries_do(entries: list[Entry]) -> None:
    by_key = sorted(entries, key=lambda entry: key_of(entry).encode())
    assert by_key == sorted(entries, key=lambda entry: entry.order)
    assert by_key == sorted(entries, key=lambda entry: (-entry.created_ms, entry.uid))


@given(ENTRIES)
def test_a_key_says_what_its_entry_says(entry: Entry) -> None:
    for key in index_keys(entry, notebook="analysis", submitter="team-a"):
        assert parse_index_key(key) == entry


def test_keys_of_every_scope() -> None:
    entry = Entry(1_740_000_000_000, "u1", Reason.SUCCEEDED)
    assert index_keys(entry, notebook="analysis", submitter="ops team") == [
        "index/all/8259999999999-u1-Succeeded",
        "index/notebook/analysis/8259999999999-u1-Succeeded",
        scope_prefix(submitter="ops team") + "8259999999999-u1-Succeeded",
    ]
    assert scope_prefix(submitter="ops team").startswith("index/submitter/ops-team-")
    assert entry.phase is Phase.SUCCEEDED


@pytest.mark.parametrize("key", ["", "index/all/", "index/all/x-u1-Succeeded", "index/all/1-u1-Unheard", "index/all/1--Succeeded"])
def test_what_a_newer_version_wrote_is_skipped(key: str) -> None:
    assert parse_index_key(key) is None


@settings(deadline=None, max_examples=40)
@given(HISTORIES, st.integers(1, 4), st.data())
def test_pages_lose_and_repeat_nothing_while_new_ones_arrive(entries: list[Entry], size: int, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        store = DirectoryStore(Path(folder))
        live = data.draw(st.lists(st.sampled_from(entries), unique_by=lambda entry: entry.uid)) if entries else []
        # What has just ended is in both places for a moment.
        past = [entry for entry in entries if entry not in live] + live[:1]
        for entry in past:
            store.put(key_of(entry), b"")
        seen: list[Entry] = []
        cursor: Cursor | None = None
        while True:
            prefix = scope_prefix()
            keys = store.list(prefix, start_after=start_after(prefix, cursor), limit=size)
            found = [entry for entry in map(parse_index_key, keys) if entry is not None]
            behind = [entry for entry in live if cursor is None or entry.order > cursor.order]
            page = merge(sorted(behind, key=lambda entry: entry.order), found, limit=size)
            if not page:
                break
            seen += page
            cursor = Cursor.parse(Cursor(page[-1].created_ms, page[-1].uid).text())
            # Something newer than all that was seen arrives before the next page.
            store.put(key_of(Entry(page[0].created_ms, "!" + str(uuid.uuid4()), Reason.SUCCEEDED)), b"")
        assert seen == sorted(entries, key=lambda entry: entry.order)


def test_what_is_live_and_past_counts_once_as_live() -> None:
    running, done = Entry(2, "u", Reason.RUNNING), Entry(2, "u", Reason.SUCCEEDED)
    other = Entry(1, "v", Reason.CELL_FAILED)
    assert merge([running], [done, other], limit=5) == [running, other]
    assert merge([running], [done, other], limit=1) == [running]
    assert merge([], [], limit=5) == []


@given(st.integers(0, 10**13 - 1), st.uuids().map(str))
def test_cursors_survive_their_text(created: int, uid: str) -> None:
    cursor = Cursor(created, uid)
    text = cursor.text()
    assert Cursor.parse(text) == cursor
    assert text.replace("-", "").replace("_", "").isalnum()
    assert cursor.order == Entry(created, uid, Reason.SUCCEEDED).order


def encoded(value: object) -> str:
    """A value as a cursor's text."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


HOSTILE = [
    "",
    "x",
    "ä",
    "\udc80",
    "%00",
    "A" * 5000,
    encoded({}),
    encoded([1]),
    encoded("ab"),
    encoded([True, "u"]),
    encoded([-1, "u"]),
    encoded([1.5, "u"]),
    encoded([10**13, "u"]),
    encoded([1, 2]),
    encoded([1, ""]),
    encoded([1, "../u"]),
    encoded([1, "u/v"]),
    encoded([1, "u\n"]),
    encoded([1, "x" * 65]),
    base64.urlsafe_b64encode(b"[" * 140).decode(),
    base64.urlsafe_b64encode(b"[" + b"9" * 140 + b',"u"]').decode(),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursorError, match="omit it to start again"):
        Cursor.parse(text)


@given(st.text(max_size=300))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except InvalidCursorError:
        return
    assert Cursor.parse(cursor.text()) == cursor


def test_milliseconds() -> None:
    assert milliseconds(NOW + timedelta(milliseconds=7)) - milliseconds(NOW) == 7
    assert milliseconds(NOW) == 1_740_830_400_000
