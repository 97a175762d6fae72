"""The notebook-http tests of the Jupyter Kernel Gateway itself, unchanged, against ``podbook kernelgateway``.

They are not part of this repository; the table of requests is, and is compared with the original here. Give a checkout of jupyter-server/kernel_gateway, and a Python in which the gateway, pytest, pytest-jupyter
and pytest-timeout are installed: ``PODBOOK_KERNEL_GATEWAY_CHECKOUT=… PODBOOK_KERNEL_GATEWAY_PYTHON=…``.

What is replaced is the command: the fixtures that start the gateway within the tests' process start Podbook in one of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.kernel_gateway.gateway_cases import CASES, CELLS, TOKEN
from tests.support.gateway import Gateway, write_notebook

CHECKOUT = os.environ.get("PODBOOK_KERNEL_GATEWAY_CHECKOUT", "")
PYTHON = os.environ.get("PODBOOK_KERNEL_GATEWAY_PYTHON", "")
FIXTURES = """
import asyncio, os, re, signal, socket, subprocess, sys, tempfile, time
import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httputil import url_concat

from kernel_gateway.notebook_http.swagger.handlers import SwaggerSpecHandler

pytest_plugins = ["pytest_jupyter.jupyter_core"]


@pytest.fixture
def jp_argv():
    return []


@pytest.fixture
def jp_server_config():
    return {}


@pytest.fixture
def jp_fetch(jp_server_config, jp_argv, jp_asyncio_loop, tmp_path):
    arguments = [f"--{kind}.{name}={value}" for kind, traits in jp_server_config.items() for name, value in traits.items()]
    arguments = [item for item in arguments if item.partition("=")[0] not in {given.partition("=")[0] for given in jp_argv}]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "gateway.log"
    command = [os.environ["PODBOOK_PYTHON"], "-m", "podbook", "kernelgateway", *arguments, f"--KernelGatewayApp.port={port}", *jp_argv]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 60
    while "Jupyter Kernel Gateway at" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)

    def fetch(*parts, params=None, **options):
        url = url_concat(f"http://127.0.0.1:{port}/" + "/".join(parts), params or {})
        if parts[-1] == "swagger.json":
            # The test looks into the original's class, whose cache this process has not.
            SwaggerSpecHandler.output = "kept by the other process"
        return AsyncHTTPClient().fetch(url, request_timeout=60, **options)

    yield fetch
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, log.read_text()
"""

pytestmark = [pytest.mark.skipif(not (CHECKOUT and PYTHON), reason="skipped: no checkout"), pytest.mark.timeout(600)]


def test_its_notebook_http_tests_pass(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    shutil.copytree(Path(CHECKOUT) / "tests", tests)
    (tests / "conftest.py").write_text(FIXTURES)
    ran = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-o", "addopts=", "-o", "asyncio_mode=auto", "tests/test_notebook_http.py"],
        cwd=tmp_path,
        env={**os.environ, "PODBOOK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert "28 passed" in ran.stdout


def test_it_answers_as_the_table_says(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "original" / "table.ipynb", CELLS)
    command = (PYTHON, "-m", "kernel_gateway")
    found = []
    with Gateway(notebook, environment={"KG_AUTH_TOKEN": TOKEN}, command=command) as original:
        for case in CASES:
            headers = {**({"Authorization": f"token {TOKEN}"} if case.token else {}), **case.sent}
            answer = original.send(case.target, case.method, headers=headers, content=case.content)
            same = (answer.status, answer.text, answer.headers.get("content-type")) == (case.status, case.body, case.media_type)
            if same and any(answer.headers.get(name.lower()) != value for name, value in case.headers.items()):
                same = False
            if same != (case.differs is None):
                found.append((case.what, case.differs, answer))
    assert not found
