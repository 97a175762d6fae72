"""The log of an attempt: what the cells print and what the runner has to say, as a bounded tail."""

import threading
import time
from collections import deque

from podbook_core.store.limits import MAX_LOG_BYTES
from podbook_runner.cells.carriage_returns import unfinished, written_over
from podbook_runner.transfer.redact import Redactor

__all__ = ["RunLog"]

_SPARE = 64 * 1024
"""Kept beyond the limit, so that a secret that straddles the cut is still seen whole."""
_PIECE = 256 * 1024
_OPEN_LINE = 16 * 1024
"""A line that is longer before its end comes is kept as it is, piece by piece: no progress bar is that long."""
_WHOLE_LINE = 4 * 1024
"""The tail begins with a whole line where one begins within so many bytes of the cut."""
_NOTE = b"[earlier output was dropped]\n"


class RunLog:
    """A text that keeps its last mebibyte, whatever it holds. Safe for several threads.

    A line that is written over with carriage returns, as progress bars do, is kept in its last state.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._dropped = False
        self._line = ""
        """The line that has no end yet, of which carriage returns may still write over the beginning."""
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
            # Only a piece of a long line can have been kept without its end.
            start = "\n" if self._line or (self._pieces and not self._pieces[-1].endswith(b"\n")) else ""
            self._add(f"{start}[{stamp}] {text}\n")

    def tail(self) -> bytes:
        """The last mebibyte, redacted, in UTF-8."""
        with self._lock:
            raw, dropped = b"".join([*self._pieces, _encoded(written_over(self._line))]), self._dropped
        data = self._redactor.text(raw.decode(errors="replace")).encode()
        if not dropped and len(data) <= MAX_LOG_BYTES:
            return data
        cut = data[-(MAX_LOG_BYTES - len(_NOTE)) :]
        line = cut.find(b"\n", 0, _WHOLE_LINE)
        # Without a line's beginning nearby, begin with a whole character: its bytes after the first are 10xxxxxx.
        start = line + 1 if line >= 0 else next((at for at in range(4) if cut[at] & 0xC0 != 0x80), 0)
        return _NOTE + cut[start:]

    def _add(self, text: str) -> None:
        *ended, self._line = (self._line + text).replace("\r\n", "\n").split("\n")
        if ended:
            self._keep("".join(written_over(line).rstrip("\r") + "\n" for line in ended))
        self._line = unfinished(self._line)
        if len(self._line) > _OPEN_LINE:
            self._keep(written_over(self._line))
            self._line = ""
        self._version += 1

    def _keep(self, text: str) -> None:
        data = _encoded(text)
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._pieces.append(piece)
            self._size += len(piece)
        while self._pieces and self._size - len(self._pieces[0]) > MAX_LOG_BYTES + _SPARE:
            self._size -= len(self._pieces.popleft())
            self._dropped = True


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")
