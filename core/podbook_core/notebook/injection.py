"""The cell that brings a notebook its parameters: its source in Python, and its place. Pure.

The same text, at the same place, as papermill's, so that what reads executed notebooks finds what it knows. papermill itself writes the
cell for notebooks in other languages.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["INJECTED_PARAMETERS", "ParametersPlace", "parameters_place", "python_literal", "python_source", "tags_of"]

INJECTED_PARAMETERS = "injected-parameters"
"""Tag of the cell with the parameters of a call."""
_PARAMETERS = "parameters"
"""Tag of the author's cell with the default values."""


@dataclass(frozen=True, slots=True)
class ParametersPlace:
    """Where the cell with the parameters goes."""

    cell: int
    """It comes before this cell, or in its place; the number of cells for the end."""
    replaces: bool
    """Whether it comes in the place of that cell: an earlier call's."""
    tagged: bool
    """Whether the author or an earlier call has marked the place; otherwise it is the top."""


def parameters_place(cells: Sequence[Mapping[str, Any]]) -> ParametersPlace:
    """Where the cell with the parameters goes: in the place of an earlier call's, else after the author's, else on top."""
    injected, own = _first_tagged(cells, INJECTED_PARAMETERS), _first_tagged(cells, _PARAMETERS)
    if injected is not None:
        return ParametersPlace(injected, replaces=True, tagged=True)
    return ParametersPlace(0 if own is None else own + 1, replaces=False, tagged=own is not None)


def python_source(parameters: Mapping[str, Any]) -> str:
    """Python that assigns each parameter to the variable of its name.

    Args:
        parameters: JSON values, NaN and infinities included, by names that Python variables can have.

    Raises:
        TypeError: a value is not JSON.
    """
    return "# Parameters\n" + "".join(f"{name} = {python_literal(value)}\n" for name, value in parameters.items())


def python_literal(value: Any) -> str:
    """A JSON value as a Python expression, in ASCII.

    Raises:
        TypeError: it, or something in it, is not JSON.
    """
    match value:
        case None | bool() | int():
            return str(value)
        case str():
            return _text(value)
        case float():
            return str(value) if math.isfinite(value) else f"float('{value}')"
        case dict():
            return "{" + ", ".join(f"{_text(name)}: {python_literal(inner)}" for name, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(python_literal, value)) + "]"
        case _:
            raise TypeError(f"a parameter must be a JSON value, not {type(value).__name__}")


def tags_of(cell: Mapping[str, Any]) -> Sequence[str]:
    """The tags of a cell; none where its metadata does not say."""
    tags: Sequence[str] = cell["metadata"].get("tags", ())
    return tags


def _first_tagged(cells: Sequence[Mapping[str, Any]], tag: str) -> int | None:
    return next((number for number, cell in enumerate(cells) if tag in tags_of(cell)), None)


def _text(text: str) -> str:
    return '"' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'
