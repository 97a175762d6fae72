"""The server that the README tells people to start, for everything the documentation shows."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Shown:
    """A server and the folder commands are typed in."""

    url: str
    folder: Path


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """``podbook serve`` on the example notebooks, and a folder that looks like the repository to a reader."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "notebooks").symlink_to(ROOT / "notebooks")
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "podbook", "serve", "--port", "0", "--data-dir", str(folder / "data")],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Shown(_url(process, log), folder)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    while True:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found.group()
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the server ended: {log.read_text()}")
