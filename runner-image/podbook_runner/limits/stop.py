"""Why a run is cut short: the first cause wins, whoever finds it, at whatever moment.

Causes come from a signal handler, from the watch thread and from the thread that reads the kernel's messages. A signal handler may
interrupt its own thread anywhere, so nothing here takes a lock: the causes are an append-only list, and the wake-up is a byte in a
pipe, written by the C level of the interpreter even while the main thread is busy in an extension module.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from enum import Enum, auto
from types import FrameType

__all__ = ["Cause", "InterruptedFetchError", "Stop"]


class Cause(Enum):
    """Why the kernel was killed by the runner."""

    INTERRUPTED = auto()
    TIMED_OUT = auto()
    OUT_OF_MEMORY = auto()
    OUTPUT_LIMIT = auto()


class InterruptedFetchError(Exception):
    """SIGTERM arrived while only a transfer was running."""


class Stop:
    """The one place that knows whether, and why, the run is to end early."""

    def __init__(self) -> None:
        self._causes: list[tuple[Cause, str]] = []
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._readable, False)
        os.set_blocking(self._writable, False)
        self._raise = False
        self._signalled_at: float | None = None

    @property
    def cause(self) -> Cause | None:
        """The first cause, None while there is none."""
        return self._causes[0][0] if self._causes else None

    @property
    def message(self) -> str:
        """The first cause in words."""
        return self._causes[0][1] if self._causes else ""

    @property
    def signalled_at(self) -> float | None:
        """When SIGTERM came (monotonic clock), also when the run had already ended by itself."""
        return self._signalled_at

    def trip(self, cause: Cause, message: str) -> None:
        """Record a cause and wake whoever waits."""
        self._causes.append((cause, message))
        self.wake()

    def wake(self) -> None:
        """Let whoever waits look again."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._writable, b"\x00")

    def wait(self, seconds: float) -> None:
        """Return after that time, or as soon as something happened."""
        if select.select([self._readable], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                # The pipe carries signal numbers from the interpreter as well: seen here even before the handler runs.
                if {signal.SIGTERM, signal.SIGINT} & set(os.read(self._readable, 512)):
                    self._interrupt()

    def close(self) -> None:
        """Let go of its pipe. Only for one that was never installed."""
        os.close(self._readable)
        os.close(self._writable)

    def install(self) -> None:
        """Handle SIGTERM and SIGINT from now on. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Within it, SIGTERM raises :class:`InterruptedFetchError`: a blocked transfer ends at once.

        Only for code that may be left at any point. Elsewhere the handler records, and the watch thread kills the kernel.
        """
        self._raise = True
        try:
            if self.cause is Cause.INTERRUPTED:
                raise InterruptedFetchError
            yield
        finally:
            self._raise = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupt()
        if self._raise:
            self._raise = False
            raise InterruptedFetchError

    def _interrupt(self) -> None:
        if self._signalled_at is None:
            self._signalled_at = time.monotonic()
            self.trip(Cause.INTERRUPTED, "the runner was told to stop (SIGTERM)")
