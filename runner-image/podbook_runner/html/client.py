"""The runner's side of the rendering process (:mod:`podbook_runner.html.worker`)."""

import contextlib
import json
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podbook_runner.helper_processes import Child

__all__ = ["RenderError", "Renderer"]

_LOOK_SECONDS = 0.1


class RenderError(Exception):
    """The HTML could not be made; says why."""


class Renderer:
    """A rendering process that warms up while the cells run.

    A process that something killed from outside, as the system does when memory runs out, is replaced once: that it died says nothing of
    the notebook.

    Args:
        process: runs :func:`podbook_runner.html.worker.main`.
        errors: where its standard error goes.
        again: starts another such process.
    """

    def __init__(self, process: "Child", errors: Path, again: Callable[[], "Child"]) -> None:
        self._process, self._errors, self._again = process, errors, again
        self._request = b""
        self._replaced = False

    def request(self, notebook: Path, *, title: str, html: Path | None, report: Path | None) -> None:
        """Ask for the pages; :meth:`result` waits for them."""
        request = {
            "notebook": str(notebook),
            "title": title,
            "html": None if html is None else str(html),
            "report": None if report is None else str(report),
        }
        self._request = json.dumps(request).encode() + b"\n"
        self._send()

    def result(self, deadline: Callable[[], float]) -> None:
        """Wait until the pages are written.

        Args:
            deadline: by the monotonic clock; asked again and again, because a signal may move it.

        Raises:
            RenderError: nbconvert raised, died, or did not finish in time.
        """
        stream = self._process.stdout
        if stream is None:
            raise RenderError("the renderer was not started")
        while not select.select([stream], [], [], _LOOK_SECONDS)[0]:
            if time.monotonic() > deadline():
                self.close()
                raise RenderError("rendering did not finish in time")
        line = stream.readline()
        if not line:
            code = self._process.wait()
            if code < 0 and not self._replaced:
                self._replaced = True
                self._process = self._again()
                self._send()
                return self.result(deadline)
            words = self._errors.read_text(errors="replace").strip().splitlines()
            raise RenderError(f"the renderer ended with code {code}" + (f": {words[-1]}" if words else ""))
        if (problem := json.loads(line)["error"]) is not None:
            raise RenderError(problem)
        return None

    def _send(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(self._request)
                self._process.stdin.flush()

    def close(self) -> None:
        """End the process, whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
