"""Validation in a process that can be killed, because a schema can keep its validator busy for hours.

``^(a+)+$`` against thirty characters, or ``uniqueItems`` over a large array, are enough. One :class:`ContractValidator` keeps a few
worker processes warm and replaces those it had to kill.
"""

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any, Self, cast

from podbook_core.contract import Contract, ContractError
from podbook_core.violations import Violation

__all__ = ["ContractValidator", "ValidationStalledError"]


class ValidationStalledError(Exception):
    """The validator did not finish in time; the contract is at fault."""


class _Worker:
    """One process that answers one request a line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "podbook_core.validation_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a traceback could quote the caller's values
            text=True,
        )
        self._ready = False

    def ask(self, request: Mapping[str, Any], seconds: float) -> Any:
        if not self._ready:
            # Starting Python and importing jsonschema is not the schema's doing.
            self._exchange(None, 60.0)
            self._ready = True
        return self._exchange(json.dumps(request), seconds)

    def _exchange(self, line: str | None, seconds: float) -> Any:
        # The timer kills the process, which ends the blocking read below: no read can outlast it.
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            self._process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        assert self._process.stdin is not None  # noqa: S101 - opened as pipes above
        assert self._process.stdout is not None  # noqa: S101
        try:
            if line is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            raise ValidationStalledError(
                f"the validator did not finish within {seconds:g} s" if killed.is_set() else "the validator ran out of memory"
            )
        return json.loads(answer)

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
    """

    def __init__(self, *, seconds: float = 2.0, workers: int = 2) -> None:
        self._seconds = seconds
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
            ValidationStalledError: it could not be found out in time.
        """
        if schema is None or schema is True:
            return []
        answer = self._ask({"do": "validate", "schema": schema, "value": value})
        return [Violation(**cast("dict[str, str]", item)) for item in answer["violations"]]

    def check_contract(self, contract: Contract) -> None:
        """Prove that a contract's schemas are JSON Schema, end, and are cheap enough to use.

        Raises:
            ContractError: they are not, with place and reason.
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

    def warm(self) -> None:
        """Start one worker now, so that the first check does not wait for it."""
        self._ask({"do": "validate", "schema": True, "value": None})

    def close(self) -> None:
        """Stop the workers."""
        with contextlib.suppress(queue.Empty):
            while True:
                worker = self._idle.get_nowait()
                if worker is not None:
                    worker.close()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        worker = self._idle.get()
        healthy = False
        if worker is not None and worker.dead:
            worker.close()
            worker = None
        try:
            worker = worker or _Worker()
            answer = worker.ask(request, self._seconds)
            healthy = True
            return answer
        finally:
            if not healthy and worker is not None:
                worker.close()
            self._idle.put(worker if healthy else None)
