"""The runner's own children, for work that may have to be killed: they need not import again what the runner has imported.

They are made by fork(2), before the runner has threads. A fork has everything its parent has, so it gives up at once what is none of its
business: files, signal handlers, environment.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from podbook_runner.limits.memory import OomScore

__all__ = ["Child", "ForkedProcess", "start_child"]

_STREAMS = 3


class ForkedProcess:
    """A function that runs in a fork, with standard streams of its own; has of :class:`subprocess.Popen` what :class:`Child` names.

    Args:
        main: what it does; it ends when the function returns.
        errors: where its standard error goes.
        score: lets the child go before its parent when memory runs out.

    Raises:
        OSError: there can be no more processes.
    """

    def __init__(self, main: Callable[[], None], errors: Path, score: OomScore) -> None:
        its_input, our_output = os.pipe()
        our_input, its_output = os.pipe()
        ends = (its_input, its_output)
        self._process = multiprocessing.get_context("fork").Process(target=_become, args=(main, ends, errors))
        try:
            with score.expendable():
                self._process.start()
        except OSError:
            os.close(our_output)
            os.close(our_input)
            raise
        finally:
            for end in ends:
                os.close(end)
        self.stdin: IO[bytes] | None = os.fdopen(our_output, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(our_input, "rb")
        self.pid = self._process.pid or 0

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for its end. Returns the exit code."""
        self._process.join()
        return self._process.exitcode or 0


Child = ForkedProcess | subprocess.Popen[bytes]
"""What the runner knows of a child: ``stdin``, ``stdout``, ``pid``, ``poll``, ``kill`` and ``wait``."""


def start_child(main: Callable[[], None], errors: Path, score: OomScore, *, forking: bool = sys.platform == "linux") -> Child:
    """Run a module's ``main`` in a child, which reads requests from its standard input and writes answers to its standard output.

    Args:
        main: the function; its module is a program as well.
        errors: where its standard error goes.
        score: lets the child go before the runner when memory runs out.
        forking: fork; otherwise the module is started as a program, because macOS' libraries do not survive a fork.

    Raises:
        OSError: there can be no more processes.
    """
    if forking:
        return ForkedProcess(main, errors, score)
    with errors.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", main.__module__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            env={name: value for name, value in os.environ.items() if not _of_the_runner(name)},
        )


def _become(main: Callable[[], None], ends: tuple[int, int], errors: Path) -> None:
    """Give up what is the runner's, then do the work. In the child."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for name in [name for name in os.environ if _of_the_runner(name)]:
        del os.environ[name]
    said = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream, end in enumerate((*ends, said)):
        os.dup2(end, stream)
    # Among the rest is the lock that others take for the runner's life.
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208 - numbers, no paths
        if descriptor >= _STREAMS:
            with contextlib.suppress(OSError):
                os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing has put an empty one here
    main()


def _of_the_runner(name: str) -> bool:
    return name.startswith("PODBOOK_")
