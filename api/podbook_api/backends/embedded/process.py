"""The runner as a process: started, followed, told to stop, and cleared away with everything it started.

An attempt is known by the lock its runner holds for its whole life, never by a process id: an id may belong to someone else by the
time it is used. Signals go through a pidfd where the system has one.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

__all__ = ["AdoptedRunner", "OwnRunner", "Runner", "abandon", "is_held", "kill_marked", "runner_environment"]

T = TypeVar("T")

ABANDONED = b"abandoned\n"
"""What a lock file holds when its attempt may never begin. A runner begins only where the file is empty."""
_POLL_SECONDS = 0.2
_SWEEP_SECONDS = 2.0


def is_held(lock_file: Path) -> bool:
    """Whether a runner holds the lock. Blocks for no time."""
    try:
        with lock_file.open("rb") as file:
            return not _try_lock(file.fileno())
    except FileNotFoundError:
        return False


def abandon(lock_file: Path) -> bool:
    """Make sure that an attempt whose runner does not live can never begin.

    A runner may have been started and not have come to its lock when its server was killed. The mark is written under the lock, and a
    runner that takes the lock later leaves when the file is not empty, so one of the two always sees the other.

    Returns:
        False when a runner holds the lock: the attempt lives.
    """
    lock_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(descriptor):
            return False
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, ABANDONED, 0)
        return True
    finally:
        os.close(descriptor)


def runner_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a runner: the server's own without Podbook's settings, which may name secrets."""
    return {name: value for name, value in environment.items() if not name.startswith("PODBOOK_")}


class Runner(Protocol):
    """A runner that may live."""

    async def wait(self) -> int | None:
        """Wait for its end. Returns the exit code, negative for a signal; None when it was not observed."""
        ...

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal. Returns whether it was sent: a runner that has not yet written its id cannot be told."""
        ...


class OwnRunner:
    """A runner this process starts.

    Args:
        command: program and arguments.
        environment: its environment, complete.
        cwd: its working directory.
        log: file that takes what it prints.

    Raises:
        OSError: the system cannot start a process now.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> None:
        with log.open("ab") as output:
            # A session of its own: Ctrl-C at the server's terminal is the server's to handle.
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def wait(self) -> int | None:
        """See :meth:`Runner.wait`."""
        if sys.platform == "linux":
            await _readable(os.pidfd_open(self._process.pid))
        return await _until(self._process.poll, _POLL_SECONDS / 10)

    def signal(self, number: signal.Signals) -> bool:
        """See :meth:`Runner.signal`."""
        # Safe by process id: the child is not reaped before poll() has seen its end, and Popen never signals after that.
        self._process.send_signal(number)
        return True


class AdoptedRunner:
    """A runner that an earlier server started and that still holds its lock."""

    def __init__(self, lock_file: Path) -> None:
        self._lock_file = lock_file

    async def wait(self) -> int | None:
        """See :meth:`Runner.wait`."""
        await _until(lambda: None if is_held(self._lock_file) else True, _POLL_SECONDS)
        return None

    def signal(self, number: signal.Signals) -> bool:
        """See :meth:`Runner.signal`."""
        try:
            pid = int(self._lock_file.read_text())
            if sys.platform != "linux":
                sent = is_held(self._lock_file)
                if sent:
                    os.kill(pid, number)
                return sent
            descriptor = os.pidfd_open(pid)
            try:
                # Held still: so the id that the file names had not changed hands when the pidfd was opened.
                sent = is_held(self._lock_file)
                if sent:
                    signal.pidfd_send_signal(descriptor, number)
                return sent
            finally:
                os.close(descriptor)
        except (OSError, ValueError):
            return False


def kill_marked(marker: str, proc: Path = Path("/proc")) -> int:
    """Kill every process whose environment holds a variable, e.g. the kernel of a runner that was killed.

    Repeats while new ones appear, since a process may fork between being seen and being killed; gives up after two seconds.

    Returns:
        How many processes were killed; 0 where there is no ``/proc``.
    """
    if sys.platform != "linux":
        return 0
    needle = marker.encode()
    killed: set[int] = set()
    deadline = time.monotonic() + _SWEEP_SECONDS
    while found := _marked(needle, proc):
        for pid in found:
            killed.add(pid)
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(pid)
                try:
                    # Read again now that the pidfd pins the process: the id may have changed hands since the first look.
                    if needle in (proc / str(pid) / "environ").read_bytes().split(b"\0"):
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                finally:
                    os.close(descriptor)
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return len(killed)


def _marked(needle: bytes, proc: Path) -> list[int]:
    found = []
    for name in os.listdir(proc):  # noqa: PTH208 - hundreds of names; no objects needed
        if name.isdecimal():
            with contextlib.suppress(OSError):
                # A zombie's environment reads as empty.
                if needle in (proc / name / "environ").read_bytes().split(b"\0"):
                    found.append(int(name))
    return found


async def _until(look: Callable[[], T | None], seconds: float) -> T:
    """The first answer that is not None, looking again after each pause."""
    while (found := look()) is None:  # noqa: ASYNC110 - what other processes do sets no event of ours
        await asyncio.sleep(seconds)
    return found


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _readable(descriptor: int) -> None:
    """Wait until a descriptor is readable, and close it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
