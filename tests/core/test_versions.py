"""Versions: the same content is the same version, published by however many, and never changes."""

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import Asset, Bundle, VersionStore, build_bundle
from podbook_core.store.directory import DirectoryStore
from podbook_core.text.digests import sha256_hex

from .builders import NOW

NOTEBOOK = b'{"nbformat": 4}'
CONTRACT = Contract(title="T", input={"type": "object"}, timeout_seconds=5)
ASSETS = (Asset("data/b.csv", b"2"), Asset("a.py", b"1"), Asset("päpper/long-" + "x" * 120 + ".txt", b""))


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def versions(store: DirectoryStore) -> VersionStore:
    return VersionStore(store)


def bundle(notebook: bytes = NOTEBOOK, contract: Contract | None = CONTRACT, name: str = "analysis") -> Bundle:
    """What is published."""
    return build_bundle(name, notebook, contract, ASSETS)


@given(st.permutations(ASSETS))
def test_the_same_content_is_the_same_version(assets: list[Asset]) -> None:
    first, second = build_bundle("analysis", NOTEBOOK, CONTRACT, assets), bundle()
    assert first == second
    assert build_bundle("other", NOTEBOOK, CONTRACT, assets).version == first.version


def test_this_version_is_an_interface() -> None:
    assert build_bundle("a", NOTEBOOK, None, ()).version == "15d0d984597e8350cda49e0c28a53052b983e73563808fc06e0745d547de2a06"


def test_other_content_is_another_version() -> None:
    variants = [
        bundle(),
        bundle(NOTEBOOK + b" "),
        bundle(contract=None),
        bundle(contract=Contract()),
        build_bundle("analysis", NOTEBOOK, CONTRACT, ASSETS[:2]),
        build_bundle("analysis", NOTEBOOK, CONTRACT, (*ASSETS[:2], Asset("other.txt", b""))),
        build_bundle("analysis", NOTEBOOK, CONTRACT, ()),
    ]
    assert len({item.version for item in variants}) == len(variants)


def test_assets_are_plain_files_of_nobody_and_no_time() -> None:
    data = bundle().assets
    assert data is not None
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        contents = {member.name: archive.extractfile(member).read() for member in members}  # type: ignore[union-attr] # all are files
    assert contents == {item.path: item.data for item in ASSETS}
    assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {(0, 0, 0, "", 0o644)}


def test_publishing_and_loading(store: DirectoryStore, versions: VersionStore) -> None:
    item = bundle()
    pointer = versions.publish(item, now=NOW)
    assert versions.current("analysis") == pointer
    loaded = versions.load("analysis", item.version)
    assert loaded is not None
    assert loaded.contract == CONTRACT
    assert loaded.published == "2025-03-01T12:00:00Z"
    assert set(loaded.asset_paths) == {asset.path for asset in ASSETS}
    for file, digest in (
        ("notebook.ipynb", loaded.notebook_sha256),
        ("contract.json", loaded.contract_sha256),
        ("assets.tar", loaded.assets_sha256),
    ):
        assert sha256_hex(store.get(loaded.prefix + file, limit=2**30).data) == digest


def test_a_notebook_alone(versions: VersionStore) -> None:
    item = build_bundle("bare", NOTEBOOK, None, ())
    versions.publish(item, now=NOW)
    loaded = versions.load("bare", item.version)
    assert loaded is not None
    assert (loaded.contract, loaded.contract_sha256, loaded.assets_sha256, loaded.asset_paths) == (Contract(), None, None, ())


def test_publishing_again_changes_nothing(store: DirectoryStore, versions: VersionStore) -> None:
    first = versions.publish(bundle(), now=NOW)
    before = {key: store.get(key, limit=2**30) for key in store.list("")}
    assert versions.publish(bundle(), now=NOW + timedelta(days=1)) == first
    assert {key: store.get(key, limit=2**30) for key in store.list("")} == before


def test_names_and_versions(versions: VersionStore) -> None:
    versions.publish(bundle(), now=NOW)
    versions.publish(bundle(b"{}"), now=NOW)
    versions.publish(bundle(name="another"), now=NOW)
    assert versions.names() == ["analysis", "another"]
    assert set(versions.versions("analysis")) == {bundle().version, bundle(b"{}").version}
    assert versions.versions("nobody") == []


def test_unpublishing_keeps_versions_for_those_that_wait(versions: VersionStore) -> None:
    versions.publish(bundle(), now=NOW)
    assert versions.unpublish("analysis")
    assert not versions.unpublish("analysis")
    assert versions.current("analysis") is None
    assert versions.names() == []
    assert versions.load("analysis", bundle().version) is not None
    versions.publish(bundle(), now=NOW)
    assert versions.names() == ["analysis"]


def test_a_version_that_was_never_finished_is_not_there(store: DirectoryStore, versions: VersionStore) -> None:
    item = bundle()
    store.put(f"notebooks/analysis/versions/{item.version}/notebook.ipynb", NOTEBOOK)
    assert versions.load("analysis", item.version) is None
    assert versions.versions("analysis") == []
    versions.publish(item, now=NOW)
    assert versions.load("analysis", item.version) is not None


def test_many_publish_at_once(store: DirectoryStore, versions: VersionStore) -> None:
    items = [bundle(b'{"nbformat": %d}' % number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        pointers = list(pool.map(lambda item: VersionStore(store).publish(item, now=NOW), items * 2))
    assert {pointer.version for pointer in pointers} == {item.version for item in items}
    current = versions.current("analysis")
    assert current in pointers
    assert set(versions.versions("analysis")) == {item.version for item in items}
    assert all(versions.load("analysis", item.version) is not None for item in items)
