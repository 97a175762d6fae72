"""What every object store guarantees. The same tests for a directory, moto and MinIO."""

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podbook_core.store.base import (
    InvalidKeyError,
    KeyNotFoundError,
    ObjectStore,
    ObjectTooLargeError,
    PreconditionFailedError,
    StoreUnavailableError,
)

LARGE = 20 * 1024 * 1024
WRITERS = 8
NO_KEYS = ("", "/", "a/", "/a", "a//b", "..", "../a", "a/../b", "a/./b", "a\x00b", "x" * 1025, "a/" + "x" * 256, "\udc80")


def large_file(folder: Path) -> Path:
    path = folder / "large.bin"
    block = os.urandom(1024 * 1024)
    with path.open("wb") as file:
        for _ in range(LARGE // len(block)):
            file.write(block)
        file.write(b"end")
    return path


def test_what_was_put_is_got(store: ObjectStore) -> None:
    written = store.put("a/b.json", b'{"x": 1}', media_type="application/json")
    found = store.get("a/b.json", limit=2**30)
    assert found.data == b'{"x": 1}'
    assert found.info == written == store.head("a/b.json")
    assert (written.key, written.size, written.media_type) == ("a/b.json", 8, "application/json")
    assert written.etag


def test_put_replaces_and_the_etag_follows_the_content(store: ObjectStore) -> None:
    first = store.put("a", b"one")
    second = store.put("a", b"two")
    again = store.put("a", b"one")
    assert store.get("a", limit=2**30).data == b"one"
    assert first.etag != second.etag
    assert first.etag == again.etag


def test_empty_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.get("empty", limit=2**30).data == b""
    with store.open("empty") as found:
        assert (found.info.size, list(found.chunks)) == (0, [])


@pytest.mark.parametrize("key", ["päpper/ünïcode 数据.txt", "a b/c+d&e=f?g#h%20.txt", "quote'\"<>&.txt", "back\\slash"])
def test_keys_in_any_script(store: ObjectStore, key: str) -> None:
    store.put(key, b"x")
    assert store.get(key, limit=2**30).data == b"x"
    assert store.list(key.split("/", maxsplit=1)[0]) == [key]
    store.delete(key)
    assert store.head(key) is None


@pytest.mark.parametrize("key", NO_KEYS, ids=ascii)
def test_what_is_no_key_finds_nothing_and_is_never_written(store: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        store.put(key, b"x")
    with pytest.raises(KeyNotFoundError):
        store.get(key, limit=2**30)
    assert store.head(key) is None
    store.delete(key)
    assert store.list("") == []


def test_a_missing_object(store: ObjectStore) -> None:
    with pytest.raises(KeyNotFoundError) as caught:
        store.get("a/missing", limit=2**30)
    assert caught.value.key == "a/missing"
    with pytest.raises(KeyNotFoundError), store.open("a/missing"):
        pytest.fail("it was opened")
    with pytest.raises(KeyNotFoundError):
        store.get("a/missing", if_match="x", limit=2**30)
    assert store.head("a/missing") is None
    store.delete("a/missing")
    assert store.delete_prefix("a/") == 0


def test_when_an_object_was_written_is_known(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 tells whole seconds
    store.put("folder/a", b"x")
    first = store.modified("folder/a")
    assert first is not None
    assert before <= first <= datetime.now(UTC) + timedelta(seconds=2)
    store.put("folder/a", b"x")
    again = store.modified("folder/a")
    assert again is not None
    assert again >= first
    assert first.utcoffset() == again.utcoffset() == timedelta(0)
    assert [store.modified(key) for key in ("folder", "folder/b", "folder/a/b", "..")] == [None] * 4


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.put("folder/a", b"x")
    assert store.head("folder") is None
    with pytest.raises(KeyNotFoundError):
        store.get("folder", limit=2**30)
    store.delete("folder")
    assert store.list("") == ["folder/a"]


def test_create_only(store: ObjectStore) -> None:
    store.put("a", b"first", if_none_match=True)
    with pytest.raises(PreconditionFailedError):
        store.put("a", b"second", if_none_match=True)
    assert store.get("a", limit=2**30).data == b"first"


def test_replace_only_what_was_seen(store: ObjectStore) -> None:
    first = store.put("a", b"first")
    second = store.put("a", b"second", if_match=first.etag)
    with pytest.raises(PreconditionFailedError):
        store.put("a", b"third", if_match=first.etag)
    assert store.get("a", limit=2**30).data == b"second"
    store.delete("a")
    with pytest.raises(PreconditionFailedError):
        store.put("a", b"fourth", if_match=second.etag)
    assert store.head("a") is None


def test_read_only_what_was_seen(store: ObjectStore) -> None:
    seen = store.put("a", b"seen")
    assert store.get("a", if_match=seen.etag, limit=2**30).data == b"seen"
    store.put("a", b"changed")
    with pytest.raises(PreconditionFailedError):
        store.get("a", if_match=seen.etag, limit=2**30)
    with pytest.raises(PreconditionFailedError), store.open("a", if_match=seen.etag):
        pytest.fail("it was opened")


def test_a_large_file_is_written_and_read_in_pieces(store: ObjectStore, tmp_path: Path) -> None:
    path = large_file(tmp_path)
    written = store.put("large", path, if_none_match=True)
    assert written.size == LARGE + 3
    digest = hashlib.sha256()
    with store.open("large", if_match=written.etag) as found, path.open("rb") as file:
        assert found.info.etag == written.etag
        for chunk in found.chunks:
            assert len(chunk) < LARGE / 10
            digest.update(chunk)
        assert digest.hexdigest() == hashlib.file_digest(file, "sha256").hexdigest()


def test_a_file_can_be_written_under_a_condition(store: ObjectStore, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(b"small")
    store.put("a", small, if_none_match=True)
    with pytest.raises(PreconditionFailedError):
        store.put("a", large_file(tmp_path), if_none_match=True)
    assert store.get("a", limit=2**30).data == b"small"


def test_leaving_an_open_object_early(store: ObjectStore, tmp_path: Path) -> None:
    store.put("large", large_file(tmp_path))
    with store.open("large") as found:
        assert next(found.chunks)
    assert store.head("large") is not None


def test_a_file_that_cannot_be_read(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        store.put("a", tmp_path / "missing")
    assert store.head("a") is None


def test_lists_are_in_order_and_paged_exactly(store: ObjectStore) -> None:
    keys = ["a-b", "a.b", "a/b", "a/b-c", "a/d/e", "a0", "b", "z", "é"]
    for key in reversed(keys):
        store.put(key, b"")
    assert store.list("") == keys
    assert store.list("a/") == ["a/b", "a/b-c", "a/d/e"]
    assert store.list("a/b") == ["a/b", "a/b-c"]
    assert store.list("", limit=2) == keys[:2]
    assert store.list("", start_after="a.b", limit=3) == keys[2:5]
    assert store.list("a/", start_after="a/b~") == ["a/d/e"]
    assert store.list("a/", start_after="a") == ["a/b", "a/b-c", "a/d/e"]
    assert store.list("a/", start_after="a/z") == []
    assert store.list("a/", start_after="b") == []
    assert store.list("nothing/") == []
    assert store.list("../") == []
    assert store.list("", limit=0) == []


def test_a_description_says_of_each_object_what_its_head_says(store: ObjectStore) -> None:
    for key, data in (("a/b", b"one"), ("a/c/d", b""), ("ab", b"two")):
        store.put(key, data)
    described = store.describe("a/", ["b", "c/d", "missing"])
    assert sorted(described) == ["a/b", "a/c/d"]
    for key, info in described.items():
        head = store.head(key)
        assert head is not None
        assert (info.key, info.size, info.etag) == (key, head.size, head.etag)
    assert store.describe("nothing/", ["b"]) == {}
    assert store.describe("../", ["b"]) == {}
    assert store.describe("a/", []) == {}


def test_nothing_beyond_the_limit_is_read(store: ObjectStore) -> None:
    store.put("a/large", b"x" * 5000)
    assert store.get("a/large", limit=5000).data == b"x" * 5000
    with pytest.raises(ObjectTooLargeError, match="a/large is larger than 4999 bytes"):
        store.get("a/large", limit=4999)


def test_the_tail_of_an_object_is_its_end(store: ObjectStore) -> None:
    store.put("a/log", b"0123456789")
    store.put("a/empty", b"")
    assert store.tail("a/log", limit=4) == b"6789"
    assert store.tail("a/log", limit=100) == b"0123456789"
    assert store.tail("a/empty", limit=4) == b""
    with pytest.raises(KeyNotFoundError):
        store.tail("a/missing", limit=4)


def test_folders_are_named_without_what_lies_in_them(store: ObjectStore) -> None:
    for key in ("a/b/c/d", "a/b/c/e", "a/f", "a/g/h", "b"):
        store.put(key, b"")
    assert list(store.folders("a/", limit=10)) == ["b", "g"]
    assert list(store.folders("a/", limit=1)) == ["b"]
    assert list(store.folders("", limit=10)) == ["a"]
    assert list(store.folders("nothing/", limit=10)) == []
    assert list(store.folders("../", limit=10)) == []
    store.delete("a/g/h")
    assert list(store.folders("a/", limit=10)) == ["b"]


def test_a_description_finds_its_objects_among_any_number_of_others(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(f"a/{number:05}", b""), range(2500)))
    store.put("a/log.txt", b"last")
    assert {key: info.size for key, info in store.describe("a/", ["log.txt"]).items()} == {"a/log.txt": 4}


def test_more_than_a_page_of_keys(store: ObjectStore) -> None:
    keys = [f"many/{number:04}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        for written in pool.map(lambda key: store.put(key, b""), keys):
            assert written.size == 0
    assert store.list("many/") == keys[:1000]
    assert store.list("many/", limit=2000) == keys
    assert store.list("many/", start_after=keys[999]) == keys[1000:]
    assert store.delete_prefix("many/") == 1100
    assert store.list("") == []


def is_listable(text: str) -> bool:
    """Whether no part of it is ``.`` or ``..``, which no key has."""
    return all(part not in (".", "..") for part in text.split("/"))


STARTS = st.text(st.sampled_from("ab-./0é~"), max_size=4).filter(is_listable)
KEYS = st.text(st.sampled_from("ab-./0é~"), min_size=1, max_size=7).filter(lambda key: is_listable(key) and all(key.split("/")))


def without_folders(keys: set[str]) -> set[str]:
    """The keys none of which is another one's folder."""
    return {key for key in keys if not any(other.startswith(key + "/") for other in keys)}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    keys=st.sets(KEYS, max_size=12).map(without_folders),
    prefix=STARTS,
    after=STARTS,
    limit=st.integers(1, 5),
)
def test_any_list_equals_the_sorted_keys(
    new_store: Callable[[], ObjectStore], keys: set[str], prefix: str, after: str, limit: int
) -> None:
    store = new_store()
    for key in keys:
        store.put(key, b"")
    expected = sorted(key for key in keys if key.startswith(prefix))
    assert store.list(prefix) == expected
    assert sorted(store.describe("", keys)) == sorted(keys)
    assert store.list(prefix, start_after=after, limit=limit) == [key for key in expected if key > after][:limit]
    paged: list[str] = []
    while page := store.list(prefix, start_after=paged[-1] if paged else "", limit=limit):
        paged += page
    assert paged == expected


def test_delete_prefix_removes_what_is_below_and_nothing_else(store: ObjectStore) -> None:
    for key in ("a/1", "a/b/2", "ab", "b/a/1"):
        store.put(key, b"")
    assert store.delete_prefix("a/") == 2
    assert store.delete_prefix("a/") == 0
    assert store.list("") == ["ab", "b/a/1"]
    store.put("a", b"now a file")
    assert store.get("a", limit=2**30).data == b"now a file"


def test_paging_goes_on_while_what_was_read_is_deleted(store: ObjectStore) -> None:
    keys = [f"k/{number}" for number in range(9)]
    for key in keys:
        store.put(key, b"")
    seen: list[str] = []
    while page := store.list("k/", start_after=seen[-1] if seen else "", limit=2):
        for key in page:
            store.delete(key)
        seen += page
    assert seen == keys
    assert store.list("k/") == []


def test_one_of_many_writers_creates(store: ObjectStore) -> None:
    barrier = threading.Barrier(WRITERS)

    def create(number: int) -> bool:
        barrier.wait(60)
        try:
            store.put("contended", str(number).encode(), if_none_match=True)
        except PreconditionFailedError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(create, range(WRITERS)))
    assert sum(won) == 1
    assert store.get("contended", limit=2**30).data == str(won.index(True)).encode()


def test_no_update_is_lost(store: ObjectStore) -> None:
    store.put("counter", b"0")

    def increment(_: int) -> None:
        for _ in range(10_000):
            seen = store.get("counter", limit=2**30)
            try:
                store.put("counter", str(int(seen.data) + 1).encode(), if_match=seen.info.etag)
            except PreconditionFailedError:
                continue
            return
        pytest.fail("never came first")

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(increment, range(12)))) == 12
    assert store.get("counter", limit=2**30).data == b"12"


def test_a_reader_never_sees_a_part_of_an_object(store: ObjectStore) -> None:
    contents = [bytes([letter]) * 300_000 for letter in b"ab"]
    store.put("a", contents[0])
    done = threading.Event()

    def write() -> None:
        for number in range(20):
            store.put("a", contents[number % 2])
        done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set() and not writing.done():
            assert store.get("a", limit=2**30).data in contents
        writing.result()


def test_writing_beside_what_is_deleted(store: ObjectStore) -> None:
    def write(number: int) -> None:
        store.put(f"shared/{number}/x", b"")

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(40)]
        for number in range(40):
            store.delete_prefix(f"shared/{number}/")
        for item in writing:
            item.result()
    store.delete_prefix("shared/")
    assert store.list("") == []


def test_check(store: ObjectStore) -> None:
    store.check()
    store.check()
