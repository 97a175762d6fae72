"""JSON pointers (RFC 6901), as messages name places in a document with them. Pure; standard library only."""

from collections.abc import Iterable

__all__ = ["escape", "pointer", "unescape"]


def escape(name: str) -> str:
    """A member's name as one token of a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """The member's name that a token stands for."""
    return token.replace("~1", "/").replace("~0", "~")


def pointer(parts: Iterable[str | int]) -> str:
    """The pointer to a value by the names and positions that lead to it; empty for the whole document."""
    return "".join(f"/{escape(str(part))}" for part in parts)
