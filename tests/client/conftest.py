"""A real server started by ``podbook serve``, and a scripted one for what a real one does rarely."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.notebook_file import code_cell, notebook_document
from typing_extensions import override

from podbook.client import Client

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@dataclass(frozen=True)
class Server:
    """A running ``podbook serve``."""

    url: str
    keys: Path
    admin_key: str = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What the scripted server says once."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass
class Script:
    """Answers to give, in order, and the requests that came (method, path, headers)."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


def environment(**more: str) -> dict[str, str]:
    """The environment for a subprocess, without settings of whoever runs the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PODBOOK_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The example notebooks, served with a keys file."""
    folder = tmp_path_factory.mktemp("served")
    log = folder / "serve.log"
    keys = folder / "keys.json"
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    admin = command("keys", "create", "--id", "admin", "--scope", "*", "--file", str(keys)).stdout.strip()
    with log.open("wb") as output:
        arguments = ["--notebooks-dir", "notebooks", "--data-dir", "data", "--port", "0", "--api-keys", str(keys)]
        process = subprocess.Popen(
            [sys.executable, "-m", "podbook", "serve", *arguments], cwd=folder, env=environment(), stdout=output, stderr=output
        )
    try:
        yield Server(_address(process, log), keys, admin)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            try:
                if httpx.get(found[0] + "/readyz", trust_env=False).status_code == 200:
                    return found[0]
            except httpx.TransportError:
                pass
        time.sleep(0.1)
    pytest.fail(f"podbook serve did not come up:\n{log.read_text()}")


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    """A client of the real server."""
    with Client(server.url, server.admin_key) as found:
        yield found


def command(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run ``podbook`` as a person would, with its output piped."""
    return subprocess.run(
        [sys.executable, "-m", "podbook", *arguments],
        env=environment(**(env or {})),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def offline_cli() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """``podbook`` without a server."""
    return command


@pytest.fixture
def cli(server: Server) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """``podbook`` against the real server."""

    def call(*arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        return command(*arguments, env={"PODBOOK_URL": server.url, "PODBOOK_API_KEY": server.admin_key}, **more)

    return call


@pytest.fixture(scope="session")
def own_notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of notebooks to publish: one with an asset, one that waits for a file, one that cannot be published."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "sub" / "words").mkdir(parents=True)
    (folder / "sub" / "words" / "greeting.txt").write_text("hello")
    files: dict[str, dict[str, Any]] = {
        "sub/greet.ipynb": notebook_document(
            [
                code_cell("name = 'nobody'", "parameters"),
                code_cell("from pathlib import Path\nfrom podbook import save_output"),
                code_cell("save_output({'text': f\"{Path('words/greeting.txt').read_text()} {name}\"})"),
            ]
        ),
        "sub/greet.config.json": {"title": "Greeting", "assets": ["words/*.txt"], "output": {"type": "object"}},
        "gated.ipynb": notebook_document(
            [
                code_cell("gate = ''", "parameters"),
                code_cell("import time\nfrom pathlib import Path\nprint('before the gate', flush=True)"),
                code_cell("while not Path(gate).exists():\n    time.sleep(0.05)"),
                code_cell("print('after the gate')"),
            ]
        ),
        "gated.config.json": {"timeoutSeconds": 60},
        "wrong.ipynb": notebook_document([]),
        "wrong.config.json": {"input": {"type": "objekt"}},
    }
    for name, document in files.items():
        (folder / name).write_text(json.dumps(document))
    return folder


@pytest.fixture
def unused_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def answer() -> type[Answer]:
    """One answer of the scripted server."""
    return Answer


@pytest.fixture
def script() -> Iterator[Script]:
    """A real HTTP server that gives the answers it is told to, in order."""
    plan = Script()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            plan.requests.append((self.command, self.path, dict(self.headers)))
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer = plan.answers.pop(0)
            if answer.status == 0:  # hang up without a word
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - names of the base class

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        plan.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield plan
        http.shutdown()
        thread.join()
