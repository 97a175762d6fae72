"""Request bodies: strict JSON, forms with files, and plain binary content."""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from podbook_api.doors.native.documents import ExecutionOptions
from podbook_api.doors.problems import Code, FieldError, ProblemError
from podbook_api.services.create import Upload, temporary_file
from podbook_core.execution.model import InputFile
from podbook_core.text.digests import canonical_json
from podbook_core.text.json_depth import MAX_NESTING, nested_too_deeply

__all__ = ["RunBody", "is_json", "parameters_from_fields", "parse_json", "read_json", "read_run_body"]

MAX_FILES = 32
_MAX_FIELDS = 200
_JSON_PARTS = ("parameters", "options")
_CHUNK = 256 * 1024
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


def media_type_of(request: Request) -> str:
    """The media type of a request's body, in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_json(data: bytes, *, what: str = "the request body") -> Any:
    """Read JSON that can be stored and written again.

    Args:
        data: the JSON.
        what: what it is called in a problem.

    Raises:
        ProblemError: it is no JSON, or holds what JSON cannot say (NaN, infinities, lone surrogates).
    """
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
        if nested_too_deeply(value):
            raise RecursionError
        canonical_json(value)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except UnicodeEncodeError:
        problem = "a text holds half of a surrogate pair"
    except RecursionError:
        problem = f"it is nested too deeply; at most {MAX_NESTING} levels are allowed"
    except _ConstantError as error:
        problem = f"{error} is no JSON number"
    except ValueError as error:
        problem = f"a number is out of range ({str(error)[:80]})"
    else:
        return value
    raise ProblemError(400, Code.INVALID_JSON, f"{what} is no JSON: {problem}")


class _ConstantError(ValueError):
    """A number that JavaScript has and JSON has not."""


def _refuse_constant(name: str) -> Any:
    raise _ConstantError(name)


async def read_json(request: Request) -> Any:
    """The JSON body of a request; an empty body is an empty object.

    Raises:
        ProblemError: 415 for another media type, 400 for what is no JSON.
    """
    media_type = media_type_of(request)
    if not is_json(media_type):
        raise ProblemError(415, Code.UNSUPPORTED_MEDIA_TYPE, f"{media_type} is not understood here; send application/json")
    data = await request.body()
    return parse_json(data) if data.strip() else {}


def invalid_body(error: ValidationError, *, what: str = "the request body") -> ProblemError:
    """The problem of a JSON body, or part of a form, that is not of the documented shape."""
    errors = [
        FieldError(path="".join(f"/{part}" for part in item["loc"]), problem=item["type"], expected=item["msg"])
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    text = "; ".join(f"{item.path or '(the whole)'}: {item.expected}" for item in errors[:3])
    return ProblemError(422, Code.INVALID_REQUEST, f"{what} is not valid: {text}", errors=errors[:20])


@asynccontextmanager
async def read_run_body(request: Request, *, input_name: str) -> AsyncIterator[RunBody]:
    """Read the body of a run, whatever its media type; files wait in temporary files until the context is left.

    JSON is the parameters. In a form, the parts ``parameters`` and ``options`` are JSON, parts with a file name are input files called
    like their field, and other fields are parameters. Anything else is one input file called ``input_name``.

    Raises:
        ProblemError: it cannot be understood.
    """
    media_type = media_type_of(request)
    temporary: list[Path] = []
    try:
        if is_json(media_type):
            yield RunBody(parameters=await read_json(request))
        elif media_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
            async with request.form(max_files=MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=1024 * 1024) as form:
                yield await _form_body(form.multi_items(), temporary)
        else:
            path = temporary_file()
            temporary.append(path)
            yield RunBody(uploads=[await _stream_upload(request, path, input_name, media_type)])
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)


async def _form_body(items: Sequence[tuple[str, str | UploadFile]], temporary: list[Path]) -> RunBody:
    documents: dict[str, Any] = {}
    fields: dict[str, list[str]] = {}
    uploads: list[Upload] = []
    for name, value in items:
        if name in _JSON_PARTS:
            if name in documents:
                raise ProblemError(422, Code.INVALID_REQUEST, f"the part {name} was sent twice; send it once")
            data = await value.read() if isinstance(value, UploadFile) else value.encode()
            documents[name] = parse_json(data, what=f"the part {name}")
        elif isinstance(value, UploadFile):
            if any(upload.file.name == name for upload in uploads):
                raise _invalid_input(name, "was sent twice", "each input file once")
            path = temporary_file()
            temporary.append(path)
            uploads.append(await _keep_upload(value, path, name))
        else:
            fields.setdefault(name, []).append(value)
    try:
        options = ExecutionOptions.model_validate(documents.get("options", {}))
    except ValidationError as error:
        raise invalid_body(error, what="the part options") from None
    return RunBody(documents.get("parameters", {}), fields, uploads, options)


async def _keep_upload(upload: UploadFile, path: Path, name: str) -> Upload:
    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await upload.read(_CHUNK):
            yield chunk

    return await _write(chunks(), path, name, upload.content_type or "")


async def _stream_upload(request: Request, path: Path, name: str, media_type: str) -> Upload:
    return await _write(request.stream(), path, name, media_type)


async def _write(chunks: AsyncIterator[bytes], path: Path, name: str, media_type: str) -> Upload:
    if _INPUT_NAME.fullmatch(name) is None:
        raise _invalid_input(name, "is no usable name", "1 to 128 letters, digits, dots, hyphens and underscores")
    digest, size = hashlib.sha256(), 0
    async with await anyio.open_file(path, "wb") as file:
        async for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            await file.write(chunk)
    plain = media_type.partition(";")[0].strip().lower()
    known = plain if _MEDIA_TYPE.fullmatch(plain) and len(plain) <= 128 else "application/octet-stream"
    return Upload(InputFile(name=name, sha256=digest.hexdigest(), size=size, media_type=known), path)


def _invalid_input(name: str, problem: str, expected: str) -> ProblemError:
    error = FieldError(path=name[:128], problem=problem, expected=expected)
    return ProblemError(422, Code.INVALID_INPUTS, f"input file {name[:128]!r} {problem}; expected {expected}", errors=[error])


def parameters_from_fields(fields: Mapping[str, Sequence[str]], schema: Mapping[str, Any] | bool | None) -> dict[str, Any]:
    """Form fields as parameters: text stays text where the contract allows it, else it is read as JSON. Pure.

    A repeated field is an array. What cannot be read stays text, so that the contract says what is wrong with it.
    """
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    parameters: dict[str, Any] = {}
    for name, values in fields.items():
        kinds = _types(known.get(name), schema)
        if "array" in kinds and not (len(values) == 1 and values[0].lstrip().startswith("[")):
            items = known[name].get("items") if isinstance(known.get(name), Mapping) else None
            parameters[name] = [_coerce(value, _types(items, schema)) for value in values]
        elif len(values) == 1:
            parameters[name] = _coerce(values[0], kinds)
        else:
            parameters[name] = [_coerce(value, kinds) for value in values]
    return parameters


def _types(schema: Any, root: Any) -> tuple[str, ...]:
    """The types a schema names, through one local reference; none when it does not say."""
    if not isinstance(schema, Mapping):
        return ()
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        node = root
        for part in reference[2:].split("/"):
            node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
        schema = node if isinstance(node, Mapping) else {}
    kind = schema.get("type")
    return tuple(str(item) for item in kind) if isinstance(kind, list) else (str(kind),) if kind else ()


def _coerce(text: str, kinds: Sequence[str]) -> Any:
    if not kinds or "string" in kinds:
        return text
    try:
        return parse_json(text.encode())
    except (ProblemError, UnicodeEncodeError):
        return text
