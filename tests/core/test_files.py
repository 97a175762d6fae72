"""Files that are whole or not there."""

import stat
from pathlib import Path

import pytest

from podbook_core.files import replace_file


def test_a_file_is_replaced_whole_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the old one, longer than the new one")
    path.chmod(0o644)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_where_it_cannot_be_replaced_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (path / "inner").mkdir(parents=True)  # a folder that is not empty takes no file's place
    with pytest.raises(OSError, match="file"):
        replace_file(path, b"new")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
