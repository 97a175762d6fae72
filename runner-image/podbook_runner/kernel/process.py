"""The kernel: a process with its own session, started before anything heavy is imported, and killed with all it has started."""

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podbook_core.execution.reasons import Reason
from podbook_runner.kernel.spec import KernelSpec
from podbook_runner.limits.process_tree import descendants, kill_descendants
from podbook_runner.outcome import AttemptError

__all__ = ["Kernel"]

_TAIL_PIECES = 64
_READ = 4096
_WAIT_SECONDS = 0.005


class Kernel:
    """A running kernel.

    Args:
        spec: how to start it.
        runtime: a private folder with a short path, for connection file and sockets.
        cwd: its working directory.
        environment: its environment, complete.
        alone: whether this process runs nothing but this kernel, so that everything below it, however detached, is the kernel's. In a
            server with several kernels it is not: there, what has left the kernel's own tree and session is out of reach.

    Raises:
        AttemptError: ``ConfigurationError``: its program cannot be started.
    """

    def __init__(self, spec: KernelSpec, runtime: Path, cwd: Path, environment: Mapping[str, str], *, alone: bool = True) -> None:
        self.spec = spec
        self._alone = alone
        self.connection: dict[str, Any] = {
            # Unix sockets in a folder of mode 0700: over TCP every user of the host could reach the kernel.
            "transport": "ipc",
            "ip": str(runtime / "k"),
            "shell_port": 1,
            "iopub_port": 2,
            "stdin_port": 3,
            "control_port": 4,
            "hb_port": 5,
            "key": secrets.token_hex(16),
            "signature_scheme": "hmac-sha256",
            "kernel_name": spec.name,
        }
        """Connection information as Jupyter's connection files hold it."""
        file = runtime / "kernel.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(self.connection))
        command = spec.command(file)
        try:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**environment, **spec.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise AttemptError(
                Reason.CONFIGURATION_ERROR,
                f"the kernel {spec.name!r} is installed, but its program {command[0]} cannot be started: {error.strerror or error}",
            ) from error
        # Where memory runs out, the system takes the kernel, so that the runner can say what happened.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self._process.pid}/oom_score_adj").write_text("1000")
        self.end_notice = _open_notice(self._process.pid)
        """A descriptor that becomes readable when the process ends; None where the system has none."""
        self._spare: set[int] = set()
        self._tail: deque[bytes] = deque(maxlen=_TAIL_PIECES)
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def listen(self) -> None:
        """Begin to read what the process writes past the messaging protocol, in a thread."""
        self._reader = threading.Thread(target=self._read, name="kernel output", daemon=True)
        self._reader.start()

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def spare(self, pid: int) -> None:
        """Never kill this child of the runner, which is none of the notebook's."""
        self._spare.add(pid)

    def processes(self) -> set[int]:
        """Process ids of the kernel and everything it started."""
        if not self._alone:
            return {self.pid} | descendants(self.pid)
        found = descendants(os.getpid())
        for own in self._spare:
            found -= descendants(own) | {own}
        return found

    def interrupt(self) -> bool:
        """Interrupt the cell that runs, as Ctrl-C does; the kernel goes on.

        Returns:
            False where the kernel has ended, or wants to be interrupted by a message instead.
        """
        if self.spec.interrupt_mode != "signal" or not self.is_alive():
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGINT)
        return True

    def wait(self, seconds: float) -> bool:
        """Wait for the process to end by itself; whether it did."""
        if self.end_notice is not None:
            select.select([self.end_notice], [], [], seconds)
            return not self.is_alive()
        # Popen.wait sleeps up to a twentieth of a second between looks; a kernel needs a tenth to end.
        end = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() >= end:
                return False
            time.sleep(_WAIT_SECONDS)
        return True

    def kill(self) -> None:
        """Kill the kernel and everything it started."""
        if not self._alone:
            # Before the kernel: what loses its parent is no longer found below it.
            kill_descendants(self.pid, spare=())
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._alone:
            kill_descendants(os.getpid(), spare=self._spare)

    def close(self) -> None:
        """Let go of a process that was killed: its descriptors, and its entry in the system's table."""
        self._process.wait()
        if self._reader is not None:
            self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self.end_notice is not None:
            os.close(self.end_notice)
            self.end_notice = None

    def end(self) -> str:
        """How the process ended, in words."""
        code = self._process.poll()
        if code is None:
            return "is still running"
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by signal {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def last_words(self) -> str:
        """The end of what the process wrote to its own standard output and error, past the messaging protocol."""
        if self._reader is not None and not self.is_alive():
            self._reader.join(0.2)
        return b"".join(list(self._tail)).decode(errors="replace")

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                while piece := os.read(stream.fileno(), _READ):
                    self._tail.append(piece)


def _open_notice(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):  # a sandbox, or a Python, that does not know it
        return None
