"""``podbook reindex`` on a directory whose index was lost."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from podbook.cli.group import podbook
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.record import RecordStore
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import INDEX, record_key


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with one ended execution."""
    execution = NotebookExecution(metadata=Metadata(name="a-1", uid="1"), spec=Spec(notebook=NotebookRef(name="a")))
    ended = advance(execution.status, Change(Reason.SUCCEEDED), generation=1, now=execution.created)
    RecordStore(DirectoryStore(tmp_path / "store")).close(execution.with_status(ended), None)
    return tmp_path


def test_the_lists_come_back_from_the_records(data_dir: Path) -> None:
    store = DirectoryStore(data_dir / "store")
    before = store.list(INDEX)
    assert len(before) == 2
    store.delete_prefix(INDEX)
    result = CliRunner().invoke(podbook, ["reindex", "--data-dir", str(data_dir)])
    assert result.exit_code == 0
    assert result.output == "1 records indexed, 0 entries without a record removed, 0 results pinned again, 0 missing or changed\n"
    assert store.list(INDEX) == before


def test_what_is_damaged_is_named(data_dir: Path) -> None:
    DirectoryStore(data_dir / "store").put(record_key("1"), b"{")
    result = CliRunner().invoke(podbook, ["reindex", "--data-dir", str(data_dir)])
    assert result.exit_code == 0
    assert result.stderr == "executions/1/record.json cannot be read as a record\n"
    assert result.stdout.endswith(" 1 missing or changed\n")


def test_another_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(podbook, ["reindex", "--data-dir", str(tmp_path)])
    assert result.exit_code != 0
    assert "no folder named store" in result.output
    assert not (tmp_path / "store").exists()
