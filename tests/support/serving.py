"""A real ``podbook serve`` that a test may kill and start again."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx

__all__ = ["Server"]

_START_SECONDS = 30.0


class Server:
    """A server process on one data directory and one notebooks folder. Leaving the context kills it.

    Args:
        folder: holds ``data``, ``notebooks`` and the server's output.
        options: further options of ``podbook serve``.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.data = folder / "data"
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir(exist_ok=True)
        self._folder = folder
        self._options = options
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def output(self) -> str:
        """What the newest process has printed."""
        return (self._folder / f"output-{self._starts}.txt").read_text()

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._starts += 1
        command = [sys.executable, "-m", "podbook", "serve", "--port", "0", *self._options]
        command += ["--data-dir", str(self.data), "--notebooks-dir", str(self.notebooks)]
        with (self._folder / f"output-{self._starts}.txt").open("wb") as output:
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        deadline = time.monotonic() + _START_SECONDS
        while (found := re.search(r"serves notebooks at (\S+)", self.output)) is None:
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)
        self.url = found[1]

    def kill(self) -> None:
        """SIGKILL: no chance to say good-bye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; returns its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._process = None
        return code

    def wait_for_end(self, name: str, seconds: float = 60.0) -> dict[str, object]:
        """Poll an execution until its results are stored; returns its status."""
        deadline = time.monotonic() + seconds
        while True:
            answer = httpx.get(f"{self.url}/v1/executions/{name}")
            assert answer.status_code == 200, answer.text
            status: dict[str, object] = answer.json()["status"]
            if status["phase"] in ("Succeeded", "Failed", "Cancelled"):
                return status
            assert time.monotonic() < deadline, f"{name} has not ended: {status}\n{self.output}"
            time.sleep(0.1)
