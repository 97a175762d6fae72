"""``python -m jupyrest``, where the real package is not installed, starts Podbook."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.notebook_file import notebook_file


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[str]:
    """The command in a folder; gives the address that it prints."""
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyrest", "worker", "start", "http", *arguments],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        deadline = time.monotonic() + 60
        while (found := re.search(r"serves notebooks at (\S+)", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield found[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_the_readmes_command_serves_the_readmes_request(tmp_path: Path) -> None:
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    source = "from jupyrest import save_output\nsave_output(data='{\"needs_discount\": false}')"
    (notebooks / "analysis.ipynb").write_bytes(notebook_file(["customer_name = ''", source]))
    with started(tmp_path, "--notebooks-dir=./notebooks", "--port", "0", "--fluentd") as url:
        ran = httpx.post(
            f"{url}/api/NotebookExecutions", json={"notebook": "analysis", "parameters": {"customer_name": "m"}}, timeout=60
        ).json()
        assert ran["status"] == "COMPLETED"
        read = httpx.get(f"{url}/api/NotebookExecutions", params={"executionId": ran["id"], "output": "true"}).json()
        assert read["output"] == {"needs_discount": False}
    assert "--fluentd has no effect" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["worker", "start", "grpc"], "does not speak gRPC; start http"),
        (["worker", "start", "smtp"], "'http', 'grpc'"),
        (["worker", "start", "http", "--notebooks-dir", "absent"], "does not exist"),
        (["worker", "start", "http", "--port", "70000"], "70000"),
    ],
)
def test_what_it_cannot_do_is_said(tmp_path: Path, arguments: list[str], said: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "jupyrest", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode in (1, 2)
    assert said in ran.stderr


def test_5050_is_its_port() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "jupyrest", "worker", "start", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "5050" in shown.stdout
