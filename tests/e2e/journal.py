"""Every Job that was ever created, whatever happens to it later."""

import subprocess
import threading
from types import TracebackType
from typing import Self

from .kubectl import Kubectl

__all__ = ["JobJournal"]

_COLUMNS = "--output=jsonpath={.metadata.uid} {.metadata.name}{'\\n'}"


class JobJournal:
    """Watches Jobs while it is entered; a watch that breaks (the API server was killed) is begun again with a list.

    Jobs stay for minutes after their end, so none can come and go between two watches.
    """

    def __init__(self, kubectl: Kubectl) -> None:
        self._command = ["kubectl", "--namespace", kubectl.namespace, "get", "jobs", "--watch", _COLUMNS]
        self._names: dict[str, str] = {}
        self._closing = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._watch, name="job journal", daemon=True)

    @property
    def jobs(self) -> dict[str, str]:
        """Name of each Job by its uid."""
        return dict(self._names)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._closing.is_set():
            with subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                self._process = process
                for line in process.stdout or ():
                    uid, _, name = line.strip().partition(" ")
                    if uid and name:
                        self._names[uid] = name
            self._closing.wait(0.5)
