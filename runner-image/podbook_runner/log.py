"""The log of an attempt: what the cells print and what the runner has to say, as a bounded tail."""

import threading
import time
from collections import deque

from podbook_runner.redact import Redactor

__all__ = ["RunLog"]

MAX_LOG_BYTES = 1024 * 1024
_SPARE = 64 * 1024
"""Kept beyond the limit, so that a secret that straddles the cut is still seen whole."""
_PIECE = 256 * 1024


class RunLog:
    """A text that keeps its last mebibyte. Safe for several threads."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._dropped = False
        self._at_line_start = True
        self._version = 0
        self._lock = threading.Lock()

    @property
    def version(self) -> int:
        """A number that changes whenever the text does."""
        return self._version

    def stream(self, text: str) -> None:
        """Add what a cell printed, as it came."""
        if text:
            with self._lock:
                self._add(text)

    def line(self, text: str) -> None:
        """Add a line of the runner's own, with the time."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._lock:
            start = "" if self._at_line_start else "\n"
            self._add(f"{start}[{stamp}] {text}\n")

    def tail(self) -> bytes:
        """The last mebibyte, redacted, in UTF-8."""
        with self._lock:
            raw, dropped = b"".join(self._pieces), self._dropped
        data = self._redactor.text(raw.decode(errors="replace")).encode()
        if dropped or len(data) > MAX_LOG_BYTES:
            note = b"[earlier lines were dropped]\n"
            cut = data[-(MAX_LOG_BYTES - len(note)) :]
            data = note + cut[cut.find(b"\n") + 1 :]
        return data

    def _add(self, text: str) -> None:
        self._at_line_start = text.endswith("\n")
        data = text.encode(errors="replace")
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._pieces.append(piece)
            self._size += len(piece)
        while self._size - len(self._pieces[0]) > MAX_LOG_BYTES + _SPARE:
            self._size -= len(self._pieces.popleft())
            self._dropped = True
        self._version += 1
