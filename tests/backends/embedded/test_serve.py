"""``podbook serve``: what it refuses, and what it prints."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.backends.embedded.samples import NOTEBOOKS
from tests.support.notebook_file import notebook_file
from tests.support.serving import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not yet started, with one notebook that is fine and one that is not."""
    with Server(tmp_path) as made:
        (made.notebooks / "double.ipynb").write_bytes(notebook_file(NOTEBOOKS["double"]))
        schema = {"type": "object", "properties": {"x": {"type": "integer", "examples": [21]}}}
        (made.notebooks / "double.config.json").write_text(json.dumps({"title": "Twice as much", "input": schema}))
        (made.notebooks / "broken.ipynb").write_text("{")
        yield made


def refused(tmp_path: Path, *options: str) -> str:
    """Run it where it must not start; returns its one line."""
    (tmp_path / "notebooks").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "podbook", "serve", "--data-dir", str(tmp_path / "data"), "--port", "0"]
    ended = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    return ended.stderr


def test_the_banner_says_where_it_serves_what_and_how_to_try_it(server: Server) -> None:
    server.start()
    shown = server.output
    assert f"{server.url}/docs" in shown
    assert re.search(r"ready +double +Twice as much", shown)
    assert re.search(r"BROKEN +broken +the notebook is not valid JSON", shown)
    assert "not isolated" in shown
    (line,) = [line for line in shown.splitlines() if line.strip().startswith("curl ")]
    answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, check=True)  # noqa: S602 - as a person would
    assert json.loads(answer.stdout) == {"twice": 42}


def test_a_second_server_on_the_same_data_is_refused_and_the_first_goes_on(server: Server, tmp_path: Path) -> None:
    server.start()
    assert "is in use by another podbook server (process " in refused(tmp_path)
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_web_pages_cannot_reach_a_server_without_keys(server: Server) -> None:
    server.start()
    assert httpx.get(f"{server.url}/", headers={"Host": "evil.example"}).status_code == 421
    crossed = httpx.post(f"{server.url}/v1/run/double", json={}, headers={"Origin": "http://evil.example"})
    assert crossed.status_code == 403
    assert crossed.headers["content-type"] == "application/problem+json"


def test_a_port_in_use_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        line = refused(tmp_path, "--port", str(taken.getsockname()[1]))
    assert "is in use; choose another with --port" in line
    assert not (tmp_path / "data").exists()


def test_a_missing_notebooks_folder_is_refused(tmp_path: Path) -> None:
    assert "the notebooks folder nowhere does not exist" in refused(tmp_path, "--notebooks-dir", "nowhere")


def test_a_data_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "the data directory file cannot be used" in refused(tmp_path, "--data-dir", "file")


def test_a_data_directory_among_the_notebooks_is_refused(tmp_path: Path) -> None:
    assert "is inside the notebooks folder" in refused(tmp_path, "--data-dir", "notebooks/data")


def test_without_keys_it_listens_on_this_machine_only(tmp_path: Path) -> None:
    line = refused(tmp_path, "--host", "0.0.0.0")
    assert "--api-keys FILE" in line
    assert "--allow-anonymous" in line


def test_keys_and_anonymous_callers_exclude_each_other(tmp_path: Path) -> None:
    assert "are mutually exclusive" in refused(tmp_path, "--api-keys", "keys.json", "--allow-anonymous")


def test_a_keys_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("[")
    assert "keys.json is not valid JSON" in refused(tmp_path, "--api-keys", "keys.json")


def test_profiles_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "profiles.json").write_text('{"small": {"memory": 1}}')
    assert "small/memory" in refused(tmp_path, "--profiles", "profiles.json")


def test_a_variable_that_is_no_json_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODBOOK_CORS_ORIGINS", "https://somewhere.example")
    assert "cors_origins" in refused(tmp_path)


def test_a_door_that_is_not_there_is_refused_with_those_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["--door", "native", "--door", "front"], []):
        said = refused(tmp_path, *arguments)
        assert "there is no door 'front'; there are native, jupyrest1, jupyrest2" in said
        monkeypatch.setenv("PODBOOK_DOORS", "native, front")


def test_a_wrong_option_is_named(tmp_path: Path) -> None:
    assert "--max-concurrent" in refused(tmp_path, "--max-concurrent", "0")
