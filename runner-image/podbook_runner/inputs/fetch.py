"""What the attempt needs, brought here and proven to be what was asked for.

Standard library only: the notebook is fetched before the kernel starts, and every import before that delays it.
"""

import hashlib
import itertools
import time
import urllib.parse
from collections.abc import Generator
from contextlib import closing
from http import HTTPStatus
from pathlib import Path

from podbook_core.execution.reasons import Reason
from podbook_runner.outcome import AttemptError
from podbook_runner.transfer.redact import without_query

__all__ = ["fetch"]

_CHUNK = 256 * 1024
_PATIENCE_SECONDS = 60.0
"""How long a store that is away is tried again: a restart of it costs time, not the run."""
_LONGEST_PAUSE = 2.0
_TIMEOUT_SECONDS = 20.0
"""How long the store may be silent."""


class _TransientError(Exception):
    """Worth another try."""


def fetch(
    url: str,
    sha256: str,
    target: Path,
    *,
    what: str,
    deadline: float,
    size: int | None = None,
    missing: Reason = Reason.STORAGE_FAILED,
) -> None:
    """Bring a file here and check its digest.

    Args:
        url: ``file:``, ``http:`` or ``https:``.
        sha256: what its content must hash to.
        target: where to write it.
        what: what it is, for messages, for example ``the notebook``.
        deadline: until when it must be here, by the monotonic clock.
        size: what its size must be, in bytes, where that is known.
        missing: the reason when there is no such file.

    Raises:
        AttemptError: it is not there, cannot be read, or is something else than was asked for.
    """
    # Under another name until it is proven: what is found under its own name may be used.
    part = target.with_name(target.name + ".part")
    patience = min(deadline, time.monotonic() + _PATIENCE_SECONDS)
    for attempt in itertools.count(1):
        try:
            digest, received = _transfer(_chunks(url, what, missing), part, what, size, deadline)
            break
        except _TransientError as error:
            if time.monotonic() > patience:
                # A directory's path is where the server keeps its data, and callers read this.
                where = "the store" if url.startswith("file:") else without_query(url)
                raise AttemptError(Reason.STORAGE_FAILED, f"{what} could not be fetched from {where}: {error}") from None
            time.sleep(min(0.2 * 2**attempt, _LONGEST_PAUSE))
    if size is not None and received != size:
        raise AttemptError(Reason.STORAGE_FAILED, f"{what} has {received} bytes, expected {size}")
    if digest != sha256:
        raise AttemptError(
            Reason.STORAGE_FAILED, f"{what} differs from what was published: its SHA-256 is {digest}, expected {sha256}"
        )
    part.replace(target)


def _transfer(chunks: Generator[bytes], target: Path, what: str, size: int | None, deadline: float) -> tuple[str, int]:
    digest, received = hashlib.sha256(), 0
    with closing(chunks):
        try:
            with target.open("wb") as file:
                for chunk in chunks:
                    received += len(chunk)
                    if size is not None and received > size:
                        break
                    if time.monotonic() > deadline:
                        raise _TransientError("it did not arrive within the run's time")
                    digest.update(chunk)
                    file.write(chunk)
        except OSError as error:
            raise AttemptError(
                Reason.CONFIGURATION_ERROR,
                f"{what} cannot be written to the working directory: {error.strerror or type(error).__name__}; give it more space",
            ) from error
    return digest.hexdigest(), received


def _chunks(url: str, what: str, missing: Reason) -> Generator[bytes]:
    """The content, piece by piece. Raises no OSError: those are the target's."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        return _chunks_of_file(Path(urllib.parse.unquote(parts.path)), what, missing)
    if parts.scheme in ("http", "https"):
        return _chunks_over_http(parts, what, missing)
    raise AttemptError(
        Reason.CONFIGURATION_ERROR, f"{what} has an address of scheme {parts.scheme!r}; it must be file, http or https"
    )


def _chunks_of_file(path: Path, what: str, missing: Reason) -> Generator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except (FileNotFoundError, NotADirectoryError):
        raise AttemptError(missing, f"{what} is not in the store") from None
    except OSError as error:
        raise AttemptError(Reason.STORAGE_FAILED, f"{what} cannot be read: {error.strerror or error}") from None


def _chunks_over_http(parts: urllib.parse.SplitResult, what: str, missing: Reason) -> Generator[bytes]:
    import http.client  # noqa: PLC0415 - only where the store speaks HTTP

    from podbook_runner.transfer.connection import connect  # noqa: PLC0415

    connection: http.client.HTTPConnection | None = None
    try:
        connection = connect(parts, _TIMEOUT_SECONDS)
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        response = connection.getresponse()
        _check_status(response.status, what, missing)
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        # Never str(error): messages of http.client may hold the URL with its signature.
        raise _TransientError((isinstance(error, OSError) and error.strerror) or type(error).__name__) from None
    finally:
        if connection is not None:
            connection.close()


def _check_status(status: int, what: str, missing: Reason) -> None:
    if status == HTTPStatus.OK:
        return
    if status == HTTPStatus.NOT_FOUND:
        raise AttemptError(missing, f"{what} is not in the store")
    if status == HTTPStatus.FORBIDDEN:
        raise AttemptError(
            Reason.STORAGE_FAILED,
            f"the store refused access to {what} (HTTP 403): its signed access has expired or was not granted",
        )
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500:
        raise _TransientError(f"HTTP {status}")
    raise AttemptError(Reason.STORAGE_FAILED, f"the store answered HTTP {status} for {what}")
