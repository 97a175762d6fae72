"""What a stored document demands of its reader. Standard library only: the runner reads its task before anything else is imported.

Readers pass over members that they do not know, so that a newer version may add some. What must not be passed over is named in the
document's ``requires``, a list of feature names: a version that does not know one of them refuses this one document, by that name.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["NewerPodbookError", "check_requirements"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.-]{0,63}")
_SHOWN = 5


class NewerPodbookError(ValueError):
    """The document demands something that this version does not know; the message begins with ``needs a newer Podbook``."""


def check_requirements(document: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """Refuse a document whose ``requires`` names what this reader does not know.

    Args:
        document: the document as plain data.
        known: names of the features that this reader honours in such a document.

    Raises:
        NewerPodbookError: it demands more.
    """
    names = document.get("requires")
    if names is None:
        return
    # A list of another shape was written by a version that has changed what it means, and must not be passed over either.
    if not isinstance(names, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise NewerPodbookError("needs a newer Podbook: its list of requirements cannot be read")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NewerPodbookError(f"needs a newer Podbook: {', '.join(unknown[:_SHOWN])}")
