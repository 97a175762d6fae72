"""A real gateway that a test starts: ``podbook kernelgateway``, or another command with the same options."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.support.notebook_file import PYTHON, code_cell, notebook_document

__all__ = ["Gateway", "Response", "write_notebook"]

_START_SECONDS = 60.0
_COMMAND = (sys.executable, "-m", "podbook", "kernelgateway")
_MODE = "--KernelGatewayApp.api=kernel_gateway.notebook_http"


@dataclass(frozen=True, slots=True)
class Response:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


def write_notebook(path: Path, sources: Iterable[str]) -> Path:
    """Write a notebook of code cells that says what Jupyter would say of its language."""
    metadata = {**PYTHON, "language_info": {"name": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(notebook_document([code_cell(source) for source in sources], metadata)))
    temporary.replace(path)
    return path


class Gateway:
    """A gateway's process. Leaving the context ends it.

    Args:
        seed: the notebook, or the folder.
        options: further options.
        environment: variables besides those of the tests.
        command: what to start in place of ``podbook kernelgateway``.
    """

    def __init__(
        self, seed: Path, *options: str, environment: Mapping[str, str] | None = None, command: Iterable[str] = _COMMAND
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        folder = seed if seed.is_dir() else seed.parent
        self._output = folder.parent / f"gateway-{self.port}.txt"
        arguments = [_MODE, f"--KernelGatewayApp.seed_uri={seed}", f"--KernelGatewayApp.port={self.port}"]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("KG_")}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *arguments, "--KernelGatewayApp.port_retries=0", *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**variables, "JUPYTER_CONFIG_DIR": str(folder / ".jupyter"), **(environment or {})},
                cwd=folder,
            )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS
        while f":{self.port}" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def send(
        self,
        target: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        seconds: float = 60,
    ) -> Response:
        """Send a request exactly as it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if content is not None:
                connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content)
            answer = connection.getresponse()
            return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def wait_for(self, pattern: str, seconds: float = 30) -> str:
        """Wait until it has printed something; what was found."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self.output)) is None:
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return found[0]
