"""Local references in a schema. Pure."""

from typing import Any
from urllib.parse import unquote

from jsonpointer import EndOfList, JsonPointer, JsonPointerException

__all__ = ["NOTHING", "target_of"]

NOTHING = object()
"""What :func:`target_of` gives where there is nothing."""


def target_of(root: Any, reference: str) -> Any:
    """What a local reference (``#`` or ``#/$defs/a``) refers to in a schema, :data:`NOTHING` where it refers to nothing.

    References of a target are not followed in their turn. Anchors are not known here.
    """
    if not (reference == "#" or reference.startswith("#/")):
        return NOTHING
    try:
        found = JsonPointer(unquote(reference[1:])).resolve(root, NOTHING)
    except (JsonPointerException, ValueError, TypeError):
        return NOTHING
    return NOTHING if isinstance(found, EndOfList) else found
