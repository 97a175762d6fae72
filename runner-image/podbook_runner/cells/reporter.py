"""Progress and log, stored while the cells run: a thread that looks often and stores seldom."""

import threading
import time
from collections.abc import Callable

from podbook_core.execution.progress import progress_json
from podbook_core.store.keys import LOG_FILE, PROGRESS_FILE
from podbook_runner.cells.log import RunLog
from podbook_runner.outcome import AttemptError
from podbook_runner.transfer.upload import Publisher

__all__ = ["Progress", "Reporter"]

_LOOK_SECONDS = 0.25
_PROGRESS_SECONDS = 1.0
_LOG_SECONDS = 5.0
_CLOSE_SECONDS = 10.0

Progress = tuple[int, int, int | None]
"""Code cells completed, code cells in all, index of the cell that runs; all of the published notebook."""


class Reporter:
    """Stores ``progress.json`` on change, at most once a second, and ``log.txt`` every five seconds while it changes.

    Failures are ignored: the same files are stored again, and a store that stays away shows at the end.

    Args:
        open_publisher: makes a publisher of the reporter's own.
        progress: tells the present state; None while there is none.
        log: the log.
        look: called again and again, so that no renewal of the access is missed, however little is stored.
    """

    def __init__(
        self,
        open_publisher: Callable[[], Publisher],
        progress: Callable[[], Progress | None],
        log: RunLog,
        look: Callable[[], None],
    ) -> None:
        self._open = open_publisher
        self._progress = progress
        self._log = log
        self._look = look
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; nothing is stored by this thread afterwards."""
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            publisher = self._open()
        except AttemptError:
            return
        told: Progress | None = None
        progress_due = 0.0
        log_due = time.monotonic() + _LOG_SECONDS
        version = self._log.version
        while not self._closing.wait(_LOOK_SECONDS):
            self._look()
            now = time.monotonic()
            progress = self._progress()
            if progress is not None and progress != told and now >= progress_due:
                _try(publisher, PROGRESS_FILE, progress_json(*progress), "application/json")
                told, progress_due = progress, now + _PROGRESS_SECONDS
            if now >= log_due and self._log.version != version:
                version = self._log.version
                _try(publisher, LOG_FILE, self._log.tail(), "text/plain; charset=utf-8")
                log_due = now + _LOG_SECONDS
        publisher.close()


def _try(publisher: Publisher, name: str, content: bytes, media_type: str) -> None:
    try:
        publisher.put(name, content, media_type)
    except AttemptError:
        return
