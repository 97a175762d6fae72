"""Texts cut to a length. Pure; standard library only, for the runner cuts them too."""

__all__ = ["clip"]


def clip(text: str, limit: int) -> str:
    """The text, cut to a number of characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
