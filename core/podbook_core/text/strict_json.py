"""JSON from outside, read once and strictly: what is accepted can be stored, written again and read by every other JSON reader. Pure.

Standard library only: the runner and the command line read with it as well.
"""

import json
import math
from typing import Any

from podbook_core.text.json_depth import MAX_NESTING, nested_too_deeply

__all__ = ["InvalidJsonError", "parse"]

_SHOWN = 40


class InvalidJsonError(ValueError):
    """The text is not JSON as Podbook accepts it.

    Attributes:
        problem: what is wrong, without the name of what was read.
        too_large: whether its size is what is wrong; nothing of it was read then.
    """

    def __init__(self, what: str, problem: str, *, too_large: bool = False) -> None:
        super().__init__(f"{what} {problem}" if too_large else f"{what} is not valid JSON: {problem}")
        self.problem = problem
        self.too_large = too_large


class _NumberError(Exception):
    """NaN, an infinity, or a number that would become one."""


def parse(data: bytes | str, *, limit: int, what: str, depth: int = MAX_NESTING, as_jupyter_writes: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        data: the text; bytes are UTF-8, with or without a byte order mark.
        limit: most bytes (of a ``str``: characters) it may have; nothing larger is parsed.
        what: what it is called in messages, such as ``the request body``.
        depth: most levels of arrays and objects.
        as_jupyter_writes: accept NaN, infinities and halves of surrogate pairs, which notebooks hold in the outputs of their cells.

    Raises:
        InvalidJsonError: it is larger or deeper than that, not UTF-8, not JSON, or holds what JSON cannot represent: NaN, an infinity, a number
            that would become one, half of a surrogate pair.
    """
    if len(data) > limit:
        unit = "characters" if isinstance(data, str) else "bytes"
        raise InvalidJsonError(what, f"has {len(data)} {unit}; at most {limit} are allowed", too_large=True)
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig", "surrogatepass" if as_jupyter_writes else "strict")
        value = json.loads(text) if as_jupyter_writes else json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
        if nested_too_deeply(value, depth):
            raise RecursionError
        if not as_jupyter_writes:
            _require_characters(text, value)
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at line {error.lineno}, column {error.colno}"
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except UnicodeEncodeError:
        problem = "a string contains half of a surrogate pair (\\ud800 to \\udfff), which is not a character"
    except RecursionError:
        problem = f"it is nested too deeply; at most {depth} levels are allowed"
    except _NumberError as error:
        problem = f"{error} is not a number in JSON; use null, or a string"
    except ValueError:
        problem = "a number has too many digits"
    else:
        return value
    raise InvalidJsonError(what, problem) from None


def _require_characters(text: str, value: Any) -> None:
    """Raises UnicodeEncodeError where a string of the value cannot be written as UTF-8."""
    text.encode()
    # Escapes are the only other way to half a surrogate pair, and what is written again shows them.
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()


def _refuse_number(text: str) -> Any:
    raise _NumberError(text[:_SHOWN])


def _finite(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        return value
    raise _NumberError(text[:_SHOWN])
