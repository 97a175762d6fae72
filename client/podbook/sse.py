"""Server-Sent Events as the WHATWG HTML standard (section 9.2) has them: text in, messages out. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Message", "StreamTooLongError", "parse_messages", "split_lines"]

MAX_LINE = 4 * 1024 * 1024
"""Longest line, in characters: a stream without line ends must not fill the memory."""


class StreamTooLongError(Exception):
    """A line of the stream is longer than any event of Podbook's."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream. ``id`` is the last id the stream has set so far."""

    event: str
    data: str
    id: str | None


def split_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Cut text into lines at LF, CR LF or CR, and only there (JSON may hold U+2028, which ``str.splitlines`` takes for a line end).

    A last line without an end is left out: it was cut off.

    Raises:
        StreamTooLongError: a line does not end.
    """
    rest, after_cr = "", False
    for chunk in chunks:
        text = chunk.removeprefix("\n") if after_cr else chunk
        after_cr = chunk.endswith("\r") if chunk else after_cr
        *lines, rest = (rest + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        yield from lines
        if len(rest) > MAX_LINE:
            raise StreamTooLongError(f"a line of the stream is longer than {MAX_LINE} characters")


def parse_messages(lines: Iterable[str], *, last_id: str | None = None) -> Iterator[Message]:
    """Read messages from the lines of a stream.

    Comments, which servers send to keep proxies open, and a message cut off by the end of the stream are left out, as the standard
    says.

    Args:
        lines: the lines without their ends, as they arrive.
        last_id: the id the stream was resumed from.
    """
    event, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Message(event or "message", "\n".join(data), last_id)
            event, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                event = value
            case "data":
                data.append(value)
            case "id" if "\0" not in value:
                last_id = value
            case _:
                pass  # a comment (its name is empty), retry, or an unknown field
