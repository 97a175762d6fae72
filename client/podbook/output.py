"""``save_output``: how a notebook says what its result is.

The result travels inside the notebook, as a display message of scrapbook's MIME type under the name that jupyrest made
common (``nbschema_outputs``), so the executed notebook is complete by itself and readable by scrapbook. Standard library
only; IPython is imported when a kernel is there already.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from enum import Enum
from typing import Any

__all__ = ["OUTPUT_MIME", "OUTPUT_NAME", "save_output"]

OUTPUT_MIME = "application/scrapbook.scrap.text+json"
"""MIME type of the display message (scrapbook's, with its ``text`` encoder)."""
OUTPUT_NAME = "nbschema_outputs"
"""Name of the scrap that holds a notebook's output."""

_MAX_SHOWN = 60


def save_output(data: Any) -> None:
    """Save the output of this notebook. The last call wins.

    Args:
        data: The output itself, or a string that holds it as JSON text. An output is anything JSON can represent: None, bool, int,
            float, str, lists, tuples and mappings of these; and what turns into it without loss: dates and times (as ISO 8601),
            enum members, dataclasses, pydantic models, and the scalars and arrays of numpy and pandas.

    Outside of a Jupyter kernel the output is checked in the same way and printed as indented JSON.

    Raises:
        ValueError: a string is not valid JSON, a number is NaN or infinite (JSON has neither), two keys of a mapping become the
            same text, or the value contains itself. The message names the place, such as ``$.prices[2]``.
        TypeError: the output holds a value that JSON cannot represent. The message names place and type.
    """
    value = _parse(data) if isinstance(data, str) and not isinstance(data, Enum) else data
    try:
        output = _plain(value, "$", frozenset())
    except RecursionError as error:
        raise ValueError("the output is nested too deeply to be written as JSON") from error
    if not _in_kernel():
        print(json.dumps(output, ensure_ascii=False, indent=2))  # noqa: T201 - a script's way to show its result
        return
    from IPython.display import display  # noqa: PLC0415 - a kernel has it loaded; nothing else needs it

    scrap = {
        "name": OUTPUT_NAME,
        "data": json.dumps(output, ensure_ascii=False),
        "encoder": "text",
        "version": 1,
    }
    metadata = {"scrapbook": {"name": OUTPUT_NAME, "data": True, "display": False}}
    display({OUTPUT_MIME: scrap}, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]


def _in_kernel() -> bool:
    """Whether this runs in a Jupyter kernel: an IPython shell that has a kernel, which a terminal's has not."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - loaded already, see above

    return hasattr(get_ipython(), "kernel")


def _parse(text: str) -> Any:
    """The value that a JSON text holds. Python's parser takes NaN and Infinity for numbers; they are found later, by place."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the output is nested too deeply to be read as JSON") from error
    except ValueError as error:
        raise ValueError(
            f"save_output takes a string as JSON text, and {_shown(text)} is not valid JSON ({error}). "
            "Pass the value itself, such as a dict, or json.dumps(text) to save a string."
        ) from error


def _plain(value: Any, path: str, parents: frozenset[int]) -> Any:
    """The value in JSON's own types; ``parents`` are the ids of what contains it, to notice a circle."""
    if isinstance(value, Enum):
        return _plain(value.value, path, parents)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the output has {value} at {path}, which JSON cannot represent; use None for a missing number")
        return float(value)
    if isinstance(value, date | time):
        return _moment(value, path)
    if id(value) in parents:
        raise ValueError(f"the output contains itself at {path}")
    inside = parents | {id(value)}
    if isinstance(value, Mapping):
        return _object(value, path, inside)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", inside) for index, item in enumerate(value)]
    return _plain(_unwrapped(value, path), path, inside)


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the text at {path} is not valid Unicode: {error.reason}") from error
    return str(value)


def _moment(value: date | time, path: str) -> str:
    """ISO 8601, as jupyrest writes it. pandas' NaT is a datetime, too, and the only one unequal to itself."""
    if isinstance(value, datetime) and value != value:  # noqa: PLR0124 - the documented property of NaT
        raise ValueError(f"the output has NaT (a missing time) at {path}; use None for a missing value")
    return value.isoformat()


def _object(value: Mapping[Any, Any], path: str, parents: frozenset[int]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = _key(key, path)
        if name in result:
            raise ValueError(f"two keys of the object at {path} both become {name!r} in JSON")
        result[name] = _plain(item, f"{path}.{name}", parents)
    return result


def _key(key: Any, path: str) -> str:
    """The text of a key, by the rules of :func:`json.dumps`; numpy's and pandas' keys count as what they hold."""
    plain = _plain(key, f"{path} (in a key)", frozenset())
    if isinstance(plain, str):
        return plain
    if isinstance(plain, list | dict):
        raise TypeError(f"a key of the object at {path} is of type {_type_name(key)}; keys must be strings or numbers")
    return json.dumps(plain)


def _unwrapped(value: Any, path: str) -> Any:
    """One step from a foreign value towards JSON, by what it offers: nothing is imported for it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if callable(getattr(value, "model_dump", None)) and not isinstance(value, type):
        return value.model_dump(mode="json")
    if _is_labelled(value):
        return _labelled(value, path)
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    # numpy turns its nanosecond dates into plain integers, without a word.
    if not (kind in ("m", "M") and type(value).__module__ == "numpy"):
        for method in ("tolist", "to_list", "item"):
            # Of a sequence, item() would be its only element, and an error where there are more.
            if callable(getattr(value, method, None)) and not (method == "item" and bool(getattr(value, "shape", None))):
                inner = getattr(value, method)()
                if type(inner) is not type(value):
                    return inner
    raise TypeError(f"the output has a value of type {_type_name(value)} at {path}, {_advice(value)}")


def _is_labelled(value: Any) -> bool:
    """Whether it is a pandas Series: values, each with a label."""
    return type(value).__module__.partition(".")[0] == "pandas" and all(
        callable(getattr(value, name, None)) for name in ("to_dict", "items", "tolist")
    )


def _labelled(series: Any, path: str) -> Any:
    """A Series keeps its labels as an object's keys; only the numbers that pandas gives by itself, 0 to n-1, say nothing."""
    index = series.index
    if type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1):
        return series.tolist()
    if not index.is_unique:
        raise ValueError(
            f"the Series at {path} has the same label more than once, which a JSON object cannot; "
            "pass series.tolist() for the values, or series.reset_index().to_dict(orient='records') for both"
        )
    return series.to_dict()


def _advice(value: Any) -> str:
    """What to do about a value that JSON cannot represent."""
    if type(value).__name__ == "NAType":
        return "which JSON cannot represent; use None for a missing value"
    if type(value).__name__ == "datetime64":
        return "which JSON cannot represent; pass str(value)"
    if type(value).__name__ == "DataFrame":
        polars = type(value).__module__.partition(".")[0] == "polars"
        rows = "to_dicts()" if polars else "to_dict(orient='records')"
        return f"which can be written as JSON in several ways; pass what its {rows} returns for a list of rows"
    if isinstance(value, bytes | bytearray):
        return "which JSON cannot represent; write bytes to a file in $PODBOOK_OUTPUT_DIR instead"
    if isinstance(value, set | frozenset):
        return "which has no order; pass sorted(value) or list(value)"
    if callable(getattr(value, "to_dict", None)):
        return "which JSON cannot represent; pass what its to_dict() returns"
    return "which JSON cannot represent; convert it to numbers, text, lists and dicts first"


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")
