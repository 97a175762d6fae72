"""The HTTP tests of jupyrest 0.2 itself, unchanged, against Podbook.

They are not part of this repository. Give a checkout of jupyrest/jupyrest, and a Python in which jupyrest 0.2.0, pytest, anyio and aiohttp
are installed: ``PODBOOK_JUPYREST_CHECKOUT=… PODBOOK_JUPYREST_PYTHON=…``.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.doors.jupyrest_cases import OWN, SECOND, walk_second, write_notebooks
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

pytestmark = [pytest.mark.skipif(not (CHECKOUT and PYTHON), reason="skipped: no checkout"), pytest.mark.timeout(900)]


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


ORIGINAL = """
import datetime, sys
from pathlib import Path
import uvicorn
from jupyrest.http.asgi import create_asgi_app
from jupyrest.infra.in_memory.builder import InMemoryApplicationBuilder
from jupyrest.nbschema import NbSchemaBase

class Stay(NbSchemaBase):
    start: datetime.datetime
    title: str

builder = InMemoryApplicationBuilder(notebooks_dir=Path(sys.argv[1]), models={"stay": Stay})
uvicorn.run(create_asgi_app(deps=builder.build()), port=int(sys.argv[2]))
"""


@pytest.fixture
def original(tmp_path: Path) -> Iterator[httpx.Client]:
    """The original, on the notebooks of the table."""
    write_notebooks(tmp_path / "notebooks")
    (tmp_path / "original.py").write_text(ORIGINAL)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    # Its kernels are those of its own environment.
    environment = {**os.environ, "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}"}
    command = [PYTHON, "original.py", "notebooks", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            while process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    client.get("/api/notebooks")
                    break
                time.sleep(0.2)
            yield client
    finally:
        # It waits for its notebooks when it is asked to end, and they are of no use any more.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_it_answers_as_recorded_itself(original: httpx.Client) -> None:
    different = []
    for method, address, body, status, expected in SECOND:
        headers = {} if body is None else {"Content-Type": "application/json"}
        got = original.request(method, address, content=body, headers=headers)
        assert got.status_code == status, (method, address, body, got.text)
        if got.json() != expected:
            different.append((method, address, body))
    assert different == list(OWN)
    walk_second(original, original=True)
