"""A folder of notebooks is published as it lies on disk, and again when it changes."""

import asyncio
import json
import os
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.support.notebook_file import notebook_file

from podbook_api.backends.embedded.data_dir import DataDir
from podbook_api.serve.notebooks_folder import NotebooksFolder
from podbook_core.execution.profiles import parse_profiles
from podbook_core.notebook.versions import Version, VersionStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore
from podbook_core.threads import Threads


class Folder:
    """A notebooks folder under test, with the means to write into it."""

    def __init__(self, path: Path, make: Callable[[Path], NotebooksFolder], versions: VersionStore) -> None:
        self.path = path
        self.versions = versions
        self._make = make
        self.watched = make(path)

    def restart(self) -> None:
        """As after a restart of the server."""
        self.watched = self._make(self.path)

    def write(self, file: str, content: bytes | dict[str, Any]) -> None:
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    def current(self, name: str) -> Version | None:
        pointer = self.versions.current(name)
        return None if pointer is None else self.versions.load(name, pointer.version)


@pytest.fixture
def folder(tmp_path: Path, data: DataDir, validator: ContractValidator) -> Folder:
    path = tmp_path / "notebooks"
    path.mkdir()
    versions = VersionStore(DirectoryStore(data.store))

    def make(at: Path) -> NotebooksFolder:
        return NotebooksFolder(
            at,
            versions=versions,
            validator=validator,
            profiles=parse_profiles(None),
            state_file=data.folder_file,
            threads=Threads(2),
            clock=lambda: datetime(2030, 1, 1, tzinfo=UTC),
        )

    return Folder(path, make, versions)


def test_notebooks_are_published_under_their_paths(folder: Folder) -> None:
    folder.write("plain.ipynb", notebook_file(["1"]))
    folder.write("sub/nested.ipynb", notebook_file(["2"]))
    folder.write(".hidden/no.ipynb", notebook_file(["3"]))
    folder.write(".ipynb_checkpoints/plain-checkpoint.ipynb", notebook_file(["4"]))
    folder.watched.refresh()
    assert folder.versions.names() == ["plain", "sub.nested"]
    assert folder.watched.broken() == {}
    assert folder.watched.managed("sub.nested")
    assert not folder.watched.managed("no")


def test_assets_and_models_belong_to_a_version(folder: Folder, data: DataDir) -> None:
    folder.write("report.ipynb", notebook_file(["1"]))
    folder.write("report.config.json", {"input": {"$ref": "nbschema://customer"}, "assets": ["data/*.csv"]})
    folder.write("models/customer.json", {"type": "object", "required": ["name"]})
    folder.write("data/one.csv", b"1")
    folder.watched.refresh()
    first = folder.current("report")
    assert first is not None
    assert first.asset_paths == ("data/one.csv",)
    assert isinstance(first.contract.input, dict)
    assert first.contract.input["definitions"]["customer"]["required"] == ["name"]

    folder.write("data/two.csv", b"2")
    folder.watched.refresh()
    second = folder.current("report")
    assert second is not None
    assert second.asset_paths == ("data/one.csv", "data/two.csv")
    tar = DirectoryStore(data.store).get(second.prefix + "assets.tar", limit=2**30).data
    with tarfile.open(fileobj=BytesIO(tar)) as archive:
        assert archive.getnames() == ["data/one.csv", "data/two.csv"]

    folder.write("models/customer.json", {"type": "object", "required": ["name", "country"]})
    folder.watched.refresh()
    third = folder.current("report")
    assert third is not None
    assert third.version not in (first.version, second.version)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"bad.ipynb": b"no json"}, "not valid JSON"),
        ({"bad.ipynb": {"nbformat": 3, "worksheets": []}}, "nbformat 3"),
        ({"bad.ipynb": notebook_file(["1"]), "bad.config.json": b"{"}, "not valid JSON"),
        ({"bad.ipynb": notebook_file(["1"]), "bad.config.json": {"schedule": "daily"}}, "reserved"),
        ({"bad.ipynb": notebook_file(["1"]), "bad.config.json": {"input": {"type": "strin"}}}, "/input"),
        ({"bad.ipynb": notebook_file(["1"]), "bad.config.json": {"input": {"$ref": "http://x/y"}}}, "local"),
        ({"bad.ipynb": notebook_file(["1"]), "bad.config.json": {"input": {"$ref": "nbschema://none"}}}, "models/none.json"),
        ({"bad.ipynb": notebook_file(["1"]), "bad.config.json": {"profile": "huge"}}, "there is no profile huge"),
        ({"bad.ipynb": notebook_file(["1"]), "bad.config.json": {"assets": ["data/*.csv"]}}, "matches no file"),
    ],
)
def test_a_broken_notebook_is_listed_with_its_reason_and_the_others_are_served(
    folder: Folder, files: dict[str, Any], reason: str
) -> None:
    folder.write("good.ipynb", notebook_file(["1"]))
    for file, content in files.items():
        folder.write(file, content)
    folder.watched.refresh()
    assert folder.versions.names() == ["good"]
    assert list(folder.watched.broken()) == ["bad"]
    assert reason in folder.watched.broken()["bad"]
    assert folder.watched.managed("bad")


def test_a_name_that_is_none_is_broken(folder: Folder) -> None:
    folder.write("my notebook.ipynb", notebook_file(["1"]))
    folder.watched.refresh()
    assert "not a valid notebook name" in folder.watched.broken()["my notebook"]


def test_two_files_of_one_name_are_both_broken(folder: Folder) -> None:
    folder.write("a.b.ipynb", notebook_file(["1"]))
    folder.watched.refresh()
    assert folder.versions.names() == ["a.b"]
    folder.write("a/b.ipynb", notebook_file(["2"]))
    folder.watched.refresh()
    assert folder.versions.names() == []
    assert "a/b.ipynb" in folder.watched.broken()["a.b"]
    assert [item.problem is None for item in folder.watched.notebooks] == [False, False]


def test_a_link_out_of_the_folder_is_refused(folder: Folder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.ipynb"
    secret.write_bytes(notebook_file(["1"]))
    (folder.path / "link.ipynb").symlink_to(secret)
    folder.watched.refresh()
    assert folder.versions.names() == []
    assert "points outside the notebooks folder" in folder.watched.broken()["link"]


def test_what_breaks_is_withdrawn_and_what_is_mended_comes_back(folder: Folder) -> None:
    folder.write("report.ipynb", notebook_file(["1"]))
    folder.watched.refresh()
    folder.write("report.ipynb", b"{")
    folder.watched.refresh()
    assert folder.current("report") is None
    assert "report" in folder.watched.broken()
    folder.write("report.ipynb", notebook_file(["2"]))
    folder.watched.refresh()
    assert folder.current("report") is not None
    assert folder.watched.broken() == {}
    assert len(folder.versions.versions("report")) == 2


def test_what_was_removed_while_nobody_watched_is_withdrawn_and_others_stay(folder: Folder) -> None:
    folder.write("gone.ipynb", notebook_file(["1"]))
    folder.write("stays.ipynb", notebook_file(["2"]))
    folder.watched.refresh()
    version = folder.current("gone")
    assert version is not None
    folder.versions.point("gone", version.version)
    folder.restart()
    (folder.path / "gone.ipynb").unlink()
    folder.watched.refresh()
    assert folder.versions.names() == ["stays"]


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"3"])
def test_what_is_remembered_and_cannot_be_read_is_forgotten(folder: Folder, data: DataDir, content: bytes) -> None:
    data.folder_file.write_bytes(content)
    folder.write("plain.ipynb", notebook_file(["1"]))
    folder.watched.refresh()
    assert "plain" in folder.versions.names()


def test_what_was_published_over_rest_is_left_alone(folder: Folder, store: DirectoryStore) -> None:
    published = set(folder.versions.names())
    folder.write("own.ipynb", notebook_file(["1"]))
    folder.watched.refresh()
    (folder.path / "own.ipynb").unlink()
    folder.watched.refresh()
    assert set(VersionStore(store).names()) == published


def test_a_broken_file_takes_the_place_of_what_was_published_over_rest(folder: Folder, store: DirectoryStore) -> None:
    assert VersionStore(store).current("double") is not None
    folder.write("double.ipynb", b"{")
    folder.watched.refresh()
    assert VersionStore(store).current("double") is None
    assert "double" in folder.watched.broken()


def test_a_file_saved_with_the_same_size_and_time_is_noticed(folder: Folder) -> None:
    folder.write("report.ipynb", notebook_file(["1"]))
    folder.watched.refresh()
    before = folder.current("report")
    status = (folder.path / "report.ipynb").stat()
    # As editors save: a new file takes the old one's name.
    folder.write("report.tmp", notebook_file(["2"]))
    os.utime(folder.path / "report.tmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder.path / "report.tmp").rename(folder.path / "report.ipynb")
    folder.watched.refresh()
    after = folder.current("report")
    assert before is not None
    assert after is not None
    assert after.version != before.version


async def test_changes_are_taken_up_by_themselves(folder: Folder) -> None:
    await folder.watched.start()
    try:
        assert folder.versions.names() == []
        folder.write("new.ipynb", notebook_file(["1"]))
        while not folder.watched.managed("new"):  # noqa: ASYNC110 - seen by looking at the disk, which sets no event
            await asyncio.sleep(0.05)
        assert folder.versions.names() == ["new"]
    finally:
        await folder.watched.stop()
