"""The HTTP tests of jupyrest 0.2 itself, unchanged, against Podbook.

They are not part of this repository. Give a checkout of jupyrest/jupyrest, and a Python in which jupyrest 0.2.0, pytest, anyio and aiohttp
are installed: ``PODBOOK_JUPYREST_CHECKOUT=… PODBOOK_JUPYREST_PYTHON=…``.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.serving import Server

CHECKOUT = os.environ.get("PODBOOK_JUPYREST_CHECKOUT", "")
PYTHON = os.environ.get("PODBOOK_JUPYREST_PYTHON", "")
INCIDENT = {
    "title": "Incident",
    "type": "object",
    "properties": {
        "start_time": {"title": "Start Time", "type": "string", "format": "date-time"},
        "end_time": {"title": "End Time", "type": "string", "format": "date-time"},
        "title": {"title": "Title", "type": "string"},
    },
    "required": ["start_time", "end_time", "title"],
}
"""The model that the tests register in code lies beside the notebooks as ``models/incident.json``."""
FIXTURES = """
import pytest
from jupyrest.client import JupyrestClient

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
def jupyrest_client():
    return JupyrestClient({endpoint!r})
"""

pytestmark = pytest.mark.skipif(not (CHECKOUT and PYTHON), reason="skipped: no checkout")


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """Podbook on the tests' notebooks."""
    notebooks = tmp_path / "notebooks"
    shutil.copytree(Path(CHECKOUT) / "src/jupyrest/tests/notebooks", notebooks)
    (notebooks / "models").mkdir()
    (notebooks / "models/incident.json").write_text(json.dumps(INCIDENT))
    with Server(tmp_path) as server:
        server.start()
        yield server.url


def test_its_http_tests_pass(endpoint: str, tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    shutil.copy(Path(CHECKOUT) / "src/jupyrest/tests/http_test.py", folder)
    (folder / "conftest.py").write_text(FIXTURES.format(endpoint=endpoint))
    ran = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:xprocess", "http_test.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "7 passed" in ran.stdout
