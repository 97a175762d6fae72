"""Request bodies: strict JSON, forms with files, and plain binary content."""

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from fastapi import Request
from pydantic import ValidationError

from podbook_api.doors.problems import Code, FieldError, ProblemError
from podbook_api.doors.requests.body_stream import BodyLimits, limits_of, media_type_of, read_body, stream_body, too_large
from podbook_api.doors.requests.forms import form_parts, invalid_form, urlencoded_fields
from podbook_api.doors.requests.options import ExecutionOptions
from podbook_api.services.creation.creator import Upload, temporary_file
from podbook_core.execution.model import InputFile
from podbook_core.text import strict_json
from podbook_core.text.json_pointer import pointer
from podbook_core.text.strict_json import InvalidJsonError

__all__ = ["RunBody", "is_json", "parse_json", "read_aside", "read_json", "read_run_body", "understood"]

MAX_FILES = 32
"""Most input files of a run."""
_JSON_PARTS = ("parameters", "options")
_AT_ONCE = 16 * 1024
"""Bytes of JSON that are read in less time than it takes to hand them to a thread."""
_INPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


@dataclass(frozen=True, slots=True)
class RunBody:
    """What a body said: parameters, or form fields that are to become parameters, and input files."""

    parameters: Any = field(default_factory=dict)
    """JSON as the caller sent it; not yet known to be an object."""
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    uploads: Sequence[Upload] = ()
    options: ExecutionOptions = field(default_factory=ExecutionOptions)


def is_json(media_type: str) -> bool:
    """Whether a media type (without parameters) is JSON; a body without one counts as JSON."""
    return media_type in ("", "application/json", "text/json") or media_type.endswith("+json")


def parse_json(data: bytes, *, limit: int, what: str = "the request body") -> Any:
    """Read JSON that can be stored and written again.

    Args:
        data: the JSON.
        limit: most bytes it may have.
        what: what it is called in a problem.

    Raises:
        ProblemError: 413 for a larger one; 400 when it is not JSON, or holds what JSON cannot represent (NaN, infinities, lone surrogates).
    """
    try:
        return strict_json.parse(data, limit=limit, what=what)
    except InvalidJsonError as error:
        if error.too_large:
            raise too_large(what, limit) from None
        raise ProblemError(400, Code.INVALID_JSON, str(error)) from None


async def read_aside(data: bytes, parse: Callable[[bytes], Any]) -> Any:
    """What ``parse`` makes of JSON text; where that takes long, in a thread, so that others are answered meanwhile."""
    return parse(data) if len(data) <= _AT_ONCE else await anyio.to_thread.run_sync(parse, data)


async def read_json(request: Request) -> Any:
    """The JSON body of a request; an empty body is an empty object.

    Raises:
        ProblemError: 415 for another media type, 413 for a large one, 400 for what is not JSON.
    """
    media_type = media_type_of(request)
    if not is_json(media_type):
        raise ProblemError(415, Code.UNSUPPORTED_MEDIA_TYPE, f"{media_type} is not supported here; send application/json")
    limit = limits_of(request).json
    data = await read_body(request, limit)
    return await read_aside(data, partial(parse_json, limit=limit)) if data.strip() else {}


def _not_valid(error: ValidationError, what: str) -> ProblemError:
    errors = [
        FieldError(path=pointer(item["loc"]), problem=item["type"], expected=item["msg"])
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    text = "; ".join(f"{item.path or '(the whole)'}: {item.expected}" for item in errors[:3])
    return ProblemError(422, Code.INVALID_REQUEST, f"{what} is not valid: {text}", errors=errors[:20])


@contextmanager
def understood(what: str = "the request body") -> Iterator[None]:
    """What is made of a JSON body, or of part of a form, within it must be of the documented shape.

    Raises:
        ProblemError: 422 when it is not.
    """
    try:
        yield
    except ValidationError as error:
        raise _not_valid(error, what) from None


@asynccontextmanager
async def read_run_body(request: Request, *, input_name: str) -> AsyncIterator[RunBody]:
    """Read the body of a run, whatever its media type; files wait in temporary files until the context is left.

    JSON is the parameters. In a form, the parts ``parameters`` and ``options`` are JSON, parts with a file name are input files called
    like their field, and other fields are parameters. Anything else is one input file called ``input_name``.

    Raises:
        ProblemError: it cannot be understood.
    """
    media_type = media_type_of(request)
    limits = limits_of(request)
    uploads = _Uploads()
    try:
        if is_json(media_type):
            yield RunBody(parameters=await read_json(request))
        elif media_type == "multipart/form-data":
            yield await _form_body(request, limits, uploads)
        elif media_type == "application/x-www-form-urlencoded":
            texts = _Texts(limits.json)
            for name, value in await urlencoded_fields(request, limit=limits.json):
                await texts.add(name, value.encode())
            yield texts.body(())
        else:
            await uploads.add(input_name, media_type, stream_body(request, limits.upload))
            yield RunBody(uploads=uploads.kept)
    finally:
        uploads.remove()


async def _form_body(request: Request, limits: BodyLimits, uploads: "_Uploads") -> RunBody:
    texts = _Texts(limits.json)
    # One file more than there may be: what is said of it then speaks of input files.
    async for part, content in form_parts(request, limit=limits.upload, max_files=MAX_FILES + len(_JSON_PARTS) + 1):
        if part.filename is None or part.name in _JSON_PARTS:
            await texts.add(part.name, await texts.read(part.name, content))
        else:
            await uploads.add(part.name, part.media_type, content)
    return texts.body(uploads.kept)


class _Texts:
    """What a form says in words: JSON documents and plain fields, together no larger than a JSON body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._documents: dict[str, Any] = {}
        self._fields: dict[str, list[str]] = {}

    async def read(self, name: str, content: AsyncIterator[bytes]) -> bytes:
        """The content of a part, refused where all texts together pass the limit."""
        data = bytearray()
        async for chunk in content:
            data += chunk
            self._size += len(chunk)
            if self._size > self._limit:
                raise too_large(f"the part {name[:128]}, with the fields before it,", self._limit)
        return bytes(data)

    async def add(self, name: str, data: bytes) -> None:
        """Take in one part or field."""
        if name in _JSON_PARTS:
            if name in self._documents:
                raise ProblemError(422, Code.INVALID_REQUEST, f"the part {name} was sent twice; send it once")
            self._documents[name] = await read_aside(data, partial(parse_json, limit=self._limit, what=f"the part {name}"))
            return
        try:
            self._fields.setdefault(name, []).append(data.decode())
        except UnicodeDecodeError:
            raise invalid_form(f"the field {name[:128]} is not UTF-8") from None

    def body(self, uploads: Sequence[Upload]) -> RunBody:
        """All of it as what a run is asked for."""
        with understood("the part options"):
            options = ExecutionOptions.model_validate(self._documents.get("options", {}))
        return RunBody(self._documents.get("parameters", {}), self._fields, uploads, options)


class _Uploads:
    """Input files as they arrive, in temporary files."""

    def __init__(self) -> None:
        self.kept: list[Upload] = []
        self._paths: list[Path] = []

    async def add(self, name: str, media_type: str, content: AsyncIterator[bytes]) -> None:
        """Write one file, once, where it stays until it is in the store."""
        if any(upload.file.name == name for upload in self.kept):
            raise _invalid_input(name, "was sent twice", "each input file once")
        if len(self.kept) == MAX_FILES:
            error = FieldError(path="", problem="has too many files", expected=f"at most {MAX_FILES} input files")
            raise ProblemError(
                422, Code.INVALID_INPUTS, f"the form has too many files; at most {MAX_FILES} are allowed", errors=[error]
            )
        if _INPUT_NAME.fullmatch(name) is None:
            raise _invalid_input(name, "is not a valid file name", "1 to 128 letters, digits, dots, hyphens and underscores")
        path = temporary_file()
        self._paths.append(path)
        digest, size = hashlib.sha256(), 0
        async with await anyio.open_file(path, "wb") as file:
            async for chunk in content:
                digest.update(chunk)
                size += len(chunk)
                await file.write(chunk)
        known = media_type if _MEDIA_TYPE.fullmatch(media_type) and len(media_type) <= 128 else "application/octet-stream"
        self.kept.append(Upload(InputFile(name=name, sha256=digest.hexdigest(), size=size, media_type=known), path))

    def remove(self) -> None:
        """Remove what was written."""
        for path in self._paths:
            path.unlink(missing_ok=True)


def _invalid_input(name: str, problem: str, expected: str) -> ProblemError:
    error = FieldError(path=name[:128], problem=problem, expected=expected)
    return ProblemError(422, Code.INVALID_INPUTS, f"input file {name[:128]!r} {problem}; expected {expected}", errors=[error])
