"""Text as a terminal shows it: after a carriage return a line is written over from its beginning. Pure."""

__all__ = ["as_shown", "unfinished", "written_over"]

_WRITABLE = 64 * 1024
"""A longer line is not a progress bar; writing it over again and again would take quadratic time."""


def written_over(line: str) -> str:
    """One line, without its line feed, after all its carriage returns; a last one takes effect only with what follows it."""
    if "\r" not in line or len(line) > _WRITABLE * 64:
        return line
    body = line.rstrip("\r")
    shown = ""
    for piece in body.split("\r"):
        shown = piece + shown[len(piece) :] if len(shown) <= _WRITABLE else piece
    return shown + ("\r" if len(body) < len(line) else "")


def unfinished(line: str) -> str:
    """A line that goes on, shortened so that what follows has the same effect: its last piece stays apart, since it is written on."""
    before, carriage_return, last = line.rpartition("\r")
    return written_over(before.rstrip("\r")) + carriage_return + last


def as_shown(text: str) -> str:
    """A whole text with each of its lines as it was seen last. A carriage return before a line feed belongs to the line's end."""
    if "\r" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(written_over(line) for line in lines)
