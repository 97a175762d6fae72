"""What a request of the gateway says, read as leniently as the gateway always read it: what cannot be understood stays as it came."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import anyio
import anyio.to_thread
from starlette.requests import Request

from podbook_api.doors.problems import ProblemError
from podbook_api.doors.requests.body_stream import media_type_of, read_body, too_large
from podbook_api.doors.requests.forms import form_parts
from podbook_core.http_notebook.request import HttpRequest, UploadedFile, request_text

__all__ = ["Received", "received", "told"]

_MAX_FILES = 100
_AT_ONCE = 16 * 1024
"""Bytes of a body that are read in less time than it takes to hand them to a thread."""


@dataclass(frozen=True, slots=True)
class Received:
    """The body of a request."""

    body: bytes = b""
    fields: Mapping[str, Sequence[str]] | None = None
    """Of a form; None where the body is not one."""
    files: Sequence[UploadedFile] = ()


@dataclass
class _Form:
    folder: Path
    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[UploadedFile] = field(default_factory=list)


async def told(
    request: Request, body: Received, *, path: Mapping[str, str], files: Sequence[UploadedFile], hidden: frozenset[str]
) -> str:
    """The JSON of REQUEST; that of a form or a large body is made beside the event loop, where it keeps no other request waiting.

    Args:
        request: the request.
        body: of it.
        path: the values in its path, by name.
        files: uploaded files as the notebook finds them.
        hidden: keys and tokens that are none of the notebook's business.
    """
    said = HttpRequest(
        query=request.scope["query_string"].decode("latin-1"),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
        path=path,
        body=body.body,
        fields=body.fields,
        files=files,
        secrets=hidden - {""},
    )
    if body.fields is None and len(body.body) <= _AT_ONCE:
        return request_text(said)
    return await anyio.to_thread.run_sync(request_text, said)


@asynccontextmanager
async def received(request: Request, *, limit: int, texts: int | None = None) -> AsyncIterator[Received]:
    """Read the body; uploaded files lie in a private folder until the context is left.

    Args:
        request: whose body it is.
        limit: most bytes of it.
        texts: most bytes of what becomes text in ``REQUEST``: everything but uploaded files. None for the limit.

    Raises:
        ProblemError: 413 when it is larger than that.
    """
    texts = limit if texts is None else min(texts, limit)
    content_type = request.headers.get("content-type", "")
    if content_type == "application/x-www-form-urlencoded":
        body = await read_body(request, texts)
        yield Received(body, await anyio.to_thread.run_sync(_fields, body))
    elif media_type_of(request) == "multipart/form-data":
        form = _Form(Path(tempfile.mkdtemp(prefix="podbook-upload-")))
        try:
            await _read_form(request, form, limit, texts)
            yield Received(b"", form.fields, form.files)
        finally:
            shutil.rmtree(form.folder, ignore_errors=True)
    else:
        yield Received(await read_body(request, texts))


def _fields(body: bytes) -> dict[str, list[str]]:
    return parse_qs(body.decode(errors="replace"), keep_blank_values=True, errors="replace")


async def _read_form(request: Request, form: _Form, limit: int, texts: int) -> None:
    size = 0
    try:
        async for part, content in form_parts(request, limit=limit, max_files=_MAX_FILES):
            if part.filename is None:
                data = bytearray()
                async for chunk in content:
                    data += chunk
                    size += len(chunk)
                    if size > texts:
                        raise too_large("the form without its files", texts)
                form.fields.setdefault(part.name, []).append(data.decode(errors="replace"))
                continue
            path = form.folder / secrets.token_hex(8)
            async with await anyio.open_file(path, "wb") as file:
                async for chunk in content:
                    await file.write(chunk)
            kind = part.media_type or "application/octet-stream"
            form.files.append(UploadedFile(part.name, part.filename, kind, str(path)))
    except ProblemError as error:
        if error.status == 413:
            raise
        # What was understood until then is kept, as ever: the notebook decides what is missing.
