"""What only the directory has: other processes, other people's files, a disk that refuses."""

import itertools
import multiprocessing
import os
import resource
import stat
from pathlib import Path

import pytest

from podbook_core.store.base import InvalidKeyError, PreconditionFailedError, StoreUnavailableError
from podbook_core.store.directory import DirectoryStore

ROUNDS = 20


def create_all(root: Path, name: str) -> list[int]:
    """Try to create the same objects as another process; return which were created here."""
    store = DirectoryStore(root)
    created = []
    for number in range(ROUNDS):
        try:
            store.put(f"contended/{number}", name.encode(), if_none_match=True)
        except PreconditionFailedError:
            continue
        created.append(number)
    return created


def increment_all(root: Path) -> None:
    """Count to ten, among others who count."""
    store = DirectoryStore(root)
    for _ in range(10):
        while True:
            seen = store.get("counter", limit=2**30)
            try:
                store.put("counter", str(int(seen.data) + 1).encode(), if_match=seen.info.etag)
            except PreconditionFailedError:
                continue
            break


def test_one_of_many_processes_creates(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        created = pool.starmap(create_all, [(tmp_path, name) for name in "abc"])
    store = DirectoryStore(tmp_path)
    assert sorted(itertools.chain.from_iterable(created)) == list(range(ROUNDS))
    for name, numbers in zip("abc", created, strict=True):
        assert all(store.get(f"contended/{number}", limit=2**30).data == name.encode() for number in numbers)


def test_no_update_of_any_process_is_lost(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("counter", b"0")
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(increment_all, [tmp_path] * 3)
    assert store.get("counter", limit=2**30).data == b"30"


def test_its_own_files_are_no_objects(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a", b"x")
    assert store.list("") == ["a"]
    assert store.list(".podbook/") == []
    for use in (lambda: store.put(".podbook/lock", b""), lambda: store.get(".podbook/lock", limit=2**30)):
        with pytest.raises(InvalidKeyError):
            use()
    assert [path.name for path in (tmp_path / ".podbook").iterdir()] == ["lock"]


def test_objects_are_private_plain_files(tmp_path: Path) -> None:
    DirectoryStore(tmp_path).put("a/b.json", b"{}")
    path = tmp_path / "a" / "b.json"
    assert path.read_bytes() == b"{}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_media_types_follow_the_ending(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    kinds = {key: store.put(key, b"").media_type for key in ("a.ipynb", "a.json", "a.tar", "a.html", "a.png", "a.unknown")}
    assert kinds == {
        "a.ipynb": "application/x-ipynb+json",
        "a.json": "application/json",
        "a.tar": "application/x-tar",
        "a.html": "text/html",
        "a.png": "image/png",
        "a.unknown": "application/octet-stream",
    }


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailableError, match=r"data directory .* cannot be used: Not a directory"):
        DirectoryStore(tmp_path / "file" / "store")


def write_within(limit: int, root: Path) -> str:
    """Write more than this process may, as on a full disk; return the error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        DirectoryStore(root).put("a/b", b"x" * (limit + 1))
    except StoreUnavailableError as error:
        return str(error)
    return "written"


def test_a_refused_write_is_said_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", b"before")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(write_within, (1000, tmp_path)) == "cannot write a/b: File too large"
    assert store.get("a/b", limit=2**30).data == b"before"
    assert [path.name for path in (tmp_path / ".podbook").iterdir()] == ["lock"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_is_read_only(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    (tmp_path / ".podbook").chmod(0o500)
    try:
        with pytest.raises(StoreUnavailableError, match="is not writable"):
            store.check()
    finally:
        (tmp_path / ".podbook").chmod(0o700)
