"""Validation in a process that can be killed, because a schema can keep its validator busy for hours.

``^(a+)+$`` against thirty characters, or ``uniqueItems`` over a large array, are enough. One :class:`ContractValidator` keeps a few
worker processes warm and replaces those it had to kill. A schema holds at most one of them, and one that stalls again and again is
refused for a while without being asked: a slow contract affects only its own callers.
"""

import contextlib
import json
import math
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Protocol, Self, cast

from podbook_core.notebook.contract import Contract, ContractError
from podbook_core.schema.turns import StallMemory, Turns
from podbook_core.schema.violations import Violation, too_deep
from podbook_core.text.digests import sha256_hex

__all__ = [
    "ContractValidator",
    "ValidationBusyError",
    "ValidationStalledError",
    "ValidatorNotStartedError",
    "WorkerProcess",
    "start_worker",
]


class ValidationStalledError(Exception):
    """The validator did not finish in time, or did not a moment ago; the contract is at fault."""


class ValidationBusyError(Exception):
    """No worker became free in time; trying again later may help. ``retry_after`` is in seconds."""

    def __init__(self, message: str = "too many validations of parameters are in progress", *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ValidatorNotStartedError(ValidationBusyError):
    """A worker ended before it was asked anything: not the doing of a schema. Trying again later may help."""

    def __init__(self) -> None:
        super().__init__("the validator of contracts did not start")


class WorkerProcess(Protocol):
    """A process that runs :func:`podbook_core.schema.worker.main`; :class:`subprocess.Popen` is one."""

    stdin: IO[bytes] | None
    """A pipe to it."""
    stdout: IO[bytes] | None
    """A pipe from it."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        ...

    def kill(self) -> None:
        """Send SIGKILL."""
        ...

    def wait(self) -> int:
        """Wait for its end. Returns the exit code."""
        ...


def start_worker() -> WorkerProcess:
    """Start a worker as a program of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "podbook_core.schema.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a traceback could quote the caller's values
        bufsize=0,
    )


class _Worker:
    """One process that answers one request a line."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        assert self._process.stdin is not None  # noqa: S101 - opened as pipes above
        assert self._process.stdout is not None  # noqa: S101
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        for end in (self._input, self._output):
            os.set_blocking(end, False)
        self._ready = False

    def ask(self, request: Mapping[str, Any], seconds: float) -> Any:
        if not self._ready:
            # Starting Python and importing jsonschema is not the schema's doing.
            try:
                self._exchange(b"", 60.0)
            except ValidationStalledError:
                raise ValidatorNotStartedError from None
            self._ready = True
        return self._exchange(json.dumps(request).encode() + b"\n", seconds)

    def _exchange(self, line: bytes, seconds: float) -> Any:
        """Send a line and receive one; kill the process when that takes too long."""
        deadline = time.monotonic() + seconds
        unsent, received = memoryview(line), bytearray()
        ready = select.poll()
        ready.register(self._output, select.POLLIN)
        with contextlib.suppress(BrokenPipeError):
            unsent = unsent[self._written(unsent) :]
            if unsent:
                ready.register(self._input, select.POLLOUT)
            while not received.endswith(b"\n"):
                events = dict(ready.poll(math.ceil(max(0.0, deadline - time.monotonic()) * 1000)))
                if not events:
                    self._process.kill()
                    raise ValidationStalledError(f"the validator did not finish within {seconds:g} s")
                if self._input in events:
                    unsent = unsent[self._written(unsent) :]
                    if not unsent:
                        ready.unregister(self._input)
                if self._output in events:
                    piece = os.read(self._output, 1 << 20)
                    if not piece:
                        break
                    received += piece
        if not received.endswith(b"\n"):
            raise ValidationStalledError("the validator ran out of memory")
        return json.loads(received)

    def _written(self, data: memoryview) -> int:
        try:
            return os.write(self._input, data)
        except BlockingIOError:
            return 0

    @property
    def dead(self) -> bool:
        """Whether the process ended while nothing was asked of it: not the next schema's doing."""
        return self._process.poll() is not None

    def close(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


class ContractValidator:
    """Checks contracts and values, from any thread. Close it, or use it as a context manager.

    Args:
        seconds: how long one check may take.
        workers: how many may run at once; started when first needed.
        patience: how long a check may wait for its turn, in seconds.
        start: starts one.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        *,
        seconds: float = 2.0,
        workers: int = 2,
        patience: float = 30.0,
        start: Callable[[], WorkerProcess] = start_worker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._patience = seconds, patience
        self._start, self._clock = start, clock
        self._changed = threading.Condition()
        self._turns: Turns[str] = Turns(workers)
        self._stalls: StallMemory[str] = StallMemory()
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def violations(self, schema: Mapping[str, Any] | bool | None, value: Any) -> list[Violation]:
        """What a value breaks of a schema.

        Raises:
            ValidationStalledError: it could not be found out in time, or the schema stalled twice within the last minute.
            ValidationBusyError: no worker became free in time, or none starts.
        """
        if schema is None or schema is True:
            return []
        try:
            answer = self._ask({"do": "validate", "schema": schema, "value": value})
        except RecursionError:
            return [too_deep()]
        return [Violation(**cast("dict[str, str]", item)) for item in answer["violations"]]

    def check_contract(self, contract: Contract) -> None:
        """Prove that a contract's schemas are JSON Schema, end, and are cheap enough to use.

        Raises:
            ContractError: they are not, with place and reason.
            ValidationBusyError: no worker became free in time.
        """
        for key, schema in (("input", contract.input), ("output", contract.output)):
            if schema is None or isinstance(schema, bool):
                continue
            try:
                answer = self._ask({"do": "check", "schema": schema})
            except ValidationStalledError as error:
                raise ContractError(f"/{key}", f"{error}: simplify its patterns and references") from error
            if answer["problem"] is not None:
                raise ContractError(f"/{key}{answer['place']}", answer["problem"])

    def close(self) -> None:
        """Stop the workers."""
        with contextlib.suppress(queue.Empty):
            while True:
                worker = self._idle.get_nowait()
                if worker is not None:
                    worker.close()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        # Checking a contract for publication must not be refused for what its callers sent, so that has its own key.
        key = request["do"] + sha256_hex(json.dumps(request["schema"], sort_keys=True).encode())
        with self._turn(key):
            worker = self._idle.get_nowait()
            healthy = False
            if worker is not None and worker.dead:
                worker.close()
                worker = None
            try:
                worker = worker or _Worker(self._start())
                answer = worker.ask(request, self._seconds)
                healthy = True
                return answer
            except ValidationStalledError:
                with self._changed:
                    self._stalls.stalled(key, self._clock())
                raise
            finally:
                if not healthy and worker is not None:
                    worker.close()
                self._idle.put(worker if healthy else None)

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """Wait for a worker. There is one for everybody who has their turn."""
        with self._changed:
            ticket = self._turns.enter(key)
            try:
                # Refused also while it waits: those before it may be the ones that stall.
                if not self._changed.wait_for(lambda: self._refused(key) or self._turns.begin(ticket), self._patience):
                    raise ValidationBusyError
                left = self._refused(key)
                if left:
                    raise ValidationStalledError(
                        f"its contract kept the validator busy for too long twice, so it is not retried for {math.ceil(left)} s"
                    )
            except BaseException:
                self._turns.leave(ticket)
                raise
            finally:
                self._changed.notify_all()  # the next in line may have checked before, when it was not their turn yet
        try:
            yield
        finally:
            with self._changed:
                self._turns.leave(ticket)
                self._changed.notify_all()

    def _refused(self, key: str) -> float:
        return self._stalls.refused_for(key, self._clock())
