"""A traceback as a log holds it: without colours, and no longer than somebody reads. Pure."""

import re

__all__ = ["plain_traceback"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\^_])")
_LONGEST = 16 * 1024


def plain_traceback(text: str) -> str:
    """The text without terminal escapes; of a longer one the end, where the exception stands."""
    plain = _ESCAPES.sub("", text[-4 * _LONGEST :]).strip("\n")
    return plain if len(plain) <= _LONGEST else "…" + plain[1 - _LONGEST :]
