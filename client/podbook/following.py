"""Following one execution to its end: Server-Sent Events, taken up again where the connection broke, and asked for where it is down."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from podbook.errors import ServerUnreachableError, StillRunningError, UnavailableError, UnexpectedAnswerError
from podbook.execution import Event, Execution
from podbook.sse import StreamTooLongError, parse_messages, split_lines
from podbook.transport import Request, Transport, answer_json, retry_delay

__all__ = ["follow", "get_execution"]

_SILENCE = 45.0
"""Seconds without even a heartbeat (the server sends one every 15 s) after which a connection counts as dead."""


def get_execution(transport: Transport, execution: str) -> Execution:
    """An execution as it is now. Raises as :meth:`Transport.send`."""
    answer = answer_json(transport.send(Request("GET", f"/v1/executions/{execution}")))
    if not isinstance(answer, dict):
        raise UnexpectedAnswerError("the server's answer is not an execution; check the address")
    return Execution.from_document(answer)


def follow(transport: Transport, execution: str, *, timeout: float | None) -> Iterator[Event]:
    """Every event of an execution until its results can be read; the first one is its present state.

    Args:
        transport: the server.
        execution: id of the execution.
        timeout: seconds after which to stop; None follows to the end, which the execution's own time-outs bound.

    Raises:
        StillRunningError: it had not ended in time.
        ServerUnreachableError: the server was out of reach for longer than the transport's patience.
        ProblemError: as for any request, such as NotFoundError.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    last_id: str | None = None
    failures, failing_since = 0, 0.0
    while True:
        try:
            for event in _stream(transport, execution, last_id, deadline):
                last_id, failures = event.id, 0
                yield event
                if _is_end(event):
                    return
            why: Exception | None = None
        except (httpx.TransportError, StreamTooLongError, UnavailableError) as error:
            why = error
        if deadline is not None and time.monotonic() >= deadline:
            raise StillRunningError(execution, timeout or 0.0)
        failures += 1
        if failures == 1:
            failing_since = time.monotonic()
        # A stream may end early (a proxy's limit, a restart); a plain request tells whether there is anything left to follow. It is
        # patient by itself, so a server that is down ends the wait here.
        state = get_execution(transport, execution)
        if state.finished and state.stored:
            yield Event("status", last_id, state.document)
            return
        patience = transport.patience - (time.monotonic() - failing_since)
        delay = retry_delay(failures, None, patience if why is not None else 60.0)
        if delay is None:
            raise ServerUnreachableError(transport.url, f"its event stream keeps breaking: {why}") from why
        time.sleep(delay if deadline is None else max(0.0, min(delay, deadline - time.monotonic())))


def _stream(transport: Transport, execution: str, last_id: str | None, deadline: float | None) -> Iterator[Event]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last_id is not None:
        headers["Last-Event-ID"] = last_id
    request = Request("GET", f"/v1/executions/{execution}/events", headers=headers)
    silence = _SILENCE if deadline is None else max(0.05, min(_SILENCE, deadline - time.monotonic()))
    with transport.stream(request, silence) as response:
        lines = _until(split_lines(response.iter_text()), deadline)
        for message in parse_messages(lines, last_id=last_id):
            yield Event(message.event, message.id, _data(message.data))


def _until(lines: Iterable[str], deadline: float | None) -> Iterator[str]:
    """The lines that arrive in time: heartbeats keep a stream alive, not a caller's time-out."""
    for line in lines:
        yield line
        if deadline is not None and time.monotonic() >= deadline:
            return


def _data(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswerError("the event stream contains an event that is not valid JSON") from error
    return data if isinstance(data, dict) else {"value": data}


def _is_end(event: Event) -> bool:
    state = Execution.from_document(event.data)
    return state.finished and state.stored
