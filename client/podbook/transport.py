"""HTTP to one Podbook server: the key, time-outs, retries that end, and problems turned into errors."""

import json
import random
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from podbook.errors import ProblemError, ServerUnreachableError, UnexpectedAnswerError, problem_error
from podbook_core import __version__

__all__ = ["Part", "Request", "Transport", "answer_error", "answer_json", "retry_delay"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a ``multipart/form-data`` body: a file to send from disk, or bytes at hand."""

    field: str
    filename: str | None
    content: Path | bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``repeatable`` says that sending it twice does no harm; only then is it tried again once it may have arrived."""

    method: str
    path: str
    params: Mapping[str, Any] | Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    parts: Sequence[Part] = ()
    waits: float = 0.0
    """Seconds the server was asked to wait before it answers, on top of the usual time-out."""

    @property
    def repeatable(self) -> bool:
        """By method (RFC 9110, section 9.2.2), or by its Idempotency-Key."""
        return self.method in ("GET", "HEAD", "PUT", "DELETE") or "Idempotency-Key" in self.headers


def retry_delay(attempt: int, retry_after: float | None, remaining: float) -> float | None:
    """How long to wait before the next attempt. Pure, except for its jitter.

    Args:
        attempt: attempts made so far, from 1.
        retry_after: seconds the server asked for, None when it did not.
        remaining: seconds of patience left.

    Returns:
        Seconds, or None when patience does not last that long.
    """
    backoff = min(0.25 * 2 ** (attempt - 1), 8.0) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
    delay = backoff if retry_after is None else max(retry_after, 0.0)
    return delay if delay < remaining else None


class Transport:
    """Sends requests to one server.

    Args:
        url: base address, with or without a path prefix.
        api_key: sent as a bearer token to this server only; redirects are not followed.
        timeout: seconds to connect, and for each answer.
        patience: seconds a repeatable request is tried again while the server is busy, down or out of reach. A server that has never
            answered is not waited for.
    """

    def __init__(self, url: str, api_key: str | None, *, timeout: float, patience: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the address of a server; expected something like http://127.0.0.1:8000")
        headers = {"User-Agent": f"podbook/{__version__}", "Accept": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.patience = patience
        # A proxy of the environment is meant for the world outside, never for this machine.
        self._http = httpx.Client(headers=headers, timeout=timeout, trust_env=parts.hostname not in _LOOPBACK)
        self._reached = False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, request: Request) -> httpx.Response:
        """Send a request and read the whole answer.

        Raises:
            ServerUnreachableError: no answer, after all retries.
            ProblemError: an answer with status 400 or more, after all retries.
        """
        with self._answer(request) as response:
            response.read()
            return response

    def download(self, request: Request, target: Path) -> None:
        """Write an answer's body to a file, which appears only when it is whole. Raises as :meth:`send`, and OSError."""
        partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with self._answer(request) as response, partial.open("xb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
            partial.replace(target)
        except httpx.TransportError as error:
            raise ServerUnreachableError(self.url, _why(error)) from error
        finally:
            partial.unlink(missing_ok=True)

    @contextmanager
    def stream(self, request: Request, read_timeout: float) -> Iterator[httpx.Response]:
        """One attempt, the body unread: for event streams, whose reader reconnects by itself.

        Raises:
            httpx.TransportError: the connection failed or broke.
            ProblemError: an answer with status 400 or more.
        """
        with ExitStack() as files:
            built = self._build(request, files, read_timeout=read_timeout)
            response = self._http.send(built, stream=True)
            try:
                if response.status_code >= HTTPStatus.BAD_REQUEST:
                    response.read()
                    raise answer_error(response)
                self._reached = True
                yield response
            finally:
                response.close()

    @contextmanager
    def _answer(self, request: Request) -> Iterator[httpx.Response]:
        deadline = time.monotonic() + self.patience + request.waits
        attempt = 0
        while True:
            attempt += 1
            with ExitStack() as files:
                outcome = self._attempt(request, files)
            delay = retry_delay(attempt, outcome.retry_after, deadline - time.monotonic()) if outcome.again else None
            if delay is None:
                break
            outcome.close()
            time.sleep(delay)
        try:
            yield outcome.result()
        finally:
            outcome.close()

    def _attempt(self, request: Request, files: ExitStack) -> "_Outcome":
        try:
            response = self._http.send(self._build(request, files), stream=True)
            self._reached = True
            if response.has_redirect_location:
                return _Outcome(_raiser(_redirected(response)), response.close)
            if response.status_code < HTTPStatus.BAD_REQUEST:
                return _Outcome(lambda: response, response.close)
            response.read()
        except httpx.TransportError as error:
            unreachable = ServerUnreachableError(self.url, _why(error))
            sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            return _Outcome(_raiser(unreachable), again=self._reached and (request.repeatable or not sent))
        busy = response.status_code in (429, 503) and ("Retry-After" in response.headers or not _is_problem(response))
        between = response.status_code in (502, 504) and not _is_problem(response)
        return _Outcome(
            _raiser(answer_error(response)),
            response.close,
            again=request.repeatable and (busy or between),
            retry_after=_retry_after(response.headers.get("Retry-After"), datetime.now(UTC)),
        )

    def _build(self, request: Request, files: ExitStack, *, read_timeout: float | None = None) -> httpx.Request:
        parts = [
            (
                part.field,
                (
                    part.filename,
                    part.content if isinstance(part.content, bytes) else files.enter_context(part.content.open("rb")),
                    part.media_type,
                ),
            )
            for part in request.parts
        ]
        read = self.timeout + request.waits if read_timeout is None else read_timeout
        return self._http.build_request(
            request.method,
            self.url + request.path,
            params=request.params or None,  # type: ignore[arg-type] # httpx takes pairs and mappings alike
            headers=request.headers,
            json=request.json,
            files=parts or None,
            timeout=httpx.Timeout(self.timeout, read=read),
        )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one attempt went: what to hand out or raise, and whether another attempt may help."""

    result: Callable[[], httpx.Response]
    close: Callable[[], None] = lambda: None
    again: bool = False
    retry_after: float | None = None


def _raiser(error: Exception) -> Callable[[], httpx.Response]:
    def result() -> httpx.Response:
        raise error

    return result


def _why(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectError():
            return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or "the connection was refused"
        case httpx.TimeoutException():
            return "it did not answer in time"
        case _:
            return str(error) or "the connection broke"


def _redirected(response: httpx.Response) -> UnexpectedAnswerError:
    """Redirects are not followed: the key is for the server it was given for, and a redirected POST would become a GET."""
    target = httpx.URL(response.headers["Location"]).copy_with(query=None, fragment=None)
    return UnexpectedAnswerError(f"{response.request.url.copy_with(query=None)} redirects to {target}; use that address")


def _is_problem(response: httpx.Response) -> bool:
    return bool(response.headers.get("Content-Type", "").startswith(_PROBLEM))


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After field (RFC 9110, section 10.2.3), which is seconds or a date."""
    if value is None:
        return None
    try:
        return float(value) if value.isdecimal() else (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError):
        return None


def answer_json(response: httpx.Response) -> Any:
    """The JSON of an answer that was read.

    Raises:
        UnexpectedAnswerError: it is not valid JSON, or deeper than this Python can read.
    """
    try:
        return response.json()
    except RecursionError as error:
        address = response.request.url.copy_with(query=None)
        raise UnexpectedAnswerError(f"{address} answered with JSON nested deeper than this Python can read") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        kind = response.headers.get("Content-Type", "something without a type")
        raise UnexpectedAnswerError(f"{response.request.url.copy_with(query=None)} answered with {kind} instead of JSON") from error


def answer_error(response: httpx.Response) -> ProblemError:
    """The error an answer with status 400 or more stands for; it was read before."""
    try:
        problem = response.json() if "json" in response.headers.get("Content-Type", "") else {}
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        problem = {}
    if not isinstance(problem, dict) or not problem:
        problem = {"title": f"{response.status_code} {response.reason_phrase}".strip()}
    return problem_error(response.status_code, problem)
