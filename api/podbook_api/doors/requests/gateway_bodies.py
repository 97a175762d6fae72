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
from starlette.requests import Request

from podbook_api.doors.problems import ProblemError
from podbook_api.doors.requests.body_stream import media_type_of, read_body
from podbook_api.doors.requests.forms import form_parts
from podbook_core.http_notebook.request import UploadedFile

__all__ = ["Received", "received"]

_MAX_FILES = 100


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


@asynccontextmanager
async def received(request: Request, *, limit: int) -> AsyncIterator[Received]:
    """Read the body; uploaded files lie in a private folder until the context is left.

    Raises:
        ProblemError: 413 when it is larger than the limit.
    """
    content_type = request.headers.get("content-type", "")
    if content_type == "application/x-www-form-urlencoded":
        body = await read_body(request, limit)
        text = body.decode(errors="replace")
        yield Received(body, parse_qs(text, keep_blank_values=True, errors="replace"))
    elif media_type_of(request) == "multipart/form-data":
        form = _Form(Path(tempfile.mkdtemp(prefix="podbook-upload-")))
        try:
            await _read_form(request, form, limit)
            yield Received(b"", form.fields, form.files)
        finally:
            shutil.rmtree(form.folder, ignore_errors=True)
    else:
        yield Received(await read_body(request, limit))


async def _read_form(request: Request, form: _Form, limit: int) -> None:
    try:
        async for part, content in form_parts(request, limit=limit, max_files=_MAX_FILES):
            if part.filename is None:
                data = b"".join([chunk async for chunk in content])
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
