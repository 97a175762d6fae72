"""The Python client: a notebook as a function, and everything else the REST API offers. Synchronous, on httpx.

    from podbook import Client

    with Client() as podbook:
        output = podbook.run("analysis", customer_name="microsoft")

Errors are those of :mod:`podbook.errors`.
"""

import json
import mimetypes
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from podbook.errors import StillRunningError, UnexpectedAnswerError
from podbook.execution import Event, Execution, Notebook, Published
from podbook.following import follow, get_execution
from podbook.publication import publication_parts, read_publication
from podbook.results import Results, items, read_json, segment
from podbook.transport import Part, Request, Transport, answer_json

__all__ = ["DEFAULT_URL", "Client"]

DEFAULT_URL = "http://127.0.0.1:8000"
"""Where ``podbook serve`` listens."""
_PATIENT_ANSWER = 30.0
"""Seconds the first answer may take while the notebook runs: most are done by then, and no proxy hangs up before."""
_PAGE, _FULL_PAGE = 100, 20
"""Executions in one answer of a list; 20 whole ones are the most a server gives."""


class Client(Results):
    """A Podbook server. May be used by one thread at a time.

    Args:
        url: its address; ``PODBOOK_URL``, else ``http://127.0.0.1:8000``, when absent.
        api_key: the key; ``PODBOOK_API_KEY`` when absent, none where that is not set either.
        timeout: seconds to connect and for each answer, beyond what the server was asked to wait.
        patience: seconds a request that may be repeated is tried again while the server is busy (429, 503, its Retry-After is kept)
            or out of reach.

    Raises:
        ValueError: the address is none.
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, timeout: float = 30.0, patience: float = 60.0
    ) -> None:
        super().__init__(
            Transport(
                url or os.environ.get("PODBOOK_URL") or DEFAULT_URL,
                api_key or os.environ.get("PODBOOK_API_KEY"),
                timeout=timeout,
                patience=patience,
            )
        )

    @property
    def url(self) -> str:
        """Address of the server."""
        return self._transport.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- running ------------------------------------------------------------------------------------------------------------------

    def run(
        self,
        notebook: str,
        /,
        parameters: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, Path | bytes] | None = None,
        profile: str | None = None,
        timeout_seconds: int | None = None,
        labels: Mapping[str, str] | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> Any:
        """Run a notebook and return its output: what it gave to ``save_output``, as JSON data; None when it gave nothing.

        Waits as long as the notebook runs, through dropped connections and restarts of the server.

        Args:
            notebook: name of a published notebook.
            parameters: its parameters; they may as well be given as keywords, except those called like an argument here.
            files: input files by name, as paths or bytes; not called ``parameters`` or ``options``.
            profile: where it runs, one of the names an administrator offers; the contract's when absent.
            timeout_seconds: longest run; the contract's when absent.
            labels: labels to find it by.
            wait: longest time to wait, in seconds; None waits to the end.
            idempotency_key: the same key with the same request never runs twice; one is made up when absent.
            **more: further parameters.

        Raises:
            InvalidRequestError: parameters break the contract; nothing was started.
            ExecutionFailed: it ran and did not end well.
            StillRunningError: it had not ended after ``wait`` seconds.
        """
        started = time.monotonic()
        given = {**(parameters or {}), **more}
        first = _PATIENT_ANSWER if wait is None else min(wait, _PATIENT_ANSWER)
        execution = self.submit(
            notebook,
            given,
            files=files,
            profile=profile,
            timeout_seconds=timeout_seconds,
            labels=labels,
            idempotency_key=idempotency_key,
            wait=first,
        )
        if not (execution.finished and execution.stored):
            left = None if wait is None else max(0.0, wait - (time.monotonic() - started))
            execution = self.wait(execution.id, timeout=left)
        if not execution.succeeded:
            raise execution.failure()
        return self.output(execution.id)

    def submit(
        self,
        notebook: str,
        /,
        parameters: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, Path | bytes] | None = None,
        profile: str | None = None,
        timeout_seconds: int | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        wait: float = 0.0,
    ) -> Execution:
        """Start a notebook and return its execution at once, or after at most ``wait`` seconds (up to 300) when it ends sooner.

        Args:
            notebook: name of a published notebook.
            parameters: its parameters.
            files: input files by name, as paths or bytes; not called ``parameters`` or ``options``.
            profile: where it runs, one of the names an administrator offers; the contract's when absent.
            timeout_seconds: longest run; the contract's when absent.
            labels: labels to find it by.
            idempotency_key: as for :meth:`run`.
            wait: see above.

        Raises:
            ValueError: an input file has the name of a part that holds something else.
            InvalidRequestError: parameters break the contract; nothing was started.
        """
        headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(24)}
        options = {"profile": profile, "timeoutSeconds": timeout_seconds, "labels": dict(labels) if labels else None}
        options = {key: value for key, value in options.items() if value is not None}
        if wait >= 1:
            headers["Prefer"] = f"wait={int(wait)}"
        path = f"/v1/notebooks/{segment(notebook)}/executions"
        if files:
            reserved = [name for name in ("parameters", "options") if name in files]
            if reserved:
                raise ValueError(f"an input file must not be called {reserved[0]}: the form part of that name is reserved")
            parts = [_json_part("parameters", dict(parameters or {}))]
            if options:
                parts.append(_json_part("options", options))
            parts += [_input_part(name, content) for name, content in files.items()]
            request = Request("POST", path, headers=headers, parts=parts, waits=int(wait))
        else:
            request = Request(
                "POST", path, headers=headers, json={"parameters": dict(parameters or {}), **options}, waits=int(wait)
            )
        return _execution(answer_json(self._transport.send(request)))

    def wait(self, execution: str, /, *, timeout: float | None = None) -> Execution:
        """Wait until an execution has ended, well or not, and its results can be read.

        Args:
            execution: its id.
            timeout: seconds; None waits to the end.

        Raises:
            StillRunningError: it had not ended in time.
        """
        if timeout is not None and timeout <= 0:
            state = self.get(execution)
            if state.finished and state.stored:
                return state
            raise StillRunningError(execution, timeout)
        for _ in follow(self._transport, segment(execution), timeout=timeout):
            pass
        return self.get(execution)

    def events(self, execution: str, /, *, timeout: float | None = None) -> Iterator[Event]:
        """Follow an execution: its present state, then every change, until its results can be read. Errors as :meth:`wait`."""
        return follow(self._transport, segment(execution), timeout=timeout)

    # -- executions ---------------------------------------------------------------------------------------------------------------

    def get(self, execution: str, /) -> Execution:
        """One execution as it is now."""
        return get_execution(self._transport, segment(execution))

    def list(
        self,
        *,
        notebook: str | None = None,
        phase: str | None = None,
        reason: str | None = None,
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        full: bool = False,
    ) -> Iterator[Execution]:
        """Executions, newest first, living and ended alike; pages are fetched as they are needed.

        Their ``parameters`` are empty, since they may be large: :meth:`get` has them, or ``full``.

        Args:
            notebook: only runs of this notebook.
            phase: only Pending, Running, Succeeded, Failed or Cancelled ones.
            reason: only those with this reason.
            labels: only those that have all of these labels.
            limit: at most so many; None gives all.
            full: with their parameters, in smaller pages.
        """
        most = _FULL_PAGE if full else _PAGE
        filters = [(key, value) for key, value in (("notebook", notebook), ("phase", phase), ("reason", reason)) if value]
        filters += [("label", f"{key}={value}") for key, value in (labels or {}).items()]
        filters += [("view", "full")] if full else []
        cursor, left = "", limit
        while left is None or left > 0:
            page = [("limit", str(most if left is None else min(left, most))), *([("cursor", cursor)] if cursor else [])]
            answer = read_json(self._transport, "/v1/executions", params=[*filters, *page])
            for item in items(answer):
                yield Execution.from_document(item)
                left = None if left is None else left - 1
                if left == 0:
                    return
            cursor = answer.get("nextCursor") or ""
            if not cursor:
                return

    def cancel(self, execution: str, /) -> Execution:
        """Cancel an execution. Partial results are kept; one that has ended is left unchanged."""
        return _execution(answer_json(self._transport.send(Request("POST", f"/v1/executions/{segment(execution)}/cancel"))))

    def rerun(self, execution: str, /, *, current: bool = False, idempotency_key: str | None = None) -> Execution:
        """Start the same again: same parameters and files, and the same version unless ``current`` asks for the current one."""
        headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(24)}
        params = {"version": "current"} if current else {}
        path = f"/v1/executions/{segment(execution)}/rerun"
        return _execution(answer_json(self._transport.send(Request("POST", path, params=params, headers=headers))))

    def delete(self, execution: str, /) -> None:
        """Remove an ended execution with all its results, for good."""
        self._transport.send(Request("DELETE", f"/v1/executions/{segment(execution)}"))

    # -- notebooks ----------------------------------------------------------------------------------------------------------------

    def notebooks(self) -> tuple[Notebook, ...]:
        """Every published notebook, with its contract; broken ones with the reason."""
        return tuple(Notebook.from_document(item) for item in items(read_json(self._transport, "/v1/notebooks")))

    def publish(self, path: Path | str, /, *, name: str | None = None, folder: Path | str | None = None) -> Published:
        """Publish a notebook file with the contract beside it (``<name>.config.json``), its models and its assets.

        Args:
            path: the ``.ipynb`` file.
            name: name to publish it under; the file's name without ``.ipynb`` when absent.
            folder: the notebooks folder; below it, ``sub/nested.ipynb`` is published as ``sub.nested``.

        Raises:
            podbook_core.notebook.folder.SourceError: what lies on disk cannot be published; says where and why.
            InvalidRequestError: the server found the notebook or its contract wanting.
        """
        source = read_publication(Path(path), name=name, folder=None if folder is None else Path(folder))
        request = Request("PUT", f"/v1/notebooks/{source.name}", parts=publication_parts(source))
        response = self._transport.send(request)
        return Published(source.name, str(answer_json(response).get("version", "")), created=response.status_code == 201)

    def unpublish(self, name: str, /) -> None:
        """Take a notebook off the list. Its versions stay for executions that wait, its executions stay as they are."""
        self._transport.send(Request("DELETE", f"/v1/notebooks/{segment(name)}"))


def _execution(answer: Any) -> Execution:
    if not isinstance(answer, dict):
        raise UnexpectedAnswerError("the server's answer is not an execution; check the address")
    return Execution.from_document(answer)


def _json_part(name: str, value: Any) -> Part:
    return Part(name, None, json.dumps(value).encode(), "application/json")


def _input_part(name: str, content: Path | bytes) -> Part:
    filename = content.name if isinstance(content, Path) else name
    return Part(name, filename, content, mimetypes.guess_type(filename)[0] or "application/octet-stream")
