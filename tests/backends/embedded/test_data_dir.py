"""The data directory: one server at a time, in a format it knows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from podbook_api.backends.embedded.data_dir import DataDir, DataDirError


def test_a_second_server_is_refused_with_the_first_ones_process(tmp_path: Path) -> None:
    expected = rf"in use by another podbook server \(process {os.getpid()}\)"
    with DataDir(tmp_path / "data"), pytest.raises(DataDirError, match=expected):
        DataDir(tmp_path / "data")
    DataDir(tmp_path / "data").close()


def test_the_end_of_a_process_frees_it(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from podbook_api.backends.embedded.data_dir import DataDir\n"
        "kept = DataDir(Path(sys.argv[1])); os._exit(7)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "data")], check=False)
    assert ended.returncode == 7
    DataDir(tmp_path / "data").close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    DataDir(tmp_path / "data").close()
    (tmp_path / "data" / "version").write_text("2\n")
    with pytest.raises(DataDirError, match="has format '2', but this podbook reads 1"):
        DataDir(tmp_path / "data")


def test_a_place_that_is_no_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError) as refused:
        DataDir(tmp_path / "file")
    assert "cannot be used" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_others_cannot_read_it(tmp_path: Path) -> None:
    with DataDir(tmp_path / "data") as data:
        assert data.root.stat().st_mode & 0o077 == 0
        assert data.work.stat().st_mode & 0o077 == 0
