"""Forms, read part by part as they arrive: nothing is kept but what the reader keeps, and a form that breaks off is refused."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from podbook_api.doors.problems import Code, ProblemError
from podbook_api.doors.requests.body_stream import read_body, stream_body

__all__ = ["MAX_FIELDS", "Part", "form_parts", "invalid_form", "too_many", "urlencoded_fields"]

MAX_FIELDS = 200
"""Maximum number of fields in a form that are not files."""
_MAX_NAME = 1024
"""Maximum number of characters of a part's name or file name."""
_END = object()


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of a form says of itself."""

    name: str
    filename: str | None
    """None for a plain field."""
    media_type: str


def invalid_form(problem: str) -> ProblemError:
    """The problem of a form that cannot be read."""
    return ProblemError(400, Code.INVALID_REQUEST, f"the form cannot be read: {problem}")


def too_many(what: str, limit: int) -> ProblemError:
    """The problem of a form with too many parts of a kind."""
    return ProblemError(422, Code.INVALID_REQUEST, f"the form has too many {what}; at most {limit} are allowed")


async def form_parts(request: Request, *, limit: int, max_files: int) -> AsyncIterator[tuple[Part, AsyncIterator[bytes]]]:
    """The parts of a ``multipart/form-data`` body in their order, each with its content as it arrives.

    What the reader leaves of a part's content is passed over when it asks for the next part.

    Args:
        request: whose body it is.
        limit: most bytes of the whole.
        max_files: most parts with a file name.

    Raises:
        ProblemError: 400 when it is not such a form, or ends before its closing boundary; 413 and 415 as :func:`stream_body`; 422 when it
            has too many parts.
    """
    events = _events(request, limit)
    files = fields = 0
    async for event in events:
        if not isinstance(event, Part):
            continue
        files, fields = files + (event.filename is not None), fields + (event.filename is None)
        if files > max_files:
            raise too_many("files", max_files)
        if fields > MAX_FIELDS:
            raise too_many("fields", MAX_FIELDS)
        yield event, _content(events)


async def _content(events: AsyncIterator[object]) -> AsyncIterator[bytes]:
    async for event in events:
        if event is _END:
            return
        if isinstance(event, bytes):
            yield event


async def _events(request: Request, limit: int) -> AsyncIterator[object]:
    """A :class:`Part` where one begins, its content in pieces, and ``_END`` where it ends."""
    media_type, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    boundary = options.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary:
        raise invalid_form("its Content-Type names no boundary")
    reader = _Reader()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.part_begin,
                "on_header_field": reader.header_field,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_headers_finished": reader.headers_finished,
                "on_part_data": reader.part_data,
                "on_part_end": reader.part_end,
                "on_end": reader.end,
            },
        )
        async for chunk in stream_body(request, limit):
            parser.write(chunk)
            for event in reader.take():
                yield event
    except MultipartParseError as error:
        raise invalid_form(str(error)[:200]) from None
    if not reader.ended:
        raise invalid_form("it ends before its closing boundary; it may have been cut off in transit")


class _Reader:
    """Collects what the parser finds in one piece of the body."""

    def __init__(self) -> None:
        self.ended = False
        self._found: list[object] = []
        self._content = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""

    def take(self) -> list[object]:
        """What was found since the last call."""
        self._flush()
        found, self._found = self._found, []
        return found

    def part_begin(self) -> None:
        self._headers = {}

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise invalid_form("a part has no Content-Disposition: form-data with a name")
        filename = options.get(b"filename")
        media_type = self._headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        self._found.append(Part(_text(options[b"name"]), None if filename is None else _text(filename), media_type))

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def part_end(self) -> None:
        self._flush()
        self._found.append(_END)

    def end(self) -> None:
        self.ended = True

    def _flush(self) -> None:
        if self._content:
            self._found.append(bytes(self._content))
            self._content = bytearray()


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise invalid_form("the name of a part is not UTF-8") from None
    if len(text) > _MAX_NAME:
        raise invalid_form(f"the name of a part is longer than {_MAX_NAME} characters")
    return text


async def urlencoded_fields(request: Request, *, limit: int) -> list[tuple[str, str]]:
    """The fields of an ``application/x-www-form-urlencoded`` body in their order.

    Raises:
        ProblemError: 400 when it is not UTF-8, 413 and 415 as :func:`stream_body`, 422 when there are too many.
    """
    data = await read_body(request, limit)
    if data.count(b"&") >= MAX_FIELDS:
        raise too_many("fields", MAX_FIELDS)
    try:
        return parse_qsl(data.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise invalid_form("it is not UTF-8") from None
