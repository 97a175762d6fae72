"""Where the attempt's objects go: a directory, or a bucket by a signed POST policy. One interface, retried within a deadline.

The bucket is reached with ``http.client`` alone: the runner holds no keys, only a policy that allows writes below its own prefix
(Amazon S3 API Reference, "POST Object"), and an SDK would cost more time to import than the upload takes. The policy may be renewed at
any time, so every try uses the one that is there then.
"""

import contextlib
import hashlib
import io
import os
import secrets
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from podbook_core.execution.manifest import StoredFile
from podbook_core.execution.reasons import Reason
from podbook_core.execution.task import Destination
from podbook_runner.outcome import AttemptError

if TYPE_CHECKING:
    import http.client

__all__ = ["Publisher", "open_destination"]

_CHUNK = 256 * 1024
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_TIMEOUT_SECONDS = 30.0
"""How long the store may be silent."""
_TOKEN_FIELD = "x-amz-security-token"  # noqa: S105 - the name of a field
_ENDED = frozenset({"ExpiredToken", "InvalidAccessKeyId"})
"""What services answer to temporary credentials that have ended: Amazon the first, MinIO the second."""


class _TransientError(Exception):
    """Worth another try."""


class _FinalError(Exception):
    """Another try would end the same way."""


class _Target(Protocol):
    def put(self, key: str, content: bytes | Path, media_type: str, size: int) -> None: ...

    def close(self) -> None: ...


class Publisher:
    """Stores objects of one attempt. Not for several threads at once.

    Args:
        destination: tells where to, asked before every try: access may have been renewed. While it is the same, it gives the same object.
        prefix: of every key: ``executions/<uid>/attempts/<attempt>/``.

    Raises:
        AttemptError: ``ConfigurationError``: the destination's address is not understood.
    """

    def __init__(self, destination: Callable[[], Destination], prefix: str) -> None:
        self._destination = destination
        self._used = destination()
        self._target = open_destination(self._used)
        self._prefix = prefix

    def put(self, name: str, content: bytes | Path, media_type: str, deadline: Callable[[], float] | None = None) -> StoredFile:
        """Store one object.

        Args:
            name: below the prefix.
            content: bytes, or a regular file that nobody changes any more.
            media_type: its media type.
            deadline: until when to try again, by the monotonic clock; None for one try only.

        Raises:
            AttemptError: ``StorageFailed``: it could not be stored.
        """
        sha256, size = _measure(content)
        pause = _FIRST_PAUSE
        while True:
            self._follow()
            try:
                self._target.put(self._prefix + name, content, media_type, size)
            except _TransientError as error:
                if deadline is None or time.monotonic() + pause >= deadline():
                    raise _failed(name, error) from None
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except _FinalError as error:
                # What was refused may have been renewed while it was sent.
                if deadline is None or not self._follow():
                    raise _failed(name, error) from None
            else:
                return StoredFile(name, size, sha256, media_type)

    def close(self) -> None:
        """Let go of connections."""
        self._target.close()

    def _follow(self) -> bool:
        """Take up a destination that was renewed. Returns whether there was one."""
        destination = self._destination()
        if destination is self._used:
            return False
        self._target.close()
        self._used, self._target = destination, open_destination(destination)
        return True


def open_destination(destination: Destination) -> _Target:
    """The target a task names.

    Raises:
        AttemptError: ``ConfigurationError``: its address is not understood.
    """
    parts = urllib.parse.urlsplit(destination.url)
    if destination.kind == "directory" and parts.scheme == "file":
        return _DirectoryTarget(Path(urllib.parse.unquote(parts.path)))
    if destination.kind == "post" and parts.scheme in ("http", "https"):
        return _PostTarget(parts, destination.fields)
    raise AttemptError(
        Reason.CONFIGURATION_ERROR,
        f"the task's destination is a {destination.kind} with an address of scheme {parts.scheme!r}; "
        "a directory needs file, a post needs http or https",
    )


class _DirectoryTarget:
    """The store in a directory, through the same code that reads it."""

    def __init__(self, root: Path) -> None:
        from podbook_core.store.base import StoreUnavailableError  # noqa: PLC0415 - only where a directory is the store
        from podbook_core.store.directory import DirectoryStore  # noqa: PLC0415

        self._unavailable = StoreUnavailableError
        try:
            self._store = DirectoryStore(root)
        except StoreUnavailableError as error:
            # Its own sentence names the directory, and callers read ours.
            cause = error.__cause__.strerror if isinstance(error.__cause__, OSError) else None
            raise AttemptError(Reason.STORAGE_FAILED, f"the store cannot be used: {cause or 'its directory is not one'}") from None

    def put(self, key: str, content: bytes | Path, media_type: str, size: int) -> None:  # noqa: ARG002
        try:
            self._store.put(key, content, media_type=media_type)
        except self._unavailable as error:
            raise _TransientError(str(error)) from None

    def close(self) -> None:
        """Nothing is held open."""


class _PostTarget:
    """A bucket that takes multipart/form-data (RFC 7578) under a signed policy. Keeps its connection."""

    def __init__(self, parts: urllib.parse.SplitResult, fields: Mapping[str, str]) -> None:
        self._parts = parts
        self._fields = {name: value for name, value in fields.items() if name.lower() not in ("key", "content-type", "file")}
        self._temporary = any(name.lower() == _TOKEN_FIELD for name in fields)
        self._connection: http.client.HTTPConnection | None = None

    def put(self, key: str, content: bytes | Path, media_type: str, size: int) -> None:
        import http.client  # noqa: PLC0415 - only where the store speaks HTTP

        boundary = f"podbook-{secrets.token_hex(16)}"
        head = _form_head(boundary, {**self._fields, "key": key, "Content-Type": media_type}, key.rpartition("/")[2])
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        try:
            connection = self._connect()
            connection.request("POST", target, body=_body(head, content, size, tail), headers=headers)
            response = connection.getresponse()
            answer = response.read(4096)
            status = response.status
        except (OSError, http.client.HTTPException) as error:
            self.close()
            # Never str(error): it may hold the address with its signature.
            raise _TransientError((isinstance(error, OSError) and error.strerror) or type(error).__name__) from None
        if not response.isclosed():
            # More than was read: the connection cannot be used again.
            self.close()
        if status in (408, 429) or status >= 500:
            raise _TransientError(f"HTTP {status}")
        if not 200 <= status < 300:
            code = _code_of(answer)
            problem = f"HTTP {status} ({code})" if code else f"HTTP {status}"
            if self._temporary and code in _ENDED:
                # An operator that was away renews the access as soon as it is back.
                raise _TransientError(problem)
            raise _FinalError(problem)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _connect(self) -> "http.client.HTTPConnection":
        from podbook_runner.transfer.connection import connect  # noqa: PLC0415 - only where the store speaks HTTP

        if self._connection is None or self._connection.sock is None:
            self._connection = connect(self._parts, _TIMEOUT_SECONDS)
        return self._connection


def _form_head(boundary: str, fields: Mapping[str, str], file_name: str) -> bytes:
    """Everything of the form before the file, which comes last, as S3 demands."""
    lines = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    quoted = urllib.parse.quote(file_name, safe=" ()+,.")
    lines.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return "".join(lines).encode()


def _body(head: bytes, content: bytes | Path, size: int, tail: bytes) -> Iterator[bytes]:
    yield head
    left = size
    with _opened(content) as file:
        while left and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise OSError(f"a file lost {left} bytes while it was uploaded")
    yield tail


def _measure(content: bytes | Path) -> tuple[str, int]:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest(), len(content)
    try:
        with _opened(content) as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()  # type: ignore[arg-type]
    except OSError as error:
        raise AttemptError(Reason.STORAGE_FAILED, f"{content.name} cannot be read: {error.strerror or error}") from None


def _opened(content: bytes | Path) -> IO[bytes]:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    # Never through a link, and never into a pipe that nobody writes to.
    return os.fdopen(os.open(content, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _code_of(answer: bytes) -> str:
    """S3's error code, a plain word or nothing; the rest of the answer may repeat what was sent."""
    _, found, rest = answer.partition(b"<Code>")
    word = rest.partition(b"</Code>")[0].decode(errors="replace")
    return word if found and word.isalnum() and len(word) <= 64 else ""


def _failed(name: str, error: Exception) -> AttemptError:
    return AttemptError(Reason.STORAGE_FAILED, f"{name} could not be stored: {error}")
